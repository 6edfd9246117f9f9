//! A hub that starts on an old copy of its part of the data directory, in processes of their own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::{Value, json};
use settlement::api::ChannelPhase;
use settlement::types::{Amount, ChannelId};
use tests::process::driver::{Driver, Report};
use tests::process::hub::Hub;
use tests::process::wallet::copy_dir;
use tests::process::{BLOCKS_PATIENCE, PATIENCE, eventually};

const DEPOSIT: u64 = 1_000_000;
const WORTH: u64 = 7;

/// Pays so many times and waits until all have ended.
fn pay(payer: &mut Driver, payee: &Driver, count: usize) {
    let settled = try_to_pay(payer, payee, count, true);
    assert_eq!(settled, count, "{}", payer.process.log());
}

/// The same, and says how many have settled.
fn try_to_pay(payer: &mut Driver, payee: &Driver, count: usize, patient: bool) -> usize {
    let from = payer.process.printed();
    let send = json!({
        "payee": payee.key, "amount": WORTH.to_string(), "count": count, "at_once": 50,
        "patient": patient,
    });
    payer.process.tell(&json!({ "send": send }));
    let done = |line: &Value| line.get("done").is_some();
    payer.process.wait_for("that all were tried", from, BLOCKS_PATIENCE, done);
    let lines = payer.process.json_from(from);
    lines.iter().filter(|line| line["ended"]["state"] == "settled").count()
}

/// Each pays the next, in a ring.
fn pay_around(wallets: &mut [Driver], count: usize) {
    for at in 0..wallets.len() {
        wallets.rotate_left(1);
        let (payer, rest) = wallets.split_first_mut().unwrap();
        pay(payer, &rest[0], count + at);
    }
}

/// What each holds once everything has come to rest.
fn at_rest(wallets: &mut [Driver]) -> Vec<(u64, u64)> {
    let ended = |report: &Report| report.all_ended();
    let report = |wallet: &mut Driver| {
        let report = wallet.wait_report("that all has ended", ended);
        (report.wallet, report.hub)
    };
    wallets.iter_mut().map(report).collect()
}

/// What the copy of a running hub's directory lacks is what the wallets then show it.
#[test]
fn a_hub_restored_from_before_its_last_thousand_payments_takes_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let data = dir.path().join("hub");
    let mut hub = Hub::start(&programs, &data);
    let wallet = |key: u8| {
        let name = ["alice", "bob", "carol"][usize::from(key) - 1];
        Driver::start(&programs, name, &dir.path().join(name), &hub.url, key)
    };
    let mut wallets = [wallet(1), wallet(2), wallet(3)];
    let funds = hub.http.balance(&hub.key);
    let open = |wallet: &mut Driver| {
        hub.http.faucet(&wallet.key, Amount(DEPOSIT));
        let opened = wallet.ask(&json!({ "open": { "amount": DEPOSIT.to_string() } }), "opened");
        serde_json::from_value::<ChannelId>(opened["opened"].clone()).unwrap()
    };
    let channels = wallets.each_mut().map(open);
    let funded = |wallet: &mut Driver| wallet.wait_report("the hub's money", |r| r.hub > 0);
    wallets.iter_mut().for_each(|wallet| drop(funded(wallet)));
    pay_around(&mut wallets, 3);
    at_rest(&mut wallets);

    // The copy is of a hub at rest; its ledger is not copied.
    hub.process.kill();
    let (part, copy) = (data.join("hub"), dir.path().join("copy"));
    copy_dir(&part, &copy);
    hub.start_again();
    pay_around(&mut wallets, 333);
    let before = at_rest(&mut wallets);
    let height = hub.http.height();
    hub.process.kill();
    std::fs::remove_dir_all(&part).unwrap();
    copy_dir(&copy, &part);
    hub.start_again();
    assert!(hub.http.height() >= height, "the ledger was not rolled back");

    // Every wallet shows the hub what it has forgotten. Payments on the same channels go on once the
    // hub has leapt; until then they are refused, or fail.
    for _ in 0..wallets.len() {
        wallets.rotate_left(1);
        let (payer, rest) = wallets.split_first_mut().unwrap();
        eventually("that payments go on", BLOCKS_PATIENCE, || {
            (try_to_pay(payer, &rest[0], 1, false) == 1).then_some(())
        });
    }
    pay_around(&mut wallets, 5);
    let after = at_rest(&mut wallets);
    let fee = hub.info().fees.fee(Amount(WORTH)).unwrap().0;
    // Who pays first is the second of them.
    let counts = [8u64, 6, 7];
    let changes = |at: usize| {
        let (paid, got) = (counts[at] * (WORTH + fee), counts[(at + 2) % 3] * WORTH);
        (before[at].0 + got - paid, before[at].1 + paid - got)
    };
    assert_eq!(after, (0..3).map(changes).collect::<Vec<_>>(), "to the unit, on both sides");
    for channel in &channels {
        assert_eq!(hub.http.channel(channel).phase, ChannelPhase::Open, "nobody had to close");
    }
    close_all(&hub, &mut wallets, &after, funds);
}

/// All close with the hub; the ledger pays what they had, and the hub what is left.
fn close_all(hub: &Hub, wallets: &mut [Driver], after: &[(u64, u64)], funds: Amount) {
    for (wallet, (has, _)) in wallets.iter_mut().zip(after) {
        let closed = wallet.ask(&json!("close"), "closed");
        assert_eq!(closed["wallet"], has.to_string());
        let paid_out = || (hub.http.balance(&wallet.key) == Amount(*has)).then_some(());
        eventually("what the ledger pays out", PATIENCE, paid_out);
    }
    let hubs = wallets.len() as u64 * DEPOSIT - after.iter().map(|(has, _)| has).sum::<u64>();
    let all = || (hub.http.balance(&hub.key) == Amount(funds.0 + hubs)).then_some(());
    eventually("the hub's money back", BLOCKS_PATIENCE, all);
}
