//! The payee's channel: taking payments on, and making its updates.

use settlement::channel::{Channel, NewOp, Step};
use settlement::reject::Code;
use settlement::types::ChannelId;
use settlement::update::OPS_MAX;

use super::slot::{Queued, Slot};
use super::state::Cx;
use super::{Forward, Pairing, Pass, Record, Shard};

impl Shard {
    /// A payment for a payee of this shard's.
    pub(super) fn on_forward(&mut self, forward: Forward, cx: &mut Cx<'_>) {
        if let Err(code) = self.check_forward(&forward) {
            return refuse(&forward, code, cx);
        }
        let until_ms = self.clock_ms.saturating_add(self.config.limits.queue_wait_ms);
        let id = forward.outgoing;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.queue.push_back(Queued { forward, until_ms });
        self.queued = self.queued.saturating_add(1);
        self.pump(id, cx);
        self.watch_queue(id);
    }

    fn check_forward(&self, forward: &Forward) -> Result<(), Code> {
        assert!(forward.unit <= forward.unit_in, "the hub passes on no more than it gets");
        let slot = self.slots.get(&forward.outgoing).ok_or(Code::UnknownPayee)?;
        let terms = slot.channel.terms();
        // Whatever the directory says, money goes to the wallet that was meant, in its asset.
        if terms.wallet != forward.to.wallet || terms.asset != forward.asset {
            return Err(Code::UnknownPayee);
        }
        if !slot.connected {
            return Err(Code::PayeeOffline);
        }
        let full = slot.queue.len() >= self.config.limits.queue_max;
        if full { Err(Code::NoCapacity) } else { Ok(()) }
    }

    /// Makes the channel's next update if one is wanted and none is unanswered.
    pub(super) fn pump(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get(&id) else { return };
        if slot.channel.usable().is_err() {
            return self.refuse_queue(id, cx);
        }
        if !self.signing {
            return;
        }
        let free = slot.synced && slot.channel.outgoing().in_flight.is_none();
        let wanted = slot.flush || !slot.queue.is_empty() || slot.channel.owes_plain_update();
        if free && wanted {
            self.make_update(id, cx);
        }
    }

    fn make_update(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let taken = self.take_queue(id, cx);
        let wanted: Vec<NewOp> = taken.iter().map(|queued| new_op(&queued.forward)).collect();
        let now = self.now(cx.now_ms);
        let Some(slot) = self.slots.get(&id) else { return };
        let proposal = slot.channel.propose(&wanted, &now);
        let mut pairs = Vec::new();
        let mut waiting = Vec::new();
        for (queued, outcome) in taken.into_iter().zip(proposal.outcomes) {
            match outcome {
                Ok(lock) => pairs.push((queued.forward, lock)),
                Err(Code::TooManyUnacknowledged) => waiting.push(queued),
                Err(code) => refuse(&queued.forward, not_added(code), cx),
            }
        }
        self.put_back(id, waiting);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.flush = false;
        }
        if let Some(step) = proposal.step {
            self.send_update(id, step, &pairs, cx);
        }
        self.consider_deposit(id, cx);
    }

    /// The queued payments that can still be taken on, at most as many as an update carries.
    fn take_queue(&mut self, id: ChannelId, cx: &mut Cx<'_>) -> Vec<Queued> {
        let (capacity, total) = (self.capacity, self.load_out);
        let Some(slot) = self.slots.get_mut(&id) else { return Vec::new() };
        let count = slot.queue.len().min(OPS_MAX);
        let taken: Vec<Queued> = slot.queue.drain(..count).collect();
        let before = *slot.load_out;
        self.queued = self.queued.saturating_sub(taken.len());
        let mut load = before;
        let mut keep = Vec::with_capacity(taken.len());
        for queued in taken {
            let steps = queued.forward.steps;
            let (more, expiry) = (load.with(steps), queued.forward.expiry);
            if !capacity.takes(steps, &total.replaced(before, more), &more) {
                refuse(&queued.forward, Code::NoCapacity, cx);
            } else if let Err(code) = self.check_expiry(expiry) {
                refuse(&queued.forward, code, cx);
            } else {
                load = more;
                keep.push(queued);
            }
        }
        keep
    }

    fn put_back(&mut self, id: ChannelId, waiting: Vec<Queued>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        self.queued = self.queued.saturating_add(waiting.len());
        for queued in waiting.into_iter().rev() {
            slot.queue.push_front(queued);
        }
    }

    /// Has the oldest queued payment failed in time: one entry for each channel at most.
    fn watch_queue(&mut self, id: ChannelId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if let Some(first) = slot.queue.front()
            && !slot.watched
        {
            slot.watched = self.waiting.insert((first.until_ms, id));
        }
    }

    /// Commits an update and records it with its pairs as one.
    fn send_update(
        &mut self,
        id: ChannelId,
        step: Step,
        added: &[(Forward, u64)],
        cx: &mut Cx<'_>,
    ) {
        let effects = self.apply(id, &step);
        let pairing = |(forward, lock): &(Forward, u64)| Pairing {
            incoming: forward.incoming,
            outgoing: (id, *lock),
            anchor: forward.anchor,
        };
        let pairs: Vec<Pairing> = added.iter().map(pairing).collect();
        self.add_pairs(&pairs);
        cx.out.records.push(if pairs.is_empty() {
            Record::Step { channel: id, step }
        } else {
            Record::Forwarded { channel: id, step, pairs }
        });
        for effect in effects {
            self.perform(id, &effect, cx);
        }
        if let Some(expiry) = added.iter().map(|(forward, _)| forward.expiry).min() {
            self.wake_at(id, expiry);
        }
        // A settlement that did not fit waits for the next one.
        if let Some(slot) = self.slots.get_mut(&id)
            && carries_changes(slot)
        {
            slot.due_ms = None;
        } else {
            self.settle_later(id);
        }
    }

    /// Fails what waits for a channel that takes nothing now.
    pub(super) fn refuse_queue(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        match self.channel(&id).map(Channel::usable) {
            Some(Err(Code::ChannelNotOpen)) => self.fail_queue(id, Code::ChannelClosing, cx),
            // Suspended until the sides meet again.
            Some(Err(_)) => self.fail_queue(id, Code::PayeeOffline, cx),
            _ => {}
        }
    }

    /// Fails what waits for a channel.
    pub(super) fn fail_queue(&mut self, id: ChannelId, code: Code, cx: &mut Cx<'_>) {
        self.fail_queued(id, code, cx, |_| true);
    }

    /// Fails those at the head of the queue that `which` picks.
    fn fail_queued(
        &mut self,
        id: ChannelId,
        code: Code,
        cx: &mut Cx<'_>,
        which: impl Fn(&Queued) -> bool,
    ) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        while let Some(queued) = slot.queue.pop_front_if(|queued| which(queued)) {
            self.queued = self.queued.saturating_sub(1);
            refuse(&queued.forward, code, cx);
        }
    }

    /// Sends settlements that have waited long enough, and fails payments that have.
    pub(super) fn on_tick(&mut self, cx: &mut Cx<'_>) {
        let clock_ms = self.clock_ms;
        let due = |entry: &mut (u64, ChannelId)| entry.0 <= clock_ms;
        self.pass_ripples(cx);
        self.search_on(cx);
        while let Some((due_ms, id)) = self.idle.pop_front_if(due) {
            if let Some(slot) = self.slots.get_mut(&id)
                && slot.due_ms == Some(due_ms)
            {
                slot.due_ms = None;
                self.settle_if_due(id, cx);
                self.pump(id, cx);
            }
        }
        while self.waiting.first().is_some_and(|(until_ms, _)| *until_ms <= clock_ms) {
            let Some((_, id)) = self.waiting.pop_first() else { break };
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.watched = false;
            }
            self.fail_queued(id, Code::Unanswered, cx, |queued| queued.until_ms <= clock_ms);
            self.watch_queue(id);
        }
    }

    /// Wants an update if a settlement or a drop waits for one.
    pub(super) fn settle_if_due(&mut self, id: ChannelId, cx: &Cx<'_>) {
        let now = self.now(cx.now_ms);
        let due = self.channel(&id).is_some_and(|channel| channel.has_due_changes(&now));
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.flush |= due;
        }
    }
}

fn carries_changes(slot: &Slot) -> bool {
    slot.channel.outgoing().in_flight.as_ref().is_some_and(|flight| !flight.changes.is_empty())
}

/// What the payer hears when the rules let no lock be added to the payee's channel.
fn not_added(code: Code) -> Code {
    match code {
        Code::Overdraft => Code::NoInboundLiquidity,
        Code::TooManyLocks | Code::TooManySteps => Code::NoCapacity,
        Code::StaleView => Code::LedgerStalled,
        Code::ExpiryPassed => Code::ExpiryTooSoon,
        other => other,
    }
}

fn new_op(forward: &Forward) -> NewOp {
    NewOp::Add {
        anchor: forward.anchor,
        unit: forward.unit,
        steps: forward.steps,
        expiry: forward.expiry,
        to: forward.to,
        payload: forward.payload.clone(),
    }
}

/// A payment for which no lock was added: the payer's can be failed at once.
fn refuse(forward: &Forward, code: Code, cx: &mut Cx<'_>) {
    cx.out.passes.push(Pass::Outcome {
        incoming: forward.incoming,
        outgoing: (forward.outgoing, 0),
        outcome: Err(code),
    });
}
