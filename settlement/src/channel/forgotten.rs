//! What a side that has lost state may have signed for the ledger, and knows no more of: a
//! withdrawal, or a cooperative close.
//!
//! The other side may bring such a paper until its `valid_until`, and take away with it what it has
//! paid since. Nobody can be believed to show it: whoever means to bring it hides it. But it is valid
//! for at most [`Policy::agreed_blocks`](crate::params::Policy::agreed_blocks) beyond the view that it
//! was signed in, so it can be waited out.
//!
//! # Why this is safe
//! - It was signed before this process started, in a view no higher than the ledger was then; the
//!   first fresh view since is at most `lag` blocks below that. A signer takes a `valid_until` that
//!   is up to `lag` blocks beyond the span, for an asker whose view is ahead. So once a fresh view is
//!   higher than the first one by the span and two `lag`s, no block that is still to come can carry
//!   it, and what an earlier one has carried is in the view.
//! - Until then nothing is accepted that spends, no secret of an own payment is shown, and nothing is
//!   signed for the ledger: all that the paper could take away was there when it was signed, and was
//!   counted then. What was pending goes on: settling or dropping a lock commits no more than the
//!   lock did.
//! - What this side itself pays or locks is no risk to it: the other side counts the paper, and
//!   refuses what that does not leave.
//! - In a cooperative close no lock was pending. Locks that are shown all the same came later, and
//!   are held ([`Answer::Held`](super::Answer::Held)).
//! - An update that it may have taken before, and forgotten, is taken and its locks are held
//!   ([`Channel::check_update_to_hold`]): nothing is given for them that was not given already.

use serde::{Deserialize, Serialize};

use super::recover::LEAP;
use super::{Channel, Now, Phase, Step};
use crate::bugs::{Bug, nudged};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::Height;
use crate::update::Op;

/// What keeps the sides from agreeing on more. Without the second, the bytes are those of the first
/// alone, as versions before wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "HoldBytes", into = "HoldBytes")]
pub struct Hold {
    /// Why nothing is agreed for now, until the sides meet again.
    pub suspended: Option<Code>,
    /// Whether this side waits until what it may have signed for the ledger and forgotten can't be
    /// carried any more.
    pub waits_out: bool,
}

#[derive(Serialize, Deserialize)]
enum HoldBytes {
    Free,
    Suspended(Code),
    WaitsOut,
    SuspendedAndWaitsOut(Code),
}

impl From<HoldBytes> for Hold {
    fn from(bytes: HoldBytes) -> Hold {
        let (suspended, waits_out) = match bytes {
            HoldBytes::Free => (None, false),
            HoldBytes::Suspended(code) => (Some(code), false),
            HoldBytes::WaitsOut => (None, true),
            HoldBytes::SuspendedAndWaitsOut(code) => (Some(code), true),
        };
        Hold { suspended, waits_out }
    }
}

impl From<Hold> for HoldBytes {
    fn from(Hold { suspended, waits_out }: Hold) -> HoldBytes {
        match (suspended, waits_out) {
            (None, false) => HoldBytes::Free,
            (Some(code), false) => HoldBytes::Suspended(code),
            (None, true) => HoldBytes::WaitsOut,
            (Some(code), true) => HoldBytes::SuspendedAndWaitsOut(code),
        }
    }
}

impl Channel {
    /// This side knows, from elsewhere than from what the other shows of this channel, that it has
    /// lost state. It then leaps and waits as if it had been shown some: the other may be hiding it.
    pub fn lose(&self) -> Option<Step> {
        let agreeable = matches!(self.phase, Phase::Open | Phase::Agreed { .. });
        // What was lost while it waited out an earlier loss needs a leap and a wait of its own.
        (agreeable && !self.is_recovering()).then_some(Step::Suspended { code: Code::Recovering })
    }

    /// Whether this side waits until what it may have signed for the ledger and forgotten can't be
    /// carried any more.
    pub fn waits_out(&self) -> bool {
        self.hold.waits_out
    }

    /// The end of that wait. `fresh_from` is the height of the first fresh view since the process
    /// started.
    pub fn wait_out(&self, fresh_from: Height, now: &Now<'_>) -> Option<Step> {
        let last = fresh_from.after(now.lag.saturating_mul(2));
        let last = last.after(now.policy.agreed_blocks(now.lag));
        let last = nudged(last, Bug::WaitsOutEarly, Bug::WaitsOutLate);
        let over = self.hold.waits_out && now.view.fresh && now.view.height > last;
        over.then_some(Step::WaitedOut)
    }

    /// Whether no proof of this side's that it has forgotten can count any more: it has leapt, and
    /// the other side has signed that it holds what came after.
    pub fn is_certain(&self) -> bool {
        !self.is_recovering() && self.out.retired_below >= self.leapt_to()
    }

    /// Whether the other side had this side's newest leap when it signed this: what it is an
    /// update of was not forgotten before then.
    pub fn knows_leap(&self, proof: &BalanceProof) -> bool {
        proof.peer_seq >= self.leapt_to()
    }

    /// The first number after the newest leap; 0 before any.
    fn leapt_to(&self) -> u64 {
        let next = self.out.last_seq.saturating_add(1);
        next.checked_div(LEAP).unwrap_or(0).saturating_mul(LEAP)
    }

    /// # Errors
    /// [`Code::Recovering`] while something that this side has signed for the ledger may be forgotten.
    pub(super) fn check_nothing_forgotten(&self) -> Result<(), Code> {
        let may_be = self.hold.waits_out || self.is_recovering();
        if may_be && rule_is_on(Rule::WaitOut) { Err(Code::Recovering) } else { Ok(()) }
    }

    /// What is forgotten may take away whatever the other side spends.
    pub(super) fn check_spends(&self, op: &Op) -> Result<(), Code> {
        match op {
            Op::Pay { .. } | Op::Add { .. } => self.check_nothing_forgotten(),
            Op::Settle { .. } | Op::Drop { .. } => Ok(()),
        }
    }
}
