//! What a hostile wallet can say to a hub, and what it gets: a number, a channel as it was, a
//! connection as it was, and never anybody else's money.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use settlement::crypto::{SigningKey, chain_step};
use settlement::lock::{LOCKS_MAX, Lock, STEPS_MAX};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, ChannelId, Hash, Height, PublicKey, Role, Secret};
use settlement::update::{Destination, Op, Payload, Update};
use settlement::wire::{FRAME_MAX, Message};
use tests::process::raw::RawWallet;
use tests::process::stage::Stage;

const DEPOSIT: Amount = Amount(100_000_000);
const SECRET: Secret = Secret([5; 32]);

fn anchor(secret: Secret) -> Anchor {
    Anchor(chain_step(&secret.0))
}

fn somebody() -> PublicKey {
    SigningKey::from_bytes([200; 32]).unwrap().public()
}

fn lock(wallet: &RawWallet, change: impl FnOnce(&mut Lock)) -> Op {
    let id = wallet.channel.outgoing().last_lock_id + 1;
    let expiry = wallet.height().after(wallet.info().policy.lock_life);
    let mut lock = Lock { id, anchor: anchor(SECRET), unit: Amount(10), steps: 1, expiry };
    change(&mut lock);
    let to = Destination { hub: None, wallet: somebody() };
    Op::Add { lock, to, payload: Payload::default() }
}

fn locks(wallet: &RawWallet, count: usize, steps: u32) -> Vec<Op> {
    let first = wallet.channel.outgoing().last_lock_id + 1;
    let ids = first..first + count as u64;
    ids.map(|id| lock(wallet, |lock| (lock.id, lock.steps) = (id, steps))).collect()
}

type Forgery = fn(&RawWallet) -> Update;

fn proof_with(wallet: &RawWallet, change: fn(&mut Update)) -> Update {
    wallet.forge(vec![RawWallet::op_pay(1)], change)
}

/// Every refusal of an update that a wallet can bring about by what it sends.
const FORGERIES: &[(Code, Forgery)] = &[
    (Code::UnknownChannel, |w| {
        proof_with(w, |u| {
            u.channel = ChannelId([9; 32]);
            u.proof.value.channel = ChannelId([9; 32]);
        })
    }),
    (Code::WrongChannel, |w| proof_with(w, |u| u.proof.value.channel = ChannelId([9; 32]))),
    (Code::WrongDirection, |w| proof_with(w, |u| u.proof.value.from = Role::Hub)),
    (Code::BadSignature, |w| {
        let stranger = SigningKey::from_bytes([77; 32]).unwrap();
        w.forge_signed_by(&stranger, vec![RawWallet::op_pay(1)])
    }),
    (Code::SeqNotRising, |w| proof_with(w, |u| u.proof.value.seq = u.base)),
    (Code::BaseMismatch, |w| proof_with(w, |u| u.base += 1)),
    (Code::TotalsFell, |w| proof_with(w, |u| u.proof.value.transferred = Amount(0))),
    (Code::UnknownAcknowledgment, |w| proof_with(w, |u| u.proof.value.peer_seq += 1_000)),
    (Code::UnknownAcknowledgment, |w| proof_with(w, |u| u.proof.value.peer_transferred.0 += 1_000)),
    (Code::ZeroAmount, |w| w.forge(vec![RawWallet::op_pay(0)], |_| {})),
    (Code::AmountOverflow, |w| {
        w.forge(vec![RawWallet::op_pay(u64::MAX); 2], |u| {
            u.proof.value.transferred = Amount(u64::MAX);
        })
    }),
    (Code::AmountOverflow, |w| {
        w.forge(vec![lock(w, |l| (l.unit, l.steps) = (Amount(u64::MAX), 2))], |_| {})
    }),
    (Code::LockIdUsed, |w| w.forge(vec![lock(w, |l| l.id = 0)], |_| {})),
    (Code::StepsOutOfRange, |w| w.forge(vec![lock(w, |l| l.steps = 0)], |_| {})),
    (Code::StepsOutOfRange, |w| w.forge(vec![lock(w, |l| l.steps = STEPS_MAX + 1)], |_| {})),
    (Code::LockTooSmall, |w| w.forge(vec![lock(w, |l| l.unit = Amount(0))], |_| {})),
    (Code::TooManyLocks, |w| w.forge(locks(w, LOCKS_MAX + 1, 1), |_| {})),
    (Code::TooManySteps, |w| w.forge(locks(w, 17, STEPS_MAX), |_| {})),
    (Code::ExpiryPassed, |w| w.forge(vec![lock(w, |l| l.expiry = Height(1))], |_| {})),
    (Code::ExpiryTooFar, |w| w.forge(vec![lock(w, |l| l.expiry.0 += 1_000_000)], |_| {})),
    (Code::UnknownLock, |w| w.forge(vec![Op::Settle { id: 1 << 40, secret: SECRET }], |_| {})),
    (Code::UnknownLock, |w| w.forge(vec![Op::Drop { id: 1 << 40 }], |_| {})),
    (Code::TotalsMismatch, |w| proof_with(w, |u| u.proof.value.transferred.0 += 1)),
    (Code::TotalsMismatch, |w| proof_with(w, |u| u.proof.value.locked = Amount(1))),
    (Code::TotalsMismatch, |w| proof_with(w, |u| u.proof.value.locks_root = Hash([1; 32]))),
    (Code::Overdraft, |w| w.forge(vec![RawWallet::op_pay(w.balance().0 + 1)], |_| {})),
    (Code::Overdraft, |w| {
        let unit = Amount(w.balance().0 + 1);
        w.forge(vec![lock(w, |l| l.unit = unit)], |_| {})
    }),
];

#[test]
fn every_bad_update_is_refused_by_its_number_and_changes_nothing() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    // Something in both directions, so that numbers and totals can fall.
    stage.all_is_as_before(10);
    for (code, forgery) in FORGERIES {
        let forged = forgery(&stage.mallory);
        assert_eq!(stage.mallory.refused(forged), *code);
        stage.mallory.pays_as_before();
    }
    stage.all_is_as_before(11);
}

#[test]
fn the_newest_update_again_is_acknowledged_again_and_an_older_one_refused() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let pay = settlement::channel::NewOp::Pay { amount: Amount(5), memo: Default::default() };
    let (older, seq) = stage.mallory.make(std::slice::from_ref(&pay));
    stage.mallory.say(&Message::Update(older.clone()));
    assert_eq!(stage.mallory.answer_to(seq), Ok(seq));
    let (newest, seq) = stage.mallory.make(&[pay]);
    for _ in 0..3 {
        stage.mallory.say(&Message::Update(newest.clone()));
        assert_eq!(stage.mallory.answer_to(seq), Ok(seq), "the same again gets the same again");
    }
    assert_eq!(stage.mallory.refused(older), Code::SeqNotRising);
    stage.all_is_as_before(12);
}

#[test]
fn a_lock_can_be_neither_settled_with_a_wrong_secret_nor_dropped_at_will() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let pending = Secret([6; 32]);
    let add = stage.mallory.add(anchor(pending), stage.payee.public(), Amount(1_000));
    assert!(stage.mallory.offer(&[add]).is_ok());
    let held = stage.payee.hear_lock(anchor(pending));
    let id = stage.mallory.channel.outgoing().last_lock_id;
    for (code, op) in [
        (Code::SecretMismatch, Op::Settle { id, secret: Secret([7; 32]) }),
        (Code::DropNotAllowed, Op::Drop { id }),
    ] {
        let forged = stage.mallory.forge(vec![op], |_| {});
        assert_eq!(stage.mallory.refused(forged), code);
    }
    // The payee loses nothing by it.
    stage.payee.reveal(held, pending);
    stage.mallory.hear("the secret", |m| matches!(m, Message::Reveal { .. }));
    assert!(stage.mallory.offer(&[]).is_ok());
    stage.payee.hear_settled(held);
    stage.all_is_as_before(13);
}

#[test]
fn a_payment_that_can_not_be_passed_on_fails_with_why_and_the_money_is_back() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let unit = Amount(1_000);
    let (payee, me) = (stage.payee.public(), stage.mallory.public());
    let fee = stage.mallory.info().fees.fee(unit).unwrap();
    let low = if fee.0 > 0 { Some((Code::FeeTooLow, payee, Amount(1))) } else { None };
    let cases = [(Code::UnknownPayee, somebody(), unit), (Code::PaymentToSelf, me, unit)];
    for (number, (code, to, unit)) in (20..).zip(cases.into_iter().chain(low)) {
        let before = stage.mallory.balance();
        let add = stage.mallory.add(anchor(Secret([number; 32])), to, unit);
        assert!(stage.mallory.offer(&[add]).is_ok(), "{code}");
        let id = stage.mallory.channel.outgoing().last_lock_id;
        let failed = stage.mallory.hear("why it fails", |message| match message {
            Message::Fail { id: failed, .. } => *failed == id,
            _ => false,
        });
        assert!(matches!(failed, Message::Fail { code: why, .. } if why == code), "{failed:?}");
        assert!(stage.mallory.offer(&[]).is_ok(), "dropping it");
        assert_eq!(stage.mallory.balance(), before);
        assert_eq!(stage.mallory.channel.locked(), Amount(0));
    }
    // A payee who has gone away.
    stage.payee.hang_up();
    let add = stage.mallory.add(anchor(Secret([30; 32])), payee, Amount(1_010));
    assert!(stage.mallory.offer(&[add]).is_ok());
    stage.mallory.hear("that the payee is away", |message| {
        matches!(message, Message::Fail { code: Code::PayeeOffline, .. })
    });
    assert!(stage.mallory.offer(&[]).is_ok());
    stage.payee.connect();
    stage.all_is_as_before(14);
}

#[test]
fn a_secret_that_does_not_fit_suspends_the_channel_until_the_next_meeting() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let secret = Secret([8; 32]);
    let add = stage.mallory.add(anchor(secret), stage.payee.public(), Amount(1_000));
    assert!(stage.mallory.offer(&[add]).is_ok());
    let id = stage.payee.hear_lock(anchor(secret));
    let channel = stage.payee.channel.id();
    stage.payee.say(&Message::Reveal { channel, id, secret: Secret([9; 32]) });
    assert_eq!(stage.payee.answer_to(0), Err(Code::SecretMismatch));
    let forged = stage.payee.forge(vec![RawWallet::op_pay(1)], |_| {});
    assert_eq!(stage.payee.refused(forged), Code::ChannelSuspended);
    // The connection stands: meeting again on it is enough.
    stage.payee.sync();
    stage.payee.reveal(id, secret);
    stage.mallory.hear("the secret", |m| matches!(m, Message::Reveal { .. }));
    assert!(stage.mallory.offer(&[]).is_ok());
    stage.payee.hear_settled(id);
    stage.all_is_as_before(15);
}

#[test]
fn a_frame_that_can_not_be_decoded_closes_its_connection_alone() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let (update, seq) = stage.mallory.make(&[]);
    let whole = Message::Update(update.clone()).to_frame();
    let cut = whole[..whole.len() - 1].to_vec();
    let longer = [whole.as_slice(), &[0]].concat();
    let frames = [
        (Code::FrameTooLarge, vec![0; FRAME_MAX + 1]),
        (Code::FrameTooLarge, vec![1; 16 * FRAME_MAX]),
        (Code::MalformedFrame, cut),
        (Code::MalformedFrame, longer),
        (Code::MalformedFrame, vec![0xff; 64]),
        (Code::MalformedFrame, Vec::new()),
    ];
    for (code, frame) in frames {
        stage.mallory.say_bytes(frame);
        assert_eq!(stage.mallory.hear_goodbye(), code);
        stage.payee.pays_as_before();
        stage.mallory.connect();
    }
    stage.mallory.say_text("{\"update\": 1}");
    assert_eq!(stage.mallory.hear_goodbye(), Code::MalformedFrame);
    stage.mallory.connect();
    stage.mallory.hang_up_in_the_middle_of(&whole);
    stage.mallory.connect();
    stage.mallory.say(&Message::Update(update));
    assert_eq!(stage.mallory.answer_to(seq), Ok(seq), "nothing was lost");
    stage.all_is_as_before(16);
}

#[test]
fn a_key_signs_in_with_its_own_signature_over_this_challenge() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    stage.mallory.hang_up();
    stage.mallory.dial();
    stage.mallory.hear("the hub's greeting", |message| matches!(message, Message::Hello(_)));
    stage.mallory.sign_in(Hash([1; 32]));
    assert_eq!(stage.mallory.hear_goodbye(), Code::BadSignIn);
    stage.mallory.connect();
    stage.all_is_as_before(17);
}

#[test]
fn a_channel_is_out_of_reach_of_those_who_are_not_signed_in_for_it() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let secret = Secret([8; 32]);
    let add = stage.mallory.add(anchor(secret), stage.payee.public(), Amount(1_000));
    assert!(stage.mallory.offer(&[add]).is_ok());
    let id = stage.payee.hear_lock(anchor(secret));
    // Mallory speaks for the payee's channel: takes it over, spends from it, gives its lock up.
    let channel = stage.payee.channel.id();
    let (own, yours) = stage.payee.channel.snapshot_refs();
    stage.mallory.say(&Message::Sync { channel, own, yours, tip: None });
    assert_eq!(stage.mallory.answer_to(0), Err(Code::NotSignedIn));
    let theirs = stage.payee.forge(vec![RawWallet::op_pay(1)], |_| {});
    assert_eq!(stage.mallory.refused(theirs), Code::NotSignedIn);
    stage.mallory.say(&Message::Fail { channel, id, code: Code::RefusedByPayee });
    stage.mallory.say(&Message::Reveal { channel, id, secret: Secret([9; 32]) });
    stage.mallory.pays_as_before();
    // The payee has not noticed.
    stage.payee.reveal(id, secret);
    stage.mallory.hear("the secret", |m| matches!(m, Message::Reveal { .. }));
    assert!(stage.mallory.offer(&[]).is_ok());
    stage.payee.hear_settled(id);
    stage.all_is_as_before(18);
}
