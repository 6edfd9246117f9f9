//! Real processes on a real disk, struck again and again:
//! `cargo run --release -p tests --bin crash-lab -- --rounds 200`, after
//! `cargo build --release -p tests --bins`.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tests::crash_lab::tail::{Image, quick_dir};
use tests::crash_lab::{Plan, leave_journals, run};
use tests::process::Programs;

/// Kills, hangs and damages a hub and two wallets under load, round by round; then cuts and flips the
/// journals of hub and ledger at every byte of their last 64 KiB. Fails if anything that was
/// acknowledged is missing, a unit is not where it belongs, or a hub neither starts nor says what to do.
#[derive(Parser)]
struct Args {
    /// How many rounds.
    #[arg(long, default_value_t = 60)]
    rounds: u64,
    /// What is drawn follows from it.
    #[arg(long)]
    seed: Option<u64>,
    /// Towns side by side.
    #[arg(long, default_value_t = 2)]
    towns: u64,
    /// Damages every so many bytes of the journals; 0 leaves them alone.
    #[arg(long, default_value_t = 1)]
    step: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(programs) = Programs::beside_this_one() else {
        eprintln!("build the programs first: cargo build --release -p tests --bins");
        return ExitCode::FAILURE;
    };
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("--seed {seed}");
    let tails = if args.step > 0 { damage(&programs, args.step) } else { Ok(()) };
    if let Err(wrong) = &tails {
        eprintln!("FAILED {wrong}");
    }
    let plan = Plan { rounds: args.rounds, seed, towns: args.towns };
    let report = run(&programs, plan, &|line| eprintln!("{line}"));
    for wrong in &report.failed {
        eprintln!("FAILED {wrong}");
    }
    for (blow, count) in &report.blows {
        eprintln!("{count:>6} {blow:?}");
    }
    eprintln!("{}", report.changes());
    let failed = report.failed.len() + usize::from(tails.is_err());
    eprintln!("refused to start until mended {}", report.refused);
    eprintln!(
        "rounds {}, failed {failed}, payments {}, kills {}",
        report.rounds, report.payments, report.kills
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The journals of a hub and its ledger, at every byte of their ends.
fn damage(programs: &Programs, step: usize) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    for (journal, kind) in leave_journals(programs, dir.path()) {
        damage_one(&journal, kind, step).map_err(|wrong| format!("{}: {wrong}", kind.name()))?;
    }
    Ok(())
}

fn damage_one(journal: &Path, kind: settlement::journal::Kind, step: usize) -> Result<(), String> {
    let image = Image::of(journal, kind).map_err(|error| error.to_string())?;
    let quick = quick_dir().map_err(|error| error.to_string())?;
    let tried = image.try_all(quick.path(), step)?;
    eprintln!(
        "journal of the {}: {} bytes in {} groups; {} cuts, {} flips, {} of them refused by name and \
         {} taken for a torn tail",
        kind.name(),
        image.bytes(),
        image.groups(),
        tried.cuts,
        tried.flips,
        tried.refused,
        tried.torn
    );
    Ok(())
}
