//! A wallet in a process of its own that makes payments by the thousand.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use settlement::types::{Height, PublicKey};

use super::child::Child;
use super::wallet::amount;
use super::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

/// How a payment stands, as its wallet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether this wallet pays.
    pub out: bool,
    /// `pending`, `settled` or `failed`.
    pub state: String,
    /// What the payee gets.
    pub amount: u64,
    /// What the hub takes.
    pub fee: u64,
}

/// What a wallet says of itself.
#[derive(Clone, Debug)]
pub struct Report {
    /// What belongs to the wallet in its open channel.
    pub wallet: u64,
    /// What belongs to the hub.
    pub hub: u64,
    /// What is locked.
    pub locked: u64,
    /// Whether nothing is agreed on its channel for now.
    pub suspended: bool,
    /// Its payments by anchor.
    pub payments: HashMap<String, Standing>,
}

impl Report {
    /// Whether no payment is pending and nothing is locked.
    pub fn all_ended(&self) -> bool {
        self.locked == 0 && self.payments.values().all(|payment| payment.state != "pending")
    }

    /// The anchors of the payments that have settled.
    pub fn settled(&self) -> HashSet<String> {
        let settled = self.payments.iter().filter(|(_, payment)| payment.state == "settled");
        settled.map(|(anchor, _)| anchor.clone()).collect()
    }
}

/// The wallet.
pub struct Driver {
    name: &'static str,
    program: PathBuf,
    store: PathBuf,
    hub: String,
    number: u8,
    /// Its process.
    pub process: Child,
    /// Its key.
    pub key: PublicKey,
}

impl Driver {
    /// Starts it and waits until it takes orders. `number` makes its key.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(
        programs: &Programs,
        name: &'static str,
        store: &Path,
        hub: &str,
        number: u8,
    ) -> Driver {
        let (program, store, hub) = (programs.driver.clone(), store.to_owned(), hub.to_owned());
        let (process, key) = Driver::launch(name, &program, &store, &hub, number);
        Driver { name, program, store, hub, number, process, key }
    }

    fn launch(
        name: &str,
        program: &Path,
        store: &Path,
        hub: &str,
        number: u8,
    ) -> (Child, PublicKey) {
        let (store, number) = (store.display().to_string(), number.to_string());
        let args = ["--store", &store, "--hub", hub, "--key", &number];
        let process = Child::start_told(name, program, &args);
        let ready = |line: &Value| line["ready"].is_string();
        let (line, _) = process.wait_for("that it is ready", 0, PATIENCE, ready);
        (process, line["ready"].as_str().unwrap().parse().unwrap())
    }

    /// Starts it again on the same store, after it has ended.
    pub fn start_again(&mut self) {
        let (process, key) =
            Driver::launch(self.name, &self.program, &self.store, &self.hub, self.number);
        assert_eq!(key, self.key);
        self.process = process;
    }

    /// Has it make invoices: the text of each, by anchor.
    pub fn invoices(&mut self, count: usize, worth: u64) -> HashMap<String, String> {
        let order = json!({ "invoice": { "amount": worth.to_string(), "count": count } });
        let made = self.ask(&order, "invoices");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let made = made["invoices"].as_array().unwrap().iter();
        made.map(|made| (text(&made["anchor"]), text(&made["invoice"]))).collect()
    }

    /// Gives it an order and returns what it says to it, the first line that has this field.
    ///
    /// # Panics
    /// When it fails, or says nothing in time.
    pub fn ask(&mut self, order: &Value, field: &str) -> Value {
        let from = self.process.printed();
        self.process.tell(order);
        let answers = |line: &Value| line.get(field).is_some() || line.get("failed").is_some();
        let (line, _) = self.process.wait_for(field, from, BLOCKS_PATIENCE, answers);
        assert!(line.get("failed").is_none(), "{} on {order}: {line}", self.name);
        line
    }

    /// How its payments stand, by anchor.
    pub fn payments(&mut self) -> HashMap<String, Standing> {
        let said = self.ask(&json!("report"), "report");
        said["report"]["payments"].as_array().unwrap().iter().map(standing).collect()
    }

    /// Waits until it holds what it should.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_report(&mut self, what: &str, fits: impl Fn(&Report) -> bool) -> Report {
        super::eventually(what, PATIENCE, || Some(self.report()).filter(|report| fits(report)))
    }

    /// Waits until it has followed the ledger so far.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_height(&mut self, height: Height) {
        eventually(&format!("block {height}"), BLOCKS_PATIENCE, || {
            let said = self.ask(&json!("report"), "report");
            let at = said["report"]["status"]["height"].as_u64().unwrap_or_default();
            (at >= height.0).then_some(())
        });
    }

    /// What it holds, and how its payments stand.
    ///
    /// # Panics
    /// When it has no open channel.
    pub fn report(&mut self) -> Report {
        let said = self.ask(&json!("report"), "report");
        let report = &said["report"];
        let channels = report["status"]["channels"].as_array().unwrap();
        let channel = channels.iter().find(|channel| channel["state"] == "open");
        let channel = channel.unwrap_or_else(|| panic!("{} has no open channel", self.name));
        let payments = report["payments"].as_array().unwrap().iter();
        Report {
            wallet: amount(&channel["wallet_amount"]).0,
            hub: amount(&channel["hub_amount"]).0,
            locked: amount(&channel["locked"]).0,
            payments: payments.map(standing).collect(),
            suspended: !channel["suspended"].is_null(),
        }
    }
}

/// A payment as the driver writes it: its anchor, and how it stands.
pub fn standing(payment: &Value) -> (String, Standing) {
    // A failure comes with its code: {"failed": 202}.
    let state = match &payment["state"] {
        Value::String(state) => state.clone(),
        Value::Object(failed) => failed.keys().next().unwrap().clone(),
        other => panic!("{other} is no state"),
    };
    let standing = Standing {
        out: payment["way"] == "out",
        state,
        amount: amount(&payment["amount"]).0,
        fee: amount(&payment["fee"]).0,
    };
    (payment["anchor"].as_str().unwrap().to_owned(), standing)
}
