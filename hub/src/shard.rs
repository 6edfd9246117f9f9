//! The hub's pure core: the single writer of its channels.
//!
//! [`Shard::handle`] takes one input and appends to an [`Output`]: records to make durable, and
//! actions to perform once they are. [`Shard::replay`] makes a record's change again after a
//! restart. The shell must keep one rule: **no action is performed before every record that was
//! handed out before it, by any shard, is durable.** Messages between shards ([`Action::Pass`]) are
//! delivered at once: what follows from them is recorded after what led to them, in the same
//! journal, so the rule holds for both.

use serde::{Deserialize, Serialize};
use settlement::block::BlockEvents;
use settlement::channel::{Step, VerifiedUpdate};
use settlement::proof::{BalanceProof, CooperativeClose, OpenTerms, Withdrawal};
use settlement::reject::Code;
use settlement::tx::Submission;
use settlement::types::{
    Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Role, Secret, Signature,
};
use settlement::update::{Destination, Op, Payload};
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
}

/// What one channel of the hub asks of another, wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Take a payment on: add a lock to the payee's channel.
    Forward(Box<Forward>),
    /// The lock that was added for `incoming` came to this.
    Outcome {
        /// The payer's channel and lock.
        incoming: (ChannelId, u64),
        /// The secret, or why it failed. A failure is passed only once the hub's own lock is gone.
        outcome: Result<Secret, Code>,
    },
}

/// A payer's lock on its way to the payee's channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The payer's channel and lock: whom the outcome goes back to.
    pub incoming: (ChannelId, u64),
    /// The payee's channel.
    pub outgoing: ChannelId,
    /// What it is locked to.
    pub anchor: Anchor,
    /// What a step is worth to the payee: the payer's unit less the fee.
    pub unit: Amount,
    /// How many steps.
    pub steps: u32,
    /// When the hub's lock ends: the payer's expiry less `expiry_delta`.
    pub expiry: Height,
    /// Who shall get it.
    pub to: Destination,
    /// What the payee needs to know.
    pub payload: Payload,
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
    /// The hub's lock in `outgoing` was added for the payer's lock `incoming`. Comes right after
    /// the step that adds it.
    Paired {
        /// The payer's channel and lock.
        incoming: (ChannelId, u64),
        /// The payee's channel and the hub's lock in it.
        outgoing: (ChannelId, u64),
        /// What both are locked to.
        anchor: Anchor,
    },
    /// Every block up to this height has been followed; its time in milliseconds since 1970.
    Followed {
        /// The block's height.
        height: Height,
        /// The block's time.
        time_ms: u64,
    },
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
}

/// Which channel serves a wallet, for every shard: kept by the shell from the ledger's events.
pub trait Directory {
    /// The open channel of this wallet in this asset, and whether the wallet is connected.
    fn find(&self, wallet: &PublicKey, asset: AssetId) -> Option<(ChannelId, bool)>;
}

/// The side of every channel that a hub is.
pub const ME: Role = Role::Hub;
