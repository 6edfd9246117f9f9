//! A hub with its ledger, and wallets with money and channels.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use client_sdk::client::{Client, ClientConfig, WalletHandle};
use client_sdk::ledger_http::HttpLedger;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use settlement::api::FaucetRequest;
use settlement::crypto::SigningKey;
use settlement::ledger::service::LedgerHandle;
use settlement::types::{Amount, AssetId, ChannelId, Height, PublicKey};

use super::books::Holdings;
use super::progress::Progress;
use crate::config::Config;
use crate::home::Home;
use crate::run::{RunningHub, start};

/// What all payments are made in.
pub(super) const ASSET: AssetId = AssetId(0);
/// What the faucet gives each wallet.
pub(super) const MINTED: Amount = Amount(1_000_000);
/// What each wallet puts into its channel: not everything, so that an account is more than what
/// its channel pays out.
pub(super) const DEPOSIT: Amount = Amount(900_000);
/// Requests that are under way at a time.
pub(super) const AT_ONCE: usize = 128;
/// Connections that all wallets share.
const CONNECTIONS: usize = 4;
/// How long something may take that a few blocks bring.
const BLOCKS_WAIT: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Scene {
    hub: RunningHub,
    /// Where the hub keeps its files.
    hub_dir: PathBuf,
    ledger: LedgerHandle,
    client: Client,
    faucet: HttpLedger,
    /// Wallets with their channels, once those are open.
    pub(super) wallets: Vec<WalletHandle>,
}

impl Scene {
    /// Starts the hub, and wallets with money on their accounts.
    pub(super) async fn set(count: u32, dir: &Path, progress: &Progress) -> Result<Scene> {
        let any_port = ([127, 0, 0, 1], 0).into();
        let hub_dir = dir.join("hub");
        let hub = start(Config {
            data_dir: hub_dir.clone(),
            development: true,
            listen: any_port,
            admin_listen: any_port,
            ..Config::default()
        });
        let hub = hub.await.context("the hub does not start")?;
        let ledger = hub.ledger().context("the hub embeds no ledger")?;
        let config = ClientConfig {
            connections: CONNECTIONS,
            ..ClientConfig::new(hub.url(), dir.join("wallets"))
        };
        let client = Client::open(config, Vec::new()).await?;
        let faucet = HttpLedger::new(&hub.url())?;
        let mut scene = Scene { hub, hub_dir, ledger, client, faucet, wallets: Vec::new() };
        scene.add_wallets(count, progress).await?;
        scene.fund().await?;
        Ok(scene)
    }

    async fn add_wallets(&mut self, count: u32, progress: &Progress) -> Result<()> {
        let bar = progress.counted("wallets with money", count as usize);
        let scene = &*self;
        let added = iter(0..count).map(async |_| {
            let wallet = scene.add_wallet().await?;
            scene.mint(wallet.public_key()).await?;
            bar.inc(1);
            anyhow::Ok(wallet)
        });
        let added = added.buffered(AT_ONCE).try_collect().await?;
        bar.finish();
        self.wallets = added;
        Ok(())
    }

    /// A wallet beside the others, in the same client.
    pub(super) async fn add_wallet(&self) -> Result<WalletHandle> {
        Ok(self.client.add_new_wallet(fresh_key()?).await?)
    }

    /// Has the faucet give an account its money.
    pub(super) async fn mint(&self, account: PublicKey) -> Result<()> {
        let (asset, amount) = (ASSET, MINTED);
        self.faucet.faucet(&FaucetRequest { account, asset, amount }).await?;
        Ok(())
    }

    /// Waits until every account has its money.
    async fn fund(&self) -> Result<()> {
        let accounts: Vec<_> = self.wallets.iter().map(WalletHandle::public_key).collect();
        self.until_minted(&accounts).await
    }

    /// Waits until these accounts have the faucet's money.
    pub(super) async fn until_minted(&self, accounts: &[PublicKey]) -> Result<()> {
        let funded =
            async |account: &&PublicKey| Ok(balance(&self.ledger(), **account).await? == MINTED);
        self.until_all("the faucet's money", accounts.iter().collect(), funded).await
    }

    /// Opens a channel for one wallet, with the hub's money in it.
    pub(super) async fn open_channel(&self, wallet: &WalletHandle) -> Result<ChannelId> {
        let opened = wallet.open_channel(ASSET, DEPOSIT).await?;
        let there = async |wallet: &&WalletHandle| has_inbound(wallet, opened.inbound).await;
        self.until_all("the hub's deposit", vec![wallet], there).await?;
        Ok(opened.channel)
    }

    /// Opens a channel for each wallet, and waits until the hub's money is in it too.
    pub(super) async fn open_channels(&self, progress: &Progress) -> Result<()> {
        let bar = progress.counted("opening channels", self.wallets.len());
        let opened = iter(&self.wallets).map(async |wallet| {
            let opened = wallet.open_channel(ASSET, DEPOSIT).await;
            bar.inc(1);
            opened
        });
        let opened: Vec<_> = opened.buffer_unordered(AT_ONCE).try_collect().await?;
        bar.finish();
        let inbound = opened.first().map_or(Amount::ZERO, |opened| opened.inbound);
        let there = async |wallet: &&WalletHandle| has_inbound(wallet, inbound).await;
        self.until_all("the hub's deposits", self.wallets.iter().collect(), there).await
    }

    /// Looks again with each block until `there` holds for all of them.
    async fn until_all<T>(
        &self,
        what: &str,
        mut left: Vec<T>,
        there: impl AsyncFn(&T) -> Result<bool>,
    ) -> Result<()> {
        let every_block = self.until_block(async || {
            let mut still = Vec::new();
            for one in std::mem::take(&mut left) {
                if !there(&one).await? {
                    still.push(one);
                }
            }
            left = still;
            Ok(left.is_empty().then_some(()))
        });
        match tokio::time::timeout(BLOCKS_WAIT, every_block).await {
            Ok(done) => done,
            Err(_) => bail!("{what} did not arrive within {} s", BLOCKS_WAIT.as_secs()),
        }
    }

    /// Looks again with each block until there is something to see.
    pub(super) async fn until_block<T>(
        &self,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let mut blocks = self.ledger().height();
        loop {
            blocks.mark_unchanged();
            if let Some(seen) = look().await? {
                return Ok(seen);
            }
            blocks.changed().await.context("the ledger has stopped")?;
        }
    }

    /// What the accounts of wallets and hub hold, and these others.
    pub(super) async fn holdings(&self, others: &[PublicKey]) -> Result<Holdings> {
        let ledger = self.ledger();
        let mut wallets = Vec::with_capacity(self.wallets.len());
        for wallet in &self.wallets {
            wallets.push(balance(&ledger, wallet.public_key()).await?);
        }
        let hub = balance(&ledger, self.hub.key()).await?;
        let mut held = Vec::with_capacity(others.len());
        for account in others {
            held.push(balance(&ledger, *account).await?);
        }
        Ok(Holdings { wallets, hub, others: held })
    }

    /// Where wallets connect.
    pub(super) fn url(&self) -> String {
        self.hub.url()
    }

    /// What the hub signs with.
    pub(super) fn hub_key(&self) -> Result<SigningKey> {
        Home::at(&self.hub_dir)?.key()
    }

    /// The embedded ledger.
    pub(super) fn ledger(&self) -> LedgerHandle {
        self.ledger.clone()
    }

    /// The newest block.
    pub(super) fn height(&self) -> Height {
        *self.ledger().height().borrow()
    }

    /// How often the hub's journal was synced.
    pub(super) fn fsyncs(&self) -> u64 {
        self.hub.counters().fsyncs.load(Relaxed)
    }

    /// The longest that a payment's lock lives.
    pub(super) async fn lock_life(&self) -> Result<Duration> {
        let info = self.ledger().info().await.map_err(|code| anyhow!("the ledger: {code}"))?;
        let block = Duration::from_millis(info.genesis.block_interval_ms);
        let blocks = u32::try_from(self.client.hub().policy.lock_life).unwrap_or(u32::MAX);
        Ok(block.saturating_mul(blocks))
    }

    /// Stops the wallets, then the hub.
    pub(super) async fn strike(self) {
        self.client.shutdown().await;
        self.hub.stop().await;
    }
}

async fn has_inbound(wallet: &WalletHandle, inbound: Amount) -> Result<bool> {
    let status = wallet.status().await?;
    Ok(status.channels.iter().any(|channel| channel.hub_amount >= inbound))
}

/// The one channel of a demo's wallet.
pub(super) async fn channel_of(wallet: &WalletHandle) -> Result<ChannelId> {
    let channel = wallet.status().await?.channels.first().map(|channel| channel.id);
    channel.ok_or_else(|| anyhow!("wallet {} has no channel", wallet.public_key()))
}

async fn balance(ledger: &LedgerHandle, account: PublicKey) -> Result<Amount> {
    let view = ledger.account(account).await.map_err(|code| anyhow!("the ledger: {code}"))?;
    let balance = view.balances.iter().find(|balance| balance.asset == ASSET);
    Ok(balance.map_or(Amount::ZERO, |balance| balance.amount))
}

pub(super) fn fresh_key() -> Result<SigningKey> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    SigningKey::from_bytes(bytes).context("randomness that is no key")
}
