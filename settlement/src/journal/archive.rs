//! The archive of segments that no checkpoint needs any more.
//!
//! A segment moves by a rename, oldest first; the archive's directory is synced before the live
//! one, so that a crash can leave a segment in both but never in none. The live one then counts.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{create_dir, list_segments, segment_path, sync_dir};
use super::recover::Segment;
use super::{JournalError, Lsn};

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
