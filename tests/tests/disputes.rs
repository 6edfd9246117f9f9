//! A wallet that closes without the hub, or does not settle what it owes: the hub brings what it
//! holds before the ledger in time, and every account is right to the unit.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use serde_json::json;
use settlement::api::ChannelPhase;
use settlement::channel::NewOp;
use settlement::crypto::chain_step;
use settlement::types::{Amount, Anchor, PerRole, Role, Secret};
use settlement::wire::Message;
use tests::process::driver::{Driver, Report};
use tests::process::http::Http;
use tests::process::hub::Hub;
use tests::process::raw::RawWallet;
use tests::process::stage::Stage;
use tests::process::{BLOCKS_PATIENCE, eventually};

const DEPOSIT: Amount = Amount(100_000);
const SECRET: Secret = Secret([5; 32]);

/// What both sides were paid, once they were.
fn paid(ledger: &Http, wallet: &RawWallet) -> PerRole<Amount> {
    let id = wallet.channel.id();
    eventually("the payout", BLOCKS_PATIENCE, || ledger.channel(&id).paid)
}

fn pay_the_hub(wallet: &mut RawWallet, amount: u64) {
    let pay = NewOp::Pay { amount: Amount(amount), memo: Default::default() };
    assert!(wallet.offer(&[pay]).is_ok());
}

#[test]
fn the_hub_answers_a_close_with_its_newest_proof_even_if_it_is_killed_first() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let ledger = stage.hub.http.clone();
    for amount in [300, 40, 5] {
        pay_the_hub(&mut stage.mallory, amount);
    }
    stage.mallory.close_alone();
    let id = stage.mallory.channel.id();
    let closing = || (ledger.channel(&id).phase == ChannelPhase::Closing).then_some(());
    eventually("the close", BLOCKS_PATIENCE, closing);
    stage.hub.kill_and_start_again();
    // Without the hub's answer all of its deposit would go back to the wallet.
    let paid = paid(&ledger, &stage.mallory);
    assert_eq!(paid.wallet, Amount(DEPOSIT.0 - 345));
    assert_eq!(paid.hub, Amount(DEPOSIT.0 + 345));
    assert_eq!(ledger.balance(&stage.mallory.public()), paid.wallet);
}

#[test]
fn a_payer_that_keeps_the_secret_and_does_not_settle_pays_on_the_ledger() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let ledger = stage.hub.http.clone();
    let anchor = Anchor(chain_step(&SECRET.0));
    let policy = stage.mallory.info().policy;
    let amount = Amount(1_000);
    let fee = stage.mallory.info().fees.fee(amount).unwrap();
    let mut add = stage.mallory.add(anchor, stage.payee.public(), Amount(amount.0 + fee.0));
    // The shortest life that the hub passes on.
    let life = policy.expiry_delta + policy.claim_margin + policy.settle_grace + 20;
    let until = stage.mallory.height().after(life);
    if let NewOp::Add { expiry, .. } = &mut add {
        *expiry = until;
    }
    assert!(stage.mallory.offer(&[add]).is_ok());
    let id = stage.payee.hear_lock(anchor);
    stage.payee.reveal(id, SECRET);
    stage.mallory.hear("the secret", |message| matches!(message, Message::Reveal { .. }));
    stage.payee.hear_settled(id);
    // Mallory has what was paid for, and goes away.
    stage.mallory.hang_up();
    let paid = paid(&ledger, &stage.mallory);
    assert_eq!(paid.wallet, Amount(DEPOSIT.0 - amount.0 - fee.0));
    assert_eq!(paid.hub, Amount(DEPOSIT.0 + amount.0 + fee.0));
    assert_eq!(stage.payee.balance(), Amount(DEPOSIT.0 + amount.0));
}

#[test]
fn a_lock_that_nobody_can_claim_goes_back_when_it_has_expired() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let ledger = stage.hub.http.clone();
    let anchor = Anchor(chain_step(&SECRET.0));
    let mut add = stage.mallory.add(anchor, stage.payee.public(), Amount(5_000));
    let until = stage.mallory.height().after(200);
    if let NewOp::Add { expiry, .. } = &mut add {
        *expiry = until;
    }
    assert!(stage.mallory.offer(&[add]).is_ok());
    stage.payee.hear_lock(anchor);
    // The payee says nothing, and the payer gives the channel up.
    stage.mallory.close_alone();
    let paid = paid(&ledger, &stage.mallory);
    assert!(ledger.height() >= until, "the lock stood until {until}");
    assert_eq!((paid.wallet, paid.hub), (DEPOSIT, DEPOSIT));
}

#[test]
fn a_wallet_that_slept_answers_the_hubs_close_and_learns_what_it_has_paid() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let mut alice = Driver::start(&programs, "alice", &dir.path().join("alice"), &hub.url, 1);
    hub.http.faucet(&alice.key, DEPOSIT);
    let opened = alice.ask(&json!({ "open": { "amount": DEPOSIT } }), "opened");
    let channel = opened["opened"].as_str().unwrap().parse().unwrap();
    let mut bob = RawWallet::open(&hub.http, 2, DEPOSIT);
    let fee = |amount| bob.info().fees.fee(Amount(amount)).unwrap().0;
    let (fee_in, fee_out) = (fee(500), fee(2_000));

    // Alice is paid 500: what she would lose if she did not answer.
    let (anchor, _) = alice.invoices(1, 500).into_iter().next().unwrap();
    let add = bob.add(anchor.parse().unwrap(), alice.key, Amount(500 + fee_in));
    assert!(bob.offer(&[add]).is_ok());
    bob.hear("the secret", |message| matches!(message, Message::Reveal { .. }));
    assert!(bob.offer(&[]).is_ok());
    let has = |amount: u64| move |report: &Report| report.wallet == amount && report.locked == 0;
    alice.wait_report("what she was paid", has(DEPOSIT.0 + 500));

    // She pays 2,000, and is gone before she hears that it was taken.
    let invoice = bob.invoice(SECRET, Amount(2_000));
    alice.process.tell(&json!({ "pay": { "invoices": [invoice], "at_once": 1 } }));
    let anchor = Anchor(chain_step(&SECRET.0));
    let id = bob.hear_lock(anchor);
    alice.process.kill();
    bob.reveal(id, SECRET);
    bob.hear_settled(id);
    let closing = || hub.http.channel(&channel).closed_by;
    let closed_by = eventually("that the hub closes", BLOCKS_PATIENCE, closing);
    assert_eq!(closed_by, Role::Hub);

    alice.start_again();
    let paid = eventually("the payout", BLOCKS_PATIENCE, || hub.http.channel(&channel).paid);
    assert_eq!(paid.wallet, Amount(DEPOSIT.0 + 500 - 2_000 - fee_out));
    let stands = eventually("the payment's end", BLOCKS_PATIENCE, || {
        let payments = alice.payments();
        payments.get(&anchor.to_string()).filter(|payment| payment.state != "pending").cloned()
    });
    assert_eq!((stands.state.as_str(), stands.amount), ("settled", 2_000));
}
