//! Answers to updates: acks, rejects, both, and how many may be missing.

use super::drafts::{add_op, lock, try_ops};
use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, add, pay, stream};
use crate::channel::{
    ACKNOWLEDGE_AFTER, Effect, NewOp, REFUSED_MAX, REFUSED_WAIT, Step, UNACKNOWLEDGED_MAX,
};
use crate::reject::Code;
use crate::types::{Amount, Height};

/// ⚔ The very same update again gets its Ack again, even after a close was seen.
#[test]
fn the_very_same_update_again_gets_its_ack_again() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(7)]);
    let update = pair.wallet.update();
    for _ in 0..2 {
        pair.hub.receive(update.clone()).unwrap();
        assert_eq!(pair.hub.channel.received(), Amount(7));
    }
    assert_eq!(pair.hub.journal.len(), 1, "nothing new was recorded");
    pair.close_seen(HUB);
    assert_eq!(pair.hub.receive(update), Ok(()));
}

/// ⚔ An Ack that comes after a Reject for the same seq wins, and what was re-issued is withdrawn.
#[test]
fn an_ack_after_a_reject_wins_and_what_was_issued_again_is_withdrawn() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(100), add(1, 10)]);
    let first = pair.wallet.update();
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    pair.wallet.propose(&[]);
    let second = pair.wallet.update();
    assert_eq!(second.proof.value.seq, 2, "a refused seq is spent");

    pair.hub.receive(first).unwrap();
    let effects = pair.wallet.commit(Step::Acked { seq: 1 });
    assert!(matches!(&effects[..], [Effect::Accepted { changes }] if changes.len() == 2));
    let out = pair.wallet.channel.outgoing();
    assert_eq!((out.accepted.seq, out.accepted.transferred), (1, Amount(100)));
    assert!(out.in_flight.is_none());
    assert_eq!(pair.hub.receive(second), Err(Code::BaseMismatch));
    // Withdrawn: the hub can't acknowledge it any more.
    let mut withdrawn = super::drafts::draft(&mut pair, HUB, vec![]);
    (withdrawn.proof.peer_seq, withdrawn.proof.peer_transferred) = (2, Amount(0));
    let answer = super::drafts::answer(&mut pair, HUB, withdrawn);
    assert_eq!(answer, Err(Code::UnknownAcknowledgment));
    pair.wallet.commit(Step::Rejected { seq: 2, code: Code::BaseMismatch });

    pair.quiet();
    pair.send(WALLET, &[pay(1)]);
    assert_eq!(pair.hub.channel.received(), Amount(101));
}

/// ⚔ A Reject that comes after the Ack for the same seq changes nothing.
#[test]
fn a_reject_after_an_ack_is_ignored() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(100)]);
    let before = pair.wallet.channel.clone();
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    assert_eq!(pair.wallet.channel, before);
}

/// An honest side accepts only one of two updates with one base: who acknowledges both lies, and
/// must not make the total fall back to the other one's.
#[test]
fn of_two_updates_on_one_base_only_the_first_ack_counts() {
    for [winner, loser] in [[1, 2], [2, 1]] {
        let mut pair = Pair::new();
        pair.wallet.propose(&[pay(100)]);
        pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
        pair.wallet.propose(&[pay(10)]);
        assert!(pair.wallet.channel.outgoing().in_flight.is_some());
        pair.wallet.commit(Step::Acked { seq: winner });
        let before = pair.wallet.channel.clone();
        pair.wallet.commit(Step::Acked { seq: loser });
        assert_eq!(pair.wallet.channel, before, "{winner} then {loser}");
    }
}

#[test]
fn an_ack_for_what_was_never_sent_is_ignored() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(1)]);
    let before = pair.wallet.channel.clone();
    for seq in [0, 2, u64::MAX] {
        pair.wallet.commit(Step::Acked { seq });
        pair.wallet.commit(Step::Rejected { seq, code: Code::StaleView });
    }
    assert_eq!(pair.wallet.channel, before);
}

#[test]
fn an_acknowledgment_in_a_proof_answers_the_update_in_flight() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(3)]);
    let update = pair.wallet.update();
    pair.hub.receive(update).unwrap();
    pair.hub.propose(&[pay(4)]);
    pair.deliver(HUB).unwrap();
    let out = pair.wallet.channel.outgoing();
    assert_eq!((out.accepted.transferred, out.unacknowledged()), (Amount(3), 0));
    assert!(out.in_flight.is_none());
}

/// ⚔ A lock's id is never used again, not after a rejection either.
#[test]
fn a_lock_id_is_never_used_again_after_a_rejection() {
    let mut pair = Pair::new();
    assert_eq!(pair.wallet.propose(&[add(1, 5), add(2, 5)]), [Ok(1), Ok(2)]);
    pair.hub.view.fresh = false;
    assert_eq!(pair.deliver(WALLET), Err(Code::StaleView));
    pair.hub.view.fresh = true;
    pair.quiet();
    assert_eq!(pair.wallet.propose(&[add(3, 5)]), [Ok(3)]);
}

/// ⚔ With 1,024 unacknowledged proofs only updates without operations are made, one at a time; a
/// side that has more than 512 to acknowledge owes one; then all goes on.
#[test]
fn with_1024_unacknowledged_only_plain_updates_are_made() {
    let mut pair = Pair::new();
    for sent in 1..=UNACKNOWLEDGED_MAX as u32 {
        pair.send(WALLET, &[pay(1)]);
        assert_eq!(pair.hub.channel.owes_plain_update(), sent > ACKNOWLEDGE_AFTER, "{sent}");
    }
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Err(Code::TooManyUnacknowledged)]);
    assert!(pair.wallet.channel.outgoing().in_flight.is_none());
    pair.acknowledge(WALLET);
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Err(Code::TooManyUnacknowledged)]);
    pair.quiet();
    assert!(!pair.hub.channel.owes_plain_update());
    pair.send(WALLET, &[pay(1)]);
    assert_eq!(pair.hub.channel.received().0, UNACKNOWLEDGED_MAX as u64 + 1);
}

/// ⚔ What is remembered of proofs that nobody acknowledges is bounded: plain updates end, too.
#[test]
fn a_side_that_is_never_acknowledged_stops() {
    let mut pair = Pair::new();
    for _ in 0..4 * UNACKNOWLEDGED_MAX as u64 {
        let Some(step) = pair.wallet.channel.acknowledge() else { break };
        let Step::Sent(flight) = &step else { unreachable!() };
        let seq = flight.proof.seq;
        pair.wallet.commit(step);
        pair.wallet.commit(Step::Acked { seq });
    }
    assert_eq!(pair.wallet.channel.outgoing().sent.len(), 2 * UNACKNOWLEDGED_MAX);
    assert!(pair.wallet.channel.propose(&[], &pair.wallet.now()).step.is_none());
}

/// ⚔ Two busy sides, whose updates always cross, never block each other.
#[test]
fn two_busy_sides_never_block_each_other() {
    let mut pair = Pair::new();
    for round in 1..=(UNACKNOWLEDGED_MAX as u64 / 2) {
        for role in [WALLET, HUB] {
            assert_eq!(pair.of(role).propose(&[pay(1)]), [Ok(0)], "round {round}");
        }
        let updates = [pair.wallet.update(), pair.hub.update()];
        assert_eq!(pair.hub.receive(updates[0].clone()), Ok(()));
        assert_eq!(pair.wallet.receive(updates[1].clone()), Ok(()));
        pair.wallet.commit(Step::Acked { seq: round });
        pair.hub.commit(Step::Acked { seq: round });
    }
    pair.quiet();
    assert_eq!(pair.wallet.channel.balance(WALLET), Amount(DEPOSIT));
}

/// What waits while an update is unanswered travels in the next one.
#[test]
fn one_update_is_unanswered_at_a_time() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(1)]);
    assert_eq!(pair.wallet.propose(&[pay(2)]), [Err(Code::TooManyUnacknowledged)]);
    assert!(pair.wallet.channel.acknowledge().is_none());
    pair.deliver(WALLET).unwrap();
    pair.send(WALLET, &[pay(2)]);
}

/// The money of a refused lock comes back by two updates without operations, and then all is quiet.
#[test]
fn a_refused_update_is_retired_without_being_asked_for() {
    let mut pair = Pair::new();
    pair.hub.view.fresh = false;
    pair.wallet.propose(&[add(1, 5)]);
    assert!(pair.deliver(WALLET).is_err());
    assert!(pair.wallet.gone().is_empty(), "the hub may have kept it");
    pair.quiet();
    assert_eq!(pair.wallet.gone(), [1]);
    assert!(pair.wallet.channel.outgoing().refused.is_empty());
}

/// A refusal is not answered by the same again at once, but by an update without operations.
#[test]
fn the_update_after_a_refused_one_is_plain() {
    let mut pair = Pair::new();
    pair.hub.view.fresh = false;
    pair.wallet.propose(&[add(1, 5)]);
    assert!(pair.deliver(WALLET).is_err());
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Err(Code::TooManyUnacknowledged)]);
    assert!(pair.wallet.update().ops.is_empty());
    pair.deliver(WALLET).unwrap();
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Ok(0)]);
}

/// A side whose view stands still refuses the drop of an expired lock. That is neither a reason to
/// suspend the channel nor to ask again at once, for ever.
#[test]
fn a_drop_that_a_slower_view_refuses_is_tried_again_later() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 5)]);
    for passed in 0..40 * LAG {
        pair.wallet.view.height = Height(START + 450 + passed);
        pair.wallet.expire();
        pair.quiet();
    }
    assert_eq!(pair.wallet.channel.suspended(), None);
    assert!(pair.wallet.journal.len() < 300, "{} steps", pair.wallet.journal.len());
    pair.at(START + 450 + 80 * LAG);
    pair.quiet();
    assert_eq!(pair.hub.channel.locked(), Amount(0));
}

/// A side that takes nothing for a while, and signs nothing either, is asked for less than suspends the channel.
#[test]
fn what_is_wanted_waits_while_many_refused_updates_are_not_retired() {
    let mut pair = Pair::new();
    for refused in 0..REFUSED_WAIT {
        assert_eq!(pair.wallet.propose(&[pay(1)]), [Ok(0)], "{refused} refused");
        let seq = pair.wallet.channel.outgoing().last_seq;
        pair.wallet.commit(Step::Rejected { seq, code: Code::StaleView });
        pair.wallet.propose(&[]);
        pair.deliver(WALLET).unwrap();
    }
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Err(Code::TooManyUnacknowledged)]);
    assert_eq!(pair.wallet.channel.suspended(), None);
    pair.hub.propose(&[]);
    pair.deliver(HUB).unwrap();
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Ok(0)]);
}

/// A side that takes nothing suspends the channel instead of being asked for ever, and what is kept
/// of the refused updates is bounded.
#[test]
fn a_side_that_refuses_everything_suspends_the_channel() {
    let mut pair = Pair::new();
    let refuse = |pair: &mut Pair| {
        let mut times = 0;
        loop {
            pair.wallet.propose(&[pay(1)]);
            let Some(flight) = &pair.wallet.channel.outgoing().in_flight else { return times };
            let seq = flight.proof.seq;
            pair.wallet.commit(Step::Rejected { seq, code: Code::Overdraft });
            times += 1;
        }
    };
    assert_eq!(refuse(&mut pair), REFUSED_MAX);
    assert_eq!(pair.wallet.channel.suspended(), Some(Code::Overdraft));
    for _ in 0..REFUSED_MAX {
        pair.wallet.commit(Step::Resumed);
        refuse(&mut pair);
    }
    assert_eq!(pair.wallet.channel.outgoing().refused.len(), REFUSED_MAX);
}

/// An update always fits into a frame, whatever is wanted.
#[test]
fn what_does_not_fit_into_a_frame_waits_for_the_next_update() {
    let mut pair = Pair::new();
    let memo = crate::update::Memo::new(vec![1; 256]).unwrap();
    let large = NewOp::Pay { amount: Amount(1), memo };
    let outcomes = pair.wallet.propose(&vec![large; 1_024]);
    assert!(outcomes.contains(&Err(Code::TooManyUnacknowledged)));
    assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() > 800);
    let frame = crate::wire::Message::Update(pair.wallet.update()).to_frame();
    assert!(frame.len() <= crate::wire::FRAME_MAX, "{} bytes", frame.len());
    pair.deliver(WALLET).unwrap();
}

/// More than an update takes waits, too.
#[test]
fn more_operations_than_an_update_takes_wait_for_the_next_one() {
    let mut pair = Pair::new();
    let outcomes = pair.wallet.propose(&vec![pay(1); 1_030]);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1_024);
    pair.deliver(WALLET).unwrap();
}

/// ⚔ Nothing is made or accepted once a close was sent off by oneself, or seen.
#[test]
fn no_update_is_made_or_accepted_after_a_close_is_sent_or_seen() {
    for seen in [false, true] {
        let mut pair = Pair::new();
        pair.send(WALLET, &[pay(1)]);
        if seen {
            pair.close_seen(WALLET);
        } else {
            pair.hub.commit(Step::Closing);
        }
        assert_eq!(pair.hub.propose(&[pay(1)]), [Err(Code::ChannelNotOpen)]);
        assert!(pair.hub.channel.acknowledge().is_none());
        assert!(pair.hub.channel.outgoing().in_flight.is_none());
        assert_eq!(try_ops(&mut pair, WALLET, vec![]), Err(Code::ChannelNotOpen));
        assert_eq!(try_ops(&mut pair, WALLET, vec![add_op(lock(1))]), Err(Code::ChannelNotOpen));
    }
}

/// ⚔ Without a fresh view no lock is added; a direct payment is.
#[test]
fn a_stale_view_adds_no_lock() {
    let mut pair = Pair::new();
    pair.wallet.view.fresh = false;
    let outcomes = pair.wallet.propose(&[add(1, 5), stream(2, 1, 4, START + 99), pay(1)]);
    assert_eq!(outcomes, [Err(Code::StaleView), Err(Code::StaleView), Ok(0)]);
}
