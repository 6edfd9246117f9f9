//! Making a checked step: the point of no return. Nothing here can fail.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::send::Flight;
use super::state::{IncomingLock, Refused, SentProof, Standing};
use super::tally::Change;
use super::{Adopted, Answer, Channel, Phase, REFUSED_MAX, ReceivedUpdate};
use crate::block::LedgerEvent;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Amount, Height, Role, Secret};

/// One change of a channel, checked: what the journal records. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// An update of the other side's is accepted.
    Received(Box<ReceivedUpdate>),
    /// An update of one's own is made.
    Sent(Arc<Flight>),
    /// The other side accepted the update with this seq.
    Acked {
        /// Which update.
        seq: u64,
    },
    /// The other side says that it refused the update with this seq.
    Rejected {
        /// Which update.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// What became of a lock of one's own direction.
    PeerAnswered {
        /// Which lock.
        id: u64,
        /// What.
        answer: Answer,
    },
    /// What this side says of a lock of the other's direction.
    Answered {
        /// Which lock.
        id: u64,
        /// What.
        answer: Answer,
    },
    /// A withdrawal is signed: it counts as done.
    AgreedWithdrawal {
        /// Whose.
        role: Role,
        /// All that this side has withdrawn with it.
        total: Amount,
        /// The last height that may carry it.
        valid_until: Height,
    },
    /// A cooperative close is signed.
    AgreedClose {
        /// The last height that may carry it.
        valid_until: Height,
    },
    /// What was agreed until before this height has not happened.
    Lapsed {
        /// The height of the view.
        height: Height,
    },
    /// This side sends off a close: from now on it agrees to nothing more.
    Closing,
    /// Something that a block did.
    Ledger(Box<LedgerEvent>),
    /// Nothing is agreed until the sides meet again.
    Suspended {
        /// Why.
        code: Code,
    },
    /// The sides have met and hold the same.
    Resumed,
    /// This side has lost state, and takes what the other showed. Nothing is agreed until it leaps.
    Adopted(Box<Adopted>),
    /// After that: the next seq and the next lock id are at least this height × 2^32.
    Leapt {
        /// The height of the view.
        height: Height,
    },
    /// After that again: what this side may have signed for the ledger and forgotten can't be
    /// carried any more.
    WaitedOut,
}

/// What follows from a step. The shell performs it once the step is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sign the update in flight ([`super::Outgoing::in_flight`]) and send it.
    SendUpdate,
    /// Say that the update with this seq is accepted.
    SendAck {
        /// Which update.
        seq: u64,
    },
    /// Show the secret of a lock of the other side's direction.
    SendReveal {
        /// Which lock.
        id: u64,
        /// Its secret.
        secret: Secret,
    },
    /// Give up a lock of the other side's direction.
    SendFail {
        /// Which lock.
        id: u64,
        /// Why.
        code: Code,
    },
    /// The other side's direction changed.
    Received(Change),
    /// An own update was accepted.
    Accepted {
        /// What it did.
        changes: Vec<Change>,
    },
    /// An own update was refused. Its locks are not gone yet.
    Refused {
        /// Why.
        code: Code,
        /// What it would have done.
        changes: Vec<Change>,
    },
    /// The secret of an own lock is known: its receiver has a right to the money.
    SecretLearned {
        /// Which lock.
        id: u64,
        /// Its secret.
        secret: Secret,
    },
    /// The money of an own lock is back for good.
    LockGone {
        /// Which lock.
        id: u64,
        /// Why.
        code: Code,
    },
    /// The ledger has paid the channel out, or has started to; or state was taken back.
    PhaseChanged,
}

impl Channel {
    /// Makes a checked step and says what follows.
    ///
    /// # Panics
    /// When the step breaks conservation, which none that a `check_…` method returned does: going
    /// on would pay out money that is not there.
    pub fn commit(&mut self, step: &Step) -> Vec<Effect> {
        let mut effects = Vec::new();
        match step {
            Step::Received(update) => self.commit_received(update, &mut effects),
            Step::Sent(flight) => self.commit_sent(flight, &mut effects),
            Step::Acked { seq } => self.commit_acked(*seq, &mut effects),
            Step::Rejected { seq, code } => self.commit_rejected(*seq, *code, &mut effects),
            Step::PeerAnswered { id, answer } => self.commit_fate(*id, *answer, &mut effects),
            Step::Answered { id, answer } => self.commit_answer(*id, *answer, &mut effects),
            Step::AgreedWithdrawal { role, total, valid_until } => {
                self.escrow.of_mut(*role).agreed = Some((*total, *valid_until));
            }
            Step::AgreedClose { valid_until } => {
                self.phase = Phase::Agreed { valid_until: *valid_until };
            }
            Step::Lapsed { height } => self.commit_lapsed(*height),
            Step::Closing => {
                self.phase = Phase::ClosingSoon;
                effects.push(Effect::PhaseChanged);
            }
            Step::Ledger(event) => {
                let before = self.phase;
                self.follow_committed(event);
                effects.extend((self.phase != before).then_some(Effect::PhaseChanged));
            }
            // A recovery ends with its leap alone.
            Step::Suspended { .. } | Step::Resumed if self.is_recovering() => {}
            Step::Suspended { code } => self.hold.suspended = Some(*code),
            Step::Resumed => self.hold.suspended = None,
            Step::Adopted(adopted) => self.commit_adopted(adopted, &mut effects),
            Step::Leapt { height } => self.commit_leapt(*height),
            Step::WaitedOut => self.hold.waits_out = false,
        }
        let spends = matches!(
            step,
            Step::Received(_) | Step::Sent(_) | Step::AgreedWithdrawal { .. } | Step::Adopted(_)
        );
        if spends && rule_is_on(Rule::Funded) {
            self.assert_conserved();
        }
        effects
    }

    fn commit_received(&mut self, update: &ReceivedUpdate, effects: &mut Vec<Effect>) {
        let proof = &update.proof.value;
        // An acknowledgment inside a proof answers the update in flight, too.
        if self.out.in_flight.as_ref().is_some_and(|f| f.proof.seq == proof.peer_seq) {
            self.commit_acked(proof.peer_seq, effects);
        }
        let inc = &mut *self.inc;
        // A gap in the numbers is an update that was refused: its sender waits to see it retired.
        inc.ack_wanted |= proof.seq > inc.tally.seq.saturating_add(1);
        inc.to_acknowledge = inc.to_acknowledge.saturating_add(1);
        for change in &update.changes {
            let made = inc.tally.redo(change);
            assert!(made.is_ok(), "a checked change can be made");
            match change {
                Change::Added { lock, to, payload } => {
                    let known = IncomingLock { to: *to, payload: payload.clone(), answer: None };
                    inc.locks.insert(lock.id, known);
                    inc.last_lock_id = lock.id;
                }
                Change::Settled { id, .. } if inc.tally.lock(*id).is_none() => {
                    inc.locks.remove(id);
                }
                // A secret beyond what was settled may be out already: it stays known.
                Change::Settled { id, steps, .. } => {
                    if let Some(known) = inc.locks.get_mut(id) {
                        known.answer = known.answer.and_then(|answer| answer.beyond(*steps));
                    }
                }
                Change::Dropped { id } => {
                    inc.locks.remove(id);
                    inc.ack_wanted = true;
                }
                Change::Paid { .. } => {}
            }
        }
        inc.tally.seq = proof.seq;
        inc.proof = Some(update.proof.clone());
        effects.push(Effect::SendAck { seq: proof.seq });
        effects.extend(update.changes.iter().cloned().map(Effect::Received));
        self.retire(proof.peer_seq, effects);
    }

    /// The other side has signed that it holds the own proof `seq`: older ones are void.
    pub(super) fn retire(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let out = &mut *self.out;
        if seq <= out.retired_below {
            return;
        }
        out.retired_below = seq;
        out.sent.retain(|proof| proof.seq >= seq);
        let refused = &out.refused;
        out.standing.retain(|id, standing| {
            if standing.last_seq >= seq {
                return true;
            }
            let code = match standing.answer {
                Some(Answer::Known { .. } | Answer::Expired) => return false,
                Some(Answer::Failed(code)) => code,
                Some(Answer::Held) | None => Refused::code_for(refused, *id),
            };
            effects.push(Effect::LockGone { id: *id, code });
            false
        });
        out.refused.retain(|refused| refused.flight.proof.seq >= seq);
    }

    fn commit_sent(&mut self, flight: &Arc<Flight>, effects: &mut Vec<Effect>) {
        let proof = &flight.proof;
        let out = &mut *self.out;
        out.last_seq = proof.seq;
        out.sent.push_back(SentProof {
            seq: proof.seq,
            transferred: proof.transferred,
            locked: proof.locked,
            refused: false,
        });
        for lock in &flight.after.locks {
            let standing = Standing { lock: *lock, last_seq: proof.seq, answer: None };
            if let Some(standing) = out.standing.or_insert(lock.id, standing) {
                standing.last_seq = proof.seq;
            }
            out.last_lock_id = out.last_lock_id.max(lock.id);
        }
        out.in_flight = Some(flight.clone());
        (self.inc.to_acknowledge, self.inc.ack_wanted) = (0, false);
        effects.push(Effect::SendUpdate);
    }

    pub(super) fn commit_acked(&mut self, seq: u64, effects: &mut Vec<Effect>) {
        let out = &mut *self.out;
        let flying = out.in_flight.take_if(|flight| flight.proof.seq == seq);
        let flight = flying.or_else(|| {
            // The refusal was overtaken: the acknowledgment wins, and what was made on the older
            // state meanwhile can't be accepted any more. Of several updates with one base an
            // honest side accepts one: an acknowledgment of a second one counts for nothing.
            let base = out.accepted.seq;
            let wins = |r: &Refused| r.flight.proof.seq == seq && r.flight.base == base;
            let at = out.refused.iter().position(wins)?;
            let accepted = out.refused.remove(at).flight;
            if let Some(overtaken) = out.in_flight.take() {
                out.mark_refused(overtaken.proof.seq, true);
                out.refused.push(Refused { flight: overtaken, code: Code::BaseMismatch });
            }
            Some(accepted)
        });
        let Some(flight) = flight else { return };
        // Its record is written by now, so nothing is copied.
        let flight = Arc::unwrap_or_clone(flight);
        out.mark_refused(seq, false);
        for lock in &flight.after.locks {
            if let Some(standing) = out.standing.get_mut(&lock.id) {
                standing.answer = standing.answer_for(lock);
                standing.lock = *lock;
            }
        }
        for change in &flight.changes {
            match change {
                // Paid in full, and the other side has it in writing: nothing can come of it.
                Change::Settled { id, .. } if flight.after.lock(*id).is_none() => {
                    out.standing.remove(id);
                }
                Change::Dropped { .. } => out.drops_refused = 0,
                _ => {}
            }
        }
        out.accepted = flight.after;
        out.accepted_proof = Some(flight.proof);
        effects.push(Effect::Accepted { changes: flight.changes });
    }

    fn commit_rejected(&mut self, seq: u64, code: Code, effects: &mut Vec<Effect>) {
        let out = &mut *self.out;
        let Some(flight) = out.in_flight.take_if(|flight| flight.proof.seq == seq) else { return };
        out.mark_refused(seq, true);
        effects.push(Effect::Refused { code, changes: flight.changes.clone() });
        if code == Code::DropNotAllowed {
            out.drop_refused(&flight.changes);
        }
        out.refused.push(Refused { flight, code });
        if out.refused.len() >= REFUSED_MAX && self.hold.suspended.is_none() {
            self.hold.suspended = Some(code);
        }
        if out.refused.len() > REFUSED_MAX {
            out.refused.remove(0);
        }
    }

    fn commit_fate(&mut self, id: u64, answer: Answer, effects: &mut Vec<Effect>) {
        let Some(standing) = self.out.standing.get_mut(&id) else { return };
        standing.answer = Some(answer);
        match answer {
            Answer::Known { secret, .. } => effects.push(Effect::SecretLearned { id, secret }),
            Answer::Expired => effects.push(Effect::LockGone { id, code: Code::Expired }),
            Answer::Failed(code) if !rule_is_on(Rule::GoneWhenRetired) => {
                effects.push(Effect::LockGone { id, code });
            }
            // Not back yet: the receiver still holds proofs in which the lock stands.
            Answer::Failed(_) | Answer::Held => {}
        }
    }

    fn commit_answer(&mut self, id: u64, answer: Answer, effects: &mut Vec<Effect>) {
        let Some(known) = self.inc.locks.get_mut(&id) else { return };
        known.answer = Some(answer);
        match answer {
            Answer::Known { secret, .. } => effects.push(Effect::SendReveal { id, secret }),
            Answer::Failed(code) => effects.push(Effect::SendFail { id, code }),
            Answer::Expired | Answer::Held => {}
        }
    }

    fn commit_lapsed(&mut self, height: Height) {
        for role in [Role::Wallet, Role::Hub] {
            let escrow = self.escrow.of_mut(role);
            escrow.agreed = escrow.agreed.filter(|(_, valid_until)| *valid_until >= height);
        }
        if matches!(self.phase, Phase::Agreed { valid_until } if valid_until < height) {
            self.phase = Phase::Open;
        }
    }

    /// What a channel may never become, whatever happened before: an overdrawn side, or a tally
    /// that is not what its newest proof says.
    fn assert_conserved(&self) {
        let theirs = &self.inc.tally;
        assert!(self.covered(), "channel {:?}: a side is overdrawn", self.id);
        if let Some(proof) = &self.inc.proof {
            let same = proof.value.seq == theirs.seq
                && proof.value.transferred == theirs.transferred
                && proof.value.locked == theirs.locked();
            assert!(same, "channel {:?}: the tally is not what the proof says", self.id);
        }
    }
}
