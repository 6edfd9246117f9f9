//! A watchtower in a process of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::child::Child;
use super::http::Http;
use super::{BLOCKS_PATIENCE, PATIENCE, Programs};

/// A running tower.
pub struct Tower {
    program: PathBuf,
    dir: PathBuf,
    ledger: String,
    key_file: Option<PathBuf>,
    /// Its process.
    pub process: Child,
    /// Its address.
    pub url: String,
    /// The same, to ask.
    pub http: Http,
}

impl Tower {
    /// Starts a tower on this directory that follows the ledger at this address, and waits until it
    /// takes answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(programs: &Programs, dir: &Path, ledger: &str) -> Tower {
        Tower::serve(&programs.wallet, dir, ledger, None, "127.0.0.1:0")
    }

    /// The same for a tower that pays for what it brings with the key in this file.
    ///
    /// # Panics
    /// When it does not.
    pub fn start_paying(programs: &Programs, dir: &Path, ledger: &str, key_file: &Path) -> Tower {
        Tower::serve(&programs.wallet, dir, ledger, Some(key_file.to_owned()), "127.0.0.1:0")
    }

    /// Starts one and waits for nothing.
    pub fn launch(program: &Path, dir: &Path, ledger: &str, more: &[&str]) -> Child {
        let dir = dir.display().to_string();
        let args = ["--json", "watchtower", "run", "--dir", &dir, "--ledger", ledger];
        Child::start("tower", program, &[&args, more].concat())
    }

    fn serve(
        program: &Path,
        dir: &Path,
        ledger: &str,
        key_file: Option<PathBuf>,
        listen: &str,
    ) -> Tower {
        let key = key_file.as_ref().map(|file| file.display().to_string());
        let mut more = vec!["--listen", listen];
        more.extend(key.iter().flat_map(|file| ["--key-file", file]));
        let process = Tower::launch(program, dir, ledger, &more);
        let running = |line: &Value| line["event"] == "running";
        let (line, _) = process.wait_for("that it runs", 0, PATIENCE, running);
        let url = line["listening"].as_str().expect("its address").to_owned();
        let (program, dir, ledger) = (program.to_owned(), dir.to_owned(), ledger.to_owned());
        Tower { program, dir, ledger, key_file, process, http: Http::new(&url), url }
    }

    /// Starts it again on the same directory and the same address, after it has ended.
    pub fn start_again(&mut self) {
        let listen = self.http.host().to_owned();
        let key_file = self.key_file.take();
        *self = Tower::serve(&self.program, &self.dir, &self.ledger, key_file, &listen);
    }

    /// Waits until it has told of this event, and returns what it said.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn told(&self, event: &str) -> Value {
        self.told_within(event, BLOCKS_PATIENCE)
    }

    fn told_within(&self, event: &str, within: Duration) -> Value {
        let is_it = |line: &Value| line["event"] == event;
        self.process.wait_for(event, 0, within, is_it).0
    }

    /// The file in which it keeps the answer of a channel.
    pub fn file(&self, channel: &str) -> PathBuf {
        self.dir.join("answers").join(format!("{channel}.json"))
    }

    /// Where exports are dropped.
    pub fn inbox(&self) -> PathBuf {
        self.dir.join("inbox")
    }
}
