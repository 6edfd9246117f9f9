//! Meeting again: what each side shows the other first, and what follows from it.

use super::{Answer, Channel, Effect, HASHES_PER_MESSAGE, Step};
use crate::lock::Lock;
use crate::proof::SnapshotRef;
use crate::reject::Code;
use crate::types::{Amount, PublicKey};

/// What is to be done after the other side has shown what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncOutcome {
    /// To commit, in order: what the other side's view settles by itself.
    pub steps: Vec<Step>,
    /// Whether one side has lost state. The channel is then suspended: the steps say so.
    pub lost: Option<Code>,
    /// Whether it is the other side that has: it is to be shown both directions in full.
    pub show: bool,
}

impl Channel {
    /// What this side shows: the newest proof of its own direction that it signed, refused or not
    /// (the other side may have kept it after all), and the newest that it accepted of the other's.
    pub fn snapshot_refs(&self) -> (SnapshotRef, SnapshotRef) {
        let own = self.out.newest_proof().map_or(SnapshotRef::NONE, SnapshotRef::of);
        let theirs = self.inc.proof.as_ref().map(|signed| SnapshotRef::of(&signed.value));
        (own, theirs.unwrap_or(SnapshotRef::NONE))
    }

    /// Whether the other side shows less than it has shown or agreed to before. On a connection on
    /// which both have shown that they hold the same, such word is old and was overtaken: nobody
    /// loses state within a connection. Elsewhere it is a loss ([`Channel::check_sync`]).
    pub fn is_shown_less(&self, own: &SnapshotRef, yours: &SnapshotRef) -> bool {
        own.seq < self.inc.tally.seq || yours.seq < self.out.accepted.seq
    }

    /// Judges what the other side shows: `own`, its newest proof of its own direction, and `yours`,
    /// the newest of this side's that it accepted.
    pub fn check_sync(&self, own: &SnapshotRef, yours: &SnapshotRef) -> SyncOutcome {
        let mut steps = vec![Step::Resumed];
        let lost = self.judge_own_direction(yours, &mut steps).err();
        let (_, accepted) = self.snapshot_refs();
        let behind = own.seq < accepted.seq;
        let other = own.seq == accepted.seq && own.digest != accepted.digest;
        let incomplete = !self.covered() || self.has_signed_more() || self.lacks_theirs();
        let lost = lost.or((behind || other || incomplete).then_some(Code::StateLost));
        if let Some(code) = lost {
            steps = vec![Step::Suspended { code }];
        }
        let show = lost.is_some() && (behind || yours.seq < self.out.accepted.seq);
        SyncOutcome { steps, lost, show }
    }

    /// What the other side accepted of this side's direction: an answer that was lost on the way,
    /// or a sign that somebody lost state.
    fn judge_own_direction(&self, yours: &SnapshotRef, steps: &mut Vec<Step>) -> Result<(), Code> {
        let out = &self.out;
        let accepted = out.accepted_proof.as_ref().map_or(SnapshotRef::NONE, SnapshotRef::of);
        if *yours == accepted {
            return Ok(());
        }
        let mut flights = out.in_flight.iter().chain(out.refused.iter().map(|r| &r.flight));
        // What was made on an older state than the accepted one can't have been accepted after it.
        let known = flights.any(|flight| {
            flight.base == out.accepted.seq && SnapshotRef::of(&flight.proof) == *yours
        });
        if !known {
            return Err(Code::StateLost);
        }
        steps.push(Step::Acked { seq: yours.seq });
        Ok(())
    }

    /// What is said again after meeting: the unanswered update, and every answer that the other
    /// side's direction does not show yet. Saying it twice does no harm.
    pub fn to_resend(&self) -> Vec<Effect> {
        let update = self.out.in_flight.as_ref().map(|_| Effect::SendUpdate);
        let answers = self.inc.locks.iter().flat_map(|(id, lock)| match lock.answer {
            Some(Answer::Known { secret, steps }) => {
                Lock::strides(&secret, steps, HASHES_PER_MESSAGE)
                    .into_iter()
                    .map(|secret| Effect::SendReveal { id: *id, secret })
                    .collect()
            }
            Some(Answer::Failed(code)) => vec![Effect::SendFail { id: *id, code }],
            Some(Answer::Expired | Answer::Held) | None => Vec::new(),
        });
        update.into_iter().chain(answers).collect()
    }

    /// The other side's key.
    pub fn peer_key(&self) -> &PublicKey {
        self.terms.key(self.me.other())
    }

    /// What the other side has sent in total, as this side can prove it.
    pub fn received(&self) -> Amount {
        self.inc.tally.transferred
    }

    /// A step that suspends the channel until the sides meet again.
    pub fn suspend(&self, code: Code) -> Step {
        Step::Suspended { code }
    }
}
