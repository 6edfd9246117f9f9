//! Runs the simulator: `cargo run --release -p tests --bin sim -- --seeds 10000`, or for a time:
//! `--minutes 120`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tests::sim::{Plan, Report, run, shrink};

const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// A hub, wallets and a ledger in one thread, on a network and on disks that fail, with liars among
/// them, until every unit is where the rules say. A seed that fails prints the shortest story that
/// was found to fail in the same way.
#[derive(Parser)]
struct Args {
    /// How many seeds; with `--minutes`, at most so many.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how long to start new seeds.
    #[arg(long)]
    minutes: Option<f64>,
    /// How many random things happen in each world before it heals.
    #[arg(long, default_value_t = 150)]
    events: u32,
    /// Worlds at the same time; 0 takes as many as there are cores.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// With this rule switched off, which must be found (`settlement::rules`).
    #[cfg(feature = "sabotage")]
    #[arg(long)]
    without: Option<String>,
    /// How many failures are made short.
    #[arg(long, default_value_t = 3)]
    stories: u64,
}

#[derive(Default)]
struct Sum {
    report: Report,
    seeds: u64,
    failed: u64,
    /// When it was last told how far this is.
    told: Option<Instant>,
}

impl Sum {
    fn line(&self) -> String {
        let Sum { report, seeds, failed, .. } = self;
        let (payments, crashes) = (report.settled, report.crashes);
        format!("seeds {seeds}, failed {failed}, payments {payments}, crashes {crashes}")
    }

    /// Now and then, so that a long run that ends early has said what it did.
    fn tell_of_progress(&mut self) {
        let told = self.told.get_or_insert_with(Instant::now);
        if told.elapsed() >= PROGRESS_EVERY {
            *told = Instant::now();
            eprintln!("so far: {}", self.line());
        }
    }
}

impl Args {
    fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(if self.minutes.is_some() { u64::MAX } else { 1_000 })
    }

    fn until(&self) -> Option<Instant> {
        let minutes = self.minutes?;
        Instant::now().checked_add(Duration::from_secs_f64(minutes * 60.0))
    }

    fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        if self.threads == 0 { cores } else { self.threads }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    tell_of_panics();
    #[cfg(feature = "sabotage")]
    if let Some(wanted) = &args.without {
        let mut rules = settlement::rules::Rule::ALL.into_iter();
        let rule = rules.find(|rule| format!("{rule:?}") == *wanted);
        let Some(rule) = rule else {
            eprintln!("error: there is no rule {wanted}, but {:?}", settlement::rules::Rule::ALL);
            return ExitCode::from(2);
        };
        settlement::rules::switch_off(Some(rule));
    }
    let (next, sum, until) = (AtomicU64::new(0), Mutex::new(Sum::default()), args.until());
    std::thread::scope(|scope| {
        for _ in 0..args.threads() {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let over = until.is_some_and(|until| Instant::now() >= until);
                    if at >= args.seeds() || over {
                        return;
                    }
                    one(&Plan::of(args.seed + at, args.events), args.stories, &sum);
                }
            });
        }
    });
    let Ok(sum) = sum.into_inner() else { return ExitCode::FAILURE };
    print(&sum);
    if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was done, and the last line.
#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(sum: &Sum) {
    let report = &sum.report;
    print!("{}", report.counts);
    println!("{:>12}  payments settled; {} failed", report.settled, report.failed);
    println!("{:>12}  steps of streams settled", report.steps);
    println!(
        "{:>12}  payments whose payer a hub forgot; wallets not held to the unit {}",
        report.forgotten, report.blurred
    );
    println!(
        "{:>12}  payments after all had healed, in {} of {} worlds of honest sides (in the others a \
         channel was closed); healed in {} blocks at most",
        report.again, report.open, report.honest, report.healed_in
    );
    println!("{:>12}  payments after all had healed from a loss", report.again_after_loss);
    println!("{}", sum.line());
}

/// A program that stops itself is a failure like any other; which seed it was is all that can be
/// told where a panic ends the process.
fn tell_of_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let seed = SEED.with(std::cell::Cell::get);
        eprintln!("seed {seed}: a part of the world stopped itself");
        told(panic);
    }));
}

thread_local! {
    static SEED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn one(plan: &Plan, stories: u64, sum: &Mutex<Sum>) {
    SEED.with(|seed| seed.set(plan.seed));
    let result = run(plan);
    let Ok(mut held) = sum.lock() else { return };
    held.seeds += 1;
    match result {
        Ok(report) => {
            held.report.add(&report);
            held.tell_of_progress();
        }
        Err(wrong) => {
            held.failed += 1;
            let tell = held.failed <= stories;
            drop(held);
            eprintln!("seed {}: {}", plan.seed, wrong.what);
            if tell && let Some((shorter, wrong)) = shrink(plan) {
                let events = shorter.only.as_ref().map_or(0, Vec::len);
                eprintln!(
                    "seed {}, {events} of {} events: {}\n{}",
                    plan.seed, plan.events, wrong.what, wrong.story
                );
            }
        }
    }
}
