//! The wallet's pure core.
//!
//! [`Wallet::handle`] takes one input and returns an [`Output`]: records to make durable, and
//! actions to perform once they are. [`Wallet::replay`] makes a record's change again after a
//! restart. The shell around it must keep one rule: **no action of an output is performed before
//! its records, and all earlier ones, are durable.**
//!
//! # Why money is safe here
//! - A secret of this wallet's own leaves it only after the record of the update that holds the
//!   lock, when the lock is what was asked for, in a fresh view, with enough blocks left to claim it
//!   on the ledger (module `payee`). An answered lock is never given up.
//! - No second lock with one anchor is made while the first is not gone, whatever the hub says of
//!   it, nor after it was paid (module `pay`).
//! - Whatever must be on the ledger is brought there from the blocks alone, connected or not
//!   (module `follow`).
//! - Payments follow from the channels' own steps (module `state`), so a crash between two records
//!   leaves no payment that knows less than its channel.
//! - A wallet that has lost state takes it back from its hub (module `lost`), and shows its hub what
//!   that has lost.
//! - Streams of small payments have a page of their own ([`stream`]).
//!
//! What is absent: signing and verifying updates, the connection, the disk and the clock are the
//! shell's; channels with other hubs are other wallets' (one [`Wallet`] has one hub).

mod ask;
mod command;
mod core;
mod counted;
mod follow;
mod link;
mod lost;
mod pay;
mod payee;
mod payment;
mod protect;
mod rows;
mod state;
pub mod stream;
mod unsent;

use serde::{Deserialize, Serialize};
use settlement::block::BlockEvents;
use settlement::channel::{Step, VerifiedUpdate};
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::tx::Submission;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Secret};
use settlement::update::Op;
use settlement::wire::Message;

use crate::invoice::CheckedInvoice;
use crate::relay::{Ciphertext, StepToken};
use stream::{Chain, StreamId, StreamKey, StreamLock, StreamView};

pub use self::core::{Wallet, WalletConfig};
pub use ask::{AnswerTerms, Ask, Asked};
pub use counted::{Counted, NotCounted, Shown};
pub use follow::FOLLOW_STRIDE;
pub use pay::WANTED_MAX;
pub use payment::{Payment, PaymentState, Way};
pub use protect::{NotProved, Protection};
pub use rows::{ROW_VALUE_MAX, RestoreError, RowChange};

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// The connection to the hub stands and this wallet is signed in on it.
    Connected,
    /// It is gone.
    Disconnected,
    /// The hub said something about one of this wallet's channels. Updates come verified.
    Message(Box<Message>),
    /// An update of the hub's whose signature was checked.
    Update(Box<VerifiedUpdate>),
    /// An update of the hub's that was refused before it reached the rules.
    BadUpdate {
        /// Which channel.
        channel: ChannelId,
        /// Which update.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// Another wallet said something through the hub, which says who. It is opened here.
    Relay {
        /// To whom: this wallet.
        to: PublicKey,
        /// Who, as the hub says.
        from: PublicKey,
        /// What.
        ciphertext: Ciphertext,
    },
    /// The next block of the ledger, its header checked. They come in order, none left out: an old
    /// one changes nothing, and one after a gap is refused ([`Code::LedgerUnavailable`]). A wallet
    /// that has followed nothing and has no channel takes any as its first.
    Block(Box<BlockEvents>),
    /// Time has passed: at least once a second.
    Tick,
    /// Somebody wants something.
    Command(Box<Command>),
}

/// What a user can ask for. The ids in it are chosen by the shell from fresh randomness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Expect a payment, and say so in an invoice ([`Event::Invoiced`]).
    Invoice {
        /// Fresh randomness: the invoice's anchor is its SHA-256.
        secret: Secret,
        /// Of which asset.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// For how many blocks the invoice can be paid.
        life_blocks: u64,
        /// What for, at most 256 bytes.
        memo: String,
    },
    /// Ask another wallet for an invoice ([`Wallet::asked`] says how that stands).
    Ask(Box<Ask>),
    /// Give invoices to whoever asks, on these terms and with this fresh randomness; or to nobody.
    AnswerAsks(Secret, Option<AnswerTerms>),
    /// Pay an invoice.
    Pay {
        /// Its bech32m text.
        invoice: String,
    },
    /// Pay an invoice whose signature the shell has checked: that costs most of what paying takes
    /// here, and may be done by any thread.
    PayChecked {
        /// The invoice.
        invoice: Box<CheckedInvoice>,
    },
    /// Pay a wallet that has not asked.
    Send {
        /// Fresh randomness.
        secret: Secret,
        /// Fresh randomness that encrypts the payload.
        nonce: [u8; 24],
        /// To whom.
        payee: PublicKey,
        /// Of which asset.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// What for, at most 256 bytes.
        memo: String,
    },
    /// Add a lock to a stream to a payee: the first, or a further one before the last is used up.
    /// What comes of it is told as [`Event::Stream`].
    OpenStream {
        /// Fresh randomness with the first lock, and the same with further ones.
        stream: StreamId,
        /// Made from fresh randomness for this lock alone.
        chain: Box<Chain>,
        /// Fresh randomness that encrypts the payload.
        nonce: [u8; 24],
        /// To whom.
        payee: PublicKey,
        /// Of which asset.
        asset: AssetId,
        /// What the payee gets for a step.
        unit: Amount,
        /// For how many blocks the lock stands at most.
        life_blocks: u64,
        /// What for, at most 256 bytes.
        memo: String,
    },
    /// Hand steps of a stream to its payee ([`Event::Steps`]).
    Advance {
        /// Which.
        stream: StreamKey,
        /// How many, at least 1.
        steps: u32,
        /// Whether they go by the relay; else whoever asked hands them over.
        by_relay: bool,
    },
    /// Take a step that came another way than by the relay.
    TakeStep {
        /// The step.
        token: StepToken,
    },
    /// Redeem all steps of a stream that are in hand, now.
    Redeem {
        /// Which.
        stream: StreamKey,
    },
    /// Pay, or take, no more steps of a stream: what is left of its locks is its payer's again.
    CloseStream {
        /// Which.
        stream: StreamKey,
    },
    /// Pay the hub itself, directly.
    PayHub {
        /// From which channel.
        channel: ChannelId,
        /// How much.
        amount: Amount,
        /// What for, at most 256 bytes.
        memo: String,
    },
    /// Send an update without operations, so that everything accepted is acknowledged.
    Acknowledge {
        /// On which channel.
        channel: ChannelId,
    },
    /// Settle what waits for the next update now, instead of after an idle second.
    Flush {
        /// On which channel.
        channel: ChannelId,
    },
    /// Count a cooperative close as signed ([`settlement::channel::Channel::close_terms`]).
    AgreeClose {
        /// What is signed.
        close: settlement::proof::CooperativeClose,
    },
    /// Count a withdrawal as signed.
    AgreeWithdrawal {
        /// What is signed.
        withdrawal: settlement::proof::Withdrawal,
    },
    /// Close without the hub: its newest proof and every claim go to the ledger.
    CloseAlone {
        /// Which channel.
        channel: ChannelId,
    },
}

/// What the shell performs, in order, once the output's records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a message to the hub; dropped when not connected (meeting again says it anew).
    Send(Message),
    /// Sign a proof and send the update.
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
    /// Tell the user.
    Tell(Event),
}

/// What a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An invoice was made.
    Invoiced {
        /// Its bech32m text.
        invoice: String,
        /// The payment that it waits for.
        payment: Payment,
    },
    /// A payment is new or stands differently.
    Payment(Payment),
    /// A stream is new or stands differently.
    Stream(Box<StreamView>),
    /// These steps were handed out, one for each lock that they are of. Told to whoever asked.
    Steps(Vec<StepToken>),
    /// A command was refused, with what is wrong in this case.
    Refused {
        /// Why.
        code: Code,
        /// What is wrong, and what to do.
        detail: String,
        /// The payment that it was about, if any.
        payment: Option<Anchor>,
    },
    /// A channel is new, the ledger says something new about it, or its phase changed.
    Channel(ChannelId),
    /// The hub has accepted a direct payment of this wallet's.
    PaidToHub {
        /// On which channel.
        channel: ChannelId,
        /// How much.
        amount: Amount,
    },
    /// The hub paid this wallet directly.
    PaidByHub {
        /// On which channel.
        channel: ChannelId,
        /// How much.
        amount: Amount,
        /// What for.
        memo: Vec<u8>,
    },
}

/// One durable change. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The ledger opened a channel of this wallet's.
    Opened {
        /// Its terms.
        terms: settlement::proof::OpenTerms,
        /// What this wallet put in.
        deposit: Amount,
    },
    /// A channel made a step.
    Step {
        /// Which channel.
        channel: ChannelId,
        /// What.
        step: Step,
    },
    /// A payment is new or stands differently.
    Payment(Payment),
    /// Every block up to this height has been followed; its time in milliseconds since 1970. Not
    /// recorded for each block ([`FOLLOW_STRIDE`]).
    Followed {
        /// The block's height.
        height: Height,
        /// The block's time.
        time_ms: u64,
    },
    /// A stream's lock is new or stands differently.
    Stream(Box<StreamLock>),
    /// So many steps of a stream's lock were handed out (payer), or taken (payee).
    Shown {
        /// The lock's anchor, as it was added.
        anchor: Anchor,
        /// How many in all.
        steps: u32,
        /// The newest (payee).
        secret: Option<Secret>,
    },
    /// An invoice that was asked for and not paid is forgotten.
    Forgotten(Anchor),
    /// This payment may have been paid in what this wallet has forgotten.
    Doubted(Anchor),
    /// Since when not all channels are met in which something may have been paid that is told as failed; or
    /// they are.
    Unmet(Option<Height>),
}

/// What came of one input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To append to the journal, in order.
    pub records: Vec<Record>,
    /// To perform in order, once the records are durable.
    pub actions: Vec<Action>,
}

#[cfg(test)]
mod tests;
