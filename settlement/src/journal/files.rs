//! Directories, locks and the files in them: what the standard library leaves to its callers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::format::SegmentHeader;
use super::storage::{Storage, StorageFile};
use super::{JournalError, Lsn};

/// Takes the exclusive lock of `dir`, creating both; it is held until the file is dropped.
pub(crate) fn lock_dir(dir: &Path) -> Result<File, JournalError> {
    create_dir(dir).map_err(JournalError::io("create", dir))?;
    let path = dir.join("LOCK");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(JournalError::io("open", &path))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(fs4::TryLockError::WouldBlock) => Err(JournalError::Locked { path: dir.to_path_buf() }),
        Err(fs4::TryLockError::Error(source)) => Err(JournalError::io("lock", &path)(source)),
    }
}

/// Creates a directory and makes its name durable.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// Makes the names in a directory durable: files created, renamed or removed.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Where the segment that starts with record `first` is.
pub(super) fn segment_path(dir: &Path, first: Lsn) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

/// The first records of the segments in a directory, ascending; other files are not looked at.
pub(super) fn list_segments(storage: &dyn Storage, dir: &Path) -> Result<Vec<Lsn>, JournalError> {
    let names = match storage.names(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(JournalError::io("list", dir))?,
    };
    let firsts = names.iter().filter_map(|name| name.to_str().and_then(first_of));
    let mut found: Vec<Lsn> = firsts.collect();
    found.sort_unstable();
    Ok(found)
}

fn first_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
    digits.parse().ok().filter(|first| *first > 0)
}

/// Creates a segment with its header; both its bytes and its name are durable on return.
pub(super) fn create_segment(
    storage: &dyn Storage,
    dir: &Path,
    header: &SegmentHeader,
) -> io::Result<Box<dyn StorageFile>> {
    let mut file = storage.create(&segment_path(dir, header.first))?;
    let bytes = header.encode();
    if file.append(&bytes)? != bytes.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    file.sync_all()?;
    storage.sync_dir(dir)?;
    Ok(file)
}
