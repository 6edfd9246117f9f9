//! `kill -9` in the middle of 1,000 payments, and what has to be true when the process is back.
//!
//! Half of the payments are of invoices, half are such that nobody asked for.
//!
//! One hub and two wallets live through all runs of a test, so that each run also starts from what
//! the kills before it have left. The last word has the ledger: both channels are closed together
//! with the hub, which signs only what its own state says, and every account must hold what the
//! payments make, to the unit.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use settlement::types::Amount;

use super::driver::{Driver, Report, standing};
use super::hub::Hub;
use super::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

/// Payments of each run.
const PAYMENTS: usize = 1_000;
/// How many of them are of invoices.
const INVOICES: usize = PAYMENTS / 2;
/// Payments of each kind that are on their way at the same time.
const AT_ONCE: usize = 32;
/// What each of them is worth to the payee.
const WORTH: u64 = 7;
/// What each wallet puts into its channel.
const DEPOSIT: u64 = 1_000_000;
/// Runs, unless `PAYHUB_KILL_RUNS` says otherwise.
const RUNS: u64 = 20;
/// Towns that the runs are shared out to, side by side: much of a run is waiting.
const TOWNS: u64 = 2;
/// Blocks that the end of a payment may take beyond its lock's life: to see the last block, and to
/// hear the other side's word on it.
const SLACK_BLOCKS: u64 = 20;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The hub, its embedded ledger with it.
    Hub,
    /// The wallet that pays.
    Payer,
    /// The wallet that is paid.
    Payee,
}

/// One of the two wallets, and what it has said.
struct Wallet {
    driver: Driver,
    /// How many lines of its process have been read.
    read: usize,
    /// Every payment that it ever said was settled.
    seen: HashSet<String>,
    /// What it should have in its channel.
    has: u64,
}

struct Town {
    hub: Hub,
    payer: Wallet,
    payee: Wallet,
    /// The payments of earlier runs.
    counted: HashSet<String>,
    /// What the hub has earned.
    fees: u64,
}

/// Kills the victim in the middle of 1,000 payments, again and again.
///
/// # Panics
/// When anything that was complete is not, anything else does not end, or a unit is not where it
/// belongs. The seed is printed.
pub fn survive(programs: &Programs, victim: Victim) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let runs = number("PAYHUB_KILL_RUNS").unwrap_or(RUNS);
    let seed = number("PAYHUB_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("PAYHUB_KILL_SEED={seed}: {victim:?}, {runs} runs");
    let shares = (0..TOWNS).map(|town| (runs + town) / TOWNS);
    std::thread::scope(|scope| {
        let towns: Vec<_> = (seed..)
            .zip(shares)
            .map(|(seed, runs)| scope.spawn(move || live(programs, victim, seed, runs)))
            .collect();
        for town in towns {
            if let Err(panic) = town.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// The life of one town.
fn live(programs: &Programs, victim: Victim, seed: u64, runs: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut town = Town::found(programs, dir.path());
    let mut settled = 0;
    for run in 1..=runs {
        let after = dice.random_range(1..PAYMENTS - 2 * AT_ONCE);
        let ended = town.run(victim, after);
        println!("seed {seed}, run {run}: killed after {after}, {ended} of {PAYMENTS} settled");
        settled += ended;
    }
    // A town in which nothing is paid proves nothing.
    assert!(settled as u64 >= runs * PAYMENTS as u64 / 10, "only {settled} payments settled");
    town.close();
}

impl Wallet {
    fn found(programs: &Programs, name: &'static str, dir: &Path, hub: &Hub, key: u8) -> Wallet {
        let mut driver = Driver::start(programs, name, &dir.join(name), &hub.url, key);
        hub.http.faucet(&driver.key, Amount(DEPOSIT));
        let open = json!({ "open": { "amount": DEPOSIT.to_string() } });
        let opened = driver.ask(&open, "opened");
        assert_eq!(opened["inbound"], DEPOSIT.to_string(), "the hub can pay as much");
        eventually("the hub's deposit", PATIENCE, || {
            (driver.report().hub == DEPOSIT).then_some(())
        });
        Wallet { driver, read: 0, seen: HashSet::new(), has: DEPOSIT }
    }

    /// Reads what it has said since.
    fn hear(&mut self) {
        let lines = self.driver.process.json_from(self.read);
        self.read += lines.len();
        for line in &lines {
            self.hear_line(line);
        }
    }

    fn hear_line(&mut self, line: &Value) {
        let wrong = line.get("failed").or_else(|| line.get("refused"));
        assert_eq!(wrong, None, "{line}");
        let said = line.get("payment").or_else(|| line.get("ended"));
        if let Some((anchor, stands)) = said.map(standing)
            && stands.state == "settled"
        {
            self.seen.insert(anchor);
        }
    }

    /// Waits until it has seen so many payments settle.
    fn wait_settled(&mut self, count: usize) {
        while self.seen.len() < count {
            let any = |_: &Value| true;
            let process = &self.driver.process;
            let (line, next) = process.wait_for("more payments", self.read, BLOCKS_PATIENCE, any);
            self.read = next;
            self.hear_line(&line);
        }
    }

    fn kill_and_start_again(&mut self) {
        self.driver.process.kill();
        self.hear();
        self.driver.start_again();
        self.read = 0;
    }
}

impl Town {
    fn found(programs: &Programs, dir: &Path) -> Town {
        let hub = Hub::start(programs, &dir.join("hub"));
        let payer = Wallet::found(programs, "payer", dir, &hub, 1);
        let payee = Wallet::found(programs, "payee", dir, &hub, 2);
        Town { hub, payer, payee, counted: HashSet::new(), fees: 0 }
    }

    /// Has the payer make so many payments that nobody asked for, and pay these invoices.
    fn order(&mut self, sends: usize, invoices: Vec<&String>) {
        let (payee, worth) = (self.payee.driver.key, WORTH.to_string());
        let send = json!({
            "payee": payee, "amount": worth, "count": sends, "at_once": AT_ONCE, "patient": true,
        });
        let pay = json!({ "invoices": invoices, "at_once": AT_ONCE });
        let payer = &mut self.payer.driver.process;
        payer.tell(&json!({ "send": send }));
        payer.tell(&json!({ "pay": pay }));
    }

    /// The rest of a run's orders, for a payer that has forgotten them.
    fn order_the_rest(&mut self, invoices: &HashMap<String, String>) {
        let made = self.payer.driver.report().payments;
        let unpaid = invoices.iter().filter(|(anchor, _)| !made.contains_key(*anchor));
        let unpaid: Vec<&String> = unpaid.map(|(_, invoice)| invoice).collect();
        let missing = (self.counted.len() + PAYMENTS).saturating_sub(made.len());
        self.order(missing.saturating_sub(unpaid.len()), unpaid);
    }

    /// One run; returns how many payments settled.
    fn run(&mut self, victim: Victim, after: usize) -> usize {
        let invoices = self.payee.driver.invoices(INVOICES, WORTH);
        let mut from = self.payer.driver.process.printed();
        let seen = self.payer.seen.len();
        self.order(PAYMENTS - INVOICES, invoices.values().collect());
        self.payer.wait_settled(seen + after);
        match victim {
            Victim::Hub => self.hub.kill_and_start_again(),
            Victim::Payee => self.payee.kill_and_start_again(),
            Victim::Payer => {
                self.payer.kill_and_start_again();
                from = 0;
                self.order_the_rest(&invoices);
            }
        }
        let life = self.hub.info().policy.lock_life;
        let last = self.hub.http.height().after(life).after(SLACK_BLOCKS);
        for _both in 0..2 {
            let done = |line: &Value| line.get("done").is_some();
            let process = &self.payer.driver.process;
            (_, from) = process.wait_for("that all are made", from, BLOCKS_PATIENCE, done);
        }
        let (payer, payee) = self.wait_ended();
        let height = self.hub.http.height();
        assert!(height <= last, "the locks ended at {last}, the payments at {height}");
        self.payer.hear();
        self.payee.hear();
        self.check(&payer, &payee)
    }

    fn wait_ended(&mut self) -> (Report, Report) {
        eventually("the end of every payment", BLOCKS_PATIENCE, || {
            let reports = (self.payer.driver.report(), self.payee.driver.report());
            // An invoice may wait for its payment for ever.
            (reports.0.all_ended() && reports.1.locked == 0).then_some(reports)
        })
    }

    fn check(&mut self, payer: &Report, payee: &Report) -> usize {
        let (paid, got) = (payer.settled(), payee.settled());
        assert_eq!(paid, got, "what the payer has paid is what the payee has got");
        for (wallet, settled) in [(&self.payer, &paid), (&self.payee, &got)] {
            let lost: Vec<_> = wallet.seen.difference(settled).collect();
            assert!(lost.is_empty(), "complete once and not any more: {lost:?}");
        }
        let all: HashSet<String> = payer.payments.keys().cloned().collect();
        assert_eq!(all.len(), self.counted.len() + PAYMENTS, "payments forgotten, or made twice");
        let mut settled = 0;
        for anchor in paid.difference(&self.counted) {
            let stands = &payer.payments[anchor];
            assert_eq!(payee.payments[anchor].amount, stands.amount);
            self.payer.has -= stands.amount + stands.fee;
            self.payee.has += stands.amount;
            self.fees += stands.fee;
            settled += 1;
        }
        self.counted = all;
        for (wallet, report) in [(&self.payer, payer), (&self.payee, payee)] {
            assert_eq!(report.wallet, wallet.has, "the wallet's side");
            assert_eq!(report.hub, 2 * DEPOSIT - wallet.has, "the hub's side");
        }
        settled
    }

    /// Both channels are closed; the accounts hold what the payments make.
    fn close(mut self) {
        for wallet in [&mut self.payer, &mut self.payee] {
            let closed = wallet.driver.ask(&json!("close"), "closed");
            assert_eq!(closed["wallet"], wallet.has.to_string(), "{closed}");
            let held = self.hub.http.balance(&wallet.driver.key);
            assert_eq!(held, Amount(wallet.has), "the wallet's account");
        }
        let issued = self.hub.http.issued_to(&self.hub.key).0;
        let held = self.hub.http.balance(&self.hub.key);
        assert_eq!(held, Amount(issued + self.fees), "the hub's account");
    }
}
