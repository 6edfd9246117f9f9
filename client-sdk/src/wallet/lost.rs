//! Taking back from the hub what this wallet has lost, and showing the hub what that has.
//!
//! A wallet runs on an old copy of its home, or on nothing but its seed and the ledger. The hub
//! shows both directions in full; what of it is adopted is the channel's matter
//! ([`Channel::check_snapshots`]). What is lost for good are the records of payments, and with them
//! the secrets of invoices: an invoice that is not known to be unpaid is ended, since its secret may
//! be out.
//!
//! A hub may show nothing of what was lost. A wallet that was made from its words finds its channels
//! in old blocks, and an old copy finds out by what the hub, or the ledger, shows of one channel: then every
//! channel leaps, and waits out what was signed for the ledger and is forgotten.

use std::collections::BTreeSet;

use settlement::block::LedgerEvent;
use settlement::channel::{
    Adopted, Adoption, Channel, Effect, Phase, Step, TakenLock, VerifiedSnapshot, leapt_at,
};
use settlement::crypto::{Signable, Signed, VerifyingKey};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, Role, Salt};
use settlement::update::{Destination, Payload};
use settlement::wire::Message;

use super::core::Turn;
use super::state::State;
use super::{Action, Event, Payment, PaymentState, Wallet, Way};

/// The most secrets that are said again.
const RETOLD_MAX: usize = 1_000;

impl Wallet {
    /// The hub shows a direction in full. It is judged with what else is shown at its next `Sync`.
    pub(super) fn hear_snapshot(&mut self, id: ChannelId, message: Message) {
        let Some(terms) = self.channel(&id).map(|channel| *channel.terms()) else { return };
        let Some((direction, taken)) = message.into_taken() else { return };
        let Ok(key) = VerifyingKey::parse(terms.key(direction)) else { return };
        let Ok(snapshot) = VerifiedSnapshot::check(direction, taken, &key) else { return };
        let shown = &mut self.link(id).shown;
        shown.retain(|known| known.proof().from != direction);
        shown.push(snapshot);
    }

    /// What is shown can't be judged before the blocks are known that fund it: the hub is asked again, as
    /// where it has not answered.
    pub(super) fn shown_too_early(&mut self, turn: &Turn, id: ChannelId) -> bool {
        let early = !self.link(id).shown.is_empty() && !self.view(turn.now_ms).fresh;
        if early {
            let link = self.link(id);
            link.shown.clear();
            (link.synced, link.asked_ms) = (false, turn.now_ms);
        }
        early
    }

    /// Takes what the hub has shown, if it is what this wallet has lost.
    pub(super) fn take_back(&mut self, turn: &mut Turn, id: ChannelId) {
        let shown = std::mem::take(&mut self.link(id).shown);
        if shown.is_empty() {
            return;
        }
        self.look_for_loss(turn, id, &shown);
        let now = self.now(turn.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        match channel.check_snapshots(&shown, channel.is_recovering(), &now) {
            Adoption::Take(step) => {
                self.note_shown(&step);
                self.step(turn, id, step);
            }
            Adoption::Close => self.refuse_shown(turn, id),
            Adoption::Nothing | Adoption::Wait => {}
        }
    }

    /// A proof that this wallet has signed, and would not have numbered so if it knew all that it
    /// had signed: then it knows no channel for certain.
    fn look_for_loss(&mut self, turn: &mut Turn, id: ChannelId, shown: &[VerifiedSnapshot]) {
        let Some(channel) = self.channel(&id) else { return };
        let last = channel.outgoing().last_seq;
        let mut own = shown.iter().map(VerifiedSnapshot::proof).filter(|p| p.from == Role::Wallet);
        if own.any(|proof| proof.seq > last) {
            self.lose(turn, id);
            self.lose_all_but(turn, id);
        }
    }

    /// What one channel has shown, or the ledger of it, is said of all others, too.
    pub(super) fn lose_all_but(&mut self, turn: &mut Turn, shown: ChannelId) {
        for other in self.channel_ids().into_iter().filter(|id| *id != shown) {
            self.lose(turn, other);
        }
    }

    /// What is known of this channel may not be all: it leaps, and waits, whatever the hub shows.
    pub(super) fn lose(&mut self, turn: &mut Turn, id: ChannelId) {
        // One that waits has leapt for the same loss.
        let channel = self.channel(&id).filter(|channel| !channel.waits_out());
        let Some(step) = channel.and_then(Channel::lose) else { return };
        self.step(turn, id, step);
        // The sides meet anew once it has leapt.
        let link = self.link(id);
        (link.synced, link.met) = (false, false);
        self.fail_wanted(turn, id, Code::Recovering);
    }

    /// What the hub shows hides what it owes, or would raise what this wallet owes.
    fn refuse_shown(&mut self, turn: &mut Turn, id: ChannelId) {
        let detail = format!(
            "the hub does not show all that was agreed on channel {id}, which this wallet has \
             lost: it is closed on the ledger"
        );
        turn.refuse(Code::StateLost, detail, None);
        self.step(turn, id, Step::Closing);
        self.submit(turn, id, true);
    }

    /// Shows the hub both directions in full, once for each time that it was asked what it holds.
    pub(super) fn show(&mut self, turn: &mut Turn, id: ChannelId) {
        let link = self.link(id);
        link.retell = true;
        if std::mem::replace(&mut link.showing, true) {
            return;
        }
        let detail = format!(
            "the hub has lost its newest state of channel {id}; it is shown what it has lost, and \
             payments go on when it has taken that back"
        );
        turn.refuse(Code::StateLost, detail, None);
        let Some(channel) = self.channel(&id) else { return };
        if let Some((proof, locks)) = channel.own_snapshot() {
            // A batch of one has no neighbours that a salt would hide it from.
            let mut salt = [0; Salt::LEN];
            salt.iter_mut().zip(proof.digest().0).for_each(|(to, from)| *to = from);
            let proof = Signed::alone(&self.config.key, proof, Salt(salt));
            let locks = locks.iter().map(|lock| self.shown_lock(id, lock)).collect();
            turn.act(Action::Send(Message::snapshot(settlement::channel::Taken { proof, locks })));
        }
        let theirs = channel.their_snapshot().map(Message::snapshot);
        turn.out.actions.extend(theirs.map(Action::Send));
        self.tell_early(turn, id);
        self.say_sync(turn, id);
    }

    /// A lock of this wallet's own, with whom it pays. Its payload is not kept.
    fn shown_lock(&self, id: ChannelId, lock: &Lock) -> TakenLock {
        let payment = self.state.payments.get(&lock.anchor);
        let payee = payment.filter(|payment| payment.way == Way::Out).and_then(|p| p.peer);
        // What is left of a stream's lock has another anchor than the whole.
        let payee = payee.or_else(|| Some(self.state.streams.at(id, Way::Out, lock.id)?.peer));
        let to = Destination { hub: None, wallet: payee.unwrap_or(self.me) };
        TakenLock { lock: *lock, to, payload: Payload::default() }
    }

    /// The sides have met, for the `first` time on this connection or again.
    pub(super) fn retell_met(&mut self, turn: &mut Turn, id: ChannelId, first: bool) {
        if std::mem::take(&mut self.link(id).retell) || first && self.hub_leapt_lately(id) {
            self.retell(turn, id);
        }
    }

    /// Whether the hub is known to have lost state, and may still have to collect for what it paid
    /// before. This wallet may have ended before it told it all.
    pub(super) fn hub_leapt_lately(&self, id: ChannelId) -> bool {
        let leapt = self.channel(&id).and_then(|channel| leapt_at(channel.incoming().tally.seq));
        // No hub leaps to a block that is not there yet.
        let leapt = leapt.filter(|at| *at <= self.seen.height.after(self.lag()));
        leapt.is_some_and(|at| at.after(self.collecting()) >= self.seen.height)
    }

    /// How long after a lock of this wallet's has ended the payer's may stand.
    fn collecting(&self) -> u64 {
        let policy = &self.config.policy;
        policy.lock_life_max.saturating_add(policy.expiry_delta)
    }

    /// Says all secrets that the hub has, or may have, forgotten, before the sides have met: it may
    /// not be able to take the channel back before its payers' locks end.
    fn tell_early(&self, turn: &mut Turn, id: ChannelId) {
        let again = self.channel(&id).map(Channel::to_resend).unwrap_or_default();
        turn.out.actions.extend(again.into_iter().filter_map(|effect| match effect {
            Effect::SendReveal { id: lock, secret } => {
                Some(Action::Send(Message::Reveal { channel: id, id: lock, secret }))
            }
            _ => None,
        }));
        self.retell(turn, id);
    }

    /// Says the secrets of what was settled lately again: a hub that has lost state may not have
    /// them any more, and has to collect from the payers.
    pub(super) fn retell(&self, turn: &mut Turn, id: ChannelId) {
        let Some(channel) = self.channel(&id) else { return };
        let reach = self.collecting();
        let stands = |lock: u64| channel.incoming().tally.lock(lock).is_some();
        let lately = |expires: Height| expires.after(reach) >= self.seen.height;
        let payments = self
            .payments()
            .filter(|payment| (payment.way, payment.state) == (Way::In, PaymentState::Settled))
            .filter(|payment| lately(payment.expires))
            .filter_map(|payment| Some((payment.lock?, payment.secret?)));
        let streams = self
            .state
            .streams
            .all()
            .filter(|lock| lock.way == Way::In && lately(lock.expiry))
            .filter_map(|lock| Some((lock.lock?, lock.settled_secret()?)));
        let mut settled: Vec<_> =
            payments.chain(streams).filter(|((of, lock), _)| *of == id && !stands(*lock)).collect();
        settled.sort_unstable_by_key(|((_, lock), _)| std::cmp::Reverse(*lock));
        for ((channel, lock), secret) in settled.into_iter().take(RETOLD_MAX) {
            turn.act(Action::Send(Message::Reveal { channel, id: lock, secret }));
        }
    }

    /// Leaps, when it is time; then the sides meet. And ends the wait that comes after.
    pub(super) fn leap(&mut self, turn: &mut Turn, id: ChannelId) {
        let now = self.now(turn.now_ms);
        let Some(fresh_from) = self.fresh_from else { return };
        let step = self.channel(&id).and_then(|channel| channel.leap(fresh_from, &now));
        if let Some(step) = step {
            self.step(turn, id, step);
            turn.tell(Event::Channel(id));
            self.meet(turn, id);
        }
        let now = self.now(turn.now_ms);
        let step = self.channel(&id).and_then(|channel| channel.wait_out(fresh_from, &now));
        if let Some(step) = step {
            self.step(turn, id, step);
            turn.tell(Event::Channel(id));
        }
    }
}

impl State {
    /// What taking a channel back means for payments.
    pub(super) fn adopted(&mut self, id: ChannelId, adopted: &Adopted) -> Vec<Anchor> {
        let asset = self.channels.get(&id).map(Channel::terms).map(|terms| terms.asset);
        let mut changed = Vec::new();
        if let (Some(own), Some(asset)) = (&adopted.own, asset) {
            let stand: BTreeSet<Anchor> = own.locks.iter().map(|it| it.lock.anchor).collect();
            let here = |payment: &Payment| payment.lock.is_some_and(|(channel, _)| channel == id);
            changed =
                self.end_lost(Way::Out, |payment| here(payment) && !contains(&stand, payment));
            // An anchor is never locked twice while it could be claimed.
            for taken in &own.locks {
                if self.streams.at(id, Way::Out, taken.lock.id).is_some() {
                    continue;
                }
                self.put(self.payment_of(id, asset, taken));
                changed.push(taken.lock.anchor);
            }
        }
        if let Some(theirs) = &adopted.theirs {
            let stand: BTreeSet<Anchor> = theirs.locks.iter().map(|it| it.lock.anchor).collect();
            changed.extend(self.end_lost(Way::In, |payment| !contains(&stand, payment)));
        }
        changed
    }

    /// Ends pending payments of which is not known any more what has become of them.
    fn end_lost(&mut self, way: Way, which: impl Fn(&Payment) -> bool) -> Vec<Anchor> {
        let pending = self.payments.values();
        let lost = pending.filter(|p| p.way == way && p.state == PaymentState::Pending && which(p));
        let lost: Vec<Payment> = lost.cloned().collect();
        let state = PaymentState::Failed(Code::StateLost);
        lost.iter().for_each(|payment| self.put(Payment { state, ..payment.clone() }));
        lost.iter().map(|payment| payment.anchor).collect()
    }

    /// The payment that an own lock is of. One that is not remembered is made up: the fee is in its
    /// amount then.
    fn payment_of(&self, id: ChannelId, asset: AssetId, taken: &TakenLock) -> Payment {
        let TakenLock { lock, to, .. } = taken;
        let place = Some((id, lock.id));
        let known = self.payments.get(&lock.anchor).filter(|payment| payment.way == Way::Out);
        if let Some(known) = known {
            let paid = known.state == PaymentState::Settled;
            let state = if paid { known.state } else { PaymentState::Pending };
            return Payment { lock: place, state, ..known.clone() };
        }
        Payment {
            anchor: lock.anchor,
            way: Way::Out,
            state: PaymentState::Pending,
            asset,
            amount: lock.value().unwrap_or_default(),
            fee: Amount::ZERO,
            peer: Some(to.wallet),
            memo: String::new(),
            secret: None,
            lock: place,
            expires: lock.expiry,
            created_ms: 0,
        }
    }
}

/// Whether the ledger shows with this, for the first time, more than this side knows to have signed.
pub(super) fn show_loss(channel: &Channel, steps: &[Step]) -> bool {
    let mut after = channel.clone();
    for step in steps {
        after.commit(step);
    }
    after.has_signed_more() && !channel.has_signed_more()
}

/// Whether this pays a channel out by an agreement that this side knows nothing of: it has lost state.
pub(super) fn is_forgotten_close(channel: &Channel, event: &LedgerEvent) -> bool {
    let LedgerEvent::Settled { wallet, cooperative: true, .. } = event else { return false };
    match channel.phase() {
        // Followed once more, after a restart.
        Phase::Closed { .. } => false,
        Phase::Open => true,
        _ => channel.balance(Role::Wallet) != *wallet,
    }
}

fn contains(anchors: &BTreeSet<Anchor>, payment: &Payment) -> bool {
    anchors.contains(&payment.anchor)
}
