//! Secrets of own locks that are over, where that may be forgotten: what a wallet says again, and what the ledger
//! has counted.
//!
//! Such a lock was settled, or is about to be; whoever it was made for may not have been told.
//!
//! | the secret | how many are kept | whom it goes to |
//! | --- | --- | --- |
//! | is said | [`SAID_MAX`] | one payer's lock, whichever own lock it is said of |
//! | counts on the ledger | one for each own lock, which this hub has signed: the deepest | one payer's lock for each own lock, and the one that was told of it before, if any |
//!
//! Which payer's lock it went to is recorded, so that a start does not find another.

use std::collections::BTreeSet;

use settlement::crypto::chain_step;
use settlement::lock::STEPS_MAX;
use settlement::types::{Anchor, ChannelId, Secret};

use super::known::Incoming;
use super::lost::{Lost, Todo};
use super::slot::{NOBODY, Pair, Slot};
use super::state::Cx;
use super::{Pass, Record, Shard};

/// The most secrets that are said and belong to nobody yet, for one channel.
const SAID_MAX: usize = 1_024;

/// A secret that is said of an own lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) own: u64,
    secret: Secret,
}

/// What the ledger has counted of an own lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    secret: Secret,
    steps: u32,
    /// Whom it is collected from.
    payer: Option<Incoming>,
    /// Whether that channel was told in the life of this process: what it made of it may not be durable.
    told: bool,
}

/// The same in the index: the lock, its secret, for how many steps, and whom it is collected from. What is only said is
/// there once its payer was told, with 0 steps.
pub(super) type ClaimRow = (u64, Secret, u32, Option<Incoming>);

impl Claim {
    pub(super) fn new(secret: Secret, steps: u32, payer: Option<Incoming>) -> Claim {
        Claim { secret, steps, payer, told: false }
    }

    /// Whether there is nothing in the other that this does not say.
    fn covers(&self, other: &Claim) -> bool {
        let same = self.steps == other.steps;
        self.steps > other.steps || same && (self.payer.is_some() || other.payer.is_none())
    }
}

impl Lost {
    /// False if nothing new is to be done.
    fn keep_said(&mut self, said: Said) -> bool {
        let first = first_of(&said.secret);
        let counted = self.claims.values().any(|claim| claim.secret == said.secret);
        if counted || self.said.contains_key(&first) || self.said.len() >= SAID_MAX {
            return false;
        }
        self.said.insert(first, said);
        self.todo.insert(Todo::Said(first));
        true
    }

    /// False if nothing new is to be done.
    fn keep_claim(&mut self, own: u64, claim: Claim) -> bool {
        if claim.steps == 0 {
            let told = claim.payer.map(|payer| (payer, Said { own, secret: claim.secret }));
            self.told.extend(told);
            return false;
        }
        let known = self.claims.get(&own);
        if known.is_some_and(|known| known.covers(&claim)) {
            return false;
        }
        let payer = claim.payer.or(known.and_then(|known| known.payer));
        self.said.remove(&first_of(&claim.secret));
        self.claims.insert(own, Claim { payer, ..claim });
        self.todo.insert(Todo::Claimed(own));
        true
    }

    /// The payer's lock that was told of this own lock as its wallet said, or of the very secret, if they are of one
    /// chain; none of those that have `paid`. With it, how many hashes it took to find out.
    fn told_of(
        &self,
        own: u64,
        secret: &Secret,
        paid: &BTreeSet<Incoming>,
    ) -> (Option<Incoming>, u32) {
        let mut hashes = 0;
        let told = self.told.iter().find(|(incoming, said)| {
            let (same, cost) = match said.own == own {
                _ if paid.contains(*incoming) => (false, 0),
                _ if said.secret == *secret => (true, 0),
                true => are_of_one_chain(secret, &said.secret, self.reach),
                false => (false, 0),
            };
            hashes += cost;
            same
        });
        (told.map(|(incoming, _)| *incoming), hashes)
    }

    /// The payers' locks that claims are collected from.
    fn paid(&self) -> BTreeSet<Incoming> {
        self.claims.values().filter_map(|claim| claim.payer).collect()
    }

    /// The payer's lock that a secret is of, and how many hashes that took. Where its last secret is known,
    /// nothing is left to be found out about it.
    fn find_payer(
        &mut self,
        own: u64,
        secret: &Secret,
        todo: Todo,
        paid: &BTreeSet<Incoming>,
    ) -> (Option<Incoming>, u32) {
        let (told, walked) = self.told_of(own, secret, paid);
        if told.is_some() {
            return (told, walked);
        }
        let (found, hashes) = self.payer_of(secret, todo, paid);
        let hashes = hashes.saturating_add(walked);
        if let Some((seek, _)) = found.filter(|(seek, steps)| *steps == seek.lock.steps) {
            self.found(&seek.incoming);
        }
        (found.map(|(seek, _)| seek.incoming), hashes)
    }
}

impl Slot {
    /// What the ledger has counted on locks that may be forgotten, and what payers were told that was only said.
    pub(super) fn claims(&self) -> Vec<ClaimRow> {
        let claims = self.lost.iter().flat_map(|lost| &lost.claims);
        let claims = claims.map(|(own, claim)| (*own, claim.secret, claim.steps, claim.payer));
        let told = self.lost.iter().flat_map(|lost| &lost.told);
        claims.chain(told.map(|(payer, said)| (said.own, said.secret, 0, Some(*payer)))).collect()
    }

    /// Whether this may be of a lock that is forgotten. It is not if the lock stands; nor if its money is back, and it
    /// is not known to have been paid by a life that is forgotten; nor if it is known that it was paid so far.
    fn may_have_forgotten(&self, own: u64, secret: &Secret) -> bool {
        let known = |pair: &Pair| pair.gone.is_some() || pair.secret == Some(*secret);
        let stands = self.channel.outgoing().standing.contains_key(&own);
        !self.is_whole() && !stands && !self.pairs.get(&own).is_some_and(known)
    }

    /// The payer's lock that an own lock was made for, if that is known and the secret is of it; and how many hashes
    /// it took to find out.
    fn payer_by_pair(&self, own: u64, secret: &Secret) -> Option<(Option<Incoming>, u32)> {
        let pair = self.pairs.get(&own).filter(|pair| pair.incoming != NOBODY)?;
        let (reached, hashes) = reaches(secret, pair.anchor);
        Some((reached.then_some(pair.incoming), hashes))
    }
}

impl Shard {
    /// The wallet says a secret of an own lock that does not stand.
    pub(super) fn on_said(&mut self, id: ChannelId, own: u64, secret: &Secret, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let said = Said { own, secret: *secret };
        if slot.may_have_forgotten(own, secret) && slot.lost.get_or_insert_default().keep_said(said)
        {
            self.search_in_turn(id, cx);
        }
    }

    /// A claim on an own lock is shown by the ledger. One that counts for nothing is no more than said.
    pub(super) fn on_claimed(
        &mut self,
        id: ChannelId,
        own: u64,
        (secret, steps): (&Secret, u32),
        cx: &mut Cx<'_>,
    ) {
        if steps == 0 {
            return self.on_said(id, own, secret, cx);
        }
        let Some(slot) = self.slots.get(&id) else { return };
        if slot.may_have_forgotten(own, secret)
            && self.keep_claim(id, own, Claim::new(*secret, steps, None))
        {
            self.record_claim(id, own, cx);
            self.search_in_turn(id, cx);
        }
    }

    /// False if nothing new is to be done. Replays do this, too.
    pub(super) fn keep_claim(&mut self, id: ChannelId, own: u64, claim: Claim) -> bool {
        let Some(slot) = self.slots.get_mut(&id) else { return false };
        let kept = slot.lost.get_or_insert_default().keep_claim(own, claim);
        self.mark(id);
        kept
    }

    fn record_claim(&self, id: ChannelId, own: u64, cx: &mut Cx<'_>) {
        let lost = self.slots.get(&id).and_then(|slot| slot.lost.as_ref());
        let Some(claim) = lost.and_then(|lost| lost.claims.get(&own)) else { return };
        let Claim { secret, steps, payer, .. } = *claim;
        cx.out.records.push(Record::Claimed { channel: id, lock: own, secret, steps, payer });
    }

    /// Whom is a claim collected from? Says how many hashes it took to find out.
    pub(super) fn compare_claim(&mut self, id: ChannelId, own: u64, cx: &mut Cx<'_>) -> u32 {
        let Some(slot) = self.slots.get_mut(&id) else { return 0 };
        let claim = slot.lost.as_ref().and_then(|lost| lost.claims.get(&own));
        let Some(claim) = claim.copied().filter(|claim| !claim.told) else { return 0 };
        let paired = slot.payer_by_pair(own, &claim.secret);
        let outgoing = (id, if paired.is_some() { own } else { 0 });
        let Some(lost) = slot.lost.as_mut() else { return 0 };
        let (payer, hashes) = match (claim.payer, paired) {
            (Some(payer), _) => (Some(payer), 0),
            (None, Some(paired)) => paired,
            (None, None) => lost.find_payer(own, &claim.secret, Todo::Claimed(own), &lost.paid()),
        };
        let Some(incoming) = payer else { return hashes };
        lost.claims.insert(own, Claim { payer, told: true, ..claim });
        if claim.payer.is_none() {
            self.mark(id);
            self.record_claim(id, own, cx);
        }
        let outcome = Ok(claim.secret);
        cx.out.passes.push(Pass::Outcome { incoming, outgoing, outcome });
        hashes
    }

    /// The same of a secret that is only said.
    pub(super) fn compare_said(&mut self, id: ChannelId, first: Anchor, cx: &mut Cx<'_>) -> u32 {
        let Some(slot) = self.slots.get_mut(&id) else { return 0 };
        let said = slot.lost.as_ref().and_then(|lost| lost.said.get(&first)).copied();
        let Some(Said { own, secret }) = said else { return 0 };
        let paired = slot.payer_by_pair(own, &secret);
        let outgoing = (id, if paired.is_some() { own } else { 0 });
        let Some(lost) = slot.lost.as_mut() else { return 0 };
        let (payer, hashes) = paired
            .unwrap_or_else(|| lost.find_payer(own, &secret, Todo::Said(first), &BTreeSet::new()));
        let Some(incoming) = payer else { return hashes };
        // Where a part was redeemed, a deeper secret of the same lock may follow.
        lost.said.remove(&first);
        let said = Said { own, secret };
        // A wallet may say it again and again.
        if lost.told.insert(incoming, said) != Some(said) {
            self.mark(id);
            let (steps, payer) = (0, Some(incoming));
            cx.out.records.push(Record::Claimed { channel: id, lock: own, secret, steps, payer });
        }
        cx.out.passes.push(Pass::Outcome { incoming, outgoing, outcome: Ok(secret) });
        hashes
    }
}

/// Whether one of two secrets comes after the other within so many steps, and how many hashes it took to find out.
fn are_of_one_chain(one: &Secret, other: &Secret, most: u32) -> (bool, u32) {
    let (reached, there) = walks_to(one, Anchor(other.0), most);
    let (reaches_back, back) = match reached {
        true => (true, 0),
        false => walks_to(other, Anchor(one.0), most),
    };
    (reaches_back, there.saturating_add(back))
}

fn first_of(secret: &Secret) -> Anchor {
    Anchor(chain_step(&secret.0))
}

/// Whether a secret is on the chain that ends in this anchor, and how many hashes it took to find out.
fn reaches(secret: &Secret, anchor: Anchor) -> (bool, u32) {
    walks_to(secret, anchor, STEPS_MAX)
}

fn walks_to(secret: &Secret, anchor: Anchor, most: u32) -> (bool, u32) {
    let mut value = secret.0;
    for hashes in 1..=most {
        value = chain_step(&value);
        if value == anchor.0 {
            return (true, hashes);
        }
    }
    (false, most)
}
