//! The archive of segments that no checkpoint needs any more.
//!
//! A segment moves by a rename, oldest first; the archive's directory is synced before the live
//! one, so that a crash can leave a segment in both but never in none. The live one then counts.

use std::path::{Path, PathBuf};

use super::files::{list_segments, segment_path};
use super::recover::Segment;
use super::storage::{Access, Storage};
use super::{JournalError, Lsn};

/// How many bytes of several segments are dropped at once, at most.
const DROPPED_BYTES: u64 = 64 << 20;

pub(super) fn archive_dir(dir: &Path) -> PathBuf {
    dir.join("archive")
}

/// Paths of the archived segments, oldest first.
pub(super) fn paths(storage: &dyn Storage, dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let archive = archive_dir(dir);
    let firsts = list_segments(storage, &archive)?;
    Ok(firsts.into_iter().map(|first| segment_path(&archive, first)).collect())
}

/// Moves the segments that end at or before `lsn`, except the newest, into the archive. Whether there
/// were any.
pub(super) fn move_before(
    storage: &dyn Storage,
    dir: &Path,
    segments: &mut Vec<Segment>,
    lsn: Lsn,
) -> Result<bool, JournalError> {
    // A segment ends right before the next one starts.
    let ends = segments.iter().skip(1).map(|next| next.first.saturating_sub(1));
    let moving = ends.take_while(|end| *end <= lsn).count();
    if moving == 0 {
        return Ok(false);
    }
    let archive = archive_dir(dir);
    storage.create_dir(&archive).map_err(JournalError::io("create", &archive))?;
    for _ in 0..moving {
        let Some(first) = segments.first().map(|segment| segment.first) else {
            break;
        };
        let path = segment_path(dir, first);
        storage
            .rename(&path, &segment_path(&archive, first))
            .map_err(JournalError::io("archive", &path))?;
        segments.remove(0);
    }
    storage.sync_dir(&archive).map_err(JournalError::io("sync", &archive))?;
    storage.sync_dir(dir).map_err(JournalError::io("sync", dir))?;
    Ok(true)
}

/// Drops the oldest archived segments, and what lies beside each (`NAME.*`), while all take more than
/// `limit` bytes: one, and more of them up to [`DROPPED_BYTES`]. Whether the others still take more. A
/// file system may hold up the next sync while it frees what a file took, so they don't all go at once.
pub(super) fn drop_some_above(
    storage: &dyn Storage,
    dir: &Path,
    limit: u64,
) -> Result<bool, JournalError> {
    let archive = archive_dir(dir);
    let mut sizes = Vec::new();
    for path in paths(storage, dir)? {
        let size = storage.open(&path, Access::Read).and_then(|file| file.length());
        let size = size.map_err(JournalError::io("look at", &path))?;
        sizes.push((path, size));
    }
    let mut total: u64 = sizes.iter().map(|(_, size)| *size).sum();
    let mut dropped = 0u64;
    for (path, size) in sizes {
        let next = dropped.saturating_add(size);
        if total <= limit || (dropped > 0 && next > DROPPED_BYTES) {
            break;
        }
        remove_with_companions(storage, &archive, &path)?;
        tracing::info!(file = %path.display(), "dropped the oldest archived segment");
        (dropped, total) = (next, total.saturating_sub(size));
    }
    if dropped > 0 {
        storage.sync_dir(&archive).map_err(JournalError::io("sync", &archive))?;
    }
    Ok(total > limit)
}

/// The segment goes first: an index without its segment is harmless.
fn remove_with_companions(
    storage: &dyn Storage,
    archive: &Path,
    segment: &Path,
) -> Result<(), JournalError> {
    storage.remove(segment).map_err(JournalError::io("remove", segment))?;
    let names = storage.names(archive).map_err(JournalError::io("list", archive))?;
    for name in names {
        let path = archive.join(name);
        if path.file_stem() == segment.file_stem() {
            storage.remove(&path).map_err(JournalError::io("remove", &path))?;
        }
    }
    Ok(())
}
