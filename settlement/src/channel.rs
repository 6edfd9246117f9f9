//! The rules of a channel, as one of its two sides keeps them. Wallet and hub use the same engine.
//!
//! Each direction is a tally that its owner signs and its receiver keeps. Nothing here reads a
//! clock, draws randomness or does I/O: a `check_…` method looks at borrowed state and returns a
//! [`Step`], which says all that will change; [`Channel::commit`] makes the change, can't fail, and
//! hands back [`Effect`]s. A step is also the journal's record: replaying steps needs no check, no
//! signature and no hash, and ends in the same state.
//!
//! A shell must make a step durable before any of its effects leaves the process.
//!
//! # Why money is safe here
//! - A side signs at most one proof with one `seq` ([`Outgoing::last_seq`] only rises), and at most
//!   one update of it is unanswered at a time; what waits meanwhile travels in the next one.
//! - An update is accepted only on top of the last accepted one, and only if its totals are what
//!   its operations make of that state, and the sender's side of the escrow covers them.
//! - A lock's money is back with its sender only when the lock is *gone*: it stands in no proof, not
//!   even a refused one, that the receiver's signed acknowledgment has not retired; or when it has
//!   expired in a fresh view of the ledger.
//! - A receiver never gives up a lock whose secret it has shown or learned.
//! - A side that has lost state takes nothing from the other, and signs nothing for the ledger,
//!   until what it may have signed for it before can't be carried any more (module `forgotten`).
//!
//! What is absent: the clock and the view of the ledger come in with each call ([`Now`]); who is
//! connected, fees and routing are the hub's; signing and verifying happen outside (a received
//! update comes as [`VerifiedUpdate`]).

mod agree;
mod answer;
mod commit;
mod dispute;
mod forgotten;
mod ledger;
mod receive;
mod recover;
mod send;
mod snapshot;
mod state;
mod sync;
mod tally;

use serde::{Deserialize, Serialize};

use crate::params::{Policy, View};
use crate::proof::OpenTerms;
use crate::rare::Rare;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Amount, ChannelId, Height, PerRole, Role};

pub use answer::Weighed;
pub use commit::{Effect, Step};
pub use dispute::Duty;
pub use forgotten::Hold;
pub use receive::{Received, ReceivedUpdate, VerifiedUpdate};
pub use recover::{Adopted, Adoption, leapt_at};
pub use send::{Flight, NewOp, Proposal};
pub use snapshot::{Taken, TakenLock, VerifiedSnapshot};
pub use state::{Answer, Incoming, IncomingLock, Outgoing, Refused, SentProof, Standing};
pub use sync::SyncOutcome;
pub use tally::{Change, Tally};

/// The most proofs of one's own that the other side has not acknowledged.
pub const UNACKNOWLEDGED_MAX: usize = 1_024;
/// A side with more proofs than this to acknowledge does so with an update without operations.
pub const ACKNOWLEDGE_AFTER: u32 = 512;
/// The most updates that may be refused and not retired before the channel is suspended, and the
/// most of them that are remembered.
pub const REFUSED_MAX: usize = 16;
/// With so many of them nothing more is asked for until they are retired: the other side may be one that takes
/// nothing for a while, as it starts, and signs nothing either.
pub const REFUSED_WAIT: usize = REFUSED_MAX / 2;
/// The most chain hashes that one message may cost beyond what is known already.
pub const HASHES_PER_MESSAGE: u32 = 4_096;

/// What the rules need from outside: the view of the ledger and the margins that are kept.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// The own view of the ledger.
    pub view: View,
    /// The own margins.
    pub policy: &'a Policy,
    /// How many blocks old a fresh view may be ([`Policy::lag`]).
    pub lag: u64,
}

impl Now<'_> {
    /// Whether the view is fresh, so that what it shows may be relied on.
    pub fn is_fresh(&self) -> bool {
        self.view.fresh || !rule_is_on(Rule::FreshView)
    }
}

/// What one side has in the escrow, as the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Escrow {
    /// All that was ever deposited for it.
    pub deposited: Amount,
    /// All that it has withdrawn.
    pub withdrawn: Amount,
    /// A withdrawal that both have signed and the ledger has not shown yet: its total, and the last
    /// height that may carry it.
    pub agreed: Option<(Amount, Height)>,
}

impl Escrow {
    /// Deposited less withdrawn, with an agreed withdrawal counted as done.
    pub fn net(&self) -> i128 {
        let agreed = self.agreed.map_or(Amount::ZERO, |(total, _)| total);
        self.deposited.wide().saturating_sub(self.withdrawn.max(agreed).wide())
    }

    /// Deposited less withdrawn, as the ledger has it.
    pub fn on_ledger(&self) -> i128 {
        self.deposited.wide().saturating_sub(self.withdrawn.wide())
    }
}

/// How far a channel's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Updates are made and accepted.
    Open,
    /// A cooperative close is signed: nothing more is agreed until the height has passed without it.
    Agreed {
        /// The last height that may carry the close.
        valid_until: Height,
    },
    /// A close was sent off by this side and is not in a block yet.
    ClosingSoon,
    /// The challenge window runs, or has run out and locks are still pending.
    Closing {
        /// Who closed.
        by: Role,
        /// The last height at which proofs count.
        proofs_until: Height,
    },
    /// Paid out.
    Closed {
        /// What the wallet got.
        wallet: Amount,
        /// What the hub got.
        hub: Amount,
    },
}

/// A channel as one of its sides knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    id: ChannelId,
    terms: OpenTerms,
    me: Role,
    phase: Phase,
    hold: Hold,
    escrow: PerRole<Escrow>,
    out: Rare<Outgoing>,
    inc: Rare<Incoming>,
    on_ledger: Rare<ledger::OnLedger>,
}

impl Channel {
    /// A channel that the ledger has just opened. `me` is the side that keeps this state.
    pub fn open(terms: OpenTerms, me: Role, deposit: Amount) -> Channel {
        let wallet = Escrow { deposited: deposit, ..Escrow::default() };
        Channel {
            id: terms.channel_id(),
            terms,
            me,
            phase: Phase::Open,
            hold: Hold::default(),
            escrow: PerRole { wallet, hub: Escrow::default() },
            out: Rare::default(),
            inc: Rare::default(),
            on_ledger: Rare::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The terms it was opened under.
    pub fn terms(&self) -> &OpenTerms {
        &self.terms
    }

    /// Which side keeps this state.
    pub fn me(&self) -> Role {
        self.me
    }

    /// How far its life has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why nothing is agreed on it for now, if it is suspended.
    pub fn suspended(&self) -> Option<Code> {
        self.hold.suspended
    }

    /// The direction that this side owns.
    pub fn outgoing(&self) -> &Outgoing {
        &self.out
    }

    /// The direction that the other side owns.
    pub fn incoming(&self) -> &Incoming {
        &self.inc
    }

    /// What the ledger holds for that side.
    pub fn escrow(&self, role: Role) -> &Escrow {
        self.escrow.of(role)
    }

    /// Whether updates are made and accepted.
    ///
    /// # Errors
    /// [`Code::ChannelNotOpen`] or why it is suspended.
    pub fn usable(&self) -> Result<(), Code> {
        let sent_off = self.phase == Phase::ClosingSoon;
        if self.phase != Phase::Open && (!sent_off || rule_is_on(Rule::NothingAfterClose)) {
            return Err(Code::ChannelNotOpen);
        }
        self.hold.suspended.map_or(Ok(()), Err)
    }

    /// What this side can still pay or lock, with its newest signed state counted and no lock of
    /// the other direction.
    pub fn spendable(&self) -> Amount {
        let free = self.free(self.me, self.inc.tally.transferred, self.out.tip());
        Amount::from_wide(free.max(0)).unwrap_or(Amount(u64::MAX))
    }

    /// What belongs to that side if every pending lock came to nothing.
    pub fn balance(&self, role: Role) -> Amount {
        let (mine, theirs) = (self.out.tip().transferred, self.inc.tally.transferred);
        let (sent, received) = if role == self.me { (mine, theirs) } else { (theirs, mine) };
        let net = self.escrow.of(role).net();
        let sum = net.saturating_add(received.wide()).saturating_sub(sent.wide());
        Amount::from_wide(sum.max(0)).unwrap_or(Amount(u64::MAX))
    }

    /// The sum of the pending locks of both directions.
    pub fn locked(&self) -> Amount {
        self.out.tip().locked().checked_add(self.inc.tally.locked()).unwrap_or(Amount(u64::MAX))
    }

    /// Rule 5, "funded": what the owner of a direction has left when the direction stands at
    /// `tally` and `received` is what it holds of the other; negative when it has overdrawn.
    fn free(&self, owner: Role, received: Amount, tally: &Tally) -> i128 {
        let net = self.escrow.of(owner).net();
        net.saturating_add(received.wide()).saturating_sub(tally.committed())
    }

    /// Whether neither side has committed more than it has, as the newest states and the ledger say
    /// together. Only a side that has lost state sees anything else: the ledger then shows
    /// withdrawals of money of whose payment it knows nothing any more.
    fn covered(&self) -> bool {
        let (mine, theirs) = (self.out.tip(), &self.inc.tally);
        self.free(self.me, theirs.transferred, mine) >= 0
            && self.free(self.me.other(), mine.transferred, theirs) >= 0
    }
}

#[cfg(test)]
mod tests;
