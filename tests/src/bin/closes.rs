//! Everybody closes at once: `cargo run --release -p tests --bin closes -- --channels 10000`; with
//! the programs in processes of their own after `cargo build --release -p tests --bins`, and
//! `--processes`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::closes::{Plan, Report, run, run_processes};
use tests::process::Programs;

/// So many wallets of one hub close in the same moment, half of them with an old proof, at the
/// numbers of a ledger for real money. Fails if the hub's last answer takes more than half of the
/// challenge window, or anybody is paid out wrongly.
#[derive(Parser)]
struct Args {
    /// How many channels.
    #[arg(long, default_value_t = 10_000)]
    channels: usize,
    /// The hub's shards, in simulated time.
    #[arg(long, default_value_t = 2)]
    shards: u16,
    /// Start a ledger and a hub, with a block each second, and go as far as the last answer; else
    /// time is simulated, and everybody is paid out.
    #[arg(long)]
    processes: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let started = Instant::now();
    let mut say = |what: &str| eprintln!("{:7.1} s: {what}", started.elapsed().as_secs_f64());
    let report = if args.processes {
        let Some(programs) = Programs::beside_this_one() else {
            eprintln!("build the programs first: cargo build --release -p tests --bins");
            return ExitCode::FAILURE;
        };
        let Ok(dir) = tempfile::tempdir() else {
            eprintln!("there is no room for a temporary directory");
            return ExitCode::FAILURE;
        };
        run_processes(&programs, dir.path(), args.channels, &mut say)
    } else {
        run(Plan { channels: args.channels, shards: args.shards }, &mut say)
    };
    say("done");
    print(&report);
    if report.took() <= report.window / 2 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &Report) {
    let (first, last) = report.closes;
    eprintln!(
        "{} channels closed in blocks {first} to {last}, {} of them with a proof that leaves out \
         what was paid since",
        report.closed, report.cheated
    );
    eprintln!(
        "the last answer was in block {}: {} blocks after the first close, of a window of {}",
        report.answered,
        report.took(),
        report.window
    );
    if let Some((paid, height)) = report.paid_out {
        eprintln!("{paid} were paid out right, the last in block {height}");
    }
    if let (Some(hub), Some(ledger)) = (report.hub_block, report.ledger_block) {
        let (hub, ledger) = (hub.as_secs_f64() * 1e3, ledger.as_secs_f64() * 1e3);
        eprintln!(
            "the longest block took the hub's shards {hub:.0} ms and the ledger {ledger:.0} ms"
        );
    }
}
