//! A ledger that takes fees, a hub on it, and a treasury that gives.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::params::{Allocation, Asset, Fees, Genesis, Policy};
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, PublicKey};

use super::hub::Hub;
use super::ledger::Ledger;
use super::{PATIENCE, Programs, eventually};

/// What fees are taken in.
pub const EUR: AssetId = AssetId(0);
/// Small enough for every lock, large enough to be seen.
pub const FEES: Fees =
    Fees { asset: EUR, flat: Amount(3), per_kilobyte: Amount(2), per_kilohash: Amount(0) };

const LEDGER_KEY: [u8; 32] = [7; 32];
const TREASURY_KEY: [u8; 32] = [8; 32];
const HUB_KEY: [u8; 32] = [9; 32];

fn key(bytes: [u8; 32]) -> SigningKey {
    SigningKey::from_bytes(bytes).unwrap()
}

/// The accounts of ledger, treasury and hub.
pub fn accounts() -> [PublicKey; 3] {
    [LEDGER_KEY, TREASURY_KEY, HUB_KEY].map(|bytes| key(bytes).public())
}

/// A genesis of that ledger: of each asset its code, its scale, and what treasury and hub have.
pub fn genesis(assets: &[(&str, u8, u64, u64)]) -> Genesis {
    let [ledger, treasury, hub] = accounts();
    let holds = |(asset, (_, _, in_treasury, of_hub)): (u32, &(&str, u8, u64, u64))| {
        [(treasury, *in_treasury), (hub, *of_hub)].map(|(account, amount)| Allocation {
            account,
            asset: AssetId(asset),
            amount: Amount(amount),
        })
    };
    let asset = |(code, scale, ..): &(&str, u8, u64, u64)| Asset {
        code: (*code).to_owned(),
        scale: *scale,
    };
    Genesis {
        assets: assets.iter().map(asset).collect(),
        fees: FEES,
        allocations: (0..).zip(assets).flat_map(holds).collect(),
        block_interval_ms: 200,
        least_interval_ms: 150,
        ..Genesis::standard("with fees", ledger, 1)
    }
}

/// Starts the ledger.
///
/// # Panics
/// When it does not start.
pub fn start_ledger(programs: &Programs, dir: &Path, genesis: &Genesis) -> Ledger {
    Ledger::start_from(programs, dir, genesis, LEDGER_KEY)
}

/// Starts the hub, with margins that fit blocks every 200 ms and locks that are worth a claim. Its
/// anchors come when somebody says so: none takes a fee meanwhile.
///
/// # Panics
/// When it does not start.
pub fn start_hub(programs: &Programs, dir: &Path, ledger: &Ledger) -> Hub {
    fs::create_dir_all(dir).unwrap();
    let key = dir.join("hub.key");
    fs::write(&key, hex::encode(HUB_KEY)).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let mut policy = toml::Table::try_from(Policy::development()).unwrap();
    let min_lock = i64::try_from(FEES.of_claim().0).unwrap();
    policy.insert("min_lock".to_owned(), min_lock.into());
    policy.insert("challenge_blocks".to_owned(), 140.into());
    let settings = toml::Table::from_iter([
        ("anchor_interval_ms".to_owned(), 86_400_000.into()),
        ("policy".to_owned(), policy.into()),
    ]);
    let file = dir.join("hub.toml");
    fs::write(&file, settings.to_string()).unwrap();
    let more = ["--ledger", &ledger.url, "--config", &file.display().to_string()];
    Hub::start_with(programs, dir, &more)
}

/// What an account has of an asset.
pub fn balance(ledger: &Ledger, of: &PublicKey, asset: AssetId) -> u64 {
    let balances = ledger.http.account(of).balances;
    balances.iter().find(|held| held.asset == asset).map_or(0, |held| held.amount.0)
}

/// From the treasury, in a block, to an account that has nothing of it.
///
/// # Panics
/// When it is refused, or takes too long.
pub fn give(ledger: &Ledger, to: PublicKey, asset: AssetId, given: u64) {
    let treasury = key(TREASURY_KEY);
    let account = treasury.public();
    let nonce = ledger.http.account(&account).nonce;
    let action = AccountAction::Transfer { to, asset, amount: Amount(given) };
    let body = AccountTx { ledger: ledger.id.parse().unwrap(), account, nonce, action };
    let transaction = hex::encode(encode(&Transaction::account(&treasury, body)));
    let answer = ledger.http.post("/v1/ledger/transactions", &SubmitRequest { transaction });
    let _: SubmitAnswer = answer.ok();
    eventually("the money", PATIENCE, || (balance(ledger, &to, asset) == given).then_some(()));
}
