//! Looking at a channel when a height is reached.

use settlement::channel::{Duty, Phase, Step};
use settlement::types::{ChannelId, Height};

use super::state::Cx;
use super::{Action, Shard};

impl Shard {
    /// Has the channel looked at when this height is reached, or earlier.
    pub(super) fn wake_at(&mut self, id: ChannelId, height: Height) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.wake.is_none_or(|wake| wake > height) {
            slot.wake = Some(height);
            self.wakes.entry(height).or_default().insert(id);
        }
    }

    /// The channels to look at now, in the order of their ids.
    pub(super) fn take_woken(&mut self, height: Height) -> std::collections::BTreeSet<ChannelId> {
        let later = self.wakes.split_off(&height.after(1));
        let entries = std::mem::replace(&mut self.wakes, later);
        let mut woken = std::collections::BTreeSet::new();
        for (at, ids) in entries {
            for id in ids {
                if let Some(slot) = self.slots.get_mut(&id)
                    && slot.wake == Some(at)
                {
                    slot.wake = None;
                    woken.insert(id);
                }
            }
        }
        woken
    }

    /// Everything that a height can bring for a channel.
    pub(super) fn look_at(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let now = self.now(cx.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        let steps: Vec<Step> =
            channel.expire(&now).into_iter().chain(channel.lapse(&now)).collect();
        for step in steps {
            self.commit(id, step, cx);
        }
        self.answer_ledger(id, cx);
        self.consider_deposit(id, cx);
        self.settle_if_due(id, cx);
        self.pump(id, cx);
        self.wake_again(id, cx);
    }

    pub(super) fn wake_again(&mut self, id: ChannelId, cx: &Cx<'_>) {
        let wait = self.deposit_wait();
        let now = self.now(cx.now_ms);
        let next = self.slots.get(&id).and_then(|slot| slot.next_wake(&now, wait));
        if let Some(height) = next {
            self.wake_at(id, height);
        }
    }

    /// Brings before the ledger what must be there, again every `inclusion_delay` blocks.
    pub(super) fn answer_ledger(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let now = self.now(cx.now_ms);
        let Some(slot) = self.slots.get(&id) else { return };
        let Some(duty) = slot.channel.duty(&now) else { return };
        let (height, delay) = (now.view.height, now.policy.inclusion_delay);
        if slot.submitted.is_some_and(|at| height < at.after(delay)) {
            return;
        }
        let close = duty == Duty::CloseAndClaim;
        let waits = !slot.met && self.clock_ms < self.meet_by_ms;
        if close && waits && slot.channel.may_wait_to_meet(&now) {
            return self.wake_at(id, height.after(1));
        }
        if close && slot.channel.phase() != Phase::ClosingSoon {
            self.commit(id, Step::Closing, cx);
        }
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.submitted = Some(height);
        let submission = slot.channel.submission(close, height);
        cx.out.actions.push(Action::Submit(Box::new(submission)));
    }

    /// The operator closes a channel without its wallet.
    pub(super) fn on_close_alone(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.submitted = None;
        if matches!(slot.channel.phase(), Phase::Open | Phase::Agreed { .. }) {
            self.commit(id, Step::Closing, cx);
        }
        self.answer_ledger(id, cx);
        self.wake_again(id, cx);
    }
}
