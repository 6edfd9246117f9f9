//! Reading a whole journal from beside it: no lock is taken and not a byte changed, so that an
//! audit can run while the owner goes on appending.

use std::io;
use std::path::{Path, PathBuf};

use super::archive::archive_dir;
use super::files::{list_segments, segment_path};
use super::format::{
    Broken, Cursor, HeaderFault, Kind, SEGMENT_HEADER_BYTES, SegmentHeader, group_follows,
};
use super::recover::{damaged, read_header};
use super::storage::{OsStorage, Storage};
use super::{Journal, JournalError, Lsn, Visitor};

/// How a journal ends that does not end with a whole record: a crash tore it, its last group was
/// damaged, or its owner is writing right now. Opening the journal cuts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment file.
    pub file: PathBuf,
    /// Where in it the first frame starts that is not whole, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: &'static str,
}

/// Something that holds the records of a journal from the first to the last.
pub trait Records {
    /// Visits every record, in order and without gaps.
    ///
    /// # Errors
    /// As [`Journal::replay`] from 0.
    fn read(&self, visit: Visitor<'_>) -> Result<Option<TornTail>, JournalError>;
}

/// An opened journal has cut its tail already.
impl<J: Journal + ?Sized> Records for J {
    fn read(&self, visit: Visitor<'_>) -> Result<Option<TornTail>, JournalError> {
        self.replay(0, visit).map(|()| None)
    }
}

/// The journal in a directory, read without owning it.
#[derive(Clone, Debug)]
pub struct JournalReader {
    dir: PathBuf,
    kind: Kind,
}

impl JournalReader {
    /// A reader of the journal in `dir`, which must belong to `kind`.
    pub fn new(dir: impl Into<PathBuf>, kind: Kind) -> JournalReader {
        JournalReader { dir: dir.into(), kind }
    }

    /// The live segments are listed first: one that moves into the archive meanwhile is then in
    /// both lists, and never in none.
    fn segments(&self) -> Result<Vec<Lsn>, JournalError> {
        let archive = archive_dir(&self.dir);
        let live = list_segments(&OsStorage, &self.dir)?;
        let mut firsts = list_segments(&OsStorage, &archive)?;
        if let (true, Some(newest)) = (live.is_empty(), firsts.last()) {
            return Err(JournalError::LiveMissing { archived: segment_path(&archive, *newest) });
        }
        firsts.extend(live);
        firsts.sort_unstable();
        firsts.dedup();
        match firsts.first() {
            Some(oldest) if *oldest > 1 => Err(JournalError::Gone { from: 0, oldest: *oldest }),
            _ => Ok(firsts),
        }
    }

    /// A segment's path and bytes, wherever it is by now.
    fn bytes(&self, first: Lsn) -> Result<(PathBuf, Vec<u8>), JournalError> {
        let live = segment_path(&self.dir, first);
        match OsStorage.read(&live) {
            Ok(bytes) => Ok((live, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let archived = segment_path(&archive_dir(&self.dir), first);
                let bytes =
                    OsStorage.read(&archived).map_err(JournalError::io("read", &archived))?;
                Ok((archived, bytes))
            }
            Err(error) => Err(JournalError::io("read", &live)(error)),
        }
    }
}

impl Records for JournalReader {
    fn read(&self, visit: Visitor<'_>) -> Result<Option<TornTail>, JournalError> {
        let firsts = self.segments()?;
        let mut expected = None;
        for (at, first) in firsts.iter().enumerate() {
            let is_last = at.saturating_add(1) == firsts.len();
            let (path, bytes) = self.bytes(*first)?;
            if is_last && is_unused(&bytes) {
                let reason = "the segment was created but never used";
                return Ok(Some(TornTail { file: path, offset: 0, reason }));
            }
            let header = read_header(&path, &bytes, self.kind, *first)?;
            if expected.is_some_and(|expected| expected != (header.first, header.running)) {
                let reason = "the segment does not continue the one before it";
                return Err(damaged(&path, Broken { offset: 0, reason }));
            }
            let mut cursor = Cursor::new(&bytes, &header);
            match visit_all(&mut cursor, visit)? {
                None => expected = Some((cursor.next, cursor.running)),
                Some(broken) if is_last && !group_follows(&bytes, broken.offset, header.salt) => {
                    return Ok(Some(torn(&path, broken)));
                }
                Some(broken) => return Err(damaged(&path, broken)),
            }
        }
        Ok(None)
    }
}

/// A crash while a segment was being created left no header, and no group can be in it.
fn is_unused(bytes: &[u8]) -> bool {
    let header = SegmentHeader::decode(bytes);
    bytes.len() <= SEGMENT_HEADER_BYTES && matches!(header, Err(HeaderFault::Invalid(_)))
}

fn visit_all(cursor: &mut Cursor<'_>, visit: Visitor<'_>) -> Result<Option<Broken>, JournalError> {
    loop {
        match cursor.record() {
            Ok(Some((lsn, record))) => {
                visit(lsn, record).map_err(|reason| JournalError::Visitor { lsn, reason })?;
            }
            Ok(None) => return Ok(None),
            Err(broken) => return Ok(Some(broken)),
        }
    }
}

fn torn(path: &Path, broken: Broken) -> TornTail {
    let offset = u64::try_from(broken.offset).unwrap_or(u64::MAX);
    TornTail { file: path.to_path_buf(), offset, reason: broken.reason }
}
