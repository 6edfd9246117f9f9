//! A server that charges for what it answers, in a process of its own: what a test kills in the middle
//! of an answer. It takes orders as lines of JSON and answers in lines of JSON.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use client_sdk::client::WalletHandle;
use client_sdk::http402::Till;
use serde::Deserialize;
use serde_json::{Value, json};
use settlement::types::{Amount, AssetId};
use tests::orders::{say, wallet};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

/// A wallet's shop.
#[derive(Parser)]
struct Args {
    /// Where the wallet keeps what it knows.
    #[arg(long)]
    store: PathBuf,
    /// The hub's address.
    #[arg(long)]
    hub: String,
    /// Makes the wallet's key.
    #[arg(long)]
    key: u8,
    /// Where it serves.
    #[arg(long)]
    listen: SocketAddr,
    /// What it puts into its channel, if it has none.
    #[arg(long)]
    deposit: u64,
}

/// What a test asks for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Say how its streams stand.
    Report,
    /// Close the channel together with the hub.
    Close,
}

fn main() -> Result<()> {
    tests::orders::run(run(Args::parse()))
}

async fn run(args: Args) -> Result<()> {
    let (client, wallet) = wallet(args.hub, args.store, args.key).await?;
    if wallet.status().await?.channels.is_empty() {
        wallet.open_channel(AssetId(0), Amount(args.deposit)).await?;
    }
    wallet.synced().await?;
    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    let till = Till::new(wallet.clone(), address.to_string())?;
    let routes = tests::shop::routes(&till, &Arc::default())?;
    tokio::spawn(async move { axum::serve(listener, routes).await });
    say(&json!({ "serving": address.to_string(), "payee": wallet.public_key() }));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&line).context(line)?;
        say(&obey(&wallet, &order).await?);
    }
    client.shutdown().await;
    Ok(())
}

async fn obey(wallet: &WalletHandle, order: &Order) -> Result<Value> {
    match order {
        Order::Report => Ok(json!({ "streams": wallet.streams().await? })),
        Order::Close => {
            let status = wallet.status().await?;
            let channel = status.channels.first().context("a channel")?.id;
            let closed = wallet.close(channel).await?;
            Ok(json!({ "closed": closed.wallet_amount }))
        }
    }
}
