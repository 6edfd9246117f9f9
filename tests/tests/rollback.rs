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
use tests::process::ledger::Ledger;
use tests::process::wallet::{Wallet, amount, copy_dir};
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

/// Waits until each can pay the next: a hub that was started again fails payments for wallets that
/// are not back yet.
fn payments_go_on(wallets: &mut [Driver]) {
    for _ in 0..wallets.len() {
        wallets.rotate_left(1);
        let (payer, rest) = wallets.split_first_mut().unwrap();
        eventually("that payments go on", BLOCKS_PATIENCE, || {
            (try_to_pay(payer, &rest[0], 1, false) == 1).then_some(())
        });
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
    payments_go_on(&mut wallets);
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
    payments_go_on(&mut wallets);
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

const FUNDS: u64 = 100_000;

/// Pays an invoice of the payee's; returns what the payer is charged.
fn buy(payer: &Wallet, payee: &Wallet, worth: u64) -> u64 {
    let (mut waiting, invoice) = payee.invoice(worth, true);
    let paid = payer.ok(&["pay", &invoice]);
    assert_eq!(paid["state"], "settled", "{paid}");
    assert!(waiting.wait(BLOCKS_PATIENCE).success(), "{}", waiting.log());
    worth + amount(&paid["fee"]).0
}

fn own(wallet: &Value) -> u64 {
    amount(&wallet["channels"][0]["wallet_amount"]).0
}

/// From an older copy of its home without any command, from its words with one; and on the ledger
/// when the hub is gone.
#[test]
fn a_wallet_comes_back_from_an_old_copy_from_its_words_and_without_its_hub() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let path = |name: &str| dir.path().join(name);
    let ledger = Ledger::start(&programs, &path("ledger"));
    let mut hub = Hub::start_on(&programs, &path("hub"), &ledger.url);
    ledger.http.faucet(&hub.key, Amount(10 * FUNDS));
    let (alice, words) = Wallet::with_words(&programs, &path("alice"), &hub.url);
    let bob = Wallet::init(&programs, &path("bob"), &hub.url);
    [&alice, &bob].iter().for_each(|wallet| drop(wallet.fund(FUNDS)));
    let mut has = FUNDS - buy(&alice, &bob, 1_000);

    let (old, older) = (alice.copy(&path("old")), alice.copy(&path("older")));
    has -= buy(&alice, &bob, 500);
    buy(&bob, &alice, 200);
    has += 200;
    assert_eq!(own(&alice.status()), has);
    // Whoever pays from the old copy waits until it has caught up with what was forgotten there.
    has -= buy(&old, &bob, 50);
    assert_eq!(own(&old.status()), has);

    let file = path("words");
    std::fs::write(&file, words).unwrap();
    let new = Wallet::from_words(&programs, &path("new"), &hub.url, &file);
    let recovered = new.ok(&["recover"]);
    assert_eq!(recovered["closed_on_ledger"], json!([]), "{recovered}");
    assert_eq!((own(&recovered), &recovered["channels"][0]["suspended"]), (has, &Value::Null));
    buy(&bob, &new, 70);
    has += 70;
    has -= buy(&new, &bob, 30);
    assert_eq!(own(&new.status()), has);

    // The hub is gone for good. What it has anchored by then is safe, and more can't be asked for by
    // a wallet that has only an old copy.
    let anchored = |status: &Value| {
        let up_to = &status["channels"][0]["protection"]["protected"];
        up_to.is_string() && amount(up_to).0 >= has
    };
    let anchor = hub.anchor_now();
    assert_eq!((anchor.problem, anchor.channels), (None, anchor.of));
    new.wait_status("that anchor", anchored);
    let channel = new.status()["channels"][0]["id"].clone();
    hub.process.kill();
    let last = ["--ledger", ledger.url.as_str(), "recover", "--wait", "5"];
    let recovered = older.run(&last).ok();
    assert_eq!(recovered["closed_on_ledger"], json!([channel]), "{recovered}");
    let closed = |status: &Value| status["channels"][0]["state"] == "closed";
    let status = eventually("the end of the channel", BLOCKS_PATIENCE, || {
        let status = older.run(&["--ledger", ledger.url.as_str(), "status"]).ok();
        closed(&status).then_some(status)
    });
    assert_eq!(own(&status), has, "all that was anchored, less what was spent since");
}

/// The whole directory is an old copy, the embedded ledger with it: that would sign other blocks of
/// the same heights.
#[test]
fn an_embedded_ledger_that_is_shown_a_block_above_its_own_stops_and_says_what_to_restore() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let (data, copy) = (dir.path().join("hub"), dir.path().join("copy"));
    let mut hub = Hub::start(&programs, &data);
    let mut wallet = Driver::start(&programs, "alice", &dir.path().join("alice"), &hub.url, 1);
    hub.http.faucet(&wallet.key, Amount(DEPOSIT));
    wallet.ask(&json!({ "open": { "amount": DEPOSIT.to_string() } }), "opened");
    wallet.wait_report("the hub's money", |report| report.hub > 0);
    hub.process.kill();
    copy_dir(&data, &copy);
    hub.start_again();
    let far = hub.http.height().after(100);
    hub.http.wait_height(far);
    wallet.wait_height(far);
    hub.process.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy_dir(&copy, &data);
    hub.launch_again();
    let status = hub.process.wait(BLOCKS_PATIENCE);
    let log = hub.process.log();
    assert_eq!(status.code(), Some(4), "{log}");
    let line = log.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(line.contains("the embedded ledger has lost its newest blocks"), "{line}");
    assert!(
        line.contains("Restore the newest copy of that directory")
            && line.contains(&data.join("ledger").display().to_string())
    );
    let shown = line.split("shows block ").nth(1).unwrap().split(',').next().unwrap();
    assert!(shown.parse::<u64>().unwrap() >= far.0, "{shown}");
}
