//! A hub with its embedded ledger, in a process of its own.

use std::path::{Path, PathBuf};

use client_sdk::api::HubInfo;
use serde_json::Value;
use settlement::types::PublicKey;

use super::child::Child;
use super::http::Http;
use super::{PATIENCE, Programs, strace};

/// A running hub.
pub struct Hub {
    programs: Programs,
    data: PathBuf,
    /// Its process.
    pub process: Child,
    /// Its address for wallets, with the embedded ledger behind it.
    pub url: String,
    /// The same, to ask.
    pub http: Http,
    /// Its key.
    pub key: PublicKey,
}

impl Hub {
    /// Starts a development hub on this directory, on ports of its own choice, and waits until it
    /// serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(programs: &Programs, data: &Path) -> Hub {
        Hub::serving(programs, data, Hub::launch(programs, data, "127.0.0.1:0"))
    }

    /// The same, with a trace of every write and fsync of it.
    ///
    /// # Panics
    /// When there is no `strace`, or the hub does not serve.
    pub fn start_traced(programs: &Programs, data: &Path, trace: &Path) -> Hub {
        let dir = data.display().to_string();
        let args = Hub::arguments(&dir, "127.0.0.1:0");
        Hub::serving(programs, data, strace::start("hub", &programs.hub, &args, trace))
    }

    /// Starts a hub's process on this directory and waits for nothing.
    pub fn launch(programs: &Programs, data: &Path, listen: &str) -> Child {
        let dir = data.display().to_string();
        Child::start("hub", &programs.hub, &Hub::arguments(&dir, listen))
    }

    fn arguments<'a>(dir: &'a str, listen: &'a str) -> Vec<&'a str> {
        let admin = "127.0.0.1:0";
        let settings = ["run", "--development", "--data-dir", dir];
        [&settings, ["--listen", listen, "--admin-listen", admin].as_slice()].concat()
    }

    fn serving(programs: &Programs, data: &Path, process: Child) -> Hub {
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let key = line["hub"].as_str().expect("its key").parse().expect("its key");
        let (programs, data) = (programs.clone(), data.to_owned());
        Hub { programs, data, process, http: Http::new(&url), url, key }
    }

    /// Starts it again on the same directory and the same address, after it has ended.
    pub fn start_again(&mut self) {
        let listen = self.http.host().to_owned();
        let process = Hub::launch(&self.programs, &self.data, &listen);
        *self = Hub::serving(&self.programs, &self.data, process);
    }

    /// Ends it at once and starts it again.
    pub fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.start_again();
    }

    /// What it says of itself.
    pub fn info(&self) -> HubInfo {
        self.http.get("/v1/info").ok()
    }
}
