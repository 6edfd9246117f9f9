//! `cargo run --release -p tests --bin load -- --profile batch`: what a hub carries, and that it
//! loses nothing. Build the hub first: `cargo build --release -p hub`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use tests::load::{Options, run};

/// A payment was lost, the books do not add up, or a bound is broken.
const LOST: u8 = 1;
/// There is nothing to report.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    // Before all else: a run of ten minutes is not to end at a page that can't be written.
    let page = match options.html.as_ref().map(std::fs::File::create).transpose() {
        Ok(page) => page,
        Err(error) => {
            let path = options.html.unwrap_or_default();
            eprintln!("error: cannot write {}: {error}", path.display());
            return ExitCode::from(FAILED);
        }
    };
    let began = Instant::now();
    let mut say = |what: &str| eprintln!("{:7.1} s: {what}", began.elapsed().as_secs_f64());
    let report = match run(&options, &mut say) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(FAILED);
        }
    };
    let printed = if options.json {
        serde_json::to_string_pretty(&report).unwrap_or_default()
    } else {
        report.text()
    };
    print(&printed);
    if !report.is_good() {
        eprintln!("error: a payment was lost, the books do not add up, or a bound is broken");
    }
    let written = page.map_or(Ok(()), |mut page| page.write_all(report.html().as_bytes()));
    if let Err(error) = &written {
        eprintln!("error: cannot write the page: {error}");
    }
    match (report.is_good(), written) {
        (false, _) => ExitCode::from(LOST),
        (true, Err(_)) => ExitCode::from(FAILED),
        (true, Ok(())) => ExitCode::SUCCESS,
    }
}

#[expect(clippy::print_stdout, reason = "the report is what the program is for")]
fn print(text: &str) {
    println!("{text}");
}
