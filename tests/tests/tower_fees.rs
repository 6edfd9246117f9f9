//! A tower on a ledger that takes fees: it pays for what it brings from an account of its own, says
//! when that is empty, and is not started without one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::path::Path;

use client_sdk::watchtower::{Answer, Export};
use serde_json::Value;
use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::{Signed, SigningKey};
use settlement::encoding::encode;
use settlement::params::{Allocation, Fees, Genesis};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{Amount, AssetId, Hash, LedgerId, PublicKey, Role, Salt};
use tests::process::http::Http;
use tests::process::ledger::Ledger;
use tests::process::tower::Tower;
use tests::process::{BLOCKS_PATIENCE, PATIENCE, eventually};

const LEDGER_KEY: [u8; 32] = [9; 32];
const MONEY: u64 = 100_000;
const DEPOSIT: u64 = 10_000;
const PAID: u64 = 400;
const FEES: Fees =
    Fees { asset: AssetId(0), flat: Amount(5), per_kilobyte: Amount(7), per_kilohash: Amount(3) };

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

/// For wallet, hub and tower.
fn keys() -> [SigningKey; 3] {
    [1, 2, 3].map(key)
}

/// The tower has nothing at the start.
fn genesis() -> Genesis {
    let asset = AssetId(0);
    let [wallet, hub, _] = keys().map(|key| key.public());
    let holds = |account: PublicKey| Allocation { account, asset, amount: Amount(MONEY) };
    Genesis {
        fees: FEES,
        block_interval_ms: 100,
        least_interval_ms: 80,
        allocations: vec![holds(wallet), holds(hub)],
        ..Genesis::standard("with fees", key(LEDGER_KEY[0]).public(), 1)
    }
}

fn ledger(dir: &Path) -> Ledger {
    Ledger::start_from(&tests::programs!(), &dir.join("ledger"), &genesis(), LEDGER_KEY)
}

/// Brings a transaction and waits until its account's nonce has risen.
fn bring(ledger: &Http, owner: &SigningKey, action: AccountAction) {
    let (account, id) = (owner.public(), genesis().ledger_id());
    let nonce = ledger.account(&account).nonce;
    let body = AccountTx { ledger: id, account, nonce, action };
    let transaction = hex::encode(encode(&Transaction::account(owner, body)));
    let answer = ledger.post("/v1/ledger/transactions", &SubmitRequest { transaction });
    let _: SubmitAnswer = answer.ok();
    let done = || (ledger.account(&account).nonce > nonce).then_some(());
    eventually("a transaction in a block", PATIENCE, done);
}

fn open(ledger: &Http) -> OpenTerms {
    let [wallet, hub, _] = keys();
    let terms = OpenTerms {
        ledger: genesis().ledger_id(),
        asset: AssetId(0),
        wallet: wallet.public(),
        hub: hub.public(),
        challenge_blocks: 140,
        nonce: 0,
    };
    bring(ledger, &wallet, AccountAction::Open { terms, deposit: Amount(DEPOSIT) });
    let (channel, role, amount) = (terms.channel_id(), Role::Hub, Amount(DEPOSIT));
    bring(ledger, &hub, AccountAction::Deposit { channel, role, amount });
    terms
}

/// What the wallet signs for the tower: the hub has paid it.
fn answer_of(terms: OpenTerms) -> Transaction {
    let proof = BalanceProof {
        channel: terms.channel_id(),
        from: Role::Hub,
        seq: 1,
        transferred: Amount(PAID),
        locked: Amount(0),
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount(0),
    };
    let proof = Some(Signed::alone(&key(2), proof, Salt([7; 16])));
    Transaction::submit(
        &key(1),
        Submission { proof, ..Submission::nothing(terms.channel_id(), Role::Wallet) },
    )
}

/// The envelope in which the tower brings an answer.
fn envelope(ledger: LedgerId, answer: &Transaction) -> Transaction {
    let [_, _, tower] = keys();
    let action = AccountAction::carry(answer.clone()).unwrap();
    let account = tower.public();
    Transaction::account(&tower, AccountTx { ledger, account, nonce: 0, action })
}

#[test]
fn the_answer_is_paid_from_the_towers_account_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(dir.path());
    let terms = open(&ledger.http);
    let file = dir.path().join("tower.key");
    std::fs::write(&file, hex::encode([3; 32])).unwrap();
    let tower =
        Tower::start_paying(&tests::programs!(), &dir.path().join("tower"), &ledger.url, &file);
    let (channel, answer) = (terms.channel_id(), answer_of(terms));
    let transaction = hex::encode(encode(&answer));
    let export = Export::new(vec![Answer { channel, terms, seq: 1, transaction }]);
    let held: Value = tower.http.post("/v1/answers", &export).ok();
    assert_eq!(held["held"][0]["seq"], 1, "{held}");

    let close = Submission::close_with_nothing(channel, Role::Hub);
    let close = AccountAction::carry(Transaction::submit(&key(2), close)).unwrap();
    bring(&ledger.http, &key(2), close);
    // An empty account pays for nothing: the tower says so, and tries again.
    assert_eq!(tower.told("trouble")["code"], Code::InsufficientFunds.number());
    let (to, asset, amount) = (key(3).public(), AssetId(0), Amount(1_000));
    bring(&ledger.http, &key(2), AccountAction::Transfer { to, asset, amount });
    let envelope = envelope(genesis().ledger_id(), &answer);
    assert_eq!(tower.told("brought")["tx"], envelope.id().to_string());
    tower.told("answered");
    let fee = FEES.of(encode(&envelope).len(), 0);
    let account = ledger.http.account(&key(3).public());
    assert_eq!(account.nonce, 1);
    assert_eq!(ledger.http.balance(&key(3).public()), Amount(1_000 - fee.0));

    let settled = tower.told("settled");
    assert_eq!(settled["wallet"], (DEPOSIT + PAID).to_string());
    assert_eq!(settled["hub"], (DEPOSIT - PAID).to_string());
}

#[test]
fn without_a_key_it_is_not_started() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(dir.path());
    let program = tests::programs!().wallet;
    let mut tower = Tower::launch(&program, &dir.path().join("tower"), &ledger.url, &[]);
    assert_eq!(tower.wait(BLOCKS_PATIENCE).code(), Some(1), "{}", tower.log());
    let said = tower.json_from(0);
    let error = &said[0]["error"];
    assert_eq!(error["code"], Code::EnvelopeNeeded.number(), "{said:?}");
    assert!(error["detail"].as_str().unwrap().contains("--key-file"), "{error}");
}
