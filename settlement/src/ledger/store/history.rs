//! What earlier blocks did: the newest from memory, older ones from the journal.

use std::sync::Arc;

use super::{Recent, Record, Store, StoreError, read_record};
use crate::block::{Block, BlockEvents};
use crate::journal::{JournalError, Lsn};
use crate::types::Height;

/// The most blocks in one answer about history.
pub const HISTORY_BLOCKS_MAX: usize = 1_024;

/// An answer about history ends with the block that takes it over this many bytes: 4 MiB.
pub const HISTORY_BYTES: usize = 4 << 20;

impl Store {
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
        let mut page = Page::new(max);
        let from = from.0.max(1);
        if from > self.journal.durable() {
            return Ok(Vec::new());
        }
        let height = |recent: &Recent| recent.block.header.header.height.0;
        let oldest = self.recent.front().map(height);
        if oldest.is_none_or(|oldest| from < oldest) {
            self.read(from, &mut |record, bytes| {
                let block = BlockEvents { header: record.block.header, events: record.events };
                page.push(Arc::new(block), bytes)
            })?;
            return Ok(page.blocks);
        }
        for recent in self.recent.iter().skip_while(|recent| height(recent) < from) {
            if !page.push(Arc::clone(&recent.block), recent.bytes) {
                break;
            }
        }
        Ok(page.blocks)
    }

    /// A whole block.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read from the journal.
    pub fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        let mut found = None;
        if (1..=self.journal.durable()).contains(&height.0) {
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
        let mut enough = false;
        let visited = self.journal.replay(from.saturating_sub(1), &mut |lsn, bytes| {
            let record = read_record(lsn, bytes).map_err(|error| error.to_string())?;
            if visit(record, bytes.len()) {
                return Ok(());
            }
            enough = true;
            // The only way to end a replay early; not an error.
            Err(String::new())
        });
        match visited {
            Err(JournalError::Visitor { .. }) if enough => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Blocks for one answer.
pub(super) struct Page {
    blocks: Vec<Arc<BlockEvents>>,
    pub(super) max: usize,
    bytes: usize,
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
