//! Who cheats gets nothing by it: ledger, hub and wallets in processes of their own, and every
//! account right to the unit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use settlement::types::Role;
use tests::process::town::{DEPOSIT, Town, pay};

/// Nobody listens on the discard port.
const NO_HUB: &str = "http://127.0.0.1:9";

#[test]
fn a_wallet_that_closes_with_its_best_old_proof_gains_nothing() {
    let town = Town::found(&tests::programs!());
    let (alice, bob) = (&town.alice, &town.bob);
    // The best that Alice ever had: what she was paid, and nothing paid yet.
    let bobs_fee = pay(bob, alice, 5_000);
    let mut old = alice.copy(&town.path("old"));
    let fees: u64 = [3_000, 40_000].map(|worth| pay(alice, bob, worth)).iter().sum();

    // She does not let the hub see what she has forgotten.
    old.use_hub(NO_HUB);
    let closing = old.ok(&["--ledger", &town.ledger.url, "close", "--unilateral", "--no-wait"]);
    assert_eq!(closing["wallet_amount"], (DEPOSIT + 5_000).to_string(), "what she hopes for");
    let (paid, _) = town.paid_out(&town.with_alice);
    assert_eq!(paid, DEPOSIT + 5_000 - 43_000 - fees, "the hub has answered");

    bob.ok(&["close"]);
    town.all_hold(paid, DEPOSIT - 5_000 - bobs_fee + 43_000);
}

/// Whatever command the wallet's owner happens to run, even one that does not need the hub.
#[test]
fn a_hub_that_closes_with_nothing_is_answered_by_whatever_command_wakes_the_wallet() {
    for command in ["history", "status"] {
        let mut town = Town::found(&tests::programs!());
        let fee = pay(&town.bob, &town.alice, 30_000);
        town.hub.process.kill();
        town.hub.close_with_nothing(&town.ledger.http, town.with_alice);
        assert_eq!(town.wait_closing(&town.with_alice), Role::Hub);
        town.alice.ok(&[command]);
        let (paid, _) = town.paid_out(&town.with_alice);
        assert_eq!(paid, DEPOSIT + 30_000, "woken by `{command}`");

        // Bob closes without the hub, which is back and answers him.
        town.hub.start_again();
        town.bob.ok(&["close", "--unilateral"]);
        town.all_hold(paid, DEPOSIT - 30_000 - fee);
    }
}
