//! Reading the records of a journal in files, beside its owner and at the cost of what is read.
//!
//! There is no index to build or keep: groups carry the number of their first record and the
//! running hash before it, under a checksum with the segment's salt, so a segment is searched by
//! bisection for the last group that starts at or before what is wanted, and read from there. Some
//! ten short reads find a record among the hundreds of thousands of a segment.
//!
//! The owner says after each sync how far the newest segment counts, and which segments there are.
//! Files are only ever appended to, and move into the archive whole; a reader that does not find
//! one where it was looks there.

mod segment;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::archive::archive_dir;
use super::files::{list_segments, segment_path};
use super::format::{Broken, Kind};
use super::recover::{Segment, damaged};
use super::storage::{OsStorage, Storage};
use super::{JournalError, Lsn, Past, Reader, Visitor};
use segment::SegmentReader;

/// What the owner has said.
#[derive(Default)]
struct Known {
    durable: Lsn,
    /// The first record of every segment, archived ones included, ascending.
    firsts: Vec<Lsn>,
    /// How much of the newest segment counts, in bytes; all others count as a whole.
    newest_bytes: u64,
}

/// The readers' side of a [`super::FileJournal`].
pub(super) struct FilePast {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    kind: Kind,
    known: Mutex<Known>,
}

impl FilePast {
    pub(super) fn new(storage: Arc<dyn Storage>, dir: &Path, kind: Kind) -> FilePast {
        FilePast { storage, dir: dir.to_path_buf(), kind, known: Mutex::default() }
    }

    /// Nothing panics while it is held, and each change is whole.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are live, and what the archive holds is before them.
    pub(super) fn segments_are(&self, live: &[Segment]) -> Result<(), JournalError> {
        let oldest_live = live.first().map_or(Lsn::MAX, |segment| segment.first);
        let mut firsts = list_segments(self.storage.as_ref(), &archive_dir(&self.dir))?;
        firsts.retain(|first| *first < oldest_live);
        firsts.extend(live.iter().map(|segment| segment.first));
        self.known().firsts = firsts;
        Ok(())
    }

    /// A new segment; no record of it is durable yet.
    pub(super) fn segment_begins(&self, first: Lsn) {
        let mut known = self.known();
        known.firsts.push(first);
        known.newest_bytes = 0;
    }

    pub(super) fn durable_is(&self, durable: Lsn, newest: Option<&Segment>) {
        let mut known = self.known();
        known.durable = durable;
        known.newest_bytes = newest.map_or(0, |segment| segment.bytes);
    }

    /// What is durable now, and the segments that hold the records from this one on: the first
    /// record of each, and how much of it counts if that is not all.
    fn segments_from(&self, wanted: Lsn) -> Result<Vec<(Lsn, Option<u64>)>, JournalError> {
        let known = self.known();
        let from = wanted.saturating_sub(1);
        match known.firsts.partition_point(|first| *first <= wanted).checked_sub(1) {
            None => {
                let oldest = known.firsts.first().copied().unwrap_or(0);
                Err(JournalError::Gone { from, oldest })
            }
            Some(at) => {
                let firsts = known.firsts.get(at..).unwrap_or_default();
                let newest = firsts.last().copied();
                let bytes = |first| (newest == Some(first)).then_some(known.newest_bytes);
                Ok(firsts.iter().map(|first| (*first, bytes(*first))).collect())
            }
        }
    }

    /// A segment, wherever it is by now.
    fn open(&self, first: Lsn, bytes: Option<u64>) -> Result<SegmentReader, JournalError> {
        let live = segment_path(&self.dir, first);
        let storage = self.storage.as_ref();
        match SegmentReader::open(storage, live, self.kind, first, bytes) {
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let archived = segment_path(&archive_dir(&self.dir), first);
                SegmentReader::open(storage, archived, self.kind, first, bytes)
            }
            other => other,
        }
    }
}

impl Past for FilePast {
    fn durable(&self) -> Lsn {
        self.known().durable
    }

    fn read(&self, from: Lsn, visit: Reader<'_>) -> Result<(), JournalError> {
        let durable = self.durable();
        if from > durable {
            return Err(JournalError::Ahead { from, durable });
        }
        let mut next = from.saturating_add(1);
        let mut before: Option<u64> = None;
        if next > durable {
            return Ok(());
        }
        for (first, bytes) in self.segments_from(next)? {
            let mut segment = self.open(first, bytes)?;
            match before {
                None => segment.seek(next)?,
                Some(_) if first != next => {
                    // A segment between the two is missing.
                    return Err(JournalError::Gone { from: next.saturating_sub(1), oldest: first });
                }
                Some(running) => segment.must_continue(running)?,
            }
            if segment.visit(next, durable, visit)?.is_break() || segment.next() > durable {
                return Ok(());
            }
            (next, before) = (segment.next(), Some(segment.running()));
        }
        Err(JournalError::Gone { from, oldest: durable })
    }
}

/// Visits all records of one segment file, for statements and exports from archived segments.
///
/// # Errors
/// As [`super::Journal::replay`]; the file's name must be the one it was archived under.
pub fn read_segment(path: &Path, kind: Kind, visit: Visitor<'_>) -> Result<(), JournalError> {
    let firsts = path.file_stem().and_then(|stem| stem.to_str()).map(str::parse);
    let Some(Ok(first)) = firsts else {
        let reason = "the file's name is not the number of its first record";
        return Err(damaged(path, Broken { offset: 0, reason }));
    };
    let mut segment = SegmentReader::open(&OsStorage, path.to_path_buf(), kind, first, None)?;
    let visit: Reader<'_> = &mut |lsn, record: &[u8]| visit(lsn, record).map(ControlFlow::Continue);
    segment.visit(first, Lsn::MAX, visit).map(|_| ())
}

#[cfg(test)]
mod tests;
