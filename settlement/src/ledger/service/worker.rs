//! The thread itself: does what waits in the inbox, and makes blocks by the clock or by hand.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::inbox::{Inbox, Next};
use super::{Command, Pace};
use crate::block::BlockEvents;
use crate::journal::abort_on;
use crate::ledger::producer::Producer;
use crate::ledger::store::StoreError;
use crate::types::Height;

/// What the thread owns.
pub(super) struct Worker {
    pub(super) producer: Producer,
    pub(super) inbox: Arc<Inbox<Command>>,
    pub(super) announce: watch::Sender<Height>,
    pub(super) pace: Pace,
    pub(super) interval: Duration,
}

/// Whoever asks a thread that has ended must not wait for it.
impl Drop for Worker {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Worker {
    pub(super) fn run(mut self) {
        let mut next_block = Instant::now();
        loop {
            let until = (self.pace == Pace::Clock).then_some(next_block);
            match self.inbox.next(until) {
                Next::Do(command) => command(&mut self.producer),
                Next::Due => {}
                Next::Closed => break,
            }
            // Looked at after every command too, so that a flood of them delays no block.
            if self.pace == Pace::Clock && Instant::now() >= next_block {
                let _ = produce(&mut self.producer, now_ms());
                next_block = Instant::now().checked_add(self.interval).unwrap_or(next_block);
            }
            self.announce();
        }
        self.producer.checkpoint();
    }

    fn announce(&self) {
        let height = self.producer.ledger().tip().height;
        self.announce.send_if_modified(|announced| {
            let moved = *announced != height;
            *announced = height;
            moved
        });
    }
}

/// Makes one block, or ends the process: after a failure nothing may be said any more.
pub(super) fn produce(producer: &mut Producer, now_ms: u64) -> Option<Arc<BlockEvents>> {
    match producer.produce(now_ms) {
        Ok(block) => block,
        Err(StoreError::Journal(error)) => abort_on(&error),
        Err(error) => {
            tracing::error!(%error, "no block could be made; the process ends");
            std::process::abort()
        }
    }
}

/// Milliseconds since 1970 by this machine's clock.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
