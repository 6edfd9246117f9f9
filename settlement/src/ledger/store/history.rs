//! What earlier blocks did: the newest from memory, older ones from the journal.
//!
//! Read from any thread, and never in the one that makes blocks: an answer about old blocks takes
//! files and time, and whoever asks for one must not keep others' transactions waiting. All that
//! both sides share is the list of the newest blocks, which is held for as long as it takes to copy
//! pointers out of it.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Record, StoreConfig, StoreError, read_record};
use crate::block::{Block, BlockEvents, LedgerEvent};
use crate::journal::{Lsn, Past};
use crate::lock::Lock;
use crate::types::Height;

/// The most blocks in one answer about history.
pub const HISTORY_BLOCKS_MAX: usize = 1_024;

/// An answer about history ends with the block that takes it over this many bytes: 4 MiB.
pub const HISTORY_BYTES: usize = 4 << 20;

/// What earlier blocks did. See the module.
pub struct History {
    recent: Mutex<Recent>,
    past: Arc<dyn Past>,
}

impl History {
    pub(super) fn new(past: Arc<dyn Past>) -> History {
        History { recent: Mutex::default(), past }
    }

    /// Nothing panics while it is held, and each change is whole.
    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn starts_with(&self, recent: Recent) {
        *self.recent() = recent;
    }

    /// Takes note of a block that is durable.
    pub(super) fn remember(&self, block: Arc<BlockEvents>, bytes: usize, limits: &StoreConfig) {
        self.recent().push(block, bytes, limits);
    }

    /// What the blocks from this height on did: at most `max` and [`HISTORY_BLOCKS_MAX`] of them,
    /// and no more once [`HISTORY_BYTES`] are reached. Empty when there is no such block yet.
    ///
    /// # Errors
    /// [`StoreError`] when older blocks can't be read from the journal.
    pub fn events_from(
        &self,
        from: Height,
        max: usize,
    ) -> Result<Vec<Arc<BlockEvents>>, StoreError> {
        match self.recent_from(from, max) {
            Some(page) => Ok(page.blocks),
            None => self.old_events_from(from, max),
        }
    }

    /// As [`History::events_from`], if memory has the first of them.
    pub(in super::super) fn recent_from(&self, from: Height, max: usize) -> Option<Page> {
        let mut page = Page::new(max);
        let from = from.0.max(1);
        if from > self.past.durable() {
            return Some(page);
        }
        let recent = self.recent();
        let first = recent.blocks.front()?.height();
        let skipped = usize::try_from(from.checked_sub(first)?).unwrap_or(usize::MAX);
        for kept in recent.blocks.range(skipped.min(recent.blocks.len())..) {
            if !page.push(Arc::clone(&kept.block), kept.bytes) {
                break;
            }
        }
        Some(page)
    }

    /// As [`History::events_from`], from the journal.
    fn old_events_from(
        &self,
        from: Height,
        max: usize,
    ) -> Result<Vec<Arc<BlockEvents>>, StoreError> {
        let mut page = Page::new(max);
        self.read(from.0.max(1), &mut |record, bytes| {
            let block = BlockEvents { header: record.block.header, events: record.events };
            page.push(Arc::new(block), bytes)
        })?;
        Ok(page.blocks)
    }

    /// A whole block.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read from the journal.
    pub fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let mut found = None;
        if (1..=self.past.durable()).contains(&height.0) {
            self.read(height.0, &mut |record, _| {
                found = Some(record.block);
                false
            })?;
        }
        Ok(found)
    }

    /// Visits records from this one on, until the visitor has enough.
    fn read(
        &self,
        from: Lsn,
        visit: &mut dyn FnMut(Record, usize) -> bool,
    ) -> Result<(), StoreError> {
        Ok(self.past.read(from.saturating_sub(1), &mut |lsn, bytes| {
            let record = read_record(lsn, bytes).map_err(|error| error.to_string())?;
            let more = visit(record, bytes.len());
            Ok(if more { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?)
    }
}

/// The newest blocks, without gaps.
#[derive(Default)]
pub(super) struct Recent {
    blocks: VecDeque<Kept>,
    memory: usize,
}

struct Kept {
    block: Arc<BlockEvents>,
    /// What it takes in the journal.
    bytes: usize,
    /// What its events take in memory: several times as much.
    memory: usize,
}

impl Kept {
    fn height(&self) -> u64 {
        self.block.header.header.height.0
    }
}

impl Recent {
    /// Keeps another, and drops the oldest as long as there are too many.
    pub(super) fn push(&mut self, block: Arc<BlockEvents>, bytes: usize, limits: &StoreConfig) {
        let memory = memory_of(&block);
        self.memory = self.memory.saturating_add(memory);
        self.blocks.push_back(Kept { block, bytes, memory });
        while self.blocks.len() > limits.recent_blocks.max(1)
            || (self.memory > limits.recent_bytes && self.blocks.len() > 1)
        {
            let dropped = self.blocks.pop_front().map_or(0, |kept| kept.memory);
            self.memory = self.memory.saturating_sub(dropped);
        }
    }
}

/// What a block's events take in memory.
fn memory_of(block: &BlockEvents) -> usize {
    let locks = |event: &LedgerEvent| match event {
        LedgerEvent::ProofRecorded { locks, .. } => locks.capacity(),
        _ => 0,
    };
    let locks: usize = block.events.iter().map(locks).sum();
    let events = block.events.capacity().saturating_mul(size_of::<LedgerEvent>());
    let locks = locks.saturating_mul(size_of::<Lock>());
    size_of::<BlockEvents>().saturating_add(events).saturating_add(locks)
}

/// Blocks for one answer.
pub(in super::super) struct Page {
    pub(in super::super) blocks: Vec<Arc<BlockEvents>>,
    pub(super) max: usize,
    /// What they take in the journal.
    pub(in super::super) bytes: usize,
}

impl Page {
    pub(super) fn new(max: usize) -> Page {
        Page { blocks: Vec::new(), max: max.clamp(1, HISTORY_BLOCKS_MAX), bytes: 0 }
    }

    /// Whether there is room for another.
    pub(super) fn push(&mut self, block: Arc<BlockEvents>, bytes: usize) -> bool {
        self.blocks.push(block);
        self.bytes = self.bytes.saturating_add(bytes);
        self.blocks.len() < self.max && self.bytes < HISTORY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Header, SignedHeader};
    use crate::types::{Amount, ChannelId, Hash, LedgerId, Signature};

    fn block(height: u64, events: usize) -> Arc<BlockEvents> {
        let header = Header {
            ledger: LedgerId([0; 32]),
            height: Height(height),
            parent: Hash::ZERO,
            time_ms: 0,
            tx_root: Hash::ZERO,
            tx_count: 0,
            writes: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        let header = SignedHeader { header, signature: Signature([0; 64]) };
        let channel = ChannelId([1; 32]);
        let event = LedgerEvent::Anchored { channel, hub_transferred: Amount(1) };
        Arc::new(BlockEvents { header, events: vec![event; events] })
    }

    /// An event of a few bytes takes as much memory as the largest.
    #[test]
    fn what_is_kept_is_bounded_by_what_it_takes_in_memory() {
        let limits = StoreConfig { recent_bytes: 1 << 20, ..StoreConfig::default() };
        let mut recent = Recent::default();
        for height in 1..=1_000 {
            recent.push(block(height, 100), 4_000, &limits);
            let events: usize = recent.blocks.iter().map(|kept| kept.block.events.len()).sum();
            assert!(events * size_of::<LedgerEvent>() <= limits.recent_bytes, "{events} events");
        }
        assert!(recent.blocks.len() > 10, "{} blocks", recent.blocks.len());
        recent.push(block(1_001, 100_000), 4_000_000, &limits);
        assert_eq!(recent.blocks.len(), 1, "the newest is always there");
    }
}
