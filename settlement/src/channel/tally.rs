//! One direction's running total, and what operations make of it.

use serde::{Deserialize, Serialize};

use crate::lock::{LOCK_STEPS_MAX, LOCKS_MAX, Lock, Redeemed, locked_total, locks_root};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Amount, Secret};
use crate::update::{Destination, Memo, Op, Payload};

/// A direction after the proof with this `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// The proof's seq; 0 before the first.
    pub seq: u64,
    /// Sent in total.
    pub transferred: Amount,
    /// Pending, in the order of adding.
    pub locks: Vec<Lock>,
}

/// An operation with what it costs to know about it: replaying one needs no check and no hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The other side was paid directly.
    Paid {
        /// How much.
        amount: Amount,
        /// What for.
        memo: Memo,
    },
    /// A lock was added.
    Added {
        /// The lock.
        lock: Lock,
        /// Who shall get it.
        to: Destination,
        /// What the payee needs to know.
        payload: Payload,
    },
    /// A lock was settled, in full or in part.
    Settled {
        /// Which.
        id: u64,
        /// With which secret.
        secret: Secret,
        /// How many steps it redeemed.
        steps: u32,
    },
    /// A lock was removed unpaid.
    Dropped {
        /// Which.
        id: u64,
    },
}

impl Change {
    /// No encoding of the operation is longer.
    pub(super) fn bytes_max(&self) -> usize {
        match self {
            Change::Paid { memo, .. } => memo.as_slice().len().saturating_add(16),
            Change::Added { payload, .. } => payload.as_slice().len().saturating_add(160),
            Change::Settled { .. } => 48,
            Change::Dropped { .. } => 16,
        }
    }

    /// The operation that asks for it.
    pub fn to_op(&self) -> Op {
        match self.clone() {
            Change::Paid { amount, memo } => Op::Pay { amount, memo },
            Change::Added { lock, to, payload } => Op::Add { lock, to, payload },
            Change::Settled { id, secret, .. } => Op::Settle { id, secret },
            Change::Dropped { id } => Op::Drop { id },
        }
    }
}

impl Tally {
    /// Before the first proof.
    pub(super) const NONE: Tally = Tally { seq: 0, transferred: Amount::ZERO, locks: Vec::new() };

    /// The pending lock with this id.
    pub fn lock(&self, id: u64) -> Option<&Lock> {
        self.locks.get(self.place(id)?)
    }

    /// Where it is. Ids rise, and mostly by one: then it is as far from the first as its id is.
    fn place(&self, id: u64) -> Option<usize> {
        let first = self.locks.first()?.id;
        let near = usize::try_from(id.checked_sub(first)?).ok()?;
        match self.locks.get(near) {
            Some(there) if there.id == id => Some(near),
            _ => self.locks.iter().position(|lock| lock.id == id),
        }
    }

    /// The sum of the pending locks.
    pub fn locked(&self) -> Amount {
        // Every lock was checked to fit before it was added.
        locked_total(&self.locks).unwrap_or(Amount(u64::MAX))
    }

    /// Transferred and locked together, which is what the owner can't spend again.
    pub fn committed(&self) -> i128 {
        self.locks.iter().fold(self.transferred.wide(), |sum, lock| {
            sum.saturating_add(lock.value().unwrap_or_default().wide())
        })
    }

    /// Whether a proof says just this.
    pub fn is_said_by(&self, proof: &BalanceProof) -> bool {
        self.seq == proof.seq
            && self.transferred == proof.transferred
            && locked_total(&self.locks) == Some(proof.locked)
            && locks_root(&self.locks) == proof.locks_root
    }

    /// Pays directly.
    ///
    /// # Errors
    /// [`Code::ZeroAmount`], [`Code::AmountOverflow`].
    pub(super) fn pay(&mut self, amount: Amount) -> Result<(), Code> {
        if amount == Amount::ZERO {
            return Err(Code::ZeroAmount);
        }
        self.transferred = self.transferred.checked_add(amount).ok_or(Code::AmountOverflow)?;
        Ok(())
    }

    /// Adds a lock of a shape that has been checked.
    ///
    /// # Errors
    /// [`Code::TooManyLocks`], [`Code::TooManySteps`], [`Code::AmountOverflow`].
    pub(super) fn add(&mut self, lock: Lock) -> Result<(), Code> {
        if self.locks.len() >= LOCKS_MAX {
            return Err(Code::TooManyLocks);
        }
        let steps = self.locks.iter().map(|lock| u64::from(lock.steps)).sum::<u64>();
        if steps.saturating_add(u64::from(lock.steps)) > LOCK_STEPS_MAX {
            return Err(Code::TooManySteps);
        }
        self.locks.push(lock);
        let committed = Amount::from_wide(self.committed());
        if committed.is_none() {
            self.locks.pop();
        }
        committed.map(|_| ()).ok_or(Code::AmountOverflow)
    }

    /// Settles what `redeemed` says of the lock with this id. The rest of a lock that is settled in
    /// part stays in its place: there is no way to settle a part and lose the rest.
    ///
    /// # Errors
    /// [`Code::UnknownLock`], [`Code::AmountOverflow`].
    pub(super) fn settle(&mut self, id: u64, redeemed: &Redeemed) -> Result<(), Code> {
        let at = self.place(id).ok_or(Code::UnknownLock)?;
        let sum = self.transferred.checked_add(redeemed.amount).ok_or(Code::AmountOverflow)?;
        let rest = redeemed.rest.filter(|_| rule_is_on(Rule::SettleKeepsRest));
        match (rest, self.locks.get_mut(at)) {
            (Some(rest), Some(lock)) => *lock = rest,
            _ => drop(self.locks.remove(at)),
        }
        self.transferred = sum;
        Ok(())
    }

    /// Removes a lock unpaid.
    ///
    /// # Errors
    /// [`Code::UnknownLock`].
    pub(super) fn remove(&mut self, id: u64) -> Result<(), Code> {
        let at = self.place(id).ok_or(Code::UnknownLock)?;
        self.locks.remove(at);
        Ok(())
    }

    /// Makes a change that was checked when it was first made.
    pub(super) fn redo(&mut self, change: &Change) -> Result<(), Code> {
        match change {
            Change::Paid { amount, .. } => self.pay(*amount),
            Change::Added { lock, .. } => self.add(*lock),
            Change::Dropped { id } => self.remove(*id),
            Change::Settled { id, secret, steps } => {
                let lock = self.lock(*id).ok_or(Code::UnknownLock)?;
                let redeemed = lock.redeemed(secret, *steps).ok_or(Code::AmountOverflow)?;
                self.settle(*id, &redeemed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Anchor, Height};

    #[test]
    fn a_lock_is_found_by_its_id_alone_whatever_is_gone_before_it() {
        let (anchor, unit, expiry) = (Anchor([1; 32]), Amount(5), Height(9));
        let lock = |id| Lock { id, anchor, unit, steps: 1, expiry };
        let tally = Tally { locks: [2, 4, 5, 9].map(lock).to_vec(), ..Tally::NONE };
        let found = (0..12).filter_map(|id| Some((id, tally.lock(id)?.id)));
        assert_eq!(found.collect::<Vec<_>>(), [(2, 2), (4, 4), (5, 5), (9, 9)]);
        assert_eq!(Tally::NONE.lock(1), None);
    }
}
