//! Records read from the middle of long segments, beside an owner that goes on.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::super::files::segment_path;
use super::super::{FileJournal, Journal, JournalConfig};
use super::*;

const KIND: Kind = Kind::new("ledger");

fn open(dir: &Path, segment_bytes: u64) -> FileJournal {
    let config = JournalConfig { segment_bytes, ..JournalConfig::new(KIND) };
    FileJournal::open(dir, config).unwrap()
}

/// Records of a given length that differ by position; many bytes look like a group's header.
fn record(lsn: Lsn, bytes: usize) -> Vec<u8> {
    let number = lsn.to_le_bytes();
    let filling = [0xA7, b'G', b'R', 0xFF].into_iter().cycle();
    number.into_iter().chain(filling).take(bytes.max(8)).collect()
}

fn append(journal: &mut FileJournal, lengths: &[usize]) {
    for bytes in lengths {
        let lsn = journal.last() + 1;
        journal.append(&record(lsn, *bytes)).unwrap();
    }
    journal.sync().unwrap();
}

/// Positions of at most `most` records after `from`.
fn read(past: &dyn Past, from: Lsn, most: usize) -> Result<Vec<Lsn>, JournalError> {
    let mut found = vec![];
    past.read(from, &mut |lsn, bytes| {
        assert_eq!(bytes, record(lsn, bytes.len()));
        found.push(lsn);
        Ok(if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

fn numbers(from: Lsn, to: Lsn) -> Vec<Lsn> {
    (from..=to).collect()
}

/// Groups of one record and of many, records of a few bytes and of several searches' pieces.
#[test]
fn any_record_is_found_whatever_is_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), 700 << 10);
    for round in 0..300 {
        match round {
            _ if round % 97 == 50 => append(&mut journal, &[200 << 10, 9]),
            _ if round % 41 == 7 => append(&mut journal, &[40 << 10]),
            _ => append(&mut journal, &vec![300 + round; 1 + round % 5]),
        }
    }
    let last = journal.durable();
    assert!(list_segments(&OsStorage, dir.path()).unwrap().len() > 2);
    for reopened in [false, true] {
        if reopened {
            drop(journal);
            journal = open(dir.path(), 700 << 10);
        }
        let past = journal.past();
        for lsn in (1..=last).step_by(7) {
            assert_eq!(read(past.as_ref(), lsn - 1, 1).unwrap(), [lsn]);
        }
        assert_eq!(read(past.as_ref(), 0, usize::MAX).unwrap(), numbers(1, last));
        assert_eq!(read(past.as_ref(), last - 70, 64).unwrap(), numbers(last - 69, last - 6));
        assert!(read(past.as_ref(), last, 1).unwrap().is_empty());
        assert!(matches!(read(past.as_ref(), last + 1, 1), Err(JournalError::Ahead { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_read_of_any_layout_starts_where_it_is_told(
        groups in prop::collection::vec(prop::collection::vec(8usize..9_000, 1..6), 1..60),
        segment_bytes in 20_000u64..200_000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path(), segment_bytes);
        groups.iter().for_each(|lengths| append(&mut journal, lengths));
        let last = journal.durable();
        journal.archive_before(last / 2).unwrap();
        for from in 0..last {
            prop_assert_eq!(read(journal.past().as_ref(), from, 1).unwrap(), [from + 1]);
        }
        prop_assert_eq!(read(journal.past().as_ref(), 0, usize::MAX).unwrap(), numbers(1, last));
    }
}

/// What is far from the record wanted is not even looked at: a byte of it may be wrong. The record
/// with the wrong byte is never handed out.
#[test]
fn a_read_costs_what_it_visits() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), 64 << 20);
    (0..800).for_each(|_| append(&mut journal, &[5_000]));
    let path = segment_path(dir.path(), 1);
    let frame = 24 + 8 + 5_000;
    let in_record = |lsn: Lsn| 48 + (lsn - 1) * frame + 24 + 8 + 500;
    let wrong = 222;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0], in_record(wrong)).unwrap();
    let past = journal.past();
    for lsn in [1, 100, 200, 240, 400, 800] {
        assert_eq!(read(past.as_ref(), lsn - 1, 1).unwrap(), [lsn]);
    }
    let mut seen = vec![];
    let error = past.read(wrong - 3, &mut |lsn, _| {
        seen.push(lsn);
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!(seen, [wrong - 2, wrong - 1]);
    let (file, offset) = (path, 48 + (wrong - 1) * frame + 24);
    let error = error.unwrap_err();
    assert_eq!(error.place(), Some((file.as_path(), offset)), "{error}");
}

#[test]
fn a_reader_keeps_up_with_an_owner_that_appends_and_archives() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), 40 << 10);
    append(&mut journal, &[100]);
    let (past, stop) = (journal.past(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) || rounds == 0 {
                let durable = past.durable();
                for from in [0, durable / 2, durable - 1] {
                    let found = read(past.as_ref(), from, 50).unwrap();
                    assert_eq!(found.first(), Some(&(from + 1)));
                }
                rounds += 1;
            }
        });
        for round in 0..400 {
            append(&mut journal, &[900, 50, 700]);
            if round % 20 == 0 {
                let lsn = journal.durable() - 10.min(journal.durable());
                journal.archive_before(lsn).unwrap();
            }
        }
        stop.store(true, Ordering::Relaxed);
        reading.join().unwrap();
    });
    assert!(fs::read_dir(archive_dir(dir.path())).unwrap().count() > 3);
}
