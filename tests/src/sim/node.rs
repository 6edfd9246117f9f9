//! A process of the simulated world: a pure core, its journal in files, and the actions that wait
//! for the journal to be durable. The one rule of every shell is kept here: no action before its
//! record.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use settlement::journal::{FileJournal, Journal, JournalConfig, JournalError, Kind, Lsn};

use super::disk::{End, Ending, SimDisk};

/// Small ones, so that a short life has many.
const LAYOUT: JournalConfig =
    JournalConfig { segment_bytes: 8 << 10, ..JournalConfig::new(Kind::new("sim")) };

/// Where the journal is on its disk.
const DIR: &str = "journal";

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

/// What came of starting a process.
#[derive(Debug)]
pub(super) enum Started {
    /// It runs.
    Up,
    /// It ended at an operation of its disk.
    Ended,
    /// It refuses what it found.
    Refused(JournalError),
    /// It runs on less than it said was durable.
    Forgetful {
        /// The last record that it had.
        had: Lsn,
        /// The last record that it has.
        has: Lsn,
    },
}

struct Running<C: Core> {
    core: C,
    journal: FileJournal,
    waiting: VecDeque<(Lsn, C::Action)>,
}

/// A process and its disk. The disk outlives the process.
pub(super) struct Node<C: Core> {
    disk: SimDisk,
    running: Option<Running<C>>,
    /// The last record that it knew to be durable.
    durable: Lsn,
    /// How it ended since this was asked last.
    endings: Vec<Ending>,
    /// It acts before its disk has what it acts on: what the simulator must find.
    careless: bool,
}

impl<C: Core> Node<C> {
    /// Not started yet, on an empty disk.
    pub(super) fn new(seed: u64) -> Node<C> {
        Node {
            disk: SimDisk::new(seed),
            running: None,
            durable: 0,
            endings: Vec::new(),
            careless: false,
        }
    }

    /// The disk, to plan faults on it.
    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The core, while the process runs.
    pub(super) fn core(&self) -> Option<&C> {
        self.running.as_ref().map(|running| &running.core)
    }

    /// Its durable records.
    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let journal = self.running.as_ref().map(|running| &running.journal);
        journal.into_iter().for_each(|journal| {
            let visited = journal.replay(0, &mut |_, bytes| {
                records.push(bytes.to_vec());
                Ok(())
            });
            visited.expect("its journal can be read");
        });
        records
    }

    /// Position of the last record that the process knew to be durable.
    pub(super) fn durable(&self) -> Lsn {
        self.durable
    }

    /// How the process ended since this was asked last.
    pub(super) fn endings(&mut self) -> Vec<Ending> {
        std::mem::take(&mut self.endings)
    }

    /// Starts the process: `fresh` is brought to where the journal ends.
    pub(super) fn start(&mut self, mut fresh: C) -> Started {
        match open(&self.disk, &mut fresh) {
            Ok(journal) => {
                let (had, has) = (self.durable, journal.durable());
                self.durable = has;
                self.running = Some(Running { core: fresh, journal, waiting: VecDeque::new() });
                if has < had { Started::Forgetful { had, has } } else { Started::Up }
            }
            Err(error) => {
                let planned = self.disk.is_at_fault();
                self.end(End::Kill);
                if planned { Started::Ended } else { Started::Refused(error) }
            }
        }
    }

    /// Ends the process, if it runs or was starting.
    pub(super) fn end(&mut self, end: End) {
        self.running = None;
        self.endings.push(self.disk.process_ends(end));
    }

    /// Kills the process, if it runs, and puts an old copy of its disk in place: what it held when
    /// `to` was the last record. `fresh` is brought to where the disk was that is replaced, and given
    /// back, if the copy could be made.
    pub(super) fn restore(&mut self, to: Lsn, seed: u64, mut fresh: C) -> Result<C, JournalError> {
        self.running = None;
        self.disk.process_ends(End::Kill);
        self.disk.mend();
        self.disk.restore_rotten();
        let copy = SimDisk::new(seed);
        let from = open(&self.disk, &mut fresh)?;
        let mut into = FileJournal::open_on(Arc::new(copy.clone()), DIR, LAYOUT)?;
        from.replay(0, &mut |lsn, record| {
            if lsn > to {
                return Ok(());
            }
            into.append(record).and_then(|_| into.sync()).map(drop).map_err(|e| e.to_string())
        })?;
        copy.process_ends(End::Kill);
        (self.disk, self.durable) = (copy, to);
        Ok(fresh)
    }

    /// Moves cold segments into the archive. `None` when there is no process, or it went down.
    pub(super) fn archive(&mut self) -> Option<()> {
        let running = self.running.as_mut()?;
        let durable = running.journal.durable();
        if running.journal.archive_before(durable).is_err() {
            return self.died();
        }
        Some(())
    }

    /// Gives the core something to do. `None` when the process is down.
    pub(super) fn work(&mut self, work: impl FnOnce(&mut C) -> Made<C>) -> Option<()> {
        let running = self.running.as_mut()?;
        let made = work(&mut running.core);
        for record in &made.records {
            let bytes = postcard::to_allocvec(record).expect("records can be encoded");
            running.journal.append(&bytes).expect("a record has room in its group");
        }
        let lsn = running.journal.last();
        running.waiting.extend(made.actions.into_iter().map(|action| (lsn, action)));
        Some(())
    }

    fn died(&mut self) -> Option<()> {
        self.end(End::Kill);
        None
    }

    /// From now on it does not wait for its disk before it acts.
    pub(super) fn be_careless(&mut self) {
        self.careless = true;
    }

    /// One group commit, and the actions that it releases, in order.
    pub(super) fn commit(&mut self) -> Vec<C::Action> {
        let Some(running) = self.running.as_mut() else { return Vec::new() };
        if self.careless && !running.waiting.is_empty() {
            return running.waiting.drain(..).map(|(_, action)| action).collect();
        }
        let Ok(durable) = running.journal.sync() else {
            self.died();
            return Vec::new();
        };
        self.durable = durable;
        let covered = running.waiting.iter().take_while(|(lsn, _)| *lsn <= durable).count();
        running.waiting.drain(..covered).map(|(_, action)| action).collect()
    }

    /// Of what waits for the disk, this is not done any more.
    pub(super) fn forget(&mut self, unwanted: impl Fn(&C::Action) -> bool) {
        if let Some(running) = self.running.as_mut() {
            running.waiting.retain(|(_, action)| !unwanted(action));
        }
    }

    /// Whether nothing waits for the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.running.as_ref().is_none_or(|running| running.waiting.is_empty())
    }
}

fn open<C: Core>(disk: &SimDisk, fresh: &mut C) -> Result<FileJournal, JournalError> {
    let journal = FileJournal::open_on(Arc::new(disk.clone()), DIR, LAYOUT)?;
    journal.replay(0, &mut |_, bytes| {
        let record = postcard::from_bytes(bytes).map_err(|error| error.to_string())?;
        fresh.replay(&record);
        Ok(())
    })?;
    Ok(journal)
}
