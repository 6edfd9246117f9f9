//! Damage to what a dead hub has on its disk.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The journals of the hub and of its ledger.
pub(super) fn journals(data: &Path) -> [PathBuf; 2] {
    ["hub", "ledger"].map(|part| data.join(part).join("journal"))
}

/// The files under a directory, in order.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
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
