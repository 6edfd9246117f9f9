//! Accepting an update: the seven rules of protocol section 3, "Updates".

use serde::{Deserialize, Serialize};

use super::answer::known_in;
use super::tally::{Change, Tally};
use super::{Answer, Channel, HASHES_PER_MESSAGE, Now, Step, UNACKNOWLEDGED_MAX};
use crate::bugs::{Bug, nudged};
use crate::crypto::{BatchCache, Signed, Verified, VerifyingKey};
use crate::lock::{Guess, Lock, Redeemed, STEPS_MAX};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Amount, Height, Secret};
use crate::update::{OPS_MAX, Op, Update};

/// An update whose signature was checked. [`VerifiedUpdate::check`] is its only door.
#[derive(Clone, Debug)]
pub struct VerifiedUpdate {
    base: u64,
    ops: Vec<Op>,
    proof: Verified<BalanceProof>,
}

impl VerifiedUpdate {
    /// Checks the signature of an update of the side that owns `key`.
    ///
    /// # Errors
    /// [`Code::WrongChannel`] when update and proof name two channels; [`Code::BadSignature`].
    pub fn check(
        update: Update,
        key: &VerifyingKey,
        cache: &mut BatchCache,
    ) -> Result<VerifiedUpdate, Code> {
        let Update { channel, base, ops, proof } = update;
        if proof.value.channel != channel {
            return Err(Code::WrongChannel);
        }
        let proof = proof.verify(key, cache).map_err(|_| Code::BadSignature)?;
        Ok(VerifiedUpdate { base, ops, proof })
    }

    /// The proof that was signed.
    pub fn proof(&self) -> &BalanceProof {
        self.proof.value()
    }

    /// What it asks for, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether it commits more of its owner's money.
    pub fn spends(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Pay { .. } | Op::Add { .. }))
    }
}

/// What an accepted update changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedUpdate {
    /// In order.
    pub changes: Vec<Change>,
    /// The proof, with its signature.
    pub proof: Signed<BalanceProof>,
}

/// How an update is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is accepted: commit the step, then acknowledge.
    New(Step),
    /// It was accepted before: acknowledge it again.
    Again,
}

/// What is done with what an update pays or locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Use,
    Hold,
}

impl Channel {
    /// Checks an update of the other side's direction.
    ///
    /// # Errors
    /// The first [`Code`] in the order of the checks: rules before operations, operations in their
    /// order, totals last. Nothing has changed then.
    pub fn check_update(&self, update: &VerifiedUpdate, now: &Now<'_>) -> Result<Received, Code> {
        self.check(update, now, Purpose::Use)
    }

    /// The same for an update that this side may have taken before, and forgotten: it takes that
    /// also while it waits out what else it may have forgotten. Then nothing may be done for what it pays
    /// or locks, but to collect it: its locks are to be held ([`Channel::hold`]).
    ///
    /// # Errors
    /// As [`Channel::check_update`], but for [`Code::Recovering`].
    pub fn check_update_to_hold(
        &self,
        update: &VerifiedUpdate,
        now: &Now<'_>,
    ) -> Result<Received, Code> {
        self.check(update, now, Purpose::Hold)
    }

    fn check(
        &self,
        update: &VerifiedUpdate,
        now: &Now<'_>,
        purpose: Purpose,
    ) -> Result<Received, Code> {
        let proof = update.proof.value();
        if proof.channel != self.id {
            return Err(Code::WrongChannel);
        }
        if proof.from != self.me.other() {
            return Err(Code::WrongDirection);
        }
        if self.inc.proof.as_ref().is_some_and(|newest| newest.value == *proof) {
            return Ok(Received::Again);
        }
        self.usable().map_err(|code| match code {
            Code::ChannelNotOpen => code,
            _ => Code::ChannelSuspended,
        })?;
        self.check_order(update)?;
        let (after, changes) = self.make_changes(&update.ops, now, purpose)?;
        self.check_totals(proof, &Tally { seq: proof.seq, ..after })?;
        let proof = update.proof.signed().clone();
        Ok(Received::New(Step::Received(Box::new(ReceivedUpdate { changes, proof }))))
    }

    /// Rules 2 to 4: the update comes after the last accepted one, builds on it, takes nothing
    /// back, and acknowledges what this side really sent.
    fn check_order(&self, update: &VerifiedUpdate) -> Result<(), Code> {
        let (proof, tally) = (update.proof.value(), &self.inc.tally);
        let newest = self.inc.proof.as_ref().map(|signed| &signed.value);
        let (peer_seq, peer_transferred) =
            newest.map_or((0, Amount::ZERO), |p| (p.peer_seq, p.peer_transferred));
        if proof.seq <= tally.seq {
            return Err(Code::SeqNotRising);
        }
        if update.base != tally.seq {
            return Err(Code::BaseMismatch);
        }
        let fell = proof.transferred < tally.transferred
            || proof.peer_seq < peer_seq
            || proof.peer_transferred < peer_transferred;
        if fell {
            return Err(Code::TotalsFell);
        }
        let sent = self.out.has_sent(proof.peer_seq, proof.peer_transferred);
        if !sent && rule_is_on(Rule::KnownAcknowledgment) {
            return Err(Code::UnknownAcknowledgment);
        }
        if self.inc.to_acknowledge as usize >= UNACKNOWLEDGED_MAX && !update.ops.is_empty() {
            return Err(Code::TooManyUnacknowledged);
        }
        if update.ops.len() > OPS_MAX { Err(Code::TooManyOps) } else { Ok(()) }
    }

    fn make_changes(
        &self,
        ops: &[Op],
        now: &Now<'_>,
        purpose: Purpose,
    ) -> Result<(Tally, Vec<Change>), Code> {
        let mut after = self.inc.tally.clone();
        let mut changes = Vec::with_capacity(ops.len());
        let mut last_id = self.inc.last_lock_id;
        let mut hashes = HASHES_PER_MESSAGE;
        for op in ops {
            if purpose == Purpose::Use {
                self.check_spends(op)?;
            }
            changes.push(match op {
                Op::Pay { amount, memo } => {
                    after.pay(*amount)?;
                    Change::Paid { amount: *amount, memo: memo.clone() }
                }
                Op::Add { lock, to, payload } => {
                    check_new_lock(lock, last_id, now)?;
                    after.add(*lock)?;
                    last_id = lock.id;
                    Change::Added { lock: *lock, to: *to, payload: payload.clone() }
                }
                Op::Settle { id, secret } => {
                    let lock = after.lock(*id).ok_or(Code::UnknownLock)?;
                    let redeemed = self.redeem(lock, secret, &mut hashes)?;
                    after.settle(*id, &redeemed)?;
                    Change::Settled { id: *id, secret: *secret, steps: redeemed.steps }
                }
                Op::Drop { id } => {
                    let lock = after.lock(*id).ok_or(Code::UnknownLock)?;
                    self.check_drop(lock, now.view.height)?;
                    after.remove(*id)?;
                    Change::Dropped { id: *id }
                }
            });
        }
        Ok((after, changes))
    }

    /// What a secret redeems of a lock as it stands within the update: with no hash when it is the
    /// one that this side has measured already, and counting only the hashes beyond that one.
    fn redeem(&self, lock: &Lock, secret: &Secret, hashes: &mut u32) -> Result<Redeemed, Code> {
        let known = known_in(self.known_of(lock));
        let known_steps = known.map_or(0, |(_, steps)| steps);
        let steps = match known {
            Some((known, steps)) if known == *secret => steps,
            _ => {
                let measured = lock.measure(secret, known, *hashes, Guess::Earlier);
                measured.steps.ok_or(Code::SecretMismatch)?
            }
        };
        *hashes = hashes.saturating_sub(steps.saturating_sub(known_steps));
        lock.redeemed(secret, steps).ok_or(Code::AmountOverflow)
    }

    fn known_of(&self, lock: &Lock) -> Option<Answer> {
        let accepted = self.inc.tally.lock(lock.id)?;
        let answer = self.inc.locks.get(&lock.id)?.answer?;
        answer.beyond(accepted.steps.saturating_sub(lock.steps))
    }

    fn check_drop(&self, lock: &Lock, height: Height) -> Result<(), Code> {
        let answer = self.inc.locks.get(&lock.id).and_then(|known| known.answer);
        let given_up = matches!(answer, Some(Answer::Failed(_)));
        let over = given_up || lock.expired_at(height);
        if over || !rule_is_on(Rule::DropOnlyWhenOver) { Ok(()) } else { Err(Code::DropNotAllowed) }
    }

    /// Rule 3's second half and rule 5: the proof says what the operations make, and is funded.
    fn check_totals(&self, proof: &BalanceProof, after: &Tally) -> Result<(), Code> {
        if !after.is_said_by(proof) {
            return Err(Code::TotalsMismatch);
        }
        let free = self.free(proof.from, proof.peer_transferred, after);
        if free < 0 && rule_is_on(Rule::Funded) { Err(Code::Overdraft) } else { Ok(()) }
    }
}

/// Rule 6 for one lock, apart from the limits on all of them together. The sender keeps to it too.
pub(super) fn check_new_lock(lock: &Lock, last_id: u64, now: &Now<'_>) -> Result<(), Code> {
    if lock.id <= last_id {
        return Err(Code::LockIdUsed);
    }
    if !(1..=STEPS_MAX).contains(&lock.steps) {
        return Err(Code::StepsOutOfRange);
    }
    let value = lock.value().ok_or(Code::AmountOverflow)?;
    if value < now.policy.min_lock || value == Amount::ZERO {
        return Err(Code::LockTooSmall);
    }
    if !now.is_fresh() {
        return Err(Code::StaleView);
    }
    if lock.expired_at(now.view.height) {
        return Err(Code::ExpiryPassed);
    }
    let policy = now.policy;
    let life = if lock.steps == 1 { policy.lock_life_max } else { policy.stream_life_max };
    // The sender's fresh view may be `lag` blocks ahead of this one.
    let latest = now.view.height.after(life).after(now.lag);
    let latest = nudged(latest, Bug::LivesShort, Bug::LivesLong);
    if lock.expiry > latest { Err(Code::ExpiryTooFar) } else { Ok(()) }
}
