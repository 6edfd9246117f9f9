//! Between the core and the committer: the group that fills while the one before is synced.
//!
//! No timer drives it. An idle client commits each input by itself, at the lowest latency; under
//! load everything that came during one fsync goes with the next.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use settlement::index::Change;
use settlement::wire::Message;

use super::store::Entry;
use crate::wallet::Action;

/// The most records or effects of a group before the core waits for the disk.
const GROUP_MAX: usize = 32_768;

/// What is done once the records of its group, and all earlier ones, are durable.
pub(crate) enum Effect {
    /// An action of a wallet's, by its index.
    Perform(u32, Action),
    /// A message on a connection, that belongs to no wallet.
    Say(usize, Message),
    /// From here on wallets speak in this session of a connection.
    Met { connection: usize, session: u64 },
    /// Answers somebody who waits.
    Release(Release),
}

/// Answers somebody who waits.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// What becomes durable together, and what follows from it.
#[derive(Default)]
pub(crate) struct Group {
    /// To append to the journal, in order.
    pub(crate) entries: Vec<Entry>,
    /// To do afterwards, in order.
    pub(crate) effects: Vec<Effect>,
    /// The changed rows of everything up to and with this group's records: a checkpoint.
    pub(crate) checkpoint: Option<Vec<Change>>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.effects.is_empty() && self.checkpoint.is_none()
    }

    fn is_full(&self) -> bool {
        // Rows are those of one position: nothing may be added behind them.
        self.checkpoint.is_some()
            || self.entries.len() >= GROUP_MAX
            || self.effects.len() >= GROUP_MAX
    }

    fn append(&mut self, mut more: Group) {
        self.entries.append(&mut more.entries);
        self.effects.append(&mut more.effects);
        self.checkpoint = more.checkpoint;
    }
}

#[derive(Default)]
struct State {
    group: Group,
    closed: bool,
}

/// Where groups go through.
#[derive(Default)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the open group; waits while that is full.
    pub(crate) fn put(&self, group: Group) {
        if group.is_empty() {
            return;
        }
        let mut state = self.lock();
        while state.group.is_full() && !state.closed {
            state = self.wait(state);
        }
        state.group.append(group);
        drop(state);
        self.changed.notify_all();
    }

    /// Takes the open group, waiting until there is something in it; `None` when it is closed and
    /// nothing is left.
    pub(crate) fn take(&self) -> Option<Group> {
        let mut state = self.lock();
        while state.group.is_empty() {
            if state.closed {
                return None;
            }
            state = self.wait(state);
        }
        let group = std::mem::take(&mut state.group);
        drop(state);
        self.changed.notify_all();
        Some(group)
    }

    /// Nothing more is put in; what is in it is still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}
