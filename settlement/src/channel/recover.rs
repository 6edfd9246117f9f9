//! A side that lost state takes it back from the other: what it adopts, what it refuses, and the
//! leap that makes whatever was not shown worthless.
//!
//! # Why this is safe
//! - Only what a side has **signed itself** is adopted without more: it is bound by it already.
//! - Of the other's direction a newer proof is taken if neither of the two proofs acknowledges more
//!   of the other direction than is shown of it. An acknowledgment of more says that something
//!   newer is kept back: then one is closed on, and nothing that was shown reaches the ledger from
//!   here. (A proof that acknowledges payments which this side never made would raise its debt.)
//! - A lock of the other's that vanished unpaid was given up by this side, or is stolen. It was
//!   given up if this side has signed that it holds the proof without it; else it must have expired.
//! - Adopted locks are [`Answer::Held`]: neither failed nor passed on, since nobody here knows what
//!   was done about them. Their secrets are passed on as ever; else they end at their expiry.
//! - Nothing is agreed before the [leap](Channel::leap): a proof that was signed and is kept back
//!   has a lower `seq`, and the first acknowledgment of one that comes after retires it.
//! - What was signed for the ledger and is forgotten is waited out (module `forgotten`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::forgotten::Hold;
use super::snapshot::{Taken, TakenLock, VerifiedSnapshot};
use super::state::{IncomingLock, SentProof, Standing};
use super::tally::Tally;
use super::{Answer, Channel, Effect, Now, Phase, Step};
use crate::bugs::{Bug, nudged, planted};
use crate::lock::Lock;
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Height, Role, Secret};

/// A leap goes to this multiple of the height.
pub(super) const LEAP: u64 = 1 << 32;

/// The height of the newest leap before a proof with this number; `None` where there was none.
pub fn leapt_at(seq: u64) -> Option<Height> {
    seq.checked_div(LEAP).filter(|height| *height > 0).map(Height)
}

/// What was shown, as far as it is newer. A direction that is not stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The own direction.
    pub own: Option<Taken>,
    /// The other side's.
    pub theirs: Option<Taken>,
}

/// What is to be done about directions that were shown in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing: they are not newer than what is held, or not fit to be taken, and nothing says that
    /// this side has lost anything.
    Nothing,
    /// To commit. From then on nothing is agreed until [`Channel::leap`].
    Take(Step),
    /// They may be taken later: a lock that is missing in them has not expired.
    Wait,
    /// This side has lost state, and is shown a poisoned or a stale one: it must close.
    Close,
}

/// One of the two directions as it would be.
struct Side<'a> {
    proof: Option<&'a BalanceProof>,
    locks: Vec<&'a Lock>,
    newer: bool,
}

impl Side<'_> {
    fn seq(&self) -> u64 {
        self.proof.map_or(0, |proof| proof.seq)
    }

    fn transferred(&self) -> Amount {
        self.proof.map_or(Amount::ZERO, |proof| proof.transferred)
    }

    fn committed(&self) -> i128 {
        let locked = self.proof.map_or(0, |proof| proof.locked.wide());
        self.transferred().wide().saturating_add(locked)
    }

    /// Whether this proof acknowledges no more of the other direction than is there.
    fn acknowledges_within(&self, other: &Side<'_>) -> bool {
        self.proof.is_none_or(|proof| {
            proof.peer_seq <= other.seq() && proof.peer_transferred <= other.transferred()
        })
    }
}

impl Channel {
    /// Judges directions that the other side has shown in full. `lost` says that this side knows
    /// from elsewhere that it has lost state; a newer proof of its own says so, too.
    pub fn check_snapshots(
        &self,
        shown: &[VerifiedSnapshot],
        lost: bool,
        now: &Now<'_>,
    ) -> Adoption {
        if self.phase != Phase::Open {
            return Adoption::Nothing;
        }
        let of = |role: Role| {
            shown.iter().find(|s| s.proof().channel == self.id && s.proof().from == role)
        };
        let (own_shown, theirs_shown) = (of(self.me), of(self.me.other()));
        let own = self.own_side(own_shown);
        let theirs = self.their_side(theirs_shown);
        let lost = lost || own.newer || self.has_signed_more();
        if !own.newer && !theirs.newer {
            let hidden = lost && !self.is_fit(&own, &theirs);
            return if hidden { Adoption::Close } else { Adoption::Nothing };
        }
        if !self.is_fit(&own, &theirs) {
            return if lost { Adoption::Close } else { Adoption::Nothing };
        }
        if theirs.newer && !self.nothing_vanished(&own, &theirs, now) {
            return Adoption::Wait;
        }
        let own = own_shown.filter(|_| own.newer).map(VerifiedSnapshot::taken);
        let theirs = theirs_shown.filter(|_| theirs.newer).map(VerifiedSnapshot::taken);
        Adoption::Take(Step::Adopted(Box::new(Adopted { own, theirs })))
    }

    /// The leap, once a view is fresh that is more than `lag` blocks above `fresh_from`, the height
    /// of the first fresh view since the process started. By then a block that the process before
    /// it could have known is below: no two lives of this side ever use one number.
    pub fn leap(&self, fresh_from: Height, now: &Now<'_>) -> Option<Step> {
        let due = self.hold.suspended == Some(Code::Recovering)
            && now.view.fresh
            && now.view.height > nudged(fresh_from.after(now.lag), Bug::LeapsEarly, Bug::LeapsLate);
        due.then_some(Step::Leapt { height: now.view.height })
    }

    /// Whether state was taken back, and the leap has not been made.
    pub fn is_recovering(&self) -> bool {
        self.hold.suspended == Some(Code::Recovering)
    }

    /// Whether the ledger has shown a proof of this side's that it does not know of, or more
    /// acknowledged than it has sent: it has lost state.
    pub fn has_signed_more(&self) -> bool {
        let seen = self.on_ledger.proven.seen.of(self.me);
        seen.seq > self.newest_seq() || seen.transferred > self.out.tip().transferred
    }

    /// Whether the ledger has shown more of the other side's direction than this side holds: two
    /// sides that hold the same then lack the same.
    pub(super) fn lacks_theirs(&self) -> bool {
        let seen = self.on_ledger.proven.seen.of(self.me.other());
        let tally = &self.inc.tally;
        seen.seq > tally.seq || seen.transferred > tally.transferred
    }

    fn newest_seq(&self) -> u64 {
        self.out.newest_proof().map_or(0, |proof| proof.seq)
    }

    fn own_side<'a>(&'a self, shown: Option<&'a VerifiedSnapshot>) -> Side<'a> {
        let held = self.out.accepted_proof.as_ref();
        let newer = |shown: &&VerifiedSnapshot| shown.proof().seq > self.newest_seq();
        side(shown.filter(newer), held, &self.out.accepted)
    }

    fn their_side<'a>(&'a self, shown: Option<&'a VerifiedSnapshot>) -> Side<'a> {
        let held = self.inc.proof.as_ref().map(|signed| &signed.value);
        let newer = |shown: &&VerifiedSnapshot| shown.proof().seq > self.inc.tally.seq;
        side(shown.filter(newer), held, &self.inc.tally)
    }

    /// Whether both directions can be what was last agreed: neither acknowledges more of the other
    /// than there is, none falls behind what is held or was seen on the ledger, and each is funded.
    fn is_fit(&self, own: &Side<'_>, theirs: &Side<'_>) -> bool {
        // An unanswered update may be what the other side acknowledges.
        let in_flight = self.out.in_flight.as_ref().filter(|_| !own.newer);
        let tip = in_flight.map(|flight| Side {
            proof: Some(&flight.proof),
            locks: flight.after.locks.iter().collect(),
            newer: false,
        });
        let own_most = tip.as_ref().unwrap_or(own);
        let held =
            (self.out.accepted_proof.as_ref(), self.inc.proof.as_ref().map(|signed| &signed.value));
        let free = |owner: Role, side: &Side<'_>, received: &Side<'_>| {
            let net = self.escrow.of(owner).net();
            net.saturating_add(received.transferred().wide()) >= side.committed()
        };
        own.acknowledges_within(theirs)
            && theirs.acknowledges_within(own_most)
            && not_behind(own, held.0)
            && not_behind(theirs, held.1)
            && self.is_above_ledger(self.me, own_most)
            && self.is_above_ledger(self.me.other(), theirs)
            && free(self.me, own_most, theirs)
            && free(self.me.other(), theirs, own_most)
    }

    fn is_above_ledger(&self, role: Role, side: &Side<'_>) -> bool {
        let seen = self.on_ledger.proven.seen.of(role);
        side.seq() >= seen.seq && side.transferred() >= seen.transferred
    }

    /// Whether every lock of the other's that is held and not shown any more was paid, given up, or
    /// has expired.
    fn nothing_vanished(&self, own: &Side<'_>, theirs: &Side<'_>, now: &Now<'_>) -> bool {
        // This side has signed that it holds just this proof.
        if own.proof.is_some_and(|proof| proof.peer_seq >= theirs.seq()) {
            return true;
        }
        let left: BTreeMap<u64, &Lock> = theirs.locks.iter().map(|lock| (lock.id, *lock)).collect();
        let value = |lock: &Lock| lock.value().unwrap_or_default().wide();
        // What is left of a lock is the lock itself, or the rest of a stream behind a value of it.
        let stands = |lock: &Lock, rest: &Lock| {
            let redeemed = || lock.redeem(&Secret(rest.anchor.0)).and_then(|it| it.rest);
            lock == rest || redeemed().as_ref() == Some(rest)
        };
        let vanished = self.inc.tally.locks.iter().map(|lock| {
            let answer = self.inc.locks.get(&lock.id).and_then(|known| known.answer);
            let over = matches!(answer, Some(Answer::Failed(_)))
                || now.view.fresh && lock.expired_at(now.view.height);
            let rest = left.get(&lock.id).filter(|rest| !over && stands(lock, rest));
            let rest = rest.map_or(0, |rest| value(rest));
            if over { 0 } else { value(lock).saturating_sub(rest) }
        });
        let paid = theirs.transferred().wide().saturating_sub(self.inc.tally.transferred.wide());
        vanished.sum::<i128>() <= paid
    }

    pub(super) fn commit_adopted(&mut self, adopted: &Adopted, effects: &mut Vec<Effect>) {
        if let Some(own) = &adopted.own {
            self.adopt_own(own, effects);
        }
        if let Some(theirs) = &adopted.theirs {
            self.adopt_theirs(theirs, effects);
        }
        self.hold.suspended = Some(Code::Recovering);
        effects.push(Effect::PhaseChanged);
    }

    fn adopt_own(&mut self, taken: &Taken, effects: &mut Vec<Effect>) {
        let out = &mut *self.out;
        let proof = taken.proof.value;
        let mut before = std::mem::take(&mut out.standing);
        for TakenLock { lock, .. } in &taken.locks {
            let known = before.remove(&lock.id);
            let answer = known.and_then(|standing| standing.answer_for(lock));
            // What had expired stays so, and its money is back, whatever else was forgotten.
            if answer == Some(Answer::Expired) {
                effects.push(Effect::LockGone { id: lock.id, code: Code::Expired });
            }
            out.standing.insert(lock.id, Standing { lock: *lock, last_seq: proof.seq, answer });
            out.last_lock_id = out.last_lock_id.max(lock.id);
        }
        (out.in_flight, out.drops_refused) = (None, 0);
        out.refused.clear();
        out.sent.retain(|sent| sent.seq < proof.seq);
        out.sent.push_back(SentProof {
            seq: proof.seq,
            transferred: proof.transferred,
            locked: proof.locked,
            refused: false,
        });
        out.last_seq = out.last_seq.max(proof.seq);
        out.accepted = tally_of(taken);
        out.accepted_proof = Some(proof);
    }

    fn adopt_theirs(&mut self, taken: &Taken, effects: &mut Vec<Effect>) {
        let proof = taken.proof.value;
        if self.out.in_flight.as_ref().is_some_and(|f| f.proof.seq == proof.peer_seq) {
            self.commit_acked(proof.peer_seq, effects);
        }
        let inc = &mut *self.inc;
        let (before, known) = (inc.tally.clone(), std::mem::take(&mut inc.locks));
        for TakenLock { lock, to, payload } in &taken.locks {
            let settled = before.lock(lock.id).map_or(0, |b| b.steps.saturating_sub(lock.steps));
            let answer = known.get(&lock.id).and_then(|known| known.answer);
            let secret = answer.filter(|answer| matches!(answer, Answer::Known { .. }));
            let answer = secret.and_then(|answer| answer.beyond(settled)).or(Some(Answer::Held));
            inc.locks.insert(lock.id, IncomingLock { to: *to, payload: payload.clone(), answer });
            inc.last_lock_id = inc.last_lock_id.max(lock.id);
        }
        inc.tally = tally_of(taken);
        inc.proof = Some(taken.proof.clone());
        self.retire(proof.peer_seq, effects);
    }

    pub(super) fn commit_leapt(&mut self, height: Height) {
        // The next numbers are one above.
        let below = height.0.saturating_mul(LEAP).saturating_sub(1);
        let below = if planted(Bug::LeapSkipped) { 0 } else { below };
        let out = &mut *self.out;
        out.last_seq = out.last_seq.max(below);
        out.last_lock_id = out.last_lock_id.max(below);
        self.hold = Hold { suspended: None, waits_out: true };
        // Said at once: the other side's acknowledgment retires what it did not show.
        self.inc.ack_wanted = true;
    }
}

fn side<'a>(
    shown: Option<&'a VerifiedSnapshot>,
    held: Option<&'a BalanceProof>,
    tally: &'a Tally,
) -> Side<'a> {
    match shown {
        Some(shown) => {
            Side { proof: Some(shown.proof()), locks: shown.locks().collect(), newer: true }
        }
        None => Side { proof: held, locks: tally.locks.iter().collect(), newer: false },
    }
}

/// Whether no total of the direction is below what the held proof says.
fn not_behind(side: &Side<'_>, held: Option<&BalanceProof>) -> bool {
    let (Some(proof), Some(held)) = (side.proof, held) else { return held.is_none() };
    proof.seq >= held.seq
        && proof.transferred >= held.transferred
        && proof.peer_seq >= held.peer_seq
        && proof.peer_transferred >= held.peer_transferred
}

fn tally_of(taken: &Taken) -> Tally {
    let proof = &taken.proof.value;
    let locks = taken.locks.iter().map(|taken| taken.lock).collect();
    Tally { seq: proof.seq, transferred: proof.transferred, locks }
}
