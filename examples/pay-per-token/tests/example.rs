//! The example, run as its README says.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

use std::process::Command;

use serde_json::Value;

fn run(args: &[&str]) -> (bool, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_pay-per-token")).args(args).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.code().is_some(), "{err}");
    (ran.status.success(), format!("{out}{err}"))
}

/// When the reader stops, server, client and hub agree on the exact number of words paid, and the
/// rest of the lock is free again within a second.
#[test]
fn all_three_agree_on_every_word_and_the_rest_of_the_lock_is_free_within_a_second() {
    let (good, said) = run(&["--enough", "150", "--pace-ms", "0", "--json"]);
    assert!(good, "{said}");
    let report: Value = serde_json::from_str(said.trim()).unwrap();
    let words = |name: &str| report[name].as_u64().unwrap();
    let read = words("words_read");
    assert!((150..150 + 16).contains(&read), "{report}");
    let said = ["client_handed", "server_served", "server_holds", "receipt"];
    for name in said.into_iter().chain(["hub_owes_server", "hub_took_of_reader"]) {
        assert_eq!(words(name), read, "{name}: {report}");
    }
    assert!(words("locked") > 0 && words("still_locked") == 0, "{report}");
    assert!(report["free_after_ms"].as_f64().unwrap() < 1_000.0, "{report}");
}

#[test]
fn it_says_so_for_people_too() {
    let (good, said) = run(&["--enough", "20", "--pace-ms", "1"]);
    assert!(good, "{said}");
    for part in
        ["Every word of this", "client  read", "server  sent", "hub     owes", "All three agree"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}
