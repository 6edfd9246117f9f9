//! A tower with many channels, and many closes at once: after `cargo build -p tests --bins`,
//! `cargo run -p tests --bin towers`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::process::Programs;
use tests::tower_load::{Plan, Report, run};

/// So many channels are guarded by one tower, and some of them closed in the same moment by a hub
/// that brings nothing, on a ledger with the numbers for real money. Fails if an answer is in a block
/// only in the second half of the challenge window.
#[derive(Parser)]
struct Args {
    /// How many channels.
    #[arg(long, default_value_t = 10_000)]
    channels: u64,
    /// How many of them are closed.
    #[arg(long, default_value_t = 1_000)]
    closes: u64,
    /// How much later than it was said the tower hears what the ledger answers, in milliseconds.
    #[arg(long, default_value_t = 0)]
    ledger_delay_ms: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let started = Instant::now();
    let mut say = |what: &str| eprintln!("{:7.1} s: {what}", started.elapsed().as_secs_f64());
    let Some(programs) = Programs::beside_this_one() else {
        eprintln!("build the programs first: cargo build -p tests --bins");
        return ExitCode::FAILURE;
    };
    let Ok(dir) = tempfile::tempdir() else {
        eprintln!("there is no room for a temporary directory");
        return ExitCode::FAILURE;
    };
    let ledger_delay = Duration::from_millis(args.ledger_delay_ms);
    let plan = Plan { channels: args.channels, closes: args.closes, ledger_delay };
    let report = run(&programs, dir.path(), plan, &mut say);
    print(&plan, &report);
    let in_time = report.blocks.iter().all(|blocks| *blocks <= report.window / 2);
    if in_time { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(plan: &Plan, report: &Report) {
    let channels = plan.channels as f64;
    let each = |bytes: u64| bytes as f64 / channels;
    let [tenth, all, newer] = report.held;
    eprintln!(
        "memory: {:.0} bytes per channel ({} KiB resident with {} channels, {} KiB with {}, {} KiB \
         with a newer answer for each)",
        report.resident_per_channel(plan),
        tenth.resident >> 10,
        plan.channels / 10,
        all.resident >> 10,
        plan.channels,
        newer.resident >> 10
    );
    eprintln!(
        "disk: a file of {:.0} bytes per channel, {:.0} in whole blocks; {:.0} with a newer answer",
        each(all.files),
        each(all.on_disk),
        each(newer.on_disk)
    );
    let rate = channels * 0.9 / report.handed_in.as_secs_f64();
    eprintln!("handed in and synced: {rate:.0} answers/s");
    let mut blocks = report.blocks.clone();
    blocks.sort_unstable();
    let middle = blocks.get(blocks.len() / 2).copied().unwrap_or(0);
    let last = blocks.last().copied().unwrap_or(0);
    eprintln!(
        "{} closes at once: the answer is {middle} blocks after the close in the middle, {last} at \
         most, of a window of {}; the tower saw the last one there after {:.1} s",
        blocks.len(),
        report.window,
        report.took.as_secs_f64()
    );
}
