//! What a user can get wrong, and what the `wallet` command says: one object or one line, a number,
//! an exit code, and never a backtrace.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use settlement::reject::Code;
use tests::process::hub::Hub;
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, Programs};

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;

struct Stage {
    dir: tempfile::TempDir,
    programs: Programs,
    hub: Hub,
    alice: Wallet,
    bob: Wallet,
}

fn set() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let wallet = |name: &str| Wallet::init(&programs, &dir.path().join(name), &hub.url);
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    alice.fund(50_000);
    bob.fund(50_000);
    Stage { dir, programs, hub, alice, bob }
}

impl Stage {
    fn code(&self, wallet: &Wallet, exit: i32, args: &[&str]) -> Code {
        let number = wallet.run(args).error(exit);
        Code::from_number(u16::try_from(number).unwrap())
    }

    fn held(&self) -> [u64; 2] {
        [&self.alice, &self.bob].map(held)
    }
}

fn held(wallet: &Wallet) -> u64 {
    let settled = |status: &serde_json::Value| status["channels"][0]["locked"] == "0";
    let status = wallet.wait_status("no locks", settled);
    amount(&status["channels"][0]["wallet_amount"]).0
}

#[test]
fn an_invoice_is_paid_once_and_only_if_it_is_one_for_this_ledger() {
    let stage = set();
    let before = stage.held();

    // Mistyped: any one letter.
    let (mut waiting, invoice) = stage.bob.invoice(700, true);
    let mut typed: Vec<char> = invoice.chars().collect();
    let middle = typed.len() / 2;
    typed[middle] = if typed[middle] == 'q' { 'p' } else { 'q' };
    let typed: String = typed.into_iter().collect();
    for wrong in [typed.as_str(), &invoice[..invoice.len() - 1], "phi1", "hello"] {
        let code = stage.code(&stage.alice, REFUSED, &["pay", wrong]);
        assert_eq!(code, Code::BadInvoice, "{wrong}");
    }

    // For another ledger.
    let elsewhere = Hub::start(&stage.programs, &stage.dir.path().join("elsewhere"));
    let carol = Wallet::init(&stage.programs, &stage.dir.path().join("carol"), &elsewhere.url);
    carol.fund(1_000);
    let (_, foreign) = carol.invoice(10, false);
    let code = stage.code(&stage.alice, REFUSED, &["pay", &foreign]);
    assert_eq!(code, Code::InvoiceForAnotherLedger);
    assert_eq!(held(&stage.alice), before[0], "nothing was lost so far");

    // Twice.
    stage.alice.ok(&["pay", &invoice]);
    assert!(waiting.wait(BLOCKS_PATIENCE).success());
    let after = stage.held();
    assert_eq!(after[1], before[1] + 700);
    let code = stage.code(&stage.alice, REFUSED, &["pay", &invoice]);
    assert_eq!(code, Code::AlreadyPaid);
    assert_eq!(stage.held(), after, "it was paid once");
}

#[test]
fn an_expired_invoice_is_not_paid() {
    let stage = set();
    let before = stage.held();
    let made = stage.bob.ok(&["invoice", "10", "--expires-blocks", "1"]);
    let expires = made["expires_height"].as_u64().unwrap();
    stage.hub.http.wait_height(settlement::types::Height(expires + 2));
    let invoice = made["invoice"].as_str().unwrap();
    assert_eq!(stage.code(&stage.alice, REFUSED, &["pay", invoice]), Code::InvoiceExpired);
    assert_eq!(stage.held(), before);
}

#[test]
fn what_the_balance_does_not_cover_or_nobody_can_get_is_refused() {
    let stage = set();
    let before = stage.held();
    let bob = stage.bob.key.to_string();
    let nobody = settlement::crypto::SigningKey::from_bytes([250; 32]).unwrap().public();
    let cases = [
        (vec!["send", &bob, "50001"], Code::InsufficientBalance),
        (vec!["send", &bob, "0"], Code::ZeroAmount),
    ];
    for (args, code) in cases {
        assert_eq!(stage.code(&stage.alice, REFUSED, &args), code, "{args:?}");
    }
    let code = stage.code(&stage.alice, REFUSED, &["send", &nobody.to_string(), "5"]);
    assert_eq!(code, Code::UnknownPayee);
    let code = stage.code(&stage.alice, REFUSED, &["send", &bob, "5"]);
    assert_eq!(code, Code::PayeeOffline, "nobody listens in bob's home");
    assert_eq!(stage.held(), before);
}

#[test]
fn a_hub_that_is_down_and_a_command_that_is_none_have_exit_codes_of_their_own() {
    let mut stage = set();
    let usage: [&[&str]; 4] = [&["open"], &["pay"], &["open", "--deposit", "ten"], &["dance"]];
    for args in usage {
        let done = stage.alice.run(args);
        assert_eq!(done.code, USAGE, "{args:?}: {:?} {}", done.said, done.log);
        done.no_backtrace();
    }
    stage.hub.process.kill();
    let bob = stage.bob.key.to_string();
    for args in [vec!["faucet", "10"], vec!["open", "--deposit", "10"], vec!["send", &bob, "5"]] {
        let done = stage.alice.run(&args);
        let code = Code::from_number(u16::try_from(done.error(UNREACHABLE)).unwrap());
        let down = [Code::HubUnavailable, Code::LedgerUnavailable].contains(&code);
        assert!(down, "{args:?}: {code:?}");
    }
    // Without --json it is one line for a person.
    let home = stage.dir.path().join("alice").display().to_string();
    let args = ["--home", &home, "--hub", &stage.hub.url, "send", &bob, "5"];
    let mut plain = tests::process::child::Child::start("wallet", &stage.programs.wallet, &args);
    assert_eq!(plain.wait(BLOCKS_PATIENCE).code(), Some(UNREACHABLE));
    let said = [plain.out(), plain.log()].concat();
    assert_eq!(said.trim().lines().count(), 1, "one line: {said}");

    stage.hub.start_again();
    let (mut waiting, invoice) = stage.bob.invoice(30, true);
    stage.alice.ok(&["pay", &invoice]);
    assert!(waiting.wait(BLOCKS_PATIENCE).success());
}

#[test]
fn a_home_holds_one_wallet_and_a_wallet_needs_one() {
    let stage = set();
    assert_eq!(stage.code(&stage.alice, REFUSED, &["init"]), Code::HomeExists);
    let home = stage.dir.path().join("nowhere").display().to_string();
    let args = ["--home", &home, "--hub", &stage.hub.url, "--json", "status"];
    let mut status = tests::process::child::Child::start("wallet", &stage.programs.wallet, &args);
    assert_eq!(status.wait(BLOCKS_PATIENCE).code(), Some(REFUSED));
    assert_eq!(status.json_from(0)[0]["error"]["code"], Code::NoHome.number());
}
