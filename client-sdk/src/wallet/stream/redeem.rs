//! Redeeming what a payee holds of its streams, and giving the rest up.

use settlement::channel::{Answer, HASHES_PER_MESSAGE, Phase};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId};

use super::super::core::Turn;
use super::super::pay::{Refusal, refusal};
use super::super::{Wallet, Way};
use super::{REDEEM_MS, StreamKey, StreamLock};

impl Wallet {
    /// Shows the hub the newest step of a lock. From then on it is claimed on the ledger, if the hub
    /// does not settle it; so this does not wait for the hub.
    pub(in super::super) fn redeem(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor) else { return };
        let (Some((id, number)), Some(newest)) = (lock.lock, lock.secret) else { return };
        let (more, shown) = (lock.shown.saturating_sub(lock.redeemed), lock.shown);
        let left = lock.steps.saturating_sub(shown);
        if let Some(live) = self.live.get_mut(&anchor) {
            (live.due_since_ms, live.hurried) = (None, live.hurried && more == 0);
        }
        if more == 0 {
            return;
        }
        let strides = Lock::strides(&newest, more, HASHES_PER_MESSAGE);
        let whole = (0u32..).map(|strides| strides.saturating_mul(HASHES_PER_MESSAGE));
        let beyond: Vec<u32> = whole.take(strides.len()).collect();
        // They were measured one by one when they were taken.
        for (secret, beyond) in strides.iter().zip(beyond.into_iter().rev()) {
            let left = left.saturating_add(beyond);
            let step = self.channel(&id).map(|it| it.reveal_measured(number, secret, left));
            if let Some(Ok(Some(step))) = step {
                self.step(turn, id, step);
            }
        }
    }

    /// Redeems when one message would not be enough any more.
    pub(super) fn redeem_long(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor) else { return };
        if lock.shown.saturating_sub(lock.redeemed) >= HASHES_PER_MESSAGE {
            self.redeem(turn, anchor);
        }
    }

    /// Redeems the locks of a stream that are used up, but for the newest: a payer whose locks are of a
    /// few steps runs out of places for them if each stands for a second more. The newest waits for that:
    /// its payer's next one may be on its way, and a stream of which no lock stands is over.
    pub(super) fn redeem_used_up(&mut self, turn: &mut Turn, key: &StreamKey) {
        let open = self.state.streams.locks_of(key).rev().filter(|lock| lock.is_open()).skip(1);
        let used_up = open.filter(|lock| lock.left() == 0 && !lock.is_used_up());
        let used_up: Vec<Anchor> = used_up.map(|lock| lock.anchor).collect();
        used_up.into_iter().for_each(|anchor| self.redeem(turn, anchor));
    }

    /// Redeems what has waited long enough.
    pub(super) fn redeem_due(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        let due = |since: u64| now_ms.abs_diff(since) >= REDEEM_MS;
        let waiting = self.live.iter().filter(|(_, live)| live.due_since_ms.is_some_and(due));
        let waiting: Vec<Anchor> = waiting.map(|(anchor, _)| *anchor).collect();
        waiting.into_iter().for_each(|anchor| self.redeem(turn, anchor));
    }

    /// What is in hand and can't wait: the channel goes to the ledger, or a lock is so near its end that
    /// no further step of it is taken. From the blocks alone, whatever the clock says.
    pub(in super::super) fn redeem_late(&mut self, turn: &mut Turn, id: ChannelId) {
        let Some(channel) = self.channel(&id) else { return };
        if matches!(channel.phase(), Phase::ClosingSoon | Phase::Closing { .. }) {
            return self.redeem_all(turn, id);
        }
        let policy = &self.config.policy;
        let reach = policy.claim_margin.saturating_add(policy.settle_grace);
        let soon = self.seen.height.after(reach);
        let late = |lock: &&StreamLock| lock.shown > lock.redeemed && lock.expiry <= soon;
        let held = self.state.streams.standing(id, Way::In).filter(late);
        let held: Vec<Anchor> = held.map(|lock| lock.anchor).collect();
        held.into_iter().for_each(|anchor| self.redeem(turn, anchor));
    }

    /// Everything in hand is claimed.
    pub(in super::super) fn redeem_all(&mut self, turn: &mut Turn, id: ChannelId) {
        let unredeemed = |lock: &&StreamLock| lock.shown > lock.redeemed;
        let held = self.state.streams.standing(id, Way::In).filter(unredeemed);
        let held: Vec<Anchor> = held.map(|lock| lock.anchor).collect();
        held.into_iter().for_each(|anchor| self.redeem(turn, anchor));
    }

    /// Takes no more of a lock, redeems what there is, and gives the rest up.
    pub(super) fn close_in(&mut self, turn: &mut Turn, anchor: Anchor) {
        let Some(lock) = self.state.streams.get(&anchor) else { return };
        let (place, ended, key) = (lock.lock, lock.has_ended(), lock.key());
        let news = !ended && {
            let live = self.live.entry(anchor).or_default();
            !std::mem::replace(&mut live.closing, true)
        };
        self.say_taken(turn, anchor);
        if let Some((id, _)) = place.filter(|_| !ended) {
            self.wind_up(turn, anchor);
            self.attend(turn, id);
        }
        if news {
            self.tell_stream(turn, &key);
        }
    }

    /// Gives up what is left of the locks in a channel that are being closed, as far as they are
    /// settled.
    pub(in super::super) fn wind_up_all(&mut self, turn: &mut Turn, id: ChannelId) {
        let closing = |anchor: &Anchor| self.live.get(anchor).is_some_and(|live| live.closing);
        let standing = self.state.streams.standing(id, Way::In).map(|lock| lock.anchor);
        let anchors: Vec<Anchor> = standing.filter(closing).collect();
        anchors.into_iter().for_each(|anchor| self.wind_up(turn, anchor));
    }

    /// What was redeemed is folded first: the rest is given up once nothing of it is known to the
    /// hub that is not settled. An update without operations has the hub settle at once.
    fn wind_up(&mut self, turn: &mut Turn, anchor: Anchor) {
        self.redeem(turn, anchor);
        let Some(lock) = self.state.streams.get(&anchor).filter(|lock| lock.is_open()) else {
            return;
        };
        let Some((id, number)) = lock.lock else { return };
        let usable = self.channel(&id).is_some_and(|channel| channel.usable().is_ok());
        let known = self.channel(&id).and_then(|channel| channel.incoming().locks.get(&number));
        match known.map(|known| known.answer) {
            Some(None | Some(Answer::Held)) if usable => {
                self.give_up(turn, id, number, Code::StreamClosed);
            }
            Some(Some(Answer::Known { .. })) if usable && self.is_synced(&id) => {
                let live = self.live.entry(anchor).or_default();
                if !std::mem::replace(&mut live.hurried, true) {
                    self.link(id).acknowledge = true;
                }
            }
            _ => {}
        }
    }

    /// Redeems every step in hand of a stream.
    pub(in super::super) fn redeem_stream(
        &mut self,
        turn: &mut Turn,
        key: &StreamKey,
    ) -> Result<(), Refusal> {
        let anchors: Vec<Anchor> =
            self.state.streams.locks_of(key).map(|lock| lock.anchor).collect();
        if anchors.is_empty() || key.way == Way::Out {
            return refusal(Code::UnknownStream, Code::UnknownStream.title());
        }
        anchors.into_iter().for_each(|anchor| self.redeem(turn, anchor));
        self.tell_stream(turn, key);
        Ok(())
    }
}
