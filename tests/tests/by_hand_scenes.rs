//! The disputes of `SCENES.md`, run as they are written there, each on a stage of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use tests::process::{BLOCKS_PATIENCE, eventually};
use tests::written::{blocks, commands};

const SCENES: &str = include_str!("../SCENES.md");

/// What a test adds: nothing stays behind, whether a command fails or the test does. A process that
/// is stopped takes no other signal.
const TIDY: &str = "trap 'kill -KILL $(jobs -p) 2> /dev/null || true' EXIT TERM; ";

fn script(heading: &str) -> String {
    let blocks = blocks(SCENES).into_iter();
    let found = blocks.filter(|block| block.language == "sh").find(|b| b.heading == heading);
    found.unwrap_or_else(|| panic!("no scene `{heading}`")).text
}

/// An address that nobody listens on. The programs' own are fixed, and may be taken here.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The programs under the names that people know them by.
fn install(into: &Path) {
    let programs = tests::programs!();
    let all = [("hub", &programs.hub), ("wallet", &programs.wallet), ("ledger", &programs.ledger)];
    for (name, program) in all {
        std::os::unix::fs::symlink(program, into.join(name)).unwrap();
    }
}

/// Plays a scene; returns what it printed, and on standard error.
fn play(heading: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let stage = script("The stage");
    let (_, stage) = stage.split_once("dir=$(mktemp -d)").unwrap();
    let text = format!("{TIDY}dir=$(mktemp -d){stage}{}", script(heading));
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let file = |name: &str| dir.path().join(name);
    let listen = free();
    let mut shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &text])
        .env("PATH", path)
        .env("TMPDIR", dir.path())
        .env("HUB_LISTEN", &listen)
        .env("HUB_ADMIN_LISTEN", free())
        .env("WALLET_HUB", format!("http://{listen}"))
        .env_remove("RUST_LOG")
        // Files, which whatever is left over may keep open.
        .stdout(File::create(file("out")).unwrap())
        .stderr(File::create(file("err")).unwrap())
        .spawn()
        .unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(heading, 2 * BLOCKS_PATIENCE, || shell.try_wait().unwrap())
    }));
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let (out, err) = (read("out"), read("err"));
    let Ok(status) = ended else {
        let stopped = Command::new("kill").arg(shell.id().to_string()).status();
        let _ = shell.wait();
        panic!("it did not end ({stopped:?}):\n{out}\n{err}");
    };
    assert!(status.success(), "{status}\n{out}\n{err}");
    (out, err)
}

/// Plays a scene after which everybody must hold this.
fn ends_with(heading: &str, holds: &[(&str, u64)]) -> (String, String) {
    let (out, err) = play(heading);
    let told = |line: &&str| line.starts_with("alice holds ") || line.starts_with("bob holds ");
    let told: Vec<&str> = out.lines().filter(told).collect();
    let line = |(who, amount): &(&str, u64)| format!("{who} holds {amount} of asset 0");
    assert_eq!(told, holds.iter().map(line).collect::<Vec<_>>(), "{out}\n{err}");
    (out, err)
}

const START: u64 = 100_000;

fn fee(paid: u64) -> u64 {
    1 + paid.div_ceil(1_000)
}

#[test]
fn a_wallet_closes_with_its_best_old_proof() {
    let alice = START + 5_000 - 30_000 - fee(30_000);
    let bob = START - 5_000 - fee(5_000) + 30_000;
    let heading = "A wallet closes with its best old proof";
    let (out, _) = ends_with(heading, &[("alice", alice), ("bob", bob)]);
    assert!(out.contains("is closing: 105000 of the wallet"), "what she hopes for: {out}");
}

/// In this order: Alice sleeps until she has been paid.
fn alice_slept_well() -> [(&'static str, u64); 2] {
    [("alice", START + 30_000), ("bob", START - 30_000 - fee(30_000))]
}

#[test]
fn the_hub_closes_a_sleeping_wallets_channel() {
    ends_with("The hub closes a sleeping wallet's channel", &alice_slept_well());
}

#[test]
fn the_same_without_an_anchor_with_a_tower() {
    let heading = "The same without an anchor, with a tower";
    let (out, _) = ends_with(heading, &alice_slept_well());
    assert!(out.contains("brought"), "{out}");
}

#[test]
fn a_payees_hub_is_killed_for_good() {
    let heading = "A payee's hub is killed for good";
    let (out, _) = ends_with(heading, &[("bob", START + 20_000), ("alice", START)]);
    assert!(out.contains("failed"), "{out}");
}

#[test]
fn a_hub_learns_a_secret_from_the_ledger() {
    let alice = START - 20_000 - fee(20_000);
    let heading = "A hub learns a secret from the ledger";
    let (out, _) = ends_with(heading, &[("bob", START + 20_000), ("alice", alice)]);
    assert!(out.contains("is settled"), "{out}");
}

#[test]
fn a_lock_expires() {
    let alice = START - 1_000 - fee(1_000);
    ends_with("A lock expires", &[("alice", alice), ("bob", START + 1_000)]);
}

#[test]
fn the_ledger_stops_and_comes_back() {
    let alice = START - 2 * (1_000 + fee(1_000));
    let heading = "The ledger stops and comes back";
    let (_, err) = ends_with(heading, &[("alice", alice), ("bob", START + 2_000)]);
    assert!(err.contains("is not ready: ledger: the view is not fresh"), "{err}");
}

#[test]
fn the_stage_is_built_from_what_the_scenes_use() {
    let stage = script("The stage");
    let (build, _) = stage.split_once("dir=$(mktemp -d)").unwrap();
    let features = "-p hub -p client-sdk -p settlement --features settlement/http";
    let lines = [
        format!("cargo build --release {features}"),
        "export PATH=\"$PWD/target/release:$PATH\"".to_owned(),
    ];
    assert_eq!(commands(build), lines);
    // The guide says the same of how the programs are built.
    let guide = include_str!("../../deploy/README.md");
    assert!(guide.contains(features), "{features}");
}
