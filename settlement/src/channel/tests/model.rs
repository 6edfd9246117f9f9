//! What the protocol's text entitles each side to, worked out from the messages alone: which proofs
//! were signed, which were accepted, which secrets are out. Nothing here asks the engine.

use std::collections::BTreeMap;

use crate::proof::BalanceProof;
use crate::types::{Amount, Secret};
use crate::update::{Op, Update};

/// A lock as its sender signed it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pledge {
    pub(super) unit: u64,
    pub(super) steps: u32,
    pub(super) expiry: u64,
    anchor: [u8; 32],
}

/// A direction after one of its proofs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) paid: u64,
    pub(super) pledges: BTreeMap<u64, Pledge>,
}

impl State {
    fn pledged(&self) -> u64 {
        self.pledges.values().map(|pledge| pledge.unit * u64::from(pledge.steps)).sum()
    }

    /// The most that this proof can be made to pay in a block after `height`, whoever knows what.
    pub(super) fn worth(&self, height: u64) -> u64 {
        let alive = self.pledges.values().filter(|pledge| height + 1 < pledge.expiry);
        self.paid + alive.map(|pledge| pledge.unit * u64::from(pledge.steps)).sum::<u64>()
    }

    fn with(&self, ops: &[Op]) -> State {
        let mut after = self.clone();
        for op in ops {
            match op {
                Op::Pay { amount, .. } => after.paid += amount.0,
                Op::Drop { id } => drop(after.pledges.remove(id).expect("it was there")),
                Op::Add { lock, .. } => {
                    let pledge = Pledge {
                        unit: lock.unit.0,
                        steps: lock.steps,
                        expiry: lock.expiry.0,
                        anchor: lock.anchor.0,
                    };
                    assert!(after.pledges.insert(lock.id, pledge).is_none(), "an id used twice");
                }
                Op::Settle { id, secret } => after.settle(*id, secret),
            }
        }
        after
    }

    fn settle(&mut self, id: u64, secret: &Secret) {
        let pledge = self.pledges.get_mut(&id).expect("it was there");
        let steps = distance(secret, pledge).expect("the secret fits");
        self.paid += pledge.unit * u64::from(steps);
        (pledge.steps, pledge.anchor) = (pledge.steps - steps, secret.0);
        self.pledges.retain(|_, pledge| pledge.steps > 0);
    }
}

fn distance(secret: &Secret, pledge: &Pledge) -> Option<u32> {
    use sha2::{Digest, Sha256};
    let mut value = secret.0;
    (1..=pledge.steps).find(|_| {
        value = Sha256::digest(value).into();
        value == pledge.anchor
    })
}

/// One direction, as a witness of the wire sees it.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// Every proof ever signed.
    pub(super) signed: BTreeMap<u64, (BalanceProof, State)>,
    /// The newest that its receiver accepted.
    pub(super) accepted: u64,
    /// The newest that the receiver has acknowledged in an update which the sender accepted.
    pub(super) retired_below: u64,
    /// The deepest secret that the receiver has shown for each lock: how many steps of the lock as
    /// it was added.
    pub(super) shown: BTreeMap<u64, Secret>,
    /// The locks whose money the sender says is back.
    pub(super) back: Vec<u64>,
}

impl Direction {
    pub(super) fn accepted_state(&self) -> State {
        self.signed.get(&self.accepted).map(|(_, state)| state.clone()).unwrap_or_default()
    }

    /// The sender has signed an update.
    pub(super) fn sign(&mut self, update: &Update) {
        let proof = update.proof.value;
        let base = self.signed.get(&update.base).map(|(_, state)| state.clone());
        let state = base.unwrap_or_default().with(&update.ops);
        assert_eq!(proof.transferred, Amount(state.paid));
        assert_eq!(proof.locked, Amount(state.pledged()));
        if let Some((before, _)) = self.signed.get(&proof.seq) {
            assert_eq!(before, &proof, "two proofs with one seq");
        }
        self.signed.insert(proof.seq, (proof, state));
    }

    /// The receiver has accepted an update.
    pub(super) fn accept(&mut self, update: &Update) {
        let seq = update.proof.value.seq;
        if seq != self.accepted {
            assert_eq!(update.base, self.accepted, "accepted on another base");
        }
        self.accepted = seq;
    }

    /// Every proof that the receiver could still bring: those that its own acknowledgment has not
    /// voided, accepted or refused.
    pub(super) fn alive(&self) -> impl Iterator<Item = &State> {
        self.signed.range(self.retired_below..).map(|(_, (_, state))| state)
    }

    /// The most that the sender of this direction can be made to pay.
    pub(super) fn most(&self, height: u64) -> u64 {
        self.alive().map(|state| state.worth(height)).max().unwrap_or_default()
    }

    /// ⚔ Nothing that is said to be back can be claimed.
    pub(super) fn assert_back_is_back(&self, height: u64) {
        for id in &self.back {
            for pledge in self.alive().filter_map(|state| state.pledges.get(id)) {
                assert!(height + 1 >= pledge.expiry, "lock {id} is back and can be claimed");
            }
        }
        let mut twice = self.back.clone();
        twice.sort_unstable();
        twice.dedup();
        assert_eq!(twice.len(), self.back.len(), "a lock's money is back twice: {:?}", self.back);
    }

    /// What the receiver has shown is paid, or it will claim it, or no block can take that any more.
    pub(super) fn assert_shown_is_claimed(&self, claims: &[(u64, Secret)], height: u64) {
        let state = self.accepted_state();
        for (id, secret) in &self.shown {
            let Some(pledge) = state.pledges.get(id) else { continue };
            let open = distance(secret, pledge).is_some() && height + 1 < pledge.expiry;
            assert!(!open || claims.contains(&(*id, *secret)), "lock {id}: shown and not claimed");
        }
    }
}
