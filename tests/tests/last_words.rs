//! A wallet that is told to end the moment it has been paid: the hub has its acknowledgment all the
//! same, and can anchor what the wallet got while that sleeps.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use tests::process::PATIENCE;
use tests::process::town::{DEPOSIT, Town};

const PAID: u64 = 2_500;

#[test]
fn what_a_wallet_got_just_before_it_ended_can_be_anchored() {
    let mut town = Town::found_without_anchors(&tests::programs!());
    let mut bob = town.bob.start(&["listen"]);
    let listening = |line: &Value| line["event"] == "listening";
    let (_, from) = bob.wait_for("that it listens", 0, PATIENCE, listening);
    let (payee, amount) = (town.bob.key.to_string(), PAID.to_string());
    let mut paying = town.alice.start(&["send", &payee, &amount]);
    let settled = |line: &Value| line["event"] == "payment" && line["state"] == "settled";
    bob.wait_for("the payment", from, PATIENCE, settled);
    assert!(bob.terminate().success(), "{}", bob.log());
    assert!(paying.wait(PATIENCE).success(), "{}", paying.log());

    let anchored = town.hub.anchor_now();
    assert_eq!((anchored.problem, anchored.channels), (None, anchored.of));
    town.hub.process.kill();
    town.hub.close_with_nothing(&town.ledger.http, town.with_bob);
    assert_eq!(town.paid_out(&town.with_bob).0, DEPOSIT + PAID);
}
