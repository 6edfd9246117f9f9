//! Every decoder, with what must hold of each.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use settlement::encoding::{decode, encode};

use super::{Meter, table};

/// What decoding may take beside twice its input: what serde makes room for at most before it has
/// seen an element, and what every decoder takes.
pub const SLACK: usize = 1 << 20;

/// Something that is made from bytes.
pub struct Decoder {
    /// The type or function, as the source has it.
    pub name: &'static str,
    /// The most bytes that its door lets through to it.
    pub most: usize,
    /// How often its input, beside [`SLACK`], it may take of memory.
    pub factor: usize,
    /// Decodes and drops; whether the bytes were taken.
    pub take: fn(&[u8]) -> bool,
    /// Panics when what was taken is not what would be written.
    pub check: fn(&[u8]),
    /// Whether `seeds` has bytes for it, by name.
    pub text: bool,
}

impl Decoder {
    /// Its input is read from the process's own disk, or from a ledger whose headers are signed, and
    /// holds lists without a limit: so many times.
    pub(super) fn factor(self, factor: usize) -> Decoder {
        Decoder { factor, ..self }
    }

    pub(super) fn most(self, most: usize) -> Decoder {
        Decoder { most, ..self }
    }

    /// As [`run`], this one.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn run(&self, bytes: &[u8], meter: Option<&dyn Meter>) -> bool {
        let bytes = bytes.get(..self.most).unwrap_or(bytes);
        if let Some(meter) = meter {
            self.measured(bytes, meter);
        }
        let taken = (self.take)(bytes);
        (self.check)(bytes);
        taken
    }

    /// How much memory these bytes take at most while they are decoded.
    ///
    /// # Panics
    /// When it is more than allowed.
    pub fn measured(&self, bytes: &[u8], meter: &dyn Meter) -> usize {
        meter.reset();
        let before = meter.now();
        (self.take)(bytes);
        let took = meter.peak().saturating_sub(before);
        let most = self.factor * bytes.len() + SLACK;
        assert!(took <= most, "{} took {took} bytes for {}", self.name, bytes.len());
        took
    }
}

/// The first byte says which decoder, the others are for it. Whether they were taken.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8], meter: Option<&dyn Meter>) -> bool {
    let Some((which, bytes)) = bytes.split_first() else { return false };
    let all = table::all();
    all[usize::from(*which) % all.len()].run(bytes, meter)
}

/// Bytes for [`run`] that go to the decoder with this place in the table.
pub fn addressed(place: usize, bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(place).expect("there are fewer than 256")], bytes].concat()
}

/// The one codec: canonical.
pub(super) fn postcard<T: Serialize + DeserializeOwned>(name: &'static str) -> Decoder {
    let check = |bytes: &[u8]| {
        if let Ok(value) = decode::<T>(bytes) {
            assert_eq!(encode(&value), bytes);
        }
    };
    let take = |bytes: &[u8]| decode::<T>(bytes).is_ok();
    Decoder { name, most: 256 << 10, factor: 2, take, check, text: false }
}

/// JSON can be written in many ways; what is read and written is read as the same.
pub(super) fn json<T>(name: &'static str) -> Decoder
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let check = |bytes: &[u8]| {
        if let Ok(value) = serde_json::from_slice::<T>(bytes) {
            let written = serde_json::to_vec(&value).expect("it is written");
            let again: T = serde_json::from_slice(&written).expect("what is written is read");
            assert_eq!(again, value);
        }
    };
    let take = |bytes: &[u8]| serde_json::from_slice::<T>(bytes).is_ok();
    Decoder { name, most: 129 << 10, factor: 2, take, check, text: true }
}

/// A function of a text, and the text that it would write.
pub(super) fn text(name: &'static str, take: fn(&[u8]) -> bool, check: fn(&[u8])) -> Decoder {
    Decoder { name, most: 16 << 10, factor: 2, take, check, text: true }
}

/// What is shown to a function of texts, if it is one.
pub(super) fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
