//! Damage to the index of a dead hub, or of its ledger.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::disk::files;
use crate::process::wallet::copy_dir;

/// Whose index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The hub's own.
    Hub,
    /// Its ledger's.
    Ledger,
}

/// The index of the hub or of its ledger.
pub(super) struct Index {
    dir: PathBuf,
}

impl Index {
    pub(super) fn of(data: &Path, part: Part) -> Index {
        let name = match part {
            Part::Hub => "hub",
            Part::Ledger => "ledger",
        };
        Index { dir: data.join(name).join("index") }
    }

    /// The newest checkpoint: without one there is nothing to damage.
    pub(super) fn newest(&self) -> Option<PathBuf> {
        self.checkpoints().pop()
    }

    /// All that a start may use, to be compared with.
    pub(super) fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = self.checkpoints().into_iter().flat_map(|dir| files(&dir));
        files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    }

    /// All of it, or its newest checkpoint.
    pub(super) fn delete(&self, dice: &mut ChaCha8Rng) {
        let newest = self.newest().filter(|_| dice.random_bool(0.5));
        fs::remove_dir_all(newest.unwrap_or_else(|| self.dir.clone())).unwrap();
    }

    /// One file of it loses its end.
    pub(super) fn tear(&self, dice: &mut ChaCha8Rng) {
        self.change(dice, |bytes, dice| bytes.truncate(dice.random_range(0..bytes.len())));
    }

    /// One bit of one file is another.
    pub(super) fn flip(&self, dice: &mut ChaCha8Rng) {
        self.change(dice, |bytes, dice| {
            let at = dice.random_range(0..bytes.len());
            bytes[at] ^= 1 << dice.random_range(0..8);
        });
    }

    /// Keeps it as it is. A checkpoint may be made or pruned meanwhile: the copy is what it is.
    pub(super) fn keep_copy(&self) {
        let copy = self.copy();
        if copy.exists() {
            fs::remove_dir_all(&copy).unwrap();
        }
        let copied = std::panic::catch_unwind(|| copy_dir(&self.dir, &copy));
        if copied.is_err() {
            fs::create_dir_all(&copy).unwrap();
        }
    }

    pub(super) fn put_copy_back(&self) {
        fs::remove_dir_all(&self.dir).unwrap();
        copy_dir(&self.copy(), &self.dir);
    }

    fn copy(&self) -> PathBuf {
        self.dir.with_extension("copy")
    }

    /// Those that a start may use, oldest first: what one has set aside has a longer name.
    fn checkpoints(&self) -> Vec<PathBuf> {
        let usable = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("checkpoint-").unwrap_or_default();
            !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
        };
        let found = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = found.map(|entry| entry.path()).filter(usable).collect();
        found.sort();
        found
    }

    /// Changes a file of the newest checkpoint, which is the one that a start reads, so that it must
    /// find out.
    fn change(&self, dice: &mut ChaCha8Rng, change: impl Fn(&mut Vec<u8>, &mut ChaCha8Rng)) {
        let mut files = files(&self.newest().unwrap());
        files.retain(|file| fs::metadata(file).is_ok_and(|meta| meta.len() > 0));
        let file = &files[dice.random_range(0..files.len())];
        let mut bytes = fs::read(file).unwrap();
        change(&mut bytes, dice);
        fs::write(file, bytes).unwrap();
    }
}
