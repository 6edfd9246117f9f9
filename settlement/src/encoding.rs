//! The one codec: postcard with nothing left over and one way to write each value.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    postcard::to_extend(value, Vec::with_capacity(512)).unwrap_or_default()
}

/// The value that `bytes` encode.
///
/// # Errors
/// [`DecodeError`] when they are malformed, too many, or not the canonical encoding.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::TrailingBytes);
    }
    // Postcard takes `80 00` for 0. A value has one digest only if it has one encoding.
    let canonical = postcard::serialize_with_flavor(&value, Same { left: bytes });
    if matches!(canonical, Ok(true)) { Ok(value) } else { Err(DecodeError::NotCanonical) }
}

/// Encodes into nothing: compares with the bytes that are expected, up to the first difference.
struct Same<'a> {
    left: &'a [u8],
}

impl Flavor for Same<'_> {
    /// Whether nothing more was expected.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        let left = self.left.strip_prefix(bytes);
        self.left = left.ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.left.is_empty())
    }
}
