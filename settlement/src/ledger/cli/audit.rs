//! `ledger audit`.

use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::audit::{AuditReport, Auditor, Contradiction, Held, Owed, Progress, Torn};
use super::super::home::Home;
use super::say;

/// How often an audit says how far it is.
const EVERY: Duration = Duration::from_secs(1);
/// The same on a terminal, where it is one line.
const EVERY_DRAWN: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(super) struct Audit {
    /// Where the ledger lives.
    #[arg(long)]
    data_dir: PathBuf,
    #[command(flatten)]
    options: AuditOptions,
}

/// How to audit, and how to say what was found.
#[derive(Args, Clone, Copy, Debug)]
pub struct AuditOptions {
    /// Print what was found as one JSON object.
    #[arg(long)]
    json: bool,
    /// How many threads check signatures and hash chains; one per core if not given.
    #[arg(long)]
    workers: Option<NonZero<usize>>,
}

/// Whether nothing is wrong.
pub(super) fn run(args: &Audit) -> Result<bool> {
    audit_home(&args.data_dir, &args.options)
}

/// Replays every block of the ledger in this directory and prints what was found, as `ledger audit`
/// does. Whether nothing is wrong.
///
/// # Errors
/// When there is no ledger, or its genesis can't be used.
pub fn audit_home(data_dir: &Path, options: &AuditOptions) -> Result<bool> {
    let (home, genesis) = Home::existing(data_dir)?;
    let mut auditor = Auditor::new(genesis)?;
    if let Some(most) = options.workers {
        auditor.limit_workers(most);
    }
    let mut watch = Watch::new();
    let report = auditor.audit(&home.journal(), &mut |right| watch.at(right));
    watch.end(&report.right);
    if options.json {
        say(&serde_json::to_value(&report).context("the report cannot be written")?)?;
    } else {
        print_report(&report)?;
    }
    Ok(report.is_right())
}

/// How far the audit is, on stderr: one line that moves on a terminal, a line each second elsewhere.
struct Watch {
    started: Instant,
    said: Instant,
    line: Option<ProgressBar>,
}

impl Watch {
    fn new() -> Watch {
        let now = Instant::now();
        let line = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::new_spinner().with_style(style)
        });
        Watch { started: now, said: now, line }
    }

    fn at(&mut self, right: &Progress) {
        let every = if self.line.is_some() { EVERY_DRAWN } else { EVERY };
        if self.said.elapsed() < every {
            return;
        }
        self.said = Instant::now();
        let Progress { blocks, transactions } = right;
        match &self.line {
            Some(line) => {
                line.set_message(format!("{blocks} blocks with {transactions} transactions"));
                line.tick();
            }
            None => tracing::info!(blocks, transactions, "right so far"),
        }
    }

    fn end(&self, right: &Progress) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
        let Progress { blocks, transactions } = right;
        let seconds = self.started.elapsed().as_secs_f64();
        tracing::info!(blocks, transactions, seconds, "audited");
    }
}

fn print_report(report: &AuditReport) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (right, height) = (report.right, report.height);
    writeln!(out, "ledger {}", report.ledger)?;
    writeln!(out, "{} blocks with {} transactions are right", right.blocks, right.transactions)?;
    writeln!(out, "digest of all writes up to block {height}: {}", report.writes)?;
    for held in &report.held {
        let Held { asset, accounts, escrow } = held;
        writeln!(out, "asset {asset}: {accounts} in accounts, {escrow} in channels, as issued")?;
    }
    for owed in &report.owed {
        print_owed(&mut out, owed)?;
    }
    for Owed { hub, liabilities, escrow, .. } in &report.uncovered {
        writeln!(
            out,
            "hub {hub} signed that it owes more than its channels hold: {} of {escrow} in asset {} \
             as of block {}",
            liabilities.total, liabilities.asset, liabilities.as_of
        )?;
    }
    if let Some(Torn { file, offset, reason }) = &report.torn_tail {
        let file = file.display();
        writeln!(
            out,
            "the tail is torn: {file}, byte {offset}: {reason}. The last block was cut off by a \
             crash or damaged, or is being written right now"
        )?;
    }
    for Contradiction { hub, first, other } in &report.contradictions {
        writeln!(
            out,
            "hub {hub} signed two trees of what it owes as of block {}: one in block {}, another \
             in block {}",
            first.1.as_of, first.0, other.0
        )?;
    }
    if let Some(wrong) = &report.wrong {
        writeln!(out, "block {} is wrong: {}", wrong.block, wrong.reason)?;
        if let (Some(file), Some(offset)) = (&wrong.file, wrong.offset) {
            writeln!(out, "the damage is in {}, byte {offset}", file.display())?;
        }
    }
    out.flush().context("cannot write to stdout")
}

fn print_owed(out: &mut impl Write, owed: &Owed) -> Result<()> {
    let Owed { hub, block, liabilities, escrow } = owed;
    writeln!(
        out,
        "hub {hub} owes {} of the {escrow} in its channels of asset {} as of block {}, signed in \
         block {block}",
        liabilities.total, liabilities.asset, liabilities.as_of
    )
    .context("cannot write to stdout")
}
