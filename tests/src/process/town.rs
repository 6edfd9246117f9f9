//! A ledger, a hub on it and two wallets, each in processes of its own, and what everybody must
//! hold in the end.

use std::path::PathBuf;

use serde_json::Value;
use settlement::types::{Amount, ChannelId, Role};

use super::hub::Hub;
use super::ledger::Ledger;
use super::wallet::{Wallet, amount};
use super::{BLOCKS_PATIENCE, Programs, eventually};

/// What each wallet gets, and puts into its channel.
pub const DEPOSIT: u64 = 100_000;
/// What the hub gets.
pub const HUB_MONEY: Amount = Amount(1_000_000);

/// See the module.
pub struct Town {
    dir: tempfile::TempDir,
    /// The ledger.
    pub ledger: Ledger,
    /// The hub.
    pub hub: Hub,
    /// A wallet.
    pub alice: Wallet,
    /// The other one.
    pub bob: Wallet,
    /// Alice's channel.
    pub with_alice: ChannelId,
    /// Bob's channel.
    pub with_bob: ChannelId,
}

impl Town {
    /// Starts all of it; each wallet has a channel, with the hub's money in it too.
    ///
    /// # Panics
    /// When anything of that fails.
    pub fn found(programs: &Programs) -> Town {
        Town::found_under(programs, "")
    }

    /// The same with a hub that anchors nothing, as if it went away too early: what protects a
    /// wallet then is what the test is about.
    ///
    /// # Panics
    /// When anything of that fails.
    pub fn found_without_anchors(programs: &Programs) -> Town {
        Town::found_under(programs, "anchor_interval_ms = 86400000")
    }

    fn found_under(programs: &Programs, settings: &str) -> Town {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let file = path("hub.toml").display().to_string();
        std::fs::write(&file, settings).unwrap();
        let ledger = Ledger::start(programs, &path("ledger"));
        let more = ["--ledger", &ledger.url, "--config", &file];
        let hub = Hub::start_with(programs, &path("hub"), &more);
        ledger.http.faucet(&hub.key, HUB_MONEY);
        hub.wait_ready();
        let wallet = |name: &str| Wallet::init(programs, &path(name), &hub.url);
        let (alice, bob) = (wallet("alice"), wallet("bob"));
        let channel = |wallet: &Wallet| wallet.fund(DEPOSIT).parse().unwrap();
        let (with_alice, with_bob) = (channel(&alice), channel(&bob));
        Town { dir, ledger, hub, alice, bob, with_alice, with_bob }
    }

    /// A place for files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the hub takes for passing this on.
    pub fn fee(&self, worth: u64) -> u64 {
        self.hub.info().fees.fee(Amount(worth)).unwrap().0
    }

    /// Waits until the ledger has paid a channel out: the wallet's part, and the hub's.
    ///
    /// # Panics
    /// When it does not.
    pub fn paid_out(&self, channel: &ChannelId) -> (u64, u64) {
        let paid = || self.ledger.http.channel(channel).paid;
        let paid = eventually("the payout", BLOCKS_PATIENCE, paid);
        (paid.wallet.0, paid.hub.0)
    }

    /// Waits until the channel is being closed; returns by whom.
    ///
    /// # Panics
    /// When nobody closes it.
    pub fn wait_closing(&self, channel: &ChannelId) -> Role {
        let closing = || self.ledger.http.channel(channel).closed_by;
        eventually("the close", BLOCKS_PATIENCE, closing)
    }

    /// Every channel is closed. Alice and Bob must hold this, and the hub the rest.
    ///
    /// # Panics
    /// When a unit is elsewhere.
    pub fn all_hold(&self, alice: u64, bob: u64) {
        let held = |key| self.ledger.http.balance(key).0;
        let hub = HUB_MONEY.0 + 2 * DEPOSIT - alice - bob;
        let holds = [held(&self.alice.key), held(&self.bob.key), held(&self.hub.key)];
        assert_eq!(holds, [alice, bob, hub], "of Alice, Bob and the hub");
    }
}

/// One wallet pays another; returns the fee.
///
/// # Panics
/// When the payment does not settle.
pub fn pay(payer: &Wallet, payee: &Wallet, worth: u64) -> u64 {
    let (mut waiting, invoice) = payee.invoice(worth, true);
    let paid: Value = payer.ok(&["pay", &invoice]);
    assert_eq!(paid["state"], "settled", "{paid}");
    assert!(waiting.wait(BLOCKS_PATIENCE).success(), "{}", waiting.log());
    amount(&paid["fee"]).0
}
