//! Making the next update of one's own direction.
//!
//! At most one update is unanswered. What comes up meanwhile travels in the next one: that alone
//! makes batches under load and single updates when idle, and keeps the state that has to be
//! remembered small.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::receive::check_new_lock;
use super::tally::{Change, Tally};
use super::{ACKNOWLEDGE_AFTER, Answer, Channel, Now, REFUSED_WAIT, Step, UNACKNOWLEDGED_MAX};
use crate::bugs::{Bug, planted};
use crate::lock::{Lock, locks_root};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Amount, Anchor, Height};
use crate::update::{Destination, Memo, OPS_MAX, Op, Payload, UPDATE_BYTES_MAX};

/// An update that was made and is to be signed and sent, again and again until it is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// The accepted state it builds on.
    pub base: u64,
    /// What it does, in order.
    pub changes: Vec<Change>,
    /// What is to be signed.
    pub proof: BalanceProof,
    /// The state it leads to.
    pub after: Tally,
}

impl Flight {
    /// The operations as they are sent.
    pub fn ops(&self) -> Vec<Op> {
        self.changes.iter().map(Change::to_op).collect()
    }
}

/// Something that the owner of a direction wants done in its next update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewOp {
    /// Pay the other side directly.
    Pay {
        /// How much.
        amount: Amount,
        /// What for.
        memo: Memo,
    },
    /// Add a lock; its id is given by the channel.
    Add {
        /// What it is locked to.
        anchor: Anchor,
        /// What a step is worth.
        unit: Amount,
        /// How many steps.
        steps: u32,
        /// When it ends.
        expiry: Height,
        /// Who shall get it.
        to: Destination,
        /// What travels with it.
        payload: Payload,
    },
}

/// The next update, and what became of each thing that was wanted.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// To commit; `None` when there is nothing to send or an update is still unanswered.
    pub step: Option<Step>,
    /// For each wanted operation in order: the lock's id (0 for a direct payment), or why it is not
    /// in the update.
    pub outcomes: Vec<Result<u64, Code>>,
}

impl Channel {
    /// Makes the next update from what is wanted and what is due by itself: settling locks whose
    /// secret is known, dropping those that failed or expired, acknowledging.
    ///
    /// When an update is unanswered, or the channel is not usable, no step is made, and each wanted
    /// operation comes back with why. [`Code::TooManyUnacknowledged`] is "wait for an answer": also
    /// for what does not fit into this update any more, for the update after a refused one, which is
    /// without operations, and once [`REFUSED_WAIT`] are refused and not retired.
    pub fn propose(&self, wanted: &[NewOp], now: &Now<'_>) -> Proposal {
        let refuse = |code| Proposal { step: None, outcomes: vec![Err(code); wanted.len()] };
        if let Err(code) = self.usable() {
            return refuse(code);
        }
        if !self.may_send() {
            return refuse(Code::TooManyUnacknowledged);
        }
        let mut after = self.out.accepted.clone();
        let mut changes = Vec::new();
        let may_change =
            self.out.unacknowledged() < UNACKNOWLEDGED_MAX && !self.out.newest_refused();
        if may_change {
            changes = self.due_changes(&mut after, now);
        }
        let may_ask = may_change && self.out.refused.len() < REFUSED_WAIT;
        let mut bytes: usize = changes.iter().map(Change::bytes_max).sum();
        let mut last_id = self.out.last_lock_id;
        if !rule_is_on(Rule::LockIdsOnce) {
            last_id = after.locks.last().map_or(0, |lock| lock.id);
        }
        let mut free = self.free(self.me, self.inc.tally.transferred, &after);
        let mut want = |op: &NewOp| {
            if !may_ask || changes.len() >= OPS_MAX {
                return Err(Code::TooManyUnacknowledged);
            }
            let (change, id, cost) = new_change(op, last_id, now)?;
            let size = bytes.saturating_add(change.bytes_max());
            if size > UPDATE_BYTES_MAX {
                return Err(Code::TooManyUnacknowledged);
            }
            if cost > free {
                return Err(Code::Overdraft);
            }
            after.redo(&change)?;
            (free, last_id, bytes) = (free.saturating_sub(cost), last_id.max(id), size);
            changes.push(change);
            Ok(id)
        };
        let outcomes = wanted.iter().map(&mut want).collect();
        let step = (!changes.is_empty() || self.owes_plain_update())
            .then(|| Step::Sent(Arc::new(self.flight(changes, after))));
        Proposal { step, outcomes }
    }

    /// Whether an update without operations is due: to acknowledge, so that the other side's money
    /// comes back, or to retire an update that was refused.
    pub fn owes_plain_update(&self) -> bool {
        self.out.newest_refused()
            || self.inc.ack_wanted
            || self.inc.to_acknowledge > ACKNOWLEDGE_AFTER
    }

    /// An update without operations, whether one is due or not: it acknowledges all that was
    /// accepted. `None` while an update is unanswered, the channel is not usable, or the other side
    /// has acknowledged nothing for so long that no more is made.
    pub fn acknowledge(&self) -> Option<Step> {
        let flight = || self.flight(Vec::new(), self.out.accepted.clone());
        (self.usable().is_ok() && self.may_send()).then(|| Step::Sent(Arc::new(flight())))
    }

    /// No update is unanswered. Plain updates are made beyond [`UNACKNOWLEDGED_MAX`], so that two
    /// busy sides can't block each other, but not without end: each is remembered. A side that is
    /// owed an acknowledgment for more than [`ACKNOWLEDGE_AFTER`] gets it from an honest one.
    fn may_send(&self) -> bool {
        self.out.in_flight.is_none()
            && self.out.unacknowledged() < UNACKNOWLEDGED_MAX.saturating_mul(2)
    }

    /// Whether a settlement or a dropped lock waits for the next update.
    pub fn has_due_changes(&self, now: &Now<'_>) -> bool {
        self.usable().is_ok() && !self.due_changes(&mut self.out.tip().clone(), now).is_empty()
    }

    /// From which height on an own lock that has expired is dropped. The receiver takes that only once its own
    /// view has come as far. If that was not so after `lag` blocks, its view is not fresh: it is asked
    /// again ever later.
    pub fn dropped_from(&self, lock: &Lock, lag: u64) -> Height {
        let tries = u64::from(self.out.drops_refused).saturating_add(1);
        lock.expiry.after(lag.saturating_mul(tries))
    }

    /// Settles and drops, in the order of the locks.
    fn due_changes(&self, after: &mut Tally, now: &Now<'_>) -> Vec<Change> {
        let due = |lock: &Lock| match self.out.standing.get(&lock.id)?.answer_for(lock)? {
            Answer::Known { secret, steps } => Some(Change::Settled { id: lock.id, secret, steps }),
            Answer::Failed(_) => Some(Change::Dropped { id: lock.id }),
            Answer::Expired if now.view.height >= self.dropped_from(lock, now.lag) => {
                Some(Change::Dropped { id: lock.id })
            }
            Answer::Expired | Answer::Held => None,
        };
        let changes: Vec<Change> = after.locks.iter().filter_map(due).take(OPS_MAX).collect();
        changes.into_iter().filter(|change| after.redo(change).is_ok()).collect()
    }

    fn flight(&self, changes: Vec<Change>, after: Tally) -> Flight {
        let again = planted(Bug::SeqReused);
        let last = if again { self.out.accepted.seq } else { self.out.last_seq };
        let seq = last.saturating_add(1);
        let proof = BalanceProof {
            channel: self.id,
            from: self.me,
            seq,
            transferred: after.transferred,
            locked: after.locked(),
            locks_root: locks_root(&after.locks),
            peer_seq: self.inc.tally.seq,
            peer_transferred: self.inc.tally.transferred,
        };
        Flight { base: self.out.accepted.seq, changes, proof, after: Tally { seq, ..after } }
    }
}

/// The change that is wanted, the id of the lock that it adds (0 for none), and what it costs.
fn new_change(op: &NewOp, last_id: u64, now: &Now<'_>) -> Result<(Change, u64, i128), Code> {
    match op.clone() {
        NewOp::Pay { amount, memo } => Ok((Change::Paid { amount, memo }, 0, amount.wide())),
        NewOp::Add { anchor, unit, steps, expiry, to, payload } => {
            let id = last_id.saturating_add(1);
            let lock = Lock { id, anchor, unit, steps, expiry };
            // A receiver whose fresh view is `lag` blocks older takes what this view takes alone.
            check_new_lock(&lock, last_id, &Now { lag: 0, ..*now })?;
            let value = lock.value().ok_or(Code::AmountOverflow)?;
            Ok((Change::Added { lock, to, payload }, id, value.wide()))
        }
    }
}
