//! The ledger in a process of its own.

use std::path::{Path, PathBuf};

use serde_json::Value;
use settlement::params::Genesis;

use super::child::Child;
use super::http::Http;
use super::{PATIENCE, Programs};

/// A running ledger.
pub struct Ledger {
    programs: Programs,
    data: PathBuf,
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
        Ledger::serve(programs, data, "127.0.0.1:0", &[])
    }

    /// Starts a ledger on an empty directory from this genesis, whose ledger key this is.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_from(
        programs: &Programs,
        data: &Path,
        genesis: &Genesis,
        key: [u8; 32],
    ) -> Ledger {
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join("ledger.key"), hex::encode(key)).unwrap();
        std::fs::write(data.join("genesis.toml"), toml::to_string(genesis).unwrap()).unwrap();
        Ledger::start(programs, data)
    }

    /// As [`Ledger::start`], with more on its command line.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_with(programs: &Programs, data: &Path, more: &[&str]) -> Ledger {
        Ledger::serve(programs, data, "127.0.0.1:0", more)
    }

    fn serve(programs: &Programs, data: &Path, listen: &str, more: &[&str]) -> Ledger {
        let (programs, data) = (programs.clone(), data.to_owned());
        let dir = data.display().to_string();
        // What is there already stays what it is.
        let args = ["run", "--data-dir", &dir, "--listen", listen, "--development"];
        let process = Child::start("ledger", &programs.ledger, &[&args, more].concat());
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let id = line["ledger"].as_str().expect("its id").to_owned();
        Ledger { programs, data, process, http: Http::new(&url), url, id }
    }

    /// Starts it again on the same directory and the same address, after it has ended.
    pub fn start_again(&mut self) {
        let listen = self.http.host().to_owned();
        *self = Ledger::serve(&self.programs, &self.data, &listen, &[]);
    }
}
