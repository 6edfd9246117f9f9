//! Asking another wallet for an invoice over the relay, with everybody in a process of their own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use settlement::reject::Code;
use tests::process::PATIENCE;
use tests::process::child::Child;
use tests::process::hub::Hub;
use tests::process::wallet::{Wallet, amount};

const DEPOSIT: u64 = 50_000;

fn listening(wallet: &Wallet, more: &[&str]) -> Child {
    let process = wallet.start(&[&["listen"], more].concat());
    process.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    process
}

fn refused(wallet: &Wallet, args: &[&str]) -> Code {
    Code::from_number(u16::try_from(wallet.run(args).error(1)).unwrap())
}

#[test]
fn a_wallet_that_is_asked_for_an_invoice_gives_one_if_it_was_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let wallet = |name: &str| Wallet::init(&programs, &dir.path().join(name), &hub.url);
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    for wallet in [&alice, &bob] {
        wallet.fund(DEPOSIT);
    }
    let bobs = bob.key.to_string();
    let request = ["request", &bobs, "700", "--memo", "tea for two", "--patience", "2"];

    // Nobody there, and somebody who was not told to.
    assert_eq!(refused(&alice, &request), Code::Unanswered);
    let mut silent = listening(&bob, &[]);
    assert_eq!(refused(&alice, &request), Code::Unanswered);
    assert!(silent.terminate().success(), "{}", silent.log());

    let mut open = listening(&bob, &["--invoices-up-to", "1000"]);
    let asked = alice.ok(&request[..5]);
    assert_eq!((&asked["payee"], amount(&asked["amount"]).0), (&Value::from(bobs.clone()), 700));
    let dear = ["request", &bobs, "1001"];
    assert_eq!(refused(&alice, &dear), Code::RefusedByPayee);
    let paid = alice.ok(&["pay", asked["invoice"].as_str().unwrap()]);
    assert_eq!((&paid["state"], &paid["memo"]), (&"settled".into(), &"tea for two".into()));
    let got = |line: &Value| line["payment"] == paid["payment"] && line["state"] == "settled";
    open.wait_for("the payment", 0, PATIENCE, got);
    // As words: what `pay` takes.
    let text = alice.told_to_people(&["request", &bobs, "5"]);
    assert_eq!(alice.ok(&["pay", text.trim()])["state"], "settled");
    // Four that nobody pays, and no fifth.
    for _ in 0..4 {
        alice.ok(&["request", &bobs, "5"]);
    }
    assert_eq!(refused(&alice, &["request", &bobs, "5"]), Code::Overloaded);
    assert!(open.terminate().success(), "{}", open.log());
}
