//! Reading records back, and the archive of segments that no checkpoint needs any more.
//!
//! A segment moves by a rename, oldest first; the archive's directory is synced before the live
//! one, so that a crash can leave a segment in both but never in none. The live one then counts.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{create_dir, list_segments, segment_path, sync_dir};
use super::format::{Broken, Cursor, Kind};
use super::recover::{Segment, damaged, read_header};
use super::{JournalError, Lsn, Visitor};

pub(super) fn archive_dir(dir: &Path) -> PathBuf {
    dir.join("archive")
}

/// Paths of the archived segments, oldest first.
pub(super) fn paths(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let archive = archive_dir(dir);
    let firsts = list_segments(&archive)?;
    Ok(firsts.into_iter().map(|first| segment_path(&archive, first)).collect())
}

/// Moves the segments that end at or before `lsn`, except the newest, into the archive.
pub(super) fn move_before(
    dir: &Path,
    segments: &mut Vec<Segment>,
    lsn: Lsn,
) -> Result<(), JournalError> {
    // A segment ends right before the next one starts.
    let ends = segments.iter().skip(1).map(|next| next.first.saturating_sub(1));
    let moving = ends.take_while(|end| *end <= lsn).count();
    if moving == 0 {
        return Ok(());
    }
    let archive = archive_dir(dir);
    create_dir(&archive).map_err(JournalError::io("create", &archive))?;
    for _ in 0..moving {
        let Some(first) = segments.first().map(|segment| segment.first) else {
            break;
        };
        let path = segment_path(dir, first);
        fs::rename(&path, segment_path(&archive, first))
            .map_err(JournalError::io("archive", &path))?;
        segments.remove(0);
    }
    sync_dir(&archive).map_err(JournalError::io("sync", &archive))?;
    sync_dir(dir).map_err(JournalError::io("sync", dir))
}

/// Drops the oldest archived segments, and what lies beside each (`NAME.*`), until the segments
/// take at most `limit` bytes.
pub(super) fn drop_above(dir: &Path, limit: u64) -> Result<(), JournalError> {
    let archive = archive_dir(dir);
    let mut sizes = Vec::new();
    for path in paths(dir)? {
        let size = fs::metadata(&path).map_err(JournalError::io("look at", &path))?.len();
        sizes.push((path, size));
    }
    let mut total: u64 = sizes.iter().map(|(_, size)| *size).sum();
    if total <= limit {
        return Ok(());
    }
    for (path, size) in sizes {
        if total <= limit {
            break;
        }
        remove_with_companions(&archive, &path)?;
        tracing::info!(file = %path.display(), "dropped the oldest archived segment");
        total = total.saturating_sub(size);
    }
    sync_dir(&archive).map_err(JournalError::io("sync", &archive))
}

/// The segment goes first: an index without its segment is harmless.
fn remove_with_companions(archive: &Path, segment: &Path) -> Result<(), JournalError> {
    fs::remove_file(segment).map_err(JournalError::io("remove", segment))?;
    let entries = fs::read_dir(archive).map_err(JournalError::io("list", archive))?;
    for entry in entries {
        let path = entry.map_err(JournalError::io("list", archive))?.path();
        if path.file_stem() == segment.file_stem() {
            fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// A segment to read: its file, its first record, and how many of its bytes count.
struct Source {
    path: PathBuf,
    first: Lsn,
    bytes: Option<u64>,
}

/// Visits the records after `from` up to `durable`, from the archive and the live segments.
pub(super) fn replay(
    dir: &Path,
    kind: Kind,
    live: &[Segment],
    (from, durable): (Lsn, Lsn),
    visit: Visitor<'_>,
) -> Result<(), JournalError> {
    if from == durable {
        return Ok(());
    }
    let sources = sources_from(dir, live, from)?;
    let mut expected: Option<(Lsn, u64)> = None;
    for source in &sources {
        if let Some((next, _)) = expected
            && next != source.first
        {
            // A segment between the two is missing.
            return Err(JournalError::Gone { from: next.saturating_sub(1), oldest: source.first });
        }
        expected = Some(read_source(source, kind, expected, &mut |lsn, record| {
            if lsn > from { visit(lsn, record) } else { Ok(()) }
        })?);
    }
    match expected {
        Some((next, _)) if next > durable => Ok(()),
        _ => Err(JournalError::Gone { from, oldest: durable }),
    }
}

/// The segments that hold the records after `from`, ascending.
fn sources_from(dir: &Path, live: &[Segment], from: Lsn) -> Result<Vec<Source>, JournalError> {
    let archive = archive_dir(dir);
    let oldest_live = live.first().map_or(Lsn::MAX, |segment| segment.first);
    let archived = list_segments(&archive)?.into_iter().filter(|first| *first < oldest_live);
    let mut sources: Vec<Source> = archived
        .map(|first| Source { path: segment_path(&archive, first), first, bytes: None })
        .collect();
    sources.extend(live.iter().map(|segment| Source {
        path: segment_path(dir, segment.first),
        first: segment.first,
        bytes: Some(segment.bytes),
    }));
    let needed = from.saturating_add(1);
    let oldest = sources.first().map_or(0, |source| source.first);
    if oldest > needed {
        return Err(JournalError::Gone { from, oldest });
    }
    let skipped = sources.partition_point(|source| source.first <= needed).saturating_sub(1);
    sources.drain(..skipped);
    Ok(sources)
}

/// Reads one segment; returns the position and running hash that the next one has to start with.
fn read_source(
    source: &Source,
    kind: Kind,
    expected: Option<(Lsn, u64)>,
    visit: Visitor<'_>,
) -> Result<(Lsn, u64), JournalError> {
    let path = &source.path;
    let mut bytes = fs::read(path).map_err(JournalError::io("read", path))?;
    if let Some(valid) = source.bytes {
        bytes.truncate(usize::try_from(valid).unwrap_or(usize::MAX));
    }
    let header = read_header(path, &bytes, kind, source.first)?;
    if expected.is_some_and(|expected| expected != (header.first, header.running)) {
        let reason = "the segment does not continue the one before it";
        return Err(damaged(path, Broken { offset: 0, reason }));
    }
    let mut cursor = Cursor::new(&bytes, &header);
    while let Some((lsn, record)) = cursor.record().map_err(|broken| damaged(path, broken))? {
        visit(lsn, record).map_err(|reason| JournalError::Visitor { lsn, reason })?;
    }
    Ok((cursor.next, cursor.running))
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
    let source = Source { path: path.to_path_buf(), first, bytes: None };
    read_source(&source, kind, None, visit).map(|_| ())
}
