//! The end of a load: nothing stays pending, and both sides show each other the same.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Loop;

/// How long bringing everything to an end may take.
const ENDING: Duration = Duration::from_secs(60);
/// The same when state was lost: some payments have no end then.
const ENDING_LOST: Duration = Duration::from_secs(10);

/// Bringing everything to an end: first what is pending, then all meet the hub once more, and show
/// each other the same.
pub(super) struct Ending {
    began: Instant,
    asked: bool,
}

impl Ending {
    pub(super) fn new() -> Ending {
        Ending { began: Instant::now(), asked: false }
    }

    pub(super) fn is_over(&mut self, turning: &mut Loop<'_>) -> Result<bool> {
        if self.asked && turning.fleet.all_agree() {
            return Ok(true);
        }
        let whole = turning.fleet.stats.lost_state == 0;
        if self.began.elapsed() > if whole { ENDING } else { ENDING_LOST } {
            // What is missing is counted in the books.
            return Ok(true);
        }
        if !self.asked && turning.fleet.is_quiet() {
            self.asked = true;
            for at in 0..turning.fleet.wallets.len() {
                let connection = turning.fleet.wallets[at].connection;
                turning.fleet.meet(at, &mut turning.sockets[connection]);
                turning.write_later(connection);
            }
        }
        Ok(false)
    }
}
