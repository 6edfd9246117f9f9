//! The README's commands, run as they are written there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use tests::written::{Block, blocks, call_of, commands, understood};

const README: &str = include_str!("../../README.md");

/// What a test adds: nothing stays behind when a command fails.
const TIDY: &str = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT; ";

fn script(heading: &str) -> Block {
    let is_it = |block: &Block| block.heading == heading && block.language == "sh";
    blocks(README).into_iter().find(is_it).unwrap()
}

/// Two addresses that nobody listens on. The programs' own are fixed, and may be taken here.
fn free() -> [SocketAddr; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    taken.map(|listener| listener.local_addr().unwrap())
}

/// The programs under the names that people know them by.
fn install(into: &Path) {
    let programs = tests::programs!();
    for (name, program) in [("hub", &programs.hub), ("wallet", &programs.wallet)] {
        std::os::unix::fs::symlink(program, into.join(name)).unwrap();
    }
}

#[test]
fn the_first_lines_say_what_it_is_and_the_first_commands_are_two() {
    let first: Vec<&str> = README.lines().take(10).collect();
    assert!(first.join("\n").contains("payment channel") && first.join("\n").contains("It is for"));
    let all = commands(&script("Try it").text);
    assert_eq!(all, ["cargo run --release -p hub -- demo", "cargo test --workspace"]);
    understood(&call_of(&all[0]).unwrap()).unwrap();
    for flags in ["--wallets 1000 --seconds 20", "--json"] {
        assert!(README.contains(&format!("`{flags}`")), "{flags}");
        understood(&call_of(&format!("hub demo {flags}")).unwrap()).unwrap();
    }
}

/// What it does is held by the example's own tests, which run it.
#[test]
fn the_example_is_one_command_of_a_package_that_is_there() {
    let all = commands(&script("Charge for what a service answers").text);
    assert_eq!(all, ["cargo run --release -p pay-per-token"]);
    let manifest = include_str!("../../examples/pay-per-token/Cargo.toml");
    assert!(manifest.contains("name = \"pay-per-token\""));
    assert!(README.contains("`--enough 500`"));
}

#[test]
fn the_commands_by_hand_do_what_is_written_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    install(dir.path());
    let text = script("By hand").text;
    let (build, rest) = text.split_once("dir=$(mktemp -d)").unwrap();
    assert_eq!(
        commands(build),
        ["cargo build --release -p hub -p client-sdk", "export PATH=\"$PWD/target/release:$PATH\""]
    );
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let [listen, admin] = free();
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{TIDY}dir=$(mktemp -d){rest}")])
        .env("PATH", path)
        .env("TMPDIR", dir.path())
        .env("HUB_LISTEN", listen.to_string())
        .env("HUB_ADMIN_LISTEN", admin.to_string())
        .env("WALLET_HUB", format!("http://{listen}"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}\n{out}\n{err}", ran.status);
    let fee = |paid: u64| 1 + paid.div_ceil(1_000);
    // The fee of the stream is paid upfront, as if it were one payment.
    let paid = [1_500, 250, 300];
    let alice = 100_000 - paid.iter().map(|amount| amount + fee(*amount)).sum::<u64>();
    let accounts: Vec<&str> = out.lines().filter(|line| line.starts_with("account")).collect();
    let expected = [alice, 100_000 + paid.iter().sum::<u64>()]
        .map(|held| format!("account {held} of asset 0"));
    assert_eq!(accounts, expected, "{out}");
    assert_eq!(out.lines().filter(|line| line.contains("is settled")).count(), 2, "{out}");
}
