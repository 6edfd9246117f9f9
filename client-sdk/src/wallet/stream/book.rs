//! What a wallet remembers of streams, and what a channel's step does to it.
//!
//! As with payments, nothing of it is recorded beside the step that led to it: it follows from the
//! channel, live and after a restart alike.

use std::collections::{BTreeMap, BTreeSet};

use settlement::channel::{Adopted, Answer, Change, Channel, Effect, Phase, Step};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId, PublicKey, Secret};

use super::super::Way;
use super::{StreamId, StreamKey, StreamLock, StreamState};

/// See the module.
#[derive(Debug, Default)]
pub(in super::super) struct Streams {
    locks: BTreeMap<Anchor, StreamLock>,
    /// By stream, in the order of adding.
    by_stream: BTreeMap<StreamKey, Vec<Anchor>>,
    /// Those that stand. Each direction counts its own locks.
    by_lock: BTreeMap<(ChannelId, Way, u64), Anchor>,
    /// Changed since the last checkpoint.
    pub(in super::super) dirty: BTreeSet<Anchor>,
}

impl Streams {
    /// The lock with this anchor.
    pub(in super::super) fn get(&self, anchor: &Anchor) -> Option<&StreamLock> {
        self.locks.get(anchor)
    }

    /// All locks, ended ones included.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = &StreamLock> {
        self.locks.values()
    }

    /// Those that stand.
    pub(super) fn open(&self) -> impl Iterator<Item = &StreamLock> {
        self.by_lock.values().filter_map(|anchor| self.locks.get(anchor))
    }

    /// Whether there never was one.
    pub(super) fn is_empty(&self) -> bool {
        self.locks.is_empty()
    }

    /// Whether this wallet has, or had, a stream with that one.
    pub(super) fn knows(&self, peer: &PublicKey) -> bool {
        [Way::Out, Way::In].into_iter().any(|way| {
            let key = |byte| StreamKey { way, peer: *peer, stream: StreamId([byte; 16]) };
            self.by_stream.range(key(0)..=key(u8::MAX)).next().is_some()
        })
    }

    /// The names of all streams of this way.
    pub(super) fn keys(&self, way: Way) -> impl Iterator<Item = &StreamKey> {
        self.by_stream.keys().filter(move |key| key.way == way)
    }

    /// The locks of a stream, in the order of adding.
    pub(super) fn locks_of(&self, key: &StreamKey) -> impl DoubleEndedIterator<Item = &StreamLock> {
        let anchors = self.by_stream.get(key).into_iter().flatten();
        anchors.filter_map(|anchor| self.locks.get(anchor))
    }

    /// The lock of a stream that stands in this place of a direction.
    pub(in super::super) fn at(&self, id: ChannelId, way: Way, lock: u64) -> Option<&StreamLock> {
        self.locks.get(self.by_lock.get(&(id, way, lock))?)
    }

    /// Those that stand in a channel, in one direction.
    pub(super) fn standing(&self, id: ChannelId, way: Way) -> impl Iterator<Item = &StreamLock> {
        let range = self.by_lock.range((id, way, 0)..=(id, way, u64::MAX));
        range.filter_map(|(_, anchor)| self.locks.get(anchor))
    }

    /// Puts a lock in its place, and into the indexes that it belongs to.
    pub(in super::super) fn put(&mut self, lock: StreamLock) {
        let anchor = lock.anchor;
        if let Some((id, number)) = lock.lock {
            let place = (id, lock.way, number);
            if lock.is_open() {
                self.by_lock.insert(place, anchor);
            } else {
                self.by_lock.remove(&place);
            }
        }
        let key = lock.key();
        if self.locks.insert(anchor, lock).is_none() {
            let of_stream = self.by_stream.entry(key).or_default();
            of_stream.push(anchor);
            // Rows come in no order.
            let locks = &self.locks;
            of_stream.sort_by_key(|anchor| locks.get(anchor).map(|lock| lock.number));
        }
        self.dirty.insert(anchor);
    }

    fn change(&mut self, anchor: Anchor, change: impl FnOnce(&mut StreamLock)) -> Option<Anchor> {
        let mut lock = self.locks.get(&anchor)?.clone();
        change(&mut lock);
        self.put(lock);
        Some(anchor)
    }

    /// So many steps were handed out, or taken.
    pub(in super::super) fn show(
        &mut self,
        anchor: Anchor,
        steps: u32,
        secret: Option<Secret>,
    ) -> Option<Anchor> {
        let lock = self.locks.get_mut(&anchor)?;
        lock.shown = lock.shown.max(steps);
        lock.secret = secret.or(lock.secret);
        self.dirty.insert(anchor);
        Some(anchor)
    }

    fn end(&mut self, id: ChannelId, way: Way, lock: u64, code: Option<Code>) -> Option<Anchor> {
        let anchor = *self.by_lock.get(&(id, way, lock))?;
        self.change(anchor, |lock| lock.state = StreamState::Ended(code))
    }

    /// What a step, just made, does to streams: those that stand differently.
    pub(in super::super) fn follow(
        &mut self,
        channel: &Channel,
        step: &Step,
        effects: &[Effect],
    ) -> Vec<Anchor> {
        let id = channel.id();
        let mut changed = Vec::new();
        match step {
            Step::Sent(flight) => {
                for change in &flight.changes {
                    if let Change::Added { lock, .. } = change {
                        changed.extend(self.locked(id, lock));
                    }
                }
            }
            Step::Answered { id: lock, answer } => {
                changed.extend(self.answered(channel, *lock, answer))
            }
            Step::Adopted(adopted) => changed.extend(self.adopted(id, adopted)),
            _ => {}
        }
        if !self.by_lock.is_empty() {
            for effect in effects {
                self.follow_effect(channel, effect, &mut changed);
            }
        }
        changed
    }

    fn follow_effect(&mut self, channel: &Channel, effect: &Effect, changed: &mut Vec<Anchor>) {
        let id = channel.id();
        match effect {
            Effect::SecretLearned { id: lock, .. } => changed.extend(self.learned(channel, *lock)),
            Effect::LockGone { id: lock, code } => {
                changed.extend(self.end(id, Way::Out, *lock, Some(*code)));
            }
            Effect::Accepted { changes } => {
                for change in changes {
                    changed.extend(self.settled(channel, Way::Out, change));
                }
            }
            Effect::Received(change) => changed.extend(self.settled(channel, Way::In, change)),
            Effect::PhaseChanged if matches!(channel.phase(), Phase::Closed { .. }) => {
                for way in [Way::Out, Way::In] {
                    let stand: Vec<Anchor> = self.standing(id, way).map(|it| it.anchor).collect();
                    let code = Some(Code::ChannelClosing);
                    changed.extend(stand.into_iter().filter_map(|anchor| {
                        self.change(anchor, |lock| lock.state = StreamState::Ended(code))
                    }));
                }
            }
            _ => {}
        }
    }

    /// A lock of this wallet's stands in a signed update from now on.
    fn locked(&mut self, id: ChannelId, added: &Lock) -> Option<Anchor> {
        let known = self.locks.get(&added.anchor)?;
        let wanted = known.way == Way::Out && known.state == StreamState::Wanted;
        wanted.then(|| {
            self.change(added.anchor, |lock| {
                (lock.lock, lock.expiry) = (Some((id, added.id)), added.expiry);
                lock.state = StreamState::Open;
            })
        })?
    }

    /// This side has answered a lock of the hub's.
    fn answered(&mut self, channel: &Channel, lock: u64, answer: &Answer) -> Option<Anchor> {
        let id = channel.id();
        let anchor = *self.by_lock.get(&(id, Way::In, lock))?;
        match answer {
            Answer::Known { steps, .. } => {
                let left = channel.incoming().tally.lock(lock)?.steps.saturating_sub(*steps);
                self.change(anchor, |lock| lock.redeemed = lock.steps.saturating_sub(left))
            }
            Answer::Failed(code) => self.end(id, Way::In, lock, Some(*code)),
            Answer::Expired | Answer::Held => None,
        }
    }

    /// The hub, or the ledger, has shown how far the payee has redeemed. The payer can't have gone
    /// less far, whatever it remembers.
    fn learned(&mut self, channel: &Channel, lock: u64) -> Option<Anchor> {
        let anchor = *self.by_lock.get(&(channel.id(), Way::Out, lock))?;
        let standing = channel.outgoing().standing.get(&lock)?;
        let Some(Answer::Known { steps, .. }) = standing.answer else { return None };
        let left = standing.lock.steps.saturating_sub(steps);
        self.change(anchor, |lock| {
            lock.redeemed = lock.steps.saturating_sub(left);
            lock.shown = lock.shown.max(lock.redeemed);
        })
    }

    /// A lock was settled in part or whole, or dropped.
    fn settled(&mut self, channel: &Channel, way: Way, change: &Change) -> Option<Anchor> {
        let id = channel.id();
        match change {
            Change::Settled { id: lock, steps, secret } => {
                let anchor = *self.by_lock.get(&(id, way, *lock))?;
                self.change(anchor, |lock| {
                    lock.settle_to(lock.settled.saturating_add(*steps), *secret);
                    if lock.settled >= lock.steps {
                        lock.state = StreamState::Ended(None);
                    }
                })
            }
            Change::Dropped { id: lock } if way == Way::In => {
                self.end(id, way, *lock, Some(Code::Expired))
            }
            _ => None,
        }
    }

    /// State was taken back: what does not stand in it has come to something that is forgotten.
    fn adopted(&mut self, id: ChannelId, adopted: &Adopted) -> Vec<Anchor> {
        let mut changed = Vec::new();
        for (way, taken) in [(Way::Out, &adopted.own), (Way::In, &adopted.theirs)] {
            let Some(taken) = taken else { continue };
            let left = |lock: &StreamLock| {
                let number = lock.lock.map(|(_, number)| number);
                let found = taken.locks.iter().find(|taken| Some(taken.lock.id) == number);
                found.map(|taken| taken.lock)
            };
            let known = self.standing(id, way).map(|lock| (lock.anchor, left(lock)));
            let known: Vec<(Anchor, Option<Lock>)> = known.collect();
            changed.extend(known.into_iter().filter_map(|(anchor, left)| {
                self.change(anchor, |lock| match left {
                    // Its anchor is the secret of the last step that is settled.
                    Some(left) => {
                        lock.settle_to(lock.steps.saturating_sub(left.steps), Secret(left.anchor.0))
                    }
                    None => lock.state = StreamState::Ended(Some(Code::StateLost)),
                })
            }));
        }
        changed
    }
}
