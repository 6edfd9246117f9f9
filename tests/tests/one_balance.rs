//! One balance, 1,000 concurrent tries to spend it: exactly what it covers goes through.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use settlement::encoding::encode;
use settlement::proof::Withdrawal;
use settlement::reject::Code;
use settlement::types::{Amount, Role};
use settlement::wire::Message;
use tests::process::driver::Driver;
use tests::process::hub::Hub;
use tests::process::raw::RawWallet;
use tests::process::{BLOCKS_PATIENCE, PATIENCE, eventually};

const TRIES: usize = 1_000;
const COVERED: usize = 100;

#[test]
fn a_wallet_that_is_asked_a_thousand_times_at_once_pays_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let wallet = |name, key| Driver::start(&programs, name, &dir.path().join(name), &hub.url, key);
    let (mut payer, mut payee) = (wallet("payer", 1), wallet("payee", 2));
    let each = 50;
    let with_fee = each + hub.info().fees.fee(Amount(each)).unwrap().0;
    // A little is left over: not enough for one more.
    let deposit = with_fee * COVERED as u64 + with_fee - 1;
    for (wallet, deposit) in [(&mut payer, deposit), (&mut payee, 100_000)] {
        hub.http.faucet(&wallet.key, Amount(deposit));
        wallet.ask(&json!({ "open": { "amount": deposit.to_string() } }), "opened");
    }
    eventually("the hub's deposit", PATIENCE, || (payee.report().hub > 0).then_some(()));

    let from = payer.process.printed();
    let send = json!({
        "payee": payee.key, "amount": each.to_string(), "count": TRIES, "at_once": TRIES,
        "patient": false,
    });
    payer.process.tell(&json!({ "send": send }));
    let done = |line: &Value| line.get("done").is_some();
    payer.process.wait_for("that all were tried", from, BLOCKS_PATIENCE, done);
    let lines = payer.process.json_from(from);
    let refused = lines.iter().filter(|line| line["refused"] == Code::InsufficientBalance.number());
    assert_eq!(refused.count(), TRIES - COVERED, "refused for want of money");
    let settled = lines.iter().filter(|line| line["ended"]["state"] == "settled");
    assert_eq!(settled.count(), COVERED, "paid");

    let (payer, payee) = eventually("the settlement", BLOCKS_PATIENCE, || {
        let reports = (payer.report(), payee.report());
        (reports.0.all_ended() && reports.1.all_ended()).then_some(reports)
    });
    assert_eq!(payer.wallet, with_fee - 1);
    assert_eq!(payee.wallet, 100_000 + each * COVERED as u64);
}

#[test]
fn a_thousand_updates_in_one_go_spend_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&tests::programs!(), dir.path());
    let part = 10;
    let mut wallet = RawWallet::open(&hub.http, 1, Amount(part * COVERED as u64));
    for number in 1..=TRIES as u64 {
        // Each builds on the one before, as if that had been accepted.
        let update = wallet.forge(vec![RawWallet::op_pay(part)], |update| {
            update.base = number - 1;
            update.proof.value.seq = number;
            update.proof.value.transferred = Amount(part * number);
        });
        wallet.say(&Message::Update(update));
    }
    let answers: Vec<_> = (1..=TRIES as u64).map(|number| wallet.answer_to(number)).collect();
    let (taken, refused) = answers.split_at(COVERED);
    assert!(taken.iter().all(Result::is_ok), "{taken:?}");
    assert_eq!(refused[0], Err(Code::Overdraft));
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
}

#[test]
fn of_a_thousand_updates_on_the_same_state_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&tests::programs!(), dir.path());
    let mut wallet = RawWallet::open(&hub.http, 1, Amount(5_000));
    for number in 1..=TRIES as u64 {
        let change = |update: &mut settlement::update::Update| update.proof.value.seq = number;
        let update = wallet.forge(vec![RawWallet::op_pay(5_000)], change);
        wallet.say(&Message::Update(update));
    }
    let answers: Vec<_> = (1..=TRIES as u64).map(|number| wallet.answer_to(number)).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
}

/// How many of the thousand are different.
const DIFFERENT: u64 = 100;

#[test]
fn a_thousand_requests_for_the_same_money_get_one_signature() {
    let dir = tempfile::tempdir().unwrap();
    let hub = Hub::start(&tests::programs!(), dir.path());
    let deposit = Amount(5_000);
    let wallet = RawWallet::open(&hub.http, 1, deposit);
    let (channel, height) = (wallet.channel.id(), wallet.height());
    let path = format!("/v1/channels/{channel}/withdraw");
    let requests: Vec<Value> = (0..TRIES as u64)
        .map(|number| {
            // Whoever asks again for the very same gets the very same again.
            let valid_until = height.after(20 + number % DIFFERENT);
            let body =
                Withdrawal { channel, role: Role::Wallet, total_withdrawn: deposit, valid_until };
            json!({ "body": hex::encode(encode(&body)), "signature": wallet.sign_any(&body) })
        })
        .collect();
    let (next, signed) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(number) else { return };
                    let answer = hub.http.post(&path, request);
                    if answer.status == 200 {
                        signed.lock().unwrap().insert(number as u64 % DIFFERENT);
                    } else {
                        answer.problem();
                    }
                }
            });
        }
    });
    assert_eq!(signed.lock().unwrap().len(), 1);
    let paid = || (hub.http.balance(&wallet.public()) == deposit).then_some(());
    eventually("the payout", PATIENCE, paid);
    hub.http.wait_height(hub.http.height().after(3));
    assert_eq!(hub.http.balance(&wallet.public()), deposit, "paid out once");
}
