//! Blocks: each wallet gets each of them, with the events that concern it.

use std::collections::HashMap;

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::types::Height;

use super::{Core, Entry, Input, Record};

impl Core {
    /// Gives a block to every wallet that has followed to the one before. A wallet that came later
    /// is behind the others, and gets the blocks that it lacks once more from the follower.
    pub(super) fn follow(&mut self, block: &BlockEvents) {
        let height = block.header.header.height;
        let mut events = self.sort_events(&block.events);
        let behind = |followed: Height| followed.after(1) == height;
        let count = u32::try_from(self.wallets.len()).unwrap_or(u32::MAX);
        for index in 0..count {
            let held = self.wallets.get(index as usize);
            if held.is_some_and(|held| behind(held.wallet.followed())) {
                let events = events.remove(&index).unwrap_or_default();
                let block = BlockEvents { header: block.header, events };
                self.handle(index, Input::Block(Box::new(block)));
                self.look(index);
            }
        }
        if self.newest.is_none_or(|newest| newest.header.height < height) {
            self.newest = Some(block.header);
        }
    }

    /// What concerns each wallet: its own channels, and openings with its key. With a thousand
    /// wallets, each of them would otherwise look through what concerns the others.
    fn sort_events(&mut self, events: &[LedgerEvent]) -> HashMap<u32, Vec<LedgerEvent>> {
        let mut sorted: HashMap<u32, Vec<LedgerEvent>> = HashMap::new();
        for event in events {
            let index = match event {
                LedgerEvent::Refused { tx, code } => {
                    if let Some(waiting) = self.refusals.remove(tx) {
                        let code = *code;
                        self.release(move || {
                            // Whoever asked may have gone.
                            let _ = waiting.send(code);
                        });
                    }
                    None
                }
                LedgerEvent::Opened { terms, .. } => {
                    let index = self.by_key.get(&terms.wallet).copied();
                    if let Some(index) = index {
                        // Later events of the same block may be about it already.
                        self.by_channel.insert(terms.channel_id(), index);
                    }
                    index
                }
                other => other.channel().and_then(|channel| self.by_channel.get(&channel).copied()),
            };
            if let Some(index) = index {
                sorted.entry(index).or_default().push(event.clone());
            }
        }
        sorted
    }

    /// Lets a wallet whose key is new begin with the newest block.
    pub(super) fn skip_past(&mut self, index: u32) {
        let (Some(newest), Some(held)) = (self.newest, self.wallets.get_mut(index as usize)) else {
            return;
        };
        let (height, time_ms) = (newest.header.height, newest.header.time_ms);
        let record = Record::Followed { height, time_ms };
        held.wallet.replay(&record);
        self.group.entries.push(Entry::Record { index, record });
    }

    /// Says from where blocks are needed: one above the wallet that is furthest back.
    pub(super) fn want_blocks(&self) {
        let lowest = self.wallets.iter().map(|held| held.wallet.followed()).min();
        if let Some(lowest) = lowest {
            let next = lowest.after(1);
            self.wanted.send_if_modified(|wanted| {
                let idle = *wanted == Height(0);
                let behind = self.newest.is_none_or(|newest| next <= newest.header.height);
                *wanted = next;
                idle || behind
            });
        }
    }
}
