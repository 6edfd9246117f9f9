//! `cargo run --release -p tests --bin load -- --profile batch`: what a hub carries, and that it
//! loses nothing. Build the hub first: `cargo build --release -p hub`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::load::{Options, run};

/// A payment was lost, or the books do not add up.
const LOST: u8 = 1;
/// There is nothing to report.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    let began = Instant::now();
    let mut say = |what: &str| eprintln!("{:7.1} s: {what}", began.elapsed().as_secs_f64());
    let report = match run(&options, &mut say) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(FAILED);
        }
    };
    if let Some(path) = &options.html
        && let Err(error) = std::fs::write(path, report.html())
    {
        eprintln!("error: cannot write {}: {error}", path.display());
        return ExitCode::from(FAILED);
    }
    let printed = if options.json {
        serde_json::to_string_pretty(&report).unwrap_or_default()
    } else {
        report.text()
    };
    print(&printed);
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::from(LOST) }
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}
