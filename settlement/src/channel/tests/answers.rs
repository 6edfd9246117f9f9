//! Secrets and failures: which are taken, which are ignored, and which are never given.

use super::pair::{HUB, Pair, START, WALLET, add, secret};
use crate::block::LedgerEvent;
use crate::channel::{Answer, Channel, Effect, Step};
use crate::reject::Code;
use crate::types::{Amount, Height, Secret};

fn with_lock() -> Pair {
    let mut pair = Pair::new();
    assert_eq!(pair.send(WALLET, &[add(1, 10)]), 1);
    pair
}

#[test]
fn a_revealed_lock_is_settled_by_the_next_update() {
    let mut pair = with_lock();
    pair.reveal(HUB, 1, &secret(1, 1, 1));
    pair.quiet();
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(10), Amount(0)));
    assert!(pair.wallet.gone().is_empty());
    assert!(pair.wallet.channel.outgoing().standing.is_empty(), "what is paid is not remembered");
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(false));
}

/// ⚔ A lock whose secret was shown, or has become known, is never given up.
#[test]
fn a_lock_whose_secret_is_known_is_never_failed() {
    let mut pair = with_lock();
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    assert_eq!(pair.hub.channel.fail(1, Code::RefusedByPayee), Err(Code::NothingToDo));
}

#[test]
fn a_failed_lock_can_be_failed_once_and_still_be_revealed() {
    let mut pair = with_lock();
    pair.fail(HUB, 1);
    assert_eq!(pair.hub.channel.fail(1, Code::Expired), Err(Code::NothingToDo));
    assert!(!pair.wallet.hear_fail(1, Code::Expired), "the first answer stays");
    // Passing on a secret that comes to be known is always right.
    pair.reveal(HUB, 1, &secret(1, 1, 1));
    pair.quiet();
    assert_eq!(pair.hub.channel.received(), Amount(10));
}

#[test]
fn a_fail_after_the_secret_is_ignored() {
    let mut pair = with_lock();
    pair.wallet.hear_reveal(1, &secret(1, 1, 1)).unwrap();
    assert!(!pair.wallet.hear_fail(1, Code::RefusedByPayee));
}

#[test]
fn a_secret_for_no_lock_is_ignored_and_one_that_does_not_fit_is_told() {
    let mut pair = with_lock();
    assert_eq!(pair.wallet.hear_reveal(2, &secret(1, 1, 1)), Ok(false));
    assert_eq!(pair.wallet.hear_reveal(1, &Secret([0; 32])), Err(Code::SecretMismatch));
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(true));
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(false), "again");
    assert_eq!(pair.hub.channel.reveal(2, &secret(1, 1, 1)), Err(Code::UnknownLock));
    assert_eq!(pair.hub.channel.reveal(1, &Secret([0; 32])), Err(Code::SecretMismatch));
    assert_eq!(pair.hub.channel.fail(2, Code::Expired), Err(Code::UnknownLock));
}

/// ⚔ A Reveal for a lock that is gone is ignored.
#[test]
fn a_reveal_for_a_gone_lock_is_ignored() {
    let mut pair = with_lock();
    pair.fail(HUB, 1);
    pair.quiet();
    assert_eq!(pair.wallet.gone(), [1]);
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(false));
    assert_eq!(pair.wallet.hear_reveal(1, &Secret([0; 32])), Ok(false), "even one that never fit");
}

/// ⚔ A secret that comes at or after the lock's expiry is ignored: the money is back already.
#[test]
fn a_reveal_for_an_expired_lock_is_ignored() {
    let mut pair = with_lock();
    pair.at(START + 450);
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(false));
    pair.wallet.expire();
    assert_eq!(pair.wallet.gone(), [1]);
    pair.wallet.view.height = Height(START);
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(false), "an older view, too");
}

/// What is back stays back: a claim that comes too late on the ledger is no second answer.
#[test]
fn a_claim_shown_after_the_money_is_back_changes_nothing() {
    let mut pair = with_lock();
    pair.at(START + 450);
    pair.wallet.expire();
    let (channel, from) = (pair.id(), WALLET);
    let secret = secret(1, 1, 1);
    let late = LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 0 };
    pair.wallet.follow(&late);
    let learned = |effect: &Effect| matches!(effect, Effect::SecretLearned { .. });
    assert!(!pair.wallet.effects.iter().any(learned));
    assert_eq!(
        pair.wallet.channel.outgoing().standing.get(&1).unwrap().answer,
        Some(Answer::Expired)
    );
}

/// Both sides learn secrets from claims on the ledger, for their own direction alone.
#[test]
fn a_claim_on_the_ledger_teaches_its_secret() {
    let mut pair = with_lock();
    let secret = secret(1, 1, 1);
    let (channel, from) = (pair.id(), WALLET);
    pair.wallet.follow(&LedgerEvent::ClaimShown { channel, from: HUB, id: 1, secret, steps: 1 });
    assert_eq!(pair.wallet.channel.outgoing().standing.get(&1).unwrap().answer, None);
    pair.wallet.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 1 });
    assert!(pair.wallet.effects.contains(&Effect::SecretLearned { id: 1, secret }));
}

/// ⚔ A stale view refunds nothing.
#[test]
fn a_stale_view_refunds_nothing() {
    let mut pair = with_lock();
    pair.at(START + 10_000);
    pair.wallet.view.fresh = false;
    assert_eq!(pair.wallet.expire(), 0);
    assert!(!pair.wallet.channel.has_due_changes(&pair.wallet.now()));
    pair.wallet.view.fresh = true;
    assert_eq!(pair.wallet.expire(), 1);
    assert_eq!(pair.wallet.expire(), 0, "once");
}

/// A secret that is known stays so past the expiry: who has paid on is owed.
#[test]
fn a_lock_whose_secret_is_known_does_not_expire() {
    let mut pair = with_lock();
    pair.reveal(HUB, 1, &secret(1, 1, 1));
    pair.at(START + 10_000);
    assert_eq!(pair.wallet.expire(), 0);
    pair.quiet();
    assert_eq!(pair.hub.channel.received(), Amount(10));
}

/// The secret of a lock in an update that was refused, yet kept, is learned all the same.
#[test]
fn a_secret_for_a_refused_lock_is_learned() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[add(1, 10)]);
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 1, 1)), Ok(true));
    pair.quiet();
    assert!(pair.wallet.gone().is_empty(), "its money is not back: the secret is out");
}

/// The acknowledgment was lost, or comes later: who answers a lock has taken the update that adds it.
#[test]
fn an_answer_to_a_lock_says_that_its_update_was_taken() {
    let known = |id| Answer::Known { secret: secret(id, 1, 1), steps: 1 };
    for answer in [known(2), Answer::Failed(Code::RefusedByPayee)] {
        let mut pair = with_lock();
        pair.wallet.propose(&[add(2, 10)]);
        let update = pair.wallet.update();
        let says = |channel: &Channel, id, answer| {
            channel.acknowledged_by(&Step::PeerAnswered { id, answer })
        };
        let channel = &pair.wallet.channel;
        assert_eq!(says(channel, 1, known(1)), None, "that one was accepted before");
        assert_eq!(says(channel, 3, answer), None, "there is none");
        let acked = Step::Acked { seq: 2 };
        assert_eq!(says(channel, 2, answer), Some(acked.clone()));
        let suspended = channel.suspend(Code::SecretMismatch);
        assert_eq!(channel.acknowledged_by(&suspended), None);

        pair.hub.receive(update).unwrap();
        pair.wallet.commit(acked);
        pair.wallet.commit(Step::PeerAnswered { id: 2, answer });
        assert_eq!(says(&pair.wallet.channel, 2, answer), None, "nothing is in flight");
        assert!(pair.wallet.channel.outgoing().accepted.lock(2).is_some());
        pair.quiet();
    }
}

/// The update comes twice: the first is refused, the second taken and answered, and then forgotten.
#[test]
fn an_answer_to_a_lock_wins_over_a_refusal_as_an_ack_does() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[add(1, 10)]);
    let update = pair.wallet.update();
    let before = pair.hub.channel.clone();
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    pair.hub.receive(update).unwrap();
    let found = pair.wallet.channel.check_reveal(1, &secret(1, 1, 1), &pair.wallet.now());
    let answer = found.unwrap().unwrap();
    let acked = pair.wallet.channel.acknowledged_by(&answer);
    acked.into_iter().chain([answer]).for_each(|step| drop(pair.wallet.commit(step)));
    pair.hub.channel = before;
    let (hubs, held) = pair.hub.channel.snapshot_refs();
    assert!(pair.wallet.channel.check_sync(&hubs, &held).show, "it is shown what it has forgotten");
}

/// What was done about it is to be found out: until then nothing is, and then anything may be.
#[test]
fn a_lock_that_is_held_is_not_answered_and_can_be() {
    for learned in [false, true] {
        let mut pair = with_lock();
        let step = pair.hub.channel.hold(1).unwrap();
        pair.hub.commit(step);
        assert_eq!(pair.hub.channel.hold(1), None, "once");
        let step = if learned {
            pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap()
        } else {
            pair.hub.channel.fail(1, Code::PayeeOffline).unwrap()
        };
        pair.hub.commit(step);
        assert_eq!(pair.hub.channel.hold(1), None, "it is answered");
    }
    assert_eq!(with_lock().hub.channel.hold(2), None);
}
