//! A tower that has many closes to answer at once, with few enough for every run of the tests. The
//! same with ten thousand channels: `cargo run -p tests --bin towers`.

use std::time::Duration;

use tests::tower_load::{Plan, run};

#[test]
fn closes_at_once_are_answered_within_half_of_the_window_and_a_newer_answer_takes_no_more_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let plan = Plan { channels: 200, closes: 50, ledger_delay: Duration::from_millis(20) };
    let report = run(&tests::programs!(), dir.path(), plan, &mut |_| {});
    assert_eq!(report.blocks.len(), 50);
    assert!(report.blocks.iter().all(|blocks| *blocks <= report.window / 2), "{report:?}");
    let [_, all, newer] = report.held;
    // A file each, in place of the one before it; few channels say little about memory.
    assert_eq!(newer.files, all.files, "{report:?}");
    assert!(newer.resident < all.resident + (4 << 20), "{report:?}");
}
