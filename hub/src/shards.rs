//! The threads that own the shards.
//!
//! A thread takes everything that waits for its shard, lets the shard handle it, and appends all
//! records that came of it to the log, together with what may be released once they are durable.
//! Only then are messages to other shards delivered, so that what follows from them is recorded
//! after what led to them.

mod pace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use settlement::bugs::{Bug, planted};
use settlement::index::Change;
use settlement::types::ChannelId;
use tokio::sync::oneshot;

use crate::committer::{Log, Records};
use crate::peer::Peer;
use crate::router::{Router, ShardQueues, shard_of};
use crate::shard::{Action, Input, Output, Pass, Record, Redeemed, Shard};
use crate::sync::mpsc::{Receiver, SyncSender};
use crate::sync::thread::{Builder, JoinHandle, sleep};

/// Time that passes between two ticks of a shard.
const TICK: Duration = Duration::from_millis(200);
/// Inputs after which what came of them is appended to the log, so that the committer can start.
const INPUTS_PER_APPEND: usize = 512;
/// The same in bytes: a short message may be answered with a long one.
const BYTES_PER_APPEND: usize = 1 << 20;

/// Something for a shard's thread to do.
pub(crate) enum Job {
    /// Let the shard handle it.
    Input(Input),
    /// Something that a wallet said about a channel on this connection: dropped unless the channel
    /// is attached to it, so that nothing said on an old connection counts on a newer one.
    Said(u64, ChannelId, Input),
    /// What was said before this comes to so many operations, which the gate let in.
    Admitted(u64),
    /// The channel's wallet is signed in on this connection.
    Attach(ChannelId, Arc<Peer>),
    /// It is not on this one any more.
    Detach(ChannelId, u64),
    /// Everything before this has been handled.
    Barrier(oneshot::Sender<()>),
    /// Give the changed rows, then wait until all shards have.
    Checkpoint(Pause),
    /// End.
    Stop,
}

/// What a shard's thread does for a checkpoint: it hands its rows over and stands still until
/// `go_on` is dropped, so that all shards stand at the same record.
pub(crate) struct Pause {
    pub(crate) rows: SyncSender<Vec<Change>>,
    pub(crate) go_on: Receiver<()>,
}

/// What the outbox is given, in the order of the log.
#[expect(clippy::large_enum_variant, reason = "nearly all are actions; a box each would cost more")]
pub(crate) enum Release {
    /// From here on messages about the channel go to this connection.
    Attach(ChannelId, Arc<Peer>),
    /// From here on there is none, unless a newer one was attached.
    Detach(ChannelId, u64),
    /// Perform it.
    Do(Action),
    /// So many operations that the gate let in are answered by what came before.
    Finished(u64),
    /// What came before has redeemed so much of streams.
    Redeemed(Redeemed),
}

/// What all shard threads share.
pub(crate) struct Shared {
    pub(crate) queues: ShardQueues,
    pub(crate) log: Log<Release>,
    pub(crate) router: Arc<Router>,
    /// For each shard, locks and payments that are pending.
    pub(crate) pending: Box<[AtomicU64]>,
}

impl AsRef<Log<Release>> for Shared {
    fn as_ref(&self) -> &Log<Release> {
        &self.log
    }
}

impl Shared {
    /// Locks and payments that are pending in all shards.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.iter().map(|of_shard| of_shard.load(Relaxed)).sum()
    }
}

/// Starts the thread of the shard number `index`.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn start(
    index: usize,
    shard: Shard,
    shared: Arc<Shared>,
) -> std::io::Result<JoinHandle<()>> {
    let thread = Builder::new().name(format!("shard-{index}"));
    thread.spawn(move || ShardThread::new(index, shard, &shared).run())
}

struct ShardThread<'a> {
    index: usize,
    shard: Shard,
    shared: &'a Shared,
    output: Output,
    records: Records,
    releases: Vec<Release>,
    /// Operations that are done, and whose answers are among the releases.
    finished: u64,
    /// For other shards.
    abroad: Vec<Pass>,
    /// The connection of each channel whose wallet is signed in.
    attached: HashMap<ChannelId, u64>,
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    settlement::ledger::service::now_ms()
}

impl<'a> ShardThread<'a> {
    fn new(index: usize, shard: Shard, shared: &'a Shared) -> ShardThread<'a> {
        ShardThread {
            index,
            shard,
            shared,
            output: Output::default(),
            records: Records::default(),
            releases: Vec::new(),
            finished: 0,
            abroad: Vec::new(),
            attached: HashMap::new(),
        }
    }

    fn run(mut self) {
        let Some(queue) = self.shared.queues.get(self.index) else { return };
        let mut jobs = VecDeque::new();
        let mut next_tick = Instant::now();
        while queue.take_all(&mut jobs, next_tick) {
            let began = Instant::now();
            let mut handled = 0usize;
            while let Some(job) = jobs.pop_front() {
                if !self.job(job) {
                    return self.append();
                }
                handled = handled.saturating_add(1);
                let heavy = self.records.weight() >= BYTES_PER_APPEND;
                if heavy || handled.is_multiple_of(INPUTS_PER_APPEND) {
                    self.append();
                }
            }
            if Instant::now() >= next_tick {
                self.input(Input::Tick);
                next_tick = Instant::now().checked_add(TICK).unwrap_or(next_tick);
            }
            self.append();
            if let Some(left) = pace::stretch(handled, began.elapsed()) {
                sleep(left);
            }
        }
        self.append();
    }

    /// False when the thread is to end.
    fn job(&mut self, job: Job) -> bool {
        match job {
            Job::Input(input) => self.input(input),
            Job::Said(peer, channel, input) => {
                if self.attached.get(&channel) == Some(&peer) {
                    self.input(input);
                }
            }
            Job::Admitted(ops) => self.finished = self.finished.saturating_add(ops),
            Job::Attach(channel, peer) => {
                self.attached.insert(channel, peer.id);
                self.releases.push(Release::Attach(channel, peer));
                self.input(Input::Connected(channel));
            }
            Job::Detach(channel, peer) => {
                if self.attached.get(&channel) != Some(&peer) {
                    return true;
                }
                self.attached.remove(&channel);
                self.input(Input::Disconnected(channel));
                self.releases.push(Release::Detach(channel, peer));
            }
            Job::Barrier(done) => {
                self.append();
                // Whoever waited may have gone away.
                let _ = done.send(());
            }
            Job::Checkpoint(pause) => self.checkpoint(&pause),
            Job::Stop => return false,
        }
        true
    }

    fn input(&mut self, input: Input) {
        let now = now_ms();
        self.shard.handle(input, now, &*self.shared.router, &mut self.output);
        self.collect();
        if std::mem::take(&mut self.output.lost) {
            self.tell_lost();
        }
        // What the channels of this shard have to say to each other they say at once.
        let shards = self.shared.queues.len();
        let mut inside: VecDeque<Pass> = self.output.passes.drain(..).collect();
        while let Some(pass) = inside.pop_front() {
            if shard_of(&pass.channel(), shards) != self.index {
                self.abroad.push(pass);
                continue;
            }
            self.shard.handle(Input::Passed(pass), now, &*self.shared.router, &mut self.output);
            self.collect();
            inside.extend(self.output.passes.drain(..));
        }
    }

    /// What one shard was shown concerns all of them.
    fn tell_lost(&self) {
        tracing::error!(
            "a wallet shows what this hub has signed and does not know: the data directory is older \
             than what was signed with its key. What was forgotten is taken back from the wallets; \
             payments go on in some minutes"
        );
        for queue in self.shared.queues.iter() {
            queue.push(Job::Input(Input::Lost));
        }
    }

    fn collect(&mut self) {
        for record in self.output.records.drain(..) {
            self.records.push_with(|bytes| write_record(bytes, &record));
        }
        for action in self.output.actions.drain(..) {
            self.records.hold_back(action.bytes_about());
            self.releases.push(Release::Do(action));
        }
    }

    fn append(&mut self) {
        let redeemed = std::mem::take(&mut self.output.redeemed);
        if redeemed.redemptions > 0 {
            self.releases.push(Release::Redeemed(redeemed));
        }
        if self.finished > 0 {
            self.releases.push(Release::Finished(std::mem::take(&mut self.finished)));
        }
        if planted(Bug::PassedBeforeAppended) {
            self.pass_abroad();
        }
        if !self.records.is_empty() || !self.releases.is_empty() {
            self.shared.log.append(&mut self.records, &mut self.releases);
        }
        if let Some(pending) = self.shared.pending.get(self.index) {
            let now = self.shard.counters();
            let locks = now.locks_in.saturating_add(now.locks_out);
            pending.store(locks.saturating_add(now.queued as u64), Relaxed);
        }
        self.pass_abroad();
    }

    fn pass_abroad(&mut self) {
        for pass in self.abroad.drain(..) {
            let shard = shard_of(&pass.channel(), self.shared.queues.len());
            if let Some(queue) = self.shared.queues.get(shard) {
                queue.push(Job::Input(Input::Passed(pass)));
            }
        }
    }

    fn checkpoint(&mut self, pause: &Pause) {
        self.append();
        let rows = self.shard.take_dirty_rows();
        if pause.rows.send(rows).is_ok() {
            // Ends when the other end is dropped: all shards have handed their rows over.
            let _ = pause.go_on.recv();
        }
    }
}

/// Appends what came of a shard before its thread runs.
pub(crate) fn append_output(log: &Log<Release>, records: Vec<Record>, actions: Vec<Action>) {
    let mut bytes = Records::default();
    records.iter().for_each(|record| bytes.push_with(|bytes| write_record(bytes, record)));
    let mut releases = actions.into_iter().map(Release::Do).collect();
    log.append(&mut bytes, &mut releases);
}

/// Appends the bytes that the journal holds of a record.
pub(crate) fn write_record(bytes: &mut Vec<u8>, record: &Record) {
    settlement::encoding::append(bytes, record);
}

#[cfg(test)]
mod tests;
