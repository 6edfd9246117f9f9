//! What wallets say about their channels.

use client_sdk::api::upfront_anchor;
use settlement::channel::{Change, Channel, Effect, Received, Step, VerifiedUpdate};
use settlement::proof::SnapshotRef;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, ChannelId, Secret};
use settlement::update::Op;
use settlement::wire::Message;

use super::commit::action;
use super::slot::Slot;
use super::state::Cx;
use super::stream::TOO_MUCH;
use super::{Action, Directory, Shard};

impl Shard {
    /// The wallet speaks first: until its `Sync` nothing is said about the channel.
    pub(super) fn on_connected(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            (slot.connected, slot.synced) = (true, false);
            slot.forget_asked();
        }
    }

    pub(super) fn on_disconnected(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            (slot.connected, slot.synced) = (false, false);
        }
        self.shown.remove(&id);
        self.fail_queue(id, Code::PayeeOffline, cx);
    }

    pub(super) fn on_message(
        &mut self,
        message: Message,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        if let Message::Sync { channel, own, yours, .. } = message {
            return self.on_sync(channel, own, yours, directory, cx);
        }
        let met = |id: &ChannelId| self.slots.get(id).is_some_and(|slot| slot.synced);
        if !message.channel().is_some_and(|id| met(&id)) {
            return;
        }
        match message {
            Message::Ack { channel, seq } => self.on_ack(channel, seq, cx),
            Message::Reject { channel, seq, code } => self.on_reject(channel, seq, code, cx),
            Message::Reveal { channel, id, secret } => {
                self.on_reveal((channel, id), &secret, directory, cx);
            }
            Message::Fail { channel, id, code } => self.on_fail(channel, id, code, cx),
            // Connections and relays are the shell's; updates and snapshots come verified.
            _ => {}
        }
    }

    pub(super) fn on_sync(
        &mut self,
        id: ChannelId,
        own: SnapshotRef,
        yours: SnapshotRef,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        if !self.slots.contains(&id) {
            return reject(id, 0, Code::UnknownChannel, cx);
        }
        let overtaken =
            |slot: &Slot| slot.synced && slot.met && slot.channel.is_shown_less(&own, &yours);
        if self.slots.get(&id).is_some_and(|slot| overtaken(slot)) {
            return;
        }
        self.take_back(id, cx);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.connected = true;
        slot.first_shown.get_or_insert(own.seq);
        let outcome = slot.channel.check_sync(&own, &yours);
        let suspended = slot.channel.suspended().is_some();
        let recovering = slot.channel.is_recovering();
        slot.synced = !recovering;
        slot.met = outcome.lost.is_none() && !recovering;
        let steps = outcome.steps.into_iter();
        // Meeting with nothing to take back changes nothing, so it is not worth a record.
        for step in steps.filter(|step| suspended || *step != Step::Resumed) {
            self.commit(id, step, cx);
        }
        if recovering {
            // Answered with the leap: nothing is said before.
            return self.ask_later(id, own, yours, directory, cx);
        }
        if outcome.show {
            self.show(id, cx);
        }
        self.answer_sync(id, outcome.lost.is_some(), cx);
        if outcome.lost.is_none() {
            self.find_out(id, directory, cx);
        }
        self.settle_if_due(id, cx);
        self.pump(id, cx);
    }

    fn answer_sync(&mut self, id: ChannelId, lost: bool, cx: &mut Cx<'_>) {
        let tip = self.tip;
        let Some(slot) = self.slots.get(&id) else { return };
        let (own, yours) = slot.channel.snapshot_refs();
        cx.out.actions.push(Action::Send(Message::Sync { channel: id, own, yours, tip }));
        if !lost {
            let again = slot.channel.to_resend();
            cx.out.actions.extend(again.iter().filter_map(|effect| action(id, slot, effect)));
        }
    }

    /// An update whose signature was checked.
    pub(super) fn on_update(
        &mut self,
        update: &VerifiedUpdate,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let (id, seq) = (update.proof().channel, update.proof().seq);
        let Some(slot) = self.slots.get(&id) else {
            return reject(id, seq, Code::UnknownChannel, cx);
        };
        let in_doubt = slot.is_in_doubt(update);
        if !slot.synced || in_doubt && !self.can_take_in_doubt(id, cx) {
            return;
        }
        // Not known yet: whether something that was forgotten would take it away.
        if !self.signing && update.spends() {
            return reject(id, seq, Code::StaleView, cx);
        }
        let makes_hash = self.makes_hash(id, update);
        if makes_hash && !self.may_hash(id, directory) {
            return match in_doubt {
                true => self.answer_later(id),
                false => reject(id, seq, TOO_MUCH, cx),
            };
        }
        let now = self.now(cx.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        let checked = match in_doubt {
            true => channel.check_update_to_hold(update, &now),
            false => channel.check_update(update, &now),
        };
        if makes_hash {
            let step = match &checked {
                Ok(Received::New(step)) => Some(step),
                _ => None,
            };
            self.count_hashes(id, Shard::hashes_of(step));
        }
        match checked {
            Err(code) => reject(id, seq, code, cx),
            Ok(Received::Again) => {
                cx.out.actions.push(Action::Send(Message::Ack { channel: id, seq }));
            }
            Ok(Received::New(step)) => {
                self.take_update(id, step, (update, in_doubt), directory, cx);
            }
        }
    }

    fn take_update(
        &mut self,
        id: ChannelId,
        step: Step,
        (update, in_doubt): (&VerifiedUpdate, bool),
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let was_certain = self.slots.get(&id).is_none_or(|slot| slot.is_certain());
        let prepaid = prepaid(update.ops());
        for effect in self.record(id, step, cx) {
            self.perform(id, &effect, cx);
            let Effect::Received(Change::Added { lock, to, payload }) = &effect else { continue };
            // Settled by the same update: the payer has made the hub a present, and no payment.
            let stands = |channel: &Channel| channel.incoming().locks.contains_key(&lock.id);
            if !self.channel(&id).is_some_and(stands) {
                continue;
            }
            if in_doubt && self.may_have_passed_on(id, to, directory) {
                self.hold_back(id, lock, (update.proof(), &prepaid), directory, cx);
            } else {
                self.route(id, (lock, to, payload), &prepaid, directory, cx);
            }
        }
        if !was_certain {
            self.pass_again(id, cx);
        }
        // A wallet that acknowledges without need has the hub settle at once: it wants to give up
        // what is left of a stream.
        if update.ops().is_empty() {
            self.pass_streams(id, cx);
            self.settle_if_due(id, cx);
        }
        self.pump(id, cx);
    }

    pub(super) fn on_bad_update(&mut self, id: ChannelId, seq: u64, code: Code, cx: &mut Cx<'_>) {
        if self.slots.get(&id).is_none_or(|slot| slot.synced) {
            reject(id, seq, code, cx);
        }
    }

    fn on_ack(&mut self, id: ChannelId, seq: u64, cx: &mut Cx<'_>) {
        let sent = |channel: &Channel| {
            let out = channel.outgoing();
            let refused = out.refused.iter().map(|refused| &refused.flight);
            out.in_flight.iter().chain(refused).any(|flight| flight.proof.seq == seq)
        };
        if self.channel(&id).is_some_and(sent) {
            self.commit(id, Step::Acked { seq }, cx);
            self.pump(id, cx);
        }
    }

    fn on_reject(&mut self, id: ChannelId, seq: u64, code: Code, cx: &mut Cx<'_>) {
        let in_flight = |channel: &Channel| Some(channel.outgoing().in_flight.as_ref()?.proof.seq);
        if self.channel(&id).and_then(in_flight) == Some(seq) {
            self.commit(id, Step::Rejected { seq, code }, cx);
            self.pump(id, cx);
            self.wake_again(id, cx);
        }
    }

    fn on_reveal(
        &mut self,
        (id, lock): (ChannelId, u64),
        secret: &Secret,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let now = self.now(cx.now_ms);
        if !self.may_hash(id, directory) {
            return reject(id, 0, TOO_MUCH, cx);
        }
        let Some(channel) = self.channel(&id) else { return };
        let (weighed, hashes) = channel.weigh_reveal(lock, secret, &now);
        let step = match weighed {
            Ok(step) => step,
            // The channel rests until the sides meet again; its connection goes on. The refusal
            // says why, and is of no update: those count from 1.
            Err(code) => {
                let rests = channel.usable().is_ok().then(|| channel.suspend(code));
                reject(id, 0, code, cx);
                rests
            }
        };
        self.count_hashes(id, hashes);
        match step {
            Some(step) => {
                self.count_redeemed(id, lock, &step, hashes, cx);
                self.commit_fate(id, step, cx);
            }
            None => self.on_said(id, lock, secret, cx),
        }
        self.pump(id, cx);
    }

    /// What a wallet says of a lock of the hub's.
    fn commit_fate(&mut self, id: ChannelId, answer: Step, cx: &mut Cx<'_>) {
        let acked = self.channel(&id).and_then(|channel| channel.acknowledged_by(&answer));
        acked.into_iter().chain([answer]).for_each(|step| self.commit(id, step, cx));
    }

    fn on_fail(&mut self, id: ChannelId, lock: u64, code: Code, cx: &mut Cx<'_>) {
        let step = self.channel(&id).and_then(|channel| channel.check_fail(lock, code));
        let Some(step) = step else { return };
        self.commit_fate(id, step, cx);
        // The payer's money waits for the drop, so it does not wait for an idle second.
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.flush = true;
        }
        self.pump(id, cx);
    }
}

/// What was paid upfront for locks of the same update, as the memos say.
fn prepaid(ops: &[Op]) -> Vec<(Anchor, Amount)> {
    let paid = |op: &Op| match op {
        Op::Pay { amount, memo } => Some((upfront_anchor(memo)?, *amount)),
        _ => None,
    };
    ops.iter().filter_map(paid).collect()
}

fn reject(channel: ChannelId, seq: u64, code: Code, cx: &mut Cx<'_>) {
    cx.out.actions.push(Action::Send(Message::Reject { channel, seq, code }));
}
