//! Directions in full: what a side that has all its state shows one that has lost it.

use serde::{Deserialize, Serialize};

use super::Channel;
use crate::crypto::{Signed, Verified, VerifyingKey};
use crate::lock::{LOCK_STEPS_MAX, LOCKS_MAX, Lock, locked_total, locks_root};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::Role;
use crate::update::{Destination, Payload};

/// A pending lock with what came with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenLock {
    /// The lock.
    pub lock: Lock,
    /// Who shall get it.
    pub to: Destination,
    /// What the payee needs to know; empty where it is not known any more.
    pub payload: Payload,
}

/// A direction in full, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its newest proof.
    pub proof: Signed<BalanceProof>,
    /// The locks under the proof's root, in their order.
    pub locks: Vec<TakenLock>,
}

/// A shown direction whose signature was checked, and whose locks are exactly those that were
/// signed. [`VerifiedSnapshot::check`] is its only door.
#[derive(Clone, Debug)]
pub struct VerifiedSnapshot {
    proof: Verified<BalanceProof>,
    locks: Vec<TakenLock>,
}

impl VerifiedSnapshot {
    /// Checks a direction that `key` owns.
    ///
    /// # Errors
    /// [`Code::WrongDirection`] when the proof is of another direction than it is said to be;
    /// [`Code::BadSignature`]; [`Code::TooManyLocks`], [`Code::TooManySteps`],
    /// [`Code::LockIdUsed`] when ids do not rise, [`Code::TotalsMismatch`] when the locks are not
    /// those under the proof's root and total.
    pub fn check(
        direction: Role,
        taken: Taken,
        key: &VerifyingKey,
    ) -> Result<VerifiedSnapshot, Code> {
        let Taken { proof, locks } = taken;
        if proof.value.from != direction || proof.value.seq == 0 {
            return Err(Code::WrongDirection);
        }
        check_locks(&proof.value, &locks)?;
        let proof = proof.verify_alone(key).map_err(|_| Code::BadSignature)?;
        Ok(VerifiedSnapshot { proof, locks })
    }

    /// The proof that was signed.
    pub fn proof(&self) -> &BalanceProof {
        self.proof.value()
    }

    /// The locks under it.
    pub(super) fn locks(&self) -> impl Iterator<Item = &Lock> {
        self.locks.iter().map(|taken| &taken.lock)
    }

    pub(super) fn taken(&self) -> Taken {
        Taken { proof: self.proof.signed().clone(), locks: self.locks.clone() }
    }
}

fn check_locks(proof: &BalanceProof, taken: &[TakenLock]) -> Result<(), Code> {
    if taken.len() > LOCKS_MAX {
        return Err(Code::TooManyLocks);
    }
    let locks: Vec<Lock> = taken.iter().map(|taken| taken.lock).collect();
    if locks.iter().map(|lock| u64::from(lock.steps)).sum::<u64>() > LOCK_STEPS_MAX {
        return Err(Code::TooManySteps);
    }
    if !locks.is_sorted_by(|one, next| one.id < next.id) {
        return Err(Code::LockIdUsed);
    }
    let said = locks.iter().all(Lock::well_formed)
        && locked_total(&locks) == Some(proof.locked)
        && locks_root(&locks) == proof.locks_root;
    if said { Ok(()) } else { Err(Code::TotalsMismatch) }
}

impl Channel {
    /// What this side shows of its own direction: the newest proof that the other side has not
    /// refused, to be signed again, and the locks under it. An update that is unanswered counts:
    /// the other side may have accepted it, and acted on it, before it lost that.
    ///
    /// Whom each lock goes to the shell adds; a channel does not keep it for locks of its own.
    pub fn own_snapshot(&self) -> Option<(BalanceProof, &[Lock])> {
        Some((*self.out.tip_proof()?, &self.out.tip().locks))
    }

    /// What this side shows of the other's direction: the newest proof that it accepted.
    pub fn their_snapshot(&self) -> Option<Taken> {
        let proof = self.inc.proof.clone()?;
        let known = self.inc.tally.locks.iter().filter_map(|lock| {
            let known = self.inc.locks.get(&lock.id)?;
            Some(TakenLock { lock: *lock, to: known.to, payload: known.payload.clone() })
        });
        Some(Taken { proof, locks: known.collect() })
    }
}
