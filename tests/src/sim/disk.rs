//! A disk with files in it, for the journal that runs in production: it holds what was written and
//! what of it is really there, and it fails.
//!
//! What a file's owner wrote is in a cache at first. A sync moves it to the disk; until then a power
//! cut takes any of it away, sector by sector, or leaves zeros where it was to be. A process that is
//! killed takes nothing with it. A sync that fails has moved nothing, and what it was to move never
//! will be unless it is written again, though reading shows it: so does Linux. Names are kept in the
//! order in which they were made, up to any point of it.
//!
//! Every operation has a number, and at any of them the process may die.

mod files;
mod raw;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the disk writes at once, or not at all.
const SECTOR: usize = 512;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is killed; the machine goes on.
    Kill,
    /// The power goes.
    PowerCut,
}

/// How a process ended, and what that did to its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(super) end: End,
    /// Something that was not synced is gone.
    pub(super) lost: bool,
    /// A part of something that was not synced is there.
    pub(super) torn: bool,
}

/// What is wrong with a disk for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The next write fails.
    WriteError,
    /// The next sync fails.
    SyncError,
    /// So many more bytes fit. A write that does not fit is cut short, one for which there is nothing
    /// left is refused.
    Room(usize),
}

#[derive(Clone, Default)]
struct Node {
    /// As it reads.
    cached: Vec<u8>,
    /// As it is on the disk.
    stored: Vec<u8>,
    /// What a sync would move.
    dirty: Vec<Range<usize>>,
    /// Cut since the last sync.
    cut: bool,
}

#[derive(Clone)]
enum Naming {
    Made(PathBuf, usize),
    Gone(PathBuf),
    Moved(PathBuf, PathBuf),
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    stored_names: BTreeMap<PathBuf, usize>,
    /// Not on the disk yet, in order.
    namings: Vec<Naming>,
    dice: Option<ChaCha8Rng>,
    locked: bool,
    /// How many operations there were.
    operations: u64,
    /// The process ends at the operation with this number.
    end_at: Option<(u64, End)>,
    /// It has: nothing that it does has an effect.
    ended: Option<End>,
    trouble: Option<Trouble>,
    /// Troubles that were met.
    met: Vec<Trouble>,
    /// Which byte of which file was changed, and into what it was.
    rotten: Option<(PathBuf, usize, u8)>,
    salt: u64,
}

/// See the module. Clones are handles of the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty disk, whose damage these dice decide.
    pub(crate) fn new(seed: u64) -> SimDisk {
        let disk = SimDisk::default();
        disk.state().dice = Some(ChaCha8Rng::seed_from_u64(seed));
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations there were.
    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The process ends at this operation.
    pub(super) fn end_at(&self, operation: u64, end: End) {
        self.state().end_at = Some((operation, end));
    }

    /// From now on, until it is met or over.
    pub(super) fn trouble(&self, trouble: Trouble) {
        self.state().trouble = Some(trouble);
    }

    /// There is room again, and nothing fails.
    pub(super) fn mend(&self) {
        let mut state = self.state();
        (state.trouble, state.end_at) = (None, None);
    }

    /// What was met since this was asked last.
    pub(super) fn met(&self) -> Vec<Trouble> {
        std::mem::take(&mut self.state().met)
    }

    /// The process is gone: by a plan at one of its operations, else like this. What is left is for
    /// the next one to find. How it ended.
    pub(crate) fn process_ends(&self, end: End) -> Ending {
        let mut state = self.state();
        let end = state.ended.take().unwrap_or(end);
        (state.end_at, state.locked) = (None, false);
        let (mut lost, mut torn) = (false, false);
        if end == End::PowerCut {
            (lost, torn) = state.cut_power();
        }
        Ending { end, lost, torn }
    }

    /// Whether a process that fails now does so because of it.
    pub(super) fn is_at_fault(&self) -> bool {
        let state = self.state();
        state.ended.is_some() || state.trouble.is_some() || !state.met.is_empty()
    }

    /// Changes a bit of a file that is on the disk for long: one of a segment before the newest. Its
    /// name, if there is one.
    pub(super) fn rot(&self, choice: u64) -> Option<PathBuf> {
        let mut state = self.state();
        let mut segments: Vec<PathBuf> = state.names.keys().cloned().collect();
        segments.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        segments.pop()?;
        if segments.is_empty() || state.rotten.is_some() {
            return None;
        }
        let path = segments.get(usize::try_from(choice).unwrap_or(0) % segments.len())?.clone();
        let node = *state.names.get(&path)?;
        let length = state.nodes[node].stored.len();
        let at = state.pick(length);
        let bit = 1u8 << state.pick(8);
        let node = &mut state.nodes[node];
        let was = *node.stored.get(at)?;
        (node.stored[at], node.cached[at]) = (was ^ bit, was ^ bit);
        state.rotten = Some((path.clone(), at, was));
        Some(path)
    }

    /// Which byte is not what was written, and in which file.
    pub(super) fn rotten(&self) -> Option<(PathBuf, u64)> {
        let state = self.state();
        state.rotten.as_ref().map(|(path, at, _)| (path.clone(), *at as u64))
    }

    /// The file is restored from a copy.
    pub(super) fn restore_rotten(&self) {
        let mut state = self.state();
        let Some((path, at, was)) = state.rotten.take() else { return };
        let found = state.names.iter().find(|(name, _)| name.file_name() == path.file_name());
        if let Some(node) = found.map(|(_, node)| *node) {
            let node = &mut state.nodes[node];
            (node.stored[at], node.cached[at]) = (was, was);
        }
    }
}

impl State {
    fn pick(&mut self, below: usize) -> usize {
        let dice = self.dice.get_or_insert_with(|| ChaCha8Rng::seed_from_u64(0));
        dice.random_range(0..below.max(1))
    }

    /// Counts an operation, and ends the process at it.
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some((at, end)) = self.end_at
            && self.operations >= at
        {
            (self.ended, self.end_at) = (Some(end), None);
        }
        if self.ended.is_some() { Err(ended()) } else { Ok(()) }
    }

    fn node(&mut self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn naming(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.namings.push(naming);
    }

    /// Whether something was lost, and whether something was torn.
    fn cut_power(&mut self) -> (bool, bool) {
        let (mut lost, mut torn) = (false, false);
        let kept = self.pick(self.namings.len() + 1);
        for naming in std::mem::take(&mut self.namings).into_iter().take(kept) {
            naming.apply(&mut self.stored_names);
        }
        self.names = self.stored_names.clone();
        for at in 0..self.nodes.len() {
            if self.nodes[at].is_clean() {
                continue;
            }
            let mut node = std::mem::take(&mut self.nodes[at]);
            let (stored, cached) = (node.stored.clone(), node.cached.clone());
            self.tear(&mut node);
            lost |= node.stored != cached && node.stored == stored;
            torn |= node.stored != cached && node.stored != stored;
            self.nodes[at] = node;
        }
        (lost, torn)
    }

    /// Of what was not synced any sector may be there, or be zeros, and the file may end anywhere.
    fn tear(&mut self, node: &mut Node) {
        let (old, new) = (node.stored.len(), node.cached.len());
        if !node.dirty.is_empty() {
            let kept = self.pick(4);
            let whole = kept == 0;
            let end = match kept {
                0 => new,
                1 => old,
                _ => old.min(new) + self.pick(new.abs_diff(old) + 1),
            };
            node.stored.resize(end.max(old), 0);
            for range in std::mem::take(&mut node.dirty) {
                let mut at = range.start;
                while at < range.end.min(end) {
                    let next = (at - at % SECTOR + SECTOR).min(range.end).min(end);
                    if whole || self.pick(4) > 0 {
                        node.stored[at..next].copy_from_slice(&node.cached[at..next]);
                    }
                    at = next;
                }
            }
        }
        if std::mem::take(&mut node.cut) && self.pick(2) == 0 {
            node.stored.truncate(new);
        }
        node.cached = node.stored.clone();
    }
}

impl Node {
    /// A sync that failed leaves a file clean of which not everything is on the disk.
    fn is_clean(&self) -> bool {
        self.dirty.is_empty() && !self.cut && self.cached == self.stored
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.push(offset..end);
    }

    fn sync(&mut self) {
        if std::mem::take(&mut self.cut) {
            self.stored.truncate(self.cached.len());
        }
        for range in std::mem::take(&mut self.dirty) {
            let range = range.start..range.end.min(self.cached.len());
            if self.stored.len() < range.end {
                self.stored.resize(range.end, 0);
            }
            if let Some(bytes) = self.cached.get(range.clone()) {
                self.stored[range].copy_from_slice(bytes);
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Naming::Made(path, node) => drop(names.insert(path.clone(), *node)),
            Naming::Gone(path) => drop(names.remove(path)),
            Naming::Moved(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(dir);
        match self {
            Naming::Made(path, _) | Naming::Gone(path) => inside(path),
            Naming::Moved(from, to) => inside(from) || inside(to),
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the simulated process has ended")
}

#[cfg(test)]
mod tests;
