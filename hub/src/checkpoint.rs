//! Checkpoints of the index, off the commit thread.
//!
//! All shards stop at the same record for as long as it takes to hand over the rows that changed;
//! then they go on, and the rows are written while new records are made. Once two checkpoints cover
//! a segment of the journal, it is archived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use settlement::bugs::{Bug, planted};
use settlement::index::{Index, IndexError};
use settlement::journal::Lsn;

use crate::counters::{Counters, add};
use crate::shards::{Job, Pause, Shared};
use crate::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use crate::sync::thread::{Builder, JoinHandle};

/// How often it is looked whether a checkpoint is due, and whether the archive is to shrink: by up to
/// 64 MiB each time, which is 256 MiB a second.
const LOOK: Duration = Duration::from_millis(250);

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// So many records after the one before.
    pub(crate) records: u64,
}

/// The thread that takes checkpoints.
pub(crate) struct Checkpointer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

struct Taker<I> {
    index: I,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    /// Rows that a failed checkpoint could not write: they go with the next one.
    rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    taken: Lsn,
}

impl Checkpointer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start<I: Index + 'static>(
        index: I,
        due: Due,
        shared: Arc<Shared>,
        counters: Arc<Counters>,
    ) -> std::io::Result<Checkpointer> {
        let (stop, stopped) = channel();
        let taken = index.position();
        let taker = Taker { index, shared, counters, rows: BTreeMap::new(), taken };
        let thread = Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn(move || taker.run(due, &stopped))?;
        Ok(Checkpointer { stop, thread })
    }

    /// Takes a last checkpoint and ends. The shards must still run.
    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint's thread did not end cleanly");
        }
    }
}

impl<I: Index> Taker<I> {
    fn run(mut self, due: Due, stopped: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
            if self.shared.log.last().saturating_sub(self.taken) >= due.records {
                self.take();
            }
            self.archive();
        }
        self.take();
        self.archive();
    }

    /// Also between checkpoints: the archive shrinks by a part at a time.
    fn archive(&self) {
        self.shared.log.archive_before(self.index.archivable());
    }

    /// A failure costs only time at the next start, so it is logged.
    fn take(&mut self) {
        let at = self.gather();
        if at <= self.index.position() {
            return;
        }
        // A row must never be ahead of the journal.
        if !planted(Bug::CheckpointUnwaited) {
            self.shared.log.wait_durable(at);
        }
        self.taken = at;
        match self.write(at) {
            Ok(()) => add(&self.counters.checkpoints, 1),
            Err(error) => {
                tracing::warn!(%error, "no checkpoint was taken; the journal has everything");
            }
        }
    }

    fn write(&mut self, at: Lsn) -> Result<(), IndexError> {
        let mut rows = self.rows.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.index.checkpoint(at, &mut rows)?;
        self.rows.clear();
        Ok(())
    }

    /// Stops all shards at one record, takes their changed rows, and lets them go on.
    fn gather(&mut self) -> Lsn {
        let queues = &self.shared.queues;
        let (rows, arriving) = sync_channel(queues.len());
        let mut held = Vec::new();
        for queue in queues.iter() {
            let (release, go_on) = channel();
            held.push(release);
            queue.push(Job::Checkpoint(Pause { rows: rows.clone(), go_on }));
        }
        drop(rows);
        for _ in queues.iter() {
            let Ok(changed) = arriving.recv() else { break };
            self.rows.extend(changed);
        }
        if planted(Bug::CheckpointMoves) {
            held.clear();
        }
        // All stand still, so this is the last record of what the rows say.
        let at = self.shared.log.last();
        drop(held);
        at
    }
}
