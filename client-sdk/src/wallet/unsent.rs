//! What was wanted when the process ended, and is in no lock that this wallet knows of; and what it was
//! locked for.
//!
//! Mostly it was never sent, or its lock was never paid. But an old copy of a home may lack the update that took
//! it along, or that paid for it, and the hub shows that when the sides meet. So nothing is said of it before
//! they have met on every channel that may have it, or such a lock has expired. What had failed may have been paid
//! for once more since: that is said to be unknown once the copy turns out to be old.

use settlement::channel::{Channel, Now, Phase, Step};
use settlement::reject::Code;
use settlement::types::{Anchor, AssetId, Height};

use super::core::Turn;
use super::{Payment, PaymentState, Record, Wallet, Way};

impl Wallet {
    /// Notes it, once, when the process starts.
    pub(super) fn note_unsent(&mut self) {
        let (payments, height) = (&self.state.payments, self.seen.height);
        let lockless = payments.values().filter(|payment| is_lockless(payment));
        self.unsent = lockless.map(|payment| payment.anchor).collect();
        let failed = payments.values().filter(|payment| may_be_retried(payment, height));
        for payment in failed {
            self.failed.entry(payment.asset).or_default().push(payment.anchor);
        }
        let closed = |channel: &&Channel| matches!(channel.phase(), Phase::Closed { .. });
        self.closed_before = self.state.channels.values().filter(closed).map(Channel::id).collect();
    }

    /// Fails what no channel can have any more.
    pub(super) fn fail_unsent(&mut self, turn: &mut Turn) {
        let unsent: Vec<Anchor> = std::mem::take(&mut self.unsent);
        for anchor in unsent {
            let payment = self.state.payments.get(&anchor).filter(|payment| is_lockless(payment));
            let Some(payment) = payment.cloned() else { continue };
            if self.puts_off(&payment) {
                continue;
            }
            // What was lost may have been a lock of it that is paid and gone.
            let lost = self.has_lost_state(payment.asset);
            let code = if lost { Code::StateLost } else { Code::HubUnavailable };
            let state = PaymentState::Failed(code);
            self.commit(turn, Record::Payment(Payment { state, ..payment }));
        }
        self.doubt_failed(turn);
    }

    /// What had failed when the process started: an earlier life may have asked for it again.
    fn doubt_failed(&mut self, turn: &mut Turn) {
        for (asset, failed) in std::mem::take(&mut self.failed) {
            if !self.has_lost_since_start(asset) {
                if self.may_be_sent(asset) {
                    self.failed.insert(asset, failed);
                }
                continue;
            }
            for anchor in failed {
                let payment = self.state.payments.get(&anchor).filter(|it| is_failed(it));
                let Some(payment) = payment.cloned() else { continue };
                let state = PaymentState::Failed(Code::StateLost);
                self.commit(turn, Record::Payment(Payment { state, ..payment }));
            }
        }
    }

    /// Whether this wallet has found out that its copy was old, and the hub has not signed since that it holds
    /// what came after, or the ledger shows more than it knows.
    fn has_lost_state(&self, asset: AssetId) -> bool {
        let mut of_asset = self.channels().filter(|channel| channel.terms().asset == asset);
        of_asset.any(lacks_state)
    }

    /// The same, but for what a channel that was paid out by then had lost: what failed since, has.
    pub(super) fn has_lost_since_start(&self, asset: AssetId) -> bool {
        let of_asset = self.channels().filter(|channel| channel.terms().asset == asset);
        let mut of_asset = of_asset.filter(|channel| !self.closed_before.contains(&channel.id()));
        of_asset.any(lacks_state)
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
        self.may_have_forgotten_locks(asset) && !self.forgotten_have_expired()
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

fn lacks_state(channel: &Channel) -> bool {
    !channel.is_certain() || channel.has_signed_more()
}

fn is_failed(payment: &Payment) -> bool {
    payment.way == Way::Out && matches!(payment.state, PaymentState::Failed(_))
}

/// Whether it has failed, and could be asked for again after this height.
fn may_be_retried(payment: &Payment, height: Height) -> bool {
    let known = payment.state != PaymentState::Failed(Code::StateLost);
    is_failed(payment) && known && payment.expires >= height
}
