//! Letting go of channels that are paid out.
//!
//! A hub lives longer than its channels, so what is over must cost it nothing. A channel that is paid
//! out is kept until nothing waits for it any more:
//!
//! | what may be left | until |
//! | --- | --- |
//! | pairs: the payers of the hub's own locks there have to hear what came of them | their channels have recorded it |
//! | it moved, and what the hub owes does not say so yet | the next round of anchors |
//! | payers' locks are looked for there, after state was lost | the search has come to its end |
//!
//! Then it goes from memory, and with the next checkpoint from the index. The ledger can tell of it
//! for ever. What is said of it later is said of a channel that the hub does not know.

use settlement::types::ChannelId;

use super::Shard;
use super::slot::Slot;
use super::state::Cx;

impl Slot {
    /// Whether nothing waits for this channel any more.
    fn is_over(&self) -> bool {
        let searched = self.lost.as_ref().is_none_or(|lost| lost.todo.is_empty());
        self.is_closed() && self.pairs.is_empty() && !self.moved && searched
    }
}

impl Shard {
    /// Notes that a channel is paid out.
    pub(super) fn note_closed(&mut self, id: ChannelId) {
        if self.slots.get(&id).is_some_and(|slot| slot.is_closed()) {
            self.closed.insert(id);
        }
    }

    /// Lets go of what is over. Nothing that comes of the hub's locks for such a payer concerns it any
    /// more: they are concluded.
    pub(super) fn let_go(&mut self, cx: &mut Cx<'_>) {
        let is_over = |id: &ChannelId| self.slots.get(id).is_none_or(|slot| slot.is_over());
        let over: Vec<ChannelId> = self.closed.iter().filter(|id| is_over(id)).copied().collect();
        for id in over {
            self.closed.remove(&id);
            self.recovering.remove(&id);
            self.waiting_out.remove(&id);
            self.shown.remove(&id);
            if let Some(slot) = self.slots.remove(&id) {
                self.let_go.push((id, slot.rows));
                let concluded = slot.passed_on().map(|outgoing| self.conclude(outgoing));
                cx.out.passes.extend(concluded.flatten());
            }
        }
    }
}
