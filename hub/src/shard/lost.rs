//! Taking back what this hub has forgotten, and showing a wallet what it has.
//!
//! A hub that runs on an old copy of its data finds out when a wallet meets it and shows a proof
//! that the hub has signed and does not know. It adopts what the wallet shows, as the channel's
//! rules say, and agrees to nothing there before it has leapt.
//!
//! What it did between two channels it can't know any more: a payer's lock may have been passed on,
//! and a lock of its own may have been made for somebody. The two are brought together again: each
//! payer's lock that is held is sought in its payee's channel ([`Pass::Seek`]), and found there by
//! its chain among the own locks that belong to nobody (module `seek`). Only a lock that nobody has
//! answered is found so, and each of them once; so the hub takes no secret from one payment to another
//! that it knows of. What is never found ends at its expiry.
//!
//! | the payer's lock | the own lock in the payee's channel | what follows |
//! | --- | --- | --- |
//! | held | stands, belongs to nobody | paired; what was paid of it is passed on, then as ever |
//! | passed on | stands, and was settled in part that is forgotten | that part is passed on |
//! | either | was settled before state was lost | the wallet says the secret again: it is passed on |
//! | held, in a channel of which nothing was lost | none, and nothing was lost there | passed on, or given up (module `doubt`) |
//! | held | none, else | it ends at its expiry |
//! | none, or answered | stands, belongs to nobody | settled with the payee, or gone at its expiry; what was paid is kept, to be collected |

use std::collections::{BTreeMap, BTreeSet};

use settlement::channel::{Adopted, Adoption, Answer, TakenLock, VerifiedSnapshot, leapt_at};
use settlement::proof::SnapshotRef;
use settlement::types::{Anchor, ChannelId, Height, Secret};
use settlement::update::{Destination, Payload};
use settlement::wire::Message;

use super::claims::{Claim, Said};
use super::doubt::InDoubt;
use super::known::Ends;
use super::seek::Trace;
use super::slot::{NOBODY, Pair, Slot};
use super::state::Cx;
use super::{Action, Directory, ME, Pass, Seek, Shard};

/// Channels of which something was shown and the next `Sync` has not come.
const SHOWN_MAX: usize = 256;

/// What a channel's slot holds besides while state is taken back, or may have to be.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// What the wallet said last, to be answered with the leap.
    asked: Option<(SnapshotRef, SnapshotRef)>,
    /// The wallet's locks that an earlier life may have passed on.
    pub(super) in_doubt: BTreeMap<u64, InDoubt>,
    /// Payers' locks that are sought here.
    pub(super) sought: BTreeMap<(ChannelId, u64), Sought>,
    /// The same by their anchors.
    pub(super) by_anchor: BTreeMap<Anchor, BTreeSet<(ChannelId, u64)>>,
    /// How many steps the longest of them has, or somewhat more: so far secrets are walked.
    pub(super) reach: u32,
    /// The own locks that are over whose secrets were walked, or are about to be.
    pub(super) walked: BTreeSet<u64>,
    /// The secrets that were walked, by where that ended.
    pub(super) ends: Ends,
    /// The chains of own locks that stand and belong to nobody.
    pub(super) traces: BTreeMap<u64, Trace>,
    /// How far before their ends all these chains are traced to.
    pub(super) level: u32,
    /// Secrets of own locks that were settled before it was forgotten, as the wallet says, by their first hash.
    pub(super) said: BTreeMap<Anchor, Said>,
    /// The last of them that each payer's lock was told.
    pub(super) told: BTreeMap<(ChannelId, u64), Said>,
    /// What the ledger has counted on own locks that may be forgotten.
    pub(super) claims: BTreeMap<u64, Claim>,
    /// What is to be hashed.
    pub(super) todo: BTreeSet<Todo>,
    /// Whether the channel waits for its turn.
    pub(super) waits: bool,
    /// The height for which the sought locks that are over were left: looking through them for each that is
    /// sought would let a payee cost this hub seconds.
    pub(super) expired_at: Height,
}

/// A payer's lock that is sought, with its chain.
#[derive(Debug)]
pub(super) struct Sought {
    pub(super) seek: Seek,
    pub(super) trace: Trace,
    /// Whether the secrets on it were looked for. Those that come later find it.
    pub(super) walked: bool,
}

/// Something to be hashed, in the order in which it has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Todo {
    /// The chain of an own lock.
    Own(u64),
    /// The chain of a payer's lock; then the two are brought together.
    Seek((ChannelId, u64)),
    /// The secret of an own lock that belongs to nobody and is over.
    Over(u64),
    /// What the ledger has counted of an own lock that is not known any more: before any number of secrets
    /// that are only said.
    Claimed(u64),
    /// A secret that was only said, by its first hash.
    Said(Anchor),
}

impl Slot {
    fn lost(&mut self) -> &mut Lost {
        self.lost.get_or_insert_default()
    }

    /// What was said on an earlier connection is not answered any more.
    pub(super) fn forget_asked(&mut self) {
        if let Some(lost) = &mut self.lost {
            lost.asked = None;
        }
    }

    /// The own locks that were taken back belong to nobody until their payers are found. Of those
    /// that are not there any more it is not known what has become of them.
    pub(super) fn adopted(&mut self, adopted: &Adopted) {
        let Some(own) = &adopted.own else { return };
        let stands = |id: &u64| own.locks.iter().any(|taken| taken.lock.id == *id);
        self.pairs
            .retain(|id, pair| pair.incoming != NOBODY || pair.secret.is_some() || stands(id));
        for (_, pair) in self.pairs.iter_mut().filter(|(id, _)| !stands(id)) {
            pair.gone = None;
        }
        for TakenLock { lock, .. } in &own.locks {
            let pair = Pair { incoming: NOBODY, anchor: lock.anchor, secret: None, gone: None };
            let Some(pair) = self.pairs.or_insert(lock.id, pair) else { continue };
            // A part was paid that is forgotten: what is left begins with the secret of it.
            let standing = self.channel.outgoing().standing.get(&lock.id);
            let known = standing.and_then(|standing| standing.answer);
            if pair.anchor != lock.anchor && !matches!(known, Some(Answer::Known { .. })) {
                pair.secret = Some(Secret(lock.anchor.0));
            }
        }
        if let Some(lost) = &mut self.lost {
            lost.traces.clear();
        }
    }

    /// Whether nothing was ever forgotten about this channel, as far as it shows.
    pub(super) fn is_whole(&self) -> bool {
        self.met && leapt_at(self.channel.outgoing().last_seq).is_none()
    }
}

impl Shard {
    /// A wallet shows a direction in full. It is judged with what else is shown at the next `Sync`.
    pub(super) fn on_snapshot(&mut self, snapshot: VerifiedSnapshot) {
        let id = snapshot.proof().channel;
        let room = self.shown.len() < SHOWN_MAX || self.shown.contains_key(&id);
        if !room || self.slots.get(&id).is_none_or(|slot| !slot.connected) {
            return;
        }
        let shown = self.shown.entry(id).or_default();
        shown.retain(|known| known.proof().from != snapshot.proof().from);
        shown.push(snapshot);
    }

    /// Takes what was shown, if it is what this hub has forgotten.
    pub(super) fn take_back(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(shown) = self.shown.remove(&id) else { return };
        self.look_for_loss(id, &shown, cx);
        let now = self.now(cx.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        match channel.check_snapshots(&shown, channel.is_recovering(), &now) {
            Adoption::Take(step) => {
                self.commit(id, step, cx);
                self.recovering.insert(id);
                cx.out.passes.extend(self.forget_routes(id));
                self.wake_again(id, cx);
            }
            Adoption::Close => self.on_close_alone(id, cx),
            Adoption::Nothing | Adoption::Wait => {}
        }
    }

    /// A proof that this hub has signed, and would not have numbered so if it knew all that it had
    /// signed: then no channel is known for certain.
    fn look_for_loss(&mut self, id: ChannelId, shown: &[VerifiedSnapshot], cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let last = slot.channel.outgoing().last_seq;
        let mut own = shown.iter().map(VerifiedSnapshot::proof).filter(|proof| proof.from == ME);
        if own.any(|proof| proof.seq > last) {
            // It is being answered.
            slot.synced = false;
            cx.out.lost = true;
            self.on_lost(cx);
        }
    }

    /// Payers' locks that do not stand any more were paid or given up, whatever this hub remembers.
    /// Replays do this, too.
    pub(super) fn forget_routes(&mut self, id: ChannelId) -> Vec<Pass> {
        let stale =
            self.slots.get_mut(&id).map(|slot| slot.take_stale_routes()).unwrap_or_default();
        stale.into_iter().filter_map(|outgoing| self.conclude(outgoing)).collect()
    }

    /// Shows a wallet that has lost state both directions in full.
    pub(super) fn show(&self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get(&id) else { return };
        let to = Destination { hub: None, wallet: slot.channel.terms().wallet };
        if let Some((proof, locks)) = slot.channel.own_snapshot() {
            let taken = |lock: &settlement::lock::Lock| {
                let payload = self.payload_of(slot, lock.id);
                TakenLock { lock: *lock, to, payload }
            };
            let locks = locks.iter().map(taken).collect();
            cx.out.actions.push(Action::SendSnapshot { proof, locks });
        }
        let theirs = slot.channel.their_snapshot().map(Message::snapshot);
        cx.out.actions.extend(theirs.map(Action::Send));
    }

    /// What came with the payer's lock, where this shard has it.
    fn payload_of(&self, slot: &Slot, own: u64) -> Payload {
        let payer = slot.pairs.get(&own).map(|pair| pair.incoming);
        let known = payer.and_then(|(id, lock)| self.channel(&id)?.incoming().locks.get(&lock));
        known.map(|known| known.payload.clone()).unwrap_or_default()
    }

    /// What the wallet said is answered once the channel has leapt. The payers' locks can be sought
    /// at once.
    pub(super) fn ask_later(
        &mut self,
        id: ChannelId,
        own: SnapshotRef,
        yours: SnapshotRef,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.lost().asked = Some((own, yours));
        }
        self.find_out(id, directory, cx);
    }

    /// Lets every channel leap that waits for it, once a view is fresh and late enough.
    pub(super) fn leap_all(&mut self, directory: &dyn Directory, cx: &mut Cx<'_>) {
        let view = self.now(cx.now_ms).view;
        if self.fresh_from.is_none() && view.fresh {
            self.fresh_from = Some(view.height);
            self.seek_all(directory, cx);
        }
        let Some(fresh_from) = self.fresh_from else { return };
        let now = self.now(cx.now_ms);
        let leap = |id: &ChannelId| Some((*id, self.channel(id)?.leap(fresh_from, &now)?));
        let leaps: Vec<_> = self.recovering.iter().filter_map(leap).collect();
        for (id, step) in leaps {
            self.recovering.remove(&id);
            self.waiting_out.insert(id);
            self.commit(id, step, cx);
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let asked = slot.lost.as_mut().and_then(|lost| lost.asked.take());
            if let Some((own, yours)) = asked.filter(|_| slot.connected) {
                self.on_sync(id, own, yours, directory, cx);
            }
        }
        self.wait_out_all(cx);
        self.ask_again(cx);
    }

    /// The sides have met: what is held here is sought, and what is sought here is answered.
    pub(super) fn find_out(&mut self, id: ChannelId, directory: &dyn Directory, cx: &mut Cx<'_>) {
        self.pass_again(id, cx);
        let Some(slot) = self.slots.get(&id) else { return };
        let seeks = slot.channel.incoming().locks.keys();
        cx.out.passes.extend(seeks.flat_map(|lock| self.seek(id, *lock, directory)));
        let lost = slot.lost.as_ref();
        let sought = lost.map(|lost| lost.sought.values().map(|sought| sought.seek).collect());
        for seek in sought.unwrap_or_else(Vec::new) {
            self.on_seek(seek, cx);
        }
    }
}
