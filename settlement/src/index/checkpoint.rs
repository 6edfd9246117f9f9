//! Checkpoints as directories: sealed with the length and checksum of every file, copied, and set
//! aside when they are not what they were.
//!
//! `checkpoint-POSITION/GOOD` is a text: a version line, the position, one line per file, and the
//! crc32c of the lines before.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::IndexError;
use crate::bugs::{Bug, planted};
use crate::journal::Lsn;
use crate::journal::files::sync_dir;

const SEAL: &str = "GOOD";
/// The version of the seal, and of what it seals.
pub(super) const VERSION: u32 = 1;

/// Why a directory is not a usable checkpoint.
#[derive(Debug)]
pub(super) enum Unusable {
    Newer(u32),
    Damaged(String),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Unusable {
        Unusable::Damaged(error.to_string())
    }
}

/// Where the checkpoint at `position` is.
pub(super) fn path_of(root: &Path, position: Lsn) -> PathBuf {
    root.join(format!("checkpoint-{position:020}"))
}

/// Positions of the checkpoints under `root`, newest first.
pub(super) fn list(root: &Path) -> Result<Vec<Lsn>, IndexError> {
    let mut found: Vec<Lsn> = Vec::new();
    for entry in fs::read_dir(root).map_err(IndexError::io("list", root))? {
        let name = entry.map_err(IndexError::io("list", root))?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("checkpoint-"));
        let position = digits.filter(|digits| digits.len() == 20).map(str::parse::<Lsn>);
        found.extend(position.and_then(Result::ok));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Makes all files of `dir` durable, and writes and syncs the seal over them.
pub(super) fn seal(dir: &Path, position: Lsn) -> io::Result<()> {
    let mut text = format!("index-checkpoint {VERSION}\nposition {position}\n");
    for name in files_of(dir)? {
        let file = File::open(dir.join(&name))?;
        file.sync_all()?;
        let (length, crc) = sum(file)?;
        text.push_str(&format!("file {length} {crc:08x} {name}\n"));
    }
    for folder in folders_of(dir)? {
        sync_dir(&folder)?;
    }
    text.push_str(&format!("sum {:08x}\n", crc32c::crc32c(text.as_bytes())));
    let path = dir.join(SEAL);
    fs::write(&path, text)?;
    File::open(&path)?.sync_all()?;
    sync_dir(dir)
}

/// Checks the checkpoint in `dir` against its seal: every byte of every file.
pub(super) fn verify(dir: &Path, position: Lsn) -> Result<(), Unusable> {
    if planted(Bug::SealUnchecked) {
        return Ok(());
    }
    let text = fs::read_to_string(dir.join(SEAL))?;
    let sealed = parse_seal(&text, position)?;
    let mut names: Vec<&str> = Vec::new();
    for (length, crc, name) in sealed {
        if sum(File::open(dir.join(name))?)? != (length, crc) {
            return Err(Unusable::Damaged(format!("{name} is not what it was when sealed")));
        }
        names.push(name);
    }
    if files_of(dir)? != names {
        return Err(Unusable::Damaged("there are files that the seal does not name".to_owned()));
    }
    Ok(())
}

/// Length, checksum and name of each sealed file.
fn parse_seal(text: &str, position: Lsn) -> Result<Vec<(u64, u32, &str)>, Unusable> {
    let damaged = || Unusable::Damaged("its seal is damaged".to_owned());
    let (summed, sum) = text.split_at(text.rfind("sum ").ok_or_else(damaged)?);
    // Before the version, of which a bit may be what has changed. Whatever a later one says of files,
    // it ends with this sum.
    if sum != format!("sum {:08x}\n", crc32c::crc32c(summed.as_bytes())) {
        return Err(damaged());
    }
    let (version, rest) = summed
        .strip_prefix("index-checkpoint ")
        .and_then(|text| text.split_once('\n'))
        .ok_or_else(damaged)?;
    match version.parse::<u32>() {
        Ok(VERSION) => {}
        Ok(newer) if newer > VERSION => return Err(Unusable::Newer(newer)),
        _ => return Err(damaged()),
    }
    let mut lines = rest.lines();
    if lines.next() != Some(&format!("position {position}")) {
        return Err(Unusable::Damaged("its seal names another position".to_owned()));
    }
    lines
        .filter_map(|line| line.strip_prefix("file "))
        .map(|line| parse_file(line).ok_or_else(damaged))
        .collect()
}

fn parse_file(line: &str) -> Option<(u64, u32, &str)> {
    let mut words = line.splitn(3, ' ');
    let length = words.next()?.parse().ok()?;
    let crc = u32::from_str_radix(words.next()?, 16).ok()?;
    Some((length, crc, words.next()?))
}

/// Copies a checkpoint's files to `target`; nothing is synced.
pub(super) fn copy(source: &Path, target: &Path) -> io::Result<()> {
    fs::create_dir(target)?;
    for name in files_of(source)? {
        let file = target.join(&name);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(source.join(&name), file)?;
    }
    Ok(())
}

/// Renames a directory that cannot be used, so that it is out of the way and can be looked at.
pub(super) fn set_aside(root: &Path, dir: &Path, reason: &str) -> Result<PathBuf, IndexError> {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or("checkpoint");
    let target = (1u32..)
        .map(|count| root.join(format!("{name}.damaged-{count}")))
        .find(|target| !target.exists())
        .unwrap_or_else(|| root.join("damaged"));
    fs::rename(dir, &target).map_err(IndexError::io("set aside", dir))?;
    sync_dir(root).map_err(IndexError::io("sync", root))?;
    tracing::warn!(
        from = %dir.display(), to = %target.display(), reason,
        "an index checkpoint cannot be used and was set aside; the journal replaces it"
    );
    Ok(target)
}

/// Relative names of all files under `dir` but the seal, sorted.
fn files_of(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in folders_of(dir)? {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                continue;
            }
            let name = path.strip_prefix(dir).ok().and_then(Path::to_str);
            names.push(name.ok_or(io::ErrorKind::InvalidFilename)?.to_owned());
        }
    }
    names.retain(|name| name != SEAL);
    names.sort_unstable();
    Ok(names)
}

/// `dir` and the folders in it, which have no folders of their own.
fn folders_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = vec![dir.to_path_buf()];
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// Length and crc32c of a file.
fn sum(mut file: File) -> io::Result<(u64, u32)> {
    let mut buffer = vec![0; 1 << 20];
    let (mut length, mut crc) = (0u64, 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((length, crc));
        }
        let part = buffer.get(..count).unwrap_or_default();
        length = length.saturating_add(count as u64);
        crc = crc32c::crc32c_append(crc, part);
    }
}
