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

/// How many locks are remembered that have ended and brought nothing. They cost their payers next to
/// nothing, and nothing is owed or claimed for them.
pub(in super::super) const EMPTY_KEPT: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(in super::super) struct Streams {
    locks: BTreeMap<Anchor, StreamLock>,
    /// By stream, in the order of adding.
    by_stream: BTreeMap<StreamKey, Vec<Anchor>>,
    /// Those that stand. Each direction counts its own locks.
    by_lock: BTreeMap<(ChannelId, Way, u64), Anchor>,
    /// Those that came in, have ended and brought nothing, by when they were made.
    empty: BTreeSet<(u64, Anchor)>,
    /// Changed since the last checkpoint, or forgotten.
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
        let (key, number, made) = (lock.key(), lock.number, (lock.created_ms, anchor));
        if lock.way == Way::In && lock.has_ended() && lock.shown == 0 {
            self.empty.insert(made);
        } else {
            self.empty.remove(&made);
        }
        if self.locks.insert(anchor, lock).is_none() {
            let (of_stream, locks) = (self.by_stream.entry(key).or_default(), &self.locks);
            // Rows come in no order.
            let before = |other: &Anchor| locks.get(other).is_some_and(|it| it.number <= number);
            let at = of_stream.partition_point(before);
            of_stream.insert(at, anchor);
        }
        self.dirty.insert(anchor);
        if self.empty.len() > EMPTY_KEPT
            && let Some((_, oldest)) = self.empty.pop_first()
        {
            self.forget(&oldest);
        }
    }

    /// A lock that can't matter any more.
    fn forget(&mut self, anchor: &Anchor) {
        let Some(lock) = self.locks.remove(anchor) else { return };
        if let Some(of_stream) = self.by_stream.get_mut(&lock.key()) {
            of_stream.retain(|other| other != anchor);
            if of_stream.is_empty() {
                self.by_stream.remove(&lock.key());
            }
        }
        self.dirty.insert(*anchor);
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

#[cfg(test)]
mod tests {
    use settlement::crypto::SigningKey;
    use settlement::types::{Amount, AssetId, Height};

    use super::*;

    /// A stream's lock that came in and has ended; the last of `locks` of the stream with this name.
    fn ended(stream: u16, number: u32, shown: u32) -> StreamLock {
        let mut anchor = [0; 32];
        anchor[..2].copy_from_slice(&stream.to_be_bytes());
        anchor[2..6].copy_from_slice(&number.to_be_bytes());
        let mut name = [0; 16];
        name[..2].copy_from_slice(&stream.to_be_bytes());
        StreamLock {
            anchor: Anchor(anchor),
            stream: StreamId(name),
            number,
            way: Way::In,
            peer: SigningKey::from_bytes([3; 32]).unwrap().public(),
            asset: AssetId(0),
            unit: Amount(1),
            fee_per_step: Amount(0),
            fee_upfront: Amount(0),
            steps: 100,
            seed: None,
            memo: String::new(),
            lock: None,
            expiry: Height(1),
            shown,
            secret: None,
            redeemed: shown,
            settled: shown,
            state: StreamState::Ended(Some(Code::StreamClosed)),
            created_ms: stream.into(),
        }
    }

    /// ⚔ Locks that brought nothing are no way to fill a payee's memory and disk.
    #[test]
    fn of_locks_that_brought_nothing_the_newest_are_kept() {
        let mut streams = Streams::default();
        let kept = u16::try_from(EMPTY_KEPT).unwrap();
        let paid: Vec<Anchor> = (0..10)
            .map(|stream| {
                streams.put(ended(stream, 0, 5));
                ended(stream, 0, 5).anchor
            })
            .collect();
        for stream in 10..kept + 20 {
            streams.put(ended(stream, 0, 0));
        }
        streams.dirty.clear();
        streams.put(ended(kept + 20, 0, 0));
        assert_eq!(streams.all().count(), EMPTY_KEPT + paid.len());
        assert!(paid.iter().all(|anchor| streams.get(anchor).is_some()), "what was paid is kept");
        let gone = ended(20, 0, 0);
        assert_eq!((streams.get(&gone.anchor), streams.locks_of(&gone.key()).count()), (None, 0));
        let written = [gone.anchor, ended(kept + 20, 0, 0).anchor];
        assert_eq!(streams.dirty, BTreeSet::from(written), "its row goes, too");
    }

    #[test]
    fn locks_of_a_stream_are_in_order_whatever_order_they_come_in() {
        let mut streams = Streams::default();
        for number in [3, 0, 4, 1, 2, 0] {
            streams.put(ended(1, number, 1));
        }
        let numbers: Vec<u32> =
            streams.locks_of(&ended(1, 0, 1).key()).map(|lock| lock.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
}
