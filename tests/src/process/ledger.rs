//! The ledger in a process of its own.

use std::path::Path;

use serde_json::Value;

use super::child::Child;
use super::http::Http;
use super::{PATIENCE, Programs};

/// A running ledger.
pub struct Ledger {
    /// Its process.
    pub process: Child,
    /// Its address.
    pub url: String,
    /// The same, to ask.
    pub http: Http,
    /// Its id.
    pub id: String,
}

impl Ledger {
    /// Starts a development ledger on this directory and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(programs: &Programs, data: &Path) -> Ledger {
        let data = data.display().to_string();
        let args = ["run", "--data-dir", &data, "--listen", "127.0.0.1:0", "--development"];
        let process = Child::start("ledger", &programs.ledger, &args);
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let id = line["ledger"].as_str().expect("its id").to_owned();
        Ledger { process, http: Http::new(&url), url, id }
    }
}
