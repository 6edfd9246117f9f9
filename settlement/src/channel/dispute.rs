//! What a side must bring before the ledger, and by when.

use super::{Answer, Channel, Now, Phase};
use crate::bugs::{Bug, nudged};
use crate::lock::Lock;
use crate::rules::{Rule, rule_is_on};
use crate::tx::Submission;
use crate::types::{Height, Secret};

/// Something that this side must do on the ledger, or lose money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Close and claim, in one transaction: a lock whose secret is known here has not been settled
    /// and comes close to its expiry.
    CloseAndClaim,
    /// The channel is closing, and a proof or a claim of this side's is not on the ledger yet.
    Answer,
}

impl Channel {
    /// What is to be done on the ledger at this height. Also without a fresh view: claiming too
    /// early costs nothing but the channel.
    pub fn duty(&self, now: &Now<'_>) -> Option<Duty> {
        match self.phase {
            Phase::Open => {
                let due = self.claim_by(now)?;
                (now.view.height >= due).then_some(Duty::CloseAndClaim)
            }
            // No lock is pending when a close is agreed, and none comes after.
            Phase::Agreed { .. } => None,
            Phase::ClosingSoon => Some(Duty::CloseAndClaim),
            Phase::Closing { proofs_until, .. } => {
                let proof_missing = now.view.height < proofs_until && self.proof_missing();
                let claims = self.claims(now.view.height);
                (proof_missing || !claims.is_empty()).then_some(Duty::Answer)
            }
            Phase::Closed { .. } => None,
        }
    }

    /// Whether a side that has not met the other since its process started may still wait with
    /// [`Duty::CloseAndClaim`]. What it holds may be an old copy, which the other side shows it, and
    /// to close on that would give away what came after it; and old blocks that it follows at its
    /// start make nothing urgent that is over by now. It waits for a fresh view, and then for the
    /// slack in every margin, no longer.
    pub fn may_wait_to_meet(&self, now: &Now<'_>) -> bool {
        let until = self.claim_by(now).map(|due| due.after(now.policy.margin));
        self.phase == Phase::Open
            && (!now.view.fresh || until.is_none_or(|until| now.view.height < until))
    }

    /// The height at which this side closes and claims if nothing settles its locks before:
    /// `claim_margin` blocks before the first expiry of a lock whose secret it knows.
    pub fn claim_by(&self, now: &Now<'_>) -> Option<Height> {
        let known = self.known_locks().map(|(lock, _)| lock.expiry);
        // What no block can take a claim for any more is lost: closing for it would gain nothing.
        let alive = known.filter(|expiry| *expiry > now.view.height.after(1));
        let margin = if rule_is_on(Rule::ClaimInTime) { now.policy.claim_margin } else { 2 };
        alive.min().map(|expiry| nudged(expiry.before(margin), Bug::ClosesEarly, Bug::ClosesLate))
    }

    fn known_locks(&self) -> impl Iterator<Item = (&Lock, Secret)> {
        self.inc.tally.locks.iter().filter_map(|lock| {
            match self.inc.locks.get(&lock.id)?.answer? {
                Answer::Known { secret, .. } => Some((lock, secret)),
                _ => None,
            }
        })
    }

    /// Claims that still count in the next block and are not on the ledger.
    fn claims(&self, height: Height) -> Vec<(u64, Secret)> {
        let shown = &self.on_ledger.shown;
        self.known_locks()
            .filter(|(lock, secret)| {
                !lock.expired_at(height.after(1)) && shown.get(&lock.id) != Some(secret)
            })
            .map(|(lock, secret)| (lock.id, secret))
            .collect()
    }

    fn proof_missing(&self) -> bool {
        self.inc.tally.seq > self.on_ledger.standing_seq
            || (self.inc.tally.seq > 0
                && !self.on_ledger.proven.opened
                && self.known_locks().count() > 0)
    }

    /// All that this side has to bring: the other side's newest proof, its locks opened, and every
    /// claim that still counts. `close` starts the challenge window.
    pub fn submission(&self, close: bool, height: Height) -> Submission {
        Submission {
            channel: self.id,
            by: self.me,
            close,
            proof: self.inc.proof.clone(),
            locks: self.inc.tally.locks.clone(),
            claims: self.claims(height),
        }
    }
}
