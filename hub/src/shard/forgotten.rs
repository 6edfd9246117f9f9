//! A hub whose journal is shown to be an old one: by the ledger, which has leases or statements of
//! this hub's that are not in it ([`Own::lacks`]), or by a wallet, which has a proof that the hub has
//! signed and can't have numbered.
//!
//! Then nothing says of any channel that what is known here is its newest state; a wallet that shows
//! nothing newer may hide it. So every channel leaps, as if it had been shown something, and waits
//! until what was signed for the ledger and is forgotten can't be carried any more (module
//! `forgotten` of the channel). What was given up by a wallet counts only once it has signed that it
//! holds what came after the leap ([`Slot::is_certain`]). A channel that is opened later has nothing
//! to forget.
//!
//! The ledger shows it before this process signs anything: a shard makes no update, takes nothing
//! that spends and signs nothing for the ledger before [`Input::Signing`]. Of what was forgotten
//! since the newest anchor only wallets know.

use settlement::types::ChannelId;

use super::Shard;
use super::slot::Slot;
use super::state::Cx;

impl Slot {
    /// Whether the wallet has met the hub, and nothing that the hub forgot in this channel can count.
    pub(super) fn is_certain(&self) -> bool {
        self.met && self.channel.is_certain()
    }
}

impl Shard {
    /// Once in the life of a process.
    pub(super) fn on_lost(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        let mut ids: Vec<ChannelId> = self.slots.iter().map(|slot| slot.channel.id()).collect();
        ids.sort_unstable();
        ids.into_iter().for_each(|id| self.lose(id, cx));
    }

    fn lose(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        // What it has not shown by now it may have hidden, also where the channel closes and can't leap any more.
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.met = false;
        let Some(step) = slot.channel.lose() else { return };
        self.commit(id, step, cx);
        self.recovering.insert(id);
        self.refuse_queue(id, cx);
        // It is answered once the channel has leapt.
        self.meet_again(id, cx);
    }

    /// A channel that a life of this hub may have used of which nothing is known.
    pub(super) fn lose_new(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let height = self.followed().0;
        let old = self.fresh_from.is_none_or(|fresh_from| height <= fresh_from.after(self.lag));
        if self.lost && old {
            self.lose(id, cx);
        }
    }

    /// Lets every channel go on that has waited long enough.
    pub(super) fn wait_out_all(&mut self, cx: &mut Cx<'_>) {
        let Some(fresh_from) = self.fresh_from else { return };
        let now = self.now(cx.now_ms);
        let over = |id: &ChannelId| Some((*id, self.channel(id)?.wait_out(fresh_from, &now)?));
        let over: Vec<_> = self.waiting_out.iter().filter_map(over).collect();
        for (id, step) in over {
            self.waiting_out.remove(&id);
            self.commit(id, step, cx);
        }
    }

    /// What waited for it goes on.
    pub(super) fn on_signing(&mut self, may: bool, cx: &mut Cx<'_>) {
        self.signing = may;
        let synced = self.slots.iter().filter(|slot| may && slot.synced);
        let mut ids: Vec<ChannelId> = synced.map(|slot| slot.channel.id()).collect();
        ids.sort_unstable();
        for id in ids {
            self.settle_if_due(id, cx);
            self.pump(id, cx);
        }
        self.ask_again(cx);
    }
}
