//! A wallet that steals: it takes part like any other, keeps every proof that it ever took, and once
//! closes with one of them and claims with all that it knows. From then on nothing that would help
//! the hub goes to the ledger from it.

use std::collections::BTreeMap;

use rand::RngExt;
use settlement::channel::Phase;
use settlement::crypto::{Signed, chain_step};
use settlement::lock::Lock;
use settlement::proof::BalanceProof;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Anchor, Role, Secret};

use super::World;

/// Which of the wallets.
const THIEF: usize = 1;

/// What the thief has collected.
#[derive(Default)]
pub(super) struct Thief {
    taken: BTreeMap<u64, (Signed<BalanceProof>, Vec<Lock>)>,
    struck: bool,
}

impl Thief {
    pub(super) fn has_struck(&self) -> bool {
        self.struck
    }
}

impl World {
    pub(super) fn has_struck(&self, who: usize) -> bool {
        who == THIEF && self.thief.as_ref().is_some_and(Thief::has_struck)
    }

    /// After each message: the newest proof of the hub's, with its locks.
    pub(super) fn thief_remembers(&mut self, who: usize) {
        let Some(thief) = self.thief.as_mut().filter(|_| who == THIEF) else { return };
        let Some(wallet) = self.wallets[THIEF].core() else { return };
        for incoming in wallet.channels().map(|channel| channel.incoming()) {
            if let Some(proof) = &incoming.proof {
                let locks = incoming.tally.locks.clone();
                thief.taken.entry(proof.value.seq).or_insert((proof.clone(), locks));
            }
        }
    }

    /// Once, and only while its channel is open.
    pub(super) fn steal(&mut self) {
        let Some(thief) = self.thief.as_ref().filter(|thief| !thief.struck) else { return };
        let Some(wallet) = self.wallets[THIEF].core() else { return };
        let Some(channel) = wallet.channels().next().filter(|c| c.phase() == Phase::Open) else {
            return;
        };
        let (id, count) = (channel.id(), thief.taken.len());
        let secrets = wallet.payments().filter_map(|payment| payment.secret);
        let secrets: BTreeMap<Anchor, Secret> =
            secrets.map(|secret| (Anchor(chain_step(&secret.0)), secret)).collect();
        // Most often one of the newest: what has just been given up is not retired yet.
        let back = self.rng.random_range(0..4usize);
        let at = if self.rng.random_bool(0.3) { self.rng.random_range(0..=count) } else { back };
        let (proof, locks) = match thief.taken.values().rev().nth(at) {
            Some((proof, locks)) => (Some(proof.clone()), locks.clone()),
            None => (None, Vec::new()),
        };
        let claim = |lock: &Lock| Some((lock.id, *secrets.get(&lock.anchor)?));
        let claims = locks.iter().filter_map(claim).collect();
        let by = Role::Wallet;
        let body = Submission { channel: id, by, close: true, proof, locks, claims };
        let tx = Transaction::submit(self.wallets[THIEF].signing_key(), body);
        let answer = self.ledger.submit(tx);
        self.story.tell(self.now_ms, || format!("the thief strikes, {at} proofs back: {answer:?}"));
        if let Some(thief) = self.thief.as_mut().filter(|_| answer.is_ok()) {
            thief.struck = true;
        }
    }
}
