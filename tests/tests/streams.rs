//! Streams between wallets in processes of their own: each side is killed in the middle of one and
//! starts again, or never does, and every unit is where the steps say.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::Value;
use settlement::types::Role;
use tests::process::child::Child;
use tests::process::town::{DEPOSIT, Town};
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, PATIENCE, eventually};

const UNIT: u64 = 2;
/// Blocks that a lock stands where a test waits for its end: the hub's own stands for 80 less.
const SHORT: &str = "200";

fn listen(wallet: &Wallet) -> Child {
    let listening = wallet.start(&["listen"]);
    let listens = |line: &Value| line["event"] == "listening" && line["connected"] == true;
    listening.wait_for("that it listens", 0, PATIENCE, listens);
    listening
}

/// Alice starts to pay Bob 200 steps a second.
fn pays(town: &Town, steps: &str, life: &str) -> Child {
    let (bob, unit) = (town.bob.key.to_string(), UNIT.to_string());
    let stream = ["stream", &bob, "--unit", &unit, "--steps", steps, "--rate", "200"];
    town.alice.start(&[&stream[..], &["--lock-steps", "1000", "--life-blocks", life]].concat())
}

fn steps(line: &Value, what: &str) -> u64 {
    line[what].as_u64().unwrap_or_else(|| panic!("{what}: {line}"))
}

/// Waits until a process has said that so many steps are paid.
fn wait_paid(process: &Child, count: u64) -> u64 {
    let paid = |line: &Value| line["paid"].as_u64().is_some_and(|paid| paid >= count);
    let (line, _) = process.wait_for("that steps are paid", 0, BLOCKS_PATIENCE, paid);
    steps(&line, "paid")
}

/// The most steps that a process has said of a stream.
fn said(process: &Child) -> u64 {
    let lines = process.json_from(0);
    lines.iter().filter_map(|line| line["paid"].as_u64()).max().unwrap_or(0)
}

/// A wallet's only stream.
fn stream_of(wallet: &Wallet) -> Value {
    let said = wallet.ok(&["streams"]);
    let streams = said["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{said}");
    streams[0].clone()
}

/// Alice goes on with the stream, and it ends: what both then say is settled, and what it cost.
fn goes_on(town: &Town) -> (u64, u64) {
    let mut alice = pays(town, "100", "1500");
    assert!(alice.wait(BLOCKS_PATIENCE).success(), "{} {}", alice.out(), alice.log());
    let end = alice.json_from(0).pop().unwrap();
    assert_eq!(end["state"], "ended", "{end}");
    assert_eq!((&end["paid"], &end["left"]), (&end["settled"], &0.into()), "{end}");
    let settled = steps(&end, "settled");
    let bobs = eventually("what Bob was paid", PATIENCE, || {
        Some(stream_of(&town.bob)).filter(|stream| steps(stream, "settled") == settled)
    });
    assert_eq!((&bobs["paid"], &bobs["state"]), (&end["paid"], &"ended".into()), "{bobs}");
    assert_eq!(town.bob.ok(&["history"])["streams"][0], bobs, "it is in the history");
    (settled, amount(&end["fees"]).0)
}

/// Both channels are closed with the hub, and everybody holds what so many steps make.
fn all_is_paid(town: &Town, settled: u64, fees: u64) {
    town.alice.ok(&["close"]);
    town.bob.ok(&["close"]);
    town.all_hold(DEPOSIT - UNIT * settled - fees, DEPOSIT + UNIT * settled);
}

/// Locks of a few steps, each used up before the next can come: the payer waits for places and for its
/// payee, and says at no time that it has paid what it has not.
#[test]
fn a_stream_over_locks_of_a_few_steps_pays_exactly_what_was_asked_for() {
    let town = Town::found(&tests::programs!());
    let _bob = listen(&town.bob);
    let (bob, unit) = (town.bob.key.to_string(), UNIT.to_string());
    let (mut settled, mut fees) = (0, 0);
    for [count, rate, lock_steps] in [["3000", "3000", "100"], ["300", "1500", "7"]] {
        let stream = ["stream", &bob, "--unit", &unit, "--steps", count, "--rate", rate];
        let mut alice = town.alice.start(&[&stream[..], &["--lock-steps", lock_steps]].concat());
        let status = alice.wait(BLOCKS_PATIENCE);
        assert!(status.success(), "{count}: {} {}", alice.out(), alice.log());
        let end = alice.json_from(0).pop().unwrap();
        let count: u64 = count.parse().unwrap();
        assert_eq!((steps(&end, "paid"), steps(&end, "settled")), (count, count), "{end}");
        assert!(said(&alice) <= count, "{}", alice.out());
        (settled, fees) = (settled + count, fees + amount(&end["fees"]).0);
    }
    all_is_paid(&town, settled, fees);
}

#[test]
fn what_the_payee_was_shown_is_paid_once_when_the_payer_is_killed() {
    let town = Town::found(&tests::programs!());
    let bob = listen(&town.bob);
    let mut alice = pays(&town, "100000", "1500");
    wait_paid(&bob, 300);
    alice.kill();
    let shown = steps(&stream_of(&town.bob), "paid");
    assert!(shown >= 300);
    assert!(steps(&stream_of(&town.alice), "paid") >= shown, "the payer knows how far it went");
    let (settled, fees) = goes_on(&town);
    assert!(settled >= shown + 100, "{settled} of {shown}");
    all_is_paid(&town, settled, fees);
}

#[test]
fn what_the_payee_was_shown_is_paid_once_when_the_payee_is_killed() {
    let town = Town::found(&tests::programs!());
    let mut bob = listen(&town.bob);
    let mut alice = pays(&town, "100000", "1500");
    wait_paid(&bob, 300);
    bob.kill();
    let shown = said(&bob);
    // Alice runs on for a while, and then waits for Bob.
    let ran = AtomicU64::new(0);
    eventually("that she waits", BLOCKS_PATIENCE, || {
        let now = said(&alice);
        (ran.swap(now, Relaxed) == now && now > shown).then_some(())
    });
    let bob = listen(&town.bob);
    assert!(steps(&stream_of(&town.bob), "paid") >= shown);
    wait_paid(&alice, ran.load(Relaxed) + 200);
    alice.terminate();
    let (settled, fees) = goes_on_or_ended(&town, &alice);
    assert!(settled >= ran.load(Relaxed), "{settled}: what she ran ahead with arrived");
    all_is_paid(&town, settled, fees);
    drop(bob);
}

/// What it ended with: an interrupt closes a stream.
fn goes_on_or_ended(town: &Town, alice: &Child) -> (u64, u64) {
    let end = alice.json_from(0).pop().unwrap();
    assert_eq!(end["state"], "ended", "{end} {}", alice.log());
    let settled = steps(&end, "settled");
    eventually("what Bob was paid", PATIENCE, || {
        (steps(&stream_of(&town.bob), "settled") == settled).then_some(())
    });
    (settled, amount(&end["fees"]).0)
}

#[test]
fn what_the_payee_was_shown_is_paid_once_when_the_hub_is_killed() {
    let mut town = Town::found(&tests::programs!());
    let bob = listen(&town.bob);
    let mut alice = pays(&town, "100000", "1500");
    wait_paid(&bob, 300);
    town.hub.kill_and_start_again();
    let shown = said(&bob);
    wait_paid(&bob, shown + 300);
    alice.terminate();
    let (settled, fees) = goes_on_or_ended(&town, &alice);
    assert!(settled >= shown + 300);
    all_is_paid(&town, settled, fees);
}

/// A payee with steps in hand and a hub that vanished gets its money from the ledger.
#[test]
fn a_payee_claims_its_steps_on_the_ledger_when_the_hub_has_vanished() {
    let mut town = Town::found_without_anchors(&tests::programs!());
    let bob = listen(&town.bob);
    let mut alice = pays(&town, "100000", SHORT);
    wait_paid(&bob, 100);
    town.hub.process.kill();
    alice.kill();
    let shown = steps(&stream_of(&town.bob), "paid");
    assert_eq!(town.wait_closing(&town.with_bob), Role::Wallet);
    assert_eq!(town.paid_out(&town.with_bob).0, DEPOSIT + UNIT * shown);
    // The hub did not live to bring anything of Alice's to the ledger: its loss.
    town.alice.ok(&["close", "--unilateral"]);
    town.all_hold(DEPOSIT, DEPOSIT + UNIT * shown);
}

/// A payer whose payee vanished gets the rest back after the expiry.
#[test]
fn a_payer_gets_the_rest_back_when_the_payee_has_vanished() {
    let town = Town::found(&tests::programs!());
    let mut bob = listen(&town.bob);
    let mut alice = pays(&town, "100000", SHORT);
    wait_paid(&bob, 100);
    bob.kill();
    alice.terminate();
    assert_eq!(alice.wait(BLOCKS_PATIENCE).code(), Some(1), "{}", alice.out());
    assert_ne!(town.alice.status()["channels"][0]["locked"], "0", "it waits for the expiry");
    let status =
        town.alice.wait_status("the rest", |status| status["channels"][0]["locked"] == "0");
    let end = stream_of(&town.alice);
    let (settled, fees) = (steps(&end, "settled"), amount(&end["fees"]).0);
    let left = DEPOSIT - fees - UNIT * settled;
    assert_eq!(amount(&status["channels"][0]["wallet_amount"]).0, left, "{end} {status}");
    assert_eq!(end["state"], "ended", "{end}");
    // What Bob never redeemed is not shown as paid.
    assert_eq!(steps(&end, "paid"), settled, "{end}");
    assert!(steps(&end, "returned") > 0, "{end}");
}
