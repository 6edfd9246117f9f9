//! A hub in a process of its own, with its embedded ledger or on one elsewhere.

use std::path::{Path, PathBuf};

use ::hub::anchor::AnchorReport;
use client_sdk::api::HubInfo;
use serde_json::Value;
use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::tx::{Submission, Transaction};
use settlement::types::{ChannelId, PublicKey, Role};

use super::child::Child;
use super::http::Http;
use super::{PATIENCE, Programs, eventually, strace};

/// A free port of loopback.
const ANY_PORT: &str = "127.0.0.1:0";

/// A running hub.
pub struct Hub {
    programs: Programs,
    data: PathBuf,
    /// What it is started with besides.
    more: Vec<String>,
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
        Hub::serving(programs, data, &[], Hub::launch(programs, data, ANY_PORT))
    }

    /// The same, on the ledger at this address.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_on(programs: &Programs, data: &Path, ledger: &str) -> Hub {
        Hub::start_with(programs, data, &["--ledger", ledger])
    }

    /// The same, with these arguments.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_with(programs: &Programs, data: &Path, more: &[&str]) -> Hub {
        let process = Hub::launch_with(programs, data, ANY_PORT, more);
        Hub::serving(programs, data, more, process)
    }

    /// The same, with a trace of every write and fsync of it.
    ///
    /// # Panics
    /// When there is no `strace`, or the hub does not serve.
    pub fn start_traced(programs: &Programs, data: &Path, trace: &Path) -> Hub {
        let dir = data.display().to_string();
        let args = Hub::arguments(&dir, ANY_PORT);
        Hub::serving(programs, data, &[], strace::start("hub", &programs.hub, &args, trace))
    }

    /// Starts a hub's process on this directory and waits for nothing.
    pub fn launch(programs: &Programs, data: &Path, listen: &str) -> Child {
        Hub::launch_with(programs, data, listen, &[])
    }

    /// The same, with these arguments besides.
    pub fn launch_with(programs: &Programs, data: &Path, listen: &str, more: &[&str]) -> Child {
        let dir = data.display().to_string();
        Child::start("hub", &programs.hub, &[&Hub::arguments(&dir, listen), more].concat())
    }

    fn arguments<'a>(dir: &'a str, listen: &'a str) -> Vec<&'a str> {
        let settings = ["run", "--development", "--data-dir", dir];
        [&settings, ["--listen", listen, "--admin-listen", ANY_PORT].as_slice()].concat()
    }

    fn serving(programs: &Programs, data: &Path, more: &[&str], process: Child) -> Hub {
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, PATIENCE, serving);
        let url = line["listening"].as_str().unwrap().to_owned();
        let key = line["hub"].as_str().expect("its key").parse().expect("its key");
        let admin = Http::new(line["admin"].as_str().expect("its address for operators"));
        let (programs, data, http) = (programs.clone(), data.to_owned(), Http::new(&url));
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        Hub { programs, data, more, process, admin, http, url, key }
    }

    /// Its key, for whoever is to be it without its program.
    ///
    /// # Panics
    /// When it has none.
    pub fn stolen_key(&self) -> SigningKey {
        let text = std::fs::read_to_string(self.data.join("hub.key")).unwrap();
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).unwrap();
        SigningKey::from_bytes(bytes).unwrap()
    }

    /// What a thief could do who has its key: closes a channel and brings nothing of what the hub
    /// has paid, or been paid, to the ledger.
    ///
    /// # Panics
    /// When the ledger refuses.
    pub fn close_with_nothing(&self, ledger: &Http, channel: ChannelId) {
        let nothing = Submission::close_with_nothing(channel, Role::Hub);
        let transaction = hex::encode(encode(&Transaction::submit(&self.stolen_key(), nothing)));
        let answer = ledger.post("/v1/ledger/transactions", &SubmitRequest { transaction });
        let _: SubmitAnswer = answer.ok();
    }

    /// Has it anchor at once.
    ///
    /// # Panics
    /// When it does not.
    pub fn anchor_now(&self) -> AnchorReport {
        let args = ["anchor", "now", "--admin-listen", self.admin.host()];
        let mut child = Child::start("hub anchor", &self.programs.hub, &args);
        assert!(child.wait(PATIENCE).success(), "{}", child.log());
        serde_json::from_str(&child.out()).unwrap()
    }

    /// Starts it again on the same directory and the same address, after it has ended.
    pub fn start_again(&mut self) {
        let process = self.relaunch();
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        *self = Hub::serving(&self.programs, &self.data, &more, process);
    }

    /// The same, and waits for nothing.
    pub fn launch_again(&mut self) {
        self.process = self.relaunch();
    }

    fn relaunch(&self) -> Child {
        let listen = self.http.host().to_owned();
        let more: Vec<&str> = self.more.iter().map(String::as_str).collect();
        Hub::launch_with(&self.programs, &self.data, &listen, &more)
    }

    /// The same as [`Hub::start_again`], for one that may refuse.
    ///
    /// # Errors
    /// Its log, when it has ended instead.
    pub fn start_again_or_why(&mut self) -> Result<(), String> {
        self.launch_again();
        let serving = |line: &Value| line["listening"].is_string();
        let line = self.process.wait_for_or_end("its address", PATIENCE, serving)?;
        self.admin = Http::new(line["admin"].as_str().expect("its address for operators"));
        Ok(())
    }

    /// The same as [`Hub::start_again`], on a disk on which no file gets larger than so many KiB: the
    /// write that would is short, and the one after it fails.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start_again_within(&mut self, file_kib: u64) {
        let (dir, listen) = (self.data.display().to_string(), self.http.host().to_owned());
        // In blocks of 512 bytes; without the trap the signal would end the process.
        let limits = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", file_kib * 2);
        let program = self.programs.hub.display().to_string();
        let mut args = vec!["-c", limits.as_str(), program.as_str()];
        args.extend(Hub::arguments(&dir, &listen));
        args.extend(self.more.iter().map(String::as_str));
        self.process = Child::start("hub", Path::new("sh"), &args);
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = self.process.wait_for("its address", 0, PATIENCE, serving);
        self.admin = Http::new(line["admin"].as_str().expect("its address for operators"));
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
