//! Directories, locks and the files in them: what the standard library leaves to its callers.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::format::SegmentHeader;
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
pub(super) fn list_segments(dir: &Path) -> Result<Vec<Lsn>, JournalError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(JournalError::io("list", dir))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(JournalError::io("list", dir))?.file_name();
        found.extend(name.to_str().and_then(first_of));
    }
    found.sort_unstable();
    Ok(found)
}

fn first_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
    digits.parse().ok().filter(|first| *first > 0)
}

/// Creates a segment with its header; both its bytes and its name are durable on return.
pub(super) fn create_segment(dir: &Path, header: &SegmentHeader) -> io::Result<File> {
    let path = segment_path(dir, header.first);
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    file.write_all(&header.encode())?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(file)
}
