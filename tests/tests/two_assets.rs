//! Two assets on a ledger that takes fees in one of them: the hub's anchors pay, channels of both are
//! protected, and every unit of either is accounted for.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

use std::path::Path;
use std::process::Command;

use settlement::types::AssetId;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::toll::{self, EUR, FEES, accounts, balance, give};
use tests::process::wallet::{Wallet, amount};
use tests::process::{PATIENCE, Programs};

const GOLD: AssetId = AssetId(1);
/// Code, what each of treasury and hub has of it, what a wallet gets, and what it deposits.
const ASSETS: [(AssetId, &str, u64, u64, u64); 2] =
    [(EUR, "EUR", 10_000_000, 200_000, 100_000), (GOLD, "XAU", 3_000_000, 40_000, 40_000)];

/// A wallet with a channel in each asset, with the hub's money in both.
fn wallet(programs: &Programs, home: &Path, ledger: &Ledger, hub: &Hub) -> Wallet {
    let wallet = Wallet::init(programs, home, &hub.url);
    for (asset, _, _, given, _) in ASSETS {
        give(ledger, wallet.key, asset, given);
    }
    for (_, code, _, _, deposit) in ASSETS {
        let opened = wallet.ok(&["open", "--deposit", &deposit.to_string(), "--asset", code]);
        wallet.wait_status("the hub's money", |status| {
            let channels = status["channels"].as_array().unwrap();
            channels.iter().any(|channel| {
                channel["id"] == opened["channel"] && channel["hub_amount"] == opened["inbound"]
            })
        });
    }
    wallet
}

/// The wallet's amount in its channel of an asset, and how much of that is protected.
fn protected(wallet: &Wallet, asset: AssetId) -> (u64, u64, String) {
    let status = wallet.status();
    let channels = status["channels"].as_array().unwrap();
    let of_asset = channels.iter().find(|channel| channel["asset"] == asset.0);
    let channel = of_asset.unwrap_or_else(|| panic!("no channel of {asset:?} in {status}"));
    let id = channel["id"].as_str().unwrap().to_owned();
    let protected = &channel["protection"]["protected"];
    assert!(protected.is_string(), "{channel}");
    (amount(&channel["wallet_amount"]).0, amount(protected).0, id)
}

/// Does the whole history again, and checks each signature and sum.
fn audited(programs: &Programs, dir: &Path) {
    let audit = Command::new(&programs.ledger).arg("audit").arg("--data-dir").arg(dir).output();
    let audit = audit.unwrap();
    let printed = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.status.success() && printed.contains("are right"), "{audit:?}");
}

#[test]
fn anchors_pay_their_fees_in_one_asset_and_protect_both() {
    let (dir, programs) = (tempfile::tempdir().unwrap(), tests::programs!());
    let path = |name: &str| dir.path().join(name);
    let [(.., euros, _, _), (.., gold, _, _)] = ASSETS;
    let issued = [("EUR", 2, euros, euros), ("XAU", 4, gold, gold)];
    let ledger = toll::start_ledger(&programs, &path("ledger"), &toll::genesis(&issued));
    let hub = toll::start_hub(&programs, &path("hub"), &ledger);
    let (alice, bob) = (
        wallet(&programs, &path("alice"), &ledger, &hub),
        wallet(&programs, &path("bob"), &ledger, &hub),
    );
    let mut listening = bob.start(&["listen"]);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let paid = [(EUR, "EUR", 1_500), (GOLD, "XAU", 700)];
    let mut spent = Vec::new();
    for (_, code, worth) in paid {
        let sent = alice.ok(&["send", &bob.key.to_string(), &worth.to_string(), "--asset", code]);
        assert_eq!(sent["state"], "settled", "{sent}");
        spent.push(worth + amount(&sent["fee"]).0);
    }
    assert!(listening.terminate().success(), "{}", listening.log());

    let unwatched = [EUR, GOLD].map(|asset| protected(&bob, asset));
    let before = [EUR, GOLD].map(|asset| balance(&ledger, &hub.key, asset));
    let report = hub.anchor_now();
    assert_eq!((report.problem, report.channels), (None, 4), "{report:?}");
    let after = [EUR, GOLD].map(|asset| balance(&ledger, &hub.key, asset));
    assert!(before[0] - after[0] >= FEES.flat.0, "the anchor pays: {before:?}, {after:?}");
    assert_eq!(before[1], after[1], "and in the asset of the fees alone");

    let deposits = ASSETS.map(|(.., deposit)| deposit);
    for (at, (asset, _, worth)) in paid.into_iter().enumerate() {
        let (amount, protected, _) = protected(&bob, asset);
        assert_eq!((amount, protected), (deposits[at] + worth, deposits[at] + worth), "{asset:?}");
        let (amount, by_ledger, _) = &unwatched[at];
        assert_eq!((*amount, *by_ledger), (deposits[at] + worth, deposits[at]), "before it");
    }
    audited(&programs, &path("ledger"));

    // Paid out, every unit of each is in an account, and fees have moved in one of them only.
    for wallet in [&alice, &bob] {
        for asset in [EUR, GOLD] {
            let (_, _, id) = protected(wallet, asset);
            wallet.ok(&["close", &id]);
        }
    }
    let [of_ledger, treasury, of_hub] = accounts();
    let accounts = [of_ledger, treasury, of_hub, alice.key, bob.key];
    for (asset, code, held, ..) in ASSETS {
        let all: u64 = accounts.iter().map(|of| balance(&ledger, of, asset)).sum();
        assert_eq!(all, 2 * held, "{code}");
    }
    let (gold, given) = (spent[1], ASSETS[1].3);
    assert_eq!(balance(&ledger, &alice.key, GOLD), given - gold);
    assert_eq!(balance(&ledger, &bob.key, GOLD), given + paid[1].2);
    assert_eq!(balance(&ledger, &of_ledger, GOLD), 0);
    assert!(balance(&ledger, &of_ledger, EUR) > 0, "the ledger has taken fees");
    audited(&programs, &path("ledger"));
}
