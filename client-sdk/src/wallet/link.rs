//! The conversation with the hub, channel by channel: meeting, updates, answers.
//!
//! After each connection the wallet shows the hub what it holds of a channel, and says nothing else
//! about it until the hub has done the same: answers that come before belong to an older connection
//! and are covered by what meeting says anew.

use settlement::channel::{
    ACKNOWLEDGE_AFTER, Channel, Effect, NewOp, Now, Phase, Proposal, Received, Step,
    VerifiedSnapshot, VerifiedUpdate, leapt_at,
};
use settlement::proof::SnapshotRef;
use settlement::reject::Code;
use settlement::types::{ChannelId, Height};
use settlement::wire::Message;

use super::core::Turn;
use super::pay::Wanted;
use super::{Action, Wallet};

/// How long settlements and drops wait for an update to ride in, and a `Sync` for its answer.
const IDLE_MS: u64 = 1_000;
/// How long a suspended channel waits before the sides try to meet again.
const SUSPENDED_MS: u64 = 10_000;
/// The most wanted operations in one update: with 256 of the longest, and everything that is due, a
/// frame stays under its limit.
const WANTED_PER_UPDATE: usize = 256;

/// What a channel's connection stands at.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Whether the hub has shown what it holds, on this connection.
    pub(super) synced: bool,
    /// Whether it has at all since the process started, and nothing was lost.
    pub(super) met: bool,
    /// Whether both have shown on this connection that they hold the same.
    met_here: bool,
    /// When it was asked to.
    pub(super) asked_ms: u64,
    /// Since when something waits for an update to ride in.
    due_since_ms: Option<u64>,
    /// Since when the hub, which had to hash too much, waits to hear secrets again.
    repeat_from_ms: Option<u64>,
    /// What waits goes out with the next chance.
    pub(super) flush: bool,
    /// An update without operations goes out with the next chance.
    pub(super) acknowledge: bool,
    /// The height at which a submission was last handed out.
    pub(super) submitted: Option<settlement::types::Height>,
    /// What the hub has shown in full, until its next `Sync`.
    pub(super) shown: Vec<VerifiedSnapshot>,
    /// Whether the hub was shown both directions in full since it was last asked.
    pub(super) showing: bool,
    /// Whether it was at all, so that it may lack secrets, too.
    pub(super) retell: bool,
}

impl Wallet {
    pub(super) fn channel_ids(&self) -> Vec<ChannelId> {
        self.state.channels.keys().copied().collect()
    }

    pub(super) fn link(&mut self, id: ChannelId) -> &mut Link {
        self.links.entry(id).or_default()
    }

    pub(super) fn connect(&mut self, turn: &mut Turn) {
        self.connected = true;
        for id in self.channel_ids() {
            self.link(id).met_here = false;
            self.meet(turn, id);
        }
    }

    pub(super) fn disconnect(&mut self, turn: &mut Turn) {
        self.connected = false;
        for id in self.channel_ids() {
            let link = self.link(id);
            (link.synced, link.due_since_ms) = (false, None);
            link.shown.clear();
            self.fail_wanted(turn, id, Code::HubUnavailable);
        }
    }

    /// Shows the hub what this side holds of a channel, if there is anything left to agree on.
    pub(super) fn meet(&mut self, turn: &mut Turn, id: ChannelId) {
        let Some(channel) = self.state.channels.get(&id) else { return };
        if !self.connected || !matches!(channel.phase(), Phase::Open | Phase::Agreed { .. }) {
            return;
        }
        let link = self.link(id);
        (link.synced, link.asked_ms, link.showing) = (false, turn.now_ms, false);
        self.say_sync(turn, id);
    }

    pub(super) fn say_sync(&self, turn: &mut Turn, id: ChannelId) {
        let Some(channel) = self.channel(&id) else { return };
        let (own, yours) = channel.snapshot_refs();
        turn.act(Action::Send(Message::Sync { channel: id, own, yours, tip: self.newest }));
    }

    /// What the hub says about a channel. Updates come another way, verified; what is not about a
    /// channel is the connection's business.
    pub(super) fn hear(&mut self, turn: &mut Turn, message: Message) {
        let Some(id) = message.channel() else { return };
        if !self.connected || !self.state.channels.contains_key(&id) {
            return;
        }
        match message {
            Message::Sync { own, yours, .. } => self.hear_sync(turn, id, &own, &yours),
            snapshot @ Message::Snapshot { .. } => return self.hear_snapshot(id, snapshot),
            _ if !self.is_synced(&id) => return,
            // The hub has found out that it may have forgotten something.
            Message::Reject { seq: 0, code: Code::Recovering, .. } => self.meet(turn, id),
            // Too much at once: what was said is said again a little later.
            Message::Reject { seq: 0, code: Code::HashBudget, .. } => {
                self.link(id).repeat_from_ms = Some(turn.now_ms);
            }
            Message::Ack { seq, .. } => self.hear_ack(turn, id, seq),
            Message::Reject { seq, code, .. } => self.hear_reject(turn, id, seq, code),
            Message::Reveal { id: lock, secret, .. } => {
                let now = self.now(turn.now_ms);
                let found = self.channel(&id).map(|c| c.check_reveal(lock, &secret, &now));
                match found {
                    Some(Ok(Some(step))) => {
                        self.hear_fate(turn, id, step);
                        self.link(id).flush |= self.hurries(id, lock);
                    }
                    Some(Err(code)) => self.suspend(turn, id, code),
                    _ => {}
                }
            }
            Message::Fail { id: lock, code, .. } => {
                let step = self.channel(&id).and_then(|c| c.check_fail(lock, code));
                if let Some(step) = step {
                    self.hear_fate(turn, id, step);
                    // The payer waits for its money, which is back only after the drop.
                    self.link(id).flush = true;
                }
            }
            _ => {}
        }
        self.attend(turn, id);
    }

    fn hear_sync(
        &mut self,
        turn: &mut Turn,
        id: ChannelId,
        own: &SnapshotRef,
        yours: &SnapshotRef,
    ) {
        let less = self.channel(&id).is_some_and(|channel| channel.is_shown_less(own, yours));
        if less && self.link(id).met_here || self.shown_too_early(turn, id) {
            return;
        }
        self.take_back(turn, id);
        let Some(channel) = self.channel(&id) else { return };
        let before = channel.suspended();
        let outcome = channel.check_sync(own, yours);
        let recovering = channel.is_recovering();
        let link = self.link(id);
        let first = !link.met_here;
        link.synced = outcome.lost.is_none() && !recovering;
        link.met |= link.synced;
        link.met_here |= link.synced;
        link.asked_ms = turn.now_ms;
        for step in outcome.steps {
            let changes = match &step {
                Step::Resumed => before.is_some(),
                Step::Suspended { code } => before != Some(*code),
                _ => true,
            };
            if changes {
                self.step(turn, id, step);
            }
        }
        if outcome.show {
            return self.show(turn, id);
        }
        if recovering {
            return;
        }
        if let Some(code) = outcome.lost {
            if before != Some(code) {
                let detail = format!("the hub and this wallet disagree about the channel {id}");
                turn.refuse(code, detail, None);
            }
            return;
        }
        let again = self.channel(&id).map(Channel::to_resend).unwrap_or_default();
        self.perform(turn, id, again);
        self.retell_met(turn, id, first);
    }

    fn hear_ack(&mut self, turn: &mut Turn, id: ChannelId, seq: u64) {
        let Some(out) = self.channel(&id).map(Channel::outgoing) else { return };
        let mut waiting = out.in_flight.iter().chain(out.refused.iter().map(|r| &r.flight));
        if waiting.any(|flight| flight.proof.seq == seq) {
            self.step(turn, id, Step::Acked { seq });
        }
    }

    /// What the hub says of a lock of this wallet's.
    fn hear_fate(&mut self, turn: &mut Turn, id: ChannelId, answer: Step) {
        let acked = self.channel(&id).and_then(|channel| channel.acknowledged_by(&answer));
        acked.into_iter().chain([answer]).for_each(|step| self.step(turn, id, step));
    }

    fn hear_reject(&mut self, turn: &mut Turn, id: ChannelId, seq: u64, code: Code) {
        let Some(out) = self.channel(&id).map(Channel::outgoing) else { return };
        if out.in_flight.as_ref().is_some_and(|flight| flight.proof.seq == seq) {
            self.step(turn, id, Step::Rejected { seq, code });
        }
    }

    pub(super) fn hear_update(&mut self, turn: &mut Turn, update: &VerifiedUpdate) {
        let (id, seq) = (update.proof().channel, update.proof().seq);
        if !self.is_synced(&id) {
            return;
        }
        let now = self.now(turn.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        let newest = channel.incoming().tally.seq;
        match channel.check_update(update, &now) {
            Ok(Received::New(step)) => {
                self.step(turn, id, step);
                if leapt_at(seq) > leapt_at(newest) {
                    self.retell(turn, id);
                }
            }
            Ok(Received::Again) => self.say(turn, id, Message::Ack { channel: id, seq }),
            Err(code) => self.say(turn, id, Message::Reject { channel: id, seq, code }),
        }
        self.attend(turn, id);
    }

    /// Agrees to nothing more until the sides have met again.
    fn suspend(&mut self, turn: &mut Turn, id: ChannelId, code: Code) {
        let Some(step) = self.channel(&id).map(|channel| channel.suspend(code)) else { return };
        self.step(turn, id, step);
        self.link(id).asked_ms = turn.now_ms;
        let detail = format!("the hub showed a secret that does not fit; channel {id} waits");
        turn.refuse(code, detail, None);
    }

    /// Whatever a channel can do now: answer the hub's locks, send the next update.
    pub(super) fn attend(&mut self, turn: &mut Turn, id: ChannelId) {
        self.judge_locks(turn, id);
        self.wind_up_all(turn, id);
        self.pump(turn, id);
        let now = self.now(turn.now_ms);
        let due = self.channel(&id).is_some_and(|channel| channel.has_due_changes(&now));
        let link = self.link(id);
        link.due_since_ms = due.then(|| link.due_since_ms.unwrap_or(turn.now_ms));
    }

    /// Sends the next update, if there is one to send and none is unanswered.
    pub(super) fn pump(&mut self, turn: &mut Turn, id: ChannelId) {
        let Some(channel) = self.state.channels.get(&id) else { return };
        if let Err(code) = channel.usable() {
            let code = if code == Code::ChannelNotOpen { Code::ChannelClosing } else { code };
            return self.fail_wanted(turn, id, code);
        }
        if !self.is_synced(&id) || channel.outgoing().in_flight.is_some() {
            return;
        }
        if self.links.get(&id).is_some_and(|link| link.acknowledge) || owes_bare_update(channel) {
            let step = channel.acknowledge();
            self.link(id).acknowledge = false;
            return step.map_or((), |step| self.step(turn, id, step));
        }
        let waits = self.wanted.get(&id).is_some_and(|wanted| !wanted.is_empty());
        let flush = std::mem::take(&mut self.link(id).flush) || self.has_idled(turn, id);
        if waits || flush || self.channel(&id).is_some_and(Channel::owes_plain_update) {
            self.propose(turn, id);
        }
    }

    /// Whether something has waited for an idle second.
    fn has_idled(&self, turn: &Turn, id: ChannelId) -> bool {
        let since = self.links.get(&id).and_then(|link| link.due_since_ms);
        // A clock that went back must not make anything wait longer.
        since.is_some_and(|since| turn.now_ms.abs_diff(since) >= IDLE_MS)
    }

    /// Makes one update of all that is wanted and due.
    fn propose(&mut self, turn: &mut Turn, id: ChannelId) {
        let height = self.seen.height;
        let mut queue = self.wanted.remove(&id).unwrap_or_default();
        let batch: Vec<Wanted> = queue.drain(..queue.len().min(WANTED_PER_UPDATE)).collect();
        let now = self.now(turn.now_ms);
        let Some(channel) = self.state.channels.get(&id) else { return };
        let (step, outcomes) = self.propose_whole(channel, &batch, height, &now);
        let (mut later, mut failed) = (Vec::new(), Vec::new());
        for (wanted, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => {}
                Err(Code::TooManyUnacknowledged | Code::TooManyLocks | Code::TooManySteps) => {
                    later.push(wanted);
                }
                Err(code) => failed.push((wanted, code)),
            }
        }
        for wanted in later.into_iter().rev() {
            queue.push_front(wanted);
        }
        self.wanted.insert(id, queue);
        if let Some(step) = step {
            self.link(id).due_since_ms = None;
            self.step(turn, id, step);
        }
        for (wanted, code) in failed {
            self.fail_one(turn, wanted, code);
        }
    }

    /// The update that is made of this, and whether each of it is in it: whole, or not at all. What
    /// has two operations of which one does not fit is left out, and the update is made without it.
    fn propose_whole(
        &self,
        channel: &Channel,
        batch: &[Wanted],
        height: Height,
        now: &Now<'_>,
    ) -> (Option<Step>, Vec<Result<(), Code>>) {
        let life = self.config.policy.lock_life;
        let mut left_out: Vec<Option<Code>> = vec![None; batch.len()];
        loop {
            let kept = batch.iter().zip(&left_out).filter(|(_, left_out)| left_out.is_none());
            let ops: Vec<Vec<NewOp>> =
                kept.map(|(wanted, _)| wanted.to_ops(height, life)).collect();
            let counts: Vec<usize> = ops.iter().map(Vec::len).collect();
            let ops: Vec<NewOp> = ops.into_iter().flatten().collect();
            let Proposal { step, outcomes } = channel.propose(&ops, now);
            let mut outcomes = outcomes.into_iter();
            let parts = counts.iter().map(|count| {
                let parts: Vec<Result<u64, Code>> = outcomes.by_ref().take(*count).collect();
                let broken = parts.iter().find_map(|part| part.as_ref().err().copied());
                (broken, broken.is_some() && parts.iter().any(Result::is_ok))
            });
            let parts: Vec<(Option<Code>, bool)> = parts.collect();
            let halved = parts.iter().any(|(_, halved)| *halved);
            let mut judged = left_out.iter_mut().filter(|left_out| left_out.is_none());
            for (broken, half) in &parts {
                let Some(place) = judged.next() else { break };
                if *half || !halved {
                    *place = *broken;
                }
            }
            if !halved {
                let result = |left_out: Option<Code>| left_out.map_or(Ok(()), Err);
                return (step, left_out.into_iter().map(result).collect());
            }
        }
    }

    /// Says the secrets again that the hub had no time for.
    fn repeat(&mut self, turn: &mut Turn, id: ChannelId) {
        let since = self.links.get(&id).and_then(|link| link.repeat_from_ms);
        if since.is_none_or(|since| turn.now_ms.abs_diff(since) < IDLE_MS) {
            return;
        }
        self.link(id).repeat_from_ms = None;
        let again = self.channel(&id).map(Channel::to_resend).unwrap_or_default();
        if self.hub_leapt_lately(id) {
            self.retell(turn, id);
        }
        let reveals = again.into_iter().filter(|it| matches!(it, Effect::SendReveal { .. }));
        self.perform(turn, id, reveals.collect());
    }

    pub(super) fn tick(&mut self, turn: &mut Turn) {
        self.tick_streams(turn);
        self.tick_asks(turn);
        for id in self.channel_ids() {
            let Some(channel) = self.state.channels.get(&id) else { continue };
            let suspended = channel.suspended().is_some();
            let recovering = channel.is_recovering();
            let link = self.links.entry(id).or_default();
            let patience_ms = if suspended { SUSPENDED_MS } else { IDLE_MS };
            let waited = turn.now_ms.abs_diff(link.asked_ms) >= patience_ms;
            // Met again with the leap.
            if waited && !recovering && (suspended || !link.synced) {
                self.meet(turn, id);
            }
            self.repeat(turn, id);
            self.guard(turn, id);
            self.attend(turn, id);
        }
    }
}

/// Whether the next update has to be one without operations: to retire what was refused before
/// anything is built on it again, or because much is to be acknowledged.
fn owes_bare_update(channel: &Channel) -> bool {
    let out = channel.outgoing();
    let refused = out.refused.iter().any(|refused| refused.flight.proof.seq > out.tip().seq);
    refused || channel.incoming().to_acknowledge > ACKNOWLEDGE_AFTER
}
