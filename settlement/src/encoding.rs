//! The one codec: postcard with nothing left over and one way to write each value.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::bugs::{Bug, planted};

/// Why bytes were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a value of the type: cut short, an unknown variant, a length beyond the input.
    #[error("the bytes are no such value: cut short or malformed")]
    Malformed,
    /// Bytes follow the value.
    #[error("bytes are left over after the value")]
    TrailingBytes,
    /// The same value has a shorter encoding (an overlong varint).
    #[error("the value is not in its one canonical encoding")]
    NotCanonical,
}

/// The encoding of `value`.
///
/// Encoding into memory fails for no type of this project: none has a sequence of unknown length.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Nearly every message is shorter: its buffer never grows.
    let mut bytes = Vec::with_capacity(512);
    append(&mut bytes, value);
    bytes
}

/// The same in no more memory than it takes: for what is kept.
pub fn encode_tight<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    with_encoded(value, <[u8]>::to_vec)
}

/// Puts the encoding of `value` behind `bytes`.
pub fn append<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    *bytes = postcard::to_extend(value, std::mem::take(bytes)).unwrap_or_default();
}

/// Bytes within which nearly all fits that is hashed.
const SHORT: usize = 1_024;

/// Hands the encoding of `value` over to be looked at; a short one takes no memory.
pub(crate) fn with_encoded<T: Serialize + ?Sized, R>(
    value: &T,
    look: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut short = [0; SHORT];
    match postcard::to_slice(value, &mut short) {
        Ok(bytes) => look(bytes),
        Err(_) => look(&encode(value)),
    }
}

/// The value that `bytes` encode.
///
/// # Errors
/// [`DecodeError`] when they are malformed, too many, or not the canonical encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() && !planted(Bug::TrailingBytesTaken) {
        return Err(DecodeError::TrailingBytes);
    }
    // Postcard takes `80 00` for 0. A value has one digest only if it has one encoding.
    let mut again = Vec::with_capacity(bytes.len());
    append(&mut again, &value);
    // Of the bytes of the value alone, should there be others.
    let own = bytes.len().saturating_sub(rest.len());
    let canonical = bytes.get(..own) == Some(again.as_slice());
    if canonical || planted(Bug::OverlongTaken) {
        Ok(value)
    } else {
        Err(DecodeError::NotCanonical)
    }
}

struct AtMost<const MAX: usize, T>(PhantomData<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MAX, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let claimed = seq.size_hint().unwrap_or(0);
        if claimed > MAX {
            return Err(de::Error::invalid_length(claimed, &self));
        }
        let mut list = Vec::with_capacity(claimed);
        while let Some(element) = seq.next_element()? {
            if list.len() >= MAX {
                return Err(de::Error::invalid_length(MAX.saturating_add(1), &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// For `deserialize_with`: a list that is refused at the first element that is too many, and not only
/// once it is whole. An element may take a hundred times the room of its bytes.
pub(crate) fn at_most<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_seq(AtMost::<MAX, T>(PhantomData))
}
