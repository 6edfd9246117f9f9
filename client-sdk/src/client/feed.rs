//! The one follower of a client: feeds the ledger's blocks to the core, and tries for ever.

use std::sync::Arc;
use std::time::Duration;

use settlement::params::Genesis;
use settlement::types::Height;
use tokio::sync::watch;

use super::core::{CoreInput, CoreQueue, clock_ms};
use crate::follower::{Follower, HeaderCheck};
use crate::ledger_client::LedgerClient;

/// How long the ledger may wait for a block before it answers that there is none.
const WAIT: Duration = Duration::from_secs(10);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What the follower follows, and for whom.
pub(crate) struct Feed {
    pub(crate) ledger: Arc<dyn LedgerClient>,
    pub(crate) genesis: Arc<Genesis>,
    /// By how many milliseconds a block may lie ahead of the own clock.
    pub(crate) future_ms: u64,
    pub(crate) core: CoreQueue,
    /// From where blocks are wanted; 0 while there is no wallet.
    pub(crate) wanted: watch::Receiver<Height>,
}

impl Feed {
    /// Runs until the core is gone.
    pub(crate) async fn run(mut self) {
        loop {
            let from = *self.wanted.borrow_and_update();
            let ended = if from == Height(0) {
                self.wanted.changed().await.is_err()
            } else {
                self.follow(from).await
            };
            if ended {
                return;
            }
        }
    }

    /// Follows until blocks from elsewhere are wanted, or (`true`) the core is gone.
    async fn follow(&mut self, from: Height) -> bool {
        let check = match HeaderCheck::new(&self.genesis, from, self.future_ms) {
            Ok(check) => check,
            // Checked when the client was opened.
            Err(error) => {
                tracing::error!(%error, "the ledger can't be followed");
                return true;
            }
        };
        let mut follower = Follower::new(self.ledger.clone(), check);
        let mut pause = RETRY_MIN;
        loop {
            let answer = tokio::select! {
                changed = self.wanted.changed() => return changed.is_err(),
                answer = follower.blocks(WAIT, clock_ms) => answer,
            };
            match answer {
                Ok(blocks) => {
                    pause = RETRY_MIN;
                    if !blocks.is_empty()
                        && self.core.send(CoreInput::Blocks(blocks)).await.is_err()
                    {
                        return true;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the ledger is asked again");
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(RETRY_MAX);
                }
            }
        }
    }
}
