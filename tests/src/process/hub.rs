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
        Hub::serve(programs, data, &[], "127.0.0.1:0")
    }

    /// The same, with `strace` writing every write and fsync of it to a file.
    ///
    /// # Panics
    /// When there is no `strace`, or the hub does not serve.
    pub fn start_traced(programs: &Programs, data: &Path, trace: &Path) -> Hub {
        strace::require();
        Hub::serve(programs, data, &strace::arguments(trace), "127.0.0.1:0")
    }

    fn serve(programs: &Programs, data: &Path, tracer: &[String], listen: &str) -> Hub {
        let process = Hub::launch(programs, data, tracer, listen);
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let key = line["hub"].as_str().expect("its key").parse().expect("its key");
        let (programs, data) = (programs.clone(), data.to_owned());
        Hub { programs, data, process, http: Http::new(&url), url, key }
    }

    /// Starts a hub's process on this directory and waits for nothing.
    pub fn launch(programs: &Programs, data: &Path, tracer: &[String], listen: &str) -> Child {
        let (hub, data) = (programs.hub.display().to_string(), data.display().to_string());
        let mut line: Vec<String> = Vec::new();
        if !tracer.is_empty() {
            line.push("strace".to_owned());
            line.extend_from_slice(tracer);
        }
        line.extend([hub, "run".to_owned(), "--data-dir".to_owned(), data]);
        line.extend(["--listen", listen, "--admin-listen", "127.0.0.1:0"].map(str::to_owned));
        line.extend(["--development"].map(str::to_owned));
        let args: Vec<&str> = line.iter().skip(1).map(String::as_str).collect();
        Child::start("hub", Path::new(&line[0]), &args)
    }

    /// Starts it again on the same directory and the same address, after it has ended.
    pub fn start_again(&mut self) {
        let listen = self.http.host().to_owned();
        *self = Hub::serve(&self.programs, &self.data, &[], &listen);
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
