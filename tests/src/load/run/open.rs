//! Channels before the load: those of the wallets that pay, and idle ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client_sdk::api::HubInfo;
use settlement::channel::Channel;
use settlement::crypto::SigningKey;
use settlement::types::Amount;

use super::FOLLOW;
use crate::load::chain::Chain;
use crate::load::hub::Hub;
use crate::load::options::Options;
use crate::load::setup::{Purse, fresh_key, open_channels};
use crate::load::usage::Usage;

/// Keys with their open channels.
pub(super) type Opened = Vec<(SigningKey, Channel)>;

/// The part of the idle channels that is opened first: what comes with the first ones (buffers,
/// caches) is no channel's.
const FIRST_PART: usize = 10;

/// Opens channels.
pub(super) struct Opener<'a> {
    options: &'a Options,
    hub: &'a Hub,
    info: &'a HubInfo,
    chain: &'a mut Chain,
    purse: Purse,
}

impl<'a> Opener<'a> {
    pub(super) fn new(
        options: &'a Options,
        hub: &'a Hub,
        info: &'a HubInfo,
        chain: &'a mut Chain,
    ) -> Result<Opener<'a>> {
        let count = options.wallets.saturating_add(options.idle_channels);
        let total = options.deposit.0.checked_mul(count as u64).context("--deposit is too much")?;
        let purse = Purse::fill(hub.ledger_url(), chain, Amount(total))?;
        if hub.ledger_id().is_some() {
            Purse::fill_account(hub.ledger_url(), chain, &info.hub, Amount(total))?;
        }
        Ok(Opener { options, hub, info, chain, purse })
    }

    /// The idle ones, and the resident bytes of the hub for each: from a tenth of them to all, so
    /// that what does not grow with channels is left out. 0 if there are none.
    pub(super) fn idle(&mut self, say: &mut dyn FnMut(&str)) -> Result<f64> {
        let count = self.options.idle_channels;
        if count == 0 {
            return Ok(0.0);
        }
        let first = count / FIRST_PART;
        self.open(first, "idle", say)?;
        let before = self.memory()?;
        self.open(count - first, "idle", say)?;
        let grown = self.memory()?.saturating_sub(before);
        Ok(grown as f64 / (count - first).max(1) as f64)
    }

    /// Those of the wallets that pay.
    pub(super) fn paying(&mut self, say: &mut dyn FnMut(&str)) -> Result<Opened> {
        self.open(self.options.wallets, "for wallets that pay", say)
    }

    fn open(&mut self, count: usize, what: &str, say: &mut dyn FnMut(&str)) -> Result<Opened> {
        let began = Instant::now();
        let keys = (0..count).map(|_| fresh_key()).collect::<Result<Vec<SigningKey>>>()?;
        let (url, deposit) = (self.hub.ledger_url(), self.options.deposit);
        let channels = open_channels(url, self.info, self.chain, &mut self.purse, &keys, deposit)?;
        if channels.len() != count {
            bail!("{} of {count} channels opened", channels.len());
        }
        self.wait_followed()?;
        let took = began.elapsed().as_secs_f64();
        say(&format!("{count} channels {what} are open after {took:.1} s"));
        Ok(keys.into_iter().zip(channels).collect())
    }

    /// Until the hub has seen what the wallets have seen.
    fn wait_followed(&self) -> Result<()> {
        let height = self.chain.tip().height().0 as f64;
        let until = Instant::now() + FOLLOW;
        while self.hub.metrics()?.get("hub_ledger_height").is_none_or(|at| *at < height) {
            if Instant::now() > until {
                bail!("the hub does not follow the ledger");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn memory(&self) -> Result<u64> {
        Ok(Usage::of(self.hub.id())?.rss)
    }
}
