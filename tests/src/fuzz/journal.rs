//! Bytes as damage to a journal that [`FileJournal`] has written, or as a segment itself.
//!
//! Recovery gives the records that were written, or the first of them and no other; or it refuses,
//! and names a file and a place in it. It never gives fewer than were acknowledged when only what
//! came after is damaged, and never passes over damage that acknowledged records follow.

use std::path::PathBuf;
use std::sync::Arc;

use settlement::journal::{FileJournal, Journal, JournalConfig, JournalError, Kind};

use super::Reader;
use super::mutate::{Damage, damaged};
use crate::sim::disk::{End, SimDisk};

const KIND: Kind = Kind::new("fuzz");
const DIR: &str = "journal";
/// Bytes of a segment's header.
const HEADER: usize = 48;

type File = (PathBuf, Vec<u8>);
type Files = Vec<File>;

/// What the bytes say is done to a journal that they say, too.
///
/// # Panics
/// When recovery is wrong.
pub fn run(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    match reader.byte() % 4 {
        0 => drop(opens_segment(reader.0)),
        1 => torn(&mut reader),
        _ => rotten(&mut reader),
    }
}

/// A journal of one segment that is these bytes; whether it opens. What it gives, it gives again,
/// and goes on from there.
pub(super) fn opens_segment(bytes: &[u8]) -> bool {
    let disk = SimDisk::with_files(&[(segment(1), bytes.to_vec())]);
    let Ok(records) = recovered(&disk) else { return false };
    goes_on(&disk, &records);
    true
}

/// A segment as it is written.
pub(super) fn a_segment() -> Vec<u8> {
    let written = write(&mut Reader(&[255, 3, 2, 9, 1, 0, 30, 1, 80]));
    written.all.into_iter().next().map(|(_, bytes)| bytes).unwrap_or_default()
}

fn segment(first: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/{first:020}.seg"))
}

fn open(disk: &SimDisk, segment_bytes: u64) -> Result<FileJournal, JournalError> {
    let config = JournalConfig { segment_bytes, ..JournalConfig::new(KIND) };
    FileJournal::open_on(Arc::new(disk.clone()), DIR, config)
}

fn recovered(disk: &SimDisk) -> Result<Vec<Vec<u8>>, JournalError> {
    let journal = open(disk, 400)?;
    let mut records = Vec::new();
    let replayed = journal.replay(0, &mut |_, bytes| {
        records.push(bytes.to_vec());
        Ok(())
    });
    drop(journal);
    disk.process_ends(End::Kill);
    replayed.map(|()| records)
}

/// What was recovered stays, and more can be written behind it.
fn goes_on(disk: &SimDisk, records: &[Vec<u8>]) {
    assert_eq!(recovered(disk).expect("it opens again"), records);
    let mut journal = open(disk, 400).expect("it opens again");
    journal.append(b"more").and_then(|_| journal.sync()).expect("it goes on");
    drop(journal);
    disk.process_ends(End::Kill);
    let more = recovered(disk).expect("it opens after more");
    assert_eq!((&more[..records.len()], &*more[records.len()]), (records, b"more".as_slice()));
}

/// A journal, and what is known of it.
struct Written {
    records: Vec<Vec<u8>>,
    /// Its files after all groups but the last, and after all.
    acknowledged: Files,
    all: Files,
    /// How many records the groups but the last have.
    count: usize,
}

/// Some groups of some records in segments that are small.
fn write(reader: &mut Reader<'_>) -> Written {
    let disk = SimDisk::new(0);
    let segment_bytes = 120 + 6 * u64::from(reader.byte());
    let groups = 2 + reader.byte() % 10;
    let mut journal = open(&disk, segment_bytes).expect("a new disk");
    let mut records: Vec<Vec<u8>> = Vec::new();
    let (mut acknowledged, mut count) = (Files::new(), 0);
    for _ in 0..groups {
        (acknowledged, count) = (disk.files(), records.len());
        for _ in 0..=reader.byte() % 3 {
            let length = 1 + usize::from(reader.byte()) % 90;
            let number = u8::try_from(records.len()).unwrap_or(u8::MAX);
            records.push(vec![number; length]);
            journal.append(records.last().expect("one was pushed")).expect("it has room");
        }
        journal.sync().expect("the disk works");
    }
    drop(journal);
    disk.process_ends(End::Kill);
    Written { records, acknowledged, all: disk.files(), count }
}

/// The process died while it wrote the last group: whatever is there of it, all others are.
fn torn(reader: &mut Reader<'_>) {
    let Written { records, acknowledged, mut all, count } = write(reader);
    let (path, whole) = all.last_mut().expect("a journal has a segment");
    let synced = acknowledged.iter().find(|(name, _)| name == path);
    let synced = synced.map_or(HEADER, |(_, bytes)| bytes.len());
    let tail = whole.split_off(synced);
    // A write that was torn moves nothing to another place.
    let in_place = |damage: &Damage| {
        matches!(damage, Damage::Flip(_) | Damage::Set(..) | Damage::Truncate(_) | Damage::Zero(..))
    };
    let damage: Vec<Damage> = damage(reader).into_iter().filter(in_place).collect();
    whole.extend(damaged(&tail, &[], &damage));
    let disk = SimDisk::with_files(&all);
    let got = recovered(&disk).unwrap_or_else(|error| panic!("a torn tail is refused: {error}"));
    assert!(got.len() >= count, "{} of {count} acknowledged records", got.len());
    assert!(records.starts_with(&got), "what was not written");
    goes_on(&disk, &got);
}

/// Any damage anywhere.
fn rotten(reader: &mut Reader<'_>) {
    let Written { records, acknowledged, mut all, .. } = write(reader);
    let before = all.clone();
    let which = usize::from(reader.byte()) % all.len();
    let other = all[usize::from(reader.byte()) % all.len()].1.clone();
    match reader.byte() % 16 {
        0 => drop(all.remove(which)),
        1 => all[which].1 = other,
        _ => all[which].1 = damaged(&all[which].1, &other, &damage(reader)),
    }
    let disk = SimDisk::with_files(&all);
    match recovered(&disk) {
        Ok(got) => {
            assert!(records.starts_with(&got), "what was not written");
            assert!(!is_hole(&before, &acknowledged, &all), "damage was passed over");
            goes_on(&disk, &got);
        }
        Err(error) => says_where(&error, &all),
    }
}

/// Whether bytes of a segment changed, none came or went, and all that changed has a group behind it.
fn is_hole(before: &Files, acknowledged: &Files, after: &Files) -> bool {
    let lengths = |files: &Files| files.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>();
    if lengths(before) != lengths(after) || before == after {
        return false;
    }
    let synced = |path: &PathBuf| {
        let found = acknowledged.iter().find(|(name, _)| name == path);
        found.map_or(0, |(_, bytes)| bytes.len())
    };
    let changed = |(old, new): (&File, &File)| {
        let last = old.1.iter().zip(&new.1).rposition(|(old, new)| old != new);
        last.is_none_or(|last| last < synced(&old.0))
    };
    before.iter().zip(after).all(changed)
}

fn says_where(error: &JournalError, files: &Files) {
    if let JournalError::Gone { .. } | JournalError::LiveMissing { .. } = error {
        return;
    }
    let place = error.place();
    let (file, offset) = place.unwrap_or_else(|| panic!("it does not say where: {error}"));
    let found = files.iter().find(|(name, _)| name == file);
    let (_, bytes) = found.unwrap_or_else(|| panic!("{} is no file", file.display()));
    // A header that is cut short is wrong at its end, or in its version or kind behind it.
    assert!(offset <= bytes.len().max(HEADER) as u64, "{error}");
    assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
}

/// One to four changes.
fn damage(reader: &mut Reader<'_>) -> Vec<Damage> {
    let one = |reader: &mut Reader<'_>| {
        let kind = reader.byte() % 8;
        let (place, count) = (usize::from(reader.short()), usize::from(reader.byte()));
        match kind {
            0 | 1 => Damage::Flip(place),
            2 => Damage::Set(place, u8::try_from(count).unwrap_or(0)),
            3 => Damage::Truncate(place),
            4 => Damage::Cut(place, count),
            5 => Damage::Insert(place, reader.some(count % 32).to_vec()),
            6 => Damage::Zero(place, count),
            _ => Damage::Splice(place, count),
        }
    };
    let count = 1 + reader.byte() % 4;
    (0..count).map(|_| one(reader)).collect()
}
