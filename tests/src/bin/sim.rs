//! Runs seeded worlds: `cargo run --release -p tests --bin sim -- --seeds 10000`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use tests::sim::{Plan, Report, run};

/// Random payments, disconnections and crashes at every write, until every unit is where the rules
/// say; a seed that fails prints its story.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many random things happen in each world before it heals.
    #[arg(long, default_value_t = 150)]
    events: u32,
    /// Worlds at the same time; 0 takes as many as there are cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Default)]
struct Sum {
    report: Report,
    failed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = if args.threads == 0 { cores } else { args.threads };
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= args.seeds {
                        return;
                    }
                    one(args.seed + at, args.events, &sum);
                }
            });
        }
    });
    let Ok(sum) = sum.into_inner() else { return ExitCode::FAILURE };
    let Report { settled, failed, crashes, disconnects, thefts, restored, forgotten, blurred } =
        sum.report;
    eprintln!(
        "payments settled {settled}, failed {failed}; connections broken {disconnects}, thefts {thefts}"
    );
    eprintln!(
        "old copies restored {restored}; payments whose payer a hub forgot {forgotten}, \
         wallets not held to the unit {blurred}"
    );
    eprintln!("seeds {}, failed {}, payments {settled}, crashes {crashes}", args.seeds, sum.failed);
    if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, events: u32, sum: &Mutex<Sum>) {
    let plan = Plan { seed, events, crash_at_write: None, faults: true };
    let result = run(plan);
    let Ok(mut sum) = sum.lock() else { return };
    match result {
        Ok(report) => {
            sum.report.settled += report.settled;
            sum.report.failed += report.failed;
            sum.report.crashes += report.crashes;
            sum.report.disconnects += report.disconnects;
            sum.report.thefts += report.thefts;
            sum.report.restored += report.restored;
            sum.report.forgotten += report.forgotten;
            sum.report.blurred += report.blurred;
        }
        Err(story) => {
            sum.failed += 1;
            eprintln!("{story}");
        }
    }
}
