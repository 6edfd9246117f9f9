//! How long a shard's turn lasts.
//!
//! A payment goes from thread to thread a dozen times. Where a turn begins as soon as there is one thing to
//! do, few payments share their wake-ups, a group commit and a signature, and at half of what the hub
//! carries the cores are nearly full. So a turn that had much to do is stretched: what gathers
//! meanwhile is handled, committed, signed and told together. One that had little is over at once, and
//! one of a full hub takes longer by itself.

use std::time::Duration;

/// What each thing that was handled stretches a turn by. Where less than one comes in this time, which
/// is some 6,000 payments/s in a shard, stretched turns become shorter and shorter: hardly one waits.
const EACH: Duration = Duration::from_micros(30);
/// The most that a turn is stretched to. A payment goes through two turns of a shard, or four of two.
const MOST: Duration = Duration::from_millis(3);
/// What is not worth a sleep.
const LEAST: Duration = Duration::from_micros(100);

/// For how long a turn that has handled so much, and took so long, goes on waiting for more.
pub(super) fn stretch(handled: usize, took: Duration) -> Option<Duration> {
    let handled = u32::try_from(handled).unwrap_or(u32::MAX);
    let left = EACH.saturating_mul(handled).min(MOST).saturating_sub(took);
    (left >= LEAST).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    #[test]
    fn a_turn_that_had_much_to_do_is_stretched_and_one_of_a_full_hub_is_not() {
        let table = [
            (0, us(0), None),
            (3, us(0), None),
            (4, us(0), Some(us(120))),
            (4, us(30), None),
            (20, us(200), Some(us(400))),
            (100, us(1_000), Some(us(2_000))),
            (101, us(1_000), Some(us(2_000))),
            (usize::MAX, us(2_900), Some(us(100))),
            (usize::MAX, us(2_901), None),
            (5_000, us(40_000), None),
        ];
        for (handled, took, expected) in table {
            assert_eq!(stretch(handled, took), expected, "{handled} in {took:?}");
        }
    }

    /// How long turns are after a while when one thing comes each so many microseconds.
    fn settles_at(each_us: u64) -> Duration {
        let mut turn = MOST;
        for _ in 0..1_000 {
            let handled =
                usize::try_from(turn.as_micros()).unwrap() / usize::try_from(each_us).unwrap();
            let took = us(8) * u32::try_from(handled).unwrap();
            turn = took + stretch(handled, took).unwrap_or_default();
            turn = turn.max(us(each_us));
        }
        turn
    }

    #[test]
    fn turns_are_long_where_much_comes_and_at_once_where_little_does() {
        assert_eq!(settles_at(12), MOST);
        assert!(settles_at(40) < us(200), "{:?}", settles_at(40));
    }
}
