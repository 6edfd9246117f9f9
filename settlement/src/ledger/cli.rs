//! The `ledger` program: the settlement ledger in a process of its own.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::audit::{AuditReport, Contradiction, Held, Torn};
use super::home::{Home, read_genesis};
use super::http::{no_route, routes};
use super::producer::ProducerConfig;
use super::service::{Pace, Service};
use crate::types::LedgerId;

/// How often an audit says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// How long a stop waits for requests that are being answered.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Parser)]
#[command(name = "ledger", version, about = "The settlement ledger in a process of its own")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make blocks and serve the ledger until SIGTERM or SIGINT.
    Run(Run),
    /// Do every block again from the genesis, and check all signatures, digests and sums. Reads
    /// alone, so the ledger may go on running. Exits with 1 when a block is wrong.
    Audit(Audit),
    /// Print the public key of a data directory, making the key if there is none; a genesis names
    /// it as its ledger_key.
    Key {
        /// Where the ledger lives.
        #[arg(long)]
        data_dir: PathBuf,
    },
}

#[derive(Args)]
struct Run {
    /// Where the ledger lives; made if it is not there.
    #[arg(long)]
    data_dir: PathBuf,
    /// Where to serve; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:7410")]
    listen: SocketAddr,
    /// What a new ledger starts from.
    #[arg(long)]
    genesis: Option<PathBuf>,
    /// Without a genesis, start a new ledger with a faucet and fast blocks. Never for real money.
    #[arg(long)]
    development: bool,
}

#[derive(Args)]
struct Audit {
    /// Where the ledger lives.
    #[arg(long)]
    data_dir: PathBuf,
    /// Print what was found as one JSON object.
    #[arg(long)]
    json: bool,
}

/// How the command line is understood, for whoever checks what is written about it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program; `settlement`'s binary and every other one that wraps it call this.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr();
    let done = match cli.command {
        Command::Run(args) => run(args).map(|()| true),
        Command::Audit(args) => audit(&args),
        Command::Key { data_dir } => print_key(data_dir).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let color = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(color);
    // Whoever wraps this program may have set up logging already.
    let _ = logs.with_env_filter(filter).try_init();
}

fn print_key(data_dir: PathBuf) -> Result<()> {
    let key = Home::at(data_dir)?.key()?;
    say(&serde_json::json!({ "ledger_key": key.public() }))
}

/// Whether nothing is wrong.
fn audit(args: &Audit) -> Result<bool> {
    let (home, genesis) = Home::existing(&args.data_dir)?;
    let mut said = Instant::now();
    let report = super::audit::audit(&home.journal(), genesis, &mut |right| {
        if said.elapsed() >= PROGRESS {
            said = Instant::now();
            tracing::info!(
                blocks = right.blocks,
                transactions = right.transactions,
                "right so far"
            );
        }
    })?;
    if args.json {
        say(&serde_json::to_value(&report).context("the report cannot be written")?)?;
    } else {
        print_report(&report)?;
    }
    Ok(report.is_right())
}

fn print_report(report: &AuditReport) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (right, height) = (report.right, report.height);
    writeln!(out, "ledger {}", report.ledger)?;
    writeln!(out, "{} blocks with {} transactions are right", right.blocks, right.transactions)?;
    writeln!(out, "digest of all writes up to block {height}: {}", report.writes)?;
    for held in &report.held {
        let Held { asset, accounts, escrow } = held;
        writeln!(out, "asset {asset}: {accounts} in accounts, {escrow} in channels, as issued")?;
    }
    if let Some(Torn { file, offset, reason }) = &report.torn_tail {
        let file = file.display();
        writeln!(
            out,
            "the tail is torn: {file}, byte {offset}: {reason}. The last block was cut off by a \
             crash or damaged, or is being written right now"
        )?;
    }
    for Contradiction { hub, first, other } in &report.contradictions {
        writeln!(
            out,
            "hub {hub} signed two trees of what it owes as of block {}: one in block {}, another \
             in block {}",
            first.1.as_of, first.0, other.0
        )?;
    }
    if let Some(wrong) = &report.wrong {
        writeln!(out, "block {} is wrong: {}", wrong.block, wrong.reason)?;
        if let (Some(file), Some(offset)) = (&wrong.file, wrong.offset) {
            writeln!(out, "the damage is in {}, byte {offset}", file.display())?;
        }
    }
    out.flush().context("cannot write to stdout")
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").context("cannot write to stdout")?;
    out.flush().context("cannot write to stdout")
}

fn run(args: Run) -> Result<()> {
    let home = Home::at(args.data_dir)?;
    let key = home.key()?;
    let given = args.genesis.as_deref().map(read_genesis).transpose()?;
    let genesis = home.genesis(given, args.development, &key)?;
    let producer = home.open(genesis, key, ProducerConfig::default())?;
    let ledger = producer.ledger().id();
    let service = Service::start(producer, Pace::Clock).context("cannot start a thread")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(serve(service, args.listen, ledger))
}

async fn serve(service: Service, listen: SocketAddr, ledger: LedgerId) -> Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?,
    );
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let router = routes(service.handle()).fallback(no_route);
    let (drain, drained) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = drained.await;
    });
    let server = tokio::spawn(server.into_future());
    say(&serde_json::json!({ "listening": format!("http://{address}"), "ledger": ledger }))?;
    tracing::info!(%address, %ledger, "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    // First the ledger, which ends every request that waits for a block; then the server.
    service.stop().await;
    let _ = drain.send(());
    match tokio::time::timeout(DRAIN, server).await {
        Ok(served) => served.context("the server failed")?.context("the server failed"),
        Err(_) => Ok(()),
    }
}
