//! What programs have in common that a test starts and gives orders to, in lines of JSON.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use client_sdk::client::{Client, ClientConfig, WalletHandle};
use serde_json::Value;
use settlement::crypto::SigningKey;

/// Runs such a program. It logs to standard error.
///
/// # Errors
/// Those of `main`.
pub fn run(main: impl Future<Output = Result<()>>) -> Result<()> {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    let _ = log.with_max_level(tracing::Level::INFO).try_init();
    tokio::runtime::Runtime::new()?.block_on(main)
}

/// Its one wallet, whose key is made of so many of one byte.
///
/// # Errors
/// When the store can't be opened, or `key` is 0.
pub async fn wallet(hub: String, store: PathBuf, key: u8) -> Result<(Client, WalletHandle)> {
    let key = || SigningKey::from_bytes([key; 32]).context("a key");
    let client = Client::open(ClientConfig::new(hub, store), vec![Arc::new(key()?)]).await?;
    let wallet = client.add_wallet(key()?).await?;
    Ok((client, wallet))
}

/// Answers with a line.
pub fn say(line: &Value) {
    // A test that has ended reads no more.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
