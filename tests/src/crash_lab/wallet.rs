//! One of the two wallets of a town, and all that it was ever told.

use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value, json};
use settlement::types::{Amount, PublicKey};

use crate::process::driver::{Driver, Report, standing};
use crate::process::hub::Hub;
use crate::process::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

/// What each wallet puts into its channel, and the hub on its side.
pub(super) const DEPOSIT: u64 = 1_000_000;
/// What each payment is worth to the payee.
const WORTH: u64 = 3;
/// Payments in an order.
const ORDERED: usize = 40;
/// How many of them are on their way at once.
const AT_ONCE: usize = 8;
/// No more is ordered while so many orders are not done.
const ORDERS_WAITING: usize = 3;

pub(super) struct Wallet {
    pub(super) driver: Driver,
    /// How many lines of its process have been read.
    read: usize,
    /// Every payment that it ever said was settled.
    pub(super) seen: HashSet<String>,
    /// Orders of this process that are not done.
    waiting: usize,
}

impl Wallet {
    pub(super) fn found(
        programs: &Programs,
        name: &'static str,
        dir: &Path,
        hub: &Hub,
        key: u8,
    ) -> Wallet {
        let mut driver = Driver::start(programs, name, &dir.join(name), &hub.url, key);
        hub.http.faucet(&driver.key, Amount(DEPOSIT));
        driver.ask(&json!({ "open": { "amount": DEPOSIT.to_string() } }), "opened");
        eventually("the hub's deposit", PATIENCE, || {
            (driver.report().hub == DEPOSIT).then_some(())
        });
        Wallet { driver, read: 0, seen: HashSet::new(), waiting: 0 }
    }

    /// Has it pay the other one, unless it has enough to do.
    pub(super) fn order(&mut self, payee: PublicKey) {
        if self.waiting >= ORDERS_WAITING {
            return;
        }
        let send = json!({
            "payee": payee, "amount": WORTH.to_string(), "count": ORDERED, "at_once": AT_ONCE,
            "patient": true,
        });
        self.driver.process.tell(&json!({ "send": send }));
        self.waiting += 1;
    }

    /// Reads what it has said since.
    pub(super) fn hear(&mut self) {
        let lines = self.driver.process.json_from(self.read);
        self.read += lines.len();
        for line in &lines {
            let wrong = line.get("failed").or_else(|| line.get("refused"));
            assert_eq!(wrong, None, "{line}");
            if line.get("done").is_some() {
                self.waiting = self.waiting.saturating_sub(1);
            }
            self.hear_of(line);
        }
    }

    fn hear_of(&mut self, line: &Value) {
        let said = line.get("payment").or_else(|| line.get("ended"));
        if let Some((anchor, stands)) = said.map(standing)
            && stands.state == "settled"
        {
            self.seen.insert(anchor);
        }
    }

    pub(super) fn kill(&mut self) {
        self.driver.process.kill();
        self.hear();
    }

    pub(super) fn start_again(&mut self) {
        self.driver.start_again();
        (self.read, self.waiting) = (0, 0);
    }

    /// Whatever it was told is settled, it says is settled; and the two sides of its channel have
    /// what was put in.
    pub(super) fn check(&mut self) -> Report {
        let report = self.driver.report();
        let settled = report.settled();
        let lost: Vec<_> = self.seen.difference(&settled).take(5).collect();
        assert!(lost.is_empty(), "acknowledged once and not any more: {lost:?}");
        let held = report.wallet + report.hub + report.locked;
        assert_eq!(held, 2 * DEPOSIT, "what the channel holds");
        report
    }

    /// What it says once nothing of it is pending.
    pub(super) fn at_rest(&mut self) -> Report {
        eventually("the end of every payment", BLOCKS_PATIENCE, || {
            self.hear();
            (self.waiting == 0).then(|| self.driver.report()).filter(Report::all_ended)
        });
        self.hear();
        self.check()
    }
}
