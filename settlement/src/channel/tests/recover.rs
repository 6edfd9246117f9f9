//! A side that lost state takes it back, and what it must not take.

use super::pair::{HUB, LAG, Pair, START, WALLET, add, pay};
use crate::channel::{Adoption, Channel, Step, Taken, TakenLock, VerifiedSnapshot};
use crate::crypto::{Signed, VerifyingKey};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Height, Role, Salt};
use crate::update::{Destination, Payload};

impl Pair {
    /// Both directions as that side shows them.
    pub(super) fn shown_by(&mut self, by: Role) -> Vec<VerifiedSnapshot> {
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

    pub(super) fn verified(&mut self, taken: Taken) -> Result<VerifiedSnapshot, Code> {
        let from = taken.proof.value.from;
        let key = VerifyingKey::parse(&self.of(from).key.public()).expect("a point");
        VerifiedSnapshot::check(from, taken, &key)
    }

    /// What `role` makes of what the other side shows.
    pub(super) fn judge(&self, role: Role, shown: &[VerifiedSnapshot]) -> Adoption {
        let side = if role == WALLET { &self.wallet } else { &self.hub };
        side.channel.check_snapshots(shown, false, &side.now())
    }

    /// `role` comes back with an older state, takes what the other side shows, and leaps.
    pub(super) fn restore(&mut self, role: Role, backup: Channel) {
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

    pub(super) fn forged(
        &mut self,
        from: Role,
        change: impl FnOnce(&mut BalanceProof),
    ) -> VerifiedSnapshot {
        let taken = self.shown_by(from).into_iter().find(|shown| shown.proof().from == from);
        let mut taken = taken.expect("there is one").taken();
        change(&mut taken.proof.value);
        taken.proof = Signed::alone(&self.of(from).key, taken.proof.value, Salt([9; 16]));
        self.verified(taken).expect("it is signed")
    }
}

/// Pays both ways, with a lock in either direction that is pending.
pub(super) fn history(pair: &mut Pair, rounds: u64) {
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
            let first = pair.send(role, &[add(3, 7)]);
            pair.of(role).commit(Step::WaitedOut);
            let ids = [first, pair.send(role.other(), &[add(4, 9)])];
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

/// Only in a fresh view more than `lag` blocks above the first fresh one.
#[test]
fn leap_table() {
    let mut pair = Pair::new();
    let backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    pair.restore(HUB, backup);
    for (above, fresh, leaps) in [
        (LAG - 1, true, false),
        (LAG, true, false),
        (LAG + 1, true, true),
        (LAG + 1, false, false),
        (LAG + 2, true, true),
    ] {
        pair.hub.view.height = Height(START + above);
        pair.hub.view.fresh = fresh;
        let leapt = pair.hub.channel.leap(Height(START), &pair.hub.now());
        let expected = leaps.then_some(Step::Leapt { height: Height(START + above) });
        assert_eq!(leapt, expected, "{above} blocks above, fresh: {fresh}");
    }
}

/// Nothing is agreed between the adoption and the leap, whatever is said.
#[test]
fn only_the_leap_ends_a_recovery() {
    let mut pair = Pair::new();
    let backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    pair.send(WALLET, &[pay(5)]);
    pair.restore(HUB, backup);
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

/// What had expired before state was taken back is shown as if it stood: its money stays with this
/// side, whatever secret comes out late.
#[test]
fn an_expired_lock_that_is_taken_back_stays_expired() {
    let mut pair = Pair::new();
    let id = pair.send(HUB, &[add(1, 100)]);
    let mut backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(5)]);
    pair.at(START + 450);
    for step in backup.expire(&pair.hub.now()) {
        backup.commit(&step);
    }
    pair.restore(HUB, backup);
    assert_eq!(pair.hub.gone(), [id], "said again: what rests on it may have been forgotten");
    let secret = super::pair::secret(1, 1, 1);
    assert_eq!(pair.hub.channel.learn(id, &secret), Ok(None));
    pair.leap(HUB);
    pair.go_on();
    pair.quiet();
    assert_eq!(pair.hub.channel.outgoing().accepted.transferred, Amount(5));
}

/// Who is shown what it holds lacks nothing, also if it knows from elsewhere that it has lost something.
#[test]
fn nothing_is_taken_of_what_is_held() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        history(&mut pair, 2);
        let shown = pair.shown_by(role.other());
        for lost in [false, true] {
            let side = pair.of(role);
            let adoption = side.channel.check_snapshots(&shown, lost, &side.now());
            assert!(matches!(adoption, Adoption::Nothing), "{role:?}, {lost}: {adoption:?}");
        }
    }
}

/// The copy has an update that was unanswered then, and the other side's newest acknowledges it.
#[test]
fn an_unanswered_update_that_is_acknowledged_by_what_is_shown_was_accepted() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        history(&mut pair, 1);
        pair.of(role).propose(&[pay(3)]);
        let backup = pair.of(role).channel.clone();
        let seq = backup.outgoing().last_seq;
        pair.deliver(role).unwrap();
        pair.send(role.other(), &[pay(1)]);
        pair.restore(role, backup);
        let out = pair.of(role).channel.outgoing();
        assert_eq!((out.accepted.seq, out.in_flight.is_none()), (seq, true));
    }
}

/// What is taken back stands among what was sent, behind what is not retired.
#[test]
fn what_is_taken_back_was_sent() {
    let mut pair = Pair::new();
    pair.send(HUB, &[pay(1)]);
    let backup = pair.hub.channel.clone();
    pair.send(HUB, &[pay(3)]);
    pair.restore(HUB, backup);
    let sent: Vec<u64> = pair.hub.channel.outgoing().sent.iter().map(|it| it.seq).collect();
    assert_eq!(sent, [1, 2]);
}

/// A lock that is not shown any more, and of which this side has signed nothing since: it may have been
/// given up, or be claimed yet.
#[test]
fn a_lock_that_vanished_is_waited_for_if_nothing_signed_says_how() {
    let mut pair = Pair::new();
    pair.send(HUB, &[pay(1)]);
    pair.send(WALLET, &[add(1, 100)]);
    let backup = pair.hub.channel.clone();
    pair.fail(HUB, 1);
    pair.send(WALLET, &[]);
    assert!(pair.wallet.channel.outgoing().tip().locks.is_empty());
    let shown = pair.shown_by(WALLET);
    pair.hub.channel = backup;
    let adoption = pair.judge(HUB, &shown);
    assert!(matches!(adoption, Adoption::Wait), "{adoption:?}");
}
