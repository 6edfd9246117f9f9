//! The story of how it came about.

use std::fmt;

/// What happened, for whoever wants to read it.
#[derive(Default)]
pub(super) struct Story {
    told: bool,
    lines: Vec<String>,
}

impl Story {
    /// One that nobody will read costs nothing.
    pub(super) fn new(told: bool) -> Story {
        Story { told, lines: Vec::new() }
    }

    pub(super) fn tell(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if self.told {
            self.lines.push(format!("{now_ms:>9} {}", line()));
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
