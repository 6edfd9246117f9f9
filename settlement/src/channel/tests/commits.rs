//! What a step leaves behind, what it tells, and the steps that are never made.

use super::drafts::{add_op, draft, lock, pay_op};
use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, add, pay, secret};
use crate::block::LedgerEvent;
use crate::channel::{Effect, Received, Step, VerifiedUpdate};
use crate::crypto::{BatchCache, VerifyingKey};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::Amount;
use crate::update::{Op, Update};

#[test]
fn nothing_is_kept_of_a_lock_that_is_paid_in_full() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10)]);
    assert!(pair.hub.channel.incoming().locks.get(&1).is_some());
    pair.reveal(HUB, 1, &secret(1, 1, 1));
    pair.quiet();
    assert!(pair.hub.channel.incoming().locks.get(&1).is_none());
}

#[test]
fn what_the_ledger_does_is_told_if_it_changes_the_phase() {
    let told = |pair: &Pair| {
        pair.hub.effects.iter().filter(|effect| **effect == Effect::PhaseChanged).count()
    };
    let mut pair = Pair::new();
    let total = Amount(2 * DEPOSIT);
    let deposited = LedgerEvent::Deposited { channel: pair.id(), role: HUB, total };
    pair.hub.follow(&deposited);
    assert_eq!(told(&pair), 0);
    pair.close_seen(WALLET);
    assert_eq!(told(&pair), 1);
}

/// A receiver whose view was behind is not asked later and later once it has dropped a lock.
#[test]
fn a_drop_that_is_taken_ends_the_count_of_those_that_were_not() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10)]);
    let expiry = pair.wallet.channel.outgoing().accepted.locks[0].expiry.0;
    pair.wallet.view.height.0 = expiry + 2 * LAG;
    assert_eq!(pair.wallet.expire(), 1);
    pair.wallet.propose(&[]);
    assert_eq!(pair.deliver(WALLET), Err(Code::DropNotAllowed));
    assert_eq!(pair.wallet.channel.outgoing().drops_refused, 1);
    pair.at(expiry + 8 * LAG);
    pair.quiet();
    assert_eq!(pair.hub.channel.locked(), Amount(0));
    assert_eq!(pair.wallet.channel.outgoing().drops_refused, 0);
}

/// The hub commits an update of the wallet's whose proof was changed after it had been checked.
fn commit_changed(change: impl FnOnce(&mut BalanceProof)) {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(5), add(1, 10)]);
    let update = draft(&mut pair, WALLET, vec![pay_op(1)]).sign(&pair.wallet);
    let wallet = VerifyingKey::parse(pair.hub.channel.peer_key()).unwrap();
    let update = VerifiedUpdate::check(update, &wallet, &mut BatchCache::new(0)).unwrap();
    let Ok(Received::New(mut step)) = pair.hub.channel.check_update(&update, &pair.hub.now())
    else {
        panic!("it is right before it is changed")
    };
    let Step::Received(received) = &mut step else { panic!("it is received") };
    change(&mut received.proof.value);
    pair.hub.commit(step);
}

#[test]
fn an_update_spends_if_it_pays_or_locks() {
    let mut pair = Pair::new();
    let (pays, locks, drops) = (pay_op(1), add_op(lock(1)), Op::Drop { id: 1 });
    for (ops, spends) in [
        (vec![], false),
        (vec![drops.clone()], false),
        (vec![pays.clone()], true),
        (vec![locks.clone()], true),
        (vec![drops, locks, pays], true),
    ] {
        let update = draft(&mut pair, WALLET, vec![pay_op(1)]).sign(&pair.wallet);
        let update = Update { ops: ops.clone(), ..update };
        let wallet = VerifyingKey::parse(pair.hub.channel.peer_key()).unwrap();
        let update = VerifiedUpdate::check(update, &wallet, &mut BatchCache::new(0)).unwrap();
        assert_eq!((update.ops(), update.spends()), (ops.as_slice(), spends));
    }
}

#[test]
fn what_was_checked_is_made() {
    commit_changed(|_| ());
}

#[test]
#[should_panic = "the tally is not what the proof says"]
fn a_step_whose_proof_says_another_sum_is_never_made() {
    commit_changed(|proof| proof.transferred = Amount(7));
}

#[test]
#[should_panic = "the tally is not what the proof says"]
fn a_step_whose_proof_says_other_locks_is_never_made() {
    commit_changed(|proof| proof.locked = Amount(11));
}

#[test]
#[should_panic = "a side is overdrawn"]
fn a_step_that_overdraws_a_side_is_never_made() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(DEPOSIT - 1)]);
    let Some(Step::Sent(flight)) = pair.wallet.journal.last().cloned() else {
        panic!("an update was made")
    };
    let mut flight = (*flight).clone();
    flight.after.transferred = Amount(DEPOSIT + 1);
    flight.proof.transferred = Amount(DEPOSIT + 1);
    let mut poor = Pair::new();
    assert_eq!(poor.wallet.view.height.0, START);
    poor.wallet.commit(Step::Sent(flight.into()));
}

#[test]
fn all_that_is_free_can_be_spent_and_no_more() {
    let mut pair = Pair::new();
    assert_eq!(pair.wallet.propose(&[pay(DEPOSIT + 1)]), [Err(Code::Overdraft)]);
    pair.send(WALLET, &[pay(DEPOSIT)]);
    assert_eq!(pair.hub.channel.received(), Amount(DEPOSIT));
}
