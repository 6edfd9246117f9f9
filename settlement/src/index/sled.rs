//! The index in sled 0.34, the only file that knows of it.
//!
//! What sled leaves open, and what is done about it:
//!
//! - Its `flush` is not an fsync, its batches are not one unit with the position, and it writes to
//!   its files on opening and closing too. So sled only ever works on `work/`, a copy that counts
//!   for nothing. A checkpoint copies the checkpoint before to `work/`, applies the changes, closes
//!   sled, syncs and checksums every file, seals the directory (`GOOD`), and renames it to
//!   `checkpoint-POSITION`. The rename is the point of no return. Whatever a crash leaves in
//!   `work/` is deleted.
//! - It panics or refuses on torn files, and a panic ends a release build. So no file is opened
//!   whose checksum is not what it was when sled closed it. A checkpoint that fails is set aside as
//!   `checkpoint-POSITION.damaged-N` (delete it after having looked at it); the one before is used,
//!   or else an empty index at position 0.
//! - It keeps much memory per row and grows with use. So it is open only from the first read or
//!   change to the next checkpoint, or to [`Index::rest`].
//!
//! The price is that a checkpoint writes the whole database and not only what has changed, once,
//! and that up to four copies of it are on the disk while one is taken: 0.6 s for 100,000 rows of
//! 300 bytes, of which 10,000 changed, on two cores unoptimised; 0.1 s to open it again.
//!
//! A failed checkpoint leaves the one before in force. No fsync is tried twice: the next attempt
//! writes new files.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::checkpoint::{self, Unusable};
use super::{Change, Index, IndexError, RowVisitor, check_order, check_row};
use crate::journal::files::{lock_dir, sync_dir};
use crate::journal::{JournalError, Lsn};

/// How long closing waits for sled's threads: 10 s in all.
const CLOSE_TRIES: u32 = 5_000;
const CLOSE_PAUSE: Duration = Duration::from_millis(2);

/// How much sled may use.
#[derive(Clone, Copy, Debug)]
pub struct SledConfig {
    /// Bytes of pages that sled keeps in memory while it is open.
    pub cache_bytes: u64,
}

impl Default for SledConfig {
    /// 16 MiB of cache.
    fn default() -> SledConfig {
        SledConfig { cache_bytes: 16 << 20 }
    }
}

/// The index in a directory that this process holds locked until the value is dropped.
pub struct SledIndex {
    root: PathBuf,
    config: SledConfig,
    /// The good checkpoints, newest first; at most two.
    good: Vec<Lsn>,
    set_aside: Vec<PathBuf>,
    work: OnceCell<::sled::Db>,
    _lock: File,
}

impl SledIndex {
    /// Opens or creates the index in `root` with its newest good checkpoint; damaged ones are set
    /// aside and logged.
    ///
    /// # Errors
    /// [`IndexError::Locked`], [`IndexError::Version`], or that files cannot be read or renamed.
    /// Damage is not an error.
    pub fn open(root: impl Into<PathBuf>, config: SledConfig) -> Result<SledIndex, IndexError> {
        let root = root.into();
        let lock = lock_dir(&root).map_err(lock_error)?;
        let good = checkpoint::list(&root)?;
        let mut index = SledIndex {
            root,
            config,
            good,
            set_aside: Vec::new(),
            work: OnceCell::new(),
            _lock: lock,
        };
        while let Some(newest) = index.good.first().copied() {
            match index.try_newest(newest)? {
                Ok(()) => break,
                Err(reason) => index.drop_newest(newest, &reason)?,
            }
        }
        index.prune()?;
        Ok(index)
    }

    /// The checkpoints that opening found damaged, under the names they have now.
    #[must_use]
    pub fn set_aside(&self) -> &[PathBuf] {
        &self.set_aside
    }

    /// Whether the checkpoint can be used: the inner error says why it is damaged.
    fn try_newest(&self, position: Lsn) -> Result<Result<(), String>, IndexError> {
        let path = checkpoint::path_of(&self.root, position);
        match checkpoint::verify(&path, position) {
            Ok(()) => Ok(self.db().map(|_| ()).map_err(|error| error.to_string())),
            Err(Unusable::Damaged(reason)) => Ok(Err(reason)),
            Err(Unusable::Newer(found)) => Err(IndexError::Version { path, found, known: 1 }),
        }
    }

    fn drop_newest(&mut self, position: Lsn, reason: &str) -> Result<(), IndexError> {
        let path = checkpoint::path_of(&self.root, position);
        self.set_aside.push(checkpoint::set_aside(&self.root, &path, reason)?);
        self.good.remove(0);
        Ok(())
    }

    fn work_path(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The working copy, made from the newest checkpoint if sled is not open.
    fn db(&self) -> Result<&::sled::Db, IndexError> {
        if self.work.get().is_none() {
            // The cell was empty, and only this thread can see it.
            let _ = self.work.set(self.open_copy()?);
        }
        self.work.get().ok_or_else(|| self.database("it was closed"))
    }

    fn open_copy(&self) -> Result<::sled::Db, IndexError> {
        let work = self.work_path();
        remove_tree(&work)?;
        if let Some(newest) = self.good.first() {
            checkpoint::copy(&checkpoint::path_of(&self.root, *newest), &work)
                .map_err(IndexError::io("copy the newest checkpoint to", &work))?;
        }
        let settings = ::sled::Config::new()
            .path(&work)
            .cache_capacity(self.config.cache_bytes)
            .flush_every_ms(None);
        // Where panics unwind; where they abort, the checksums have already told.
        match catch_unwind(AssertUnwindSafe(|| settings.open())) {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(error)) => Err(self.database(error)),
            Err(_) => Err(self.database("it panicked on opening")),
        }
    }

    fn database(&self, reason: impl ToString) -> IndexError {
        IndexError::Database { path: self.work_path(), reason: reason.to_string() }
    }

    fn apply(&self, changes: &mut dyn Iterator<Item = Change>) -> Result<(), IndexError> {
        let db = self.db()?;
        for change in changes {
            check_row(&change)?;
            let (key, value) = change;
            match value {
                Some(value) => db.insert(key, value),
                None => db.remove(key),
            }
            .map_err(|error| self.database(error))?;
        }
        db.flush().map_err(|error| self.database(error))?;
        Ok(())
    }

    /// Closes sled and waits until its last thread has let go of the file: it holds the lock.
    fn close(&mut self) -> Result<(), IndexError> {
        self.work.take();
        let path = self.work_path().join("db");
        let file = File::open(&path).map_err(IndexError::io("open", &path))?;
        for _ in 0..CLOSE_TRIES {
            match fs4::FileExt::try_lock(&file) {
                Ok(()) => return Ok(()),
                Err(fs4::TryLockError::WouldBlock) => thread::sleep(CLOSE_PAUSE),
                Err(fs4::TryLockError::Error(error)) => {
                    return Err(IndexError::io("lock", &path)(error));
                }
            }
        }
        Err(self.database("it did not close"))
    }

    /// Turns the working copy into the checkpoint at `position`.
    fn publish(&mut self, position: Lsn) -> Result<(), IndexError> {
        let work = self.work_path();
        checkpoint::seal(&work, position).map_err(IndexError::io("seal", &work))?;
        let target = checkpoint::path_of(&self.root, position);
        fs::rename(&work, &target).map_err(IndexError::io("publish", &target))?;
        sync_dir(&self.root).map_err(IndexError::io("sync", &self.root))?;
        self.good.insert(0, position);
        Ok(())
    }

    /// Deletes checkpoints older than the two newest.
    fn prune(&mut self) -> Result<(), IndexError> {
        for position in self.good.iter().skip(2) {
            remove_tree(&checkpoint::path_of(&self.root, *position))?;
        }
        self.good.truncate(2);
        Ok(())
    }
}

impl Index for SledIndex {
    fn position(&self) -> Lsn {
        self.good.first().copied().unwrap_or(0)
    }

    fn archivable(&self) -> Lsn {
        self.good.get(1).copied().unwrap_or(0)
    }

    fn scan(&self, prefix: &[u8], visit: RowVisitor<'_>) -> Result<(), IndexError> {
        for row in self.db()?.scan_prefix(prefix) {
            let (key, value) = row.map_err(|error| self.database(error))?;
            visit(&key, &value).map_err(|reason| IndexError::visitor(&key, reason))?;
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let value = self.db()?.get(key).map_err(|error| self.database(error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Closes sled.
    fn rest(&mut self) {
        self.work.take();
    }

    fn checkpoint(
        &mut self,
        position: Lsn,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), IndexError> {
        check_order(self.position(), position)?;
        let applied = self.apply(changes);
        // Even after a failure: what is in the working copy now must not be read.
        let closed = self.close();
        applied.and(closed)?;
        self.publish(position)?;
        self.prune()
    }
}

fn lock_error(error: JournalError) -> IndexError {
    match error {
        JournalError::Io { doing, path, source } => IndexError::Io { doing, path, source },
        other => IndexError::Locked(other),
    }
}

fn remove_tree(path: &Path) -> Result<(), IndexError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(IndexError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
