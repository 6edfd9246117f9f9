//! On a ledger that takes fees, nobody runs out of what it needs to defend itself: what pays for a
//! close, a proof or a claim goes into no channel.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::params::{Allocation, Fees, Genesis, Policy};
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, PublicKey};
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

const EUR: AssetId = AssetId(0);
const FEES: Fees =
    Fees { asset: EUR, flat: Amount(3), per_kilobyte: Amount(2), per_kilohash: Amount(0) };
const DEPOSIT: u64 = 50_000;
const LAST_DEPOSIT: u64 = 10_000;
const PAID: u64 = 30_000;
/// Nobody listens on the discard port.
const NO_HUB: &str = "http://127.0.0.1:9";

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

/// The hub has just what its lease, its first anchor and three deposits take.
fn genesis() -> Genesis {
    let one = FEES.of(1, 0).0;
    let hub = 2 * one + 2 * (DEPOSIT + one) + LAST_DEPOSIT + one;
    let holds = |number, amount| Allocation {
        account: key(number).public(),
        asset: EUR,
        amount: Amount(amount),
    };
    Genesis {
        fees: FEES,
        allocations: vec![holds(8, 10_000_000), holds(9, hub)],
        block_interval_ms: 200,
        least_interval_ms: 150,
        ..Genesis::standard("fees kept", key(7).public(), 1)
    }
}

fn write_key(path: &Path, number: u8) {
    fs::write(path, hex::encode([number; 32])).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

struct Town {
    dir: tempfile::TempDir,
    programs: Programs,
    ledger: Ledger,
    hub: Hub,
}

impl Town {
    fn found() -> Town {
        let (dir, programs) = (tempfile::tempdir().unwrap(), tests::programs!());
        let [at_ledger, at_hub] = ["ledger", "hub"].map(|name| dir.path().join(name));
        [&at_ledger, &at_hub].iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
        write_key(&at_ledger.join("ledger.key"), 7);
        fs::write(at_ledger.join("genesis.toml"), toml::to_string(&genesis()).unwrap()).unwrap();
        let ledger = Ledger::start(&programs, &at_ledger);
        write_key(&at_hub.join("hub.key"), 9);
        let mut policy = toml::Table::try_from(Policy::development()).unwrap();
        let min_lock = i64::try_from(FEES.of_claim().0).unwrap();
        policy.insert("min_lock".to_owned(), min_lock.into());
        policy.insert("challenge_blocks".to_owned(), 140.into());
        // No anchor takes a fee meanwhile.
        let settings = toml::Table::from_iter([
            ("anchor_interval_ms".to_owned(), 86_400_000.into()),
            ("policy".to_owned(), policy.into()),
        ]);
        let file = at_hub.join("hub.toml");
        fs::write(&file, settings.to_string()).unwrap();
        let more = ["--ledger", &ledger.url, "--config", &file.display().to_string()];
        let hub = Hub::start_with(&programs, &at_hub, &more);
        Town { dir, programs, ledger, hub }
    }

    /// A wallet with so much on its account.
    fn wallet(&self, name: &str, given: u64) -> Wallet {
        let wallet = Wallet::init(&self.programs, &self.dir.path().join(name), &self.hub.url);
        self.give(wallet.key, given);
        wallet
    }

    fn give(&self, to: PublicKey, given: u64) {
        let (treasury, amount) = (key(8), Amount(given));
        let account = treasury.public();
        let nonce = self.ledger.http.account(&account).nonce;
        let action = AccountAction::Transfer { to, asset: EUR, amount };
        let body = AccountTx { ledger: genesis().ledger_id(), account, nonce, action };
        let transaction = hex::encode(encode(&Transaction::account(&treasury, body)));
        let answer =
            self.ledger.http.post("/v1/ledger/transactions", &SubmitRequest { transaction });
        let _: SubmitAnswer = answer.ok();
        let there = || (self.ledger.http.balance(&to) == amount).then_some(());
        eventually("the money", PATIENCE, there);
    }
}

fn opened(wallet: &Wallet, deposit: u64) -> Value {
    wallet.ok(&["open", "--deposit", &deposit.to_string()])
}

/// Three wallets of one thief. The third one's channel would take the rest of the hub's account, and
/// with it what the hub answers the first one's old proof with.
#[test]
fn a_hub_that_is_asked_for_all_its_money_keeps_what_its_answers_cost() {
    let town = Town::found();
    let (alice, bob) = (town.wallet("alice", 100_000), town.wallet("bob", 100_000));
    let channel = opened(&alice, DEPOSIT)["channel"].as_str().unwrap().parse().unwrap();
    opened(&bob, DEPOSIT);
    let mut old = alice.copy(&town.dir.path().join("old"));
    let mut listening = bob.start(&["listen"]);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let sent = alice.ok(&["send", &bob.key.to_string(), &PAID.to_string()]);
    assert_eq!(sent["state"], "settled", "{sent}");
    let cost = PAID + amount(&sent["fee"]).0;
    assert!(listening.terminate().success(), "{}", listening.log());

    opened(&town.wallet("carol", 100_000), LAST_DEPOSIT);
    old.use_hub(NO_HUB);
    old.ok(&["--ledger", &town.ledger.url, "close", "--unilateral", "--no-wait"]);
    // Alice's newest wallet would tell the ledger what she has paid: it sleeps.
    let paid_out = || town.ledger.http.channel(&channel).paid;
    let paid = eventually("the payout", BLOCKS_PATIENCE, paid_out);
    assert_eq!(paid.wallet, Amount(DEPOSIT - cost));
}

/// Its hub is gone for good.
#[test]
fn a_wallet_puts_nothing_into_a_channel_that_it_could_not_close_then() {
    let mut town = Town::found();
    let mut alice = town.wallet("alice", 1_000);
    let all = 1_000 - FEES.of(1, 0).0;
    let refused = alice.run(&["open", "--deposit", &all.to_string()]);
    assert_eq!(refused.error(1), u64::from(Code::InsufficientFunds.number()));
    let most = most_in(&refused.said[0]);
    assert!((900..all).contains(&most), "{most}");
    opened(&alice, most - 100);
    let left = 100 - FEES.of(1, 0).0;
    for (more, code) in [(left + 1, 1), (left, 0)] {
        assert_eq!(alice.run(&["deposit", &more.to_string()]).code, code, "{more}");
    }
    town.hub.process.kill();
    alice.use_hub(NO_HUB);
    alice.ok(&["--ledger", &town.ledger.url, "close", "--unilateral"]);
}

/// The last number of a refusal: what it says may go in.
fn most_in(refusal: &Value) -> u64 {
    let detail = refusal["error"]["detail"].as_str().unwrap();
    let last = detail.split(' ').filter_map(|word| word.parse().ok()).next_back();
    last.unwrap_or_else(|| panic!("{detail}"))
}
