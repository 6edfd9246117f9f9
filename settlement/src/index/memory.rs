//! The index of the simulator: rows in memory that survive a simulated crash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Change, Index, IndexError, RowVisitor, check_order, check_row};
use crate::journal::Lsn;

#[derive(Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    position: Lsn,
    before: Lsn,
    fail_next: bool,
}

/// Where a [`MemoryIndex`] keeps its checkpoint; clones are handles of the same one.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<State>>);

impl Shelf {
    /// An empty shelf.
    #[must_use]
    pub fn new() -> Shelf {
        Shelf::default()
    }

    /// The next checkpoint fails and changes nothing, as one that a crash cut off.
    pub fn fail_next_checkpoint(&self) {
        self.state().fail_next = true;
    }

    /// Loses everything, as when the directory was deleted or damaged.
    pub fn lose(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An index on a [`Shelf`]; its checkpoints are atomic.
pub struct MemoryIndex(Shelf);

impl MemoryIndex {
    /// Opens the index on `shelf`, with the last checkpoint taken there.
    #[must_use]
    pub fn open(shelf: &Shelf) -> MemoryIndex {
        MemoryIndex(shelf.clone())
    }
}

impl Index for MemoryIndex {
    fn position(&self) -> Lsn {
        self.0.state().position
    }

    fn archivable(&self) -> Lsn {
        self.0.state().before
    }

    fn scan(&self, prefix: &[u8], visit: RowVisitor<'_>) -> Result<(), IndexError> {
        // A copy, so that the visitor may use the index.
        let rows = self.0.state().rows.clone();
        rows.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)).try_for_each(
            |(key, value)| visit(key, value).map_err(|reason| IndexError::visitor(key, reason)),
        )
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.0.state().rows.get(key).cloned())
    }

    fn rest(&mut self) {}

    fn checkpoint(
        &mut self,
        position: Lsn,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), IndexError> {
        let changes: Vec<Change> = changes.collect();
        changes.iter().try_for_each(check_row)?;
        let mut state = self.0.state();
        check_order(state.position, position)?;
        if std::mem::take(&mut state.fail_next) {
            return Err(IndexError::Simulated);
        }
        for (key, value) in changes {
            match value {
                Some(value) => state.rows.insert(key, value),
                None => state.rows.remove(&key),
            };
        }
        state.before = state.position;
        state.position = position;
        Ok(())
    }
}
