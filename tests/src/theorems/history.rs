//! What was agreed, worked out from what was said alone: which proofs were signed and taken, which
//! secrets are out, whose money is said to be back. An independent reference: nothing here asks the
//! engine or the ledger what anybody gets.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use settlement::crypto::chain_step;
use settlement::lock::Lock;
use settlement::types::{Height, Secret};
use settlement::update::Op;

/// A direction after one of its proofs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Sent in total.
    pub paid: u64,
    /// Pending, in the order of adding.
    pub locks: Vec<Lock>,
}

impl State {
    /// The state that these operations lead to. A lock that is not there, or a secret that does not
    /// fit, changes nothing.
    pub fn with(&self, ops: &[Op]) -> State {
        let mut after = self.clone();
        for op in ops {
            match op {
                Op::Pay { amount, .. } => after.paid += amount.0,
                Op::Add { lock, .. } => after.locks.push(*lock),
                Op::Drop { id } => after.locks.retain(|lock| lock.id != *id),
                Op::Settle { id, secret } => after.settle(*id, secret),
            }
        }
        after
    }

    fn settle(&mut self, id: u64, secret: &Secret) {
        let Some(lock) = self.locks.iter_mut().find(|lock| lock.id == id) else { return };
        let steps = distance(secret, lock);
        if steps > 0 {
            self.paid += lock.unit.0 * u64::from(steps);
            (lock.steps, lock.anchor.0) = (lock.steps - steps, secret.0);
        }
        self.locks.retain(|lock| lock.steps > 0);
    }

    /// What the pending locks come to if all is claimed.
    pub fn pending(&self) -> u64 {
        self.locks.iter().map(|lock| lock.unit.0 * u64::from(lock.steps)).sum()
    }

    /// Paid, and what these secrets redeem of the locks for which `counts`.
    fn worth(&self, secrets: &Secrets, counts: impl Fn(&Lock, Height) -> bool) -> u64 {
        let redeemed = |lock: &Lock| {
            let known = secrets.of(lock.id).filter(|(_, height)| counts(lock, *height));
            let steps = known.map(|(secret, _)| distance(&secret, lock)).max();
            lock.unit.0 * u64::from(steps.unwrap_or(0))
        };
        self.paid + self.locks.iter().map(redeemed).sum::<u64>()
    }
}

/// How many steps the secret is worth on this lock; 0 when it does not fit.
pub fn distance(secret: &Secret, lock: &Lock) -> u32 {
    let mut value = secret.0;
    let fits = (1..=lock.steps).find(|_| {
        value = chain_step(&value);
        value == lock.anchor.0
    });
    fits.unwrap_or(0)
}

/// Secrets that were shown, by lock, each with the height at which that was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Secrets(BTreeSet<(u64, [u8; 32], Height)>);

impl Secrets {
    /// One was shown.
    pub fn show(&mut self, id: u64, secret: &Secret, at: Height) {
        let known = self.of(id).any(|(known, earlier)| known == *secret && earlier <= at);
        if !known {
            self.0.insert((id, secret.0, at));
        }
    }

    /// Those that were shown for a lock.
    pub fn of(&self, id: u64) -> impl Iterator<Item = (Secret, Height)> {
        let all = self.0.iter().filter(move |(lock, ..)| *lock == id);
        all.map(|(_, secret, at)| (Secret(*secret), *at))
    }
}

/// One direction, as a witness of all that is said sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct History {
    /// The state that each proof ever signed stands for, by `seq`.
    pub signed: BTreeMap<u64, State>,
    /// The newest that the receiver has taken; 0 for none.
    pub taken: u64,
    /// The newest that the receiver has acknowledged in an update which the sender took.
    pub retired_below: u64,
    /// Secrets that the receiver has shown to the sender.
    pub shown: Secrets,
    /// Secrets that the receiver has brought before the ledger, with the height of the block.
    pub claimed: Secrets,
    /// Locks whose money the sender says is back.
    pub back: BTreeSet<u64>,
    /// What the receiver has shown secrets for, and the sender has dropped nevertheless.
    pub dropped: u64,
}

impl History {
    /// The state of the proof with this seq; the empty one for none.
    pub fn state(&self, seq: u64) -> State {
        self.signed.get(&seq).cloned().unwrap_or_default()
    }

    /// The newest state that the receiver has taken.
    pub fn taken_state(&self) -> State {
        self.state(self.taken)
    }

    /// The sender has signed a proof.
    pub fn sign(&mut self, base: u64, ops: &[Op], seq: u64) {
        let state = self.state(base).with(ops);
        self.signed.insert(seq, state);
    }

    /// The receiver has taken the proof with this seq.
    pub fn take(&mut self, seq: u64) {
        self.taken = seq;
    }

    /// An update drops locks: what was shown for them is owed all the same.
    pub fn drop_shown(&mut self, base: u64, ops: &[Op]) {
        let before = self.state(base);
        let dropped = |lock: &&Lock| ops.contains(&Op::Drop { id: lock.id });
        let locks = before.locks.iter().filter(dropped).copied().collect();
        self.dropped += State { paid: 0, locks }.worth(&self.shown, |_, _| true);
    }

    /// Every proof that the receiver may still bring: none that its own acknowledgment, in a proof
    /// which the sender holds, has retired. Taken, refused or unanswered makes no difference.
    fn alive(&self, retired_below: u64) -> impl Iterator<Item = &State> {
        let none = (retired_below == 0).then_some(const { &State { paid: 0, locks: Vec::new() } });
        none.into_iter().chain(self.signed.range(retired_below..).map(|(_, state)| state))
    }

    /// The most that the sender has paid once the ledger has spoken: the best of the proofs that
    /// are alive, with every secret that was brought in time.
    pub fn most_paid(&self, retired_below: u64) -> u64 {
        let in_time = |lock: &Lock, at: Height| at < lock.expiry;
        let worth = |state: &State| state.worth(&self.claimed, in_time);
        self.alive(retired_below).map(worth).max().unwrap_or(0)
    }

    /// The most that the sender has committed, in any proof that is alive: paid, and every lock that
    /// a block after `height` may still take a claim for.
    pub fn most_committed(&self, height: Height) -> u64 {
        let alive = |lock: &&Lock| height.after(1) < lock.expiry;
        let worth = |lock: &Lock| lock.unit.0 * u64::from(lock.steps);
        let committed =
            |state: &State| state.paid + state.locks.iter().filter(alive).map(worth).sum::<u64>();
        self.alive(self.retired_below).map(committed).max().unwrap_or(0)
    }

    /// What the receiver is owed by the newest state that it has taken: paid, and every lock as far
    /// as it has shown the secret.
    pub fn owed(&self) -> u64 {
        self.taken_state().worth(&self.shown, |_, _| true) + self.dropped
    }

    /// A lock that is said to be back and can be claimed all the same in a block after `height`.
    pub fn back_too_early(&self, height: Height) -> Option<u64> {
        let claimable = |id: &&u64| {
            let locks = self.alive(self.retired_below).flat_map(|state| &state.locks);
            let mut found = locks.filter(|lock| lock.id == **id);
            found.any(|lock| height.after(1) < lock.expiry)
        };
        self.back.iter().find(claimable).copied()
    }
}
