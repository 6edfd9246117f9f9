//! A wallet that steals. It takes part like any other, but it keeps every proof that it ever took;
//! it says that it refused what it kept, gives up locks whose secret it has, or says nothing of the
//! secret at all. Once it closes with one of its proofs and claims with all that it knows: at any
//! moment, or in the last block that takes the claim. Nothing that would help the hub goes to the
//! ledger from it.

use std::collections::BTreeMap;

use rand::RngExt;
use settlement::channel::Phase;
use settlement::crypto::{Signed, chain_step};
use settlement::lock::Lock;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Anchor, Role, Secret};
use settlement::wire::Message;

use super::World;
use super::counts::Kind;

/// Which of the wallets.
pub(super) const THIEF: usize = 1;

/// What the thief has collected.
#[derive(Default)]
pub(super) struct Thief {
    taken: BTreeMap<u64, (Signed<BalanceProof>, Vec<Lock>)>,
    /// It has said something false, or kept back what would have helped itself.
    lied: bool,
    struck: bool,
}

impl Thief {
    /// Whether it has done anything by which it may have harmed itself.
    pub(super) fn has_cheated(&self) -> bool {
        self.struck || self.lied
    }
}

impl World {
    /// What its honest half brings before the ledger comes too early for a thief, or too late.
    pub(super) fn keeps_from_ledger(&mut self, who: usize) -> bool {
        let ending = self.faults_over;
        let Some(thief) = self.thief.as_mut().filter(|_| who == THIEF) else { return false };
        let keeps = thief.struck || !ending;
        thief.lied |= keeps;
        keeps
    }

    /// What the thief says instead.
    pub(super) fn twisted(&mut self, who: usize, message: Message) -> Option<Message> {
        if who != THIEF || self.thief.is_none() || self.faults_over || !self.rng.random_bool(0.15) {
            return Some(message);
        }
        let said = self.instead_of(message.clone());
        if let Some(thief) = self.thief.as_mut().filter(|_| said.as_ref() != Some(&message)) {
            thief.lied = true;
        }
        said
    }

    fn instead_of(&mut self, message: Message) -> Option<Message> {
        let silent = self.rng.random_bool(0.5);
        match message {
            Message::Reveal { .. } if silent => None,
            Message::Reveal { channel, id, .. } => {
                Some(Message::Fail { channel, id, code: Code::InvoiceExpired })
            }
            Message::Ack { channel, seq } => {
                Some(Message::Reject { channel, seq, code: Code::StaleView })
            }
            other => Some(other),
        }
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

    /// With any of its proofs. Most often one of the newest: what has just been given up is not
    /// retired yet.
    pub(super) fn steal(&mut self) {
        let count = self.thief.as_ref().map_or(0, |thief| thief.taken.len());
        let back = self.rng.random_range(0..4usize);
        let any = self.rng.random_range(0..=count);
        let back = if self.rng.random_bool(0.3) { any } else { back };
        self.strike(back);
    }

    /// With its newest proof, when the next block is the last one that takes a claim of its.
    pub(super) fn thief_waits(&mut self) {
        let Some(wallet) = self.wallets[THIEF].core().filter(|_| self.thief.is_some()) else {
            return;
        };
        let last = wallet.height().after(2);
        let known = |anchor: &Anchor| wallet.payment(anchor).is_some_and(|p| p.secret.is_some());
        let due = |lock: &Lock| lock.expiry == last && known(&lock.anchor);
        let now_or_never =
            wallet.channels().any(|channel| channel.incoming().tally.locks.iter().any(due));
        if now_or_never {
            self.strike(0);
        }
    }

    /// Closes with the proof that it took so many before the newest, once.
    fn strike(&mut self, back: usize) {
        let Some(thief) = self.thief.as_ref().filter(|thief| !thief.struck) else { return };
        let Some(wallet) = self.wallets[THIEF].core() else { return };
        let Some(channel) = wallet.channels().next() else { return };
        if matches!(channel.phase(), Phase::Closing { .. } | Phase::Closed { .. }) {
            return;
        }
        let id = channel.id();
        let secrets = wallet.payments().filter_map(|payment| payment.secret);
        let secrets: BTreeMap<Anchor, Secret> =
            secrets.map(|secret| (Anchor(chain_step(&secret.0)), secret)).collect();
        let (proof, locks) = match thief.taken.values().rev().nth(back) {
            Some((proof, locks)) => (Some(proof.clone()), locks.clone()),
            None => (None, Vec::new()),
        };
        let claim = |lock: &Lock| Some((lock.id, *secrets.get(&lock.anchor)?));
        let claims = locks.iter().filter_map(claim).collect();
        let by = Role::Wallet;
        let body = Submission { channel: id, by, close: true, proof, locks, claims };
        let tx = Transaction::submit(self.wallets[THIEF].signing_key(), body);
        let answer = self.ledger.submit(tx);
        let now_ms = self.now_ms;
        self.story.tell(now_ms, || format!("the thief strikes, {back} proofs back: {answer:?}"));
        if let Some(thief) = self.thief.as_mut().filter(|_| answer.is_ok()) {
            thief.struck = true;
            self.count(Kind::Theft);
        }
    }
}
