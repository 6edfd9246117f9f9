//! What the operator's guide promises, done with real processes: from an empty directory to a hub
//! that serves, what it shows, and why it does not start.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use settlement::types::PublicKey;
use tests::process::child::Child;
use tests::process::http::Http;
use tests::process::hub::Hub;
use tests::process::{PATIENCE, Programs, eventually};
use tests::written::blocks;

fn guide() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/README.md")).unwrap()
}

fn said(program: &Path, args: &[&str]) -> Value {
    let mut child = Child::start("a command", program, args);
    let (line, _) = child.wait_for("its answer", 0, PATIENCE, |_| true);
    assert!(child.wait(PATIENCE).success(), "{}", child.log());
    line
}

/// A hub's directory, as the guide makes one.
struct Directory {
    programs: Programs,
    dir: tempfile::TempDir,
}

impl Directory {
    fn new() -> Directory {
        Directory { programs: tests::programs!(), dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    fn text(&self) -> String {
        self.path().display().to_string()
    }

    fn init(&self) -> PublicKey {
        let line = said(&self.programs.hub, &["init", "--data-dir", &self.text()]);
        line["hub"].as_str().unwrap().parse().unwrap()
    }

    /// The genesis that the guide shows, with these keys in it.
    fn write_genesis(&self, hub: &PublicKey) {
        let ledger = self.path().join("ledger");
        let args = ["key", "--data-dir", &ledger.display().to_string()];
        let key = said(&self.programs.ledger, &args)["ledger_key"].as_str().unwrap().to_owned();
        let shown = blocks(&guide()).into_iter().find(|block| block.language == "toml").unwrap();
        let text = shown.text.replace("\"02…\"", &format!("{key:?}"));
        let text = text.replace("\"03…\"", &format!("{:?}", hub.to_string()));
        fs::write(ledger.join("genesis.toml"), text).unwrap();
    }

    fn run(&self, more: &[&str]) -> Child {
        let (data, any) = (self.text(), "127.0.0.1:0");
        let own = ["--data-dir", &data, "--listen", any, "--admin-listen", any];
        // Of a flag that is there twice the program would complain.
        let own = own.chunks(2).filter(|pair| !more.contains(&pair[0])).flatten();
        let args: Vec<&str> = ["run"].iter().chain(own).chain(more).copied().collect();
        Child::start("hub", &self.programs.hub, &args)
    }

    /// Runs a development hub until it serves, then stops it.
    fn used(&self) {
        let mut hub = Hub::start(&self.programs, &self.path());
        eventually("some blocks", PATIENCE, || {
            let tip = hub.http.ledger_info().tip?;
            (tip.header.height.0 >= 5).then_some(())
        });
        assert!(hub.process.terminate().success());
    }
}

#[test]
fn from_an_empty_directory_to_a_hub_that_takes_payments() {
    let directory = Directory::new();
    let key = directory.init();
    directory.write_genesis(&key);
    let mut hub = directory.run(&[]);
    let (line, _) = hub.wait_for("its address", 0, PATIENCE, |line| line["hub"].is_string());
    assert_eq!(line["hub"], key.to_string());
    let http = Http::new(line["listening"].as_str().unwrap());
    let genesis = http.ledger_info().genesis;
    assert!(!genesis.development && genesis.check().is_ok());
    assert_eq!(http.balance(&key).0, 1_000_000_000, "what the guide's genesis gives the hub");

    let admin = line["admin"].as_str().unwrap().trim_start_matches("http://").to_owned();
    eventually("readiness", PATIENCE, || {
        let health = ["health", "--admin-listen", &admin];
        let mut asked = Child::start("hub health", &directory.programs.hub, &health);
        asked.wait(PATIENCE).success().then_some(())
    });
    assert!(hub.terminate().success());
    let health = ["health", "--admin-listen", &admin];
    let mut asked = Child::start("hub health", &directory.programs.hub, &health);
    assert!(!asked.wait(PATIENCE).success(), "nobody is there any more");
}

#[test]
fn what_the_guide_watches_is_there_to_be_watched() {
    let directory = Directory::new();
    let hub = directory.run(&["--development"]);
    let (line, _) = hub.wait_for("its address", 0, PATIENCE, |line| line["hub"].is_string());
    let admin = Http::new(line["admin"].as_str().unwrap());
    let guide = guide();
    let quoted: BTreeSet<&str> = guide.split('`').skip(1).step_by(2).collect();
    let routes: Vec<&&str> =
        quoted.iter().filter(|word| word.ends_with('z') || **word == "/metrics").collect();
    assert_eq!(routes, [&"/healthz", &"/metrics", &"/readyz"]);
    for route in routes {
        eventually(route, PATIENCE, || (admin.get(route).status == 200).then_some(()));
    }
    let metrics = String::from_utf8(admin.get("/metrics").body).unwrap();
    let known: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
    let named = quoted.iter().filter(|word| word.starts_with("hub_") && word.len() > 4);
    let named: Vec<&&str> = named.collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(known.contains(name), "{name} is none of the figures");
    }
}

/// A byte of the ledger's first segment, changed.
fn change_byte(directory: &Directory, at: usize, to: impl Fn(u8) -> u8) {
    let journal = directory.path().join("ledger/journal");
    let mut segments: Vec<PathBuf> =
        fs::read_dir(journal).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.is_file() && path.metadata().unwrap().len() > 200);
    segments.sort();
    let mut bytes = fs::read(&segments[0]).unwrap();
    bytes[at] = to(bytes[at]);
    fs::write(&segments[0], bytes).unwrap();
}

/// A part of a message, and what brings it about.
type Cause = (&'static str, fn(&Directory) -> Child);

/// Each row of the guide's table.
fn causes() -> Vec<Cause> {
    vec![
        ("there is no hub in", |directory| directory.run(&[])),
        ("can be read by others", |directory| {
            directory.init();
            let key = directory.path().join("hub.key");
            fs::set_permissions(key, Permissions::from_mode(0o640)).unwrap();
            directory.run(&[])
        }),
        ("is in use: another hub runs there", |directory| {
            let first = directory.run(&["--development"]);
            first.wait_for("its address", 0, PATIENCE, |line| line["hub"].is_string());
            let mut second = directory.run(&["--development"]);
            second.wait(PATIENCE);
            second
        }),
        ("there is no ledger in", |directory| {
            directory.init();
            directory.run(&[])
        }),
        ("cannot listen on", |directory| {
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = taken.local_addr().unwrap().to_string();
            let mut hub = directory.run(&["--development", "--listen", &address]);
            hub.wait(PATIENCE);
            hub
        }),
        ("can be reached by others", |directory| directory.run(&["--listen", "0.0.0.0:0"])),
        ("unknown field", |directory| {
            let file = directory.dir.path().join("hub.toml");
            fs::write(&file, "lisen = \"127.0.0.1:0\"\n").unwrap();
            directory.run(&["--config", &file.display().to_string()])
        }),
        ("these parameters are not safe together", |directory| {
            let file = directory.dir.path().join("hub.toml");
            fs::write(&file, "[policy]\nclaim_margin = 1\n").unwrap();
            directory.run(&["--development", "--config", &file.display().to_string()])
        }),
        ("anchor_interval_ms must be", |directory| {
            let file = directory.dir.path().join("hub.toml");
            fs::write(&file, "anchor_interval_ms = 199\n").unwrap();
            directory.run(&["--development", "--config", &file.display().to_string()])
        }),
        ("is damaged at byte", |directory| {
            directory.used();
            change_byte(directory, 120, |byte| byte ^ 1);
            directory.run(&["--development"])
        }),
        ("must be", |directory| {
            let file = directory.dir.path().join("hub.toml");
            fs::write(&file, "verify_workers = 100000\n").unwrap();
            directory.run(&["--development", "--config", &file.display().to_string()])
        }),
        ("is no margin", |directory| {
            let file = directory.dir.path().join("hub.toml");
            fs::write(&file, "[policy]\nclaim_marg = 3\n").unwrap();
            directory.run(&["--development", "--config", &file.display().to_string()])
        }),
        ("has format version", |directory| {
            directory.used();
            change_byte(directory, 8, |_| 99);
            directory.run(&["--development"])
        }),
    ]
}

#[test]
fn each_refusal_to_start_reads_as_the_guide_says() {
    let guide = guide();
    let table = guide.split("| it says |").nth(1).unwrap().split("\n\n").next().unwrap();
    let rows: Vec<&str> = table.lines().skip(2).filter_map(|row| row.split('`').nth(1)).collect();
    let causes = causes();
    assert_eq!(rows, causes.iter().map(|(message, _)| *message).collect::<Vec<_>>());
    for (message, cause) in causes {
        let directory = Directory::new();
        let mut hub = cause(&directory);
        let ended = hub.wait(PATIENCE);
        let log = hub.log();
        assert!(!ended.success() && log.contains(message), "`{message}`: {ended}, {log}");
        let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "one line says it: {log}");
    }
}
