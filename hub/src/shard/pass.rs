//! What the hub's channels say to each other about a payment.

use serde::{Deserialize, Serialize};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, Secret};
use settlement::update::{Destination, Payload};

use super::Pairing;

/// What one channel of the hub asks of another, wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Take a payment on: add a lock to the payee's channel.
    Forward(Box<Forward>),
    /// The lock that was added for `incoming` came to this.
    Outcome {
        /// The payer's channel and lock.
        incoming: (ChannelId, u64),
        /// The payee's channel and the hub's lock in it; 0 when none was added.
        outgoing: (ChannelId, u64),
        /// The secret, or why it failed. A failure is passed only once the hub's own lock is gone.
        outcome: Result<Secret, Code>,
    },
    /// Of the lock that was added for `incoming`, a part is redeemed: with this secret, beyond which
    /// `left` steps of the chain are left.
    Streamed {
        /// The payer's channel and lock.
        incoming: (ChannelId, u64),
        /// The payee's channel and the hub's lock in it.
        outgoing: (ChannelId, u64),
        /// The newest secret.
        secret: Secret,
        /// Steps beyond it.
        left: u32,
    },
    /// The payer's channel has recorded all that its lock can come to: the pair of the hub's lock is
    /// needed no more.
    Concluded {
        /// The payee's channel and the hub's lock in it.
        outgoing: (ChannelId, u64),
    },
    /// What has become of this payer's lock, of which is not known whether it was passed on?
    Seek(Box<Seek>),
    /// It was, with this lock of the hub's.
    Found(Pairing),
    /// It was not.
    Untouched {
        /// The payer's channel and lock.
        incoming: (ChannelId, u64),
    },
}

impl Pass {
    /// The channel that it is for.
    pub fn channel(&self) -> ChannelId {
        match self {
            Pass::Forward(forward) => forward.outgoing,
            Pass::Outcome { incoming, .. }
            | Pass::Streamed { incoming, .. }
            | Pass::Untouched { incoming } => incoming.0,
            Pass::Concluded { outgoing } => outgoing.0,
            Pass::Seek(seek) => seek.outgoing,
            Pass::Found(pairing) => pairing.incoming.0,
        }
    }
}

/// A payer's lock on its way to the payee's channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The payer's channel and lock: whom the outcome goes back to.
    pub incoming: (ChannelId, u64),
    /// The payee's channel.
    pub outgoing: ChannelId,
    /// Of which asset; both channels carry it.
    pub asset: AssetId,
    /// What a step is worth to the hub; never less than `unit`.
    pub unit_in: Amount,
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

/// A payer's lock that may have been passed on by a life of this hub that is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    /// The payer's channel and lock.
    pub incoming: (ChannelId, u64),
    /// The payee's channel.
    pub outgoing: ChannelId,
    /// The payer's lock as it stands.
    pub lock: Lock,
    /// Whether the payer's channel was met as it was left, or the lock was made after all that is known
    /// to have been forgotten.
    pub whole: bool,
}
