//! Names of responses that are paid for, and how names are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names one response that is paid for: the payer's fresh randomness, 32 hex digits in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for SessionId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<SessionId, hex::FromHexError> {
        from_hex(text).map(SessionId)
    }
}

fn from_hex(text: &str) -> Result<[u8; 16], hex::FromHexError> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes)?;
    Ok(bytes)
}

fn write<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.serialize_str(&hex::encode(bytes))
    } else {
        bytes.serialize(serializer)
    }
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
    if deserializer.is_human_readable() {
        let text = String::deserialize(deserializer)?;
        from_hex(&text).map_err(de::Error::custom)
    } else {
        <[u8; 16]>::deserialize(deserializer)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SessionId, D::Error> {
        read(deserializer).map(SessionId)
    }
}

/// A stream's name in hex where text is written.
pub(super) mod stream_hex {
    use serde::{Deserializer, Serializer};

    use crate::wallet::stream::StreamId;

    pub(crate) fn serialize<S: Serializer>(id: &StreamId, to: S) -> Result<S::Ok, S::Error> {
        super::write(&id.0, to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StreamId, D::Error> {
        super::read(from).map(StreamId)
    }
}
