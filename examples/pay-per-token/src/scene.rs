//! A hub with its ledger, and wallets with channels at it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client_sdk::client::{Client, ClientConfig, StatusChannel, WalletHandle};
use client_sdk::ledger_http::HttpLedger;
use hub::RunningHub;
use hub::config::Config;
use settlement::api::FaucetRequest;
use settlement::crypto::SigningKey;
use settlement::types::{Amount, AssetId};

/// What is paid in.
pub(crate) const ASSET: AssetId = AssetId(0);
/// What each wallet gets, and puts into its channel.
const DEPOSIT: Amount = Amount(100_000);
/// How long anything may take that blocks bring.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the hub may take for its next statement.
const STATEMENT: Duration = Duration::from_secs(15);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
pub(crate) struct Scene {
    hub: RunningHub,
    dir: PathBuf,
}

/// A wallet with a channel.
pub(crate) struct Member {
    pub(crate) wallet: WalletHandle,
    client: Client,
    /// What belonged to it in the channel at first.
    begins: Amount,
}

impl Scene {
    /// Starts a development hub on ports of its own choice.
    pub(crate) async fn set(dir: &Path) -> Result<Scene> {
        let any_port = ([127, 0, 0, 1], 0).into();
        let hub = hub::start(Config {
            data_dir: dir.join("hub"),
            development: true,
            listen: any_port,
            admin_listen: any_port,
            ..Config::default()
        });
        Ok(Scene { hub: hub.await.context("the hub does not start")?, dir: dir.to_owned() })
    }

    /// A wallet with money in a channel, in a store of its own.
    pub(crate) async fn member(&self, name: &str) -> Result<Member> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("the system gives no randomness")?;
        let key = SigningKey::from_bytes(bytes).context("randomness that is no key")?;
        let account = key.public();
        let ledger = HttpLedger::new(&self.hub.url())?;
        ledger.faucet(&FaucetRequest { account, asset: ASSET, amount: DEPOSIT }).await?;
        let client = ClientConfig::new(self.hub.url(), self.dir.join(name));
        let client = Client::open(client, Vec::new()).await?;
        let wallet = client.add_new_wallet(key).await?;
        until("the faucet's money", async || {
            let balances = wallet.account().await?.balances;
            Ok(balances.iter().any(|held| held.asset == ASSET && held.amount >= DEPOSIT))
        })
        .await?;
        wallet.open_channel(ASSET, DEPOSIT).await?;
        wallet.synced().await?;
        let mut member = Member { wallet, client, begins: Amount::ZERO };
        member.begins = member.in_channel().await?.wallet_amount;
        Ok(member)
    }

    /// What the hub has signed on the ledger that it owes a wallet. It says so every 2 s of what has
    /// moved since: the newest statement is what counts, once it is what the wallet's own proofs say,
    /// or when that takes too long.
    async fn owed(&self, member: &Member) -> Result<Amount> {
        let holds = member.in_channel().await?.wallet_amount;
        let mut owed = Amount::ZERO;
        let said = until("the hub's statement", async || {
            let counts = member.wallet.counted(PATIENCE).await?;
            if let Some(Ok(counted)) = counts.into_values().next() {
                owed = counted.owed;
            }
            Ok(owed == holds)
        });
        // Whoever compares it sees what it says.
        let _ = tokio::time::timeout(STATEMENT, said).await;
        Ok(owed)
    }

    /// By how much what the hub owes a wallet has grown.
    pub(crate) async fn gained(&self, member: &Member) -> Result<u64> {
        Ok(self.owed(member).await?.0.saturating_sub(member.begins.0))
    }

    /// By how much it has shrunk.
    pub(crate) async fn lost(&self, member: &Member) -> Result<u64> {
        Ok(member.begins.0.saturating_sub(self.owed(member).await?.0))
    }

    /// Stops the wallets, then the hub.
    pub(crate) async fn strike(self, members: Vec<Member>) {
        for member in members {
            member.client.shutdown().await;
        }
        self.hub.stop().await;
    }
}

impl Member {
    /// How its channel stands.
    pub(crate) async fn in_channel(&self) -> Result<StatusChannel> {
        let channels = self.wallet.status().await?.channels;
        channels.into_iter().next().context("the wallet has no channel")
    }
}

/// Looks again and again until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let looking = async {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            if holds().await? {
                return Ok(());
            }
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(held) => held,
        Err(_) => bail!("{what} did not come within {} s", PATIENCE.as_secs()),
    }
}
