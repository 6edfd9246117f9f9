//! One segment file, read in short pieces.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::super::format::{
    Broken, Cursor, GROUP_HEADER_BYTES, GroupStart, Kind, Progress, RECORD_HEADER_BYTES,
    SEGMENT_HEADER_BYTES, frame_bytes, next_group,
};
use super::super::recover::{damaged, read_header};
use super::super::storage::{Access, Storage, StorageFile};
use super::super::{JournalError, Lsn, Reader};

/// How much is read at a time. A search ends when what is left takes no more than this.
const PIECE_BYTES: u64 = 32 << 10;

/// How much a search looks at first in one place; most groups are shorter.
const LOOK_BYTES: u64 = 2 << 10;

/// Reads the records of a segment. See the module.
pub(super) struct SegmentReader {
    path: PathBuf,
    file: Box<dyn StorageFile>,
    /// How many bytes of the file count.
    end: u64,
    /// Where in the file the bytes after `ahead` are.
    offset: u64,
    /// Bytes read but not used yet start at `used`.
    ahead: Vec<u8>,
    used: usize,
    progress: Progress,
}

impl SegmentReader {
    pub(super) fn open(
        storage: &dyn Storage,
        path: PathBuf,
        kind: Kind,
        first: Lsn,
        bytes: Option<u64>,
    ) -> Result<SegmentReader, JournalError> {
        let read = || {
            let file = storage.open(&path, Access::Read)?;
            let length = file.length()?;
            let end = bytes.map_or(length, |bytes| bytes.min(length));
            let head = read_at(file.as_ref(), 0, end.min(SEGMENT_HEADER_BYTES as u64))?;
            Ok((file, end, head))
        };
        let (file, end, head) = read().map_err(JournalError::io("read", &path))?;
        let header = read_header(&path, &head, kind, first)?;
        let progress = Cursor::new(&head, &header).progress();
        let (offset, ahead) = (SEGMENT_HEADER_BYTES as u64, Vec::new());
        Ok(SegmentReader { path, file, end, offset, ahead, used: 0, progress })
    }

    /// The number of the record that comes next.
    pub(super) fn next(&self) -> Lsn {
        self.progress.next
    }

    /// The running hash before it.
    pub(super) fn running(&self) -> u64 {
        self.progress.running
    }

    /// Refuses a segment that does not go on where the one before it ended.
    pub(super) fn must_continue(&self, running: u64) -> Result<(), JournalError> {
        if self.running() == running {
            return Ok(());
        }
        let reason = "the segment does not continue the one before it";
        Err(damaged(&self.path, Broken { offset: 0, reason }))
    }

    /// Goes forward to the group that this record is in, or to one shortly before it.
    pub(super) fn seek(&mut self, wanted: Lsn) -> Result<(), JournalError> {
        let found = self.search(wanted);
        let found = found.map_err(JournalError::io("search", &self.path))?;
        if let Some((offset, group)) = found {
            let Progress { salt, .. } = self.progress;
            (self.offset, self.used) = (offset, 0);
            self.ahead.clear();
            self.progress =
                Progress { salt, next: group.first, running: group.running, in_group: false };
        }
        Ok(())
    }

    /// Halves what may hold the start of the wanted group until one piece is left.
    fn search(&self, wanted: Lsn) -> io::Result<Option<(u64, GroupStart)>> {
        let (mut low, mut high, mut found) = (self.offset, self.end, None);
        while high.saturating_sub(low) > PIECE_BYTES {
            let middle = low.midpoint(high);
            match self.group_from(middle, high)? {
                Some((offset, group)) if group.first <= wanted => {
                    (low, found) = (offset, Some((offset, group)));
                }
                _ => high = middle,
            }
        }
        Ok(found)
    }

    /// The first group that starts in these bytes of the file, and where.
    fn group_from(&self, from: u64, to: u64) -> io::Result<Option<(u64, GroupStart)>> {
        // A header may start before `to` and end after it.
        let last = to.saturating_add(GROUP_HEADER_BYTES as u64).min(self.end);
        let (mut from, mut length) = (from, LOOK_BYTES);
        while from < to {
            let bytes = read_at(self.file.as_ref(), from, length.min(last.saturating_sub(from)))?;
            if let Some(group) = next_group(&bytes, 0, self.progress.salt) {
                let offset = from.saturating_add(group.offset as u64);
                return Ok((offset < to).then_some((offset, group)));
            }
            // The next look begins where a header may have been cut off.
            let looked_at = (bytes.len() as u64).saturating_sub(GROUP_HEADER_BYTES as u64);
            from = from.saturating_add(looked_at.max(1));
            length = length.saturating_mul(4).min(1 << 20);
        }
        Ok(None)
    }

    /// Visits the records from `from` to `to`, both included, until the reader has enough.
    pub(super) fn visit(
        &mut self,
        from: Lsn,
        to: Lsn,
        visit: Reader<'_>,
    ) -> Result<ControlFlow<()>, JournalError> {
        while self.progress.next <= to {
            let Some((lsn, record)) = self.record()? else { break };
            if lsn < from {
                continue;
            }
            let visited = visit(lsn, record);
            if visited.map_err(|reason| JournalError::Visitor { lsn, reason })?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The next record, or `None` at the end of what counts.
    fn record(&mut self) -> Result<Option<(Lsn, &[u8])>, JournalError> {
        loop {
            self.fill(RECORD_HEADER_BYTES)?;
            if self.ahead(1).is_empty() {
                return Ok(None);
            }
            let bytes = frame_bytes(self.ahead(RECORD_HEADER_BYTES));
            self.fill(bytes)?;
            let frame = self.ahead(bytes);
            let mut cursor = Cursor::resume(frame, self.progress);
            let read = cursor.record().map(|found| found.map(|(lsn, _)| lsn));
            let (progress, length) = (cursor.progress(), frame.len());
            let lsn = read.map_err(|broken| self.broken(broken))?;
            let payload = self.used.saturating_add(RECORD_HEADER_BYTES);
            self.progress = progress;
            self.used = self.used.saturating_add(length);
            if let Some(lsn) = lsn {
                return Ok(Some((lsn, self.ahead.get(payload..self.used).unwrap_or_default())));
            }
        }
    }

    /// So many of the bytes that come next, or as many as [`SegmentReader::fill`] has read.
    fn ahead(&self, bytes: usize) -> &[u8] {
        let ahead = self.ahead.get(self.used..).unwrap_or_default();
        ahead.get(..bytes).unwrap_or(ahead)
    }

    /// Reads until so many bytes are ahead, or all that are left.
    fn fill(&mut self, bytes: usize) -> Result<(), JournalError> {
        let there = self.ahead.len().saturating_sub(self.used);
        let missing = bytes.saturating_sub(there);
        if missing == 0 {
            return Ok(());
        }
        self.ahead.drain(..self.used);
        self.used = 0;
        let left = self.end.saturating_sub(self.offset);
        let piece =
            read_at(self.file.as_ref(), self.offset, left.min(PIECE_BYTES.max(missing as u64)));
        let piece = piece.map_err(JournalError::io("read", &self.path))?;
        self.offset = self.offset.saturating_add(piece.len() as u64);
        self.ahead.extend_from_slice(&piece);
        Ok(())
    }

    /// The fault, by where in the file it is.
    fn broken(&self, broken: Broken) -> JournalError {
        let ahead = self.ahead.len().saturating_sub(self.used) as u64;
        let frame = usize::try_from(self.offset.saturating_sub(ahead)).unwrap_or(usize::MAX);
        let offset = frame.saturating_add(broken.offset);
        damaged(&self.path, Broken { offset, ..broken })
    }
}

fn read_at(file: &dyn StorageFile, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_at(&mut bytes, offset)?;
    Ok(bytes)
}
