//! Group commits over journals that watch, refuse and remember.

use super::*;
use crate::sync::mpsc::{Receiver, sync_channel};
use settlement::journal::{FileJournal, JournalConfig, Kind};

fn records(texts: &[&str]) -> Records {
    let mut records = Records::default();
    for text in texts {
        records.push_with(|bytes| bytes.extend_from_slice(text.as_bytes()));
    }
    records
}

#[test]
fn what_is_released_is_durable_and_in_the_order_of_the_shards() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig::new(Kind::new("test"));
    let journal = FileJournal::open(dir.path(), config).unwrap();
    let log = Arc::new(Log::new(journal.last()));
    let (outbox, released) = sync_channel(64);
    let counters = Arc::new(Counters::default());
    let thread = start(journal, log.clone(), outbox, counters.clone()).unwrap();

    let mut expected = Vec::new();
    for n in 0..20u64 {
        let lsn = log.append(&mut records(&["one", "two"]), &mut vec![n]);
        assert_eq!(lsn, (n + 1) * 2);
        expected.push(n);
    }
    // Without records, but after those before it.
    log.append(&mut Records::default(), &mut vec![20]);
    expected.push(20);
    let mut got = Vec::new();
    while got.len() < expected.len() {
        got.extend(released.recv().unwrap());
    }
    assert_eq!(got, expected);
    log.wait_durable(40);
    log.close();
    let journal = thread.join().unwrap();
    assert_eq!(journal.durable(), 40);
    assert_eq!(counters.records.load(Relaxed), 40);
    let mut seen = Vec::new();
    let mut see = |_, bytes: &[u8]| {
        seen.push(bytes.to_vec());
        Ok(())
    };
    journal.replay(0, &mut see).unwrap();
    assert_eq!(seen.len(), 40);
    assert_eq!(seen[38..], [b"one".to_vec(), b"two".to_vec()]);
}

#[test]
fn what_waits_to_be_released_is_bounded_like_records() {
    let log = Arc::new(Log::new(0));
    let mut heavy = Records::default();
    heavy.hold_back(GROUP_BYTES + 1);
    log.append(&mut heavy, &mut vec!["a long update"]);
    let (done, appended) = sync_channel(1);
    let shard = log.clone();
    let thread = std::thread::spawn(move || {
        shard.append(&mut Records::default(), &mut vec!["another"]);
        done.send(()).unwrap();
    });
    let waited = appended.recv_timeout(std::time::Duration::from_millis(200));
    assert!(waited.is_err(), "the shard waits for room");
    let (mut records, mut releases, mut archive) = (Records::default(), vec![], None);
    assert!(log.take(&mut records, &mut releases, &mut archive));
    appended.recv().unwrap();
    thread.join().unwrap();
}

/// A journal whose groups take one record.
struct Narrow(settlement::journal::MemoryJournal);

impl Journal for Narrow {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        if self.0.last() > self.0.durable() {
            return Err(JournalError::GroupFull { bytes: 1 });
        }
        self.0.append(record)
    }
    fn sync(&mut self) -> Result<Lsn, JournalError> {
        self.0.sync()
    }
    fn last(&self) -> Lsn {
        self.0.last()
    }
    fn durable(&self) -> Lsn {
        self.0.durable()
    }
    fn replay(
        &self,
        from: Lsn,
        visit: settlement::journal::Visitor<'_>,
    ) -> Result<(), JournalError> {
        self.0.replay(from, visit)
    }
    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        self.0.archive_before(lsn)
    }
    fn past(&self) -> Arc<dyn settlement::journal::Past> {
        self.0.past()
    }
}

#[test]
fn more_than_a_group_of_the_journal_takes_does_not_end_the_process() {
    let disk = settlement::journal::Disk::new();
    let mut journal = Narrow(settlement::journal::MemoryJournal::open(&disk).unwrap());
    assert_eq!(commit(&mut journal, &records(&["one", "two", "three"])).unwrap(), 3);
}

/// A journal whose every sync looks at what was released before it.
struct Watched {
    inner: settlement::journal::MemoryJournal,
    released: Receiver<Vec<&'static str>>,
}

impl Journal for Watched {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.inner.append(record)
    }
    fn sync(&mut self) -> Result<Lsn, JournalError> {
        assert!(self.released.try_recv().is_err(), "released before it was durable");
        let durable = self.inner.sync()?;
        assert!(self.released.try_recv().is_err(), "released inside the sync");
        Ok(durable)
    }
    fn last(&self) -> Lsn {
        self.inner.last()
    }
    fn durable(&self) -> Lsn {
        self.inner.durable()
    }
    fn replay(
        &self,
        from: Lsn,
        visit: settlement::journal::Visitor<'_>,
    ) -> Result<(), JournalError> {
        self.inner.replay(from, visit)
    }
    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        self.inner.archive_before(lsn)
    }
    fn past(&self) -> Arc<dyn settlement::journal::Past> {
        self.inner.past()
    }
}

#[test]
fn nothing_is_released_before_its_sync_has_returned() {
    let disk = settlement::journal::Disk::new();
    let inner = settlement::journal::MemoryJournal::open(&disk).unwrap();
    let log = Arc::new(Log::new(0));
    let (outbox, released) = sync_channel(64);
    let journal = Watched { inner, released };
    let counters = Arc::new(Counters::default());
    log.append(&mut records(&["update"]), &mut vec!["ack"]);
    let thread = start(journal, log.clone(), outbox, counters).unwrap();
    log.close();
    let journal = thread.join().unwrap();
    assert_eq!((journal.durable(), log.durable.load(Relaxed)), (1, 1));
    assert_eq!(journal.released.try_recv(), Ok(vec!["ack"]));
}
