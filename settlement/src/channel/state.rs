//! What one side remembers of the two directions.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::send::Flight;
use super::tally::{Change, Tally};
use crate::bugs::{Bug, planted};
use crate::crypto::Signed;
use crate::lock::{ByLock, Lock};
use crate::proof::BalanceProof;
use crate::rare::AtRest;
use crate::reject::Code;
use crate::types::{Amount, Secret};
use crate::update::{Destination, Payload};

/// What has become of a lock, before its direction says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Its secret is known, and redeems this many steps of the lock as it stood then.
    Known {
        /// The secret.
        secret: Secret,
        /// How many steps.
        steps: u32,
    },
    /// The receiver has given it up.
    Failed(Code),
    /// It expired in a fresh view of the ledger, unclaimed.
    Expired,
    /// A lock of the other side's that was taken back after state was lost, or that this side may
    /// have passed on before it ended: whether it was passed on is not known here, so it is not
    /// given up, except by a shell that has found out.
    Held,
}

impl Answer {
    /// What is left of the answer once so many steps of the lock are settled: a secret beyond them
    /// stays known.
    pub(super) fn beyond(self, settled: u32) -> Option<Answer> {
        match self {
            Answer::Known { secret, steps } => {
                let steps = steps.checked_sub(settled).filter(|steps| *steps > 0)?;
                Some(Answer::Known { secret, steps })
            }
            other => Some(other),
        }
    }
}

/// A proof that was signed and is not retired: all that is needed to recognise it when the other
/// side acknowledges it, and to know what it could be made to pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentProof {
    /// Its seq.
    pub seq: u64,
    /// Its total.
    pub transferred: Amount,
    /// What was locked in it.
    pub locked: Amount,
    /// Whether the other side said that it refused it. It may have kept it all the same.
    pub refused: bool,
}

/// A lock that stands in some proof of the own direction that is not retired, and was not paid in
/// full in the accepted state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The lock as it stands in the newest accepted state, or as it was added. A settlement in an
    /// update that is unanswered has not touched it: that one may be refused.
    pub lock: Lock,
    /// The newest signed proof in which it stands.
    pub last_seq: u64,
    /// What has become of `lock`.
    pub answer: Option<Answer>,
}

impl Standing {
    /// What has become of the lock as it stands in a state that may be further on.
    pub(super) fn answer_for(&self, lock: &Lock) -> Option<Answer> {
        self.answer?.beyond(self.lock.steps.saturating_sub(lock.steps))
    }
}

/// An update that the other side said it refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The update.
    pub flight: Arc<Flight>,
    /// Why.
    pub code: Code,
}

impl Refused {
    /// Why the update was refused that would have added the lock.
    pub(super) fn code_for(refused: &[Refused], lock: u64) -> Code {
        let with_lock = |r: &&Refused| r.flight.after.lock(lock).is_some();
        refused.iter().find(with_lock).map_or(Code::RefusedByHub, |refused| refused.code)
    }
}

/// The direction that this side owns.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outgoing {
    /// The newest state that the other side accepted.
    pub accepted: Tally,
    /// The newest accepted proof.
    pub accepted_proof: Option<BalanceProof>,
    /// The one update that is signed and unanswered.
    pub in_flight: Option<Arc<Flight>>,
    /// Updates that were refused and are not retired: an acknowledgment may still come and win.
    pub refused: Vec<Refused>,
    /// Every signed proof that is not retired, oldest first.
    pub sent: VecDeque<SentProof>,
    /// Every lock that is neither gone nor paid in full, by id.
    pub standing: ByLock<Standing>,
    /// The highest seq ever signed.
    #[serde(deserialize_with = "kept")]
    pub last_seq: u64,
    /// The highest lock id ever used.
    pub last_lock_id: u64,
    /// The newest own proof that the other side has acknowledged with its signature.
    pub retired_below: u64,
    /// How often in a row the other side, whose view is behind, refused to drop an expired lock.
    pub drops_refused: u32,
}

/// The number as it was written.
fn kept<'de, D: Deserializer<'de>>(bytes: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(bytes)?;
    Ok(if planted(Bug::SeqForgotten) { 0 } else { number })
}

impl AtRest for Outgoing {
    const AT_REST: &'static Outgoing = &Outgoing {
        accepted: Tally::NONE,
        accepted_proof: None,
        in_flight: None,
        refused: Vec::new(),
        sent: VecDeque::new(),
        standing: ByLock::NONE,
        last_seq: 0,
        last_lock_id: 0,
        retired_below: 0,
        drops_refused: 0,
    };
}

impl Outgoing {
    /// The newest signed state that was not refused.
    pub fn tip(&self) -> &Tally {
        self.in_flight.as_ref().map_or(&self.accepted, |flight| &flight.after)
    }

    /// The newest signed proof that was not refused.
    pub fn tip_proof(&self) -> Option<&BalanceProof> {
        self.in_flight.as_ref().map(|flight| &flight.proof).or(self.accepted_proof.as_ref())
    }

    /// The newest signed proof, refused or not.
    pub fn newest_proof(&self) -> Option<&BalanceProof> {
        let refused = self.refused.iter().map(|refused| &refused.flight.proof);
        self.tip_proof().into_iter().chain(refused).max_by_key(|proof| proof.seq)
    }

    /// Whether an update was refused and none was accepted since. The next one is then without
    /// operations: it retires the refused one, and paces a side that would ask again at once.
    pub(super) fn newest_refused(&self) -> bool {
        self.refused.iter().any(|refused| refused.flight.proof.seq > self.tip().seq)
    }

    /// How many proofs the other side has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.sent.iter().filter(|proof| proof.seq > self.retired_below).count()
    }

    /// Says of a proof whether it was refused.
    pub(super) fn mark_refused(&mut self, seq: u64, refused: bool) {
        for proof in self.sent.iter_mut().filter(|proof| proof.seq == seq) {
            proof.refused = refused;
        }
    }

    /// A receiver that does not know any more that it gave a lock up has not given it up: the lock
    /// waits for its expiry. One whose view is behind is asked again ever later.
    pub(super) fn drop_refused(&mut self, changes: &[Change]) {
        let mut given_up = false;
        for change in changes {
            let Change::Dropped { id } = change else { continue };
            let Some(standing) = self.standing.get_mut(id) else { continue };
            if matches!(standing.answer, Some(Answer::Failed(_))) {
                (standing.answer, given_up) = (None, true);
            }
        }
        if !given_up {
            self.drops_refused = self.drops_refused.saturating_add(1);
        }
    }

    /// Whether some proof with this seq and total was signed and not refused.
    pub(super) fn has_sent(&self, seq: u64, transferred: Amount) -> bool {
        if seq == 0 {
            return self.retired_below == 0 && transferred == Amount::ZERO;
        }
        self.sent.iter().any(|p| p.seq == seq && p.transferred == transferred && !p.refused)
    }
}

/// A pending lock of the other side's direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingLock {
    /// Who shall get it.
    pub to: Destination,
    /// What came with it.
    pub payload: Payload,
    /// What this side has said about it, or learned.
    pub answer: Option<Answer>,
}

/// The direction that the other side owns.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Incoming {
    /// The newest accepted state.
    pub tally: Tally,
    /// The newest accepted proof: the money.
    pub proof: Option<Signed<BalanceProof>>,
    /// What is known of each pending lock, by id.
    pub locks: ByLock<IncomingLock>,
    /// The highest lock id ever accepted.
    pub last_lock_id: u64,
    /// How many accepted proofs this side has not acknowledged with a proof of its own.
    pub to_acknowledge: u32,
    /// Whether the other side waits for an acknowledgment to have a lock's money back.
    pub ack_wanted: bool,
}

impl AtRest for Incoming {
    const AT_REST: &'static Incoming = &Incoming {
        tally: Tally::NONE,
        proof: None,
        locks: ByLock::NONE,
        last_lock_id: 0,
        to_acknowledge: 0,
        ack_wanted: false,
    };
}
