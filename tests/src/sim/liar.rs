//! Those who lie: wallet 1, the hub, or both together against wallet 0. A liar takes part like any
//! other, but it keeps every proof that it ever took and every secret that it ever saw. What it says
//! is at times not what its honest half meant (module `lies`), what would help the other side it
//! keeps from the ledger, and it closes with any of its proofs, at any moment, or in the last block
//! that takes a claim of its.

use std::collections::{BTreeMap, VecDeque};

use rand::RngExt;
use settlement::channel::{Channel, Phase};
use settlement::crypto::Signed;
use settlement::lock::Lock;
use settlement::proof::BalanceProof;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Anchor, Height, Role, Secret};
use settlement::update::Op;
use settlement::wire::Message;

use super::World;
use super::breakage::name;
use super::check::anchor_of;
use super::counts::Kind;

/// The process of the hub.
pub(super) const HUB: usize = 0;
/// The process of the wallet that lies in some worlds.
pub(super) const WALLET: usize = 2;
/// How much of what it said a liar remembers.
const SAID_MAX: usize = 60;

type Taken = (Signed<BalanceProof>, Vec<Lock>);

/// What a liar has collected, and what it has done.
#[derive(Default)]
pub(super) struct Liar {
    /// By the wallet of the channel, and seq.
    taken: BTreeMap<(usize, u64), Taken>,
    secrets: BTreeMap<Anchor, Secret>,
    /// What it said, and on whose connection.
    pub(super) said: VecDeque<(usize, Message)>,
    /// What it will say at a height.
    pub(super) held: Vec<(Height, usize, Message)>,
    /// It says nothing before this height.
    pub(super) mute_until: Height,
    /// It has said something false, or kept back what would have helped itself.
    pub(super) lied: bool,
    /// On the channel of which wallet it has struck.
    struck: [bool; 2],
}

impl Liar {
    /// Whether it has done anything by which it may have harmed itself.
    fn has_cheated(&self) -> bool {
        self.lied || self.struck.contains(&true)
    }

    fn learns(&mut self, secret: &Secret) {
        self.secrets.insert(anchor_of(secret), *secret);
    }

    /// Secrets go both ways in what it says and hears.
    pub(super) fn notes(&mut self, message: &Message) {
        match message {
            Message::Reveal { secret, .. } => self.learns(secret),
            Message::Update(update) => {
                for op in &update.ops {
                    if let Op::Settle { secret, .. } = op {
                        self.learns(secret);
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn remembers(&mut self, link: usize, message: &Message) {
        self.notes(message);
        if self.said.len() == SAID_MAX {
            self.said.pop_front();
        }
        self.said.push_back((link, message.clone()));
    }
}

/// Who lies in a world that has faults.
pub(super) fn liars(dice: u32) -> [Option<Liar>; 3] {
    let (hub, wallet) = match dice {
        0..30 => (false, true),
        30..50 => (true, false),
        50..58 => (true, true),
        _ => (false, false),
    };
    [hub.then(Liar::default), None, wallet.then(Liar::default)]
}

impl World {
    /// Whether this process may lie.
    pub(super) fn is_liar(&self, process: usize) -> bool {
        self.liars[process].is_some()
    }

    /// Whether somebody has lied or stolen, or two that may can leave a channel as it is.
    pub(super) fn is_cheated(&self) -> bool {
        let liars = self.liars.iter().flatten();
        liars.clone().count() > 1 || liars.clone().any(Liar::has_cheated)
    }

    /// Whether both sides of this wallet's channel are honest.
    pub(super) fn is_honest_channel(&self, who: usize) -> bool {
        !self.is_liar(HUB) && !self.is_liar(who + 1)
    }

    /// What its honest half brings before the ledger comes too early for a thief, or too late.
    pub(super) fn keeps_from_ledger(&mut self, process: usize) -> bool {
        let ending = self.faults_over;
        let Some(liar) = self.liars[process].as_mut() else { return false };
        let keeps = liar.struck.contains(&true) || !ending;
        liar.lied |= keeps;
        if keeps {
            self.count(Kind::KeptFromLedger);
        }
        keeps
    }

    /// After each message that a liar gets: the newest proof of the other's, with its locks.
    pub(super) fn liar_hears(&mut self, process: usize) {
        if !self.is_liar(process) {
            return;
        }
        let mut found = Vec::new();
        for who in self.links_of(process) {
            if let Some(incoming) = self.channel_at(process, who).map(Channel::incoming)
                && let Some(proof) = &incoming.proof
                && !self.liars[process]
                    .as_ref()
                    .is_some_and(|liar| liar.taken.contains_key(&(who, proof.value.seq)))
            {
                found.push((who, proof.clone(), incoming.tally.locks.clone()));
            }
        }
        let Some(liar) = self.liars[process].as_mut() else { return };
        for (who, proof, locks) in found {
            liar.taken.insert((who, proof.value.seq), (proof, locks));
        }
        if process == WALLET
            && let Some(wallet) = self.wallets[WALLET - 1].core()
        {
            wallet.payments().filter_map(|payment| payment.secret).for_each(|s| liar.learns(&s));
        }
    }

    /// The wallets to which a process is connected, or that it is.
    pub(super) fn links_of(&self, process: usize) -> std::ops::Range<usize> {
        if process == HUB { 0..2 } else { process - 1..process }
    }

    /// A wallet's channel, as this process knows it.
    pub(super) fn channel_at(&self, process: usize, who: usize) -> Option<&Channel> {
        let wallet = self.public(who);
        let of_wallet = |channel: &&Channel| channel.terms().wallet == wallet;
        match process {
            HUB => self.hub.core()?.channels().find(of_wallet),
            other => self.wallets[other - 1].core()?.channels().find(of_wallet),
        }
    }

    pub(super) fn some_liar(&mut self) -> Option<usize> {
        let liars: Vec<usize> = (0..3).filter(|process| self.is_liar(*process)).collect();
        if liars.is_empty() { None } else { Some(liars[self.rng.random_range(0..liars.len())]) }
    }

    /// With any of its proofs. Most often one of the newest: what has just been given up is not
    /// retired yet.
    pub(super) fn steal(&mut self) {
        let Some(process) = self.some_liar() else { return };
        let who = self.rng.random_range(self.links_of(process));
        let count = self.liars[process].as_ref().map_or(0, |liar| liar.taken.len());
        let back = self.rng.random_range(0..4usize);
        let any = self.rng.random_range(0..=count);
        let back = if self.rng.random_bool(0.3) { any } else { back };
        self.strike(process, who, back);
    }

    /// With its newest proof, when the next block is the last one that takes a claim of its.
    pub(super) fn thieves_wait(&mut self) {
        for process in [HUB, WALLET] {
            let Some(liar) = &self.liars[process] else { continue };
            let due = |who: &usize| {
                self.channel_at(process, *who).is_some_and(|channel| {
                    let last = self.height_at(process).after(2);
                    let locks = &channel.incoming().tally.locks;
                    let due = |lock: &Lock| {
                        lock.expiry == last && liar.secrets.contains_key(&lock.anchor)
                    };
                    locks.iter().any(due)
                })
            };
            let due: Vec<usize> = self.links_of(process).filter(due).collect();
            due.into_iter().for_each(|who| self.strike(process, who, 0));
        }
    }

    pub(super) fn height_at(&self, process: usize) -> Height {
        match process {
            HUB => self.hub.core().map_or(Height(0), |hub| hub.followed().0),
            other => self.wallets[other - 1].core().map_or(Height(0), |wallet| wallet.height()),
        }
    }

    /// Closes a wallet's channel with the proof that it took so many before the newest, once.
    fn strike(&mut self, process: usize, who: usize, back: usize) {
        let Some(liar) = self.liars[process].as_ref().filter(|liar| !liar.struck[who]) else {
            return;
        };
        let Some(channel) = self.channel_at(process, who) else { return };
        if matches!(channel.phase(), Phase::Closing { .. } | Phase::Closed { .. }) {
            return;
        }
        let of_wallet = liar.taken.range((who, 0)..(who + 1, 0));
        let (proof, locks) = match of_wallet.map(|(_, taken)| taken).rev().nth(back) {
            Some((proof, locks)) => (Some(proof.clone()), locks.clone()),
            None => (None, Vec::new()),
        };
        let claim = |lock: &Lock| Some((lock.id, *liar.secrets.get(&lock.anchor)?));
        let claims = locks.iter().filter_map(claim).collect();
        let by = if process == HUB { Role::Hub } else { Role::Wallet };
        let body = Submission { channel: channel.id(), by, close: true, proof, locks, claims };
        let tx = Transaction::submit(self.key_of(process), body);
        let answer = self.ledger.submit(tx);
        self.story.tell(self.now_ms, || {
            format!(
                "{} closes wallet {who}'s channel, {back} proofs back: {answer:?}",
                name(process)
            )
        });
        if let Some(liar) = self.liars[process].as_mut().filter(|_| answer.is_ok()) {
            liar.struck[who] = true;
            self.count(Kind::OldProof);
        }
    }
}
