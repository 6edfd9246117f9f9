//! Meeting again after messages, or the state of one side, were lost.

use super::pair::{HUB, Pair, START, WALLET, add, pay, secret, stream};
use crate::block::LedgerEvent;
use crate::channel::{Effect, Step};
use crate::proof::SnapshotRef;
use crate::reject::Code;
use crate::types::{Amount, Hash, Role};

#[track_caller]
fn assert_met(pair: &mut Pair) {
    for outcome in pair.meet() {
        assert_eq!(outcome.lost, None);
    }
    assert_eq!((pair.wallet.channel.suspended(), pair.hub.channel.suspended()), (None, None));
}

/// The side that has all its state finds out, and suspends the channel.
#[track_caller]
fn assert_found_out(pair: &mut Pair, by: Role) {
    let [wallet, hub] = pair.meet();
    let outcome = if by == WALLET { wallet } else { hub };
    assert_eq!(outcome.lost, Some(Code::StateLost));
    assert_eq!(pair.of(by).channel.suspended(), Some(Code::StateLost));
}

#[test]
fn with_nothing_lost_nothing_changes() {
    let mut pair = Pair::new();
    assert_met(&mut pair);
    pair.send(WALLET, &[pay(1)]);
    pair.send(HUB, &[pay(1)]);
    assert_met(&mut pair);
    assert!(pair.wallet.channel.to_resend().is_empty());
}

#[test]
fn a_lost_ack_is_made_good() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(5)]);
    let update = pair.wallet.update();
    pair.hub.receive(update).unwrap();
    assert_met(&mut pair);
    assert_eq!(pair.wallet.channel.outgoing().accepted.transferred, Amount(5));
    assert!(pair.wallet.channel.to_resend().is_empty());
}

#[test]
fn a_lost_update_is_sent_again() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(5)]);
    let before = pair.wallet.update();
    assert_met(&mut pair);
    assert_eq!(pair.wallet.channel.to_resend(), [Effect::SendUpdate]);
    assert_eq!(pair.wallet.update(), before, "the very same one: its seq is spent");
    pair.deliver(WALLET).unwrap();
}

/// The update was refused, came again, was taken then, and that answer was lost: the sender shows
/// what it has signed, not what it believes to be accepted, so that nobody seems to have lost state.
#[test]
fn a_lost_ack_after_a_reject_is_made_good() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(5)]);
    let update = pair.wallet.update();
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    pair.hub.receive(update).unwrap();
    assert_met(&mut pair);
    assert_eq!(pair.wallet.channel.outgoing().accepted.transferred, Amount(5));
    pair.quiet();
    pair.send(WALLET, &[pay(1)]);
}

#[test]
fn lost_secrets_and_failures_are_said_again() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10), stream(2, 1, 8, START + 300), add(3, 10)]);
    let secrets = [(1, secret(1, 1, 1)), (2, secret(2, 8, 3))];
    for (id, secret) in &secrets {
        let step = pair.hub.channel.reveal(*id, secret).unwrap().unwrap();
        pair.hub.commit(step);
    }
    let step = pair.hub.channel.fail(3, Code::UnknownInvoice).unwrap();
    pair.hub.commit(step);
    assert_met(&mut pair);
    let again = pair.hub.channel.to_resend();
    let expected = [
        Effect::SendReveal { id: 1, secret: secrets[0].1 },
        Effect::SendReveal { id: 2, secret: secrets[1].1 },
        Effect::SendFail { id: 3, code: Code::UnknownInvoice },
    ];
    assert_eq!(again, expected);
    for _ in 0..2 {
        pair.wallet.hear_reveal(1, &secrets[0].1).unwrap();
        pair.wallet.hear_reveal(2, &secrets[1].1).unwrap();
        pair.wallet.hear_fail(3, Code::UnknownInvoice);
    }
    pair.quiet();
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(13), Amount(5)));
    assert!(pair.hub.channel.to_resend().is_empty());
}

#[test]
fn a_suspended_channel_goes_on_after_meeting() {
    let mut pair = Pair::new();
    let step = pair.hub.channel.suspend(Code::SecretMismatch);
    pair.hub.commit(step);
    assert!(pair.hub.propose(&[pay(1)])[0].is_err());
    assert_met(&mut pair);
    pair.send(HUB, &[pay(1)]);
}

/// Each side in turn comes back with an older state of its own.
#[test]
fn a_side_that_lost_state_is_found_out() {
    for role in [WALLET, HUB] {
        for payer in [WALLET, HUB] {
            let mut pair = Pair::new();
            pair.send(payer, &[pay(1)]);
            let backup = pair.of(role).channel.clone();
            pair.send(payer, &[pay(1)]);
            pair.of(role).channel = backup;
            assert_found_out(&mut pair, role.other());
        }
    }
}

/// A fork of the same length is told by its digest.
#[test]
fn another_proof_of_the_same_seq_is_a_lost_state() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(1)]);
    let (own, yours) = pair.wallet.channel.snapshot_refs();
    let forged = SnapshotRef { digest: Hash([1; 32]), ..own };
    assert_eq!(pair.hub.channel.check_sync(&forged, &yours).lost, Some(Code::StateLost));
    assert_eq!(pair.wallet.channel.check_sync(&yours, &forged).lost, Some(Code::StateLost));
}

/// A receiver that shows an update which was refused long ago, and overtaken, has lost state.
#[test]
fn showing_an_overtaken_update_is_a_lost_state() {
    let mut pair = Pair::new();
    pair.wallet.propose(&[pay(100)]);
    let refused = SnapshotRef::of(&pair.wallet.update().proof.value);
    pair.wallet.commit(Step::Rejected { seq: 1, code: Code::StaleView });
    pair.wallet.propose(&[]);
    pair.wallet.commit(Step::Acked { seq: 2 });
    let outcome = pair.wallet.channel.check_sync(&SnapshotRef::NONE, &refused);
    assert_eq!(outcome.lost, Some(Code::StateLost));
}

/// A side with nothing but the ledger's events stays on its feet, and agrees to nothing.
#[test]
fn a_side_that_knows_only_the_ledger_is_suspended_not_stopped() {
    let mut pair = Pair::new();
    let withdrawn =
        LedgerEvent::Withdrawn { channel: pair.id(), role: WALLET, total: Amount(2_000_000) };
    pair.wallet.follow(&withdrawn);
    assert_eq!(pair.wallet.channel.suspended(), Some(Code::StateLost));
    let outcome = pair.wallet.channel.check_sync(&SnapshotRef::NONE, &SnapshotRef::NONE);
    assert_eq!(outcome.lost, Some(Code::StateLost), "nobody can tell it that all is well");
    assert!(pair.wallet.propose(&[pay(1)])[0].is_err());
}

/// What was shown before the newest updates, in either direction, is less than what is held.
#[test]
fn what_was_shown_before_the_newest_updates_is_less() {
    for sender in [WALLET, HUB] {
        let mut pair = Pair::new();
        pair.send(WALLET, &[pay(1)]);
        pair.send(HUB, &[pay(1)]);
        let (hubs, wallets) = pair.hub.channel.snapshot_refs();
        let less = |pair: &Pair| pair.wallet.channel.is_shown_less(&hubs, &wallets);
        assert!(!less(&pair));
        pair.of(sender).propose(&[pay(1)]);
        assert!(!less(&pair), "the update may not have come");
        pair.deliver(sender).unwrap();
        assert!(less(&pair), "{sender:?}");
        let (hubs, wallets) = pair.hub.channel.snapshot_refs();
        assert!(!pair.wallet.channel.is_shown_less(&hubs, &wallets));
    }
}
