//! Everything behind proxies that end TLS, with certificates of a private authority: as an operator
//! sets it up whom wallets reach over a network.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use settlement::reject::Code;
use settlement::types::Amount;
use tests::process::BLOCKS_PATIENCE;
use tests::process::child::Child;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::wallet::Wallet;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_tungstenite::tungstenite::http::Uri;

const UNREACHABLE: i32 = 3;

/// A private authority, and proxies with its certificates.
struct Authority {
    runtime: tokio::runtime::Runtime,
    server: Arc<ServerConfig>,
    file: PathBuf,
}

impl Authority {
    fn new(dir: &Path) -> Authority {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let file = dir.join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![leaf.der().clone()], key).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        Authority { runtime, server: Arc::new(server), file }
    }

    /// The `https://` address of a proxy before this one.
    fn before(&self, url: &str) -> String {
        let to = url.parse::<Uri>().unwrap().authority().unwrap().as_str().to_owned();
        let to: SocketAddr = to.parse().unwrap();
        let listener = self.runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(self.server.clone());
        self.runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inner = TcpStream::connect(to).await?;
                    let mut outer = acceptor.accept(socket).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
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
