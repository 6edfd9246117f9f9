//! Frames of every size that is special, up to the limit and over it.

use settlement::reject::Code;
use settlement::wire::FRAME_MAX;
use tests::process::stage::Stage;

use super::{DEPOSIT, resident_kib};

/// What the hub reads beyond the limit to say why it closes; see `hub::connect`.
const SLACK: usize = 1_024;

fn sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..=70).collect();
    for power in 7..=FRAME_MAX.ilog2() {
        let size = 1 << power;
        sizes.extend([size - 1, size, size + 1]);
    }
    // The lengths at which a WebSocket frame's head grows.
    sizes.extend([125, 126, 65_535, 65_536]);
    sizes.extend([FRAME_MAX + SLACK - 1, FRAME_MAX + SLACK, FRAME_MAX + SLACK + 1]);
    sizes.extend([2 * FRAME_MAX, 64 * FRAME_MAX]);
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[test]
fn a_frame_of_any_size_is_refused_by_the_right_number_and_takes_no_memory() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let before = resident_kib(stage.hub.process.id());
    for size in sizes() {
        // Of kinds of messages that do not exist; the second is a number written too long.
        for byte in [0xff, 0x80] {
            let code = if size > FRAME_MAX { Code::FrameTooLarge } else { Code::MalformedFrame };
            stage.mallory.say_bytes(vec![byte; size]);
            assert_eq!(stage.mallory.hear_goodbye(), code, "{size} bytes of {byte}");
            stage.mallory.connect();
        }
    }
    let grown = resident_kib(stage.hub.process.id()).saturating_sub(before);
    assert!(grown < 64 << 10, "the hub has grown by {grown} KiB");
    stage.all_is_as_before(1);
}
