//! One group commit for all shards.
//!
//! A shard appends the records of a batch, and what may be released once they are durable, under
//! one short lock. The committer's thread takes the whole open group, writes it, syncs it once, and
//! only then hands its releases to the outbox. While one group is in its fdatasync the next one
//! fills; no timer is needed. Since a group is taken whole, its releases are covered by every record
//! that any shard handed out before them.
//!
//! A journal that fails ends the process: memory is ahead of the disk, and nothing may be told.

use std::time::Instant;

use settlement::bugs::{Bug, planted};
use settlement::journal::{Journal, JournalError, Lsn, append_to};

use crate::counters::{Counters, add};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::mpsc::SyncSender;
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, abort_on};

/// Above this many bytes in the open group, of records and releases, shards wait for the committer.
const GROUP_BYTES: usize = 16 << 20;

/// Encoded records, one behind the other.
#[derive(Default)]
pub(crate) struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// About how many bytes of memory the releases take that go with them.
    held_back: usize,
}

impl Records {
    /// Appends one that `write` puts behind the bytes.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Counts a release of about so many bytes that is to go with them.
    pub(crate) fn hold_back(&mut self, bytes: usize) {
        self.held_back = self.held_back.saturating_add(bytes);
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// About how many bytes they and their releases take.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len().saturating_add(self.held_back)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.held_back = 0;
    }

    fn append(&mut self, other: &mut Records) {
        let before = self.bytes.len();
        self.hold_back(std::mem::take(&mut other.held_back));
        self.bytes.append(&mut other.bytes);
        self.ends.extend(other.ends.drain(..).map(|end| end.saturating_add(before)));
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(from, to)| self.bytes.get(from..*to).unwrap_or_default())
    }
}

/// Where shards append, each release of type `R`.
pub(crate) struct Log<R> {
    open: Mutex<Open<R>>,
    filled: Condvar,
    taken: Condvar,
    durable: AtomicU64,
    synced: Condvar,
}

struct Open<R> {
    records: Records,
    releases: Vec<R>,
    last: Lsn,
    archive_before: Option<Lsn>,
    closed: bool,
}

impl<R> Log<R> {
    /// A log whose next record follows `last`, which is durable.
    pub(crate) fn new(last: Lsn) -> Log<R> {
        let open = Open {
            records: Records::default(),
            releases: Vec::new(),
            last,
            archive_before: None,
            closed: false,
        };
        Log {
            open: Mutex::new(open),
            filled: Condvar::new(),
            taken: Condvar::new(),
            durable: AtomicU64::new(last),
            synced: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open<R>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends records and what follows from them, leaves both empty, and returns the position of
    /// the last record. Waits while the open group is full.
    pub(crate) fn append(&self, records: &mut Records, releases: &mut Vec<R>) -> Lsn {
        let mut open = self.lock();
        while open.records.weight() > GROUP_BYTES {
            open = self.taken.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        open.last = open.last.saturating_add(records.ends.len() as u64);
        open.records.append(records);
        open.releases.append(releases);
        let last = open.last;
        drop(open);
        self.filled.notify_one();
        last
    }

    /// Position of the last record that was appended.
    pub(crate) fn last(&self) -> Lsn {
        self.lock().last
    }

    /// Waits until the record at `lsn` is durable.
    pub(crate) fn wait_durable(&self, lsn: Lsn) {
        let mut open = self.lock();
        while self.durable.load(Relaxed) < lsn {
            open = self.synced.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the committer archive segments that no start needs any more.
    pub(crate) fn archive_before(&self, lsn: Lsn) {
        self.lock().archive_before = Some(lsn);
        self.filled.notify_one();
    }

    /// The committer ends once everything is durable. Nobody may append any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    /// Swaps the open group for an empty one. False at the end.
    fn take(
        &self,
        records: &mut Records,
        releases: &mut Vec<R>,
        archive: &mut Option<Lsn>,
    ) -> bool {
        let mut open = self.lock();
        loop {
            let work = !open.records.is_empty() || !open.releases.is_empty();
            if work || open.archive_before.is_some() {
                std::mem::swap(&mut open.records, records);
                std::mem::swap(&mut open.releases, releases);
                *archive = open.archive_before.take();
                drop(open);
                self.taken.notify_all();
                return true;
            }
            if open.closed {
                return false;
            }
            open = self.filled.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn publish(&self, durable: Lsn) {
        let open = (!planted(Bug::SaidUnlocked)).then(|| self.lock());
        self.durable.store(durable, Relaxed);
        drop(open);
        self.synced.notify_all();
    }
}

/// Starts the committer's thread. It gives the journal back when the log is closed.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn start<J, R, L>(
    journal: J,
    log: Arc<L>,
    outbox: SyncSender<Vec<R>>,
    counters: Arc<Counters>,
) -> std::io::Result<JoinHandle<J>>
where
    J: Journal + 'static,
    R: Send + 'static,
    L: AsRef<Log<R>> + Send + Sync + 'static,
{
    let thread = Builder::new().name("committer".to_owned());
    thread.spawn(move || run(journal, (*log).as_ref(), &outbox, &counters))
}

impl<R> AsRef<Log<R>> for Log<R> {
    fn as_ref(&self) -> &Log<R> {
        self
    }
}

fn run<J: Journal, R>(
    mut journal: J,
    log: &Log<R>,
    outbox: &SyncSender<Vec<R>>,
    counters: &Counters,
) -> J {
    let (mut records, mut releases, mut archive) = (Records::default(), Vec::new(), None);
    let mut failing = false;
    while log.take(&mut records, &mut releases, &mut archive) {
        if planted(Bug::ReleaseBeforeSync) {
            let _ = outbox.send(std::mem::take(&mut releases));
        }
        if !records.is_empty() {
            let began = Instant::now();
            match commit(&mut journal, &records) {
                Ok(durable) => log.publish(durable),
                Err(_) if planted(Bug::FailedSyncTold) => log.publish(journal.last()),
                Err(error) => abort_on(&error),
            }
            counters.committed(began.elapsed());
            add(&counters.records, records.ends.len());
            add(&counters.record_bytes, records.bytes.len());
        }
        records.clear();
        if !releases.is_empty() {
            // The outbox outlives the committer; if it is gone, so is everybody to be told.
            let _ = outbox.send(std::mem::take(&mut releases));
        }
        if let Some(lsn) = archive.take() {
            let failed = journal.archive_before(lsn).err();
            // It is tried four times a second.
            if let Some(error) = failed.as_ref().filter(|_| !failing) {
                tracing::warn!(%error, "segments can't be archived; it is tried again and again");
            }
            failing = failed.is_some();
        }
    }
    journal
}

fn commit<J: Journal>(journal: &mut J, records: &Records) -> Result<Lsn, JournalError> {
    for record in records.iter() {
        append_to(journal, record)?;
    }
    journal.sync()
}

#[cfg(test)]
mod tests;
