//! Tests of the journals: what is promised, on disk and in the simulator.

mod agree;
mod recovery;

use std::fs;
use std::io;
use std::path::Path;

use super::files::segment_path;
use super::*;

const KIND: Kind = Kind::new("hub");

fn small() -> JournalConfig {
    JournalConfig { kind: KIND, segment_bytes: 600, archive_bytes: None }
}

fn list_segments(dir: &Path) -> Result<Vec<Lsn>, JournalError> {
    files::list_segments(&OsStorage, dir)
}

fn open(dir: &Path) -> FileJournal {
    FileJournal::open(dir, small()).unwrap()
}

/// Records differ in length and content by position.
fn record(lsn: Lsn) -> Vec<u8> {
    let length = usize::try_from(10 + lsn * 7 % 40).unwrap();
    (0..length).map(|i| (lsn as u8).wrapping_mul(31).wrapping_add(i as u8)).collect()
}

fn append_group(journal: &mut dyn Journal, count: u64) {
    for _ in 0..count {
        let lsn = journal.last() + 1;
        assert_eq!(journal.append(&record(lsn)).unwrap(), lsn);
    }
    assert_eq!(journal.sync().unwrap(), journal.last());
}

fn records(journal: &dyn Journal, from: Lsn) -> Result<Vec<(Lsn, Vec<u8>)>, JournalError> {
    let mut found = Vec::new();
    journal.replay(from, &mut |lsn, bytes| {
        found.push((lsn, bytes.to_vec()));
        Ok(())
    })?;
    Ok(found)
}

fn expected(from: Lsn, to: Lsn) -> Vec<(Lsn, Vec<u8>)> {
    (from + 1..=to).map(|lsn| (lsn, record(lsn))).collect()
}

#[test]
fn records_come_back_in_order_across_segments_and_reopening() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..10 {
        let mut journal = open(dir.path());
        append_group(&mut journal, 3);
        append_group(&mut journal, 4);
    }
    let journal = open(dir.path());
    assert!(list_segments(dir.path()).unwrap().len() > 3);
    for from in [0, 1, 35, 69, 70] {
        assert_eq!(records(&journal, from).unwrap(), expected(from, 70));
    }
    let error = records(&journal, 71).unwrap_err();
    assert!(matches!(error, JournalError::Ahead { from: 71, durable: 70 }), "{error}");
}

#[test]
fn what_was_not_synced_is_neither_replayed_nor_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    append_group(&mut journal, 2);
    journal.append(b"lost").unwrap();
    assert_eq!((journal.last(), journal.durable()), (3, 2));
    assert_eq!(records(&journal, 0).unwrap(), expected(0, 2));
    drop(journal);
    assert_eq!(open(dir.path()).last(), 2);
}

#[test]
fn a_group_is_one_sync_and_an_empty_one_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(dir.path(), JournalConfig::new(KIND)).unwrap();
    append_group(&mut journal, 100);
    assert_eq!(journal.sync().unwrap(), 100);
    let stats = journal.stats();
    assert_eq!((stats.syncs, stats.records, stats.segments), (1, 100, 0));
}

#[test]
fn a_second_opener_is_refused_until_the_first_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let error = FileJournal::open(dir.path(), small()).err().unwrap();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process"));
    drop(journal);
    open(dir.path());
}

#[test]
fn a_newer_version_and_another_kind_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    append_group(&mut open(dir.path()), 1);
    let config = JournalConfig { kind: Kind::new("ledger"), ..small() };
    let error = FileJournal::open(dir.path(), config).err().unwrap();
    assert!(matches!(error, JournalError::Kind { .. }), "{error}");
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    fs::write(&path, bytes).unwrap();
    let error = FileJournal::open(dir.path(), small()).err().unwrap();
    assert!(matches!(error, JournalError::Version { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn records_outside_the_bounds_are_refused_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    for bytes in [0, MAX_RECORD_BYTES + 1] {
        let error = journal.append(&vec![0; bytes]).unwrap_err();
        assert!(matches!(error, JournalError::RecordSize { .. }), "{error}");
    }
    journal.append(&vec![7; MAX_RECORD_BYTES]).unwrap();
    journal.sync().unwrap();
    append_group(&mut journal, 1);
    drop(journal);
    assert_eq!(open(dir.path()).last(), 2);
}

/// How a file misbehaves.
enum Fault {
    Write,
    ShortWrite,
    Sync,
}

struct Faulty(Fault);

impl StorageFile for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0 {
            Fault::Write => Err(io::ErrorKind::StorageFull.into()),
            Fault::ShortWrite => Ok(bytes.len() - 1),
            Fault::Sync => Ok(bytes.len()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        match self.0 {
            Fault::Sync => Err(io::Error::other("EIO")),
            // A write that failed must be noticed by itself: what is synced then is not all.
            Fault::Write | Fault::ShortWrite => Ok(()),
        }
    }

    fn sync_all(&mut self) -> io::Result<()> {
        unreachable!("a group is synced as data")
    }

    fn set_len(&mut self, _bytes: u64) -> io::Result<()> {
        unreachable!("a group is never cut")
    }

    fn write_at(&mut self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        unreachable!("a group is appended")
    }

    fn length(&self) -> io::Result<u64> {
        unreachable!("what is written is not read here")
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<()> {
        unreachable!("what is written is not read here")
    }
}

#[test]
fn a_failed_write_or_sync_is_told_once_and_never_retried() {
    for fault in [Fault::Write, Fault::ShortWrite, Fault::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path());
        append_group(&mut journal, 2);
        journal.file = Box::new(Faulty(fault));
        journal.append(b"x").unwrap();
        assert!(matches!(journal.sync(), Err(JournalError::Fatal { .. })));
        assert_eq!(journal.durable(), 2);
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
        assert!(matches!(journal.append(b"x"), Err(JournalError::Poisoned)));
        assert!(matches!(journal.archive_before(2), Err(JournalError::Poisoned)));
        assert!(matches!(records(&journal, 0), Err(JournalError::Poisoned)));
        drop(journal);
        assert_eq!(records(&open(dir.path()), 0).unwrap(), expected(0, 2));
    }
}

#[test]
fn the_archive_is_read_by_replay_and_the_oldest_go_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    (0..20).for_each(|_| append_group(&mut journal, 4));
    journal.archive_before(40).unwrap();
    let oldest_live = journal.oldest_live();
    assert!(oldest_live > 20 && oldest_live <= 41, "{oldest_live}");
    assert_eq!(records(&journal, 0).unwrap(), expected(0, 80));
    let archived = journal.archived().unwrap();
    let mut seen = 0;
    for path in &archived {
        read_segment(path, KIND, &mut |lsn, bytes| {
            assert_eq!(bytes, record(lsn));
            seen = lsn;
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(seen + 1, oldest_live);
    fs::write(archived[0].with_extension("idx"), b"beside").unwrap();
    drop(journal);

    let config = JournalConfig { archive_bytes: Some(1_200), ..small() };
    let mut journal = FileJournal::open(dir.path(), config).unwrap();
    journal.archive_before(40).unwrap();
    let kept = journal.archived().unwrap();
    let bytes: u64 = kept.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!((600..=1_200).contains(&bytes), "{bytes} bytes");
    assert!(!kept.is_empty() && kept.len() < archived.len() && archived.ends_with(&kept));
    assert!(!archived[0].with_extension("idx").exists());
    assert!(matches!(records(&journal, 0), Err(JournalError::Gone { from: 0, .. })));
    assert_eq!(records(&journal, 40).unwrap(), expected(40, 80));
    journal.archive_before(Lsn::MAX).unwrap();
    append_group(&mut journal, 1);
    drop(journal);
    assert_eq!(open(dir.path()).last(), 81);
}

#[test]
fn a_journal_whose_live_segments_are_gone_is_not_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    (0..20).for_each(|_| append_group(&mut journal, 4));
    journal.archive_before(40).unwrap();
    drop(journal);
    for first in list_segments(dir.path()).unwrap() {
        fs::remove_file(segment_path(dir.path(), first)).unwrap();
    }
    let error = FileJournal::open(dir.path(), small()).err().unwrap();
    assert!(matches!(error, JournalError::LiveMissing { .. }), "{error}");
}

#[test]
fn a_visitor_that_refuses_ends_the_replay() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    append_group(&mut journal, 5);
    let error = journal.replay(1, &mut |lsn, _| {
        if lsn == 3 { Err("no".into()) } else { Ok(()) }
    });
    assert!(matches!(error, Err(JournalError::Visitor { lsn: 3, .. })));
}

#[test]
fn version_1_stays_readable() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/journal-v1");
    let dir = tempfile::tempdir().unwrap();
    for first in list_segments(&source).unwrap() {
        fs::copy(segment_path(&source, first), segment_path(dir.path(), first)).unwrap();
    }
    let mut journal = open(dir.path());
    assert_eq!(records(&journal, 0).unwrap(), expected(0, 30));
    append_group(&mut journal, 1);
}

/// Writes the fixture of the current version anew; only for a new version's directory.
#[test]
#[ignore = "writes into the source tree"]
fn write_fixture() {
    let name = format!("testdata/journal-v{FORMAT_VERSION}");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::create_dir_all(&target).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    (0..10).for_each(|_| append_group(&mut journal, 3));
    for first in list_segments(dir.path()).unwrap() {
        fs::copy(segment_path(dir.path(), first), segment_path(&target, first)).unwrap();
    }
}

/// Run by hand, in release: `--ignored --nocapture appends_per_second`.
#[test]
#[ignore = "a measurement"]
fn appends_per_second() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut journal = FileJournal::open(dir.path(), JournalConfig::new(KIND)).unwrap();
    let payload = [7; 300];
    let start = std::time::Instant::now();
    for lsn in 1..=1_000_000u64 {
        journal.append(&payload).unwrap();
        if lsn % 1_000 == 0 {
            journal.sync().unwrap();
        }
    }
    let written = start.elapsed();
    let stats = journal.stats();
    drop(journal);
    let start = std::time::Instant::now();
    let journal = FileJournal::open(dir.path(), JournalConfig::new(KIND)).unwrap();
    let opened = start.elapsed();
    let mut count = 0u64;
    journal
        .replay(0, &mut |_, _| {
            count += 1;
            Ok(())
        })
        .unwrap();
    println!(
        "{count} records {stats:?}: write {written:?} open {opened:?} + replay {:?}",
        start.elapsed() - opened
    );
}

#[test]
fn an_archive_shrinks_as_fast_as_it_grows() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig { archive_bytes: Some(6_000), ..small() };
    let mut journal = FileJournal::open(dir.path(), config).unwrap();
    let bytes = |journal: &FileJournal| -> u64 {
        journal.archived().unwrap().iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    };
    let mut most = Vec::new();
    for call in 1..=800u64 {
        let segments = journal.stats().segments;
        let wanted = if call % 8 == 0 { 2 } else { 1 };
        while journal.stats().segments < segments + wanted {
            append_group(&mut journal, 4);
        }
        let durable = journal.durable();
        journal.archive_before(durable).unwrap();
        if call % 100 == 0 {
            most.push(bytes(&journal));
        }
    }
    assert!(*most.last().unwrap() <= 2 * 6_000, "allowed 6000, after each 100 calls: {most:?}");
}
