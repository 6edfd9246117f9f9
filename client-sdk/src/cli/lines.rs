//! What a command says, and how it is printed.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settlement::reject::Code;
use settlement::terminal;
use tokio::sync::mpsc;

use super::args::Command;
use crate::client::ClientError;

/// One thing that a command says, in both forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// The object that `--json` prints.
    pub(super) json: Value,
    /// The text that is printed without.
    pub(super) human: String,
    /// Whether it says that what was asked for failed.
    pub(super) failed: bool,
    /// Whether it says how something stands that goes on: people see the newest alone.
    #[serde(default)]
    pub(super) live: bool,
}

impl Line {
    pub(super) fn new(json: Value, human: impl Into<String>) -> Line {
        Line { json, human: human.into(), failed: false, live: false }
    }

    /// How something stands that goes on.
    pub(super) fn live(json: Value, human: impl Into<String>) -> Line {
        Line { live: true, ..Line::new(json, human) }
    }
}

/// Where a command says it.
#[derive(Clone)]
pub(super) struct Lines {
    sender: mpsc::Sender<Line>,
    gone: Arc<AtomicBool>,
}

impl Lines {
    pub(super) fn new(sender: mpsc::Sender<Line>) -> Lines {
        Lines { sender, gone: Arc::default() }
    }

    /// Says it; whoever listened may be gone.
    pub(super) async fn say(&self, line: Line) {
        let _ = self.sender.send(line).await;
    }

    /// Set once whoever listened is gone.
    pub(super) fn gone(&self) -> &Arc<AtomicBool> {
        &self.gone
    }
}

/// An error as `--json` prints it.
pub(super) fn error_json(error: &ClientError) -> Value {
    json!({
        "code": error.code.number(),
        "name": error.code.name(),
        "title": error.code.title(),
        "detail": error.detail,
    })
}

/// Prints for people or for scripts.
#[derive(Clone, Copy)]
pub(super) struct Printer {
    pub(super) json: bool,
}

impl Printer {
    /// A line on standard output.
    ///
    /// # Errors
    /// When it can't be written there: what was done is done, but whoever asked does not know.
    pub(super) fn line(self, line: &Line) -> Result<(), ClientError> {
        let text = match self.json {
            true => terminal::json(&line.json.to_string()),
            false => terminal::lines(&line.human),
        };
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(|error| {
            let detail = format!("cannot write to standard output: {error}");
            ClientError::new(Code::Internal, detail)
        })
    }

    /// How something stands that goes on: for scripts a line like any other, for people in the place
    /// of the last one, if they look at a terminal.
    ///
    /// # Errors
    /// As [`Printer::line`].
    pub(super) fn live(self, line: &Line, spinner: &ProgressBar) -> Result<(), ClientError> {
        if self.json {
            return self.line(line);
        }
        spinner.set_message(terminal::lines(&line.human));
        Ok(())
    }

    /// An error: an object on standard output, or one line on standard error.
    pub(super) fn error(self, error: &ClientError) {
        if self.json {
            let json = json!({ "error": error_json(error) });
            if self.line(&Line::new(json, "")).is_ok() {
                return;
            }
        }
        let detail = terminal::line(&error.detail);
        let (name, number) = (error.code.name(), error.code.number());
        let _ = writeln!(std::io::stderr(), "error: {detail} [{number} {name}]");
    }

    /// Something to see to that is no failure of the command: one line on standard error, so that
    /// what scripts read stays one object.
    pub(super) fn warn(text: &str) {
        let _ = writeln!(std::io::stderr(), "warning: {}", terminal::line(text));
    }

    /// Shows people that something takes its time; only on a terminal.
    pub(super) fn spinner(self, command: &Command) -> ProgressBar {
        if self.json || matches!(command, Command::Listen { .. }) {
            return ProgressBar::hidden();
        }
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(120));
        spinner
    }
}
