//! Who cheats gets nothing by it: ledger, hub and wallets in processes of their own, and every
//! account right to the unit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use settlement::types::Role;
use tests::process::PATIENCE;
use tests::process::child::Child;
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
        let mut town = Town::found_without_anchors(&tests::programs!());
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

/// Runs a command of the operator's about the running hub: its exit code, and what it says.
fn operate(town: &Town, args: &[&str]) -> (i32, Child) {
    let admin = ["--admin-listen", town.hub.admin.host()];
    let mut child = Child::start("hub", &tests::programs!().hub, &[args, &admin].concat());
    let code = child.wait(PATIENCE).code().unwrap();
    (code, child)
}

/// The wallet never wakes, and has never signed anything that says what it was paid.
#[test]
fn a_hub_that_closes_a_sleeping_wallets_channel_with_nothing_pays_what_it_has_anchored() {
    let mut town = Town::found(&tests::programs!());
    let fee = pay(&town.bob, &town.alice, 30_000);
    // The hub anchors what it knows that the wallet has.
    town.alice.status();
    let (code, told) = operate(&town, &["anchor", "now"]);
    assert_eq!(code, 0, "{}", told.log());
    town.hub.process.kill();
    town.hub.close_with_nothing(&town.ledger.http, town.with_alice);
    assert_eq!(town.wait_closing(&town.with_alice), Role::Hub);
    assert_eq!(town.paid_out(&town.with_alice).0, DEPOSIT + 30_000);

    town.hub.start_again();
    town.bob.ok(&["close", "--unilateral"]);
    town.all_hold(DEPOSIT + 30_000, DEPOSIT - 30_000 - fee);
}

#[test]
fn an_operator_closes_the_channel_of_a_wallet_that_is_gone_and_nobody_loses_by_it() {
    let town = Town::found(&tests::programs!());
    let fee = pay(&town.alice, &town.bob, 30_000);
    let channel = town.with_alice.to_string();
    let (code, told) = operate(&town, &["close", &channel]);
    assert_eq!(code, 0, "{}", told.log());
    let report: &Value = &told.json_from(0)[0];
    let view = town.ledger.http.channel(&town.with_alice);
    assert_eq!(report["channel"], channel);
    assert_eq!(report["proofs_until"], view.proofs_until.unwrap().0);
    assert_eq!(view.closed_by, Some(Role::Hub));

    let (code, told) = operate(&town, &["close", &channel]);
    assert_eq!(code, 1);
    assert!(told.log().contains("being closed already"), "{}", told.log());
    let (code, told) = operate(&town, &["close", &"00".repeat(32)]);
    assert_eq!(code, 1);
    assert!(told.log().contains("no such channel"), "{}", told.log());

    assert_eq!(town.paid_out(&town.with_alice).0, DEPOSIT - 30_000 - fee);
    town.bob.ok(&["close"]);
    town.all_hold(DEPOSIT - 30_000 - fee, DEPOSIT + 30_000);
}
