//! The journal in files: one directory, one process, one fdatasync per group.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive;
use super::files::{create_segment, segment_path};
use super::format::{
    GROUP_HEADER_BYTES, Kind, MAX_RECORD_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, group_header,
    put_record,
};
use super::past::FilePast;
use super::recover::{Recovered, Segment, recover};
use super::storage::{Access, OsStorage, Storage, StorageFile};
use super::{Journal, JournalError, Lsn, MAX_GROUP_BYTES, Past, Visitor, replay_past};
use crate::bugs::{Bug, planted};

/// A group buffer that grew beyond this is given back after its sync.
const KEPT_GROUP_BYTES: usize = 4 << 20;

/// How a journal is laid out.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// What the journal belongs to; a directory of another kind is refused.
    pub kind: Kind,
    /// A group that would take a segment over this many bytes starts a new one. A group is never
    /// split, so one larger than this has a segment of its own.
    pub segment_bytes: u64,
    /// Above this many bytes the oldest archived segments are dropped; `None` keeps all of them.
    pub archive_bytes: Option<u64>,
}

impl JournalConfig {
    /// Segments of 64 MiB, and an archive from which nothing is ever dropped.
    #[must_use]
    pub const fn new(kind: Kind) -> JournalConfig {
        JournalConfig { kind, segment_bytes: 64 << 20, archive_bytes: None }
    }
}

/// What a journal has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Groups made durable.
    pub syncs: u64,
    /// Records made durable.
    pub records: u64,
    /// Bytes written for them, headers included.
    pub bytes: u64,
    /// Segments created.
    pub segments: u64,
}

/// The journal in a directory that this process holds locked until the value is dropped.
pub struct FileJournal {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    config: JournalConfig,
    pub(super) file: Box<dyn StorageFile>,
    /// Live segments, ascending and never empty; the last is the one written to.
    segments: Vec<Segment>,
    salt: u64,
    /// The open group, with room for its header in front; empty when no record is in it.
    group: Vec<u8>,
    last: Lsn,
    durable: Lsn,
    /// Running hash up to `last`.
    running: u64,
    /// Running hash up to `durable`.
    durable_running: u64,
    poisoned: bool,
    /// Whether the archive may be larger than it shall be.
    archive_is_above: bool,
    stats: JournalStats,
    /// What readers go by; told of everything after it is durable.
    past: Arc<FilePast>,
    _lock: Box<dyn Send + Sync>,
}

impl FileJournal {
    /// Opens or creates the journal in `dir`, and recovers it from a crash: a torn tail is cut and
    /// logged, and everything that is kept is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError::Locked`], [`JournalError::Damaged`], [`JournalError::Version`],
    /// [`JournalError::Kind`], [`JournalError::LiveMissing`] and [`JournalError::Io`]; a file that
    /// is refused is not changed.
    pub fn open(
        dir: impl Into<PathBuf>,
        config: JournalConfig,
    ) -> Result<FileJournal, JournalError> {
        FileJournal::open_on(Arc::new(OsStorage), dir, config)
    }

    /// As [`FileJournal::open`], in files of another kind.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(
        storage: Arc<dyn Storage>,
        dir: impl Into<PathBuf>,
        config: JournalConfig,
    ) -> Result<FileJournal, JournalError> {
        let dir = dir.into();
        let lock = storage.lock(&dir)?;
        let (found, file) = match recover(storage.as_ref(), &dir, config.kind)? {
            Some(found) => {
                let file = reopen(storage.as_ref(), &dir, &found)?;
                (found, file)
            }
            None => create_first(storage.as_ref(), &dir, config.kind)?,
        };
        let past = FilePast::new(storage.clone(), &dir, config.kind);
        past.segments_are(&found.segments)?;
        past.durable_is(found.last, found.segments.last());
        Ok(FileJournal {
            storage,
            dir,
            config,
            file,
            segments: found.segments,
            salt: found.salt,
            group: Vec::new(),
            last: found.last,
            durable: found.last,
            running: found.running,
            durable_running: found.running,
            poisoned: false,
            archive_is_above: true,
            stats: JournalStats::default(),
            past: Arc::new(past),
            _lock: lock,
        })
    }

    /// What was done since opening.
    #[must_use]
    pub fn stats(&self) -> JournalStats {
        self.stats
    }

    /// Paths of the archived segments that are still kept, oldest first; see
    /// [`super::read_segment`].
    ///
    /// # Errors
    /// [`JournalError::Io`] when the archive cannot be listed.
    pub fn archived(&self) -> Result<Vec<PathBuf>, JournalError> {
        archive::paths(self.storage.as_ref(), &self.dir)
    }

    /// First record of the oldest live segment.
    #[must_use]
    pub fn oldest_live(&self) -> Lsn {
        self.segments.first().map_or(0, |segment| segment.first)
    }

    fn check(&self) -> Result<(), JournalError> {
        if self.poisoned { Err(JournalError::Poisoned) } else { Ok(()) }
    }

    fn active_bytes(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.bytes)
    }

    /// Writes and syncs the open group; the point after which the group counts is the return.
    fn commit_group(&mut self) -> Result<(), (&'static str, io::Error)> {
        let group_bytes = self.group.len() as u64;
        let used = self.active_bytes();
        if used > SEGMENT_HEADER_BYTES as u64
            && used.saturating_add(group_bytes) > self.config.segment_bytes
        {
            self.roll().map_err(|error| ("cannot create the next journal segment", error))?;
        }
        let header = group_header(self.salt, self.durable.saturating_add(1), self.durable_running);
        self.group.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
        let written =
            self.file.append(&self.group).map_err(|error| ("the journal's write failed", error))?;
        if written != self.group.len() && !planted(Bug::ShortWriteTaken) {
            return Err(("the journal's write was short", io::ErrorKind::WriteZero.into()));
        }
        if !planted(Bug::NoSync) {
            self.file.sync_data().map_err(|error| ("the journal's fdatasync failed", error))?;
        }
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes = segment.bytes.saturating_add(group_bytes);
        }
        let records = self.last.saturating_sub(self.durable);
        self.stats.syncs = self.stats.syncs.saturating_add(1);
        self.stats.records = self.stats.records.saturating_add(records);
        self.stats.bytes = self.stats.bytes.saturating_add(group_bytes);
        Ok(())
    }

    /// Starts a new segment; all segments before it are durable.
    fn roll(&mut self) -> io::Result<()> {
        let header = SegmentHeader {
            kind: self.config.kind,
            salt: self.storage.salt(),
            first: self.durable.saturating_add(1),
            running: self.durable_running,
        };
        self.file = create_segment(self.storage.as_ref(), &self.dir, &header)?;
        self.salt = header.salt;
        self.segments.push(Segment { first: header.first, bytes: SEGMENT_HEADER_BYTES as u64 });
        self.past.segment_begins(header.first);
        self.stats.segments = self.stats.segments.saturating_add(1);
        Ok(())
    }

    fn empty_group(&mut self) {
        self.group.clear();
        if self.group.capacity() > KEPT_GROUP_BYTES {
            self.group.shrink_to(KEPT_GROUP_BYTES);
        }
    }
}

impl Journal for FileJournal {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.check()?;
        if record.is_empty() || record.len() > MAX_RECORD_BYTES {
            return Err(JournalError::RecordSize { bytes: record.len() });
        }
        if self.group.len().saturating_add(record.len()) > MAX_GROUP_BYTES {
            return Err(JournalError::GroupFull { bytes: self.group.len() });
        }
        if self.group.is_empty() {
            self.group.resize(GROUP_HEADER_BYTES, 0);
        }
        let lsn = self.last.saturating_add(1);
        self.running = put_record(&mut self.group, self.running, lsn, record);
        self.last = lsn;
        Ok(lsn)
    }

    fn sync(&mut self) -> Result<Lsn, JournalError> {
        self.check()?;
        if self.group.is_empty() {
            return Ok(self.durable);
        }
        if let Err((what, error)) = self.commit_group() {
            self.poisoned = true;
            return Err(JournalError::Fatal { reason: format!("{what}: {error}") });
        }
        self.durable = self.last;
        self.durable_running = self.running;
        self.past.durable_is(self.durable, self.segments.last());
        self.empty_group();
        Ok(self.durable)
    }

    fn last(&self) -> Lsn {
        self.last
    }

    fn durable(&self) -> Lsn {
        self.durable
    }

    fn replay(&self, from: Lsn, visit: Visitor<'_>) -> Result<(), JournalError> {
        self.check()?;
        replay_past(self.past.as_ref(), from, visit)
    }

    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        self.check()?;
        let storage = self.storage.as_ref();
        let lsn = lsn.min(self.durable);
        let moved = archive::move_before(storage, &self.dir, &mut self.segments, lsn);
        // After a failure, too, some may have moved.
        self.archive_is_above |= !matches!(moved, Ok(false));
        moved?;
        if let Some(limit) = self.config.archive_bytes
            && self.archive_is_above
        {
            self.archive_is_above = archive::drop_some_above(storage, &self.dir, limit)?;
            self.past.segments_are(&self.segments)?;
        }
        Ok(())
    }

    fn past(&self) -> Arc<dyn Past> {
        self.past.clone()
    }
}

fn reopen(
    storage: &dyn Storage,
    dir: &Path,
    found: &Recovered,
) -> Result<Box<dyn StorageFile>, JournalError> {
    let first = found.segments.last().map_or(1, |segment| segment.first);
    let path = segment_path(dir, first);
    storage.open(&path, Access::Append).map_err(JournalError::io("open", &path))
}

/// Starts a journal, unless segments in the archive show that one was here.
fn create_first(
    storage: &dyn Storage,
    dir: &Path,
    kind: Kind,
) -> Result<(Recovered, Box<dyn StorageFile>), JournalError> {
    if let Some(file) = archive::paths(storage, dir)?.pop() {
        return Err(JournalError::LiveMissing { archived: file });
    }
    let salt = storage.salt();
    // The hash starts from the salt, so that no two journals share a chain.
    let header = SegmentHeader { kind, salt, first: 1, running: salt };
    let file = create_segment(storage, dir, &header)
        .map_err(JournalError::io("create a segment in", dir))?;
    let segments = vec![Segment { first: 1, bytes: SEGMENT_HEADER_BYTES as u64 }];
    Ok((Recovered { segments, salt, last: 0, running: salt }, file))
}
