//! A channel as the ledger holds it: escrow, standing proofs, locks and claims.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::boundaries;
use super::measured::Measured;
use crate::api::{ChannelPhase, ChannelView};
use crate::crypto::Signable;
use crate::lock::{LOCK_STEPS_MAX, LOCKS_MAX, Lock, locked_total, locks_root};
use crate::proof::{BalanceProof, OpenTerms};
use crate::rare::{AtRest, Rare};
use crate::rules::{Rule, rule_is_on};
use crate::state_proof::{ChannelLeaf, DirectionLeaf, Standing};
use crate::types::{Amount, Hash, Height, PerRole, Role, Secret};

/// The most claims kept per direction. Claims on locks of the standing proof always fit; those on
/// locks that it does not hold make room, lowest id first.
pub const CLAIMS_KEPT_MAX: usize = 1_024;

/// A channel that has not been paid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelState {
    /// What it was opened under.
    pub terms: OpenTerms,
    /// How many channels were opened before it.
    pub index: u64,
    /// The height of the block that opened it.
    pub opened: Height,
    /// All that each side has put in.
    pub deposited: PerRole<Amount>,
    /// All that each side has taken out.
    pub withdrawn: PerRole<Amount>,
    /// The challenge window, if it has started.
    pub closing: Option<Closing>,
    /// What is known of each direction, by the side that pays in it.
    pub directions: PerRole<Rare<Direction>>,
}

/// What is left to tell of a channel that was paid out. Not part of the state: it decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedChannel {
    /// What it was opened under.
    pub terms: OpenTerms,
    /// All that each side has put in.
    pub deposited: PerRole<Amount>,
    /// All that each side had taken out before.
    pub withdrawn: PerRole<Amount>,
    /// What each side got in the end.
    pub paid: PerRole<Amount>,
}

impl ClosedChannel {
    /// As it is shown to whoever asks.
    pub fn view(&self) -> ChannelView {
        ChannelView {
            channel: self.terms.channel_id(),
            terms: self.terms,
            phase: ChannelPhase::Closed,
            deposited: self.deposited,
            withdrawn: self.withdrawn,
            closed_by: None,
            proofs_until: None,
            paid: Some(self.paid),
        }
    }
}

/// A challenge window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// Who started it.
    pub by: Role,
    /// In the block of this height.
    pub height: Height,
    /// The last height of a block in which proofs count.
    pub proofs_until: Height,
}

/// One direction, by the side X that pays in it; Y is the other side.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Direction {
    /// X's proof of the highest `seq` that Y brought.
    pub standing: Option<BalanceProof>,
    /// Whether `locks` are those under its root. Unopened locks count as unclaimed.
    pub opened: bool,
    /// The locks under its root.
    pub locks: Vec<Lock>,
    /// By lock id, on locks of this proof or of an earlier one that stood.
    pub claims: BTreeMap<u64, Claim>,
    /// What Y itself acknowledged to have got: T(X→Y) never counts as less.
    pub floor: Amount,
    /// X's proofs below this `seq` are void: Y has signed that it holds a newer one.
    pub void_below: u64,
}

impl AtRest for Direction {
    const AT_REST: &'static Direction = &Direction {
        standing: None,
        opened: false,
        locks: Vec::new(),
        claims: BTreeMap::new(),
        floor: Amount::ZERO,
        void_below: 0,
    };
}

/// The deepest secret shown for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Public, since it is on the ledger.
    pub secret: Secret,
    /// How many steps it is worth in the proof that stands; 0 if that has no such lock.
    pub steps: u32,
}

impl ChannelState {
    /// A channel just opened.
    pub(super) fn new(
        terms: OpenTerms,
        index: u64,
        opened: Height,
        deposit: Amount,
    ) -> ChannelState {
        let deposited = PerRole { wallet: deposit, hub: Amount::ZERO };
        ChannelState {
            terms,
            index,
            opened,
            deposited,
            withdrawn: PerRole::default(),
            closing: None,
            directions: PerRole::default(),
        }
    }

    /// As it is shown to whoever asks.
    pub fn view(&self) -> ChannelView {
        let closing = self.closing;
        ChannelView {
            channel: self.terms.channel_id(),
            terms: self.terms,
            phase: closing.map_or(ChannelPhase::Open, |_| ChannelPhase::Closing),
            deposited: self.deposited,
            withdrawn: self.withdrawn,
            closed_by: closing.map(|closing| closing.by),
            proofs_until: closing.map(|closing| closing.proofs_until),
            paid: None,
        }
    }

    /// As the state root covers it.
    pub fn leaf(&self) -> ChannelLeaf {
        ChannelLeaf {
            index: self.index,
            channel: self.terms.channel_id(),
            opened: self.opened,
            deposited: self.deposited,
            withdrawn: self.withdrawn,
            closed_by: self.closing.map(|closing| closing.by),
            proofs_until: self.closing.map(|closing| closing.proofs_until),
            directions: PerRole {
                wallet: self.directions.wallet.leaf(),
                hub: self.directions.hub.leaf(),
            },
        }
    }

    /// What is left to tell of it once it is paid out.
    pub(super) fn closed(&self, paid: PerRole<Amount>) -> ClosedChannel {
        let (deposited, withdrawn) = (self.deposited, self.withdrawn);
        ClosedChannel { terms: self.terms, deposited, withdrawn, paid }
    }

    /// Whether a proof in a block of this height may still stand: at any time while the channel is
    /// open, and until its window is over.
    pub(super) fn takes_proofs(&self, block: Height) -> bool {
        let window = self.terms.challenge_blocks;
        let counts = |closing: Closing| boundaries::proof_counts(block, closing.height, window);
        self.closing.is_none_or(counts)
    }

    /// Deposited less withdrawn by one side; may be negative, as sides pay each other.
    pub fn net(&self, role: Role) -> i128 {
        self.deposited.of(role).wide() - self.withdrawn.of(role).wide()
    }

    /// What is in the channel: never negative.
    pub fn escrow(&self) -> i128 {
        self.net(Role::Wallet) + self.net(Role::Hub)
    }

    /// The first applied height at which the channel is paid out, as things stand; `None` while it
    /// is open.
    pub fn due(&self) -> Option<Height> {
        let closing = self.closing?;
        let window = boundaries::window_over_from(closing.height, self.terms.challenge_blocks);
        let locks = [Role::Wallet, Role::Hub].map(|from| self.directions.of(from).last_expiry());
        let locks = locks.into_iter().flatten().map(boundaries::lock_expired_from);
        locks.chain([window]).max()
    }
}

impl Direction {
    /// Whether the standing proof is older than one that its receiver has acknowledged.
    pub fn is_void(&self) -> bool {
        let below = |proof: &BalanceProof| proof.seq < self.void_below;
        self.standing.as_ref().is_some_and(below) && rule_is_on(Rule::Void)
    }

    fn leaf(&self) -> DirectionLeaf {
        let standing = |proof: &BalanceProof| Standing {
            seq: proof.seq,
            digest: proof.digest(),
            transferred: proof.transferred,
        };
        DirectionLeaf {
            standing: self.standing.as_ref().map(standing),
            // At most what the proof says is locked, so it is an amount.
            claimed: Amount::from_wide(self.claimed()).unwrap_or(Amount::ZERO),
            floor: self.floor,
            void_below: self.void_below,
        }
    }

    /// The lock of this id in the proof that stands.
    pub fn lock(&self, id: u64) -> Option<&Lock> {
        find(&self.locks, id)
    }

    /// What the claims on the standing proof's locks are worth.
    pub fn claimed(&self) -> i128 {
        let worth = |lock: &Lock| lock.unit.wide() * i128::from(self.claimed_steps(lock));
        self.locks.iter().map(worth).sum()
    }

    fn claimed_steps(&self, lock: &Lock) -> u32 {
        let steps = self.claims.get(&lock.id).map_or(0, |claim| claim.steps);
        steps.min(lock.steps)
    }

    /// When the last lock that may still be claimed expires.
    fn last_expiry(&self) -> Option<Height> {
        if self.is_void() {
            return None;
        }
        let open = |lock: &&Lock| self.claimed_steps(lock) < lock.steps;
        self.locks.iter().filter(open).map(|lock| lock.expiry).max()
    }

    /// Whether this proof, with these locks, tells more than the one that stands.
    pub(super) fn improved_by(&self, proof: &BalanceProof, locks: &[Lock]) -> bool {
        match &self.standing {
            None => true,
            Some(standing) if proof.seq == standing.seq => {
                proof == standing && !self.opened && !locks.is_empty()
            }
            Some(standing) => proof.seq > standing.seq,
        }
    }

    /// Lets a proof stand and measures the claims again. The caller has asked
    /// [`Direction::improved_by`] and [`opens`].
    pub(super) fn stand(&mut self, proof: BalanceProof, locks: &[Lock], measured: &Measured) {
        self.opened = !locks.is_empty() || proof.locks_root == Hash::ZERO;
        self.standing = Some(proof);
        self.locks = locks.to_vec();
        if !rule_is_on(Rule::ClaimsMeasuredAgain) {
            return;
        }
        for (id, claim) in &mut self.claims {
            let lock = find(&self.locks, *id);
            claim.steps = lock.map_or(0, |lock| measured.steps(lock, &claim.secret));
        }
    }

    /// Measures a secret for a lock that stands, and keeps it if it is deeper than the one known.
    pub(super) fn claim(&mut self, id: u64, secret: Secret, measured: &Measured) -> bool {
        let steps = self.lock(id).map_or(0, |lock| measured.steps(lock, &secret));
        let known = self.claims.get(&id).map_or(0, |claim| claim.steps);
        if steps <= known && (steps == 0 || rule_is_on(Rule::DeepestClaimKept)) {
            return false;
        }
        self.claims.insert(id, Claim { secret, steps });
        while self.claims.len() > CLAIMS_KEPT_MAX {
            let standing = |id: &&u64| find(&self.locks, **id).is_some();
            let Some(oldest) = self.claims.keys().find(|id| !standing(id)).copied() else {
                break;
            };
            self.claims.remove(&oldest);
        }
        true
    }

    /// Whether the locks are those under the standing proof's root, where they were opened.
    pub(super) fn is_whole(&self) -> bool {
        match &self.standing {
            Some(proof) if self.opened => locks_root(&self.locks) == proof.locks_root,
            _ => self.locks.is_empty(),
        }
    }

    /// How many steps this very secret counts for now.
    pub(super) fn counted(&self, id: u64, secret: &Secret) -> u32 {
        match self.claims.get(&id) {
            Some(claim) if claim.secret == *secret => claim.steps,
            _ => 0,
        }
    }

    /// Those of these locks on which known claims would be measured again.
    pub(super) fn measured_again<'a>(&self, locks: &'a [Lock]) -> impl Iterator<Item = &'a Lock> {
        locks.iter().filter(|lock| self.claims.contains_key(&lock.id))
    }
}

/// The lock of this id.
pub(super) fn find(locks: &[Lock], id: u64) -> Option<&Lock> {
    locks.iter().find(|lock| lock.id == id)
}

/// Whether these are the locks under the proof's root: at most 256, each well-formed, no id twice,
/// at most 2^20 steps together (which bounds what claims on them cost), their sum what it says.
/// None at all leaves them unopened.
pub(super) fn opens(proof: &BalanceProof, locks: &[Lock]) -> bool {
    if locks.is_empty() {
        // An empty root with something locked under it is a proof that can't be honest, but it
        // harms only the one who signed it: what is not opened is not paid.
        return true;
    }
    let mut ids: Vec<u64> = locks.iter().map(|lock| lock.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let steps: u64 = locks.iter().map(|lock| u64::from(lock.steps)).sum();
    locks.len() <= LOCKS_MAX
        && ids.len() == locks.len()
        && steps <= LOCK_STEPS_MAX
        && locks.iter().all(Lock::well_formed)
        && locked_total(locks) == Some(proof.locked)
        && locks_root(locks) == proof.locks_root
}

#[cfg(test)]
mod tests;
