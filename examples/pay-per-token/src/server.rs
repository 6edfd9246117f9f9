//! The server: words without end, at one unit each.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use client_sdk::client::WalletHandle;
use client_sdk::http402::{Per, Price, Till};
use futures_util::stream::{Stream, StreamExt, iter};
use settlement::types::Amount;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::scene::ASSET;

/// What a word costs.
pub(crate) const UNIT: Amount = Amount(1);

/// What it says, again and again.
const TEXT: &str = "Every word of this was paid for before it was sent, with one hash, and each of the \
    hashes was on disk by then. Whoever reads on pays on; whoever stops has paid for what came, and \
    not for a word more. No invoice was written, nobody had to trust anybody for longer than it takes \
    to say sixteen words, and what was set aside for the rest is free again a moment later.";

/// A server on loopback.
pub(crate) struct Server {
    /// Where its words are.
    pub(crate) url: String,
    /// Where it is paid.
    pub(crate) till: Till,
}

/// Starts it: this wallet is paid.
pub(crate) async fn start(wallet: WalletHandle, pace: Duration) -> Result<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let till = Till::new(wallet, address.to_string())?;
    let price = Price::new(ASSET, UNIT, 1, Per::Event)?;
    let words = get(async move || Sse::new(words(pace)));
    let routes = Router::new().route("/words", words).layer(till.charge(price)?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(Server { url: format!("http://{address}/words"), till })
}

/// The words, each made when it is asked for: nobody asks for one that is not paid for.
fn words(pace: Duration) -> impl Stream<Item = Result<Event, Infallible>> {
    iter(TEXT.split_whitespace().cycle()).then(move |word| async move {
        sleep(pace).await;
        Ok(Event::default().data(word))
    })
}
