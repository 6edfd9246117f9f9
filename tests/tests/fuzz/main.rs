//! The entry points of `tests::fuzz` for some seconds: with random bytes, and with near misses of good
//! ones. `cargo fuzz` drives the same for longer; see `fuzz/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

mod complete;
mod decoders;
mod journal;
mod worlds;

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use tests::fuzz::mutate::Damage;

/// How long each goes on, in a debug build too.
const TIME: Duration = Duration::from_secs(6);

/// Shows `check` what the strategy makes, other things in each run, until the time is over; at least
/// so many. A failure is shrunk.
fn for_some_time<S: Strategy>(strategy: &S, least: u32, check: impl Fn(S::Value))
where
    S::Value: Clone,
{
    let ends = Instant::now() + TIME;
    let (mut done, mut first) = (0, true);
    while first || Instant::now() < ends {
        let config =
            Config { cases: least.div_ceil(4), failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let result = runner.run(strategy, |value| {
            check(value);
            Ok(())
        });
        match result {
            Ok(()) => done += least.div_ceil(4),
            Err(TestError::Fail(why, value)) => panic!("{why}: {value:?}"),
            Err(TestError::Abort(why)) => panic!("given up: {why}"),
        }
        first = done < least;
    }
    eprintln!("{done} cases");
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..most)
}

/// One to three changes.
fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let place = || 0..4_096usize;
    let length = prop_oneof![0..300u64, Just(u64::MAX), (0..64u32).prop_map(|bit| 1 << bit)];
    let one = prop_oneof![
        4 => (0..32_768usize).prop_map(Damage::Flip),
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        3 => (place(), length).prop_map(|(at, number)| Damage::Length(at, number)),
        2 => place().prop_map(Damage::Truncate),
        2 => (place(), 1..40usize).prop_map(|(at, count)| Damage::Cut(at, count)),
        2 => (place(), bytes(20)).prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => (place(), 1..80usize, place()).prop_map(|(at, count, to)| Damage::Copy(at, count, to)),
        2 => (place(), place()).prop_map(|(at, from)| Damage::Splice(at, from)),
        1 => (place(), 1..40usize).prop_map(|(at, count)| Damage::Zero(at, count)),
    ];
    proptest::collection::vec(one, 1..4)
}
