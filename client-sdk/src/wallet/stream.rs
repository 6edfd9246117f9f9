//! Streams: many small payments over a few locks of many steps, one hash each.
//!
//! A stream is a payer's name for locks that it adds one after the other for one payee: the next one
//! before the last is used up, so that paying never stops for it. Each lock has a chain of its own,
//! from fresh randomness. The payer hands steps over ([`crate::relay`], or any other way that is
//! secret), the payee checks each with one hash and redeems the newest at the hub now and then.
//!
//! # Why money is safe here
//! - **A step is durable on both sides before it counts.** The payer records how far it has gone
//!   before a step leaves it, the payee records the newest step before it says, or tells its user,
//!   that it has it. So after any crash both know at least what was served.
//! - **A step counts only while it can be claimed**: the lock stands, in a channel that is open, with
//!   enough blocks left to go to the ledger ([`settlement::channel::Channel::claimable`]). A payee
//!   redeems within a second of a step that it took, connected or not: from then on the rules for
//!   any known secret hold, and the ledger pays if the hub is gone.
//! - **A lock is taken for what its payer's sealed payload says**, or not at all: anchor, unit, steps
//!   and asset. A hub that skims a unit off, or shortens the chain, gets no step.
//! - **Streams leave room for payments.** A payee has to keep a stream's lock, as it waits for steps; so
//!   it keeps [`STREAM_LOCKS_MAX`] of them in a channel, [`STREAM_LOCKS_OF_ONE_PAYER`] of one payer's, and
//!   gives up the next one with 212, which may be tried again.
//! - **A step that does not fit is ignored**, and says nothing about those before it. It costs at
//!   most 4,096 hashes, and a wallet makes so many for one payer's steps that do not fit in a second and
//!   no more ([`HASHES_PER_SECOND`]).
//! - **What is left of a lock is given up only after what was redeemed of it is settled** (module
//!   `payee`), and is the payer's again once that is so.
//!
//! - **A payer hands out steps only of a lock that the payee has said that it has.** A hub may refuse
//!   any lock: one that does not come to stand at the payee takes no step with it.
//! - **A payer settles no more than it counts as paid**, and counts nothing twice: of a lock that it
//!   knows to have ended, what was redeemed; the rest can't be redeemed any more, and may be paid
//!   again ([`StreamLock::paid`]).
//!
//! The relay may lose, repeat and reorder everything. A payer asks whether the payee has a lock, and
//! says its newest step, until the payee says so, with one message on the way at a time: so it never
//! runs ahead of a payee that does not answer, and a fast payer's steps travel together. A payee
//! answers what brings nothing new once a second for each lock.

mod book;
mod chain;
mod payee;
mod payer;
mod redeem;
mod view;

use serde::{Deserialize, Serialize};
use settlement::crypto::chain_step;
use settlement::lock::LOCKS_MAX;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Secret};

pub(super) use self::book::Streams;
pub use self::chain::Chain;
pub(super) use self::payee::Wasted;
pub use self::view::{StreamKey, StreamPhase, StreamView};
use super::Way;
pub use crate::payload::StreamId;

/// The fewest steps of a stream's lock. A lock of one step looks like a payment to a hub, which bounds
/// how many places streams take and can't count it among them.
pub const STEPS_MIN: u32 = 2;
/// How many locks of streams a payee keeps in one channel at most: half of its places. The others are for
/// payments, which it answers at once. The hub keeps to the same number, but knows a lock of which a
/// single step is left from a payment only where it comes from.
pub const STREAM_LOCKS_MAX: usize = LOCKS_MAX / 2;
/// How many of those one payer may have: half.
pub const STREAM_LOCKS_OF_ONE_PAYER: usize = STREAM_LOCKS_MAX / 2;
/// How many hashes a wallet makes within a second for steps of one payer that do not fit.
pub const HASHES_PER_SECOND: u32 = 1 << 15;
/// After this long a payee redeems what it has taken.
pub const REDEEM_MS: u64 = 1_000;
/// After this long without an answer something is said on the relay again.
const AGAIN_MS: u64 = 1_000;

/// How one lock of a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamState {
    /// Asked for, and in no update yet.
    Wanted,
    /// It stands in an update; steps can go.
    Open,
    /// Nothing more comes of it: all is settled, or the rest is the payer's again for this reason.
    Ended(Option<Code>),
}

/// One lock of a stream, as one of its sides remembers it. Its anchor names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLock {
    /// Where its chain ends, as it was added.
    pub anchor: Anchor,
    /// Which stream it belongs to.
    pub stream: StreamId,
    /// Which of the stream's locks it is, from 0.
    pub number: u32,
    /// Whether this wallet pays or is paid.
    pub way: Way,
    /// The other wallet.
    pub peer: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// What the payee gets for a step.
    pub unit: Amount,
    /// What the hub takes on top of each step (payer).
    pub fee_per_step: Amount,
    /// What the hub was paid for the whole lock at once (payer).
    pub fee_upfront: Amount,
    /// How many steps it had when it was added.
    pub steps: u32,
    /// Where its chain begins (payer).
    pub seed: Option<Secret>,
    /// What for.
    pub memo: String,
    /// Through which channel and lock, once there is one.
    pub lock: Option<(ChannelId, u64)>,
    /// When that lock ends.
    pub expiry: Height,
    /// Steps that were handed to the payee (payer), or are durable here (payee).
    pub shown: u32,
    /// The newest of them (payee).
    pub secret: Option<Secret>,
    /// Steps that the hub knows of, as far as this side knows.
    pub redeemed: u32,
    /// Steps that are settled in this wallet's channel.
    pub settled: u32,
    /// How it stands.
    pub state: StreamState,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

impl StreamLock {
    /// The stream that it belongs to.
    pub fn key(&self) -> StreamKey {
        StreamKey { way: self.way, peer: self.peer, stream: self.stream }
    }

    /// Whether steps can still go.
    pub fn is_open(&self) -> bool {
        self.state == StreamState::Open
    }

    /// Whether nothing more comes of it.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, StreamState::Ended(_))
    }

    /// Whether the update went through that pays the whole lock's fee with it. One that the hub has
    /// refused, with a number of the 1xx, has moved nothing.
    fn paid_upfront(&self) -> bool {
        let refused = matches!(self.state, StreamState::Ended(Some(code))
            if (100..200).contains(&code.number()));
        self.lock.is_some() && !refused
    }

    /// So many steps are settled, the last of them with this secret: neither side can have gone less
    /// far. A payee that has forgotten that goes on from there.
    fn settle_to(&mut self, steps: u32, secret: Secret) {
        if self.way == Way::In && steps > self.shown {
            (self.shown, self.secret) = (steps, Some(secret));
        }
        self.settled = steps;
        self.redeemed = self.redeemed.max(steps);
        self.shown = self.shown.max(self.redeemed);
    }

    /// The secret of the last step that is settled (payee): never of one that the hub has not paid.
    pub(super) fn settled_secret(&self) -> Option<Secret> {
        let newest = self.secret.filter(|_| self.settled > 0)?;
        let beyond = self.shown.checked_sub(self.settled)?;
        Some(Secret((0..beyond).fold(newest.0, |value, _| chain_step(&value))))
    }

    /// Its steps that count as paid: all that were handed out (payer), or are durable here (payee). Of a
    /// lock that its payer knows the end of, those that were redeemed: no more can be. Where that end
    /// is forgotten, or was its channel's, any that was handed out may have been paid.
    pub fn paid(&self) -> u32 {
        match (self.way, self.state) {
            (Way::In, _) => self.shown,
            (_, StreamState::Ended(Some(Code::StateLost | Code::ChannelClosing))) => self.shown,
            (_, StreamState::Ended(_)) => self.redeemed,
            (_, StreamState::Open | StreamState::Wanted) => self.shown,
        }
    }

    /// Whether the payee has it, as it has said: steps were handed out of no other.
    fn is_at_payee(&self, live: Option<&Live>) -> bool {
        self.shown > 0 || live.is_some_and(|live| live.ready)
    }

    /// Whether all its steps are redeemed.
    pub(super) fn is_used_up(&self) -> bool {
        self.redeemed >= self.steps
    }

    /// Steps that were not handed out yet.
    pub fn left(&self) -> u32 {
        self.steps.saturating_sub(self.shown)
    }
}

/// What a lock's side has in hand while its process lives, and needs not after.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Its chain (payer).
    chain: Option<Chain>,
    /// How many steps the payee has said that it holds (payer).
    taken: u32,
    /// Whether the payee has said that it has the lock (payer).
    ready: bool,
    /// When the payee was last asked whether it has the lock (payer).
    queried_ms: Option<u64>,
    /// The newest step that was put on the relay (payer), and when.
    sent: u32,
    sent_ms: u64,
    /// Whether steps of it go by the relay (payer).
    by_relay: bool,
    /// Whether it is being given back.
    closing: bool,
    /// When the payee was last asked to give it back (payer).
    asked_ms: Option<u64>,
    /// What its payer was told last: how many steps are here, and whether no more are taken (payee).
    told: Option<(u32, bool)>,
    /// Whether the hub was asked to settle at once, so that the rest can be given up (payee).
    hurried: bool,
    /// Since when steps of it wait to be redeemed (payee).
    due_since_ms: Option<u64>,
}
