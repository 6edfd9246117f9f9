//! A hub that closes a sleeping wallet's channel with nothing: a tower to which the wallet has
//! handed its answer brings it, and the wallet's account is right to the unit. Each in a process of
//! its own: ledger, hub, wallets, tower.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::{Value, json};
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Role};
use tests::process::tower::Tower;
use tests::process::town::{DEPOSIT, Town, pay};
use tests::process::wallet::amount;
use tests::process::{PATIENCE, eventually};

const PAID: u64 = 2_500;

/// Bob is paid, and from then on asleep.
fn found() -> (Town, ChannelId) {
    let town = Town::found_without_anchors(&tests::programs!());
    pay(&town.alice, &town.bob, PAID);
    let channel = town.with_bob;
    (town, channel)
}

fn tower(town: &Town) -> Tower {
    Tower::start(&tests::programs!(), &town.path("tower"), &town.ledger.url)
}

/// The hub is gone, and whoever has its key closes Bob's channel with nothing.
fn cheat(town: &mut Town) {
    town.hub.process.kill();
    town.hub.close_with_nothing(&town.ledger.http, town.with_bob);
    assert_eq!(town.wait_closing(&town.with_bob), Role::Hub);
}

/// Bob has all that he had: not what a close with nothing would leave him.
fn bob_lost_nothing(town: &Town, worth: u64) {
    assert_eq!(town.paid_out(&town.with_bob).0, worth);
    assert_eq!(town.ledger.http.balance(&town.bob.key), Amount(worth));
}

/// The control: what the tests below are about would be lost, but for what the hub has anchored.
/// The wallet knows how much that is before, from the ledger's proof.
#[test]
fn without_a_tower_a_sleeping_wallet_is_left_with_what_it_knew_to_be_protected() {
    let (mut town, channel) = found();
    town.hub.process.kill();
    let status = town.bob.status();
    let protection = &status["channels"][0]["protection"];
    let protected = amount(&protection["protected"]).0;
    assert!([DEPOSIT, DEPOSIT + PAID].contains(&protected), "{status}");
    assert_eq!(amount(&protection["unprotected"]).0, DEPOSIT + PAID - protected, "{status}");
    town.hub.close_with_nothing(&town.ledger.http, channel);
    assert_eq!(town.paid_out(&channel).0, protected);
}

#[test]
fn a_tower_answers_for_a_wallet_that_sleeps() {
    let (mut town, channel) = found();
    let tower = tower(&town);
    let said = town.bob.ok(&["watchtower", "export", "--to", &tower.url]);
    assert_eq!(said["channels"][0]["channel"], channel.to_string(), "{said}");
    assert_eq!(said["refused"], json!([]));
    let seq = said["channels"][0]["seq"].as_u64().unwrap();
    let covered = &town.bob.status()["channels"][0]["covered"];
    assert_eq!(covered, &json!({ "seq": seq, "to": tower.url }));

    cheat(&mut town);
    assert_eq!(tower.told("closing")["by"], "hub");
    assert_eq!(tower.told("brought")["seq"], seq);
    assert_eq!(tower.told("answered")["seq"], seq);
    assert_eq!(tower.told("settled")["wallet"], (DEPOSIT + PAID).to_string());
    bob_lost_nothing(&town, DEPOSIT + PAID);
    let brought = tower.process.json_from(0).into_iter().filter(|told| told["event"] == "brought");
    assert_eq!(brought.count(), 1, "once it is in a block it is brought no more");
    assert!(!tower.file(&channel.to_string()).exists(), "what is paid out is forgotten");
}

#[test]
fn a_tower_that_was_down_when_the_close_came_answers_when_it_is_back() {
    let (mut town, channel) = found();
    let mut tower = tower(&town);
    // Through the inbox, as one who has no way to the tower but the file.
    let file = tower.inbox().join("bob.json");
    town.bob.ok(&["watchtower", "export", "--to", &file.display().to_string()]);
    assert_eq!(tower.told("guarding")["channel"], channel.to_string());
    eventually("the inbox", PATIENCE, || (!file.exists()).then_some(()));
    tower.process.kill();
    cheat(&mut town);
    tower.start_again();
    tower.told("answered");
    bob_lost_nothing(&town, DEPOSIT + PAID);
}

/// Whoever closes: a wallet that was put back to an old copy of its home closes with what that has,
/// and dies. What its tower holds is newer.
#[test]
fn a_tower_brings_what_is_newer_than_what_the_wallet_itself_has_closed_with() {
    let (mut town, channel) = found();
    let tower = tower(&town);
    let old = town.bob.copy(&town.path("old"));
    pay(&town.alice, &town.bob, 300);
    town.bob.ok(&["watchtower", "export", "--to", &tower.url]);
    town.hub.process.kill();
    old.ok(&["close", "--unilateral", "--no-wait"]);
    assert_eq!(town.wait_closing(&channel), Role::Wallet);
    assert_eq!(tower.told("closing")["by"], "wallet");
    tower.told("answered");
    bob_lost_nothing(&town, DEPOSIT + PAID + 300);
}

#[test]
fn a_wallet_that_listens_keeps_its_tower_fresh() {
    let (mut town, channel) = found();
    let tower = tower(&town);
    let mut bob = town.bob.start(&["listen", "--tower", &tower.url]);
    bob.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    for amount in [300, 40] {
        let invoice = town.bob.ok(&["invoice", &amount.to_string()]);
        let invoice = invoice["invoice"].as_str().unwrap();
        assert_eq!(town.alice.ok(&["pay", invoice])["state"], "settled");
    }
    // By the socket, while it listens: the export is of this very moment.
    let export = town.path("export.json");
    let said = town.bob.ok(&["watchtower", "export", "--to", &export.display().to_string()]);
    let old = std::fs::read(&export).unwrap();
    assert!(said["channels"][0]["seq"].as_u64().unwrap() > 0);
    let invoice = town.bob.ok(&["invoice", "5"]);
    assert_eq!(town.alice.ok(&["pay", invoice["invoice"].as_str().unwrap()])["state"], "settled");
    assert!(bob.terminate().success(), "{}", bob.log());

    // Whoever has an older answer can't take the tower back to it.
    let held = std::fs::read(tower.file(&channel.to_string())).unwrap();
    let answer: Value = tower.http.request("POST", "/v1/answers", &old).ok();
    assert_eq!(answer["refused"][0]["code"], Code::OlderAnswer.number(), "{answer}");
    assert_eq!(std::fs::read(tower.file(&channel.to_string())).unwrap(), held);

    cheat(&mut town);
    bob_lost_nothing(&town, DEPOSIT + PAID + 345);
}

#[test]
fn what_is_no_answer_is_refused_with_a_number_and_harms_nothing() {
    let (mut town, channel) = found();
    let tower = tower(&town);
    let export = town.bob.ok(&["watchtower", "export"]);
    let refused = |export: &Value| -> Value {
        let answer: Value = tower.http.post("/v1/answers", export).ok();
        assert_eq!(answer["held"], json!([]), "{answer}");
        answer["refused"][0]["code"].clone()
    };
    let problem = |body: &[u8]| tower.http.request("POST", "/v1/answers", body).problem().code;
    assert_eq!(problem(b"garbage"), Code::BadAnswer);
    assert_eq!(problem(br#"{"version":2,"answers":[]}"#), Code::UnsupportedVersion);
    assert_eq!(problem(&vec![b' '; 3 << 20]), Code::FrameTooLarge);
    assert_eq!(tower.http.get("/v1/answers").problem().code, Code::NotFound);

    let mut foreign = export.clone();
    foreign["answers"][0]["terms"]["ledger"] = json!("11".repeat(32));
    assert_eq!(refused(&foreign), Code::TxWrongLedger.number());
    let mut forged = export.clone();
    let text = forged["answers"][0]["transaction"].as_str().unwrap();
    let other = if text.ends_with('0') { '1' } else { '0' };
    forged["answers"][0]["transaction"] = json!(format!("{}{other}", &text[..text.len() - 1]));
    assert_eq!(refused(&forged), Code::TxBadSignature.number());
    std::fs::write(tower.inbox().join("bad.json"), "garbage").unwrap();
    assert_eq!(tower.told("refused")["code"], Code::TxWrongLedger.number());
    let aside = || tower.inbox().join("bad.json.refused").exists().then_some(());
    eventually("that it is put aside", PATIENCE, aside);

    // None of that keeps a good one out, until its channel is closed.
    let good: Value = tower.http.post("/v1/answers", &export).ok();
    assert_eq!(good["held"][0]["channel"], channel.to_string());
    cheat(&mut town);
    bob_lost_nothing(&town, DEPOSIT + PAID);
    tower.told("settled");
    assert_eq!(refused(&export), Code::NotOpen.number());
}
