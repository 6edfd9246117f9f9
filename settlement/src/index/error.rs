//! What can go wrong with an index, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::{JournalError, Lsn};

/// Why an index refused. None of these loses anything: the journal still has every record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A file operation failed.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        /// The operation, as a verb.
        doing: &'static str,
        /// What it was applied to.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another handle in this one, owns the directory.
    #[error("{0}")]
    Locked(JournalError),
    /// The database refused an operation on files that passed their checksums.
    #[error(
        "the index in {path} cannot be used: {reason}; end the process and start it again, and \
         if that does not help, move the directory away to have it rebuilt from the journal",
        path = path.display()
    )]
    Database {
        /// The working copy.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// The checkpoints were written by a newer program.
    #[error(
        "{path} has format version {found}, and this program knows versions up to {known}; use \
         the program that wrote it, or a newer one",
        path = path.display()
    )]
    Version {
        /// The checkpoint.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// A checkpoint has to be later than the one before.
    #[error("a checkpoint at {to} cannot follow the one at {from}: positions must grow")]
    Order {
        /// Position of the checkpoint in force.
        from: Lsn,
        /// Position asked for.
        to: Lsn,
    },
    /// A row is too long for the index.
    #[error(
        "a row with a key of {key_bytes} and a value of {value_bytes} bytes is too long: at most \
         {max_key} and {max_value} are allowed",
        max_key = super::MAX_KEY_BYTES, max_value = super::MAX_VALUE_BYTES
    )]
    RowSize {
        /// Length of the key.
        key_bytes: usize,
        /// Length of the value.
        value_bytes: usize,
    },
    /// The visitor of a scan refused a row.
    #[error("the row with key {key} cannot be used: {reason}")]
    Visitor {
        /// The key in hex.
        key: String,
        /// What the visitor said.
        reason: String,
    },
    /// A simulated failure.
    #[error("simulated failure of a checkpoint")]
    Simulated,
}

impl IndexError {
    /// Wraps an I/O error with what was attempted; for use in `map_err`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IndexError {
        let path = path.to_path_buf();
        move |source| IndexError::Io { doing, path, source }
    }

    pub(super) fn visitor(key: &[u8], reason: String) -> IndexError {
        IndexError::Visitor { key: hex::encode(key), reason }
    }
}
