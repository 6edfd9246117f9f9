//! The journal: the append-only truth that everything else is rebuilt from.
//!
//! Records are appended into an open group and become durable together: one `write`, one
//! `fdatasync`. Nothing may leave the process before [`Journal::durable`] covers what it rests on.
//!
//! # What is on disk
//!
//! A directory of segment files, each named by the number of its first record
//! (`00000000000000000001.seg`), a `LOCK` file, and `archive/` for segments that no checkpoint
//! needs any more. All integers are little-endian.
//!
//! ```text
//! segment  "SETLJRNL" version:u32 kind:[u8;8] salt:u64 first:u64 running:u64 crc:u32   then groups
//! group    magic:u32 crc:u32 first:u64 running:u64                                     then records
//! record   length:u32 check:u32 payload
//! ```
//!
//! `check` is the crc32c of (running hash so far, record number, length, payload), and the running
//! hash takes `check` in by a rotation and a multiplication. One pass over the bytes thus serves
//! both as checksum and as chain: a record that was dropped, swapped, or comes from another
//! journal fails its own check. It costs one crc32c (several GB/s) and one multiplication per
//! record. It finds damage, not forgery: who can write these files can write a valid journal, so a
//! cryptographic hash would cost more and protect nothing.
//!
//! A random `salt` per segment goes into each group header's crc. Recovery searches damaged bytes
//! for group headers, and without a salt a payer could hide one in a payload.
//!
//! # Why recovery is right
//!
//! A group is written only after the group before it is durable, and a segment is created only
//! after all earlier segments are. So bytes that a crash tore can only be in the last group of the
//! last segment: they are cut off behind the last whole record, and the cut is made durable before
//! anything is appended. Damage with a valid group header or another segment behind it was durable
//! once and acknowledged: the journal refuses to open and names the file and the byte.
//!
//! The bytes of the last group are written and synced again on opening. The process before may
//! have died on a failed fsync, after which Linux reads back from its cache what never reached the
//! disk; such records may be kept, but only once they are really there.
//!
//! # What it cannot see
//!
//! Whole groups missing at the end (a restored backup, a file cut short) and damage in the last
//! group look like a torn tail. Peers and the ledger know better; see the recovery of channels.

mod archive;
mod error;
mod file;
pub(crate) mod files;
mod format;
mod memory;
mod past;
mod read;
mod recover;
mod storage;

pub use error::{JournalError, abort_on};
pub use file::{FileJournal, JournalConfig, JournalStats};
pub use format::{FORMAT_VERSION, Kind, MAX_RECORD_BYTES};
pub use memory::{CrashPoint, Disk, MemoryJournal};
pub use past::read_segment;
pub use read::{JournalReader, Records, TornTail};
pub use storage::{Access, OsStorage, Storage, StorageFile};

use std::ops::ControlFlow;
use std::sync::Arc;

/// Position of a record: 1 for the first ever appended; 0 means "nothing".
pub type Lsn = u64;

/// The most bytes an open group may hold before it has to be synced: 256 MiB.
pub const MAX_GROUP_BYTES: usize = 256 << 20;

/// What [`Journal::replay`] calls with each record; a reason returned ends the replay.
pub type Visitor<'a> = &'a mut dyn FnMut(Lsn, &[u8]) -> Result<(), String>;

/// What [`Past::read`] calls with each record; it may have enough, and a reason ends the read as an
/// error.
pub type Reader<'a> = &'a mut dyn FnMut(Lsn, &[u8]) -> Result<ControlFlow<()>, String>;

/// What a journal has made durable, to be read from any thread while its owner appends. A read
/// costs what it visits, and a bounded search for the first of it: no more.
pub trait Past: Send + Sync {
    /// Position of the last durable record.
    fn durable(&self) -> Lsn;

    /// Visits the records after `from` in order, until the reader has enough or at the record that
    /// was the last durable one when this was called.
    ///
    /// # Errors
    /// As [`Journal::replay`].
    fn read(&self, from: Lsn, visit: Reader<'_>) -> Result<(), JournalError>;
}

/// A replay is a read that never has enough.
fn replay_past<P: Past + ?Sized>(
    past: &P,
    from: Lsn,
    visit: Visitor<'_>,
) -> Result<(), JournalError> {
    past.read(from, &mut |lsn, record| visit(lsn, record).map(ControlFlow::Continue))
}

/// An append-only sequence of records that become durable in groups.
///
/// After [`JournalError::Fatal`] the journal is poisoned: every later call that returns a `Result`
/// fails with [`JournalError::Poisoned`], no write or fsync is tried again, and the caller must end
/// the process ([`abort_on`]); memory may be ahead of the disk and nothing may be told to anyone.
pub trait Journal: Send {
    /// Puts a record of 1 to [`MAX_RECORD_BYTES`] bytes into the open group and returns its
    /// position. It is not durable before [`Journal::sync`] returns.
    ///
    /// # Errors
    /// [`JournalError::RecordSize`] and [`JournalError::GroupFull`] change nothing and may be
    /// handled; all others are fatal.
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError>;

    /// Makes the open group durable with one write and one fdatasync, and returns the position of
    /// the last durable record. An empty group costs no system call.
    ///
    /// # Errors
    /// [`JournalError::Fatal`] when a write or sync failed or was short: end the process.
    fn sync(&mut self) -> Result<Lsn, JournalError>;

    /// Position of the last appended record, durable or not.
    fn last(&self) -> Lsn;

    /// Position of the last durable record.
    fn durable(&self) -> Lsn;

    /// Visits each durable record with a position greater than `from`, in order and without gaps.
    /// `from == durable()` visits nothing; 0 visits everything ever appended.
    ///
    /// # Errors
    /// [`JournalError::Ahead`] when `from` is not durable yet, [`JournalError::Gone`] when records
    /// after `from` were dropped from the archive, [`JournalError::Visitor`] when `visit` refuses,
    /// [`JournalError::Damaged`] when bytes that were durable have changed.
    fn replay(&self, from: Lsn, visit: Visitor<'_>) -> Result<(), JournalError>;

    /// Says that no replay will start before `lsn`: whole segments that end at or before it leave
    /// the live journal, oldest first. The newest segment always stays. Where the archive is bounded,
    /// a call drops one segment of it, or more up to 64 MiB, so it is called again and again.
    ///
    /// # Errors
    /// [`JournalError::Io`] when files cannot be moved; nothing is lost and it may be repeated.
    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError>;

    /// A way to read beside the owner, for as long as the journal is open.
    fn past(&self) -> Arc<dyn Past>;
}

/// Whichever journal it is.
impl<J: Journal + ?Sized> Journal for Box<J> {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        (**self).append(record)
    }

    fn sync(&mut self) -> Result<Lsn, JournalError> {
        (**self).sync()
    }

    fn last(&self) -> Lsn {
        (**self).last()
    }

    fn durable(&self) -> Lsn {
        (**self).durable()
    }

    fn replay(&self, from: Lsn, visit: Visitor<'_>) -> Result<(), JournalError> {
        (**self).replay(from, visit)
    }

    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        (**self).archive_before(lsn)
    }

    fn past(&self) -> Arc<dyn Past> {
        (**self).past()
    }
}

/// Appends a record; syncs the open group first when that has no room for it. What waits for the
/// sync of the whole group still does.
///
/// # Errors
/// Those of [`Journal::append`], [`JournalError::GroupFull`] excepted, and of [`Journal::sync`].
pub fn append_to<J: Journal + ?Sized>(journal: &mut J, record: &[u8]) -> Result<Lsn, JournalError> {
    match journal.append(record) {
        Err(JournalError::GroupFull { .. }) => {
            journal.sync()?;
            journal.append(record)
        }
        appended => appended,
    }
}

#[cfg(test)]
mod tests;
