//! What happens, one after the other.

use std::collections::HashSet;

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::channel::NewOp;
use settlement::crypto::chain_step;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, Anchor, ChannelId, Height, Role, Secret};
use settlement::update::{Destination, Memo, Payload};

use super::simulated::FEES;
use super::wallet::Wallet;
use super::{DEPOSIT, Place, Report, World};

/// What each wallet is paid by another, and settled.
const PAID: Amount = Amount(1_000);
/// What each wallet pays the hub after that.
const TO_HUB: Amount = Amount(500);
/// What each wallet is paid by another that does not settle.
const LOCKED: Amount = Amount(700);
/// Blocks within which what takes no window is done.
const PATIENCE: u64 = 200;

impl<P: Place> World<P> {
    fn everybody(&self) -> std::ops::Range<usize> {
        0..self.wallets.len()
    }

    /// Makes blocks until it is so.
    fn until(&mut self, what: &str, is_so: impl Fn(&World<P>) -> bool) {
        for _ in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.block();
        }
        panic!("{PATIENCE} blocks are not enough until {what}");
    }

    /// Every wallet opens its channel, the hub puts its own money in, and they meet.
    pub(super) fn open(&mut self) {
        let ledger = self.genesis.ledger_id();
        let opening = |wallet: &Wallet| {
            let (terms, account) = (*wallet.channel.terms(), wallet.key.public());
            let action = AccountAction::Open { terms, deposit: DEPOSIT };
            let body = AccountTx { ledger, account, nonce: 0, action };
            Transaction::account(&wallet.key, body)
        };
        self.place.submit(self.wallets.iter().map(opening).collect());
        self.until("the hub has put its money in", |world| {
            let there =
                |at: usize| world.wallets[at].channel.escrow(Role::Hub).deposited == DEPOSIT;
            world.everybody().all(there)
        });
        self.place.connect(&self.wallets);
        for at in self.everybody() {
            let sync = self.wallets[at].sync();
            self.place.say(&self.wallets[at], sync);
        }
        self.talk("has met the hub", |wallet| wallet.met);
    }

    /// Everybody pays the next one through the hub, and settles.
    pub(super) fn pay_around(&mut self) {
        self.add_around(PAID, 1);
        self.until("all is settled", |world| {
            world.wallets.iter().all(|wallet| wallet.channel.locked() == Amount::ZERO)
        });
    }

    /// Everybody pays the hub. It acknowledges that in no proof of its own yet.
    pub(super) fn pay_hub(&mut self) {
        for at in self.everybody() {
            self.offer(at, NewOp::Pay { amount: TO_HUB, memo: Memo::default() });
        }
        self.talk("was answered", |wallet| wallet.channel.outgoing().in_flight.is_none());
    }

    /// Everybody pays the next one once more and does not settle. Every second payee has shown its
    /// secret and hears no more of the hub; the others are paid off.
    pub(super) fn lock_around(&mut self) {
        self.wallets.iter_mut().for_each(|wallet| wallet.settles = false);
        self.add_around(LOCKED, 2);
        for wallet in self.wallets.iter_mut().skip(1).step_by(2) {
            wallet.listens = false;
        }
        self.until("the hub has settled with whoever listens", |world| {
            let settled = |w: &Wallet| w.channel.incoming().tally.locks.is_empty();
            world.wallets.iter().step_by(2).all(settled)
        });
    }

    fn add_around(&mut self, amount: Amount, round: u8) {
        let expiry = self.height.after(self.policy.lock_life);
        let fee = FEES.fee(amount).expect("a small fee");
        let unit = amount.checked_add(fee).expect("a small sum");
        for at in self.everybody() {
            let payee = (at + 1) % self.wallets.len();
            let mut secret = Secret([round; 32]);
            secret.0[..8].copy_from_slice(&(at as u64).to_be_bytes());
            let anchor = Anchor(chain_step(&secret.0));
            let to = &mut self.wallets[payee];
            to.secrets.push((anchor, secret));
            let to = Destination { hub: None, wallet: to.key.public() };
            let payload = Payload::default();
            self.offer(at, NewOp::Add { anchor, unit, steps: 1, expiry, to, payload });
        }
        // The payee showed the hub the secret, and the hub showed it to the payer.
        self.talk("has learned the secret", |wallet| wallet.learned == usize::from(round));
    }

    /// Everybody closes in the same moment. `is_over` is asked after each block, with how much the
    /// hub has left to bring.
    pub(super) fn close(&mut self, is_over: impl Fn(&World<P>, usize) -> bool) -> Report {
        let mut left = Left::of(&self.wallets);
        let closes = |(at, wallet): (usize, &Wallet)| match at % 2 {
            0 => wallet.best_close(),
            _ => wallet.newest_close(),
        };
        let closes: Vec<_> = self.wallets.iter().enumerate().map(closes).collect();
        let with_closes = || self.wallets.iter().zip(&closes);
        let cheated = with_closes().filter(|(wallet, (tx, _))| wallet.leaves_out(tx)).count();
        let expected: Vec<Amount> =
            with_closes().map(|(wallet, (_, owed))| wallet.payout(*owed)).collect();
        self.place.submit(closes.into_iter().map(|(tx, _)| tx).collect());
        let before = self.height;
        let mut report = Report {
            closed: self.wallets.len(),
            cheated,
            closes: (before, before),
            answered: before,
            window: u64::from(self.policy.challenge_blocks),
            paid_out: None,
            hub_block: None,
            ledger_block: None,
        };
        while !is_over(self, left.count()) {
            let waits = self.height.0 < before.0 + 2 * report.window;
            assert!(waits, "{} answers are left: {report:?}", left.count());
            let block = self.block();
            left.see(&block, &mut report);
            self.see_payouts(&block, &expected, &mut report);
        }
        assert_eq!(left.count(), 0, "the hub left channels unanswered");
        report
    }

    fn see_payouts(&self, block: &BlockEvents, expected: &[Amount], report: &mut Report) {
        for event in &block.events {
            let LedgerEvent::Settled { channel, wallet, hub, .. } = event else { continue };
            let at = self.at[channel];
            assert_eq!(*wallet, expected[at], "wallet {at}");
            assert_eq!(wallet.0 + hub.0, 2 * DEPOSIT.0, "wallet {at}");
            let paid = report.paid_out.map_or(0, |(paid, _)| paid);
            report.paid_out = Some((paid + 1, block.header.header.height));
        }
    }
}

/// What the hub has to bring, per channel: the wallet's newest proof, and a claim on the lock in it.
struct Left {
    proofs: HashSet<(ChannelId, u64)>,
    claims: HashSet<ChannelId>,
    closes: usize,
}

impl Left {
    fn of(wallets: &[Wallet]) -> Left {
        let newest =
            |wallet: &Wallet| (wallet.channel.id(), wallet.channel.outgoing().accepted.seq);
        Left {
            proofs: wallets.iter().map(newest).collect(),
            claims: wallets.iter().map(|wallet| wallet.channel.id()).collect(),
            closes: 0,
        }
    }

    fn count(&self) -> usize {
        self.proofs.len() + self.claims.len()
    }

    fn see(&mut self, block: &BlockEvents, report: &mut Report) {
        let height: Height = block.header.header.height;
        for event in &block.events {
            let answers = match event {
                LedgerEvent::CloseStarted { .. } => {
                    self.closes += 1;
                    let first = if self.closes == 1 { height } else { report.closes.0 };
                    report.closes = (first, height);
                    false
                }
                LedgerEvent::ProofRecorded { proof, .. } if proof.from == Role::Wallet => {
                    self.proofs.remove(&(proof.channel, proof.seq))
                }
                LedgerEvent::ClaimShown { channel, from: Role::Wallet, steps: 1, .. } => {
                    self.claims.remove(channel)
                }
                _ => false,
            };
            if answers {
                report.answered = height;
            }
        }
    }
}
