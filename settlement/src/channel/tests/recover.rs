//! A side that lost state takes it back, and what it must not take.

use super::pair::{HUB, LAG, Pair, START, WALLET, add, pay, secret, stream};
use crate::block::LedgerEvent;
use crate::channel::{Adoption, Answer, Channel, Effect, Step, Taken, TakenLock, VerifiedSnapshot};
use crate::crypto::{Signed, VerifyingKey};
use crate::lock::locks_root;
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Height, Role, Salt};
use crate::update::{Destination, Payload};

impl Pair {
    /// Both directions as that side shows them.
    fn shown_by(&mut self, by: Role) -> Vec<VerifiedSnapshot> {
        let side = self.of(by);
        let own = side.channel.own_snapshot().map(|(proof, locks)| {
            let to = Destination { hub: None, wallet: side.key.public() };
            let taken = |lock| TakenLock { lock, to, payload: Payload::default() };
            let locks = locks.iter().copied().map(taken).collect();
            Taken { proof: Signed::alone(&side.key, proof, Salt([8; 16])), locks }
        });
        let theirs = side.channel.their_snapshot();
        let both: Vec<Taken> = own.into_iter().chain(theirs).collect();
        both.into_iter()
            .map(|taken| self.verified(taken).expect("it is as it was signed"))
            .collect()
    }

    fn verified(&mut self, taken: Taken) -> Result<VerifiedSnapshot, Code> {
        let from = taken.proof.value.from;
        let key = VerifyingKey::parse(&self.of(from).key.public()).expect("a point");
        VerifiedSnapshot::check(from, taken, &key)
    }

    /// What `role` makes of what the other side shows.
    fn judge(&self, role: Role, shown: &[VerifiedSnapshot]) -> Adoption {
        let side = if role == WALLET { &self.wallet } else { &self.hub };
        side.channel.check_snapshots(shown, false, &side.now())
    }

    /// `role` comes back with an older state, takes what the other side shows, and leaps.
    fn restore(&mut self, role: Role, backup: Channel) {
        self.of(role).channel = backup.clone();
        (self.of(role).first, self.of(role).journal) = (backup, Vec::new());
        let shown = self.shown_by(role.other());
        match self.judge(role, &shown) {
            Adoption::Take(step) => drop(self.of(role).commit(step)),
            other => panic!("{other:?}"),
        }
        assert_eq!(self.of(role).channel.usable(), Err(Code::Recovering));
    }

    fn leap(&mut self, role: Role) {
        let side = self.of(role);
        let step = side.channel.leap(Height(side.view.height.0 - LAG - 1), &side.now());
        side.commit(step.expect("it may leap"));
    }

    /// The restored side has leapt: both meet, and go on.
    fn go_on(&mut self) {
        for outcome in self.meet() {
            assert_eq!(outcome.lost, None);
        }
        assert_eq!((self.wallet.channel.suspended(), self.hub.channel.suspended()), (None, None));
    }

    fn forged(&mut self, from: Role, change: impl FnOnce(&mut BalanceProof)) -> VerifiedSnapshot {
        let taken = self.shown_by(from).into_iter().find(|shown| shown.proof().from == from);
        let mut taken = taken.expect("there is one").taken();
        change(&mut taken.proof.value);
        taken.proof = Signed::alone(&self.of(from).key, taken.proof.value, Salt([9; 16]));
        self.verified(taken).expect("it is signed")
    }
}

/// Pays both ways, with a lock in either direction that is pending.
fn history(pair: &mut Pair, rounds: u64) {
    for round in 0..rounds {
        pair.send(WALLET, &[pay(10 + round)]);
        pair.send(HUB, &[pay(3)]);
    }
    pair.send(WALLET, &[add(1, 100)]);
    pair.send(HUB, &[add(2, 50)]);
}

#[test]
fn each_side_takes_back_all_that_it_lost_and_goes_on() {
    for role in [WALLET, HUB] {
        for rounds in [0, 1, 7] {
            let mut pair = Pair::new();
            pair.send(WALLET, &[pay(5)]);
            let backup = pair.of(role).channel.clone();
            history(&mut pair, rounds);
            let before = pair.of(role).channel.clone();
            let [wallet, hub] = pair.meet();
            assert!([wallet, hub].iter().all(|outcome| outcome.lost.is_none()));
            pair.restore(role, backup);
            let restored = &pair.of(role).channel;
            assert_eq!(restored.outgoing().accepted, before.outgoing().accepted);
            assert_eq!(restored.incoming().tally, before.incoming().tally);
            let proof = |channel: &Channel| channel.incoming().proof.as_ref().map(|p| p.value);
            assert_eq!(proof(restored), proof(&before));
            for side in [WALLET, HUB] {
                assert_eq!(restored.balance(side), before.balance(side));
            }
            pair.leap(role);
            pair.go_on();
            let ids = [pair.send(role, &[add(3, 7)]), pair.send(role.other(), &[add(4, 9)])];
            assert_eq!(ids[0], START << 32, "the lock's id leaps, too");
            assert_eq!(pair.of(role).channel.outgoing().accepted.seq, START << 32);
            assert!(ids[1] < 100, "the other side's ids go on");
            pair.quiet();
            pair.of(role).assert_replays();
        }
    }
}

#[test]
fn a_side_with_nothing_takes_all() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        let nothing = pair.of(role).channel.clone();
        history(&mut pair, 2);
        let balances = [WALLET, HUB].map(|side| pair.of(role).channel.balance(side));
        pair.restore(role, nothing);
        assert_eq!([WALLET, HUB].map(|side| pair.of(role).channel.balance(side)), balances);
    }
}

/// The other side's update was on its way, and may have been accepted before the state was lost.
#[test]
fn an_unanswered_update_is_shown_and_counts_as_accepted() {
    let mut pair = Pair::new();
    pair.send(HUB, &[pay(5)]);
    let backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    pair.wallet.propose(&[add(1, 100)]);
    pair.restore(HUB, backup);
    pair.leap(HUB);
    pair.go_on();
    assert!(pair.wallet.channel.outgoing().in_flight.is_none());
    assert_eq!(pair.hub.channel.incoming().tally.locks.len(), 1);
}

#[test]
fn the_side_with_all_its_state_knows_whom_to_show_it() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(5)]);
    let backup = pair.hub.channel.clone();
    pair.send(WALLET, &[pay(5)]);
    pair.hub.channel = backup;
    let [wallet, hub] = pair.meet();
    assert_eq!((wallet.lost, wallet.show), (Some(Code::StateLost), true));
    assert!(!hub.show);
}

/// Nothing is agreed between the adoption and the leap, whatever is said.
#[test]
fn only_the_leap_ends_a_recovery() {
    let mut pair = Pair::new();
    let backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    pair.send(WALLET, &[pay(5)]);
    pair.restore(HUB, backup);
    let too_early = |pair: &Pair, from: u64, fresh: bool| {
        let mut now = pair.hub.now();
        now.view.fresh = fresh;
        pair.hub.channel.leap(Height(from), &now)
    };
    assert_eq!(too_early(&pair, START - LAG, true), None, "lag blocks are not more than lag");
    assert_eq!(too_early(&pair, START - LAG - 1, false), None);
    assert!(too_early(&pair, START - LAG - 1, true).is_some());
    for step in [Step::Resumed, Step::Suspended { code: Code::SecretMismatch }] {
        pair.hub.commit(step);
        assert_eq!(pair.hub.channel.suspended(), Some(Code::Recovering));
    }
    pair.meet();
    assert_eq!(pair.hub.channel.suspended(), Some(Code::Recovering));
    assert_eq!(pair.hub.propose(&[pay(1)]), [Err(Code::Recovering)]);
    assert!(pair.hub.channel.acknowledge().is_none());
    pair.wallet.propose(&[pay(1)]);
    let update = pair.wallet.update();
    assert_eq!(pair.hub.receive(update), Err(Code::ChannelSuspended));
    let withdrawal = crate::proof::Withdrawal {
        channel: pair.id(),
        role: WALLET,
        total_withdrawn: Amount(1),
        valid_until: Height(START + 50),
    };
    let agreed = pair.hub.channel.agree_withdrawal(&withdrawal, &pair.hub.now());
    assert_eq!(agreed, Err(Code::Recovering));
    pair.leap(HUB);
    assert_eq!(pair.hub.channel.suspended(), None);
}

/// The first acknowledgment of what comes after the leap retires a proof that was kept back.
#[test]
fn what_was_not_shown_is_retired_by_the_first_acknowledgment() {
    let mut pair = Pair::new();
    pair.send(HUB, &[pay(5)]);
    let nothing = pair.hub.first.clone();
    let shown = pair.shown_by(WALLET);
    // Signed, accepted, and kept back.
    pair.send(HUB, &[pay(500)]);
    let hidden = pair.hub.channel.outgoing().accepted.seq;
    pair.hub.channel = nothing;
    let Adoption::Take(step) = pair.judge(HUB, &shown) else { panic!("it is as it was signed") };
    pair.hub.commit(step);
    pair.leap(HUB);
    let Some(Step::Sent(flight)) = pair.hub.channel.propose(&[], &pair.hub.now()).step else {
        panic!("it says at once that it has leapt");
    };
    assert!(flight.proof.seq > hidden && flight.changes.is_empty());
    assert_eq!(flight.proof.seq, START << 32);
}

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
        for step in restored.follow(&event) {
            restored.commit(&step);
        }
        assert_eq!(restored.suspended(), Some(Code::StateLost));
        let (own, yours) = restored.snapshot_refs();
        assert_eq!(restored.check_sync(&own, &yours).lost, Some(Code::StateLost), "{event:?}");
    }
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
        locks[&1].answer,
        Some(Answer::Held),
        "what was said before it was lost may be taken back"
    );
    assert!(matches!(locks[&2].answer, Some(Answer::Known { .. })));
    assert_eq!(locks[&3].answer, Some(Answer::Held));
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
