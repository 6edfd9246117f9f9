//! The settlement ledger in a process of its own: its routes, its end, and what it keeps.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::{Value, json};
use settlement::api::SubmitRequest;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::encoding::encode;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, Height, PublicKey};
use tests::process::http::{Answer, Http};
use tests::process::ledger::Ledger;
use tests::process::{PATIENCE, eventually};

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

fn transfer(ledger: &Http, from: &SigningKey, nonce: u64, to: PublicKey, amount: u64) -> Answer {
    let action = AccountAction::Transfer { to, asset: AssetId(0), amount: Amount(amount) };
    let id = ledger.ledger_info().ledger;
    let body = AccountTx { ledger: id, account: from.public(), nonce, action };
    let transaction = hex::encode(encode(&Transaction::account(from, body)));
    ledger.post("/v1/ledger/transactions", &SubmitRequest { transaction })
}

fn wait_balance(ledger: &Http, key: &PublicKey, amount: u64) {
    let there = || (ledger.balance(key) == Amount(amount)).then_some(());
    eventually("a balance", PATIENCE, there);
}

#[test]
fn it_makes_signed_blocks_gives_moves_and_tells() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::start(&tests::programs!(), dir.path());
    let http = &ledger.http;
    let info = http.ledger_info();
    assert_eq!(info.ledger, info.genesis.ledger_id());
    assert_eq!(info.ledger.to_string(), ledger.id);
    let ledger_key = VerifyingKey::parse(&info.genesis.ledger_key).unwrap();

    let (alice, bob) = (key(1), key(2));
    http.faucet(&alice.public(), Amount(1_000));
    let _: Value = transfer(http, &alice, 0, bob.public(), 300).ok();
    wait_balance(http, &bob.public(), 300);
    assert_eq!(http.balance(&alice.public()), Amount(700));
    assert_eq!(http.account(&alice.public()).nonce, 1);

    // Blocks come on time, empty ones too, each signed and on top of the one before.
    let height = http.height();
    http.wait_height(height.after(3));
    let page: Value = http.get("/v1/ledger/events?from=1&max=1000").ok();
    let blocks = page["blocks"].as_array().unwrap();
    assert!(blocks.len() as u64 >= height.0);
    for (number, block) in (1u64..).zip(blocks) {
        let header: settlement::block::SignedHeader =
            serde_json::from_value(block["header"].clone()).unwrap();
        assert_eq!(header.header.height, Height(number));
        assert!(header.verify(&ledger_key).is_ok(), "block {number} is not signed");
    }
    let moved = page.to_string();
    for amount in ["\"1000\"", "\"300\""] {
        assert!(moved.contains(amount), "no event of {amount}");
    }
    let first: Value = http.get("/v1/ledger/blocks/1").ok();
    assert!(first["header"].is_object(), "{first}");
}

#[test]
fn what_it_refuses_has_a_number_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::start(&tests::programs!(), dir.path());
    let http = &ledger.http;
    let (alice, bob) = (key(1), key(2));
    http.faucet(&alice.public(), Amount(100));

    let refusals = [
        (transfer(http, &alice, 0, bob.public(), 101), Code::InsufficientFunds),
        (transfer(http, &alice, 5, bob.public(), 1), Code::BadNonce),
        (transfer(http, &alice, 0, bob.public(), 0), Code::TxZeroAmount),
        (http.request("POST", "/v1/ledger/transactions", b"{"), Code::MalformedRequest),
        (
            http.post("/v1/ledger/transactions", &json!({ "transaction": "00ff" })),
            Code::MalformedTransaction,
        ),
        (http.get("/v1/ledger/accounts/xyz"), Code::MalformedRequest),
        (http.get("/v1/ledger/blocks/999999999"), Code::NotFound),
        (http.get("/v1/nothing"), Code::NotFound),
        (http.get(&format!("/v1/ledger/channels/{}", "00".repeat(32))), Code::NoSuchChannel),
    ];
    for (answer, code) in refusals {
        assert_eq!(answer.problem().code, code);
    }
    assert_eq!(http.balance(&alice.public()), Amount(100));
    let _: Value = transfer(http, &alice, 0, bob.public(), 100).ok();
    wait_balance(http, &bob.public(), 100);
}

#[test]
fn a_stop_is_clean_and_a_kill_is_not_noticed_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let mut ledger = Ledger::start(&programs, dir.path());
    let alice = key(1).public();
    ledger.http.faucet(&alice, Amount(42));

    let (id, height) = (ledger.id.clone(), ledger.http.height());
    assert!(ledger.process.terminate().success(), "SIGTERM ends it with 0");
    let mut ledger = Ledger::start(&programs, dir.path());
    assert_eq!(ledger.id, id);
    assert!(ledger.http.height() >= height, "blocks were lost");
    assert_eq!(ledger.http.balance(&alice), Amount(42));

    ledger.http.faucet(&alice, Amount(8));
    let height = ledger.http.height();
    ledger.process.kill();
    let ledger = Ledger::start(&programs, dir.path());
    assert!(ledger.http.height() >= height, "blocks that were shown were lost");
    assert_eq!(ledger.http.balance(&alice), Amount(50));
    ledger.http.wait_height(height.after(2));
}

/// A restart takes in again what came after the newest one.
#[test]
fn it_takes_a_checkpoint_of_its_index_as_often_as_it_is_told() {
    let (dir, programs) = (tempfile::tempdir().unwrap(), tests::programs!());
    let ledger = Ledger::start_with(&programs, dir.path(), &["--checkpoint-blocks", "10"]);
    ledger.http.wait_height(Height(25));
    // Of those that are kept: more may have been taken since.
    let found = std::fs::read_dir(dir.path().join("index")).unwrap();
    let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let heights = names.filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok());
    let heights: Vec<u64> = heights.collect();
    assert!(heights.iter().any(|at| *at >= 20), "{heights:?}");
    assert!(heights.iter().all(|at| at % 10 == 0), "{heights:?}");
}

/// Silent sockets, and those that never end what they ask, keep nobody out.
#[test]
fn it_answers_while_strangers_hold_more_sockets_than_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let own = ["--sockets", "8", "--head-ms", "600000"];
    let ledger = Ledger::start_with(&tests::programs!(), dir.path(), &own);
    let mut held = vec![];
    for _ in 0..64 {
        let mut socket = std::net::TcpStream::connect(ledger.http.host()).unwrap();
        std::io::Write::write_all(&mut socket, b"GET /v1/ledger/info HT").unwrap();
        held.push(socket);
    }
    assert_eq!(Http::new(&ledger.url).ledger_info().ledger.to_string(), ledger.id);
}

#[test]
fn an_address_that_others_reach_has_to_be_meant() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["run", "--development", "--listen", "0.0.0.0:0", "--data-dir"];
    let refused = std::process::Command::new(tests::programs!().ledger)
        .args(args)
        .arg(dir.path().join("ledger"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{said}");
    assert!(said.contains("TLS") && said.contains("--allow-public"), "{said}");
    assert!(!dir.path().join("ledger").exists(), "nothing was made");
}
