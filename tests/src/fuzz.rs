//! Entry points for bytes from anywhere: one set, driven by `cargo fuzz` (the folder `fuzz/`) and, for
//! some seconds with every change, by proptest (`tests/tests/fuzz`).
//!
//! | entry | bytes are | what must hold |
//! | --- | --- | --- |
//! | [`decoders`] | what a decoder is shown, each of [`table`] | no panic; what is taken has these bytes; memory is bounded ([`Meter`]) |
//! | [`world`] | what happens in a world of payer, hub and payee: [`crate::sim`] and [`crate::theorems::pair`] | every unit is where the rules say |
//! | [`journal`] | damage to a journal, or a segment itself | a prefix of what was written, or a refusal that says where |
//!
//! Each panics when something does not hold, and takes any bytes.

pub mod decoders;
pub mod journal;
pub mod mutate;
pub mod seeds;
pub mod table;
pub mod world;

/// What knows how much memory the process has at most taken: a counting allocator. There is one in
/// the programs alone that measure.
pub trait Meter {
    /// From now on.
    fn reset(&self);
    /// Bytes that are taken now.
    fn now(&self) -> usize;
    /// The most that were taken since it was reset.
    fn peak(&self) -> usize;
}

/// Takes bytes off the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// One byte; 0 when there is none.
    pub(crate) fn byte(&mut self) -> u8 {
        self.some(1).first().copied().unwrap_or(0)
    }

    /// Two bytes as a number.
    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// So many bytes, or those that are left.
    pub(crate) fn some(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
