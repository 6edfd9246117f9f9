//! Updates: what the owner of a direction asks its receiver to accept.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::crypto::Signed;
use crate::encoding::at_most;
use crate::lock::Lock;
use crate::proof::BalanceProof;
use crate::types::{Amount, ChannelId, PublicKey, Secret};

/// The most operations of one update.
pub const OPS_MAX: usize = 1024;
/// The most bytes that the operations of one update take, so that it fits into a frame with its
/// proof. Who makes updates keeps to it; a receiver measures the frame.
pub const UPDATE_BYTES_MAX: usize = 240 * 1024;
/// The most bytes of a direct payment's memo.
pub const MEMO_MAX: usize = 256;
/// The most bytes of a lock's payload.
pub const PAYLOAD_MAX: usize = 512;

/// Bytes with a most length that decoding enforces. A clone shares them: a payload is in the update
/// that brings it, in the state, in the record and in the update that passes it on.
#[derive(Clone, Debug, PartialEq, Eq, Default, Hash)]
pub struct Bounded<const MAX: usize>(Option<Arc<[u8]>>);

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
        if got > MAX { Err(TooLong { got, max: MAX }) } else { Ok(Bounded::of(&bytes)) }
    }

    /// Of no byte there is nothing to share, and one way to say so.
    fn of(bytes: &[u8]) -> Self {
        Bounded((!bytes.is_empty()).then(|| bytes.into()))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<const MAX: usize> Serialize for Bounded<MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.serialize_str(&hex::encode(self.as_slice()))
        } else {
            s.serialize_bytes(self.as_slice())
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
        Ok(Bounded::of(bytes))
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
    #[serde(deserialize_with = "at_most::<OPS_MAX, _, _>")]
    pub ops: Vec<Op>,
    /// What they make of it, signed.
    pub proof: Signed<BalanceProof>,
}
