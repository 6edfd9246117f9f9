//! Submissions: what one side Y of a channel brings against the other side X.
//!
//! The parts of a submission stand alone: the close, the proof, each claim. A part that has come
//! too late, or that somebody else was faster with, never refuses the rest; so a front-run close
//! costs nobody time. Refused is only what can be seen to change nothing without hashing.
//!
//! Without a close, on a channel that is open, the proof is recorded all the same: it stands, its
//! acknowledgments bind, and both stay when a close comes. Claims don't count there.
//!
//! A secret in a submission is public from then on, whether it counted or not, so every claim of a
//! submission that got into a block is shown as an event.

use super::Ledger;
use super::boundaries;
use super::channel::{ChannelState, Closing, Direction, find};
use super::measured::Measured;
use crate::block::LedgerEvent;
use crate::lock::Lock;
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::tx::Submission;
use crate::types::{Height, Role, Secret};

/// What a submission would do.
#[derive(Debug)]
pub(super) struct Plan {
    /// Starts the window.
    closes: bool,
    /// Its proof will stand.
    pub(super) stands: bool,
    /// Claims worth measuring, by their place.
    pub(super) claims: Vec<(u64, Secret)>,
    /// How many hashes it may cost at most.
    pub(super) cost: Cost,
    /// The nearest height after which a part of it no longer counts.
    pub(super) protects: Option<Height>,
}

/// How many hashes something may cost at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Cost {
    /// All of them.
    pub(super) hashes: u64,
    /// Those on locks of more than one step.
    pub(super) streams: u64,
}

impl Cost {
    /// Of measuring a secret on each of these locks.
    fn of<'a>(locks: impl IntoIterator<Item = &'a Lock>) -> Cost {
        locks.into_iter().fold(Cost::default(), |sum, lock| {
            let steps = u64::from(lock.steps);
            let streams = if lock.steps > 1 { steps } else { 0 };
            sum.and(Cost { hashes: steps, streams })
        })
    }

    fn and(self, other: Cost) -> Cost {
        Cost {
            hashes: self.hashes.saturating_add(other.hashes),
            streams: self.streams.saturating_add(other.streams),
        }
    }
}

impl Ledger {
    pub(super) fn plan_submit(&self, body: &Submission, block: Height) -> Result<Plan, Code> {
        let channel = self.state.channel(&body.channel);
        let channel = channel.ok_or(Code::NoSuchChannel)?;
        let closes = body.close && channel.closing.is_none();
        let direction = channel.directions.of(body.direction());
        let in_time = channel.takes_proofs(block);
        let better = proof_of(body).is_some_and(|proof| direction.improved_by(proof, &body.locks));
        let mut plan = Plan::new(body, direction, block, closes, in_time && better);
        if let (true, Some(closing)) = (plan.stands, channel.closing) {
            let window =
                plan.protects.map_or(closing.proofs_until, |h| h.min(closing.proofs_until));
            plan.protects = Some(window);
        }
        let open = channel.closing.is_none() && !closes;
        if body.close && !closes && !rule_is_on(Rule::CloseTwice) {
            return Err(Code::NotOpen);
        }
        if open && rule_is_on(Rule::ClaimsOnlyWhileClosing) {
            // A secret shown before its time would pay for a lock that both sides still count on
            // settling, or dropping, between themselves.
            plan.claims.clear();
            plan.cost = Cost::default();
            plan.protects = None;
        }
        if plan.closes || plan.stands || !plan.claims.is_empty() {
            return Ok(plan);
        }
        Err(match (better, open) {
            (true, _) => Code::WindowOver,
            (false, true) if !body.claims.is_empty() => Code::ClaimsOnOpenChannel,
            _ => Code::ChangesNothing,
        })
    }

    pub(super) fn execute_submit(
        &mut self,
        body: &Submission,
        block: Height,
        measured: &Measured,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Code> {
        let planned = self.plan_submit(body, block);
        let channel = self.state.channel(&body.channel);
        let Some(mut channel) = channel.cloned() else {
            return Err(Code::NoSuchChannel);
        };
        let changed = match planned {
            Ok(plan) => Ok(plan.commit(body, block, measured, &mut channel, events)),
            Err(code) => Err(code),
        };
        show_claims(body, &channel, events);
        if changed? {
            self.state.put_channel(body.channel, Some(channel));
            Ok(())
        } else {
            Err(Code::ChangesNothing)
        }
    }
}

impl Plan {
    fn new(
        body: &Submission,
        direction: &Direction,
        block: Height,
        closes: bool,
        stands: bool,
    ) -> Plan {
        let (locks, measured) = if stands {
            let locks = body.locks.as_slice();
            (locks, Cost::of(direction.measured_again(locks)))
        } else {
            (direction.locks.as_slice(), Cost::default())
        };
        let claimable = |(id, secret): &(u64, Secret)| -> Option<&Lock> {
            let lock = find(locks, *id)?;
            let known = direction.claims.get(id);
            let same = known.is_some_and(|known| known.secret == *secret);
            let full = !stands && known.is_some_and(|known| known.steps >= lock.steps);
            let counts = boundaries::claim_counts(block, lock.expiry);
            (counts && !same && !full).then_some(lock)
        };
        let worth = |claim: &&(u64, Secret)| claimable(claim).is_some();
        let claimed = || body.claims.iter().filter_map(claimable);
        Plan {
            closes,
            stands,
            claims: body.claims.iter().filter(worth).copied().collect(),
            cost: measured.and(Cost::of(claimed())),
            protects: claimed().map(|lock| lock.expiry).min(),
        }
    }

    /// Whether anything changed.
    fn commit(
        self,
        body: &Submission,
        block: Height,
        measured: &Measured,
        channel: &mut ChannelState,
        events: &mut Vec<LedgerEvent>,
    ) -> bool {
        if self.closes {
            let proofs_until = boundaries::proofs_until(block, channel.terms.challenge_blocks);
            channel.closing = Some(Closing { by: body.by, height: block, proofs_until });
            events.push(LedgerEvent::CloseStarted {
                channel: body.channel,
                by: body.by,
                proofs_until,
            });
        }
        if let Some(proof) = proof_of(body).filter(|_| self.stands) {
            record(channel, body.direction().other(), proof, &body.locks, measured);
            events.push(LedgerEvent::ProofRecorded { proof: *proof, locks: body.locks.clone() });
        }
        let direction = channel.directions.of_mut(body.direction());
        let mut changed = self.closes || self.stands;
        for (id, secret) in self.claims {
            changed |= direction.claim(id, secret, measured);
        }
        changed
    }
}

/// Lets a proof that `by` brought stand. What its signer acknowledges in it binds the signer for
/// good, whatever becomes of the proof: a floor under what it was paid, and older proofs of the
/// other direction are void.
pub(super) fn record(
    channel: &mut ChannelState,
    by: Role,
    proof: &BalanceProof,
    locks: &[Lock],
    measured: &Measured,
) {
    let direction = channel.directions.of_mut(by.other());
    direction.stand(*proof, locks, measured);
    let opposite = channel.directions.of_mut(by);
    if rule_is_on(Rule::Floor) {
        opposite.floor = opposite.floor.max(proof.peer_transferred);
    }
    opposite.void_below = opposite.void_below.max(proof.peer_seq);
}

fn show_claims(body: &Submission, channel: &ChannelState, events: &mut Vec<LedgerEvent>) {
    let from = body.direction();
    let direction = channel.directions.of(from);
    let shown = |(id, secret): &(u64, Secret)| LedgerEvent::ClaimShown {
        channel: body.channel,
        from,
        id: *id,
        secret: *secret,
        steps: direction.counted(*id, secret),
    };
    events.extend(body.claims.iter().map(shown));
}

fn proof_of(body: &Submission) -> Option<&BalanceProof> {
    body.proof.as_ref().map(|proof| &proof.value)
}

#[cfg(test)]
mod tests;
