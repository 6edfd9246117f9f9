//! A wallet as its user has it: a home, and one command after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use settlement::types::{Amount, PublicKey};

use super::child::Child;
use super::{BLOCKS_PATIENCE, Programs, strace};

/// A wallet's home and its hub.
pub struct Wallet {
    name: String,
    program: PathBuf,
    home: PathBuf,
    hub: String,
    /// Its key.
    pub key: PublicKey,
}

/// What a command came to.
#[derive(Debug)]
pub struct Done {
    /// The exit code.
    pub code: i32,
    /// The objects that it printed.
    pub said: Vec<Value>,
    /// What it wrote on standard error.
    pub log: String,
}

impl Done {
    /// The object that a command printed which succeeded.
    ///
    /// # Panics
    /// When it failed, or printed nothing.
    pub fn ok(self) -> Value {
        assert_eq!(self.code, 0, "{:?} {}", self.said, self.log);
        self.said.into_iter().next().expect("one object")
    }

    /// The error that a command printed which failed with this exit code: its number.
    ///
    /// # Panics
    /// When it did not fail so, did not say why, or showed a backtrace.
    pub fn error(&self, code: i32) -> u64 {
        assert_eq!(self.code, code, "{:?} {}", self.said, self.log);
        assert_eq!(self.said.len(), 1, "one object: {:?}", self.said);
        let error = &self.said[0]["error"];
        for part in ["title", "detail"] {
            let text = error[part].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "no {part}: {error}");
        }
        self.no_backtrace();
        error["code"].as_u64().unwrap_or_else(|| panic!("no number: {error}"))
    }

    /// # Panics
    /// When it wrote one.
    pub fn no_backtrace(&self) {
        for word in ["panicked", "stack backtrace", "RUST_BACKTRACE"] {
            assert!(!self.log.contains(word), "{}", self.log);
        }
    }
}

impl Wallet {
    /// Makes a wallet in an empty home.
    ///
    /// # Panics
    /// When `init` fails.
    pub fn init(programs: &Programs, home: &Path, hub: &str) -> Wallet {
        Wallet::init_with(programs, home, hub, &[])
    }

    /// The same, with these arguments.
    ///
    /// # Panics
    /// When `init` fails.
    pub fn init_with(programs: &Programs, home: &Path, hub: &str, more: &[&str]) -> Wallet {
        Wallet::made(programs, home, hub, more).0
    }

    /// The same, with the words that bring it back.
    ///
    /// # Panics
    /// When `init` fails.
    pub fn with_words(programs: &Programs, home: &Path, hub: &str) -> (Wallet, String) {
        Wallet::made(programs, home, hub, &[])
    }

    /// Makes the wallet of the words in that file in an empty home.
    ///
    /// # Panics
    /// When `init` fails.
    pub fn from_words(programs: &Programs, home: &Path, hub: &str, file: &Path) -> Wallet {
        let file = file.display().to_string();
        Wallet::made(programs, home, hub, &["--mnemonic-file", &file]).0
    }

    fn made(programs: &Programs, home: &Path, hub: &str, more: &[&str]) -> (Wallet, String) {
        let name = home.file_name().unwrap().to_string_lossy().into_owned();
        let (program, home) = (programs.wallet.clone(), home.to_owned());
        let key = PublicKey([0; 33]);
        let mut wallet = Wallet { name, program, home, hub: hub.to_owned(), key };
        let said = wallet.run(&[&["init"], more].concat()).ok();
        let words = said["mnemonic"].as_str().unwrap().to_owned();
        assert!(words.split(' ').count() >= 12);
        wallet.key = said["public_key"].as_str().unwrap().parse().unwrap();
        (wallet, words)
    }

    /// A copy of its home as it is now, while no command runs.
    ///
    /// # Panics
    /// When it can't be copied.
    pub fn copy(&self, home: &Path) -> Wallet {
        copy_dir(&self.home, home);
        let name = home.file_name().unwrap().to_string_lossy().into_owned();
        let (program, hub) = (self.program.clone(), self.hub.clone());
        Wallet { name, program, home: home.to_owned(), hub, key: self.key }
    }

    /// Has it talk to another address from now on.
    pub fn use_hub(&mut self, hub: &str) {
        hub.clone_into(&mut self.hub);
    }

    /// Starts a command and waits for nothing.
    pub fn start(&self, args: &[&str]) -> Child {
        let home = self.home.display().to_string();
        let mut all = vec!["--home", &home, "--hub", &self.hub, "--json"];
        all.extend_from_slice(args);
        Child::start(&format!("wallet {} {}", self.name, args.join(" ")), &self.program, &all)
    }

    /// The same, with a trace of every write and fsync of it.
    pub fn start_traced(&self, args: &[&str], trace: &Path) -> Child {
        let home = self.home.display().to_string();
        let all = [&["--home", &home, "--hub", &self.hub, "--json"], args].concat();
        strace::start(
            &format!("wallet {} {}", self.name, args.join(" ")),
            &self.program,
            &all,
            trace,
        )
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it does not end, or is ended by a signal.
    pub fn run(&self, args: &[&str]) -> Done {
        let mut process = self.start(args);
        let status = process.wait(BLOCKS_PATIENCE);
        let code = status.code().unwrap_or_else(|| panic!("{status}: {}", process.log()));
        Done { code, said: process.json_from(0), log: process.log() }
    }

    /// Runs a command that must succeed and returns what it says.
    pub fn ok(&self, args: &[&str]) -> Value {
        self.run(args).ok()
    }

    /// What a command that succeeds prints without `--json`.
    ///
    /// # Panics
    /// When it fails.
    pub fn told_to_people(&self, args: &[&str]) -> String {
        let home = self.home.display().to_string();
        let all = [&["--home", &home, "--hub", &self.hub], args].concat();
        let mut process = Child::start(&format!("wallet {}", self.name), &self.program, &all);
        assert!(process.wait(BLOCKS_PATIENCE).success(), "{}", process.log());
        process.out()
    }

    /// `status`.
    pub fn status(&self) -> Value {
        self.ok(&["status"])
    }

    /// Takes money from the faucet, puts it into a channel, and waits until the hub's own money is
    /// there too; returns the channel's id.
    pub fn fund(&self, amount: u64) -> String {
        self.ok(&["faucet", &amount.to_string()]);
        let opened = self.ok(&["open", "--deposit", &amount.to_string()]);
        self.wait_status("the hub's money", |status| {
            status["channels"][0]["hub_amount"] == opened["inbound"]
        });
        opened["channel"].as_str().expect("a channel").to_owned()
    }

    /// Makes an invoice; waits for its payment in the background where `wait` says so.
    pub fn invoice(&self, amount: u64, wait: bool) -> (Child, String) {
        let amount = amount.to_string();
        let mut args = vec!["invoice", &amount];
        args.extend(wait.then_some("--wait"));
        let process = self.start(&args);
        let made = |line: &Value| line["invoice"].is_string();
        let (line, _) = process.wait_for("the invoice", 0, BLOCKS_PATIENCE, made);
        let invoice = line["invoice"].as_str().unwrap().to_owned();
        (process, invoice)
    }

    /// Waits until `status` is as wanted, and returns it.
    pub fn wait_status(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        super::eventually(what, BLOCKS_PATIENCE, || Some(self.status()).filter(|s| fits(s)))
    }

    /// How long a payment may be pending.
    pub const PAYMENT: Duration = BLOCKS_PATIENCE;
}

/// Copies a directory with all that is in it.
///
/// # Panics
/// When it can't be copied.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.as_ref().unwrap(), to.join(entry.as_ref().unwrap().file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => std::fs::copy(entry.path(), to).map(|_| ()).unwrap(),
        }
    }
}

/// An amount in what a command said.
///
/// # Panics
/// When it is none.
pub fn amount(value: &Value) -> Amount {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no decimal string"));
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}
