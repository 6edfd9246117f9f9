//! Damage to what a dead hub has on its disk.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::process::wallet::copy_dir;

/// The journals of the hub and of its ledger.
pub(super) fn journals(data: &Path) -> [PathBuf; 2] {
    ["hub", "ledger"].map(|part| data.join(part).join("journal"))
}

/// The files under a directory, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The live segments of a journal, oldest first.
pub(super) fn segments(journal: &Path) -> Vec<PathBuf> {
    let live = |path: &PathBuf| {
        path.parent() == Some(journal) && path.extension().is_some_and(|end| end == "seg")
    };
    files(journal).into_iter().filter(live).collect()
}

/// The size of the largest file that is still written to, in KiB, rounded up: of the segments that is
/// the newest of each journal.
pub(super) fn largest_kib(data: &Path) -> u64 {
    let full: Vec<PathBuf> = journals(data)
        .iter()
        .flat_map(|journal| {
            let mut segments = segments(journal);
            segments.pop();
            segments.extend(files(&journal.join("archive")));
            segments
        })
        .collect();
    let written = files(data).into_iter().filter(|path| !full.contains(path));
    let sizes = written.filter_map(|path| fs::metadata(path).ok());
    sizes.map(|meta| meta.len()).max().unwrap_or_default().div_ceil(1_024)
}

/// The size of a journal's newest segment.
pub(super) fn newest_bytes(journal: &Path) -> u64 {
    let newest = segments(journal).pop();
    newest.and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.len())
}

/// Bytes behind the last group, as a write leaves that the power cut short.
pub(super) fn tear_tail(journal: &Path, dice: &mut ChaCha8Rng) {
    let newest = segments(journal).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let garbage = dice.random_range(1..6_000);
    match dice.random_range(0..3) {
        0 => bytes.resize(bytes.len() + garbage, 0),
        1 => bytes.extend((0..garbage).map(|_| dice.random::<u8>())),
        // The start of a group, as far as it got.
        _ => bytes.extend([0xA7, b'G', b'R', 0xFF].iter().cycle().take(garbage)),
    }
    fs::write(&newest, bytes).unwrap();
}

/// A flipped bit that can be flipped back.
pub(super) struct Hole {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Hole {
    /// A segment with so much in it has groups behind its middle.
    pub(super) const SEGMENT_BYTES: u64 = 32 << 10;

    /// In the first half of a segment.
    pub(super) fn make(journal: &Path, dice: &mut ChaCha8Rng) -> Hole {
        let segments = segments(journal);
        let whole = |path: &&PathBuf| {
            fs::metadata(path).is_ok_and(|meta| meta.len() >= Hole::SEGMENT_BYTES)
        };
        let segments: Vec<&PathBuf> = segments.iter().filter(whole).collect();
        let file = segments[dice.random_range(0..segments.len())].clone();
        let bytes = fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        // Behind the header, in which damage has other names.
        let at = dice.random_range(64..bytes.len() / 2);
        damaged[at] ^= 1 << dice.random_range(0..8);
        fs::write(&file, damaged).unwrap();
        Hole { file, bytes }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn mend(self) {
        fs::write(&self.file, self.bytes).unwrap();
    }
}

/// The index of the hub or of its ledger.
pub(super) struct Index {
    dir: PathBuf,
}

impl Index {
    pub(super) fn of(data: &Path, which: usize) -> Index {
        Index { dir: data.join(["hub", "ledger"][which]).join("index") }
    }

    /// All of it, or its newest checkpoint.
    pub(super) fn delete(&self, dice: &mut ChaCha8Rng) {
        let newest = self.checkpoints().pop().filter(|_| dice.random_bool(0.5));
        let dir = newest.unwrap_or_else(|| self.dir.clone());
        if dir.exists() {
            fs::remove_dir_all(dir).unwrap();
        }
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

    fn checkpoints(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let found = found.map(|entry| entry.path()).filter(|path| path.is_dir());
        let mut found: Vec<PathBuf> =
            found.filter(|path| path.to_string_lossy().contains("checkpoint-")).collect();
        found.sort();
        found
    }

    fn change(&self, dice: &mut ChaCha8Rng, change: impl Fn(&mut Vec<u8>, &mut ChaCha8Rng)) {
        let files: Vec<PathBuf> = self.checkpoints().iter().flat_map(|dir| files(dir)).collect();
        if files.is_empty() {
            return;
        }
        let file = &files[dice.random_range(0..files.len())];
        let mut bytes = fs::read(file).unwrap();
        if !bytes.is_empty() {
            change(&mut bytes, dice);
            fs::write(file, bytes).unwrap();
        }
    }
}
