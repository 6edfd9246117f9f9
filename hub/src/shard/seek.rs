//! Finding the payers of own locks that were taken back, and of secrets that were forgotten.
//!
//! A payer's lock and the own lock that was made for it are of one chain and end at the same step,
//! but each stands where its leg was settled last, so their anchors may differ. A lock with `steps`
//! left is traced: hashed on from its anchor to where the chain is `level` steps before its end.
//! Two locks are of one chain, with one end, just when their traces at one level are equal: else two
//! different values would have one hash. The level is that of the longest lock in question, so a lock
//! is hashed once whatever it is compared with, and single payments among each other not at all.
//!
//! Of the own locks on the chain whose unit and expiry the payer's covers, the dearest is taken, then
//! the one that ends last. A second payer can lock money to the same chain for the same payee; what
//! is left for it then is worth no more.
//!
//! A lock of a payer's that no standing lock was made for is looked for in the other direction, with
//! the secrets of own locks that are over: hashed on, one of them comes by the payer's anchor.
//!
//! All this hashing is the hub's own, so it has a share of the hub's time: [`HASHES_PER_TICK`]
//! between two ticks of a shard, in turn for the channels that wait.

use std::collections::BTreeSet;

use settlement::crypto::chain_step;
use settlement::lock::{Lock, STEPS_MAX};
use settlement::types::{ChannelId, Height, Secret};

use super::lost::{Lost, Sought, Todo};
use super::slot::{NOBODY, Pair, Slot};
use super::state::Cx;
use super::{Pairing, Pass, Record, Seek, Shard};

/// The most hashes of a shard's between two ticks; the last walk may go beyond by a chain's length.
pub(super) const HASHES_PER_TICK: u32 = STEPS_MAX;

/// Where a lock's chain is `level` steps before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    level: u32,
    value: [u8; 32],
}

impl Trace {
    pub(super) fn of(lock: &Lock) -> Trace {
        Trace { level: lock.steps, value: lock.anchor.0 }
    }

    /// Hashes on; says how often.
    fn climb(&mut self, level: u32) -> u32 {
        let more = level.saturating_sub(self.level);
        self.value = (0..more).fold(self.value, |value, _| chain_step(&value));
        self.level = self.level.max(level);
        more
    }
}

impl Lost {
    /// Everything is traced to this level.
    fn raise(&mut self, level: u32) {
        if level > self.level {
            self.level = level;
            self.todo.extend(self.traces.keys().copied().map(Todo::Own));
            self.seek_all();
        }
    }

    /// Sought locks that are over are sought no more. Once for each height.
    fn leave_expired(&mut self, height: Height) {
        if std::mem::replace(&mut self.expired_at, height) != height {
            self.expire(height);
        }
    }

    fn seek_all(&mut self) {
        self.todo.extend(self.sought.keys().copied().map(Todo::Seek));
    }

    fn trace_own(&mut self, own: u64) -> u32 {
        self.traces.get_mut(&own).map_or(0, |trace| trace.climb(self.level))
    }

    fn trace_sought(&mut self, incoming: (ChannelId, u64)) -> u32 {
        self.sought.get_mut(&incoming).map_or(0, |sought| sought.trace.climb(self.level))
    }
}

impl Seek {
    pub(super) fn beats(&self, other: &Seek) -> bool {
        let worth = |seek: &Seek| (seek.lock.unit, seek.lock.expiry);
        worth(self) > worth(other)
    }
}

impl Slot {
    /// Notes a payer's lock that is sought here, and what has to be hashed for it.
    fn look_for(&mut self, seek: Seek, height: Height) {
        let lost = self.lost.get_or_insert_default();
        lost.leave_expired(height);
        let known = lost.sought.get(&seek.incoming);
        if known.is_none_or(|known| known.seek.lock != seek.lock) {
            lost.note(seek);
            lost.todo.insert(Todo::Seek(seek.incoming));
            lost.raise(seek.lock.steps);
        } else if let Some(known) = lost.sought.get_mut(&seek.incoming) {
            // The payer may have met the hub since.
            known.seek.whole = seek.whole;
        }
        let standing = &self.channel.outgoing().standing;
        let nobodys = self.pairs.iter().filter(|(_, pair)| pair.incoming == NOBODY);
        let untraced = nobodys.filter(|(own, _)| !lost.traces.contains_key(own));
        let locks = untraced.filter_map(|(own, _)| Some((*own, standing.get(own)?.lock)));
        let locks: Vec<(u64, Lock)> = locks.collect();
        for (own, lock) in &locks {
            lost.traces.insert(*own, Trace::of(lock));
            lost.todo.insert(Todo::Own(*own));
            lost.raise(lock.steps);
        }
        if !locks.is_empty() {
            lost.seek_all();
        }
    }

    /// The own lock that was made for a payer's, if it stands and belongs to nobody.
    fn made_for(&self, incoming: (ChannelId, u64), expiry_delta: u64) -> Option<u64> {
        let lost = self.lost.as_ref()?;
        let Sought { seek, trace, .. } = lost.sought.get(&incoming)?;
        let nobodys = self.pairs.iter().filter(|(_, pair)| pair.incoming == NOBODY);
        let of_chain = nobodys.filter(|(own, _)| lost.traces.get(own) == Some(trace));
        let standing = &self.channel.outgoing().standing;
        let locks = of_chain.filter_map(|(own, _)| Some((*own, standing.get(own)?.lock)));
        let fits = |lock: &Lock| {
            lock.unit <= seek.lock.unit && lock.expiry.after(expiry_delta) <= seek.lock.expiry
        };
        let fitting = locks.filter(|(_, lock)| fits(lock));
        fitting.max_by_key(|(own, lock)| (lock.unit, lock.expiry, !own)).map(|(own, _)| own)
    }

    /// Secrets of own locks that are over are compared with a payer's lock that is new here. Says how
    /// many hashes that took.
    fn compare_secrets(&mut self, incoming: (ChannelId, u64)) -> u32 {
        let Some(lost) = self.lost.as_mut() else { return 0 };
        let standing = &self.channel.outgoing().standing;
        let over = |(own, pair): &(&u64, &Pair)| {
            pair.incoming == NOBODY && pair.secret.is_some() && !standing.contains_key(own)
        };
        let over = self.pairs.iter().filter(over).map(|(own, _)| *own);
        let unwalked = over.filter(|own| lost.walked.insert(*own));
        let unwalked: Vec<Todo> = unwalked.map(Todo::Over).collect();
        lost.todo.extend(unwalked);
        lost.secrets_of(&incoming)
    }
}

impl Shard {
    /// A payer's lock is sought in this channel.
    pub(super) fn on_seek(&mut self, seek: Seek, cx: &mut Cx<'_>) {
        let height = self.followed().0;
        let whole = |slot: &Slot| seek.whole && self.has_forgotten_nothing(slot);
        let untouched = self.slots.get(&seek.outgoing).is_some_and(|slot| whole(slot));
        let Some(slot) = self.slots.get_mut(&seek.outgoing) else { return };
        if untouched {
            // Nothing was forgotten on either side: it was not passed on.
            if let Some(lost) = &mut slot.lost {
                lost.found(&seek.incoming);
            }
            return cx.out.passes.push(Pass::Untouched { incoming: seek.incoming });
        }
        if seek.lock.expired_at(height) {
            return;
        }
        slot.look_for(seek, height);
        self.search_in_turn(seek.outgoing, cx);
    }

    pub(super) fn search_in_turn(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        if let Some(lost) = self.slots.get_mut(&id).and_then(|slot| slot.lost.as_mut())
            && !lost.todo.is_empty()
            && !std::mem::replace(&mut lost.waits, true)
        {
            self.searches.push_back(id);
        }
        self.search(cx);
    }

    /// Time has passed: there is more to spend on searching.
    pub(super) fn search_on(&mut self, cx: &mut Cx<'_>) {
        self.hashes_left = HASHES_PER_TICK;
        self.search(cx);
    }

    fn search(&mut self, cx: &mut Cx<'_>) {
        while self.hashes_left > 0
            && let Some(id) = self.searches.pop_front()
        {
            let lost = self.slots.get_mut(&id).and_then(|slot| slot.lost.as_mut());
            let Some(lost) = lost else { continue };
            let Some(todo) = lost.todo.pop_first() else {
                lost.waits = false;
                continue;
            };
            self.searches.push_back(id);
            let hashes = self.look_into(id, todo, cx);
            self.hashes_left = self.hashes_left.saturating_sub(hashes);
        }
    }

    /// One thing of those that are to be hashed, and how many hashes it took.
    fn look_into(&mut self, id: ChannelId, todo: Todo, cx: &mut Cx<'_>) -> u32 {
        let height = self.followed().0;
        let Some(lost) = self.slots.get_mut(&id).and_then(|slot| slot.lost.as_mut()) else {
            return 0;
        };
        lost.leave_expired(height);
        match todo {
            Todo::Own(own) => lost.trace_own(own),
            Todo::Seek(incoming) => {
                let hashes = lost.trace_sought(incoming);
                hashes.saturating_add(self.pair_up(id, incoming, cx))
            }
            Todo::Over(own) => self.compare_over(id, own, cx),
            Todo::Claimed(own) => self.compare_claim(id, own, cx),
            Todo::Said(first) => self.compare_said(id, first, cx),
        }
    }

    /// Says how many hashes it took besides.
    fn pair_up(&mut self, id: ChannelId, incoming: (ChannelId, u64), cx: &mut Cx<'_>) -> u32 {
        let expiry_delta = self.config.policy.expiry_delta;
        let Some(slot) = self.slots.get_mut(&id) else { return 0 };
        match slot.made_for(incoming, expiry_delta) {
            Some(own) => {
                self.unite(id, own, incoming, cx);
                0
            }
            None => slot.compare_secrets(incoming),
        }
    }

    /// An own lock that belonged to nobody was made for this payer's.
    fn unite(&mut self, id: ChannelId, own: u64, incoming: (ChannelId, u64), cx: &mut Cx<'_>) {
        let Some(lost) = self.slots.get_mut(&id).and_then(|slot| slot.lost.as_mut()) else {
            return;
        };
        lost.traces.remove(&own);
        // What else is known of it is known to be this payer's from now on.
        let said = lost.said.iter().filter(|(_, said)| said.own == own);
        lost.todo.extend(said.map(|(first, _)| Todo::Said(*first)));
        lost.todo.insert(Todo::Claimed(own));
        let Some(seek) = lost.found(&incoming) else { return };
        let pairing = Pairing { incoming, outgoing: (id, own), anchor: seek.lock.anchor };
        self.reunite(&pairing);
        cx.out.records.push(Record::Reunited(pairing));
        cx.out.passes.push(Pass::Found(pairing));
        self.pass_pair_again(id, own, cx);
    }

    /// The same for one that is over, and of which a part or all was paid.
    fn compare_over(&mut self, id: ChannelId, own: u64, cx: &mut Cx<'_>) -> u32 {
        let Some(slot) = self.slots.get_mut(&id) else { return 0 };
        let secret = slot.pairs.get(&own).filter(|pair| pair.incoming == NOBODY);
        let secret = secret.and_then(|pair| pair.secret);
        let (Some(secret), Some(lost)) = (secret, slot.lost.as_mut()) else { return 0 };
        let (found, hashes) = lost.payer_of(&secret, Todo::Over(own), &BTreeSet::new());
        if let Some((seek, _)) = found {
            self.unite(id, own, seek.incoming, cx);
        }
        hashes
    }

    /// Replays do this, too.
    pub(super) fn reunite(&mut self, pairing: &Pairing) {
        let Pairing { incoming, outgoing: (id, own), anchor } = pairing;
        if let Some(slot) = self.slots.get_mut(id)
            && let Some(pair) = slot.pairs.get_mut(own)
        {
            pair.incoming = *incoming;
            // Where the legs were settled to different steps, the anchor of this one is what the
            // payee was paid for last.
            let lock = slot.channel.outgoing().standing.get(own).map(|standing| standing.lock);
            let paid = lock.filter(|lock| lock.anchor != *anchor).map(|lock| Secret(lock.anchor.0));
            pair.secret = pair.secret.or(paid);
            self.mark(*id);
        }
        self.on_found(pairing);
    }

    /// The payer's side of it.
    pub(super) fn on_found(&mut self, pairing: &Pairing) {
        if let Some(payer) = self.slots.get_mut(&pairing.incoming.0) {
            payer.paired(pairing.incoming.1, pairing.anchor, pairing.outgoing);
        }
    }
}
