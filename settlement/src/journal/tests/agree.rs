//! The simulator's journal and the one in files answer alike, whatever is done to them.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    Sync,
    Reopen,
    Archive(u64),
    Replay(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Op::Append),
        3 => Just(Op::Sync),
        1 => Just(Op::Reopen),
        1 => (0..10u64).prop_map(Op::Archive),
        2 => (0..10u64).prop_map(Op::Replay),
    ]
}

/// What can be compared: a value or the name of the error.
fn told<T: std::fmt::Debug>(result: Result<T, JournalError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
    }
}

fn run(ops: &[Op]) -> Result<(), TestCaseError> {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Disk::new());
    let mut file = Some(open(dir.path()));
    let mut memory = Some(MemoryJournal::open(&disk).unwrap());
    let mut archived = 0;
    for op in ops {
        if let Op::Reopen = op {
            file.take();
            memory.take();
            file = Some(open(dir.path()));
            memory = Some(MemoryJournal::open(&disk).unwrap());
        }
        let (a, b) = (file.as_mut().unwrap(), memory.as_mut().unwrap());
        let back = |distance: &u64| a.durable().saturating_sub(*distance);
        match op {
            Op::Append(bytes) => prop_assert_eq!(told(a.append(bytes)), told(b.append(bytes))),
            Op::Sync => prop_assert_eq!(told(a.sync()), told(b.sync())),
            Op::Archive(distance) => {
                archived = archived.max(back(distance));
                prop_assert_eq!(told(a.archive_before(archived)), told(b.archive_before(archived)));
            }
            // The one in memory keeps nothing archived.
            Op::Replay(distance) => {
                let from = back(distance).max(archived);
                prop_assert_eq!(told(records(a, from)), told(records(b, from)));
            }
            Op::Reopen => {}
        }
        prop_assert_eq!((a.last(), a.durable()), (b.last(), b.durable()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn both_journals_agree(ops in prop::collection::vec(op(), 1..80)) {
        run(&ops)?;
    }
}

#[test]
fn a_crash_loses_exactly_what_was_not_synced() {
    for kept in [0, 2, 99] {
        let disk = Disk::new();
        let mut journal = MemoryJournal::open(&disk).unwrap();
        append_group(&mut journal, 3);
        (4..=6).for_each(|lsn| assert_eq!(journal.append(&record(lsn)).unwrap(), lsn));
        assert!(matches!(MemoryJournal::open(&disk), Err(JournalError::Locked { .. })));
        disk.crash_keeping(kept);
        assert!(matches!(journal.sync(), Err(JournalError::Fatal { .. })));
        assert!(matches!(journal.sync(), Err(JournalError::Poisoned)));
        let journal = MemoryJournal::open(&disk).unwrap();
        let last = 3 + u64::try_from(kept.min(3)).unwrap();
        assert_eq!(records(&journal, 0).unwrap(), expected(0, last));
    }
}

#[test]
fn planned_crashes_come_once_and_where_they_were_planned() {
    let disk = Disk::new();
    let mut journal = MemoryJournal::open(&disk).unwrap();
    disk.crash_at(CrashPoint::Append { nth: 2 });
    journal.append(b"a").unwrap();
    assert!(matches!(journal.append(b"b"), Err(JournalError::Fatal { .. })));
    let mut journal = MemoryJournal::open(&disk).unwrap();
    assert_eq!((journal.last(), disk.appends(), disk.syncs()), (0, 2, 0));
    disk.crash_at(CrashPoint::Sync { nth: 2, kept: 1 });
    append_group(&mut journal, 2);
    journal.append(&record(3)).unwrap();
    journal.append(&record(4)).unwrap();
    assert!(matches!(journal.sync(), Err(JournalError::Fatal { .. })));
    let journal = MemoryJournal::open(&disk).unwrap();
    assert_eq!(records(&journal, 0).unwrap(), expected(0, 3));
}

#[test]
fn a_failed_sync_of_the_simulator_poisons_and_keeps_nothing_of_its_group() {
    let disk = Disk::new();
    let mut journal = MemoryJournal::open(&disk).unwrap();
    append_group(&mut journal, 1);
    disk.fail_next_sync();
    journal.append(b"x").unwrap();
    assert!(matches!(journal.sync(), Err(JournalError::Fatal { .. })));
    assert!(matches!(journal.append(b"x"), Err(JournalError::Poisoned)));
    drop(journal);
    assert_eq!((disk.durable(), disk.syncs()), (1, 2));
    append_group(&mut MemoryJournal::open(&disk).unwrap(), 1);
}
