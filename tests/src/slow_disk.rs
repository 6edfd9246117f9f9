//! A journal on a disk that takes its time.

use std::sync::Arc;
use std::time::Duration;

use settlement::journal::{Journal, JournalError, Lsn, Past, Visitor};

/// A journal whose syncs take longer than the disk needs. What it keeps is the inner one's.
pub struct SlowJournal<J> {
    inner: J,
    delay: Duration,
}

impl<J: Journal> SlowJournal<J> {
    /// The same journal, with this much on top of each fdatasync.
    pub fn new(inner: J, delay: Duration) -> SlowJournal<J> {
        SlowJournal { inner, delay }
    }
}

impl<J: Journal> Journal for SlowJournal<J> {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.inner.append(record)
    }

    /// An empty group is on disk already, and costs no sync.
    fn sync(&mut self) -> Result<Lsn, JournalError> {
        if self.inner.last() != self.inner.durable() {
            std::thread::sleep(self.delay);
        }
        self.inner.sync()
    }

    fn last(&self) -> Lsn {
        self.inner.last()
    }

    fn durable(&self) -> Lsn {
        self.inner.durable()
    }

    fn replay(&self, from: Lsn, visit: Visitor<'_>) -> Result<(), JournalError> {
        self.inner.replay(from, visit)
    }

    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        self.inner.archive_before(lsn)
    }

    fn past(&self) -> Arc<dyn Past> {
        self.inner.past()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use settlement::journal::{Disk, MemoryJournal};

    use super::*;

    #[test]
    fn each_group_takes_the_delay_and_an_empty_one_takes_none() {
        let delay = Duration::from_millis(20);
        let journal = MemoryJournal::open(&Disk::new()).unwrap();
        let mut journal = SlowJournal::new(journal, delay);
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        let began = Instant::now();
        assert_eq!(journal.sync().unwrap(), 2);
        assert!(began.elapsed() >= delay);
        // A sleep of an hour would show.
        journal.delay = Duration::from_secs(3_600);
        assert_eq!((journal.sync().unwrap(), journal.durable()), (2, 2));
    }
}
