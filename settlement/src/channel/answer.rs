//! What becomes of locks: secrets and failures, from either side, and expiry.

use std::sync::Arc;

use super::send::Flight;
use super::{Answer, Channel, HASHES_PER_MESSAGE, Now, Phase, Step};
use crate::bugs::{Bug, nudged};
use crate::lock::{Guess, Lock, STEPS_MAX};
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Height, Secret};

impl Channel {
    /// The other side reveals the secret of a lock of this side's direction.
    ///
    /// `None` for what changes nothing: a lock that is gone, a secret that is known already, or one
    /// that comes at or after the lock's expiry, when the money is this side's again.
    ///
    /// # Errors
    /// [`Code::SecretMismatch`] when it does not fit: the shell then suspends the channel
    /// ([`Channel::suspend`]), not the connection.
    pub fn check_reveal(
        &self,
        id: u64,
        secret: &Secret,
        now: &Now<'_>,
    ) -> Result<Option<Step>, Code> {
        self.weigh_reveal(id, secret, now).0
    }

    /// The same, with how many hashes it took to find out.
    pub fn weigh_reveal(&self, id: u64, secret: &Secret, now: &Now<'_>) -> Weighed {
        let Some(standing) = self.out.standing.get(&id) else { return (Ok(None), 0) };
        let late = standing.lock.expired_at(now.view.height);
        if late && rule_is_on(Rule::LateSecret) {
            return (Ok(None), 0);
        }
        self.measure_own(id, secret, HASHES_PER_MESSAGE)
    }

    /// Whether a claim in this block is too late for a lock of this side's direction. It counts for
    /// nothing, now or later, so what it shows is worth no more than a late reveal: not even where a
    /// part of the lock is known, which does not expire. A hub that took it would pay steps on for
    /// which the payer's lock may be over.
    pub(super) fn is_late(&self, id: u64, block: Height) -> bool {
        let standing = self.out.standing.get(&id).filter(|_| rule_is_on(Rule::LateClaim));
        standing.is_some_and(|standing| standing.lock.expired_at(block))
    }

    /// A secret for a lock of this side's direction that has become public on the ledger in time,
    /// however deep: it counts there, or may, and whoever brought it paid for its hashes.
    pub(super) fn learn(&self, id: u64, secret: &Secret) -> Result<Option<Step>, Code> {
        self.measure_own(id, secret, STEPS_MAX).0
    }

    fn measure_own(&self, id: u64, secret: &Secret, most: u32) -> Weighed {
        let Some(standing) = self.out.standing.get(&id) else { return (Ok(None), 0) };
        // The money is back for good: no claim that counts can come any more.
        if standing.answer == Some(Answer::Expired) {
            return (Ok(None), 0);
        }
        let (answer, hashes) = measure(&standing.lock, standing.answer, secret, most);
        let step = answer.map(|answer| Some(Step::PeerAnswered { id, answer: answer? }));
        (step, hashes)
    }

    /// The other side gives up a lock of this side's direction. `None` when that changes nothing:
    /// the lock has been answered, or stands in no accepted or pending update.
    pub fn check_fail(&self, id: u64, code: Code) -> Option<Step> {
        let standing = self.out.standing.get(&id)?;
        let pending = standing.answer.is_none() && self.out.tip().lock(id).is_some();
        pending.then_some(Step::PeerAnswered { id, answer: Answer::Failed(code) })
    }

    /// What the other side's answer to a lock says beside: that it has taken the update that adds the
    /// lock, if that is in flight or counts as refused. To be committed first, as the acknowledgment may be
    /// lost: a side that loses state after it has acted on an update would refuse that as if it had
    /// never come. It wins over a refusal just as an acknowledgment does.
    pub fn acknowledged_by(&self, answer: &Step) -> Option<Step> {
        let Step::PeerAnswered { id, .. } = answer else { return None };
        let out = &self.out;
        let mut flights = out.in_flight.iter().chain(out.refused.iter().map(|r| &r.flight));
        let adds = |flight: &&Arc<Flight>| {
            flight.base == out.accepted.seq && flight.after.lock(*id).is_some()
        };
        let known = out.accepted.lock(*id).is_some();
        let flight = flights.find(adds).filter(|_| !known)?;
        Some(Step::Acked { seq: flight.proof.seq })
    }

    /// This side shows the secret of a lock of the other side's direction. Passing on a known
    /// secret is always right; whether a payee should show one of its own is [`Channel::claimable`].
    ///
    /// # Errors
    /// [`Code::UnknownLock`]; [`Code::SecretMismatch`].
    pub fn reveal(&self, id: u64, secret: &Secret) -> Result<Option<Step>, Code> {
        let lock = self.inc.tally.lock(id).ok_or(Code::UnknownLock)?;
        let known = self.inc.locks.get(&id).ok_or(Code::UnknownLock)?;
        let (answer, _) = measure(lock, known.answer, secret, HASHES_PER_MESSAGE);
        Ok(answer?.map(|answer| Step::Answered { id, answer }))
    }

    /// The same for a secret that was measured already, in another lock on the same chain: `left`
    /// steps of it lie beyond the secret. No hash is made.
    ///
    /// # Errors
    /// [`Code::UnknownLock`].
    pub fn reveal_measured(
        &self,
        id: u64,
        secret: &Secret,
        left: u32,
    ) -> Result<Option<Step>, Code> {
        let lock = self.inc.tally.lock(id).ok_or(Code::UnknownLock)?;
        let known = self.inc.locks.get(&id).ok_or(Code::UnknownLock)?;
        let known = known_in(known.answer).map_or(0, |(_, steps)| steps);
        let steps = lock.steps.checked_sub(left).filter(|steps| *steps > known);
        let answer = steps.map(|steps| Answer::Known { secret: *secret, steps });
        Ok(answer.map(|answer| Step::Answered { id, answer }))
    }

    /// How many steps lie between the deepest secret that is known of a lock of the other's direction
    /// and one that was measured, beyond which `left` steps are left; 0 when it is no deeper.
    pub fn steps_beyond_known(&self, id: u64, left: u32) -> u32 {
        let lock = self.inc.tally.lock(id);
        let known = self.inc.locks.get(&id).and_then(|known| known_in(known.answer));
        let known = known.map_or(0, |(_, steps)| steps);
        lock.map_or(0, |lock| lock.steps.saturating_sub(left).saturating_sub(known))
    }

    /// What is shown one after the other so that the other side, which looks no further than
    /// [`HASHES_PER_MESSAGE`] in one message, takes in a secret of this depth, as one that was
    /// claimed with on the ledger. Just the secret when it does not fit; nothing, and no hash, when
    /// it is what is known: a wallet may have the hub pass that on as often as it says hello.
    pub fn strides_to(&self, id: u64, secret: &Secret) -> Vec<Secret> {
        let known = self.inc.locks.get(&id).and_then(|known| known_in(known.answer));
        if known.is_some_and(|(known, _)| known == *secret) {
            return Vec::new();
        }
        let lock = self.inc.tally.lock(id);
        // Nothing needs to be measured of one that no message is too small for.
        let long = lock.filter(|lock| lock.steps > HASHES_PER_MESSAGE);
        let steps = long.and_then(|lock| lock.redeem(secret)).map_or(0, |redeemed| redeemed.steps);
        Lock::strides(secret, steps, HASHES_PER_MESSAGE)
    }

    /// This side gives up a lock of the other side's direction. Never once its secret is known
    /// here: that is folded first. Whoever gives up one that is [`Answer::Held`] has found out that
    /// nothing was done about it.
    ///
    /// # Errors
    /// [`Code::UnknownLock`]; [`Code::NothingToDo`] when it has been answered.
    pub fn fail(&self, id: u64, code: Code) -> Result<Step, Code> {
        self.inc.tally.lock(id).ok_or(Code::UnknownLock)?;
        let known = self.inc.locks.get(&id).ok_or(Code::UnknownLock)?;
        match known.answer {
            None | Some(Answer::Held) => Ok(Step::Answered { id, answer: Answer::Failed(code) }),
            Some(_) if rule_is_on(Rule::NoFailAfterSecret) => Err(Code::NothingToDo),
            Some(_) => Ok(Step::Answered { id, answer: Answer::Failed(code) }),
        }
    }

    /// This side can't say what it has done about an unanswered lock of the other's direction: it
    /// neither gives it up nor passes it on until it has found out.
    pub fn hold(&self, id: u64) -> Option<Step> {
        let known = self.inc.locks.get(&id)?;
        known.answer.is_none().then_some(Step::Answered { id, answer: Answer::Held })
    }

    /// Whether a payee can still show a secret for this incoming lock without risk: the view is
    /// fresh, the channel is not closing nor to be closed by something that is forgotten, and enough
    /// blocks are left to claim on the ledger if the other side does not settle.
    ///
    /// # Errors
    /// [`Code::UnknownLock`], [`Code::ChannelClosing`], [`Code::Recovering`],
    /// [`Code::LedgerStalled`], [`Code::ExpiryTooSoon`].
    pub fn claimable(&self, id: u64, now: &Now<'_>) -> Result<Lock, Code> {
        let lock = self.inc.tally.lock(id).ok_or(Code::UnknownLock)?;
        if !matches!(self.phase, Phase::Open) {
            return Err(Code::ChannelClosing);
        }
        self.check_nothing_forgotten()?;
        if !now.is_fresh() {
            return Err(Code::LedgerStalled);
        }
        let policy = now.policy;
        let needed = now.view.height.after(policy.claim_margin).after(policy.settle_grace);
        let needed = nudged(needed, Bug::RevealsLate, Bug::RevealsShort);
        let enough = lock.expiry >= needed || !rule_is_on(Rule::RevealMargin);
        if !enough { Err(Code::ExpiryTooSoon) } else { Ok(*lock) }
    }

    /// Locks of this side's direction that have expired unclaimed, in a fresh view: their money is
    /// this side's again, whether or not the other side says so. A proof that still has them can't
    /// be claimed on any more.
    pub fn expire(&self, now: &Now<'_>) -> Vec<Step> {
        if !now.is_fresh() {
            return Vec::new();
        }
        let unclaimed = |answer: Option<Answer>| matches!(answer, None | Some(Answer::Failed(_)));
        let early = if rule_is_on(Rule::RefundAtExpiry) { 0 } else { now.policy.claim_margin };
        let height = now.view.height.after(early);
        let expired =
            self.out.standing.iter().filter(|(_, standing)| {
                standing.lock.expired_at(height) && unclaimed(standing.answer)
            });
        expired.map(|(id, _)| Step::PeerAnswered { id: *id, answer: Answer::Expired }).collect()
    }
}

/// What something comes to, and how many hashes it took to find out.
pub type Weighed = (Result<Option<Step>, Code>, u32);

/// The deepest secret that is known, and how deep it is.
pub(super) fn known_in(answer: Option<Answer>) -> Option<(Secret, u32)> {
    match answer {
        Some(Answer::Known { secret, steps }) => Some((secret, steps)),
        _ => None,
    }
}

/// What a secret newly tells about a lock, for at most so many hashes beyond what is known; `None`
/// when it tells nothing new. With it, how many were made.
fn measure(
    lock: &Lock,
    before: Option<Answer>,
    secret: &Secret,
    most: u32,
) -> (Result<Option<Answer>, Code>, u32) {
    let known = known_in(before);
    // What was settled already comes around again after a reconnect.
    if secret.0 == lock.anchor.0 || known.is_some_and(|(known, _)| known == *secret) {
        return (Ok(None), 0);
    }
    let measured = lock.measure(secret, known, most, Guess::Deeper);
    let known_steps = known.map_or(0, |(_, steps)| steps);
    let answer = measured
        .steps
        .ok_or(Code::SecretMismatch)
        .map(|steps| (steps > known_steps).then_some(Answer::Known { secret: *secret, steps }));
    (answer, measured.hashes)
}
