//! The hub's own money in channels: without it their wallets can't be paid.

use settlement::channel::Phase;
use settlement::types::{Amount, ChannelId};

use super::slot::Slot;
use super::state::Cx;
use super::{Action, ME, Shard};

impl Shard {
    /// Fills the hub's side up when it is low. Never while a deposit is on its way, and only in a
    /// fresh view: an older block may bring one that was made already.
    pub(super) fn consider_deposit(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let now = self.now(cx.now_ms);
        let (height, fresh) = (now.view.height, now.view.fresh);
        let wait = self.deposit_wait();
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.depositing = slot.depositing.filter(|since| height < since.after(wait));
        if slot.depositing.is_some() {
            return;
        }
        let Some(amount) = wanted(slot, &self.config.inbound) else { return };
        if !fresh {
            return self.wake_at(id, height.after(1));
        }
        slot.depositing = Some(height);
        cx.out.actions.push(Action::Deposit { channel: id, amount });
        self.wake_at(id, height.after(wait));
    }
}

pub(super) fn wanted(slot: &Slot, policy: &super::InboundPolicy) -> Option<Amount> {
    if slot.channel.phase() != Phase::Open {
        return None;
    }
    let target = policy.target(slot.channel.escrow(ME.other()).deposited);
    let first = slot.channel.escrow(ME).deposited == Amount::ZERO;
    let floor = if first { target } else { policy.low_water(target) };
    let spendable = slot.channel.spendable();
    if spendable >= floor { None } else { target.checked_sub(spendable) }
}
