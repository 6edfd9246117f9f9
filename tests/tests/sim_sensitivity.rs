//! With any one of these rules switched off, the simulator must find a world that goes wrong. What it
//! finds of the others is in `tests/sensitivity.rs`: searches that play nothing else find more.
//!
//! Only with the feature `sabotage`:
//! `cargo test -p tests --features sabotage --test sim_sensitivity -- --nocapture`.

use std::panic::{catch_unwind, set_hook, take_hook};

use settlement::rules::{Rule, switch_off};
use tests::sim::{Plan, run};

/// What a wallet, a hub or a ledger without the rule loses in some world of the first few hundred.
const FOUND: [Rule; 4] =
    [Rule::LockIdsOnce, Rule::GoneWhenRetired, Rule::RefundAtExpiry, Rule::ClaimInTime];
/// The most worlds that are tried.
const SEEDS: u64 = 1_500;

/// What goes wrong first. A side that notices and stops itself is caught.
fn first_wrong() -> Option<(u64, String)> {
    (1..=SEEDS).find_map(|seed| {
        let wrong = catch_unwind(|| run(&Plan::of(seed, 150)).err().map(|wrong| wrong.what));
        let wrong = wrong.unwrap_or_else(|_| Some("a side stopped itself".to_owned()));
        wrong.map(|what| (seed, what))
    })
}

#[test]
fn with_one_of_these_rules_off_some_world_goes_wrong() {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for rule in FOUND {
        switch_off(Some(rule));
        match first_wrong() {
            Some((seed, what)) => eprintln!("| {rule:?} | seed {seed} | {what} |"),
            None => missed.push(rule),
        }
    }
    switch_off(None);
    set_hook(hook);
    assert_eq!(missed, [], "nothing goes wrong with these rules off");
}
