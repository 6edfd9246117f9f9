//! A hub in a process of its own, with its embedded ledger or on one elsewhere.

use std::path::{Path, PathBuf};

use client_sdk::api::HubInfo;
use serde_json::Value;
use settlement::types::PublicKey;

use super::child::Child;
use super::http::Http;
use super::{PATIENCE, Programs, eventually, strace};

/// A running hub.
pub struct Hub {
    programs: Programs,
    data: PathBuf,
    ledger: Option<String>,
    /// Its process.
    pub process: Child,
    /// Its address for operators.
    pub admin: Http,
    /// Its address for wallets, with the embedded ledger behind it if it has one.
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
        Hub::serve(programs, data, &[], "127.0.0.1:0", None)
    }

    /// The same, on the ledger at this address.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_on(programs: &Programs, data: &Path, ledger: &str) -> Hub {
        Hub::serve(programs, data, &[], "127.0.0.1:0", Some(ledger))
    }

    /// The same, with `strace` writing every write and fsync of it to a file.
    ///
    /// # Panics
    /// When there is no `strace`, or the hub does not serve.
    pub fn start_traced(programs: &Programs, data: &Path, trace: &Path) -> Hub {
        strace::require();
        Hub::serve(programs, data, &strace::arguments(trace), "127.0.0.1:0", None)
    }

    fn serve(
        programs: &Programs,
        data: &Path,
        tracer: &[String],
        listen: &str,
        ledger: Option<&str>,
    ) -> Hub {
        let process = match ledger {
            Some(url) => Hub::launch_with(programs, data, listen, &["--ledger", url]),
            None => Hub::launch(programs, data, tracer, listen),
        };
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let key = line["hub"].as_str().expect("its key").parse().expect("its key");
        let admin = Http::new(line["admin"].as_str().expect("its address for operators"));
        let (programs, data) = (programs.clone(), data.to_owned());
        let (ledger, http) = (ledger.map(str::to_owned), Http::new(&url));
        Hub { programs, data, ledger, process, admin, http, url, key }
    }

    /// Starts a hub's process with these arguments besides and waits for nothing.
    pub fn launch_with(programs: &Programs, data: &Path, listen: &str, more: &[&str]) -> Child {
        let data = data.display().to_string();
        let mut args = vec!["run", "--data-dir", &data, "--listen", listen];
        args.extend(["--admin-listen", "127.0.0.1:0", "--development"]);
        args.extend(more);
        Child::start("hub", &programs.hub, &args)
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
        let ledger = self.ledger.clone();
        *self = Hub::serve(&self.programs, &self.data, &[], &listen, ledger.as_deref());
    }

    /// Ends it at once and starts it again.
    pub fn kill_and_start_again(&mut self) {
        self.process.kill();
        self.start_again();
    }

    /// Why it is not ready; none if it is.
    pub fn not_ready(&self) -> Option<String> {
        let answer = self.admin.get("/readyz");
        (answer.status != 200).then(|| String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self) {
        eventually("a ready hub", PATIENCE, || self.not_ready().is_none().then_some(()));
    }

    /// Waits until it is not ready any more, and says why.
    pub fn wait_not_ready(&self) -> String {
        eventually("a hub that is not ready", PATIENCE, || self.not_ready())
    }

    /// What it says of itself.
    pub fn info(&self) -> HubInfo {
        self.http.get("/v1/info").ok()
    }
}
