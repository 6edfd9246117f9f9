//! The wallet that closes with its best old proof.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use client_sdk::client::{Client, ClientConfig, WalletHandle};
use settlement::crypto::SigningKey;
use settlement::types::{Amount, ChannelId};

use super::{Attempt, Other, Scene, Solo, pay};
use crate::demo::closing::WINDOW_WAIT;
use crate::demo::scene::DEPOSIT;

/// What it is paid before its store is copied: its best moment.
const PAID: Amount = Amount(50_000);
/// What it spends afterwards, in so many payments.
const SPENT: [Amount; 3] = [Amount(200_000), Amount(100_000), Amount(7)];

/// See the module.
pub(super) struct WalletPlot {
    key: Arc<SigningKey>,
    /// Opens the copy.
    config: ClientConfig,
    channel: ChannelId,
    was_due: Amount,
}

impl WalletPlot {
    /// Is paid, copies its store, spends, and ends.
    pub(super) async fn lay(
        scene: &Scene,
        crook: Solo,
        (friend, friends_book): (&WalletHandle, &mut Other),
        book: &mut Other,
    ) -> Result<WalletPlot> {
        let Solo { key, config, client } = crook;
        let wallet = client.wallets().into_iter().next().context("a client without its wallet")?;
        let channel = scene.open_channel(&wallet).await?;
        pay((friend, friends_book), (&wallet, book), PAID).await?;
        client.shutdown().await;
        let old = config.store_dir.with_extension("old");
        copy(&config.store_dir, &old)
            .with_context(|| format!("cannot copy a wallet to {}", old.display()))?;

        let client = Client::open(config.clone(), vec![key.clone()]).await?;
        let wallet = client.wallets().into_iter().next().context("a client without its wallet")?;
        wallet.synced().await?;
        for amount in SPENT {
            pay((&wallet, book), (friend, friends_book), amount).await?;
        }
        client.shutdown().await;
        // Without the hub, which would see at once what the wallet has forgotten.
        let config = ClientConfig { store_dir: old, connect: false, ..config };
        Ok(WalletPlot { key, config, channel, was_due: book.in_channel(DEPOSIT)? })
    }

    /// Closes from the copy.
    pub(super) async fn carry_out(self) -> Result<Attempt> {
        let client = Client::open(self.config.clone(), vec![self.key.clone()]).await?;
        let wallet = client.wallets().into_iter().next().context("a client without its wallet")?;
        wallet.caught_up(WINDOW_WAIT).await?;
        let hoped = wallet.status().await?.channels.first().map(|channel| channel.wallet_amount);
        wallet.close_alone(self.channel).await?;
        let closed = tokio::time::timeout(WINDOW_WAIT, wallet.closed(self.channel)).await;
        let closed = closed.context("the cheating wallet's channel was not paid out in time")??;
        client.shutdown().await;
        Ok(Attempt {
            who: "wallet",
            tried: "closed with its best old proof",
            would_have_got: hoped.context("the copy has no channel")?,
            was_due: self.was_due,
            got: closed.wallet_amount,
        })
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
