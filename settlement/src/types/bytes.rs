//! Fixed-size byte strings: raw in postcard, lower-case hex in JSON.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not the hex of as many bytes as the type has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes as {} lower-case hex digits", expected * 2)]
pub struct NotHex {
    /// How many bytes the type has.
    pub expected: usize,
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], NotHex> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        _ => Err(NotHex { expected: N }),
    }
}

fn write<const N: usize, S: Serializer>(bytes: &[u8; N], s: S) -> Result<S::Ok, S::Error> {
    if s.is_human_readable() {
        return s.serialize_str(&hex::encode(bytes));
    }
    let (words, rest) = words(bytes);
    let mut tuple = s.serialize_tuple(N)?;
    for word in words {
        tuple.serialize_element(&f64::from_bits(u64::from_le_bytes(*word)))?;
    }
    for byte in rest {
        tuple.serialize_element(byte)?;
    }
    tuple.end()
}

/// Whether a float's bits survive being passed on: those of a signalling NaN don't on x87.
const FLOATS_KEEP_BITS: bool = cfg!(not(target_arch = "x86"));

/// The bytes in words of eight, which are written as floats, and what is left over. The codec writes
/// a float as its eight bytes just as they are, and takes integers and sequences a byte at a time:
/// most of what is sent, hashed and journaled is bytes, and takes half of the time so.
fn words<const N: usize>(bytes: &[u8; N]) -> (&[[u8; 8]], &[u8]) {
    if FLOATS_KEEP_BITS { bytes.as_chunks() } else { (&[], bytes) }
}

struct RawBytes<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for RawBytes<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        let short = |at| de::Error::invalid_length(at, &self);
        let (words, rest) =
            if FLOATS_KEEP_BITS { bytes.as_chunks_mut() } else { (&mut [][..], &mut bytes[..]) };
        for word in words {
            let float: f64 = seq.next_element()?.ok_or_else(|| short(0))?;
            *word = float.to_bits().to_le_bytes();
        }
        for (at, byte) in rest.iter_mut().enumerate() {
            *byte = seq.next_element()?.ok_or_else(|| short(at))?;
        }
        Ok(bytes)
    }
}

fn read<'de, const N: usize, D: Deserializer<'de>>(d: D) -> Result<[u8; N], D::Error> {
    if d.is_human_readable() {
        from_hex(&String::deserialize(d)?).map_err(de::Error::custom)
    } else {
        d.deserialize_tuple(N, RawBytes)
    }
}

macro_rules! byte_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// How many bytes it has.
            pub const LEN: usize = $len;

            /// The bytes as a slice.
            pub fn as_slice(&self) -> &[u8] {
                &self.0
            }
        }

        /// The bytes alone: their number is the same for all.
        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                state.write(&self.0);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<$name, NotHex> {
                from_hex(text).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                write(&self.0, s)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$name, D::Error> {
                read(d).map($name)
            }
        }
    };
}

macro_rules! short_debug {
    ($($name:ident)*) => {$(
        /// The first four bytes: enough to tell two apart in a log.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let short = self.0.first_chunk::<4>().map(hex::encode).unwrap_or_default();
                write!(f, "{}({short}…)", stringify!($name))
            }
        }
    )*};
}

byte_type!(
    /// A SHA-256 digest.
    Hash, 32
);
byte_type!(
    /// `H("ledger", genesis)`: which ledger a signature is meant for.
    LedgerId, 32
);
byte_type!(
    /// `H("channel", OpenTerms)`.
    ChannelId, 32
);
byte_type!(
    /// `H("tx", Transaction)`.
    TxId, 32
);
byte_type!(
    /// What a lock is locked to: the last value of a SHA-256 chain.
    Anchor, 32
);
byte_type!(
    /// A value of a SHA-256 chain before its anchor. Whoever shows it can claim the lock, so it is
    /// never printed by `Debug`.
    Secret, 32
);
byte_type!(
    /// Fresh randomness of one hub process, which names it in its lease.
    Holder, 16
);
byte_type!(
    /// Randomness in the leaf of a batch signature.
    Salt, 16
);
byte_type!(
    /// A compressed secp256k1 point, as it is written. That it lies on the curve is checked when it
    /// is used to verify.
    PublicKey, 33
);
byte_type!(
    /// ECDSA in compact form, r then s, low s only. That it is one is checked when it is verified.
    Signature, 64
);

short_debug!(Hash LedgerId ChannelId TxId Anchor Holder Salt PublicKey Signature);

/// An account of the ledger is the key that owns it.
pub type AccountId = PublicKey;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Hash {
    /// The root of an empty list of locks.
    pub const ZERO: Hash = Hash([0; 32]);
}
