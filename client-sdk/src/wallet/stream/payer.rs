//! The payer's side: locks, steps, and giving the rest back.

use std::collections::BTreeSet;

use settlement::channel::HASHES_PER_MESSAGE;
use settlement::lock::STEPS_MAX;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey};
use settlement::wire::Message;

use super::super::core::Turn;
use super::super::pay::{Refusal, Wanted, refusal};
use super::super::{Action, Command, Event, Record, Wallet, Way};
use super::{
    AGAIN_MS, Chain, Live, STEPS_MIN, StreamId, StreamKey, StreamLock, StreamState, StreamView,
};
use crate::api::{StreamFee, upfront_memo};
use crate::payload::{Content, ContentKey, seal};
use crate::relay::{Body, StepToken};

/// What a payer wants of a lock, before it is known whether it can be had.
struct Order {
    stream: StreamId,
    payee: PublicKey,
    asset: AssetId,
    unit: Amount,
    life_blocks: u64,
    memo: String,
}

impl Wallet {
    /// Adds a lock to a stream, the first or a further one.
    pub(in super::super) fn open_stream(
        &mut self,
        turn: &mut Turn,
        command: Command,
    ) -> Result<(), Refusal> {
        let Command::OpenStream { stream, chain, nonce, payee, asset, unit, life_blocks, memo } =
            command
        else {
            return Ok(());
        };
        let order = Order { stream, payee, asset, unit, life_blocks, memo };
        let number = self.check_order(turn, &order, &chain)?;
        let (anchor, steps) = (chain.anchor(), chain.steps());
        let fee = self.config.fees.stream(unit, steps);
        let (per_step, upfront) = match fee {
            Some(StreamFee::PerStep(fee)) => (fee, Amount::ZERO),
            Some(StreamFee::Upfront(fee)) => (Amount::ZERO, fee),
            None => return refusal(Code::AmountOverflow, "unit, steps and fee go over 2^64 - 1"),
        };
        let unit_in = unit.checked_add(per_step);
        let cost = unit_in.and_then(|unit| unit.checked_mul(steps)?.checked_add(upfront));
        let (Some(unit_in), Some(cost)) = (unit_in, cost) else {
            return refusal(Code::AmountOverflow, "unit, steps and fee go over 2^64 - 1");
        };
        let id = self.channel_for(asset, cost)?;
        let key = ContentKey::Stream { stream, number };
        let content = Content { key, unit, steps, asset, anchor, memo: order.memo.clone() };
        let sealed = seal(&content, &self.config.key, &payee, &self.ledger, &nonce);
        let payload = sealed.map_err(|error| (Code::BadArgument, error.to_string()))?;
        let lock = StreamLock {
            number,
            fee_per_step: per_step,
            fee_upfront: upfront,
            seed: Some(chain.seed()),
            steps,
            ..order.lock(anchor, turn.now_ms)
        };
        self.live.insert(anchor, Live { chain: Some(*chain), ..Live::default() });
        self.commit(turn, Record::Stream(Box::new(lock)));
        let life = order.life_blocks;
        let pay = (upfront > Amount::ZERO).then_some((upfront, upfront_memo(&anchor)));
        let wanted =
            Wanted::Stream { anchor, unit: unit_in, steps, life, payee, payload, upfront: pay };
        self.want(turn, id, wanted);
        Ok(())
    }

    /// Which of its stream's locks it would be.
    fn check_order(&self, turn: &Turn, order: &Order, chain: &Chain) -> Result<u32, Refusal> {
        let Order { payee, asset, unit, .. } = *order;
        if payee == self.me {
            return refusal(Code::PaymentToSelf, "the payee is this wallet itself");
        }
        self.check_asset(asset)?;
        if unit == Amount::ZERO {
            return refusal(Code::ZeroAmount, "a step is worth at least 1");
        }
        if !(STEPS_MIN..=STEPS_MAX).contains(&chain.steps()) {
            let detail = format!("a stream's lock has {STEPS_MIN} to {STEPS_MAX} steps");
            return refusal(Code::StepsOutOfRange, detail);
        }
        // A chain is never used twice: whoever has its secrets could redeem the second lock at once.
        self.check_unpaid(&chain.anchor())?;
        let life = order.life_blocks;
        let (least, most) = (self.reach(), self.config.policy.stream_life_max);
        if life <= least || life > most {
            let detail = format!("a stream's lock lives for {} to {most} blocks", least + 1);
            return refusal(Code::BadArgument, detail);
        }
        self.check_fresh(turn)?;
        if !self.connected {
            return refusal(Code::HubUnavailable, "this wallet is not connected to its hub");
        }
        let key = StreamKey { way: Way::Out, peer: payee, stream: order.stream };
        let Some(last) = self.state.streams.locks_of(&key).last() else { return Ok(0) };
        if (last.asset, last.unit) != (asset, unit) {
            return refusal(Code::BadArgument, "a stream keeps its asset and unit");
        }
        Ok(last.number.saturating_add(1))
    }

    /// How many blocks before a lock's end no step of it can be redeemed any more, by a payee behind
    /// the hub.
    fn reach(&self) -> u64 {
        let policy = &self.config.policy;
        let passed_on = policy.expiry_delta.saturating_add(policy.claim_margin);
        passed_on.saturating_add(policy.settle_grace).saturating_add(self.lag().saturating_mul(2))
    }

    /// Who pays a stream is told when a block brings a lock of it so near its end that no step of it is
    /// handed out any more: it takes the next one.
    pub(in super::super) fn tell_of_locks_out_of_reach(&self, turn: &mut Turn) {
        let now = self.seen.height;
        let before = Height(now.0.saturating_sub(1));
        let crossed = |lock: &&StreamLock| {
            let told = lock.way == Way::Out && self.is_in_reach(lock, before);
            told && !self.is_in_reach(lock, now)
        };
        let keys = self.state.streams.open().filter(crossed).map(|lock| lock.key());
        keys.collect::<BTreeSet<_>>().iter().for_each(|key| self.tell_stream(turn, key));
    }

    /// Whether steps of a lock can be handed out at this height.
    fn is_in_reach(&self, lock: &StreamLock, height: Height) -> bool {
        let reach = if lock.way == Way::Out { self.reach() } else { 0 };
        height.after(reach) < lock.expiry
    }

    /// Steps of a lock that were not handed out, and can still be: once the payee has it.
    pub(super) fn steps_left(&self, lock: &StreamLock) -> u32 {
        let stands = lock.is_open() && self.is_in_reach(lock, self.seen.height);
        if stands { lock.left() } else { 0 }
    }

    /// Those that can be handed out now.
    fn usable_steps(&self, lock: &StreamLock) -> u32 {
        let live = self.live.get(&lock.anchor);
        let closing = live.is_some_and(|live| live.closing);
        if lock.is_at_payee(live) && !closing { self.steps_left(lock) } else { 0 }
    }

    /// Hands so many steps out, from the oldest lock that has some on.
    pub(in super::super) fn advance(
        &mut self,
        turn: &mut Turn,
        key: StreamKey,
        steps: u32,
        by_relay: bool,
    ) -> Result<(), Refusal> {
        let Some(view) = self.stream(&key).filter(|view| !view.has_ended()) else {
            return refusal(Code::UnknownStream, Code::UnknownStream.title());
        };
        if steps == 0 || u64::from(steps) > view.usable {
            let StreamView { left, usable, .. } = view;
            let detail = format!(
                "{steps} steps are wanted, and {left} are left, {usable} in locks that the payee has"
            );
            return refusal(Code::StreamSpent, detail);
        }
        let locks = self.state.streams.locks_of(&key);
        let usable = locks.map(|lock| (lock.anchor, lock.shown, self.usable_steps(lock)));
        let mut wanted = steps;
        let mut moves = Vec::new();
        for (anchor, shown, usable) in usable.collect::<Vec<_>>() {
            let more = usable.min(wanted);
            if more > 0 {
                let steps = shown.saturating_add(more);
                let token = self.token(anchor, steps);
                let token = token.ok_or_else(|| (Code::Internal, "a chain is lost".to_owned()))?;
                moves.push(token);
                wanted = wanted.saturating_sub(more);
            }
        }
        // The answer to whoever asked comes first.
        turn.tell(Event::Steps(moves.clone()));
        for StepToken { anchor, steps, .. } in moves {
            self.commit(turn, Record::Shown { anchor, steps, secret: None });
            self.live.entry(anchor).or_default().by_relay |= by_relay;
            if by_relay {
                self.send_steps(turn, anchor, false);
            }
        }
        Ok(())
    }

    /// The secret that shows so many steps of a lock. Its chain is made again after a restart.
    fn token(&mut self, anchor: Anchor, steps: u32) -> Option<StepToken> {
        let lock = self.state.streams.get(&anchor)?;
        let (seed, all) = (lock.seed?, lock.steps);
        let live = self.live.entry(anchor).or_default();
        let chain = live.chain.get_or_insert_with(|| Chain::new(seed, all));
        chain.secret(steps).map(|secret| StepToken { anchor, steps, secret })
    }

    /// Puts the newest steps on the relay, unless some are on the way already that are not known to
    /// be lost.
    pub(super) fn send_steps(&mut self, turn: &mut Turn, anchor: Anchor, again: bool) {
        let Some(lock) = self.state.streams.get(&anchor).filter(|lock| lock.is_open()) else {
            return;
        };
        let (peer, shown) = (lock.peer, lock.shown);
        let Some(live) = self.live.get_mut(&anchor) else { return };
        let on_the_way = live.sent > live.taken && !again;
        if shown <= live.taken || on_the_way || !live.by_relay {
            return;
        }
        let mut at = live.taken;
        (live.sent, live.sent_ms) = (shown, turn.now_ms);
        // A payee walks no further than this for one message.
        while at < shown {
            at = at.saturating_add(HASHES_PER_MESSAGE).min(shown);
            if let Some(token) = self.token(anchor, at) {
                self.relay(turn, &peer, &Body::Step(token));
            }
        }
    }

    /// Says something to another wallet, end-to-end encrypted.
    pub(in super::super) fn relay(&mut self, turn: &mut Turn, to: &PublicKey, body: &Body) {
        if !self.connected {
            return;
        }
        let sealed = self.relay_keys.seal(body, &self.config.key, to, &self.ledger);
        let Ok(ciphertext) = sealed else { return };
        turn.act(Action::Send(Message::Relay { to: *to, from: self.me, ciphertext }));
    }

    /// The payee says how far it is: nothing that could cost money, so it is taken at its word.
    pub(super) fn hear_taken(&mut self, turn: &mut Turn, anchor: Anchor, steps: u32) {
        let Some(lock) = self.state.streams.get(&anchor).filter(|lock| lock.is_open()) else {
            return;
        };
        let (key, shown) = (lock.key(), lock.shown);
        let live = self.live.entry(anchor).or_default();
        let steps = steps.min(shown);
        // One that takes nothing now is asked again later.
        if steps == live.taken && live.ready {
            return;
        }
        (live.taken, live.ready) = (steps, true);
        // What is on the way still is until it has arrived, or its time is over: who says first less and
        // then more draws no more messages than steps.
        if steps >= live.sent {
            live.sent = steps;
            self.send_steps(turn, anchor, false);
        }
        self.tell_stream(turn, &key);
    }

    /// Takes no further step from a stream's locks, and asks its payee to give the rest back.
    pub(super) fn close_out(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor).filter(|lock| !lock.has_ended()) else {
            return;
        };
        let (peer, open) = (lock.peer, lock.is_open());
        let live = self.live.entry(anchor).or_default();
        live.closing = true;
        if open {
            live.asked_ms = Some(turn.now_ms);
            // The newest step first: it may not have arrived.
            self.send_steps(turn, anchor, true);
            self.relay(turn, &peer, &Body::Close { anchor });
        }
    }

    /// The payee takes no more of a lock: what it redeemed is settled at once, and the rest comes
    /// back.
    pub(super) fn hear_closed(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor).filter(|lock| lock.is_open()) else {
            return;
        };
        let (key, place) = (lock.key(), lock.lock);
        let live = self.live.entry(anchor).or_default();
        let news = !std::mem::replace(&mut live.closing, true);
        if let Some((id, _)) = place {
            self.link(id).flush = true;
            self.attend(turn, id);
        }
        if news {
            self.tell_stream(turn, &key);
        }
    }

    /// Whether what the hub has just shown of this lock is to be settled at once: because the rest
    /// waits for it, or because the lock is used up, and its place may be needed for the next.
    pub(in super::super) fn hurries(&self, id: ChannelId, lock: u64) -> bool {
        let Some(lock) = self.state.streams.at(id, Way::Out, lock) else { return false };
        lock.is_used_up() || self.live.get(&lock.anchor).is_some_and(|live| live.closing)
    }

    /// Time has passed: what was not answered is said again.
    pub(super) fn remind(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        let waited = |since: u64| now_ms.abs_diff(since) >= AGAIN_MS;
        let (mut steps, mut closes, mut queries) = (Vec::new(), Vec::new(), Vec::new());
        for lock in self.state.streams.open().filter(|lock| lock.way == Way::Out) {
            let Some(live) = self.live.get(&lock.anchor) else { continue };
            if live.closing && live.asked_ms.is_none_or(waited) {
                closes.push(lock.anchor);
            } else if live.taken < lock.shown && live.by_relay && waited(live.sent_ms) {
                steps.push(lock.anchor);
            } else if !live.closing
                && !lock.is_at_payee(Some(live))
                && waited(live.queried_ms.unwrap_or(lock.created_ms))
            {
                queries.push((lock.anchor, lock.peer));
            }
        }
        for (anchor, peer) in queries {
            self.live.entry(anchor).or_default().queried_ms = Some(now_ms);
            self.relay(turn, &peer, &Body::Query { anchor });
        }
        steps.into_iter().for_each(|anchor| self.send_steps(turn, anchor, true));
        closes.into_iter().for_each(|anchor| self.close_out(turn, anchor));
    }
}

impl Order {
    fn lock(&self, anchor: Anchor, now_ms: u64) -> StreamLock {
        StreamLock {
            anchor,
            stream: self.stream,
            number: 0,
            way: Way::Out,
            peer: self.payee,
            asset: self.asset,
            unit: self.unit,
            fee_per_step: Amount::ZERO,
            fee_upfront: Amount::ZERO,
            steps: 0,
            seed: None,
            memo: self.memo.clone(),
            lock: None,
            expiry: Height(0),
            shown: 0,
            secret: None,
            redeemed: 0,
            settled: 0,
            state: StreamState::Wanted,
            created_ms: now_ms,
        }
    }
}
