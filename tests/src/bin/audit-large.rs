//! Makes a ledger with a long history, audits it, and flips bytes of its journal:
//! `cargo run --release -p tests --bin audit-large`.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::ledger::audit::Auditor;
use settlement::ledger::home::Home;
use tests::long_ledger::{Flips, Plan, make};

/// A ledger of many blocks and transactions is made by the real producer, audited on one thread
/// and on all cores, and damaged byte by byte: each flipped byte must be found and located.
#[derive(Parser)]
struct Args {
    /// How many blocks.
    #[arg(long, default_value_t = 1_000)]
    blocks: u64,
    /// How many transactions in them.
    #[arg(long, default_value_t = 100_000)]
    transactions: u64,
    /// How many bytes at random places are flipped, one after the other.
    #[arg(long, default_value_t = 1_000)]
    flips: usize,
    /// How long a region is of which every byte is flipped, and how much of the last group.
    #[arg(long, default_value_t = 2_048)]
    region: u64,
    /// Fixes the history and the places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to make it, and leave it; a temporary directory if not given.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.data_dir.clone().unwrap_or_else(|| temporary.path().join("ledger"));
    made(&dir, &args)?;
    let cores = std::thread::available_parallelism()?;
    let alone = audited(&dir, NonZero::<usize>::MIN)?;
    if cores.get() > 1 {
        let together = audited(&dir, cores)?;
        eprintln!("{cores} workers against one: {:.2} times as fast", alone / together);
    }
    damaged(&dir, &args)
}

fn made(dir: &Path, args: &Args) -> Result<()> {
    let plan = Plan {
        blocks: args.blocks,
        transactions: args.transactions,
        wallets: 1_000,
        opened: 8,
        segment_bytes: 8 << 20,
    };
    let mut said = Instant::now();
    let made = make(dir, plan, args.seed, &mut |height| {
        if said.elapsed().as_secs() >= 1 {
            said = Instant::now();
            eprintln!("made {height} blocks");
        }
    })?;
    let took = made.took.as_secs_f64();
    eprintln!("made {} blocks with {} transactions in {took:.1} s", made.blocks, made.transactions);
    Ok(())
}

/// How many seconds the audit took.
fn audited(dir: &Path, workers: NonZero<usize>) -> Result<f64> {
    let (home, genesis) = Home::existing(dir)?;
    let mut auditor = Auditor::new(genesis)?;
    auditor.limit_workers(workers);
    let started = Instant::now();
    let mut said = started;
    let report = auditor.audit(&home.journal(), &mut |right| {
        if said.elapsed().as_secs() >= 1 {
            said = Instant::now();
            eprintln!("audited {} blocks", right.blocks);
        }
    });
    let took = started.elapsed().as_secs_f64();
    ensure!(report.is_right() && report.torn_tail.is_none(), "{report:?}");
    let (blocks, transactions) = (report.right.blocks, report.right.transactions);
    eprintln!(
        "audited {blocks} blocks with {transactions} transactions in {took:.2} s with {workers} \
         worker(s): {:.0} blocks/s, {:.0} transactions/s",
        blocks as f64 / took,
        transactions as f64 / took
    );
    Ok(took)
}

fn damaged(dir: &Path, args: &Args) -> Result<()> {
    let mut flips = Flips::new(dir)?;
    let (bytes, tail) = (flips.bytes(), flips.last_group());
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let region = rng.random_range(0..tail.saturating_sub(args.region).max(1));
    let mut places: Vec<u64> = (0..args.flips).map(|_| rng.random_range(0..bytes)).collect();
    places.extend(region..(region + args.region).min(tail));
    places.extend(tail..(tail + args.region).min(bytes));
    places.sort_unstable();
    places.dedup();
    let (started, count) = (Instant::now(), places.len());
    let mut said = started;
    for (done, at) in places.into_iter().enumerate() {
        flips.flip(at)?;
        if said.elapsed().as_secs() >= 10 {
            said = Instant::now();
            eprintln!("flipped {done} of {count} bytes");
        }
    }
    let (report, found) = flips.finish()?;
    eprintln!(
        "flipped {count} of {bytes} bytes in {:.1} s: {} found and located, {} in the last group a \
         torn tail; with all as it was, {} blocks are right",
        started.elapsed().as_secs_f64(),
        found.located,
        found.torn,
        report.right.blocks
    );
    Ok(())
}
