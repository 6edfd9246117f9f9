//! What a wallet may not know the end of, as its copy may be old.
//!
//! What was wanted when the process ended, and is in no lock that is known, was mostly never sent, or its lock
//! never paid. But an old copy of a home may lack the update that took it along, or that paid for it, and the hub
//! shows that when the sides meet. So nothing is said of it before they have met on every channel that may have
//! it, or such a lock has expired.
//!
//! What has failed, or is asked for again, may have been paid in what is forgotten. So is what was given up before
//! the sides had met. All that is noted, what is asked for as long as any channel of its asset is not met, and put in doubt
//! ([`Record::Doubted`]) as soon as one shows that the copy is old: however it ends, that is not known then.

use settlement::channel::{Answer, Channel, Now, Phase, Step};
use settlement::reject::Code;
use settlement::types::{Anchor, AssetId, ChannelId, Height};

use super::core::Turn;
use super::{Payment, PaymentState, Record, Wallet, Way};

impl Wallet {
    /// Notes it, once, when the process starts.
    pub(super) fn note_unsent(&mut self, turn: &mut Turn) {
        // What processes before this one did not learn of the hub is as unknown to this one.
        let since = self.state.unmet_from.unwrap_or(self.seen.height);
        let (payments, life) = (&self.state.payments, self.config.policy.lock_life);
        let lockless = payments.values().filter(|payment| is_lockless(payment));
        self.unsent = lockless.map(|payment| payment.anchor).collect();
        let again = |it: &&Payment| is_lockless(it) || may_have_been_retried(it, since, life);
        for payment in payments.values().filter(again) {
            self.maybe_paid.entry(payment.asset).or_default().insert(payment.anchor);
        }
        let closed = |channel: &&Channel| matches!(channel.phase(), Phase::Closed { .. });
        self.closed_before = self.state.channels.values().filter(closed).map(Channel::id).collect();
        self.record_unmet(turn);
    }

    /// So that a process after this one knows since when something may be forgotten.
    fn record_unmet(&mut self, turn: &mut Turn) {
        let known = self.state.unmet_from;
        let noted = self.maybe_paid.keys().any(|asset| self.may_be_shown_loss(*asset));
        let unmet = noted.then(|| known.unwrap_or(self.seen.height));
        if unmet != known {
            self.commit(turn, Record::Unmet(unmet));
        }
    }

    /// An earlier life may have made this payment, as long as a loss may still show.
    pub(super) fn note_asked(&mut self, asset: AssetId, anchor: Anchor) {
        if self.may_be_shown_loss(asset) {
            self.maybe_paid.entry(asset).or_default().insert(anchor);
        }
    }

    /// A lock that the hub shows is what its payment comes to: no other was paid before it.
    pub(super) fn note_shown(&mut self, step: &Step) {
        let Step::Adopted(adopted) = step else { return };
        for taken in adopted.own.iter().flat_map(|own| &own.locks) {
            for noted in self.maybe_paid.values_mut() {
                noted.remove(&taken.lock.anchor);
            }
        }
    }

    /// A lock's time is over, and the hub has not shown whether it was paid.
    pub(super) fn note_expired(&mut self, turn: &mut Turn, id: ChannelId, step: &Step) {
        let Step::PeerAnswered { id: lock, answer: Answer::Expired } = step else { return };
        let Some(channel) = self.channel(&id) else { return };
        let Some(standing) = channel.outgoing().standing.get(lock) else { return };
        let (asset, anchor) = (channel.terms().asset, standing.lock.anchor);
        if channel.has_signed_more() {
            self.doubt(turn, anchor);
        } else if !self.has_met(channel) && self.state.payments.contains_key(&anchor) {
            self.note_asked(asset, anchor);
        }
    }

    /// Fails what no channel can have any more.
    pub(super) fn fail_unsent(&mut self, turn: &mut Turn) {
        self.doubt_noted(turn);
        let unsent: Vec<Anchor> = std::mem::take(&mut self.unsent);
        for anchor in unsent {
            let payment = self.state.payments.get(&anchor).filter(|payment| is_lockless(payment));
            let Some(payment) = payment.cloned() else { continue };
            if !self.puts_off(&payment) {
                let state = PaymentState::Failed(Code::HubUnavailable);
                self.commit(turn, Record::Payment(Payment { state, ..payment }));
            }
        }
    }

    /// A channel is paid out that lacks state, and nothing will show what: all that is noted is in doubt, and what is
    /// pending here.
    pub(super) fn doubt_all(&mut self, turn: &mut Turn, id: ChannelId) {
        let Some(asset) = self.channel(&id).map(|channel| channel.terms().asset) else { return };
        let pending = self.payments().filter(|payment| payment.state == PaymentState::Pending);
        let here = pending.filter(|it| it.lock.is_some_and(|(channel, _)| channel == id));
        let here: Vec<Anchor> = here.map(|payment| payment.anchor).collect();
        let noted = self.maybe_paid.remove(&asset).unwrap_or_default();
        noted.into_iter().chain(here).for_each(|anchor| self.doubt(turn, anchor));
    }

    /// The ledger shows that something is forgotten in this channel. Invoices that wait may have been paid in that,
    /// and their secrets be out.
    pub(super) fn doubt_invoices(&mut self, turn: &mut Turn, id: ChannelId) {
        let Some(asset) = self.channel(&id).map(|channel| channel.terms().asset) else { return };
        let waits = |it: &&Payment| {
            it.way == Way::In && it.state == PaymentState::Pending && it.lock.is_none()
        };
        let waiting = self.payments().filter(waits).filter(|it| it.asset == asset);
        let waiting: Vec<Payment> = waiting.cloned().collect();
        for payment in waiting {
            let state = PaymentState::Failed(Code::StateLost);
            self.commit(turn, Record::Payment(Payment { state, ..payment }));
        }
    }

    fn doubt_noted(&mut self, turn: &mut Turn) {
        for (asset, noted) in std::mem::take(&mut self.maybe_paid) {
            if self.has_lost_since_start(asset) {
                noted.into_iter().for_each(|anchor| self.doubt(turn, anchor));
            } else {
                // Kept once all is met, too: a hub may have hidden what it then brings before the ledger.
                self.maybe_paid.insert(asset, noted);
            }
        }
        self.record_unmet(turn);
    }

    /// It may have been paid in what is forgotten.
    fn doubt(&mut self, turn: &mut Turn, anchor: Anchor) {
        if self.state.is_beyond_doubt(&anchor) {
            self.commit(turn, Record::Doubted(anchor));
        }
    }

    /// Whether this wallet has found out that its copy was old, and the hub has not signed since that it holds
    /// what came after, or the ledger shows more than it knows. What a channel that was paid out when the process
    /// started had lost was put in doubt then.
    pub(super) fn has_lost_since_start(&self, asset: AssetId) -> bool {
        let of_asset = self.channels().filter(|channel| channel.terms().asset == asset);
        let mut of_asset = of_asset.filter(|channel| !self.closed_before.contains(&channel.id()));
        of_asset.any(|channel| !channel.is_certain() || channel.has_signed_more())
    }

    /// Whether the hub may still show a loss, or blocks that are not followed yet, of channels that the copy does
    /// not know.
    fn may_be_shown_loss(&self, asset: AssetId) -> bool {
        self.fresh_from.is_none() || self.may_have_forgotten_locks(asset)
    }

    fn may_have_forgotten_locks(&self, asset: AssetId) -> bool {
        let mut of_asset = self.channels().filter(|channel| channel.terms().asset == asset);
        of_asset.any(|channel| {
            !self.has_met(channel) && !matches!(channel.phase(), Phase::Closed { .. })
        })
    }

    /// The steps that end own locks whose time is over. While the sides have not met since the process
    /// started, the hub may show that one was paid, of which an old copy knows no more than that; so
    /// it ends a lock's life later then.
    pub(super) fn expire(&self, channel: &Channel, now: &Now<'_>) -> Vec<Step> {
        let mut expired = channel.expire(now);
        if channel.phase() == Phase::Open && !self.has_met(channel) {
            let life = self.config.policy.lock_life;
            let expiry = |id: &u64| channel.outgoing().standing.get(id).map(|it| it.lock.expiry);
            expired.retain(|step| match step {
                Step::PeerAnswered { id, .. } => {
                    expiry(id).is_none_or(|expiry| self.seen.height > expiry.after(life))
                }
                _ => true,
            });
        }
        expired
    }

    /// Puts off to say how something ended that is in no update here, as long as an earlier life may have sent
    /// it. Whether it did.
    pub(super) fn puts_off(&mut self, payment: &Payment) -> bool {
        let may_be_sent = self.may_be_sent(payment.asset);
        if may_be_sent {
            self.unsent.push(payment.anchor);
        }
        may_be_sent
    }

    /// Whether an earlier life may have sent what is in no update here, and the hub may still show it.
    fn may_be_sent(&self, asset: AssetId) -> bool {
        self.may_be_shown_loss(asset) && !self.forgotten_have_expired()
    }

    fn has_met(&self, channel: &Channel) -> bool {
        self.links.get(&channel.id()).is_some_and(|link| link.met)
    }

    /// Whether a payment's lock that was added before the process started has.
    fn forgotten_have_expired(&self) -> bool {
        let life = self.config.policy.lock_life;
        self.fresh_from.is_some_and(|start| self.seen.height > start.after(life))
    }
}

/// Whether it is wanted, and in no lock that is known.
pub(super) fn is_lockless(payment: &Payment) -> bool {
    payment.way == Way::Out && payment.state == PaymentState::Pending && payment.lock.is_none()
}

/// Whether it has failed, and could be asked for again after this height, or stood in a lock that was given up since.
fn may_have_been_retried(payment: &Payment, since: Height, life: u64) -> bool {
    // A lock ends a life after its invoice at the latest, and is given up a life later.
    let until = match payment.state {
        PaymentState::Failed(Code::StateLost) => return false,
        PaymentState::Failed(Code::Expired) => payment.expires.after(life).after(life),
        PaymentState::Failed(_) => payment.expires,
        _ => return false,
    };
    payment.way == Way::Out && until >= since
}
