//! The theorems of the protocol (section 5), searched for a way to break them. See
//! [`tests::theorems`] for what each search looks at.

use settlement::types::Role;
use stateright::{Checker, Expectation, Model};
use tests::theorems::model::{ExitGame, GAMES};
use tests::theorems::pair;
use tests::theorems::search::search;

/// Explores all games of a side, and says how many states there were.
fn explore(honest: Role) {
    let mut sum = 0;
    for (name, bounds) in GAMES {
        let model = ExitGame { honest, bounds };
        let checker = model.checker().threads(2).spawn_bfs().join();
        let states = checker.unique_state_count();
        eprintln!("{honest:?} honest, {name}: {states} states, depth {}", checker.max_depth());
        assert!(checker.is_done(), "{name}: the search was not finished");
        let found = checker.discoveries();
        for property in model.properties() {
            let path = found.get(property.name).cloned();
            match (property.expectation, path) {
                (Expectation::Always, Some(path)) => {
                    let fault = path.last_state().fault().cloned();
                    panic!("{name}: {} broke: {:?} {fault:?}", property.name, path.into_actions());
                }
                (Expectation::Sometimes, None) => panic!("{name}: never {}", property.name),
                _ => {}
            }
        }
        sum += states;
    }
    eprintln!("{honest:?} honest: {sum} states in all");
}

#[test]
fn no_wallet_robs_an_honest_hub_in_any_small_game() {
    explore(Role::Hub);
}

#[test]
fn no_hub_robs_an_honest_wallet_in_any_small_game() {
    explore(Role::Wallet);
}

#[test]
fn no_random_line_of_a_larger_game_robs_an_honest_side() {
    for (seed, honest) in [(1, Role::Hub), (2, Role::Wallet)] {
        if let Some(found) = search(honest, 250, seed) {
            panic!("a theorem broke: {found:#?}");
        }
    }
}

/// Two wallets that collude against a hub, over both their channels.
#[test]
fn no_two_wallets_rob_an_honest_hub_between_them() {
    let (found, seen) = pair::search(500, 3);
    if let Some(found) = found {
        panic!("a theorem broke: {found:?}");
    }
    eprintln!("{seen:?}");
    // A search in which nothing happens proves nothing.
    assert!(seen.passed_on > 500 && seen.reveals > 300 && seen.settled > 150, "{seen:?}");
    assert!(seen.kept > 100 && seen.old_closes > 100 && seen.claims > 100, "{seen:?}");
    assert!(seen.hub_claims > 300 && seen.cosigned > 30 && seen.anchored > 80, "{seen:?}");
}
