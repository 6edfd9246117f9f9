//! What a wallet remembers: all of it follows from its records, one after the other.
//!
//! [`State::apply`] is the only way in which it changes, live and after a restart alike. What a
//! channel's step means for a payment is worked out here, not recorded beside it: so no crash
//! between two records can leave a lock that is paid and a payment that does not know.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use settlement::block::LedgerEvent;
use settlement::channel::{Answer, Change, Channel, Effect, Step};
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId, Height, Role, Secret};

use super::protect::Exposed;
use super::stream::Streams;
use super::{Payment, PaymentState, Record, Way};

/// How far the ledger has been followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Followed {
    pub(super) height: Height,
    pub(super) time_ms: u64,
}

/// Which pieces have changed since the last checkpoint.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) channels: BTreeSet<ChannelId>,
    pub(super) payments: BTreeSet<Anchor>,
    pub(super) doubted: BTreeSet<Anchor>,
    pub(super) followed: bool,
    pub(super) unmet: bool,
}

/// What came of a record.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// What the channel says, if it was a channel's step.
    pub(super) effects: Vec<Effect>,
    /// The payments that are new or stand differently.
    pub(super) payments: Vec<Anchor>,
    /// The locks of streams that are new or stand differently.
    pub(super) streams: Vec<Anchor>,
}

/// Whose direction a lock is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Own,
    Hubs,
}

fn lock_key(payment: &Payment) -> Option<(ChannelId, Direction, u64)> {
    let direction = if payment.way == Way::Out { Direction::Own } else { Direction::Hubs };
    payment.lock.map(|(channel, id)| (channel, direction, id))
}

/// Everything that outlives the process.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) channels: BTreeMap<ChannelId, Channel>,
    pub(super) payments: BTreeMap<Anchor, Payment>,
    pub(super) streams: Streams,
    pub(super) followed: Followed,
    pub(super) dirty: Dirty,
    /// What the hub may bring of each channel that its newest state no longer says.
    pub(super) exposed: BTreeMap<ChannelId, Exposed>,
    /// The newest block in which money came into each channel on the wallet's side.
    pub(super) deposited_at: BTreeMap<ChannelId, Height>,
    /// Channels into which money came in the block that is being followed.
    deposited: BTreeSet<ChannelId>,
    /// Pending payments by the lock that they hang on. Each direction counts its own locks.
    by_lock: BTreeMap<(ChannelId, Direction, u64), Anchor>,
    /// Pending payments in, by the height after which nobody can pay them.
    pub(super) awaited: BTreeSet<(Height, Anchor)>,
    /// Pending payments that may have been paid by an earlier try, of which it is not known how it ended.
    pub(super) doubted: BTreeSet<Anchor>,
    /// [`Record::Unmet`].
    pub(super) unmet_from: Option<Height>,
}

impl State {
    /// Makes a record's change. Can't fail: records are made from checked steps.
    pub(super) fn apply(&mut self, record: &Record) -> Applied {
        match record {
            Record::Opened { terms, deposit } => {
                let channel = Channel::open(*terms, Role::Wallet, *deposit);
                self.dirty.channels.insert(channel.id());
                self.channels.entry(channel.id()).or_insert(channel);
                Applied::default()
            }
            Record::Step { channel, step } => self.apply_step(*channel, step),
            Record::Payment(payment) => {
                self.put(payment.clone());
                Applied { payments: vec![payment.anchor], ..Applied::default() }
            }
            Record::Forgotten(anchor) => {
                self.take(anchor);
                Applied::default()
            }
            Record::Doubted(anchor) => self.doubt(*anchor),
            Record::Unmet(from) => {
                self.unmet_from = *from;
                self.dirty.unmet = true;
                Applied::default()
            }
            Record::Stream(lock) => {
                self.streams.put(lock.as_ref().clone());
                Applied { streams: vec![lock.anchor], ..Applied::default() }
            }
            Record::Shown { anchor, steps, secret } => {
                let streams = self.streams.show(*anchor, *steps, *secret).into_iter().collect();
                Applied { streams, ..Applied::default() }
            }
            Record::Followed { height, time_ms } => {
                self.followed = Followed { height: *height, time_ms: *time_ms };
                self.dirty.followed = true;
                for id in std::mem::take(&mut self.deposited) {
                    self.dirty.channels.insert(id);
                    self.deposited_at.insert(id, *height);
                }
                Applied::default()
            }
        }
    }

    /// Puts a payment in its place, and into the indexes that it belongs to.
    pub(super) fn put(&mut self, payment: Payment) {
        let payment = self.keep_in_doubt(payment);
        let anchor = payment.anchor;
        self.dirty.payments.insert(anchor);
        self.take(&anchor);
        if payment.state == PaymentState::Pending {
            lock_key(&payment).map(|lock| self.by_lock.insert(lock, anchor));
            if payment.way == Way::In {
                self.awaited.insert((payment.expires, anchor));
            }
        }
        self.payments.insert(anchor, payment);
    }

    /// That a later try fails says nothing of an earlier one.
    fn keep_in_doubt(&mut self, payment: Payment) -> Payment {
        let anchor = payment.anchor;
        let before = self.payments.get(&anchor).is_some_and(Payment::is_in_doubt);
        let in_doubt = before || self.doubted.contains(&anchor);
        let state = match payment.state {
            PaymentState::Failed(_) if in_doubt => PaymentState::Failed(Code::StateLost),
            other => other,
        };
        self.set_doubted(anchor, in_doubt && state == PaymentState::Pending);
        Payment { state, ..payment }
    }

    /// Whether this is a payment of which it is thought to be known how it ends.
    pub(super) fn is_beyond_doubt(&self, anchor: &Anchor) -> bool {
        let out = self.payments.get(anchor).filter(|payment| payment.way == Way::Out);
        out.is_some_and(|payment| match payment.state {
            PaymentState::Pending => !self.doubted.contains(anchor),
            PaymentState::Failed(code) => code != Code::StateLost,
            PaymentState::Settled => false,
        })
    }

    /// It may have been paid in what this wallet has forgotten.
    fn doubt(&mut self, anchor: Anchor) -> Applied {
        let Some(payment) = self.payments.get(&anchor) else { return Applied::default() };
        match payment.state {
            PaymentState::Pending => self.set_doubted(anchor, true),
            PaymentState::Failed(_) => {
                let state = PaymentState::Failed(Code::StateLost);
                self.put(Payment { state, ..payment.clone() });
                return Applied { payments: vec![anchor], ..Applied::default() };
            }
            PaymentState::Settled => {}
        }
        Applied::default()
    }

    fn set_doubted(&mut self, anchor: Anchor, doubted: bool) {
        let set = &mut self.doubted;
        let changes = if doubted { set.insert(anchor) } else { set.remove(&anchor) };
        if changes {
            self.dirty.doubted.insert(anchor);
        }
    }

    /// Takes a payment out of its place and of the indexes.
    fn take(&mut self, anchor: &Anchor) {
        let Some(before) = self.payments.remove(anchor) else { return };
        self.dirty.payments.insert(*anchor);
        self.awaited.remove(&(before.expires, *anchor));
        lock_key(&before).map(|lock| self.by_lock.remove(&lock));
    }

    fn apply_step(&mut self, id: ChannelId, step: &Step) -> Applied {
        let Some(channel) = self.channels.get_mut(&id) else { return Applied::default() };
        self.dirty.channels.insert(id);
        // Read before the step, which takes settled locks away.
        let answered = match step {
            Step::Answered { id, .. } => channel.incoming().tally.lock(*id).map(|l| l.anchor),
            _ => None,
        };
        if let Some(more) = Exposed::by(channel, step) {
            self.exposed.entry(id).or_default().add(more, self.followed.height);
        }
        if let Step::Ledger(event) = step
            && matches!(**event, LedgerEvent::Deposited { role: Role::Wallet, .. })
        {
            self.deposited.insert(id);
        }
        let effects = channel.commit(step);
        let mut payments = Vec::new();
        match step {
            Step::Sent(flight) => {
                for change in &flight.changes {
                    if let Change::Added { lock, .. } = change {
                        self.locked(lock.anchor, (id, lock.id));
                    }
                }
            }
            Step::Answered { id: lock, answer } => {
                payments.extend(answered.and_then(|a| self.answered(a, (id, *lock), answer)));
            }
            Step::Adopted(adopted) => payments.extend(self.adopted(id, adopted)),
            _ => {}
        }
        for effect in &effects {
            payments.extend(self.follow_effect(id, effect));
        }
        let channel = self.channels.get(&id);
        let streams = channel.map(|channel| self.streams.follow(channel, step, &effects));
        Applied { effects, payments, streams: streams.unwrap_or_default() }
    }

    /// What a channel's effect does to a payment.
    fn follow_effect(&mut self, channel: ChannelId, effect: &Effect) -> Option<Anchor> {
        match effect {
            Effect::SecretLearned { id, secret } => {
                let anchor = *self.by_lock.get(&(channel, Direction::Own, *id))?;
                self.finish(anchor, PaymentState::Settled, Some(*secret))
            }
            Effect::LockGone { id, code } => {
                let anchor = *self.by_lock.get(&(channel, Direction::Own, *id))?;
                // What others have lost: the money is back all the same.
                let code = if *code == Code::StateLost { Code::RefusedByPayee } else { *code };
                self.finish(anchor, PaymentState::Failed(code), None)
            }
            // The hub may pay a lock before this side has said anything.
            Effect::Received(Change::Settled { secret, .. }) => {
                let anchor = Anchor(chain_step(&secret.0));
                let payment = self.payments.get(&anchor)?;
                let awaited = payment.way == Way::In && payment.state == PaymentState::Pending;
                awaited.then(|| self.finish(anchor, PaymentState::Settled, Some(*secret)))?
            }
            Effect::Received(Change::Dropped { id }) => {
                let anchor = *self.by_lock.get(&(channel, Direction::Hubs, *id))?;
                self.finish(anchor, PaymentState::Failed(Code::Expired), None)
            }
            _ => None,
        }
    }

    /// A payment's lock stands in a signed update from now on.
    fn locked(&mut self, anchor: Anchor, lock: (ChannelId, u64)) {
        let Some(payment) = self.payments.get(&anchor) else { return };
        if payment.way == Way::Out && payment.state == PaymentState::Pending {
            self.put(Payment { lock: Some(lock), ..payment.clone() });
        }
    }

    /// This side has answered a lock of the hub's.
    fn answered(
        &mut self,
        anchor: Anchor,
        lock: (ChannelId, u64),
        answer: &Answer,
    ) -> Option<Anchor> {
        let payment = self.payments.get(&anchor)?;
        if payment.way != Way::In || payment.state != PaymentState::Pending {
            return None;
        }
        match answer {
            Answer::Known { secret, .. } => {
                let secret = Some(*secret);
                let state = PaymentState::Settled;
                self.put(Payment { lock: Some(lock), state, secret, ..payment.clone() });
                Some(anchor)
            }
            // An invoice that one lock did not fit can still be paid by another.
            Answer::Failed(code) if payment.lock == Some(lock) => {
                self.finish(anchor, PaymentState::Failed(*code), None)
            }
            Answer::Failed(_) | Answer::Expired | Answer::Held => None,
        }
    }

    fn finish(
        &mut self,
        anchor: Anchor,
        state: PaymentState,
        secret: Option<Secret>,
    ) -> Option<Anchor> {
        let payment = self.payments.get(&anchor)?;
        self.put(Payment { state, secret: secret.or(payment.secret), ..payment.clone() });
        Some(anchor)
    }
}
