//! Starting again from records.
//!
//! What a crash can leave behind, and what is done about it in [`Shard::recovered`]:
//!
//! | last durable record | what is known then | what follows |
//! | --- | --- | --- |
//! | the payer's update, accepted | a lock without an answer, named by no pair | it was not passed on, unless what is on this disk is an old copy: held until the payee has met the hub again, then failed. What a payer had unanswered and sends again is held, too, and then passed on (module `doubt`) |
//! | [`Record::Forwarded`] | the hub's lock and its pair | the update is sent again when the payee meets |
//! | the hub's lock came to something | the pair has the outcome | a secret is passed to the payer's channel again, a failure once the payee has met |
//! | the payer's lock answered | the answer | it is said again when the payer meets; the pair goes |

use std::collections::HashSet;

use settlement::channel::{Channel, Step};
use settlement::types::{ChannelId, Height};

use super::claims::Claim;
use super::slot::NOBODY;
use super::state::Cx;
use super::{Output, Pairing, Pass, Record, Shard, Slice};

/// How long after the start the hub waits for a wallet to meet it, or for a fresh view, before it
/// closes on what it holds of old.
const MEET_MS: u64 = 60_000;

impl Shard {
    /// Makes the change of a record again. Records come in the order of the journal; those of other
    /// shards' channels change nothing here.
    pub fn replay(&mut self, record: &Record) {
        match record {
            Record::Opened { .. } => self.open(record),
            Record::Step { channel, step } => self.replay_step(*channel, step, &[]),
            Record::Forwarded { channel, step, pairs } => self.replay_step(*channel, step, pairs),
            Record::Followed { height, time_ms, slice } => {
                self.set_followed(*slice, *height, *time_ms);
            }
            Record::Leased { .. } | Record::Stated { .. } => self.own.note(record),
            Record::Reunited(pairing) => self.reunite(pairing),
            Record::Claimed { channel, lock, secret, steps, payer } => {
                self.keep_claim(*channel, *lock, Claim::new(*secret, *steps, *payer));
            }
        }
    }

    fn replay_step(&mut self, id: ChannelId, step: &Step, pairs: &[Pairing]) {
        let effects = self.apply(id, step);
        self.add_pairs(pairs);
        if matches!(step, Step::Adopted(_)) {
            self.forget_routes(id);
        }
        for effect in &effects {
            // Nobody is told again here: what is open is passed once all is replayed.
            self.note(id, effect);
        }
    }

    /// The own locks that were added for payers and are not concluded: what every shard's
    /// [`Shard::recovered`] needs of all of them.
    pub fn pairs(&self) -> Vec<Pairing> {
        let of_slot = |slot: &super::slot::Slot| {
            let id = slot.channel.id();
            let pairing = |(own, pair): (&u64, &super::slot::Pair)| Pairing {
                incoming: pair.incoming,
                outgoing: (id, *own),
                anchor: pair.anchor,
            };
            let pairs = slot.pairs.iter().filter(|(_, pair)| pair.incoming != NOBODY);
            pairs.map(pairing).collect::<Vec<_>>()
        };
        let mut pairs: Vec<Pairing> =
            self.slots.iter().map(Box::as_ref).flat_map(of_slot).collect();
        pairs.sort_unstable_by_key(|pairing| pairing.outgoing);
        pairs
    }

    /// Called once, after the rows and records of all shards have been read and before any input:
    /// `pairs` is what [`Shard::pairs`] of **all** shards gave. Holds what was never passed on,
    /// passes outcomes that the payer's channel may have missed, and plans what has to be done at
    /// which height. Every channel that is not paid out counts as moved, so that the first round of
    /// anchors tells what the hub owes in all of them. Deliver the passes once every shard has recovered.
    pub fn recovered(&mut self, pairs: &[Pairing], now_ms: u64, out: &mut Output) {
        self.clock_ms = self.clock_ms.max(now_ms);
        self.meet_by_ms = now_ms.saturating_add(MEET_MS);
        let seen = self.followed.values().map(|(height, _)| *height).max();
        self.seen_before = seen.unwrap_or_default();
        self.merge_followed();
        let cx = &mut Cx { now_ms, out };
        for Pairing { incoming, outgoing, anchor } in pairs {
            if let Some(payer) = self.slots.get_mut(&incoming.0) {
                payer.paired(incoming.1, *anchor, *outgoing);
            }
        }
        let forwarded: HashSet<(ChannelId, u64)> = pairs.iter().map(|p| p.incoming).collect();
        let mut ids: Vec<ChannelId> = self.slots.iter().map(|slot| slot.channel.id()).collect();
        ids.sort_unstable();
        for id in ids {
            self.hold_unforwarded(id, &forwarded, cx);
            self.pass_again(id, cx);
            self.resume(id, cx);
            self.search_in_turn(id, cx);
            if self.slots.get(&id).is_some_and(|slot| !slot.is_closed()) {
                self.mark_moved(id);
            }
            self.note_closed(id);
            if self.channel(&id).is_some_and(Channel::is_recovering) {
                self.recovering.insert(id);
            }
            if self.channel(&id).is_some_and(Channel::waits_out) {
                self.waiting_out.insert(id);
            }
        }
        // The process before this one had found out that something is forgotten, and may have ended before
        // all shards had heard of it.
        if !self.recovering.is_empty() || !self.waiting_out.is_empty() {
            cx.out.lost = true;
            self.on_lost(cx);
        }
    }

    /// A payer's lock that is accepted, not answered and in no pair has no lock of the hub's behind
    /// it, and what was queued for the payee is forgotten; unless more is forgotten than that. The
    /// payee knows.
    fn hold_unforwarded(
        &mut self,
        id: ChannelId,
        forwarded: &HashSet<(ChannelId, u64)>,
        cx: &mut Cx<'_>,
    ) {
        let Some(channel) = self.channel(&id) else { return };
        let locks = channel.incoming().locks.keys();
        let unforwarded = locks.filter(|lock| !forwarded.contains(&(id, **lock)));
        let steps: Vec<Step> = unforwarded.filter_map(|lock| channel.hold(*lock)).collect();
        for step in steps {
            self.commit(id, step, cx);
        }
    }

    /// The secret first: it must not be lost for a rest that expired.
    pub(super) fn pass_again(&self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get(&id) else { return };
        slot.pairs.keys().for_each(|own| self.pass_pair_again(id, *own, cx));
    }

    pub(super) fn pass_pair_again(&self, id: ChannelId, own: u64, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get(&id) else { return };
        cx.out.passes.extend(slot.redeemed(id, own));
        let pair = slot.pairs.get(&own).filter(|pair| pair.incoming != NOBODY);
        if let Some(pair) = pair
            && let Some(code) = pair.gone.filter(|_| slot.is_certain())
        {
            let (incoming, outgoing, outcome) = (pair.incoming, (id, own), Err(code));
            cx.out.passes.push(Pass::Outcome { incoming, outgoing, outcome });
        }
    }

    /// A deposit may have been on its way when the process ended: none is made before it would have
    /// arrived.
    fn resume(&mut self, id: ChannelId, cx: &Cx<'_>) {
        let height = self.followed().0;
        if let Some(slot) = self.slots.get_mut(&id)
            && super::deposit::wanted(slot, &self.config.inbound).is_some()
        {
            slot.depositing = Some(height);
        }
        self.wake_again(id, cx);
    }

    /// Notes how far a shard has followed. Once all shards of a count have said so, what those of
    /// another count said is of no more use.
    pub(super) fn set_followed(&mut self, slice: Slice, height: Height, time_ms: u64) {
        self.followed.insert(slice, (height, time_ms));
        if self.followed.len() > 1 {
            self.leave_passed(slice.count);
        }
    }

    /// Leaves what shards of another count said once all of this one stand where any of those stood:
    /// until then it says which blocks come again.
    fn leave_passed(&mut self, count: u16) {
        let of = |of: bool| {
            let said = self.followed.iter().filter(move |(slice, _)| (slice.count == count) == of);
            said.map(|(_, (height, _))| *height)
        };
        if self.all_said(count) && of(false).max() <= of(true).min() {
            self.leave_others(count);
        }
    }

    fn all_said(&self, count: u16) -> bool {
        self.followed.keys().filter(|slice| slice.count == count).count() == usize::from(count)
    }

    fn leave_others(&mut self, count: u16) {
        let others = self.followed.keys().filter(|slice| slice.count != count);
        self.left_slices.extend(others.copied());
        self.followed.retain(|slice, _| slice.count == count);
    }

    /// With another count of shards than before this one starts at the lowest height that any had
    /// followed. Following a block twice does no harm, missing one would.
    fn merge_followed(&mut self) {
        let own = self.config.slice;
        if self.all_said(own.count) {
            return self.leave_passed(own.count);
        }
        if self.followed.keys().all(|slice| slice.count == own.count) {
            return;
        }
        // A shard that never said anything has followed nothing.
        let known = self.followed.keys().any(|slice| self.all_said(slice.count));
        let lowest = self.followed.values().min().filter(|_| known).copied().unwrap_or_default();
        self.set_followed(own, lowest.0, lowest.1);
    }
}
