//! Everything behind proxies that end TLS, with certificates of a private authority: as an operator
//! sets it up whom wallets reach over a network.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

#[path = "http402/authority.rs"]
mod authority;

use std::net::SocketAddr;

use authority::Authority;
use settlement::reject::Code;
use settlement::types::Amount;
use tests::process::BLOCKS_PATIENCE;
use tests::process::child::Child;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::wallet::Wallet;
use tokio_tungstenite::tungstenite::http::Uri;

const UNREACHABLE: i32 = 3;

impl Authority {
    /// The `https://` address of a proxy before this one.
    fn before(&self, url: &str) -> String {
        let to = url.parse::<Uri>().unwrap().authority().unwrap().as_str().to_owned();
        let to: SocketAddr = to.parse().unwrap();
        let (listener, address) = self.listen();
        self.forward(listener, to);
        format!("https://{address}")
    }

    fn ca(&self) -> [&str; 2] {
        ["--ca", self.file.to_str().unwrap()]
    }
}

#[test]
fn wallets_pay_through_a_hub_and_settle_on_a_ledger_that_are_behind_tls() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let authority = Authority::new(dir.path());
    let ledger = Ledger::start(&programs, &dir.path().join("ledger"));
    let ledger_url = authority.before(&ledger.url);
    let [_, file] = authority.ca();
    let more = ["--ledger", ledger_url.as_str(), "--ledger-ca", file];
    let hub = Hub::start_with(&programs, &dir.path().join("hub"), &more);
    let hub_url = authority.before(&hub.url);
    ledger.http.faucet(&hub.key, Amount(1_000_000));

    let home = |name: &str| dir.path().join(name);
    let wallet = |name: &str| Wallet::init_with(&programs, &home(name), &hub_url, &authority.ca());
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    // The ledger's address, an https:// one, they have from the hub; the authority from `init`.
    bob.fund(10_000);
    alice.ok(&["faucet", "10000"]);
    alice.ok(&["open", "--deposit", "5000"]);
    let (mut waiting, invoice) = bob.invoice(700, true);
    alice.ok(&["pay", &invoice]);
    assert!(waiting.wait(BLOCKS_PATIENCE).success());
    // A tower asks the same ledger, and is asked by the wallet.
    let tower = dir.path().join("tower").display().to_string();
    let run = ["--json", "--ledger", &ledger_url, "--ca", file, "watchtower", "run"];
    let run = [&run[..], &["--dir", &tower, "--listen", "127.0.0.1:0"]].concat();
    let tower = Child::start("tower", &programs.wallet, &run);
    let running = |line: &serde_json::Value| line["listening"].is_string();
    let (line, _) = tower.wait_for("the tower's address", 0, BLOCKS_PATIENCE, running);
    let tower_url = authority.before(line["listening"].as_str().unwrap());
    alice.ok(&["watchtower", "export", "--to", &tower_url]);
    alice.ok(&["close"]);
}

#[test]
fn a_certificate_that_is_not_believed_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let authority = Authority::new(dir.path());
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let url = authority.before(&hub.url);
    // Believed, but for another name than the one that is asked for.
    let other_name = url.replace("127.0.0.1", "localhost");
    let [flag, file] = authority.ca();
    for (name, hub, ca) in [("a", &url, &[][..]), ("b", &other_name, &[flag, file])] {
        let wallet = Wallet::init_with(&programs, &dir.path().join(name), hub, ca);
        let done = wallet.run(&["faucet", "5"]);
        assert_eq!(done.error(UNREACHABLE), u64::from(Code::HubUnavailable.number()));
        let home = dir.path().join(name).display().to_string();
        let mut plain = Child::start("wallet", &programs.wallet, &["--home", &home, "status"]);
        assert_eq!(plain.wait(BLOCKS_PATIENCE).code(), Some(UNREACHABLE));
        let said = [plain.out(), plain.log()].concat();
        assert!(said.contains("certificate"), "{said}");
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
    let none = dir.path().join("none.pem").display().to_string();
    let home = dir.path().join("c").display().to_string();
    let args = ["--home", &home, "--hub", &url, "--ca", &none, "init"];
    let mut init = Child::start("wallet", &programs.wallet, &args);
    assert_eq!(init.wait(BLOCKS_PATIENCE).code(), Some(2), "{}", init.log());
}
