//! A process of the simulated world: a pure core, its journal, and the actions that wait for the
//! journal to be durable. The one rule of every shell is kept here: no action before its record.

use std::collections::VecDeque;

use serde::Serialize;
use serde::de::DeserializeOwned;
use settlement::journal::{Disk, Journal, Lsn, MemoryJournal};

/// A core that can be brought back from its records.
pub(super) trait Core {
    /// One durable change.
    type Record: Serialize + DeserializeOwned;
    /// Something that leaves the process.
    type Action;

    /// Makes a record's change again.
    fn replay(&mut self, record: &Self::Record);
}

/// What a core handed out for one input.
pub(super) struct Made<C: Core> {
    /// To append.
    pub(super) records: Vec<C::Record>,
    /// To perform once the records are durable.
    pub(super) actions: Vec<C::Action>,
}

struct Running<C: Core> {
    core: C,
    journal: MemoryJournal,
    waiting: VecDeque<(Lsn, C::Action)>,
}

/// A process and its disk. The disk outlives the process.
pub(super) struct Node<C: Core> {
    disk: Disk,
    running: Option<Running<C>>,
    /// How often it has crashed.
    pub(super) crashes: u64,
}

impl<C: Core> Default for Node<C> {
    fn default() -> Self {
        Node { disk: Disk::new(), running: None, crashes: 0 }
    }
}

impl<C: Core> Node<C> {
    /// The disk, to plan crashes on it.
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The core, while the process runs.
    pub(super) fn core(&self) -> Option<&C> {
        self.running.as_ref().map(|running| &running.core)
    }

    /// Starts the process: `fresh` is brought to where the journal ends.
    ///
    /// # Panics
    /// When the journal can't be read: the world has a bug.
    pub(super) fn start(&mut self, mut fresh: C) {
        let journal = MemoryJournal::open(&self.disk).expect("the disk is free");
        let replayed = journal.replay(0, &mut |_, bytes| {
            let record = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
            fresh.replay(&record);
            Ok(())
        });
        replayed.expect("the journal can be read");
        self.running = Some(Running { core: fresh, journal, waiting: VecDeque::new() });
    }

    /// Kills the process; the first `kept` records that were not synced survive.
    pub(super) fn crash(&mut self, kept: usize) {
        if self.running.take().is_some() {
            self.disk.crash_keeping(kept);
            self.crashes += 1;
        }
    }

    /// Kills the process, if it runs, and puts an old copy of its disk in place.
    pub(super) fn restore(&mut self, to: Lsn) {
        self.running = None;
        self.disk.crash_and_restore(to);
    }

    /// Gives the core something to do. `None` when the process is down, or went down at a write.
    pub(super) fn work(&mut self, work: impl FnOnce(&mut C) -> Made<C>) -> Option<()> {
        let running = self.running.as_mut()?;
        let made = work(&mut running.core);
        for record in &made.records {
            let bytes = postcard::to_allocvec(record).expect("records can be encoded");
            if running.journal.append(&bytes).is_err() {
                return self.died();
            }
        }
        let lsn = running.journal.last();
        running.waiting.extend(made.actions.into_iter().map(|action| (lsn, action)));
        Some(())
    }

    fn died(&mut self) -> Option<()> {
        self.running = None;
        self.disk.crash();
        self.crashes += 1;
        None
    }

    /// One group commit, and the actions that it releases, in order.
    pub(super) fn commit(&mut self) -> Vec<C::Action> {
        let Some(running) = self.running.as_mut() else { return Vec::new() };
        let Ok(durable) = running.journal.sync() else {
            self.died();
            return Vec::new();
        };
        let covered = running.waiting.iter().take_while(|(lsn, _)| *lsn <= durable).count();
        running.waiting.drain(..covered).map(|(_, action)| action).collect()
    }

    /// Whether nothing waits for the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.waiting.is_empty())
    }
}
