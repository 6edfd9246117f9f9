//! A tower's directory.
//!
//! ```text
//! DIR/tower.json             the format's version, and the ledger that the answers are for
//! DIR/lock                   locked by the one process that owns the directory
//! DIR/answers/<channel>.json the newest answer of a channel: an export with one answer
//! DIR/inbox/                 exports put here are taken, and removed when they were
//! ```
//!
//! An answer takes the place of the one before it in one rename, and is on disk, under its name,
//! before anybody is told so. So a crash leaves the old one or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use settlement::reject::Code;
use settlement::types::{ChannelId, LedgerId};

use crate::client::ClientError;
use crate::watchtower::{Answer, Export};

/// The version of the directory.
const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct About {
    version: u16,
    ledger: LedgerId,
}

/// The directory, owned.
pub(super) struct Store {
    answers: PathBuf,
    inbox: PathBuf,
    _lock: File,
}

impl Store {
    /// Takes the directory, which is made if it is not there.
    pub(super) fn open(dir: &Path, ledger: &LedgerId) -> Result<Store, ClientError> {
        let (answers, inbox) = (dir.join("answers"), dir.join("inbox"));
        for dir in [dir, &answers, &inbox] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|error| failed("create", dir, &error))?;
        }
        let lock = lock(&dir.join("lock"))?;
        about(dir, ledger)?;
        sync_dir(dir)?;
        Ok(Store { answers, inbox, _lock: lock })
    }

    /// Where exports are dropped.
    pub(super) fn inbox(&self) -> &Path {
        &self.inbox
    }

    /// Shows every answer, one after the other; what can't be read comes with the reason.
    pub(super) fn each(
        &self,
        mut show: impl FnMut(PathBuf, Result<Answer, String>),
    ) -> Result<(), ClientError> {
        let entries = fs::read_dir(&self.answers);
        let entries = entries.map_err(|error| failed("read", &self.answers, &error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed("read", &self.answers, &error))?.path();
            // What a crash left of an answer that nobody was told of.
            if path.extension().is_some_and(|extension| extension == "new") {
                fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
            } else {
                let answer = read(&path);
                show(path, answer);
            }
        }
        Ok(())
    }

    /// Makes an answer durable in place of any other of its channel.
    pub(super) fn put(&self, answer: &Answer) -> Result<(), ClientError> {
        let path = self.path(&answer.channel);
        let bytes = serde_json::to_vec(&Export::new(vec![answer.clone()]));
        let bytes = bytes.map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
        replace(&path, &bytes)?;
        sync_dir(&self.answers)
    }

    /// The answer of a channel.
    pub(super) fn get(&self, channel: &ChannelId) -> Result<Answer, ClientError> {
        let path = self.path(channel);
        read(&path).map_err(|why| {
            ClientError::new(Code::StoreDamaged, format!("{}: {why}", path.display()))
        })
    }

    /// Forgets a channel. One that comes back after a crash is looked at, and forgotten again.
    pub(super) fn remove(&self, channel: &ChannelId) -> Result<(), ClientError> {
        let path = self.path(channel);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(failed("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, channel: &ChannelId) -> PathBuf {
        self.answers.join(format!("{channel}.json"))
    }
}

fn lock(path: &Path) -> Result<File, ClientError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let file = file.map_err(|error| failed("open", path, &error))?;
    match fs4::FileExt::try_lock(&file) {
        Ok(()) => Ok(file),
        Err(fs4::TryLockError::WouldBlock) => {
            let detail = format!("another watchtower has {}", path.display());
            Err(ClientError::new(Code::HomeLocked, detail))
        }
        Err(fs4::TryLockError::Error(error)) => Err(failed("lock", path, &error)),
    }
}

/// Checks whose directory this is, or says so in a new one.
fn about(dir: &Path, ledger: &LedgerId) -> Result<(), ClientError> {
    let path = dir.join("tower.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let about = About { version: VERSION, ledger: *ledger };
            return replace(&path, &serde_json::to_vec(&about).unwrap_or_default());
        }
        Err(error) => return Err(failed("read", &path, &error)),
    };
    let about: About = serde_json::from_slice(&text).map_err(|error| {
        ClientError::new(Code::StoreDamaged, format!("{}: {error}", path.display()))
    })?;
    if about.version != VERSION {
        let detail = format!("{} is of version {}", dir.display(), about.version);
        return Err(ClientError::new(Code::UnsupportedVersion, detail));
    }
    if about.ledger != *ledger {
        let detail = format!(
            "{} guards channels of ledger {}; the ledger at this address is {ledger}",
            dir.display(),
            about.ledger
        );
        return Err(ClientError::new(Code::WrongLedger, detail));
    }
    Ok(())
}

/// The one answer in a file, under its name.
fn read(path: &Path) -> Result<Answer, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let export = Export::read(&bytes).map_err(|error| error.to_string())?;
    let [answer] = <[Answer; 1]>::try_from(export.answers).map_err(|_| "not one answer")?;
    let named = path.file_stem().is_some_and(|stem| *stem == *answer.channel.to_string());
    if named { Ok(answer) } else { Err("it holds another channel's answer".to_owned()) }
}

/// Puts a file, synced, in the place of what was there. Its name is not synced yet.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let draft = path.with_extension("new");
    write_synced(&draft, bytes)?;
    fs::rename(&draft, path).map_err(|error| failed("write", path, &error))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| failed("write", path, &error))
}

fn sync_dir(dir: &Path) -> Result<(), ClientError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| failed("sync", dir, &error))
}

fn failed(doing: &str, path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::new(Code::StoreDamaged, format!("cannot {doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
