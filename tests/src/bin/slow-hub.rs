//! `hub run` on a slow disk: each fdatasync of the hub's journal takes some milliseconds more.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hub::config::{Source, load};
use tests::slow_disk::SlowJournal;

/// The hub's settings are those of the file.
#[derive(Parser)]
struct Args {
    /// `run`, as the hub's own command.
    #[arg(value_parser = ["run"])]
    command: String,
    /// A TOML file with settings.
    #[arg(long)]
    config: PathBuf,
    /// Milliseconds on top of each fdatasync.
    #[arg(long)]
    fsync_delay_ms: u64,
}

fn main() -> ExitCode {
    let Args { command: _, config, fsync_delay_ms } = Args::parse();
    let source = Source { file: Some(config), ..Source::default() };
    let delay = Duration::from_millis(fsync_delay_ms);
    let ended = load(&source).and_then(|config| {
        hub::cli::run_over(config, |journal| Box::new(SlowJournal::new(journal, delay)))
    });
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
