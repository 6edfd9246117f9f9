//! However many ask for old blocks, and however long those take to read: what is handed in is in
//! the next block, and news of it is told.

use std::sync::{Condvar, Mutex};

use tokio::task::JoinHandle;

use super::*;
use crate::journal::{JournalError, Lsn, Past, Reader, Visitor};
use crate::tx::Transaction;

/// A lid on the journal's past: a read begins, is counted, and goes no further while it is shut.
#[derive(Default)]
struct Lid {
    /// How many reads have begun, and whether they may go on.
    state: Mutex<(usize, bool)>,
    news: Condvar,
}

impl Lid {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.news.notify_all();
        while !state.1 {
            state = self.news.wait(state).unwrap();
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.news.notify_all();
    }

    /// Waits until so many reads have begun.
    async fn has_begun(self: &Arc<Lid>, reads: usize) {
        let lid = Arc::clone(self);
        let waiting = move || {
            let state = lid.state.lock().unwrap();
            let (state, waited) =
                lid.news.wait_timeout_while(state, LONG, |state| state.0 < reads).unwrap();
            assert!(!waited.timed_out(), "{} reads of {reads} have begun", state.0);
        };
        tokio::task::spawn_blocking(waiting).await.unwrap();
    }

    fn begun(&self) -> usize {
        self.state.lock().unwrap().0
    }
}

/// Opens the lid when a test is over, also by a failure: reads that wait would hold its runtime, and
/// nobody would hear what has failed.
struct Shut(Arc<Lid>);

impl std::ops::Deref for Shut {
    type Target = Arc<Lid>;

    fn deref(&self) -> &Arc<Lid> {
        &self.0
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct Lidded<T> {
    inner: T,
    lid: Arc<Lid>,
}

impl Journal for Lidded<MemoryJournal> {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.inner.append(record)
    }
    fn sync(&mut self) -> Result<Lsn, JournalError> {
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
        Arc::new(Lidded { inner: self.inner.past(), lid: Arc::clone(&self.lid) })
    }
}

impl Past for Lidded<Arc<dyn Past>> {
    fn durable(&self) -> Lsn {
        self.inner.durable()
    }
    fn read(&self, from: Lsn, visit: Reader<'_>) -> Result<(), JournalError> {
        self.lid.pass();
        self.inner.read(from, visit)
    }
}

/// A ledger of 20 blocks that keeps 4 of them in memory, and the lid on the others.
async fn aged() -> (Service, Shut) {
    let lid = Arc::new(Lid::default());
    let journal = MemoryJournal::open(&Disk::new()).unwrap();
    let journal = Box::new(Lidded { inner: journal, lid: Arc::clone(&lid) });
    let store = StoreConfig { recent_blocks: 4, ..StoreConfig::default() };
    let service = start_on(journal, Pace::ByHand, store);
    for _ in 0..20 {
        service.handle().produce_now().await.unwrap().unwrap();
    }
    (service, Shut(lid))
}

/// Asks for block `at` and for what the blocks from it on did, both from the journal.
fn ask(handle: &LedgerHandle, at: u64) -> [JoinHandle<Result<Height, Code>>; 2] {
    let (block, events) = (handle.clone(), handle.clone());
    let block = async move {
        let block = block.block(Height(at)).await?;
        Ok(block.map_or(Height(0), |block| block.header.header.height))
    };
    let events = async move {
        let events = events.events_from(Height(at), 1, Duration::ZERO).await?;
        Ok(events.first().map_or(Height(0), |block| block.header.header.height))
    };
    [tokio::spawn(block), tokio::spawn(events)]
}

/// All that a hub needs to keep its money, while no read of the past returns.
async fn the_ledger_goes_on(handle: &LedgerHandle, tx: Transaction) {
    let whole = async {
        let id = handle.submit(tx).await.unwrap();
        let made = handle.produce_now().await.unwrap().unwrap();
        let height = made.header.header.height;
        assert!(made.events.iter().any(|event| event.channel().is_some()), "it is in the block");
        let news = handle.events_from(height, 10, Duration::ZERO).await.unwrap();
        assert_eq!(news, [made], "{id}");
        assert_eq!(handle.info().await.unwrap().tip.unwrap().header.height, height);
    };
    tokio::time::timeout(LONG, whole).await.expect("it waits behind history");
}

#[tokio::test]
async fn a_flood_of_questions_about_the_past_delays_no_transaction() {
    let (service, lid) = aged().await;
    let handle = service.handle();
    let mut asked = vec![];
    for at in (1..=16).cycle().take(100) {
        asked.extend(ask(&handle, at).map(|answer| (at, answer)));
    }
    lid.has_begun(HISTORY_AT_ONCE).await;
    the_ledger_goes_on(&handle, World::new().open_tx(10)).await;
    assert_eq!(lid.begun(), HISTORY_AT_ONCE, "no more are read at once");
    lid.open();
    for (at, answer) in asked {
        assert_eq!(answer.await.unwrap(), Ok(Height(at)));
    }
    service.stop().await;
}

#[tokio::test]
async fn more_questions_about_the_past_than_may_wait_are_turned_away() {
    let (service, lid) = aged().await;
    let handle = service.handle();
    let (answers, mut answered) = tokio::sync::mpsc::unbounded_channel();
    let all = HISTORY_AT_ONCE + 2 * HISTORY_WAITING_MAX;
    for _ in 0..all {
        let (handle, answers) = (handle.clone(), answers.clone());
        tokio::spawn(async move { answers.send(handle.block(Height(2)).await.map(|_| ())) });
    }
    // All but those that are read and those that wait, and nobody else: the lid is shut.
    for _ in 0..HISTORY_WAITING_MAX {
        let answer = tokio::time::timeout(LONG, answered.recv()).await.expect("all wait");
        assert_eq!(answer, Some(Err(Code::Overloaded)));
    }
    lid.open();
    for _ in 0..all - HISTORY_WAITING_MAX {
        assert_eq!(answered.recv().await, Some(Ok(())));
    }
    service.stop().await;
}

/// Who asked and went away still holds the place until the read is over: it is the read that costs.
#[tokio::test]
async fn who_goes_away_frees_no_place_for_another_read() {
    let (service, lid) = aged().await;
    let handle = service.handle();
    let first = ask(&handle, 1);
    lid.has_begun(HISTORY_AT_ONCE).await;
    for answer in first {
        answer.abort();
        assert!(answer.await.unwrap_err().is_cancelled());
    }
    let again = ask(&handle, 2);
    the_ledger_goes_on(&handle, World::new().open_tx(10)).await;
    assert_eq!(lid.begun(), HISTORY_AT_ONCE);
    lid.open();
    for answer in again {
        assert_eq!(answer.await.unwrap(), Ok(Height(2)));
    }
    service.stop().await;
}
