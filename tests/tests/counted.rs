//! A wallet checks its own leaf of what its hub has signed that it owes. Each in a process of its
//! own: ledger, hub, wallets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use settlement::api::Problem;
use settlement::reject::Code;
use settlement::types::Amount;
use tests::process::liar::{self, Liar};
use tests::process::town::{DEPOSIT, Town, pay};
use tests::process::wallet::amount;

const PAID: u64 = 2_500;

fn counted(status: &Value) -> &Value {
    &status["channels"][0]["counted"]
}

#[test]
fn a_wallet_sees_itself_counted_in_what_the_hub_owes() {
    let mut town = Town::found(&tests::programs!());
    pay(&town.alice, &town.bob, PAID);
    let owed = (DEPOSIT + PAID).to_string();
    let status = town.bob.wait_status("the hub's statement", |status| {
        assert!(counted(status)["error"].is_null(), "{status}");
        counted(status)["owed"] == owed.as_str()
    });
    let counted_now = counted(&status);
    let height = |name: &str| counted_now[name].as_u64().unwrap();
    assert!(0 < height("as_of") && height("as_of") < height("block"), "{status}");

    // What was anchored by then had to be in it, to the unit, since Bob rests.
    let status = town
        .bob
        .wait_status("the anchor's bound", |status| counted(status)["at_least"] == owed.as_str());
    assert_eq!(amount(&status["channels"][0]["protection"]["protected"]).0, DEPOSIT + PAID);

    // Nothing is said of it without a hub.
    town.hub.process.kill();
    assert_eq!(counted(&town.bob.status()), &Value::Null);
}

#[test]
fn a_deposit_is_counted_from_the_next_statement_on() {
    let town = Town::found(&tests::programs!());
    pay(&town.alice, &town.bob, PAID);
    town.bob.ok(&["faucet", "700"]);
    town.bob.ok(&["deposit", "700"]);
    let owed = (DEPOSIT + PAID + 700).to_string();
    town.bob.wait_status("the deposit's statement", |status| {
        // Before, the statement is older than the deposit: no lie.
        assert!(counted(status)["error"].is_null(), "{status}");
        counted(status)["owed"] == owed.as_str() && counted(status)["at_least"] == owed.as_str()
    });
}

/// Bob's wallet sees a hub that lies. Each lie, and the number under which he hears of it.
#[test]
fn a_hub_that_lies_about_what_it_owes_is_told_of_with_a_warning() {
    let mut town = Town::found_without_anchors(&tests::programs!());
    pay(&town.alice, &town.bob, PAID);
    let anchored = town.hub.anchor_now();
    assert_eq!((anchored.problem, anchored.channels), (None, anchored.of));
    let liar = Liar::before(town.hub.http.host());
    town.bob.use_hub(&liar.url);
    let owed = DEPOSIT + PAID;
    assert_eq!(counted(&town.bob.status())["owed"], owed.to_string(), "it tells no lie yet");

    let (alice, bob) = (town.with_alice, town.with_bob);
    let key = town.hub.stolen_key();
    let less =
        liar::states(&town.ledger.http, &key, &[(alice, Amount(1)), (bob, Amount(owed - 1))]);
    let without = liar::states(&town.ledger.http, &key, &[(alice, Amount(1))]);
    let mut made_up = without(&alice);
    (made_up.proof.channel, made_up.proof.owed) = (bob, Amount(owed));
    let denial = Problem::new(Code::NotFound, "there is no statement yet");
    let unknown = Problem::new(Code::UnknownChannel, "no such channel");
    let lies: [(&dyn Fn(), Code); 5] = [
        (&|| liar.shows(&less(&bob)), Code::CountedTooLow),
        (&|| liar.shows(&without(&alice)), Code::NotCounted),
        (&|| liar.shows(&made_up), Code::NotCounted),
        (&|| liar.denies(&denial), Code::NotCounted),
        (&|| liar.denies(&unknown), Code::NotCounted),
    ];
    for (lie, code) in lies {
        lie();
        let status = town.bob.status();
        assert_eq!(counted(&status)["error"]["code"], code.number(), "{status}");
        let told = town.bob.told_to_people(&["status"]);
        assert!(told.contains(&format!("{bob} WARNING: not counted")), "{told}");
        assert!(told.contains(&format!("[{code}]")), "{told}");
    }
    liar.is_honest();
    assert_eq!(counted(&town.bob.status())["owed"], owed.to_string());
}
