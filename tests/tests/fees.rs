//! A ledger that takes fees: whoever carries something about a channel to it pays for the envelope,
//! and everybody is paid out as on one that is free.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::params::{Allocation, Fees, Genesis, Policy};
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, PublicKey};
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::wallet::{Wallet, amount};
use tests::process::{PATIENCE, Programs, eventually};

const EUR: AssetId = AssetId(0);
const ISSUED: u64 = 10_000_000;
const GIVEN: u64 = 200_000;
const DEPOSIT: u64 = 100_000;
/// Small enough for every lock, large enough to be seen.
const FEES: Fees =
    Fees { asset: EUR, flat: Amount(3), per_kilobyte: Amount(2), per_kilohash: Amount(0) };

/// Of ledger, treasury and hub.
fn keys() -> [SigningKey; 3] {
    [7, 8, 9].map(|number| SigningKey::from_bytes([number; 32]).unwrap())
}

fn genesis() -> Genesis {
    let [ledger, treasury, hub] = keys().map(|key| key.public());
    let holds = |account| Allocation { account, asset: EUR, amount: Amount(ISSUED) };
    Genesis {
        fees: FEES,
        allocations: vec![holds(treasury), holds(hub)],
        block_interval_ms: 200,
        least_interval_ms: 150,
        ..Genesis::standard("with fees", ledger, 1)
    }
}

fn write_key(path: &Path, key: &SigningKey) {
    fs::write(path, hex::encode(*key.to_bytes())).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn start_ledger(programs: &Programs, dir: &Path) -> Ledger {
    fs::create_dir_all(dir).unwrap();
    let [key, ..] = keys();
    write_key(&dir.join("ledger.key"), &key);
    fs::write(dir.join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
    Ledger::start(programs, dir)
}

/// With margins that fit blocks every 200 ms, and locks that are worth a claim.
fn start_hub(programs: &Programs, dir: &Path, ledger: &Ledger) -> Hub {
    let [_, _, key] = keys();
    fs::create_dir_all(dir).unwrap();
    write_key(&dir.join("hub.key"), &key);
    let mut policy = toml::Table::try_from(Policy::development()).unwrap();
    let min_lock = i64::try_from(FEES.of_claim().0).unwrap();
    policy.insert("min_lock".to_owned(), min_lock.into());
    policy.insert("challenge_blocks".to_owned(), 140.into());
    let settings = toml::Table::from_iter([("policy".to_owned(), policy.into())]);
    let file = dir.join("hub.toml");
    fs::write(&file, settings.to_string()).unwrap();
    Hub::start_with(
        programs,
        dir,
        &["--ledger", &ledger.url, "--config", &file.display().to_string()],
    )
}

/// From the treasury, in a block.
fn give(ledger: &Ledger, to: PublicKey) {
    let [_, treasury, _] = keys();
    let account = treasury.public();
    let nonce = ledger.http.account(&account).nonce;
    let action = AccountAction::Transfer { to, asset: EUR, amount: Amount(GIVEN) };
    let body = AccountTx { ledger: genesis().ledger_id(), account, nonce, action };
    let transaction = hex::encode(encode(&Transaction::account(&treasury, body)));
    let answer = ledger.http.post("/v1/ledger/transactions", &SubmitRequest { transaction });
    let _: SubmitAnswer = answer.ok();
    let there = || (ledger.http.balance(&to) == Amount(GIVEN)).then_some(());
    eventually("the money", PATIENCE, there);
}

#[test]
fn everything_about_a_channel_is_carried_in_an_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let ledger = start_ledger(&programs, &dir.path().join("ledger"));
    let hub = start_hub(&programs, &dir.path().join("hub"), &ledger);
    let wallet = |name: &str| {
        let wallet = Wallet::init(&programs, &dir.path().join(name), &hub.url);
        give(&ledger, wallet.key);
        wallet.ok(&["open", "--deposit", &DEPOSIT.to_string()]);
        wallet
    };
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    let mut listening = bob.start(&["listen"]);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let paid = 1_000;
    let sent = alice.ok(&["send", &bob.key.to_string(), &paid.to_string()]);
    assert_eq!(sent["state"], "settled", "{sent}");
    let cost = paid + amount(&sent["fee"]).0;
    assert!(listening.terminate().success(), "{}", listening.log());

    // The hub carries what both have signed.
    let id = alice.status()["channels"][0]["id"].as_str().unwrap().to_owned();
    let took_out = 500;
    alice.ok(&["withdraw", "--channel", &id, &took_out.to_string()]);
    let closed = bob.ok(&["close"]);
    assert_eq!(amount(&closed["wallet_amount"]), Amount(DEPOSIT + paid), "{closed}");

    // The wallet carries its close, and the hub its answer: without that the wallet would get all
    // that it put in.
    alice.ok(&["close", "--unilateral"]);
    let ended = alice
        .wait_status("the end of the channel", |status| status["channels"][0]["state"] == "closed");
    let got = amount(&ended["channels"][0]["wallet_amount"]);
    assert_eq!(got, Amount(DEPOSIT - cost - took_out), "{ended}");

    let balance = |key: &PublicKey| ledger.http.balance(key).0;
    // A wallet's own: the opening, and alice's close. No more is taken from it than fees.
    let most = FEES.of(4_096, 0).0;
    let spent = |wallet: &Wallet, should: u64| should - balance(&wallet.key);
    let (by_alice, by_bob) = (spent(&alice, GIVEN - cost), spent(&bob, GIVEN + paid));
    assert!((2 * FEES.flat.0..=2 * most).contains(&by_alice), "{by_alice}");
    assert!((FEES.flat.0..=most).contains(&by_bob), "{by_bob}");
    let [ledger_key, treasury, hub_key] = keys().map(|key| key.public());
    let all = [ledger_key, treasury, hub_key, alice.key, bob.key].iter().map(balance).sum::<u64>();
    assert_eq!(all, 2 * ISSUED, "every unit is in an account");
    assert!(balance(&ledger_key) > by_alice + by_bob, "the hub pays for what it carries, too");
}
