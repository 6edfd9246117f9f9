//! The `wallet` command: a wallet with one hub, in a directory of its own.
//!
//! With `--json` each command prints exactly one object on standard output (`invoice --wait` a
//! second one when it ends, `listen` one per event, `stream` one a second and a last one): amounts are decimal strings, bytes lower-case
//! hex. An error is `{"error": {"code", "title", "detail"}}`. Without, it prints a line or a small
//! table, and errors as one line on standard error. Logs go to standard error, and only if
//! `RUST_LOG` asks for them.
//!
//! Every command but `init` also follows the ledger to its newest block and answers what it finds
//! there before it ends: a wallet that slept while somebody closed its channel is protected by
//! whichever command wakes it within the challenge period.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 usage, 3 hub, ledger or tower out of reach.

mod args;
mod home;
mod lines;
mod run;
mod session;
mod show;
mod socket;
mod stream;
mod watchtower;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use settlement::reject::Code;
use tokio::sync::mpsc;

use crate::client::ClientError;
use crate::wallet::AnswerTerms;
use args::{Args, Command, Watchtower};
use home::{Home, Owned};
use lines::{Line, Lines, Printer};
use session::Session;

/// How many lines may wait to be printed.
const LINES_MAX: usize = 256;

/// What the process ends with.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const OUT_OF_REACH: u8 = 3;

/// How the command line is understood, for whoever checks what is written about it.
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // A program that embeds this one may have logs of its own already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(settlement::terminal::log)
        .try_init();
    let printer = Printer { json: args.json };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(execute(args, printer)),
        Err(error) => Err(ClientError::new(Code::Internal, format!("no runtime: {error}"))),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            printer.error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

/// What a refused command line comes to.
fn usage(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = std::env::args_os().any(|arg| arg == "--json");
    if json && !asked {
        let text = error.to_string();
        // The first paragraph says what is wrong; usage and tips are for people.
        let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let detail = first.split_whitespace().collect::<Vec<_>>().join(" ");
        Printer { json }.error(&ClientError::new(Code::BadArgument, detail));
    } else {
        let printed = error.print().is_ok();
        return ExitCode::from(match (asked, printed) {
            (true, true) => DONE,
            (true, false) => FAILED,
            (false, _) => USAGE,
        });
    }
    ExitCode::from(USAGE)
}

fn exit_code(error: &ClientError) -> u8 {
    match error.code {
        Code::HubUnavailable
        | Code::LedgerUnavailable
        | Code::TowerUnavailable
        | Code::ShuttingDown
        | Code::Draining => OUT_OF_REACH,
        Code::BadArgument => USAGE,
        _ => FAILED,
    }
}

/// Runs a command and prints what it says; the exit code of one that said all itself.
async fn execute(mut args: Args, printer: Printer) -> Result<u8, ClientError> {
    args.command = args.command.anywhere()?;
    if let Command::Watchtower { command: command @ Watchtower::Run { .. } } = &args.command {
        return watchtower::run(&args, command, printer).await.map(|()| DONE);
    }
    let home = Home::at(args.home()?);
    if let Command::Init { mnemonic_file } = &args.command {
        home::init(&home, &args, mnemonic_file.as_deref(), |line| printer.line(line))?;
        return Ok(DONE);
    }
    let (lines, mut waiting) = mpsc::channel::<Line>(LINES_MAX);
    let lines = Lines::new(lines);
    let running = async {
        match home.own()? {
            Owned::Here(owned) => here(&home, owned, &args, lines).await,
            Owned::Elsewhere => socket::forward(&home, &args.command, lines).await,
        }
    };
    let spinner = printer.spinner(&args.command);
    let printing = async {
        let (mut failed, mut printed) = (false, Ok(()));
        while let Some(line) = waiting.recv().await {
            failed = line.failed;
            // Whatever becomes of the words, what was begun goes on.
            printed = printed.and(if line.live {
                printer.live(&line, &spinner)
            } else {
                spinner.suspend(|| printer.line(&line))
            });
        }
        printed.map(|()| failed)
    };
    let (ended, failed) = tokio::join!(running, printing);
    spinner.finish_and_clear();
    ended.and(failed).map(|failed| if failed { FAILED } else { DONE })
}

/// Runs a command in this process, which owns the home.
async fn here(
    home: &Home,
    owned: home::Lock,
    args: &Args,
    lines: Lines,
) -> Result<(), ClientError> {
    let session = Session::open(home, args).await?;
    let ended = match &args.command {
        Command::Listen { tower, invoices_up_to } => {
            let terms = invoices_up_to.map(AnswerTerms::up_to);
            socket::listen(home, &session, (tower.as_deref(), terms), lines).await
        }
        command => run::run(&session, command, &lines).await,
    };
    if let Err(error) = session.close().await {
        Printer::warn(&format!("{}; run `wallet status` again soon", error.detail));
    }
    drop(owned);
    ended
}
