//! What the `wallet` program does when what it says can't be written anywhere.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has to stop")]

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn wallet(home: &Path, args: &[&str], out: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wallet"));
    command.args(["--home", home.to_str().unwrap()]).args(args);
    command.stdout(out).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// A file that has no room for anything.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

#[test]
fn words_that_could_not_be_shown_make_no_wallet() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    for json in [&["init", "--json"][..], &["init"]] {
        let unseen = wallet(&home, json, full());
        let said = String::from_utf8(unseen.stderr).unwrap();
        assert_eq!(unseen.status.code(), Some(1), "{said}");
        assert!(said.contains("no wallet was made") && said.contains("No space left"), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
    let made = wallet(&home, &["init"], Stdio::piped());
    assert!(made.status.success());
    let said = String::from_utf8(made.stdout).unwrap();
    assert!(said.contains("Write these words down"), "{said}");
}

#[test]
fn no_command_that_could_not_say_it_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["--version"], &["status"], &["status", "--json"]] {
        let unsaid = wallet(&dir.path().join("home"), args, full());
        assert_eq!(unsaid.status.code(), Some(1), "{args:?}");
    }
}
