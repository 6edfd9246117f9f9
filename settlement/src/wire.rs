//! What wallet and hub say to each other: one message per frame, postcard, bounded.
//!
//! Enums are append-only. `testdata/wire.txt` freezes the bytes of every message.

use serde::{Deserialize, Serialize};

use crate::block::SignedHeader;
use crate::channel::{Taken, TakenLock};
use crate::crypto::{Signable, Signed, Tag, VerifyingKey};
use crate::encoding::{DecodeError, at_most, decode, encode};
use crate::lock::{LOCKS_MAX, Lock};
use crate::proof::{BalanceProof, SnapshotRef};
use crate::reject::Code;
use crate::types::{ChannelId, Hash, LedgerId, PublicKey, Role, Secret, Signature};
pub use crate::update::{Bounded, Destination, Memo, OPS_MAX, Op, Payload, Update};

/// The version of this protocol.
pub const VERSION: u16 = 1;
/// The most bytes of one frame.
pub const FRAME_MAX: usize = 256 * 1024;
/// The most bytes of a relayed message.
pub const RELAY_MAX: usize = 16 * 1024;
/// The most keys that one `Hello` signs in.
pub const HELLO_KEYS_MAX: usize = 256;

/// What a key signs to sign in: bound to the ledger, the hub, and the other side's challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Which hub, in either role: a hub that hands on another's challenge gets nothing for it.
    pub hub: PublicKey,
    /// The challenge that the other side sent.
    pub challenge: Hash,
    /// Who signs.
    pub key: PublicKey,
    /// In which role: a wallet's signature never signs a hub in.
    pub role: Role,
}

impl Signable for SignIn {
    const TAG: Tag = Tag::Hello;
}

impl SignIn {
    /// Whether a hello carries just this, signed by its key.
    pub fn is_proved_by(&self, hello: &Hello) -> bool {
        let proof = hello.keys.iter().find(|(key, _)| *key == self.key);
        proof.is_some_and(|(key, signature)| {
            let key = VerifyingKey::parse(key);
            key.is_ok_and(|key| key.verify(&self.digest(), signature).is_ok())
        })
    }
}

/// The first thing each side says. The hub sends its challenge at once; each side then proves its
/// keys over the other's challenge. A wallet service may send more of them to sign more wallets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The lowest protocol version spoken.
    pub version_min: u16,
    /// The highest protocol version spoken.
    pub version_max: u16,
    /// Optional abilities, a bit each; unknown bits are ignored.
    pub features: u64,
    /// Which ledger.
    pub ledger: LedgerId,
    /// Fresh randomness for the other side to sign.
    pub challenge: Hash,
    /// Keys and their signatures over [`SignIn`]; at most [`HELLO_KEYS_MAX`].
    #[serde(deserialize_with = "at_most::<HELLO_KEYS_MAX, _, _>")]
    pub keys: Vec<(PublicKey, Signature)>,
}

/// Everything that is said on a connection. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Sign-in.
    Hello(Hello),
    /// What each side holds of a channel; the first thing said about it on a connection.
    Sync {
        /// Which channel.
        channel: ChannelId,
        /// The newest proof of the sender's own direction.
        own: SnapshotRef,
        /// The newest accepted proof of the receiver's direction.
        yours: SnapshotRef,
        /// The sender's newest block.
        tip: Option<SignedHeader>,
    },
    /// A direction in full, for a side that has lost it.
    Snapshot {
        /// Whose direction.
        direction: Role,
        /// The newest proof.
        proof: Signed<BalanceProof>,
        /// The locks under its root.
        #[serde(deserialize_with = "at_most::<LOCKS_MAX, _, _>")]
        locks: Vec<Lock>,
        /// Where each lock goes.
        #[serde(deserialize_with = "at_most::<LOCKS_MAX, _, _>")]
        destinations: Vec<Destination>,
        /// The payload of each lock.
        #[serde(deserialize_with = "at_most::<LOCKS_MAX, _, _>")]
        payloads: Vec<Payload>,
    },
    /// The next state of the sender's direction.
    Update(Update),
    /// The update with this seq is accepted and durable here.
    Ack {
        /// Which channel.
        channel: ChannelId,
        /// Which update.
        seq: u64,
    },
    /// The update with this seq is refused.
    Reject {
        /// Which channel.
        channel: ChannelId,
        /// Which update.
        seq: u64,
        /// Why.
        code: Code,
    },
    /// The secret of a lock in the receiver's direction: settle it.
    Reveal {
        /// Which channel.
        channel: ChannelId,
        /// Which lock.
        id: u64,
        /// Its secret.
        secret: Secret,
    },
    /// A lock in the receiver's direction is given up: drop it.
    Fail {
        /// Which channel.
        channel: ChannelId,
        /// Which lock.
        id: u64,
        /// Why.
        code: Code,
    },
    /// A message to another wallet, end-to-end encrypted.
    Relay {
        /// To whom.
        to: PublicKey,
        /// From whom, as the relaying hub knows it.
        from: PublicKey,
        /// What only they can read.
        ciphertext: Bounded<RELAY_MAX>,
    },
    /// Keeps a connection alive; answered with the same number.
    Ping {
        /// Any number.
        number: u64,
        /// Whether this is the answer.
        pong: bool,
    },
    /// The last thing said on a connection.
    Goodbye {
        /// Why.
        code: Code,
    },
}

impl Message {
    /// The frame's bytes.
    pub fn to_frame(&self) -> Vec<u8> {
        encode(self)
    }

    /// The message in a frame.
    ///
    /// # Errors
    /// [`FrameError`] when the frame is too large, malformed, over a limit, not canonical, or has lists
    /// of different lengths where they belong together.
    pub fn from_frame(frame: &[u8]) -> Result<Message, FrameError> {
        if frame.len() > FRAME_MAX {
            return Err(FrameError::TooLarge(frame.len()));
        }
        let message: Message = decode(frame)?;
        let within = match &message {
            Message::Snapshot { locks, destinations, payloads, .. } => {
                destinations.len() == locks.len() && payloads.len() == locks.len()
            }
            _ => true,
        };
        if within { Ok(message) } else { Err(FrameError::Unequal) }
    }

    /// A [`Message::Snapshot`] of that direction.
    pub fn snapshot(taken: Taken) -> Message {
        let Taken { proof, locks: taken } = taken;
        let (mut locks, mut destinations, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
        for TakenLock { lock, to, payload } in taken {
            locks.push(lock);
            destinations.push(to);
            payloads.push(payload);
        }
        let direction = proof.value.from;
        Message::Snapshot { direction, proof, locks, destinations, payloads }
    }

    /// What a [`Message::Snapshot`] shows, and of whose direction it says that it is.
    pub fn into_taken(self) -> Option<(Role, Taken)> {
        let Message::Snapshot { direction, proof, locks, destinations, payloads } = self else {
            return None;
        };
        let locks = locks.into_iter().zip(destinations).zip(payloads);
        let locks = locks.map(|((lock, to), payload)| TakenLock { lock, to, payload });
        Some((direction, Taken { proof, locks: locks.collect() }))
    }

    /// The channel it is about, if it is about one.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Message::Snapshot { proof, .. } => Some(proof.value.channel),
            Message::Update(update) => Some(update.channel),
            Message::Sync { channel, .. }
            | Message::Ack { channel, .. }
            | Message::Reject { channel, .. }
            | Message::Reveal { channel, .. }
            | Message::Fail { channel, .. } => Some(*channel),
            Message::Hello(_)
            | Message::Relay { .. }
            | Message::Ping { .. }
            | Message::Goodbye { .. } => None,
        }
    }
}

/// Why a frame was not taken. Each of them closes the connection that it came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Above [`FRAME_MAX`].
    #[error("a frame of {0} bytes, where at most {FRAME_MAX} are allowed")]
    TooLarge(usize),
    /// No message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Lists that belong together are not of one length.
    #[error("lists in the frame that belong together are not of one length")]
    Unequal,
}

impl FrameError {
    /// The code to say goodbye with.
    pub fn code(self) -> Code {
        match self {
            FrameError::TooLarge(_) => Code::FrameTooLarge,
            FrameError::Decode(_) | FrameError::Unequal => Code::MalformedFrame,
        }
    }
}
