//! A town: it pays, is struck, stands up again, and is looked at.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use settlement::types::Amount;

use super::Report;
use super::blow::Blow;
use super::wallet::{DEPOSIT, Wallet};
use crate::process::driver;
use crate::process::hub::Hub;
use crate::process::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

/// The most payments that complete before a blow falls.
const BEFORE_BLOW: usize = 40;

/// Small, so that there are segments to damage.
pub(super) const SEGMENT_KIB: u64 = 1_024;
/// The same for checkpoints of the index.
const CHECKPOINT_RECORDS: u64 = 1_000;
/// The same for those of the ledger's index: five seconds of blocks.
const LEDGER_CHECKPOINT_BLOCKS: u64 = 25;

pub(super) struct Town<'a> {
    pub(super) hub: Hub,
    pub(super) wallets: [Wallet; 2],
    /// The hub's data directory.
    pub(super) data: PathBuf,
    /// What the hub's account has been given.
    funds: Amount,
    /// Blows that have not fallen since all had.
    left: Vec<Blow>,
    pub(super) report: &'a Mutex<Report>,
}

impl Town<'_> {
    pub(super) fn found<'a>(
        programs: &Programs,
        dir: &Path,
        report: &'a Mutex<Report>,
    ) -> Town<'a> {
        let (settings, data) = (dir.join("hub.toml"), dir.join("hub"));
        let segment = SEGMENT_KIB * 1_024;
        let storage = format!(
            "[storage]\nsegment_bytes = {segment}\ncheckpoint_records = {CHECKPOINT_RECORDS}\n\
             ledger_checkpoint_blocks = {LEDGER_CHECKPOINT_BLOCKS}\n"
        );
        std::fs::write(&settings, storage).unwrap();
        let settings = settings.display().to_string();
        let hub = Hub::start_with(programs, &data, &["--config", &settings]);
        let funds = hub.http.balance(&hub.key);
        let wallets = [("alice", 1), ("bob", 2)]
            .map(|(name, key)| Wallet::found(programs, name, dir, &hub, key));
        Town { hub, wallets, data, funds, left: Vec::new(), report }
    }

    /// One round; what was done.
    pub(super) fn round(&mut self, dice: &mut ChaCha8Rng) -> Blow {
        self.pay(dice.random_range(1..=BEFORE_BLOW));
        let blow = Blow::draw(&mut self.left, dice);
        self.note(|report| *report.blows.entry(blow).or_default() += 1);
        blow.strike(self, dice);
        self.check();
        self.note(|report| report.rounds += 1);
        blow
    }

    pub(super) fn note(&self, write: impl FnOnce(&mut Report)) {
        write(&mut self.report.lock().unwrap());
    }

    /// Both pay each other until so many payments more are acknowledged. The end of some may take
    /// their lock's whole life, so both orders and patience are ample.
    pub(super) fn pay(&mut self, count: usize) {
        let before = self.seen();
        eventually("more payments", BLOCKS_PATIENCE, || {
            self.order();
            (self.seen() >= before + count).then_some(())
        });
        let made = self.seen() - before;
        self.note(|report| report.payments += made as u64);
    }

    /// Has each pay the other, and reads what they say.
    pub(super) fn order(&mut self) {
        let keys = self.wallets.each_ref().map(|wallet| wallet.driver.key);
        for (wallet, payee) in self.wallets.iter_mut().zip(keys.into_iter().rev()) {
            wallet.order(payee);
            wallet.hear();
        }
    }

    fn seen(&self) -> usize {
        self.wallets.iter().map(|wallet| wallet.seen.len()).sum()
    }

    /// # Panics
    /// When it has ended by itself, which the kill would hide.
    pub(super) fn kill_hub(&mut self) {
        let process = &mut self.hub.process;
        assert!(!process.has_ended(), "the hub ended by itself: {}", process.log());
        process.kill();
        self.note(|report| report.kills += 1);
    }

    /// # Panics
    /// The same.
    pub(super) fn kill_wallet(&mut self, who: usize) {
        let process = &self.wallets[who].driver.process;
        assert!(!process.has_ended(), "a wallet ended by itself: {}", process.log());
        self.wallets[who].kill();
        self.note(|report| report.kills += 1);
    }

    /// Starts the hub, which must serve.
    pub(super) fn start_hub(&mut self) {
        if let Err(log) = self.hub.start_again_or_why() {
            panic!("the hub does not start: {log}");
        }
    }

    /// Starts the hub, which must refuse with a line that names this.
    pub(super) fn start_refused(&mut self, names: &[&str]) {
        let log = match self.hub.start_again_or_why() {
            Ok(()) => panic!("the hub starts on {names:?} as if nothing were wrong"),
            Err(log) => log,
        };
        let error = log.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        let named = names.iter().all(|name| error.contains(name));
        assert!(named && !log.contains("panicked"), "it says nothing of {names:?}: {log}");
        self.note(|report| report.refused += 1);
    }

    /// Nothing that was acknowledged is missing.
    fn check(&mut self) {
        for wallet in &mut self.wallets {
            // What it says now is at least what it said before.
            wallet.hear();
            wallet.check();
        }
    }

    /// Everything ends, and is compared to the unit.
    pub(super) fn rest(&mut self) -> [driver::Report; 2] {
        let _ = self.wallets.each_mut().map(Wallet::at_rest);
        // The last that the first was told may have come while the second came to rest.
        let reports = self.wallets.each_mut().map(Wallet::at_rest);
        for (payer, payee) in [(0, 1), (1, 0)] {
            let (paid, got) = (way(&reports[payer], true), way(&reports[payee], false));
            assert_eq!(paid, got, "what one has paid is what the other has got");
        }
        for report in &reports {
            assert_eq!(report.wallet as i128, worth(report), "the wallet's side");
        }
        reports
    }

    /// Both channels are closed; the accounts hold what the payments make.
    pub(super) fn close(mut self) {
        let reports = self.rest();
        let held: u64 = reports.iter().map(|report| report.wallet).sum();
        for (wallet, report) in self.wallets.iter_mut().zip(&reports) {
            let closed = wallet.driver.ask(&json!("close"), "closed");
            assert_eq!(closed["wallet"], report.wallet.to_string(), "{closed}");
            let paid_out = || self.hub.http.balance(&wallet.driver.key) == Amount(report.wallet);
            eventually("the wallet's money", PATIENCE, || paid_out().then_some(()));
        }
        let whole = Amount(self.funds.0 + 2 * DEPOSIT - held);
        let all = || (self.hub.http.balance(&self.hub.key) == whole).then_some(());
        eventually("the hub's money back", BLOCKS_PATIENCE, all);
    }
}

/// The settled payments of one way, sorted: anchor and amount.
fn way(report: &driver::Report, out: bool) -> Vec<(&String, u64)> {
    let settled = report.payments.iter().filter(|(_, p)| p.out == out && p.state == "settled");
    let mut settled: Vec<_> = settled.map(|(anchor, p)| (anchor, p.amount)).collect();
    settled.sort();
    settled
}

/// What a wallet should have in its channel.
fn worth(report: &driver::Report) -> i128 {
    let settled = report.payments.values().filter(|payment| payment.state == "settled");
    settled.fold(i128::from(DEPOSIT), |sum, payment| match payment.out {
        true => sum - i128::from(payment.amount) - i128::from(payment.fee),
        false => sum + i128::from(payment.amount),
    })
}
