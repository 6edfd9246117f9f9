//! The index: the current state behind the journal, so that a start need not replay everything.
//!
//! The journal is the truth and the index only saves time, so its rules are few: a checkpoint is
//! all there or not there at all, [`Index::position`] says which records it covers, and one that
//! is damaged is never used. Start: open the index, [`Index::scan`] its rows into memory, replay
//! the journal from [`Index::position`]. Records are not idempotent, so a row must never be newer
//! or older than the position says.
//!
//! The two newest checkpoints are kept. [`Index::archivable`] is the position of the older one:
//! give that, and nothing later, to [`Journal::archive_before`](crate::journal::Journal), and a
//! start remains possible when the newest checkpoint turns out to be damaged.

mod checkpoint;
mod error;
mod memory;
mod rows;
mod sled;

pub use error::IndexError;
pub use memory::{MemoryIndex, Shelf};
pub use rows::Rows;
pub use sled::{SledConfig, SledIndex};

use crate::journal::Lsn;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The longest value, in bytes: sled keeps long ones in files of their own.
pub const MAX_VALUE_BYTES: usize = 4 << 10;

/// One changed row: its key, and its new value, or `None` to delete it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// What [`Index::scan`] calls with each key and value; a reason returned ends the scan.
pub type RowVisitor<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// Rows by key, as of a position in the journal.
pub trait Index: Send {
    /// The checkpoint: the rows are what the records up to this position make of them, neither
    /// more nor less. 0 means that there is no checkpoint, and no row.
    fn position(&self) -> Lsn;

    /// Every record up to this position is covered by two checkpoints, and may be archived.
    fn archivable(&self) -> Lsn;

    /// Visits all rows whose key starts with `prefix`, in ascending order of keys.
    ///
    /// # Errors
    /// [`IndexError::Visitor`] when `visit` refuses, otherwise that the rows cannot be read.
    fn scan(&self, prefix: &[u8], visit: RowVisitor<'_>) -> Result<(), IndexError>;

    /// The value of one row.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Gives back what memory was taken for reading, until the next use; nothing is lost.
    fn rest(&mut self);

    /// Takes a checkpoint: applies `changes` (of the same key the last counts) and moves to
    /// `position`, which must be durable in the journal and greater than the one before. After a
    /// crash either all of it is there or nothing.
    ///
    /// # Errors
    /// [`IndexError::Order`], [`IndexError::RowSize`], or that files could not be written; the
    /// checkpoint before stays in force, and a later one has to bring these changes again.
    fn checkpoint(
        &mut self,
        position: Lsn,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), IndexError>;
}

/// Refuses rows that an index must not hold, whichever index it is.
fn check_row((key, value): &Change) -> Result<(), IndexError> {
    let value_bytes = value.as_ref().map_or(0, Vec::len);
    if key.len() > MAX_KEY_BYTES || value_bytes > MAX_VALUE_BYTES {
        return Err(IndexError::RowSize { key_bytes: key.len(), value_bytes });
    }
    Ok(())
}

fn check_order(from: Lsn, to: Lsn) -> Result<(), IndexError> {
    if to <= from { Err(IndexError::Order { from, to }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
