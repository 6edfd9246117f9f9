//! Taking the lease at the start: recorded first, then signed, then brought to the ledger.

use std::sync::Arc;
use std::time::Duration;

use client_sdk::ledger_client::LedgerClient;
use settlement::reject::Code;
use settlement::tx::Lease;
use settlement::types::{Height, Holder, PublicKey};
use tokio::sync::{mpsc, watch};

use super::Authority;
use crate::router::ShardQueues;
use crate::shard::Input;
use crate::shards::Job;

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// What taking a lease needs.
pub(crate) struct Taking {
    pub(crate) authority: Arc<Authority>,
    pub(crate) hub: PublicKey,
    pub(crate) ledger: Arc<dyn LedgerClient>,
    pub(crate) queues: ShardQueues,
    pub(crate) heights: watch::Receiver<Height>,
    /// What the ledger answered to leases that were brought to it, at once or in a block.
    pub(crate) answers: mpsc::UnboundedReceiver<Result<(), Code>>,
}

impl Taking {
    /// Takes a lease, waits until it is held and the shards know all that the ledger had of this hub
    /// before, and lets them sign from then on.
    pub(crate) async fn run(mut self) {
        let before = self.newest().await;
        loop {
            while !self.take().await || !self.wait_held().await {
                tokio::time::sleep(PAUSE).await;
            }
            self.wait_followed(before).await;
            self.announce();
            // A block may refuse it after all.
            while let Some(Ok(())) = self.answers.recv().await {}
            if self.answers.is_closed() || self.authority.is_fenced() {
                return;
            }
        }
    }

    fn announce(&self) {
        if self.authority.is_held() {
            let epoch = self.authority.tenure().map(|tenure| tenure.epoch);
            tracing::info!(epoch, "this process signs for the hub");
            if let Some(lost) = self.authority.lost() {
                tracing::error!(
                    ?lost,
                    "the ledger shows what this hub's journal lacks: the data directory is older than \
                     what was signed with its key. If there is a newer one, stop the hub and start it \
                     on that. Else it takes back from its wallets what was forgotten; payments go on \
                     in some minutes"
                );
            }
            self.queues.iter().for_each(|queue| queue.push(Job::Input(Input::Signing(true))));
            self.authority.told();
        }
    }

    /// One try; whether the ledger took the lease in.
    async fn take(&mut self) -> bool {
        let on_ledger = match self.ledger.account(&self.hub).await {
            Ok(view) => view.lease,
            Err(error) => {
                tracing::debug!(%error, "no lease can be taken yet");
                return false;
            }
        };
        let mut holder = [0; Holder::LEN];
        if let Err(error) = getrandom::fill(&mut holder) {
            tracing::error!(%error, "no lease can be taken: the system gives no randomness");
            return false;
        }
        let lease = Lease { epoch: self.authority.next_epoch(on_ledger), holder: Holder(holder) };
        // Known before it is recorded: its block may be followed before the answer comes.
        self.authority.take(lease);
        self.queues.iter().for_each(|queue| queue.push(Job::Input(Input::Lease(lease))));
        let taken_in = matches!(self.answers.recv().await, Some(Ok(())));
        if taken_in {
            self.authority.taken_in();
        }
        taken_in
    }

    /// The newest height of the ledger: up to there it may have what another process put on it.
    async fn newest(&self) -> Height {
        loop {
            match self.ledger.info().await {
                Ok(info) => return info.tip.map(|tip| tip.header.height).unwrap_or_default(),
                Err(error) => tracing::debug!(%error, "the ledger does not say how far it is"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the shards have been given the block of that height.
    async fn wait_followed(&mut self, height: Height) {
        while *self.heights.borrow() < height && !self.authority.is_fenced() {
            if self.heights.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until the lease is held or never will be. False when a block refused it.
    async fn wait_held(&mut self) -> bool {
        while !self.authority.is_held() && !self.authority.is_fenced() {
            tokio::select! {
                answer = self.answers.recv() => match answer {
                    Some(Err(_)) => return false,
                    Some(Ok(())) => {}
                    // The hub is stopping.
                    None => return true,
                },
                _ = tokio::time::timeout(PAUSE, self.heights.changed()) => {}
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
