//! The payee's side: taking locks and steps. What becomes of them is beside this, in `redeem`.

use std::collections::{BTreeMap, BTreeSet};

use settlement::channel::HASHES_PER_MESSAGE;
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId, PublicKey, Secret};

use super::super::ask::Wish;
use super::super::core::Turn;
use super::super::pay::{Refusal, refusal};
use super::super::{Event, Record, Wallet, Way};
use super::{
    HASHES_PER_SECOND, STEPS_MIN, STREAM_LOCKS_MAX, STREAM_LOCKS_OF_ONE_PAYER, StreamKey,
    StreamLock, StreamState,
};
use crate::relay::{Body, Ciphertext, StepToken};

/// What messages that brought nothing have cost, in which second.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Wasted {
    second: u64,
    /// Hashes that were made for steps that did not fit. By payer, so that junk of one has nobody else's
    /// steps refused; there are no more payers than locks in this wallet's channels.
    hashes: BTreeMap<PublicKey, u32>,
    /// Locks of which their payers were told again what they had been told, by payer: no more than a
    /// payer's locks can stand. It is asked of locks that have ended, too, which are kept for good.
    repeated: BTreeMap<PublicKey, BTreeSet<Anchor>>,
}

impl Wasted {
    /// What they have cost in the second that it is.
    fn now(&mut self, now_ms: u64) -> &mut Wasted {
        let second = now_ms / 1_000;
        if self.second != second {
            *self = Wasted { second, ..Wasted::default() };
        }
        self
    }
}

impl Wallet {
    /// Another wallet says something, as the hub has it. Who is in no stream with this wallet, and
    /// neither was asked for an invoice nor may ask, has nothing to say to it.
    pub(in super::super) fn hear_relay(
        &mut self,
        turn: &mut Turn,
        from: PublicKey,
        ciphertext: &Ciphertext,
    ) {
        if !self.state.streams.knows(&from) && !self.hears_stranger(turn, &from) {
            return;
        }
        let opened = self.relay_keys.open(ciphertext, &from, &self.config.key, &self.ledger);
        let Ok(body) = opened else { return };
        let of = |anchor: &Anchor, way: Way| {
            let lock = self.state.streams.get(anchor);
            lock.is_some_and(|lock| lock.way == way && lock.peer == from)
        };
        match body {
            Body::Step(token) if of(&token.anchor, Way::In) => {
                // One that does not fit, or comes too late, is ignored; the payer hears how far the
                // payee is, and goes on from there.
                let _ = self.take_step(turn, &token);
                self.say_taken(turn, token.anchor);
            }
            Body::Query { anchor } if of(&anchor, Way::In) => self.say_taken(turn, anchor),
            Body::Close { anchor } if of(&anchor, Way::In) => self.close_in(turn, anchor),
            Body::Taken { anchor, steps } if of(&anchor, Way::Out) => {
                self.hear_taken(turn, anchor, steps);
            }
            Body::Closed { anchor, .. } if of(&anchor, Way::Out) => self.hear_closed(turn, anchor),
            Body::Ask { ask, asset, amount, memo } => {
                self.hear_ask(turn, from, ask, Wish { asset, amount, memo });
            }
            Body::Invoice { ask, invoice } => self.hear_answer(from, &ask, Ok(invoice)),
            Body::Declined { ask, code } => self.hear_answer(from, &ask, Err(code)),
            // Of a lock that has not come yet: it is said again.
            _ => {}
        }
    }

    /// Whether one more lock of a stream leaves enough room for others. What its payer has used up is on its
    /// way out, and not counted.
    pub(in super::super) fn check_places(
        &self,
        id: ChannelId,
        payer: &PublicKey,
        steps: u32,
    ) -> Result<(), Code> {
        if steps < STEPS_MIN {
            return Err(Code::StepsOutOfRange);
        }
        let kept = self.state.streams.standing(id, Way::In).filter(|lock| lock.left() > 0);
        let (mut all, mut theirs) = (0, 0);
        for lock in kept {
            all += 1;
            theirs += usize::from(lock.peer == *payer);
        }
        let full = all >= STREAM_LOCKS_MAX || theirs >= STREAM_LOCKS_OF_ONE_PAYER;
        if full { Err(Code::NoCapacity) } else { Ok(()) }
    }

    /// A lock that its payer's payload says to be of a stream, as the payload says it: taken.
    pub(in super::super) fn accept_stream(&mut self, turn: &mut Turn, lock: StreamLock) {
        let (anchor, key) = (lock.anchor, lock.key());
        self.commit(turn, Record::Stream(Box::new(lock)));
        // A stream that this wallet has closed takes no further lock.
        let closed = self.state.streams.locks_of(&key).any(|lock| {
            let closing = self.live.get(&lock.anchor).is_some_and(|live| live.closing);
            closing || lock.state == StreamState::Ended(Some(Code::StreamClosed))
        });
        if closed {
            return self.close_in(turn, anchor);
        }
        self.say_taken(turn, anchor);
        self.redeem_used_up(turn, &key);
    }

    /// Says how far this side is with a lock: at once where that is news, and else once a second, however
    /// often it is asked. What is said costs a share of what the hub passes on for this wallet.
    pub(super) fn say_taken(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor) else { return };
        let (peer, steps, ended) = (lock.peer, lock.shown, lock.has_ended());
        let live = (!ended).then(|| self.live.entry(anchor).or_default());
        let over = live.as_ref().is_none_or(|live| live.closing);
        let told = live.map(|live| live.told.replace((steps, over)));
        let is_news = told.is_some_and(|told| told != Some((steps, over)));
        if !is_news {
            let repeated = self.wasted.now(turn.now_ms).repeated.entry(peer).or_default();
            if repeated.len() >= STREAM_LOCKS_OF_ONE_PAYER || !repeated.insert(anchor) {
                return;
            }
        }
        let body =
            if over { Body::Closed { anchor, steps } } else { Body::Taken { anchor, steps } };
        self.relay(turn, &peer, &body);
    }

    /// Steps of a lock, from whichever way: durable here, if they fit and can be claimed.
    pub(in super::super) fn take_step(
        &mut self,
        turn: &mut Turn,
        token: &StepToken,
    ) -> Result<(), Refusal> {
        let StepToken { anchor, steps, secret } = *token;
        let known = self.state.streams.get(&anchor);
        let known = known.filter(|lock| lock.way == Way::In && lock.is_open());
        let Some((lock, (id, number))) = known.and_then(|lock| Some((lock, lock.lock?))) else {
            return refusal(Code::UnknownStream, Code::UnknownStream.title());
        };
        if steps <= lock.shown {
            return Ok(());
        }
        let newest = lock.secret.map_or(anchor.0, |secret| secret.0);
        let (more, within, payer) = (steps - lock.shown, steps <= lock.steps, lock.peer);
        let (key, is_last) = (lock.key(), steps == lock.steps);
        let now = self.now(turn.now_ms);
        let claimable = self.channel(&id).map(|channel| channel.claimable(number, &now));
        if let Some(Err(code)) = claimable {
            return refusal(code, "no step of this lock can be claimed any more");
        }
        if !within || more > HASHES_PER_MESSAGE || !self.fits(turn, payer, &secret, (more, newest))
        {
            return refusal(Code::StepMismatch, Code::StepMismatch.title());
        }
        self.commit(turn, Record::Shown { anchor, steps, secret: Some(secret) });
        let live = self.live.entry(anchor).or_default();
        live.due_since_ms.get_or_insert(turn.now_ms);
        self.redeem_long(turn, anchor);
        if is_last {
            self.redeem_used_up(turn, &key);
        }
        Ok(())
    }

    /// Whether so many steps turn a secret into the newest one. What does not fit costs no more than
    /// a share of each second.
    fn fits(
        &mut self,
        turn: &Turn,
        payer: PublicKey,
        secret: &Secret,
        (steps, newest): (u32, [u8; 32]),
    ) -> bool {
        let hashes = &mut self.wasted.now(turn.now_ms).hashes;
        let wasted = hashes.get(&payer).copied().unwrap_or(0);
        if wasted >= HASHES_PER_SECOND {
            return false;
        }
        let fits = (0..steps).fold(secret.0, |value, _| chain_step(&value)) == newest;
        if !fits {
            hashes.insert(payer, wasted.saturating_add(steps));
        }
        fits
    }

    /// Everything that time does to streams.
    pub(in super::super) fn tick_streams(&mut self, turn: &mut Turn) {
        if self.live.is_empty() && self.state.streams.is_empty() {
            return;
        }
        self.redeem_due(turn);
        if self.connected {
            self.remind(turn);
        }
    }

    /// After a start: what was in hand is redeemed soon, and what was handed out is said again.
    pub(in super::super) fn wake_streams(&mut self, turn: &Turn) {
        for lock in self.state.streams.open() {
            let live = self.live.entry(lock.anchor).or_default();
            match lock.way {
                Way::In if lock.shown > lock.redeemed => live.due_since_ms = Some(turn.now_ms),
                Way::In => {}
                Way::Out => live.by_relay = true,
            }
        }
    }

    /// Closes every lock of a stream, from whichever side.
    pub(in super::super) fn close_stream(
        &mut self,
        turn: &mut Turn,
        key: &StreamKey,
    ) -> Result<(), Refusal> {
        let locks = self.state.streams.locks_of(key).filter(|lock| !lock.has_ended());
        let anchors: Vec<Anchor> = locks.map(|lock| lock.anchor).collect();
        if self.stream(key).is_none() {
            return refusal(Code::UnknownStream, Code::UnknownStream.title());
        }
        for anchor in anchors {
            match key.way {
                Way::Out => self.close_out(turn, anchor),
                Way::In => self.close_in(turn, anchor),
            }
        }
        self.tell_stream(turn, key);
        Ok(())
    }

    /// A step that its payer has handed over in another way than by the relay.
    pub(in super::super) fn take_token(
        &mut self,
        turn: &mut Turn,
        token: &StepToken,
    ) -> Result<(), Refusal> {
        let key = self.state.streams.get(&token.anchor).map(StreamLock::key);
        self.take_step(turn, token)?;
        if let Some(key) = key {
            self.tell_stream(turn, &key);
        }
        Ok(())
    }

    /// Streams stand differently: their users are told, and what ended needs no hand any more.
    pub(in super::super) fn follow_streams(&mut self, turn: &mut Turn, changed: &[Anchor]) {
        for anchor in changed {
            let Some(lock) = self.state.streams.get(anchor) else { continue };
            let key = lock.key();
            if lock.has_ended() {
                self.live.remove(anchor);
            }
            self.tell_stream(turn, &key);
        }
    }

    pub(in super::super) fn tell_stream(&self, turn: &mut Turn, key: &StreamKey) {
        if let Some(view) = self.stream(key) {
            turn.tell(Event::Stream(Box::new(view)));
        }
    }
}
