//! What wallet and hub say to each other: one message per frame, postcard, bounded.
//!
//! Enums are append-only. `testdata/wire.txt` freezes the bytes of every message.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::block::SignedHeader;
use crate::crypto::{Signable, Signed, Tag};
use crate::encoding::{DecodeError, decode, encode};
use crate::lock::{LOCKS_MAX, Lock};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, ChannelId, Hash, LedgerId, PublicKey, Role, Secret, Signature};

/// The version of this protocol.
pub const VERSION: u16 = 1;
/// The most bytes of one frame.
pub const FRAME_MAX: usize = 256 * 1024;
/// The most operations of one update.
pub const OPS_MAX: usize = 1024;
/// The most bytes of a direct payment's memo.
pub const MEMO_MAX: usize = 256;
/// The most bytes of a lock's payload.
pub const PAYLOAD_MAX: usize = 512;
/// The most bytes of a relayed message.
pub const RELAY_MAX: usize = 16 * 1024;
/// The most keys that one `Hello` signs in.
pub const HELLO_KEYS_MAX: usize = 256;

/// Bytes with a most length that decoding enforces.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct Bounded<const MAX: usize>(Vec<u8>);

/// Bytes beyond the length that their place allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes, where at most {max} are allowed")]
pub struct TooLong {
    /// How many there were.
    pub got: usize,
    /// How many are allowed.
    pub max: usize,
}

impl<const MAX: usize> Bounded<MAX> {
    /// Takes the bytes.
    ///
    /// # Errors
    /// [`TooLong`] above `MAX` bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooLong> {
        let got = bytes.len();
        if got > MAX {
            Err(TooLong { got, max: MAX })
        } else {
            Ok(Bounded(bytes))
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Serialize for Bounded<MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.serialize_str(&hex::encode(&self.0))
        } else {
            s.serialize_bytes(&self.0)
        }
    }
}

struct BoundedVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for BoundedVisitor<MAX> {
    type Value = Bounded<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bounded<MAX>, E> {
        if bytes.len() > MAX {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        Ok(Bounded(bytes.to_vec()))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bounded<MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let bytes = hex::decode(String::deserialize(d)?).map_err(de::Error::custom)?;
            Bounded::new(bytes).map_err(de::Error::custom)
        } else {
            d.deserialize_bytes(BoundedVisitor)
        }
    }
}

/// A note to the other side of the channel.
pub type Memo = Bounded<MEMO_MAX>;
/// What travels with a lock to its payee, opaque to the hub.
pub type Payload = Bounded<PAYLOAD_MAX>;

/// Where a lock is to be passed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// The payee's hub; `None` is the hub that is asked.
    pub hub: Option<PublicKey>,
    /// The payee.
    pub wallet: PublicKey,
}

/// One change to a direction, by its owner. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Pays the other side of the channel, directly and unconditionally.
    Pay {
        /// At least 1.
        amount: Amount,
        /// What for.
        memo: Memo,
    },
    /// Adds a lock.
    Add {
        /// The lock.
        lock: Lock,
        /// Who shall get it in the end.
        to: Destination,
        /// What the payee needs to know.
        payload: Payload,
    },
    /// Pays what a secret redeems of a lock.
    Settle {
        /// Which lock.
        id: u64,
        /// The secret.
        secret: Secret,
    },
    /// Removes a lock that has expired or was given up by its receiver.
    Drop {
        /// Which lock.
        id: u64,
    },
}

/// The next state of a direction, by its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Which channel.
    pub channel: ChannelId,
    /// The accepted state that the operations build on.
    pub base: u64,
    /// At most [`OPS_MAX`].
    pub ops: Vec<Op>,
    /// What they make of it, signed.
    pub proof: Signed<BalanceProof>,
}

/// Which proof one holds of a direction: its seq, and its digest (all zeros for none at seq 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The proof's seq.
    pub seq: u64,
    /// The proof's digest.
    pub digest: Hash,
}

impl SnapshotRef {
    /// Nothing yet.
    pub const NONE: SnapshotRef = SnapshotRef {
        seq: 0,
        digest: Hash::ZERO,
    };

    /// The reference to a proof.
    pub fn of(proof: &BalanceProof) -> SnapshotRef {
        SnapshotRef {
            seq: proof.seq,
            digest: proof.digest(),
        }
    }
}

/// What a key signs to sign in: bound to the ledger, the other side's challenge, and who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// Which ledger.
    pub ledger: LedgerId,
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
        locks: Vec<Lock>,
        /// Where each lock goes.
        destinations: Vec<Destination>,
        /// The payload of each lock.
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
    /// [`FrameError`] when the frame is too large, malformed, not canonical, or over a limit that
    /// the type alone does not hold.
    pub fn from_frame(frame: &[u8]) -> Result<Message, FrameError> {
        if frame.len() > FRAME_MAX {
            return Err(FrameError::TooLarge(frame.len()));
        }
        let message: Message = decode(frame)?;
        let within = match &message {
            Message::Hello(hello) => hello.keys.len() <= HELLO_KEYS_MAX,
            Message::Update(update) => update.ops.len() <= OPS_MAX,
            Message::Snapshot {
                locks,
                destinations,
                payloads,
                ..
            } => {
                locks.len() <= LOCKS_MAX
                    && destinations.len() == locks.len()
                    && payloads.len() == locks.len()
            }
            _ => true,
        };
        if within {
            Ok(message)
        } else {
            Err(FrameError::OverLimit)
        }
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
    /// A list is longer than its place allows.
    #[error("a list in the frame is longer than allowed")]
    OverLimit,
}

impl FrameError {
    /// The code to say goodbye with.
    pub fn code(self) -> Code {
        match self {
            FrameError::TooLarge(_) => Code::FrameTooLarge,
            FrameError::Decode(_) | FrameError::OverLimit => Code::MalformedFrame,
        }
    }
}
