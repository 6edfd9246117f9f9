//! The journal of the simulator: the same trait, and a disk that loses exactly what was not
//! synced.
//!
//! A [`Disk`] outlives the journals opened on it, as a disk outlives a process. Its owner decides
//! when it crashes and how much of the open group survives as a torn tail.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Journal, JournalError, Lsn, MAX_RECORD_BYTES, Past, Reader, Visitor, replay_past};

/// Where a simulated disk is to crash, once. Counts start at 1 and go on across reopening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// At the `nth` append to this disk, before it takes effect.
    Append {
        /// Which append.
        nth: u64,
    },
    /// At the `nth` sync that has something to write: the first `kept` records of its group become
    /// durable (all of them if fewer), and the caller is not told.
    Sync {
        /// Which sync.
        nth: u64,
        /// How many records survive.
        kept: usize,
    },
}

#[derive(Default)]
struct State {
    /// Durable records after `dropped`.
    records: Vec<Vec<u8>>,
    /// How many records were archived, and so are gone here.
    dropped: Lsn,
    group: Vec<Vec<u8>>,
    /// Which journal is the disk's: a crash makes the one before a stranger.
    generation: u64,
    open: bool,
    appends: u64,
    syncs: u64,
    fail_next_sync: bool,
    crash_at: Option<CrashPoint>,
}

impl State {
    fn durable(&self) -> Lsn {
        self.dropped.saturating_add(self.records.len() as u64)
    }

    fn crash(&mut self, kept: usize) {
        self.group.truncate(kept);
        self.records.append(&mut self.group);
        self.generation = self.generation.saturating_add(1);
        self.open = false;
    }
}

/// A simulated disk; clones are handles of the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Disk {
        Disk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock changes nothing about the records.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power off: what was not synced is gone, and the journal that was open fails from now on.
    pub fn crash(&self) {
        self.state().crash(0);
    }

    /// As [`Disk::crash`], but the first `kept` records of the open group survive.
    pub fn crash_keeping(&self, kept: usize) {
        self.state().crash(kept);
    }

    /// Power off, and an old copy of the disk takes its place: what it held when `to` was the last
    /// durable record.
    pub fn crash_and_restore(&self, to: Lsn) {
        let mut state = self.state();
        state.crash(0);
        let kept = usize::try_from(to.saturating_sub(state.dropped)).unwrap_or(usize::MAX);
        state.records.truncate(kept);
    }

    /// Crashes by itself when `point` is reached, once; replaces an earlier plan.
    pub fn crash_at(&self, point: CrashPoint) {
        self.state().crash_at = Some(point);
    }

    /// The next sync that has something to write fails, and none of its group is durable.
    pub fn fail_next_sync(&self) {
        self.state().fail_next_sync = true;
    }

    /// How many records were ever appended, lost ones included.
    #[must_use]
    pub fn appends(&self) -> u64 {
        self.state().appends
    }

    /// How many syncs had something to write, failed ones included.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Position of the last durable record, whether or not a journal is open.
    #[must_use]
    pub fn durable(&self) -> Lsn {
        self.state().durable()
    }
}

/// A journal on a simulated [`Disk`]; dropping it loses the open group.
pub struct MemoryJournal {
    disk: Disk,
    generation: u64,
    poisoned: bool,
    last: Lsn,
    durable: Lsn,
}

impl MemoryJournal {
    /// Opens the journal on `disk`, as a process that starts would.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while another journal on the same disk is open.
    pub fn open(disk: &Disk) -> Result<MemoryJournal, JournalError> {
        let mut state = disk.state();
        if state.open {
            return Err(JournalError::Locked { path: PathBuf::from("the simulated disk") });
        }
        state.open = true;
        state.generation = state.generation.saturating_add(1);
        let (generation, last) = (state.generation, state.durable());
        drop(state);
        Ok(MemoryJournal { disk: disk.clone(), generation, poisoned: false, last, durable: last })
    }

    fn reader(&self) -> MemoryPast {
        MemoryPast { disk: self.disk.clone(), generation: self.generation }
    }

    /// Runs `work` on the disk if it is still this journal's; `Fatal` poisons.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut State) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        let disk = self.disk.clone();
        let mut state = disk.state();
        let result =
            if state.generation == self.generation { work(&mut state) } else { Err(crashed()) };
        self.poisoned = matches!(result, Err(JournalError::Fatal { .. }));
        result
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalError> {
        self.with(|state| append(state, record)).inspect(|lsn| self.last = *lsn)
    }

    fn sync(&mut self) -> Result<Lsn, JournalError> {
        self.with(sync).inspect(|lsn| self.durable = *lsn)
    }

    fn last(&self) -> Lsn {
        self.last
    }

    fn durable(&self) -> Lsn {
        self.durable
    }

    fn replay(&self, from: Lsn, visit: Visitor<'_>) -> Result<(), JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned);
        }
        replay_past(&self.reader(), from, visit)
    }

    /// Drops the records: the harshest archive, one of no bytes.
    fn archive_before(&mut self, lsn: Lsn) -> Result<(), JournalError> {
        self.with(|state| {
            let target = lsn.min(state.durable());
            let count = usize::try_from(target.saturating_sub(state.dropped)).unwrap_or(0);
            state.records.drain(..count.min(state.records.len()));
            state.dropped = state.dropped.max(target);
            Ok(())
        })
    }

    fn past(&self) -> Arc<dyn Past> {
        Arc::new(self.reader())
    }
}

/// Reads the disk beside the journal that is open on it.
struct MemoryPast {
    disk: Disk,
    generation: u64,
}

impl MemoryPast {
    /// A durable record, while the disk is still this journal's.
    fn record(&self, lsn: Lsn) -> Result<Option<Vec<u8>>, JournalError> {
        let state = self.disk.state();
        if state.generation != self.generation {
            return Err(JournalError::Poisoned);
        }
        if lsn <= state.dropped {
            let oldest = state.dropped.saturating_add(1);
            return Err(JournalError::Gone { from: lsn.saturating_sub(1), oldest });
        }
        let at = lsn.saturating_sub(state.dropped).saturating_sub(1);
        Ok(usize::try_from(at).ok().and_then(|at| state.records.get(at)).cloned())
    }
}

impl Past for MemoryPast {
    fn durable(&self) -> Lsn {
        self.disk.durable()
    }

    fn read(&self, from: Lsn, visit: Reader<'_>) -> Result<(), JournalError> {
        let durable = self.durable();
        if from > durable {
            return Err(JournalError::Ahead { from, durable });
        }
        for lsn in from.saturating_add(1)..=durable {
            // The disk is not held meanwhile: the visitor may use it.
            let Some(record) = self.record(lsn)? else { break };
            let visited = visit(lsn, &record);
            if visited.map_err(|reason| JournalError::Visitor { lsn, reason })?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for MemoryJournal {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.crash(0);
        }
    }
}

fn append(state: &mut State, record: &[u8]) -> Result<Lsn, JournalError> {
    if record.is_empty() || record.len() > MAX_RECORD_BYTES {
        return Err(JournalError::RecordSize { bytes: record.len() });
    }
    state.appends = state.appends.saturating_add(1);
    if state.crash_at == Some(CrashPoint::Append { nth: state.appends }) {
        state.crash_at = None;
        state.crash(0);
        return Err(crashed());
    }
    state.group.push(record.to_vec());
    Ok(state.durable().saturating_add(state.group.len() as u64))
}

fn sync(state: &mut State) -> Result<Lsn, JournalError> {
    if state.group.is_empty() {
        return Ok(state.durable());
    }
    state.syncs = state.syncs.saturating_add(1);
    if let Some(CrashPoint::Sync { nth, kept }) = state.crash_at
        && nth == state.syncs
    {
        state.crash_at = None;
        state.crash(kept);
        return Err(crashed());
    }
    if std::mem::take(&mut state.fail_next_sync) {
        return Err(JournalError::Fatal { reason: "simulated: fdatasync failed".to_owned() });
    }
    let State { records, group, .. } = state;
    records.append(group);
    Ok(state.durable())
}

fn crashed() -> JournalError {
    JournalError::Fatal { reason: "simulated crash".to_owned() }
}
