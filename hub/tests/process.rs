//! The command as operators run it, in a process of its own.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has to stop"
)]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn hub(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
    command.args(args).arg("--data-dir").arg(dir).env_clear().env("RUST_LOG", "warn");
    command
}

fn outcome(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.success(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a hub and reads the line that says where it serves.
fn start(dir: &Path) -> (Running, serde_json::Value) {
    let mut command = hub(&["run", "--development"], dir);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let mut child = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let said = serde_json::from_str(&line).unwrap();
    (child, said)
}

#[test]
fn a_killed_hub_comes_back_as_the_same_and_a_terminated_one_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, said) = start(dir.path());
    for key in ["listening", "admin", "hub", "ledger"] {
        assert!(said[key].is_string(), "{key} is missing in {said}");
    }
    let (ok, text) = outcome(&mut hub(&["run", "--listen=127.0.0.1:0"], dir.path()));
    assert!(!ok && text.contains("in use"), "{text}");
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let (mut second, again) = start(dir.path());
    assert_eq!((&again["hub"], &again["ledger"]), (&said["hub"], &said["ledger"]));
    let kill = Command::new("kill").arg(second.0.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert!(second.0.wait().unwrap().success());
    let mut rest = String::new();
    second.0.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "one line and no more");
}

#[test]
fn init_makes_a_key_once_and_run_asks_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let (ok, text) = outcome(&mut hub(&["run", "--listen=127.0.0.1:0"], dir.path()));
    assert!(!ok && text.contains("hub init"), "{text}");
    let (ok, text) = outcome(&mut hub(&["init"], dir.path()));
    assert!(ok, "{text}");
    let said: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(said["hub"].as_str().unwrap().len(), 66);
    let mode = dir.path().join("hub.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (ok, text) = outcome(&mut hub(&["init"], dir.path()));
    assert!(!ok && text.contains("already"), "{text}");
}

#[test]
fn settings_are_printed_as_they_would_be_used_or_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let check =
        |name: &str, value: &str| outcome(hub(&["config", "check"], dir.path()).env(name, value));
    let (ok, text) = check("HUB_FEES__PPM", "77");
    assert!(ok && text.contains("ppm = 77"), "{text}");
    let (ok, text) = check("HUB_FEES__PMM", "77");
    assert!(!ok && text.contains("pmm"), "{text}");
    let (ok, text) = check("HUB_LISTEN", "0.0.0.0:7400");
    assert!(!ok && text.contains("TLS"), "{text}");
    // Margins are not left for the start to find.
    let (ok, text) = check("HUB_POLICY__CLAIM_MARIGN", "95");
    assert!(!ok && text.contains("claim_marign"), "{text}");
    let (ok, text) = check("HUB_POLICY__CLAIM_MARGIN", "50");
    assert!(!ok && text.contains("claim_margin >= lag") && text.contains("standard"), "{text}");
    let development = |value: &str| {
        let mut check = hub(&["config", "check", "--development"], dir.path());
        outcome(check.env("HUB_POLICY__CLAIM_MARGIN", value))
    };
    let (ok, text) = development("50");
    assert!(ok && text.contains("claim_margin = 50") && text.contains("development"), "{text}");
    assert!(!development("1").0);
}

#[test]
fn margins_are_checked_against_the_ledger_that_the_channels_are_on() {
    let dir = tempfile::tempdir().unwrap();
    let key = settlement::crypto::SigningKey::from_bytes([9; 32]).unwrap().public();
    let genesis = settlement::params::Genesis::development("pinned", key, 0);
    let text = serde_json::to_string(&genesis).unwrap();
    std::fs::write(dir.path().join("genesis.json"), text).unwrap();
    let check = |value: &str| {
        let mut check = hub(&["config", "check"], dir.path());
        outcome(check.env("HUB_POLICY__CLAIM_MARGIN", value))
    };
    let (ok, text) = check("50");
    assert!(ok && !text.contains("no ledger is known"), "{text}");
    assert!(!check("1").0);
}
