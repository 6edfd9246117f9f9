//! What a side that lost state must not take, and what it does with what it took.

use super::pair::{HUB, Pair, START, WALLET, add, pay, secret, stream};
use super::recover::history;
use crate::block::LedgerEvent;
use crate::channel::{Adoption, Answer, Effect, Taken, TakenLock, VerifiedSnapshot};
use crate::crypto::{Signed, VerifyingKey};
use crate::lock::locks_root;
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Height, Salt};
use crate::update::{Destination, Payload};

type Change = fn(&mut BalanceProof);

/// Neither proof may acknowledge more of the other direction than is shown of it.
#[test]
fn a_poisoned_or_stale_snapshot_is_closed_on() {
    for lost in [WALLET, HUB] {
        let liar = lost.other();
        let cases: [(&str, Change); 4] = [
            ("more transferred than was shown", |p| p.peer_transferred.0 += 1),
            ("a later proof than was shown", |p| p.peer_seq += 9),
            ("more than it has", |p| p.transferred.0 += 10_000_000),
            ("an older proof than was acknowledged", |p| p.seq = 1),
        ];
        for (what, change) in cases {
            let mut pair = Pair::new();
            let nothing = pair.of(lost).channel.clone();
            history(&mut pair, 3);
            pair.acknowledge(lost);
            let mut shown = pair.shown_by(liar);
            let poisoned = pair.forged(liar, change);
            shown.retain(|shown| shown.proof().from != liar);
            shown.push(poisoned);
            pair.of(lost).channel = nothing;
            assert_eq!(pair.judge(lost, &shown), Adoption::Close, "{what}");
        }
    }
}

/// One direction is shown, and the other one, which it acknowledges, is not.
#[test]
fn half_of_what_was_agreed_is_closed_on() {
    for lost in [WALLET, HUB] {
        for kept_back in [WALLET, HUB] {
            let mut pair = Pair::new();
            let nothing = pair.of(lost).channel.clone();
            history(&mut pair, 3);
            let mut shown = pair.shown_by(lost.other());
            shown.retain(|shown| shown.proof().from != kept_back);
            pair.of(lost).channel = nothing;
            let side = pair.of(lost);
            let judged = side.channel.check_snapshots(&shown, true, &side.now());
            assert_eq!(judged, Adoption::Close, "{lost:?} lost it, {kept_back:?}'s is not shown");
        }
    }
}

#[test]
fn what_falls_behind_the_ledger_is_closed_on() {
    for lost in [WALLET, HUB] {
        let mut pair = Pair::new();
        let nothing = pair.of(lost).channel.clone();
        pair.send(HUB, &[pay(5)]);
        pair.send(WALLET, &[pay(5)]);
        let stale = pair.shown_by(lost.other());
        pair.send(HUB, &[pay(5)]);
        let anchored = LedgerEvent::Anchored { channel: pair.id(), hub_transferred: Amount(10) };
        let newest = *pair.wallet.channel.outgoing().accepted_proof.as_ref().unwrap();
        let recorded = LedgerEvent::ProofRecorded { proof: newest, locks: Vec::new() };
        let side = pair.of(lost);
        side.channel = nothing.clone();
        assert!(matches!(
            side.channel.check_snapshots(&stale, false, &side.now()),
            Adoption::Take(_)
        ));
        side.follow(&anchored);
        assert_eq!(side.channel.check_snapshots(&stale, true, &side.now()), Adoption::Close);
        side.channel = nothing;
        side.follow(&recorded);
        assert!(matches!(
            side.channel.check_snapshots(&stale, true, &side.now()),
            Adoption::Take(_)
        ));
        let newer = BalanceProof { seq: newest.seq + 1, ..newest };
        side.follow(&LedgerEvent::ProofRecorded { proof: newer, locks: Vec::new() });
        assert_eq!(side.channel.check_snapshots(&stale, true, &side.now()), Adoption::Close);
    }
}

/// A later number does not make less of what is held.
#[test]
fn what_falls_behind_what_is_held_is_not_taken() {
    let mut pair = Pair::new();
    history(&mut pair, 3);
    let changes: [Change; 3] = [
        |p| (p.seq, p.transferred.0) = (p.seq + 1, p.transferred.0 - 1),
        |p| (p.seq, p.peer_seq) = (p.seq + 1, p.peer_seq - 1),
        |p| (p.seq, p.peer_transferred.0) = (p.seq + 1, p.peer_transferred.0 - 1),
    ];
    let good = pair.forged(WALLET, |p| p.seq += 1);
    assert!(matches!(pair.judge(HUB, &[good]), Adoption::Take(_)));
    for (at, change) in changes.into_iter().enumerate() {
        let shown = pair.forged(WALLET, change);
        assert_eq!(pair.judge(HUB, &[shown]), Adoption::Nothing, "case {at}");
    }
}

/// The ledger shows a side what it has signed and does not know of.
#[test]
fn a_side_learns_from_the_ledger_that_it_has_lost_state() {
    let mut pair = Pair::new();
    let nothing = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    let own = *pair.hub.channel.outgoing().accepted_proof.as_ref().unwrap();
    let events = [
        LedgerEvent::Anchored { channel: pair.id(), hub_transferred: Amount(5) },
        LedgerEvent::ProofRecorded { proof: own, locks: Vec::new() },
    ];
    for event in events {
        pair.hub.follow(&event);
        assert_eq!(pair.hub.channel.suspended(), None, "it knows");
        let mut restored = nothing.clone();
        for step in restored.follow(&event, Height(START)) {
            restored.commit(&step);
        }
        assert_eq!(restored.suspended(), Some(Code::StateLost));
        let (own, yours) = restored.snapshot_refs();
        assert_eq!(restored.check_sync(&own, &yours).lost, Some(Code::StateLost), "{event:?}");
    }
}

/// A hub that shows nothing to a wallet that has nothing does not agree with it: the ledger knows
/// that there was more.
#[test]
fn holding_the_same_is_not_enough_if_the_ledger_has_seen_more() {
    let mut pair = Pair::new();
    let (own, yours) = pair.wallet.channel.snapshot_refs();
    assert_eq!(pair.wallet.channel.check_sync(&own, &yours).lost, None);
    let anchored = LedgerEvent::Anchored { channel: pair.id(), hub_transferred: Amount(1) };
    pair.wallet.follow(&anchored);
    let outcome = pair.wallet.channel.check_sync(&own, &yours);
    assert_eq!((outcome.lost, outcome.show), (Some(Code::StateLost), false));
}

/// A lock that was not given up can't be made to vanish by somebody who says that state was lost.
#[test]
fn a_lock_does_not_vanish_in_a_snapshot() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 100), stream(2, 1, 8, START + 300)]);
    let proof = *pair.wallet.channel.outgoing().accepted_proof.as_ref().unwrap();
    let stream = pair.wallet.channel.outgoing().accepted.locks[1];
    let to = Destination { hub: None, wallet: pair.wallet.key.public() };
    let key = crate::crypto::SigningKey::from_bytes(*pair.wallet.key.to_bytes()).unwrap();
    let shown = |paid: u64, locks: &[crate::lock::Lock]| {
        let value = BalanceProof {
            seq: proof.seq + 1,
            transferred: Amount(paid),
            locked: crate::lock::locked_total(locks).unwrap(),
            locks_root: locks_root(locks),
            ..proof
        };
        let taken =
            |lock: &crate::lock::Lock| TakenLock { lock: *lock, to, payload: Payload::default() };
        let locks = locks.iter().map(taken).collect();
        let signed = Signed::alone(&key, value, Salt([1; 16]));
        let public = VerifyingKey::parse(&key.public()).unwrap();
        VerifiedSnapshot::check(WALLET, Taken { proof: signed, locks }, &public).unwrap()
    };
    let rest = stream.redeem(&secret(2, 8, 3)).unwrap().rest.unwrap();
    let bent = crate::lock::Lock { anchor: crate::types::Anchor([7; 32]), ..rest };
    let cases = [
        (shown(0, &[]), Adoption::Wait),
        (shown(99, &[stream]), Adoption::Wait),
        (shown(102, &[rest]), Adoption::Wait),
        (shown(103, &[bent]), Adoption::Wait),
    ];
    for (at, (shown, expected)) in cases.into_iter().enumerate() {
        assert_eq!(pair.judge(HUB, &[shown]), expected, "case {at}");
    }
    let taken = [shown(100, &[stream]), shown(103, &[rest]), shown(108, &[])];
    for (at, shown) in taken.into_iter().enumerate() {
        assert!(matches!(pair.judge(HUB, &[shown]), Adoption::Take(_)), "case {at}");
    }
    // Given up, or expired: then it may be gone.
    let gone = shown(8, &[]);
    let step = pair.hub.channel.fail(1, Code::RefusedByPayee).unwrap();
    let mut failed = pair.hub.channel.clone();
    failed.commit(&step);
    let now = pair.hub.now();
    assert!(matches!(
        failed.check_snapshots(std::slice::from_ref(&gone), false, &now),
        Adoption::Take(_)
    ));
    pair.at(START + 450);
    assert!(matches!(pair.judge(HUB, std::slice::from_ref(&gone)), Adoption::Take(_)));
    pair.hub.view.fresh = false;
    assert_eq!(pair.judge(HUB, &[gone]), Adoption::Wait, "in an old view nothing has expired");
}

/// What was adopted is not given up by itself; its secret is passed on.
#[test]
fn adopted_locks_are_held() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 100), add(2, 100)]);
    let known = pair.hub.channel.reveal(2, &secret(2, 1, 1)).unwrap().unwrap();
    pair.hub.commit(known);
    let given_up = pair.hub.channel.fail(1, Code::PayeeOffline).unwrap();
    let mut backup = pair.hub.channel.clone();
    backup.commit(&given_up);
    pair.send(WALLET, &[add(3, 100)]);
    pair.send(HUB, &[pay(1)]);
    pair.restore(HUB, backup);
    let locks = &pair.hub.channel.incoming().locks;
    assert_eq!(
        locks.get(&1).unwrap().answer,
        Some(Answer::Held),
        "what was said before it was lost may be taken back"
    );
    assert!(matches!(locks.get(&2).unwrap().answer, Some(Answer::Known { .. })));
    assert_eq!(locks.get(&3).unwrap().answer, Some(Answer::Held));
    assert!(pair.hub.channel.to_resend().iter().all(|e| !matches!(e, Effect::SendFail { .. })));
    assert!(pair.hub.channel.hold(3).is_none());
    let step = pair.hub.channel.reveal(3, &secret(3, 1, 1)).unwrap();
    pair.hub.commit(step.expect("it is new"));
    // Whoever has found out gives it up.
    let step = pair.hub.channel.fail(1, Code::PayeeOffline).unwrap();
    pair.hub.commit(step);
    pair.hub.assert_replays();
}

#[test]
fn a_snapshot_that_is_not_what_was_signed_is_refused() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 100), add(2, 50)]);
    let good = pair.shown_by(WALLET).remove(0).taken();
    let taken = good.clone();
    assert!(pair.verified(taken).is_ok());
    let mut cases = Vec::new();
    let mut case = |code: Code, change: &dyn Fn(&mut Taken)| {
        let mut taken = good.clone();
        change(&mut taken);
        cases.push((code, taken));
    };
    case(Code::TotalsMismatch, &|t| drop(t.locks.pop()));
    case(Code::TotalsMismatch, &|t| t.locks[0].lock.unit.0 += 1);
    case(Code::TotalsMismatch, &|t| t.locks[0].lock.expiry.0 += 1);
    case(Code::LockIdUsed, &|t| t.locks.swap(0, 1));
    case(Code::TooManyLocks, &|t| t.locks = vec![t.locks[0].clone(); 257]);
    case(Code::TooManySteps, &|t| {
        t.locks = vec![t.locks[0].clone(); 17];
        t.locks.iter_mut().for_each(|taken| taken.lock.steps = 1 << 16);
    });
    case(Code::BadSignature, &|t| t.proof.value.transferred.0 += 1);
    case(Code::BadSignature, &|t| t.proof.value.peer_seq += 1);
    for (code, taken) in cases {
        assert_eq!(pair.verified(taken).err(), Some(code));
    }
    let key = VerifyingKey::parse(&pair.wallet.key.public()).unwrap();
    let turned = VerifiedSnapshot::check(HUB, good.clone(), &key);
    assert_eq!(turned.err(), Some(Code::WrongDirection));
}

/// A row that a version before this one wrote can still be read.
#[test]
fn what_the_ledger_has_shown_is_kept_in_the_old_encoding_while_it_is_nothing() {
    use crate::channel::ledger::Proven;
    use crate::encoding::{decode, encode};
    for opened in [false, true] {
        let mut proven = Proven { opened, ..Proven::default() };
        assert_eq!(encode(&proven), encode(&opened));
        assert_eq!(decode::<Proven>(&encode(&proven)), Ok(proven));
        proven.seen.hub.transferred = Amount(5);
        assert_eq!(decode::<Proven>(&encode(&proven)), Ok(proven));
    }
}
