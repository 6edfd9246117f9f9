//! On a ledger that takes fees, nobody runs out of what it needs to defend itself: what pays for a
//! close, a proof or a claim goes into no channel.

use serde_json::Value;
use settlement::reject::Code;
use settlement::types::Amount;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::toll::{self, EUR, FEES};
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

const DEPOSIT: u64 = 50_000;
const LAST_DEPOSIT: u64 = 10_000;
const PAID: u64 = 30_000;
/// Nobody listens on the discard port.
const NO_HUB: &str = "http://127.0.0.1:9";

struct Town {
    dir: tempfile::TempDir,
    programs: Programs,
    ledger: Ledger,
    hub: Hub,
}

impl Town {
    fn found() -> Town {
        let (dir, programs) = (tempfile::tempdir().unwrap(), tests::programs!());
        // The hub has just what its lease, its first anchor and three deposits take.
        let one = FEES.of(1, 0).0;
        let of_hub = 2 * one + 2 * (DEPOSIT + one) + LAST_DEPOSIT + one;
        let genesis = toll::genesis(&[("EUR", 2, 10_000_000, of_hub)]);
        let ledger = toll::start_ledger(&programs, &dir.path().join("ledger"), &genesis);
        let hub = toll::start_hub(&programs, &dir.path().join("hub"), &ledger);
        Town { dir, programs, ledger, hub }
    }

    /// A wallet with so much on its account.
    fn wallet(&self, name: &str, given: u64) -> Wallet {
        let wallet = Wallet::init(&self.programs, &self.dir.path().join(name), &self.hub.url);
        toll::give(&self.ledger, wallet.key, EUR, given);
        wallet
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
