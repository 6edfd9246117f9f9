//! A payee whose hub dies between its secret and its money, and what becomes of everybody: ledger,
//! hub and wallets in processes of their own, and every account right to the unit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use settlement::types::Role;
use tests::process::child::Child;
use tests::process::town::{DEPOSIT, Town, pay};
use tests::process::wire::Wire;
use tests::process::{BLOCKS_PATIENCE, PATIENCE};

const WORTH: u64 = 20_000;

fn listen(town: &Town) -> Child {
    let listening = town.bob.start(&["listen"]);
    let listens = |line: &Value| line["event"] == "listening" && line["connected"] == true;
    listening.wait_for("that it listens", 0, PATIENCE, listens);
    listening
}

/// Alice pays Bob, and Bob shows his secret to a hub that never hears it and is killed: what is
/// left of Bob, of Alice, who waits for the payment's end, and of the wire between.
fn cut_off(town: &mut Town) -> (Child, Child, Wire) {
    let wire = Wire::to(town.hub.http.host());
    town.bob.use_hub(&wire.url);
    let bob = listen(town);
    wire.cut();
    let alice = town.alice.start(&["send", &town.bob.key.to_string(), &WORTH.to_string()]);
    let shown = |line: &Value| line["event"] == "payment" && line["state"] == "settled";
    bob.wait_for("that the secret is out", 0, PATIENCE, shown);
    town.hub.process.kill();
    (bob, alice, wire)
}

#[test]
fn a_payee_claims_on_the_ledger_from_a_hub_that_was_killed_for_good() {
    let mut town = Town::found(&tests::programs!());
    let (bob, mut alice, _wire) = cut_off(&mut town);
    // Nobody does anything: the listening wallet closes and claims by itself, in time.
    assert_eq!(town.wait_closing(&town.with_bob), Role::Wallet);
    assert_eq!(town.paid_out(&town.with_bob).0, DEPOSIT + WORTH);
    drop(bob);
    // The hub did not live to claim from Alice: her lock expires, and she is told so.
    assert_eq!(alice.wait(BLOCKS_PATIENCE).code(), Some(1), "{}", alice.out());
    let end = &alice.json_from(0)[0];
    assert_eq!((&end["state"], &end["error"]["name"]), (&"failed".into(), &"expired".into()));
    town.alice.ok(&["close", "--unilateral"]);
    town.all_hold(DEPOSIT, DEPOSIT + WORTH);
}

/// The hub learns the secret from the ledger and passes it on to a payer that waits for it.
#[test]
fn a_hub_that_learns_a_secret_from_the_ledger_settles_with_the_payer() {
    let mut town = Town::found(&tests::programs!());
    let (bob, mut alice, wire) = cut_off(&mut town);
    assert_eq!(town.wait_closing(&town.with_bob), Role::Wallet);
    drop(bob);
    wire.mend();
    town.hub.start_again();
    assert!(alice.wait(BLOCKS_PATIENCE).success(), "{}", alice.out());
    let fee = town.fee(WORTH);
    let end = &alice.json_from(0)[0];
    assert_eq!((&end["state"], &end["fee"]), (&"settled".into(), &fee.to_string().into()));
    assert_eq!(town.paid_out(&town.with_bob).0, DEPOSIT + WORTH);
    let closed = town.alice.ok(&["close"]);
    assert_eq!(closed["wallet_amount"], (DEPOSIT - WORTH - fee).to_string());
    town.all_hold(DEPOSIT - WORTH - fee, DEPOSIT + WORTH);
}

/// The same with a payer that is gone: the hub closes and claims what it has paid on.
#[test]
fn a_hub_that_learns_a_secret_from_the_ledger_claims_from_a_payer_that_is_gone() {
    let mut town = Town::found(&tests::programs!());
    let (bob, mut alice, wire) = cut_off(&mut town);
    alice.kill();
    assert_eq!(town.wait_closing(&town.with_bob), Role::Wallet);
    drop(bob);
    wire.mend();
    town.hub.start_again();
    let fee = town.fee(WORTH);
    assert_eq!(town.wait_closing(&town.with_alice), Role::Hub);
    assert_eq!(town.paid_out(&town.with_alice).0, DEPOSIT - WORTH - fee);
    assert_eq!(town.paid_out(&town.with_bob).0, DEPOSIT + WORTH);
    town.all_hold(DEPOSIT - WORTH - fee, DEPOSIT + WORTH);
    // The payer learns from the ledger what it has paid for.
    town.alice.status();
    let history = town.alice.ok(&["history"]);
    assert_eq!(history["payments"][0]["state"], "settled", "{history}");
    assert!(history["payments"][0]["secret"].is_string(), "{history}");
}

#[test]
fn a_lock_that_expires_gives_everybody_back_what_they_had() {
    let town = Town::found(&tests::programs!());
    let mut bob = listen(&town);
    // The payee hangs: it neither shows the secret nor says no.
    bob.freeze();
    let before = town.ledger.http.height();
    let sent = town.alice.run(&["send", &town.bob.key.to_string(), &WORTH.to_string()]);
    assert_eq!((sent.code, &sent.said[0]["state"]), (1, &"failed".into()), "{sent:?}");
    let policy = town.hub.info().policy;
    let hubs_lock = before.after(policy.lock_life - policy.expiry_delta);
    assert!(town.ledger.http.height() >= hubs_lock, "not before the hub's own lock has expired");
    let status = town.alice.status();
    let alices = &status["channels"][0];
    assert_eq!((&alices["locked"], &alices["state"]), (&"0".into(), &"open".into()), "{status}");
    assert_eq!(alices["wallet_amount"], DEPOSIT.to_string(), "{status}");
    bob.thaw();
    assert!(bob.terminate().success(), "{}", bob.log());

    // Both channels are as good as before.
    let fee = pay(&town.alice, &town.bob, 1_000);
    town.alice.ok(&["close"]);
    town.bob.ok(&["close"]);
    town.all_hold(DEPOSIT - 1_000 - fee, DEPOSIT + 1_000);
}
