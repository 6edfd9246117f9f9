//! Following the ledger.

use std::collections::BTreeSet;

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::channel::{Channel, Phase};
use settlement::types::{ChannelId, Height};

use super::slot::Slot;
use super::state::Cx;
use super::{Directory, ME, Record, Shard};

impl Shard {
    /// The next block. One that was followed before, or that is not the next, changes nothing:
    /// without its blocks a shard's view goes stale, and it takes no more risk.
    pub(super) fn on_block(
        &mut self,
        block: &BlockEvents,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let header = &block.header.header;
        if header.height != self.followed().0.after(1) {
            return;
        }
        if self.is_shown_lost(block) {
            self.on_lost(cx);
        }
        let mut touched = BTreeSet::new();
        for event in &block.events {
            touched.extend(self.follow(event, header.height, cx));
        }
        let (height, time_ms) = (header.height, header.time_ms);
        self.tip = Some(block.header);
        self.set_followed(self.config.slice, height, time_ms);
        cx.out.records.push(Record::Followed { height, time_ms, slice: self.config.slice });
        touched.extend(self.take_woken(height));
        for id in touched {
            self.look_at(id, cx);
        }
        self.let_go(cx);
        self.leap_all(directory, cx);
    }

    /// Something that the block at this height did, and the channel of this shard's that it was done to.
    fn follow(&mut self, event: &LedgerEvent, block: Height, cx: &mut Cx<'_>) -> Option<ChannelId> {
        let id = event.channel().filter(|id| self.config.slice.holds(id))?;
        if let LedgerEvent::Opened { terms, deposit } = event {
            if !self.config.serves(&self.ledger, terms) || self.slots.contains(&id) {
                return None;
            }
            let record = Record::Opened { terms: *terms, deposit: *deposit };
            self.open(&record);
            cx.out.records.push(record);
            self.lose_new(id, cx);
            return Some(id);
        }
        let slot = self.slots.get_mut(&id)?;
        // A closed channel stays closed: after a crash within a block, what led there comes again.
        if slot.is_closed() {
            return None;
        }
        if let LedgerEvent::Deposited { role: ME, .. } = event {
            slot.depositing = None;
        }
        let known = slot.channel.has_signed_more();
        for step in slot.channel.follow(event, block) {
            self.commit(id, step, cx);
        }
        self.note_closed(id);
        // A proof of this hub's that it does not know.
        if !known && self.channel(&id).is_some_and(Channel::has_signed_more) {
            cx.out.lost = true;
            self.on_lost(cx);
        }
        // On a lock of the hub's that it may have forgotten.
        if let LedgerEvent::ClaimShown { from: ME, id: own, secret, steps, .. } = event {
            self.on_claimed(id, *own, (secret, *steps), cx);
        }
        // Ten thousand channels may be anchored in one block, and nothing follows for one that is
        // open.
        let anchored =
            matches!(event, LedgerEvent::Anchored { .. } | LedgerEvent::ProofRecorded { .. });
        let open = self.channel(&id).is_some_and(|channel| channel.phase() == Phase::Open);
        (!anchored || !open).then_some(id)
    }

    /// Takes a new channel in, live or from its record.
    pub(super) fn open(&mut self, record: &Record) {
        let Record::Opened { terms, deposit } = record else { return };
        let channel = Channel::open(*terms, ME, *deposit);
        let id = channel.id();
        if self.config.slice.holds(&id) {
            self.slots.insert_new(Box::new(Slot::new(channel)));
            self.mark(id);
            self.mark_moved(id);
        }
    }
}
