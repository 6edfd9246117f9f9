//! A server streams words at one unit each; a client pays for what it reads, and stops when it has had
//! enough. Then server, client and hub each say what was paid.
//!
//! All of it is real: a hub with its ledger on a directory of its own, an axum server and an HTTP client
//! over loopback, two wallets with channels at the hub. Each word costs one step of a stream, handed
//! over in the header of an HTTP request and on the server's disk before the word is sent. The exit
//! code is 1 when the three do not agree, or the rest of the lock is not free again within a second.

mod report;
mod scene;
mod server;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use client_sdk::http402::{Limits, PayingClient};
use settlement::types::Amount;

use report::Report;
use scene::{ASSET, Member, Scene};
use server::UNIT;

/// What the reader may spend.
const BUDGET: Amount = Amount(50_000);

/// See the module.
#[derive(Parser)]
#[command(about = "Reads words at one unit each, and stops when it has had enough")]
struct Args {
    /// How many words are enough. A few that are paid for by then still come.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    enough: u32,
    /// How long the server takes for a word.
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pace_ms: u64,
    /// Print one JSON object instead of words and a table.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let dir = tempfile::Builder::new().prefix("pay-per-token-").tempdir();
    let dir = dir.context("cannot make a temporary directory")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(play(&args, dir.path()))?;
    let text = if args.json { serde_json::to_string(&report)? } else { report.table() };
    writeln!(std::io::stdout().lock(), "{text}").context("cannot write to stdout")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything from the first file to the last figure.
async fn play(args: &Args, dir: &std::path::Path) -> Result<Report> {
    let scene = Scene::set(dir).await?;
    let (reader, shop) = (scene.member("reader").await?, scene.member("server").await?);
    let pace = Duration::from_millis(args.pace_ms);
    let server = server::start(shop.wallet.clone(), pace).await?;

    let limits = Limits { window: 16, ..Limits::new(ASSET, UNIT, BUDGET) };
    let paying = PayingClient::new(reader.wallet.clone(), limits)?;
    let (read, receipt) = read(&paying, &server.url, args).await?;
    let handed: u64 = paying.purses().await.iter().map(|purse| purse.handed).sum();

    // It has had enough: the server redeems what it holds, and the rest of the lock comes back.
    let locked = reader.locked().await?;
    let stopped = Instant::now();
    let ended = paying.close().await?;
    let (free_after, still_locked) = (stopped.elapsed(), reader.locked().await?);

    let fees = ended.iter().fold(0u64, |fees, stream| fees.saturating_add(stream.fees.0));
    let charged = server.till.charged();
    let report = Report {
        words_read: read,
        client_handed: handed,
        server_served: charged.iter().map(|stream| stream.served).sum(),
        server_holds: charged.iter().map(|stream| stream.paid).sum(),
        receipt: receipt.body.steps,
        hub_owes_server: scene.gained(&shop).await? / UNIT.0,
        hub_took_of_reader: scene.lost(&reader).await?.saturating_sub(fees) / UNIT.0,
        fees,
        locked: locked.0,
        still_locked: still_locked.0,
        free_after_ms: free_after.as_secs_f64() * 1_000.0,
    };
    scene.strike(vec![reader, shop]).await;
    Ok(report)
}

/// Reads until it has had enough, and what was paid for by then; prints the words as they come.
async fn read(
    paying: &PayingClient,
    url: &str,
    args: &Args,
) -> Result<(u64, client_sdk::http402::Receipt)> {
    let mut events = paying.events(url.parse().context("an address")?).await?;
    let mut read = 0u64;
    let mut out = std::io::stdout();
    while let Some(event) = events.next().await? {
        read = read.saturating_add(1);
        if !args.json {
            let end = if read.is_multiple_of(12) { '\n' } else { ' ' };
            write!(out, "{}{end}", event.data)?;
            out.flush()?;
        }
        if read == u64::from(args.enough) {
            events.stop();
        }
    }
    if !args.json {
        writeln!(out, "\n")?;
    }
    let receipt = events.finish().await?.context("the server gave no receipt")?;
    Ok((read, receipt))
}

impl Member {
    /// What is locked in its channel.
    async fn locked(&self) -> Result<Amount> {
        Ok(self.in_channel().await?.locked)
    }
}
