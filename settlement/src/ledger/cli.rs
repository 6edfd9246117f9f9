//! The `ledger` program: the settlement ledger in a process of its own.

mod audit;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::home::{Home, read_genesis};
use super::http::{no_route, routes};
use super::producer::ProducerConfig;
use super::serve::{ANSWERS_BYTES, Bounds, check_address, serve};
use super::service::{Pace, Service};
use super::store::{CHECKPOINT_BLOCKS, CHECKPOINT_BLOCKS_DEFAULT};
use crate::types::LedgerId;

pub use audit::{AuditOptions, audit_home};

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
    Audit(audit::Audit),
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
    /// Serve on an address that others can reach, with no TLS in this process.
    #[arg(long)]
    allow_public: bool,
    /// The most sockets at once; when there are more, the one that has been there longest is closed.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    sockets: u32,
    /// How long the head of a request may take, a connection idle between two, and take next to
    /// nothing of its answer: milliseconds.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..))]
    head_ms: u64,
    /// Blocks from one checkpoint of the index to the next, at most: more of them make a restart longer.
    #[arg(
        long,
        default_value_t = CHECKPOINT_BLOCKS_DEFAULT,
        value_parser = clap::value_parser!(u64).range(CHECKPOINT_BLOCKS),
    )]
    checkpoint_blocks: u64,
}

impl Run {
    fn bounds(&self) -> Bounds {
        let sockets = usize::try_from(self.sockets).unwrap_or(usize::MAX);
        let head = Duration::from_millis(self.head_ms);
        Bounds { sockets, head, answers: ANSWERS_BYTES }
    }
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
        Command::Audit(args) => audit::run(&args),
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
    let logs = tracing_subscriber::fmt().with_writer(crate::terminal::log).with_ansi(color);
    // Whoever wraps this program may have set up logging already.
    let _ = logs.with_env_filter(filter).try_init();
}

fn print_key(data_dir: PathBuf) -> Result<()> {
    let key = Home::at(data_dir)?.key()?;
    say(&serde_json::json!({ "ledger_key": key.public() }))
}

fn say(line: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").context("cannot write to stdout")?;
    out.flush().context("cannot write to stdout")
}

fn run(args: Run) -> Result<()> {
    check_address("--listen", args.listen, args.allow_public)?;
    let bounds = args.bounds();
    let home = Home::at(args.data_dir)?;
    let key = home.key()?;
    let given = args.genesis.as_deref().map(read_genesis).transpose()?;
    let genesis = home.genesis(given, args.development, &key)?;
    let config = ProducerConfig::checkpoint_each(args.checkpoint_blocks);
    let producer = home.open(genesis, key, config)?;
    let ledger = producer.ledger().id();
    let service = Service::start(producer, Pace::Clock).context("cannot start a thread")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(serve_until_told(service, args.listen, bounds, ledger))
}

async fn serve_until_told(
    service: Service,
    listen: SocketAddr,
    bounds: Bounds,
    ledger: LedgerId,
) -> Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?,
    );
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let router = routes(service.handle()).fallback(no_route);
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(serve(listener, router, bounds, stopped, DRAIN));
    say(&serde_json::json!({ "listening": format!("http://{address}"), "ledger": ledger }))?;
    tracing::info!(%address, %ledger, "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    // First the ledger, which ends every request that waits for a block; then the server.
    service.stop().await;
    let _ = stop.send(true);
    server.await.context("the server failed")
}
