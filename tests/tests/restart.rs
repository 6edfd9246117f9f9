//! A hub that is stopped, and one that is started twice.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use settlement::types::{Amount, Secret};
use tests::process::hub::Hub;
use tests::process::raw::RawWallet;
use tests::process::{PATIENCE, eventually};

#[test]
fn sigterm_drains_and_the_balances_are_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&tests::programs!(), dir.path());
    let mut payer = RawWallet::open(&hub.http, 1, Amount(10_000));
    let mut payee = RawWallet::open(&hub.http, 2, Amount(10_000));
    payer.pay(&mut payee, Amount(700), Secret([9; 32]));
    let before = (payer.balance(), payee.balance());
    let height = hub.http.height();

    let status = hub.process.terminate();
    assert!(status.success(), "SIGTERM ends it with 0: {status}\n{}", hub.process.log());
    hub.start_again();
    assert!(hub.http.height() >= height, "the embedded ledger lost blocks");
    payer.connect();
    payee.connect();
    assert_eq!((payer.balance(), payee.balance()), before);
    payer.pay(&mut payee, Amount(300), Secret([10; 32]));
    assert_eq!(payee.balance().0, before.1.0 + 300);
}

#[test]
fn sigterm_says_goodbye_to_those_who_are_connected() {
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&tests::programs!(), dir.path());
    let mut wallet = RawWallet::open(&hub.http, 1, Amount(10_000));
    let status = hub.process.terminate();
    assert!(status.success(), "{status}");
    assert_eq!(wallet.hear_goodbye(), settlement::reject::Code::ShuttingDown);
}

#[test]
fn a_second_hub_on_the_same_directory_is_refused_with_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, dir.path());
    let mut second = Hub::launch(&programs, dir.path(), "127.0.0.1:0");
    let status = second.wait(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", second.log());
    assert_eq!(second.out(), "", "it serves nothing");
    let log = second.log();
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "one line: {log}");
    let says_which = lines[0].contains(&dir.path().display().to_string());
    assert!(says_which && !log.contains("panicked"), "{log}");
    // The first one does not mind.
    let height = hub.http.height();
    let on = || (hub.http.height() > height).then_some(());
    eventually("the next block", PATIENCE, on);
    RawWallet::open(&hub.http, 1, Amount(10_000)).pays_as_before();
}
