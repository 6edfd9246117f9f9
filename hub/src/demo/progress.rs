//! What is happening, on stderr: bars on a terminal, a line per stage elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const COUNTED: &str = "{msg:32} {bar:30} {pos}/{len}";
const TIMED: &str = "{msg:32} {bar:30} {prefix}";

/// Where progress is shown.
pub(super) struct Progress {
    terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { terminal: std::io::stderr().is_terminal() }
    }

    /// A stage that is over when `total` things are done.
    pub(super) fn counted(&self, what: &str, total: usize) -> ProgressBar {
        self.bar(what, total as u64, COUNTED)
    }

    /// A stage that takes `time`.
    pub(super) fn timed(&self, what: &str, time: Duration) -> ProgressBar {
        self.bar(what, u64::try_from(time.as_millis()).unwrap_or(u64::MAX), TIMED)
    }

    /// A stage of which nothing can be counted.
    pub(super) fn say(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "{what}");
    }

    fn bar(&self, what: &str, length: u64, template: &str) -> ProgressBar {
        if !self.terminal {
            // If stderr is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{what}");
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(length).with_style(style).with_message(what.to_owned())
    }
}
