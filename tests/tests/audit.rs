//! `ledger audit` on a history of everything: right as it was made, and wrong wherever a byte is.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tests::long_ledger::{Flips, Plan, journal_in, make};

/// A bit of everything in few bytes; long enough for a challenge window to end.
const SMALL: Plan =
    Plan { blocks: 60, transactions: 480, wallets: 10, opened: 1, segment_bytes: 30_000 };

fn audit(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-ledger"));
    command.arg("audit").arg("--data-dir").arg(dir).args(more);
    command.output().expect("it starts")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The journal's files, oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(journal_in(dir)).expect("it can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it is there").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    paths.sort();
    paths
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("it can be read");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("it can be written");
}

#[test]
fn the_command_says_what_is_right_and_where_damage_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = make(dir.path(), SMALL, 5, &mut |_| {}).expect("it is made");
    assert_eq!((made.blocks, made.transactions), (60, 480));
    let good = audit(dir.path(), &[]);
    assert!(good.status.success(), "{good:?}");
    assert!(printed(&good).contains("60 blocks with 480 transactions are right"), "{good:?}");
    let alone = audit(dir.path(), &["--workers", "1"]);
    assert_eq!(printed(&alone), printed(&good), "any number of threads finds the same");
    let progress = String::from_utf8_lossy(&good.stderr).into_owned();
    assert!(progress.contains("audited") && progress.contains("480"), "{progress}");

    let files = segments(dir.path());
    let (second, last) = (&files[1], &files[files.len() - 1]);
    assert!(files.len() > 2, "{files:?}");
    flip(second, 20_000);
    let bad = audit(dir.path(), &[]);
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(printed(&bad).contains(&format!("the damage is in {}, byte ", second.display())));
    let first: u64 =
        second.file_stem().and_then(|name| name.to_str()?.parse().ok()).expect("a number");
    let right = printed(&bad).lines().nth(1).and_then(|line| line.split(' ').next()?.parse().ok());
    let right: u64 = right.expect("how many blocks are right");
    assert!((first - 1..60).contains(&right), "{right} blocks are right");
    assert!(printed(&bad).contains(&format!("block {} is wrong", right + 1)), "{bad:?}");
    flip(second, 20_000);

    flip(last, fs::read(last).expect("it can be read").len() - 1);
    let torn = audit(dir.path(), &[]);
    assert!(torn.status.success(), "{torn:?}");
    assert!(printed(&torn).contains("59 blocks"), "{torn:?}");
    assert!(printed(&torn).contains(&format!("the tail is torn: {}", last.display())), "{torn:?}");
}

/// The same seed makes the same history, under another key.
#[test]
fn a_flipped_byte_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    make(dir.path(), SMALL, 6, &mut |_| {}).expect("it is made");
    let mut flips = Flips::new(dir.path()).expect("it can be read");
    let (bytes, tail) = (flips.bytes(), flips.last_group());
    // The headers of segments and of groups have 48 and 24 bytes: none is stepped over.
    for at in (0..bytes).filter(|at| at % 17 == 0 || *at < 100 || *at >= tail) {
        flips.flip(at).expect("it is found and located");
    }
    let (_, found) = flips.finish().expect("all is right again");
    assert_eq!(found.torn, bytes - tail);
    assert!(found.located > 4_000, "{found:?}");
}
