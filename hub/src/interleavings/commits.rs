//! Shards that append, the committer, and an outbox that notices what comes too early.

use std::collections::{BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use settlement::journal::{Disk, Journal, JournalError, Lsn, MemoryJournal, Past, Visitor};
use shuttle::rand::Rng;

use super::{try_orders, try_orders_for};
use crate::committer::{Log, Records, start};
use crate::counters::Counters;
use crate::queue::Queue;
use crate::sync::Arc;
use crate::sync::mpsc::{Receiver, sync_channel};
use crate::sync::thread::{JoinHandle, spawn, yield_now};

const SHARDS: usize = 3;
const ROUNDS: usize = 3;
/// More than a group holds before shards wait.
const HEAVY_BYTES: usize = 17 << 20;

/// A journal on a disk that takes its time: at each call others may run before it and after it. One of its
/// syncs may fail, and after that it must not be used any more.
pub(crate) struct Slow {
    inner: MemoryJournal,
    disk: Disk,
    syncs: usize,
    fails_at: Option<usize>,
    failed: bool,
}

impl Slow {
    pub(crate) fn on(disk: &Disk, fails_at: Option<usize>) -> Slow {
        let inner = MemoryJournal::open(disk).unwrap();
        Slow { inner, disk: disk.clone(), syncs: 0, fails_at, failed: false }
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut MemoryJournal) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        assert!(!self.failed, "the journal is used after it has failed");
        yield_now();
        let answer = call(&mut self.inner);
        self.failed = answer.is_err();
        yield_now();
        answer
    }
}

impl Journal for Slow {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.call(|inner| inner.append(record))
    }
    fn sync(&mut self) -> Result<Lsn, JournalError> {
        self.syncs += 1;
        if self.fails_at == Some(self.syncs) {
            self.disk.fail_next_sync();
        }
        self.call(MemoryJournal::sync)
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
        self.call(|inner| inner.archive_before(lsn))
    }
    fn past(&self) -> std::sync::Arc<dyn Past> {
        self.inner.past()
    }
}

/// Whom a shard tells something, and the names of the records that it must not come before.
struct Release {
    shard: usize,
    round: usize,
    rests_on: BTreeSet<Vec<u8>>,
}

/// The names of the records that are durable, in their order.
fn durable(past: &dyn Past) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut visit = |_, name: &[u8]| {
        names.push(name.to_vec());
        Ok(ControlFlow::Continue(()))
    };
    past.read(0, &mut visit).unwrap();
    names
}

/// The records of one batch: none, one or two.
fn batch(shard: usize, round: usize) -> Vec<Vec<u8>> {
    let name = |n| format!("{shard}.{round}.{n}").into_bytes();
    (0..(shard + round) % 3).map(name).collect()
}

type Queues = Arc<Vec<Queue<BTreeSet<Vec<u8>>>>>;

/// A shard appends, tells the next one what it knows, and lets out answers that rest on all of it.
fn shard(me: usize, log: &Log<Release>, queues: &Queues) {
    let (mut known, mut heard) = (BTreeSet::new(), VecDeque::new());
    for round in 0..ROUNDS {
        queues[me].take_all(&mut heard, Instant::now());
        known.extend(heard.drain(..).flatten());
        let mut records = Records::default();
        for name in batch(me, round) {
            records.push_with(|bytes| bytes.extend_from_slice(&name));
            known.insert(name);
        }
        if (me, round) == (0, 1) {
            records.hold_back(HEAVY_BYTES);
        }
        let release = Release { shard: me, round, rests_on: known.clone() };
        log.append(&mut records, &mut vec![release]);
        queues[(me + 1) % SHARDS].push(known.clone());
    }
}

/// Hears all that is let out: nothing before what it rests on is durable.
fn outbox(commits: &Receiver<Vec<Release>>, past: &dyn Past) -> Vec<(usize, usize)> {
    let mut told = Vec::new();
    while let Ok(group) = commits.recv() {
        let durable: BTreeSet<Vec<u8>> = durable(past).into_iter().collect();
        for Release { shard, round, rests_on } in group {
            assert!(rests_on.is_subset(&durable), "released before it is durable");
            told.push((shard, round));
        }
    }
    told
}

/// Waits for what is appended, as whoever takes checkpoints does.
fn wait(log: &Log<Release>, past: &dyn Past) {
    for _ in 0..2 {
        let at = log.last();
        log.wait_durable(at);
        assert!(past.durable() >= at, "woken before it is durable");
        log.archive_before(0);
    }
}

struct Scene {
    log: Arc<Log<Release>>,
    past: std::sync::Arc<dyn Past>,
    committer: JoinHandle<Slow>,
    outbox: JoinHandle<Vec<(usize, usize)>>,
    others: Vec<JoinHandle<()>>,
}

impl Scene {
    fn play(fails_at: Option<usize>) -> Scene {
        let journal = Slow::on(&Disk::new(), fails_at);
        let (past, log) = (journal.past(), Arc::new(Log::new(0)));
        let (commits, committed) = sync_channel(1);
        let heard = past.clone();
        let outbox = spawn(move || outbox(&committed, &*heard));
        let committer = start(journal, log.clone(), commits, Arc::<Counters>::default()).unwrap();
        let queues: Queues = Arc::new((0..SHARDS).map(|_| Queue::new(8)).collect());
        let start = |me| {
            let (log, queues) = (log.clone(), queues.clone());
            spawn(move || shard(me, &log, &queues))
        };
        let mut others: Vec<_> = (0..SHARDS).map(start).collect();
        let (waiting, seen) = (log.clone(), past.clone());
        others.push(spawn(move || wait(&waiting, &*seen)));
        Scene { log, past, committer, outbox, others }
    }

    /// As a hub that stops.
    fn end(self) {
        self.others.into_iter().for_each(|thread| thread.join().unwrap());
        self.log.close();
        // Others can read it for as long as it is there.
        let journal = self.committer.join().unwrap();
        let told = self.outbox.join().unwrap();
        assert_eq!(told.len(), SHARDS * ROUNDS, "somebody was never told");
        let names = durable(&*self.past);
        for shard in 0..SHARDS {
            let rounds = told.iter().filter(|told| told.0 == shard).map(|told| told.1);
            assert!(rounds.eq(0..ROUNDS), "told out of order");
            let prefix = format!("{shard}.");
            let of_shard = names.iter().filter(|name| name.starts_with(prefix.as_bytes()));
            let all = (0..ROUNDS).flat_map(|round| batch(shard, round));
            assert!(of_shard.cloned().eq(all), "recorded out of order, twice or not at all");
        }
        assert_eq!(journal.durable(), names.len() as u64);
    }
}

#[test]
fn whoever_is_told_or_woken_is_so_once_it_is_durable_and_in_order() {
    try_orders(400, || Scene::play(None).end());
}

static FAILED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn nobody_is_told_or_woken_of_a_group_whose_sync_has_failed() {
    let scene = || {
        let fails_at = shuttle::rand::thread_rng().gen_range(1..=3);
        let scene = Scene::play(Some(fails_at));
        FAILED.fetch_add(1, Relaxed);
        // If it fails, somebody waits here for ever.
        scene.end();
        FAILED.fetch_sub(1, Relaxed);
    };
    let played = try_orders_for(400, scene, 1_000);
    let failed = FAILED.load(Relaxed);
    assert!(failed > played / 2 || played == 1, "a sync has failed in {failed} of {played}");
}

/// Nothing comes behind it that would wake who was not woken.
#[test]
fn whoever_waits_for_the_last_record_of_all_is_woken() {
    try_orders(400, || {
        let journal = Slow::on(&Disk::new(), None);
        let (past, log) = (journal.past(), Arc::new(Log::new(0)));
        let (commits, committed) = sync_channel(1);
        let committer = start(journal, log.clone(), commits, Arc::<Counters>::default()).unwrap();
        let wait = |_| {
            let (log, past) = (log.clone(), past.clone());
            spawn(move || {
                log.wait_durable(1);
                assert_eq!(past.durable(), 1, "woken before it is durable");
            })
        };
        let waiting: Vec<_> = (0..2).map(wait).collect();
        let mut records = Records::default();
        records.push_with(|bytes| bytes.push(1));
        log.append(&mut records, &mut vec!["told"]);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        log.close();
        let _journal = committer.join().unwrap();
        assert_eq!(committed.try_recv(), Ok(vec!["told"]));
    });
}

#[test]
fn a_log_that_is_closed_at_once_has_everything_made_durable_and_told() {
    try_orders(400, || {
        let journal = Slow::on(&Disk::new(), None);
        let log = Arc::new(Log::new(0));
        let (commits, committed) = sync_channel(1);
        let committer = start(journal, log.clone(), commits, Arc::<Counters>::default()).unwrap();
        let outbox = spawn(move || std::iter::from_fn(|| committed.recv().ok()).flatten().count());
        for _ in 0..2 {
            let mut records = Records::default();
            records.push_with(|bytes| bytes.push(1));
            log.append(&mut records, &mut vec![()]);
        }
        log.close();
        assert_eq!(committer.join().unwrap().durable(), 2);
        assert_eq!(outbox.join().unwrap(), 2, "somebody was never told");
    });
}
