//! What the journal makes of a disk that fails, without a world around it.

use std::sync::Arc;

use settlement::journal::{FileJournal, Journal, JournalConfig, Kind};

use super::*;

const LAYOUT: JournalConfig =
    JournalConfig { segment_bytes: 400, ..JournalConfig::new(Kind::new("disk")) };

fn open(disk: &SimDisk) -> Option<FileJournal> {
    FileJournal::open_on(Arc::new(disk.clone()), "journal", LAYOUT).ok()
}

fn record(number: u64) -> Vec<u8> {
    let length = usize::try_from(20 + number * 37 % 700).unwrap();
    (0..length).map(|at| (at as u64 * 7 + number) as u8).collect()
}

/// How many there are, each as it was written. `None` when the disk fails.
fn records(journal: &FileJournal) -> Option<u64> {
    let mut next = 1;
    let all = journal.replay(0, &mut |lsn, bytes| {
        assert_eq!((lsn, bytes), (next, record(lsn).as_slice()));
        next += 1;
        Ok(())
    });
    all.ok().map(|()| next - 1)
}

/// Groups until the disk fails; the last record that is durable.
fn write_until_the_end(disk: &SimDisk, mut durable: u64) -> u64 {
    let Some(mut journal) = open(disk) else { return durable };
    let Some(found) = records(&journal) else { return durable };
    assert!(found >= durable, "what was synced is there");
    durable = journal.durable();
    for group in 0..60 {
        for _ in 0..group % 3 + 1 {
            let number = journal.last() + 1;
            journal.append(&record(number)).unwrap();
        }
        match journal.sync() {
            Ok(now) => durable = now,
            Err(_) => return durable,
        }
        if group % 7 == 0 && journal.archive_before(durable / 2).is_err() {
            return durable;
        }
    }
    durable
}

#[test]
fn whatever_the_disk_does_what_was_synced_is_there() {
    for seed in 0..400 {
        let disk = SimDisk::new(seed);
        let mut dice = ChaCha8Rng::seed_from_u64(!seed);
        let mut durable = 0;
        for _ in 0..12 {
            match dice.random_range(0..6) {
                0 => disk.trouble(Trouble::WriteError),
                1 => disk.trouble(Trouble::SyncError),
                2 => disk.trouble(Trouble::Room(dice.random_range(0..900))),
                _ => {
                    let end = if dice.random_bool(0.7) { End::PowerCut } else { End::Kill };
                    disk.end_at(disk.operations() + dice.random_range(1..60), end);
                }
            }
            durable = write_until_the_end(&disk, durable);
            let end = if dice.random_bool(0.5) { End::PowerCut } else { End::Kill };
            disk.process_ends(end);
            disk.mend();
        }
        assert!(records(&open(&disk).unwrap()) >= Some(durable));
    }
}

#[test]
fn any_bit_that_rots_in_a_cold_segment_is_found_and_its_file_named() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let durable = write_until_the_end(&disk, 0);
        disk.process_ends(End::PowerCut);
        let path = disk.rot(seed).unwrap();
        let (_, at) = disk.rotten().unwrap();
        let found = FileJournal::open_on(Arc::new(disk.clone()), "journal", LAYOUT)
            .and_then(|journal| journal.replay(0, &mut |_, _| Ok(())));
        let error = found.unwrap_err();
        let (file, offset) = error.place().unwrap_or_else(|| panic!("{seed}: {error}"));
        assert_eq!(file.file_name(), path.file_name(), "{error}");
        assert!(offset <= at, "{error}");
        disk.process_ends(End::Kill);
        disk.restore_rotten();
        assert_eq!(records(&open(&disk).unwrap()), Some(durable));
    }
}
