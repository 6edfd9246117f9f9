//! `hub run`: a process that serves until it is told to stop.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use settlement::journal::{FileJournal, Journal};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::run::start_over;

/// Runs a hub in this process.
pub(super) fn run(config: Config) -> Result<ExitCode> {
    run_over(config, |journal| Box::new(journal))
}

/// What `hub run` does, over another journal: see [`start_over`].
///
/// # Errors
/// As [`start_over`], and when the process can't be set up.
pub fn run_over(
    config: Config,
    over: impl FnOnce(FileJournal) -> Box<dyn Journal>,
) -> Result<ExitCode> {
    log_to_stderr(&config.log);
    if config.batch_scheduling {
        let _ = crate::scheduling::finish_turns();
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(serve(config, over))
}

/// Another process has taken the hub's lease: this one must not be started again by itself.
const FENCED: u8 = 4;

async fn serve(
    config: Config,
    over: impl FnOnce(FileJournal) -> Box<dyn Journal>,
) -> Result<ExitCode> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?,
    );
    let hub = start_over(config, over).await?;
    let line = serde_json::json!({
        "listening": hub.url(),
        "admin": hub.admin_url(),
        "hub": hub.key(),
        "ledger": hub.ledger_id(),
    });
    say(&line.to_string())?;
    let fenced = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        why = hub.fenced() => Some(why),
    };
    tracing::info!("stopping");
    hub.stop().await;
    let Some(why) = fenced else { return Ok(ExitCode::SUCCESS) };
    complain(&anyhow::anyhow!(why));
    Ok(ExitCode::from(FENCED))
}

/// One line on stdout.
pub(super) fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").context("cannot write to stdout")?;
    out.flush().context("cannot write to stdout")
}

/// One line on stderr. If that is closed there is nobody to tell.
pub(super) fn complain(error: &anyhow::Error) {
    let error = settlement::terminal::lines(&format!("{error:#}"));
    let _ = writeln!(std::io::stderr(), "error: {error}");
}

/// Something to know that is no error, on stderr.
pub(super) fn remark(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// What happens, on stderr; `RUST_LOG` wins over `filter`.
pub(super) fn log_to_stderr(filter: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let logs = tracing_subscriber::fmt().with_writer(settlement::terminal::log);
    let logs = logs.with_ansi(std::io::stderr().is_terminal());
    // Whoever wraps this program may have set up logging already.
    let _ = logs.with_env_filter(filter).try_init();
}
