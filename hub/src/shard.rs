//! The hub's pure core: the single writer of its channels.
//!
//! [`Shard::handle`] takes one input and appends to an [`Output`]: records to make durable, and
//! actions to perform once they are. [`Shard::replay`] makes a record's change again after a
//! restart. The shell must keep one rule: **no action is performed before every record that was
//! handed out before it, by any shard, is durable.** Messages between shards ([`Pass`]) are
//! delivered at once: what follows from them is recorded after what led to them, in the same
//! journal, so the rule holds for both.
//!
//! # Starting
//! Make each shard with [`Shard::restore`] (or [`Shard::new`]), give each record that its rows do not
//! cover to [`Shard::replay`] of every shard (a shard ignores what is not its own), collect
//! [`Shard::pairs`] of all shards, and hand them to [`Shard::recovered`] of each. Then deliver the
//! passes that came of it, and blocks from one above the lowest [`Shard::followed`].
//!
//! # Why the hub never loses a payment
//! - **The hub's lock and whom it was made for are one record** ([`Record::Forwarded`]). A crash
//!   leaves both or neither, so an own lock without a payer does not exist, and a payer's lock that
//!   no pair names was never passed on: it can be failed.
//! - **A payer's lock is failed only when the hub's own is gone**, or never was made: the one place
//!   that says so is an [`Outcome`](Pass::Outcome), made of the engine's `LockGone`.
//! - **An outcome is kept with the pair, and the pair until the payer's channel has recorded it.**
//!   Records of two channels are separate: after a crash between them the outcome is passed again,
//!   and passing it twice changes nothing.
//! - **An outcome goes to the paired lock alone**: nothing is looked up by anchor, so two payments
//!   with the same anchor can't be mistaken for each other.
//! - **What a stream's payee redeems is one record**, of its own channel. The payer's channel hears
//!   of the newest a little later (module `stream`), always before it hears that the rest is back,
//!   and again after every start.
//! - **The payer's lock outlives the hub's own by `expiry_delta`**, so that a secret which the hub
//!   learns at the last moment still leaves time to claim.
//! - Blocks may be followed twice after a crash within one: each event sets what it says, in order.
//! - **A hub that lost state takes it back from its wallets** (module `lost`), and until a wallet has
//!   met it again it gives up nothing of what it knew before it started, and signs nothing for the
//!   ledger. What it may have signed for the ledger and forgotten it waits out.
//! - **The payers of own locks that were taken back are found by their chains** (module `seek`), to
//!   whichever steps the two legs of a stream were settled, and are told at once what was paid.
//!
//! What is absent: signing and posting what was handed over to be anchored
//! ([`Moved`]), and deciding whether this process holds the hub's lease ([`Own`]).

mod agree;
mod blocks;
mod capacity;
mod claims;
mod closed;
mod commit;
mod config;
mod deposit;
mod doubt;
mod fees;
mod forgotten;
mod forward;
mod known;
mod lost;
mod moved;
mod outcome;
mod own;
mod pass;
mod recover;
mod route;
mod rows;
mod seek;
mod slot;
mod state;
mod stream;
mod talk;
mod wake;

use serde::{Deserialize, Serialize};
use settlement::block::BlockEvents;
use settlement::channel::{Step, TakenLock, VerifiedSnapshot, VerifiedUpdate};
use settlement::liabilities::Liabilities;
use settlement::lock::Lock;
use settlement::proof::{BalanceProof, CooperativeClose, OpenTerms, Withdrawal};
use settlement::reject::Code;
use settlement::tx::{Lease, Submission};
use settlement::types::{
    Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Role, Secret, Signature,
};
use settlement::update::Op;
use settlement::wire::Message;

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// The channel's wallet is signed in.
    Connected(ChannelId),
    /// It is gone.
    Disconnected(ChannelId),
    /// Its wallet said something about the channel. Updates come verified instead.
    Message(Box<Message>),
    /// An update of the wallet's whose signature was checked.
    Update(Box<VerifiedUpdate>),
    /// One of the channel's directions in full, whose signature was checked.
    Snapshot(Box<VerifiedSnapshot>),
    /// An update that was refused before it reached the rules.
    BadUpdate {
        /// Which channel.
        channel: ChannelId,
        /// Which update.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// The next block of the ledger; its header was checked. Every shard gets every block.
    Block(std::sync::Arc<BlockEvents>),
    /// Time has passed: at least four times a second.
    Tick,
    /// Another channel's side of a payment, from this shard or another.
    Passed(Pass),
    /// The wallet asks for the hub's signature under a withdrawal; `ticket` comes back with the
    /// answer.
    Withdraw {
        /// What is to be signed; the wallet's signature was checked.
        withdrawal: Withdrawal,
        /// The wallet's signature.
        signature: Signature,
        /// Names the request.
        ticket: u64,
    },
    /// The same for a cooperative close.
    Close {
        /// What is to be signed; the wallet's signature was checked.
        close: CooperativeClose,
        /// The wallet's signature.
        signature: Signature,
        /// Names the request.
        ticket: u64,
    },
    /// The operator closes a channel without its wallet.
    CloseAlone(ChannelId),
    /// From now on no new payment is taken on; what is pending goes on.
    Drain,
    /// Whether this process may sign. While it may not, the view of the ledger counts as not fresh,
    /// so no lock is added or accepted; no update is made, nothing that spends is taken, and nothing
    /// is signed for the ledger. At first it may.
    Signing(bool),
    /// What this hub started from is not its newest state: see [`Output::lost`].
    Lost,
    /// Hand over what has moved since it was last anchored, as an [`Action::Moved`].
    Anchor {
        /// Above every round before, from 1.
        round: u64,
        /// At most so many channels.
        most: usize,
    },
    /// This process is going to take the hub's lease. The first shard records it.
    Lease(Lease),
    /// This process is going to sign that the hub owes this. For the first shard alone.
    State(Vec<Liabilities>),
}

/// What the shell performs, in order, once the records before it are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message to the wallet of its channel; dropped when it is not connected.
    Send(Message),
    /// Sign a proof (in a batch) and send the update.
    SendUpdate {
        /// Which channel.
        channel: ChannelId,
        /// The accepted state it builds on.
        base: u64,
        /// What it does.
        ops: Vec<Op>,
        /// What is to be signed.
        proof: BalanceProof,
    },
    /// Sign a proof again, and show the direction in full.
    SendSnapshot {
        /// What is to be signed.
        proof: BalanceProof,
        /// The locks under its root.
        locks: Vec<TakenLock>,
    },
    /// Sign a submission and bring it to the ledger, trying until the ledger answers.
    Submit(Box<Submission>),
    /// Put more of the hub's money into the channel.
    Deposit {
        /// Which channel.
        channel: ChannelId,
        /// How much.
        amount: Amount,
    },
    /// Sign the withdrawal or close of this request, hand it to the ledger and answer the wallet.
    Cosign {
        /// Names the request.
        ticket: u64,
    },
    /// Answer the request with a refusal.
    Refuse {
        /// Names the request.
        ticket: u64,
        /// Why.
        code: Code,
    },
    /// A payment was completed (the payer has a right to the secret) or failed: for the figures.
    Count {
        /// Whether it was completed.
        completed: bool,
    },
    /// Channels that moved, for whoever anchors them.
    Moved(Box<Moved>),
    /// Sign this lease and bring it to the ledger.
    Lease(Lease),
    /// From now on what the hub owes may be signed like this.
    Stated(Vec<Liabilities>),
}

impl Action {
    /// About how many bytes of memory it takes while it waits to be performed.
    pub(crate) fn bytes_about(&self) -> usize {
        let long = match self {
            Action::SendUpdate { ops, .. } => ops.iter().map(bytes_of).sum(),
            Action::SendSnapshot { locks, .. } => locks
                .iter()
                .map(|taken| taken.payload.as_slice().len() + size_of::<TakenLock>())
                .sum(),
            Action::Submit(submission) => {
                let claims = submission.claims.len().saturating_mul(size_of::<(u64, Secret)>());
                submission.locks.len().saturating_mul(size_of::<Lock>()).saturating_add(claims)
            }
            Action::Moved(moved) => moved.channels.len().saturating_mul(size_of::<MovedChannel>()),
            _ => 0,
        };
        long.saturating_add(size_of::<Action>())
    }
}

fn bytes_of(op: &Op) -> usize {
    let tail = match op {
        Op::Pay { memo, .. } => memo.as_slice().len(),
        Op::Add { payload, .. } => payload.as_slice().len(),
        Op::Settle { .. } | Op::Drop { .. } => 0,
    };
    tail.saturating_add(size_of::<Op>())
}

/// One durable change. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The ledger opened a channel with this hub.
    Opened {
        /// Its terms.
        terms: OpenTerms,
        /// What the wallet put in.
        deposit: Amount,
    },
    /// A channel made a step.
    Step {
        /// Which channel.
        channel: ChannelId,
        /// What.
        step: Step,
    },
    /// A channel made a step that adds locks of the hub's own. One record with whom they were added
    /// for, so that neither can be durable without the other.
    Forwarded {
        /// The payee's channel.
        channel: ChannelId,
        /// The update that adds them.
        step: Step,
        /// One for each added lock.
        pairs: Vec<Pairing>,
    },
    /// Every block up to this height has been followed; its time in milliseconds since 1970.
    Followed {
        /// The block's height.
        height: Height,
        /// The block's time.
        time_ms: u64,
        /// Which shard has followed them: the others may be behind.
        slice: Slice,
    },
    /// A process is about to take the hub's lease.
    Leased {
        /// The lease.
        lease: Lease,
    },
    /// A process is about to sign what the hub owes.
    Stated {
        /// For each asset; all as of one height.
        liabilities: Vec<Liabilities>,
    },
    /// A lock of the hub's own, taken back from its wallet, was made for this payer's lock.
    Reunited(Pairing),
    /// The ledger has counted a claim on a lock of the hub's own that it may have forgotten, or the payer of that,
    /// or of a secret that was said, was found. That block is not followed again, and whoever claimed says nothing twice.
    Claimed {
        /// The channel.
        channel: ChannelId,
        /// The lock in it.
        lock: u64,
        /// What was claimed with.
        secret: Secret,
        /// How many steps that counted for; 0 for a secret that was only said, whose payer is found.
        steps: u32,
        /// The payer's channel and lock that it is collected from, once that is found.
        payer: Option<(ChannelId, u64)>,
    },
}

/// For which payer's lock the hub added one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The payer's channel and lock.
    pub incoming: (ChannelId, u64),
    /// The payee's channel and the hub's lock in it.
    pub outgoing: (ChannelId, u64),
    /// What both were locked to when they were paired.
    pub anchor: Anchor,
}

/// What came of inputs so far.
#[derive(Debug, Default)]
pub struct Output {
    /// To append to the journal, in order.
    pub records: Vec<Record>,
    /// For other channels: delivered at once, without waiting for the disk.
    pub passes: Vec<Pass>,
    /// To perform in order, once the records are durable.
    pub actions: Vec<Action>,
    /// A wallet has shown that this hub started from state that is not its newest: every shard is to
    /// be given [`Input::Lost`].
    pub lost: bool,
    /// What payees have redeemed of streams, for the figures: once the records are durable.
    pub redeemed: Redeemed,
}

/// What was redeemed of streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redeemed {
    /// How often a payee has shown a deeper secret.
    pub redemptions: u64,
    /// How many steps deeper they were in all.
    pub steps: u64,
}

/// Which channel serves a wallet, for every shard: kept by the shell from the ledger's events.
pub trait Directory {
    /// The open channel of this wallet in this asset, and whether the wallet is connected.
    fn find(&self, wallet: &PublicKey, asset: AssetId) -> Option<(ChannelId, bool)>;

    /// All channels of this wallet in this asset that are not paid out, those that close included. A
    /// directory in which no wallet has several need not say more than [`Directory::find`].
    fn all(&self, wallet: &PublicKey, asset: AssetId) -> Vec<ChannelId> {
        self.find(wallet, asset).into_iter().map(|(channel, _)| channel).collect()
    }

    /// Over how many shards the channels of this wallet are spread; 1 at least.
    fn spread(&self, wallet: &PublicKey) -> u32;
}

pub use config::{InboundPolicy, Limits, ShardConfig, Slice};
pub use fees::unit_to_forward;
pub use moved::{Moved, MovedChannel};
pub use own::{LostState, Own};
pub use pass::{Forward, Pass, Seek};
pub use rows::{BadRow, Restoring};
pub use state::{Counters, Shard};

/// The side of every channel that a hub is.
pub const ME: Role = Role::Hub;

#[cfg(test)]
mod tests;
