//! What can go wrong with a journal, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::Lsn;
use super::format::{KIND_AT, VERSION_AT};

/// Why a journal refused; each message says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A write or sync failed, or was short. Returned once; afterwards the journal is poisoned.
    #[error(
        "{reason}; what is durable is unknown, so the process must end now and recover from disk"
    )]
    Fatal {
        /// What failed.
        reason: String,
    },
    /// An earlier call failed with [`JournalError::Fatal`].
    #[error("the journal failed earlier and must not be used again; end the process")]
    Poisoned,
    /// A file operation failed outside the commit path.
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
    #[error(
        "{path} is locked: another process has it open; stop that one, or use another directory",
        path = path.display()
    )]
    Locked {
        /// The directory or, for a simulated disk, a name for it.
        path: PathBuf,
    },
    /// Bytes that were durable, and may have been acknowledged, are damaged.
    #[error(
        "{file} is damaged at byte {offset}: {reason}; acknowledged records follow, so nothing was \
         changed. Restore this file from a copy; do not delete it",
        file = file.display()
    )]
    Damaged {
        /// The segment file.
        file: PathBuf,
        /// Where in it the first wrong frame starts, in bytes.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The file was written by a newer program.
    #[error(
        "{file} has format version {found}, and this program knows versions up to {known}; use the \
         program that wrote it, or a newer one",
        file = file.display()
    )]
    Version {
        /// The segment file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The file belongs to a journal of another kind.
    #[error(
        "{file} belongs to a journal of kind {found:?}, not {expected:?}; check the data directory",
        file = file.display()
    )]
    Kind {
        /// The segment file.
        file: PathBuf,
        /// The kind in the file.
        found: String,
        /// The kind asked for.
        expected: String,
    },
    /// The archive has segments, but the live ones are gone.
    #[error(
        "{archived} is archived, but no live segment follows it: the newest records are missing. \
         Restore the directory from a copy",
        archived = archived.display()
    )]
    LiveMissing {
        /// The newest archived segment.
        archived: PathBuf,
    },
    /// A record is empty or over the limit.
    #[error("a record of {bytes} bytes cannot be journaled: 1 to {max} are allowed", max = super::MAX_RECORD_BYTES)]
    RecordSize {
        /// Its length.
        bytes: usize,
    },
    /// The open group is full: sync before appending more.
    #[error("the open group holds {bytes} bytes and must be synced before more is appended")]
    GroupFull {
        /// Bytes in the open group.
        bytes: usize,
    },
    /// Records that a replay needs are not kept any more.
    #[error(
        "records after {from} are needed, but the oldest kept is {oldest}: restore the archived \
         segments, or an index checkpoint at {oldest} or later"
    )]
    Gone {
        /// Where the replay was to start.
        from: Lsn,
        /// The oldest record still kept.
        oldest: Lsn,
    },
    /// A replay was asked to start after the last durable record.
    #[error(
        "replay from {from} was asked for, but the journal ends at {durable}: it is older than the \
         state it is to complete. Restore the newer journal, or start the recovery of channels"
    )]
    Ahead {
        /// Where the replay was to start.
        from: Lsn,
        /// The last durable record.
        durable: Lsn,
    },
    /// The visitor of a replay refused a record.
    #[error("record {lsn} cannot be applied: {reason}")]
    Visitor {
        /// The record's position.
        lsn: Lsn,
        /// What the visitor said.
        reason: String,
    },
}

impl JournalError {
    /// The damaged file, and where in it the first thing starts that is not as it should be, in
    /// bytes. None for what is not about the bytes of one file.
    pub fn place(&self) -> Option<(&Path, u64)> {
        match self {
            JournalError::Damaged { file, offset, .. } => Some((file, *offset)),
            JournalError::Version { file, .. } => Some((file, VERSION_AT)),
            JournalError::Kind { file, .. } => Some((file, KIND_AT)),
            _ => None,
        }
    }

    /// Wraps an I/O error with what was attempted; for use in `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        let path = path.to_path_buf();
        move |source| JournalError::Io { doing, path, source }
    }
}

/// Logs the error and ends the process at once, without unwinding or flushing anything.
///
/// For [`JournalError::Fatal`]: whatever ran on could tell somebody what is not durable.
pub fn abort_on(error: &JournalError) -> ! {
    tracing::error!(
        %error,
        "the journal failed; the process ends. Nothing that was acknowledged is lost. If the disk is \
         full make room on it, if it fails replace it; then start again"
    );
    std::process::abort()
}
