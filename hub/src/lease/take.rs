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
    /// Takes a lease, waits until it is held, and lets the shards add locks from then on.
    pub(crate) async fn run(mut self) {
        loop {
            while !self.take().await || !self.wait_held().await {
                tokio::time::sleep(PAUSE).await;
            }
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
                     what was signed with its key. Stop it, and start it on the newest one"
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
        if let Some(first) = self.queues.first() {
            first.push(Job::Input(Input::Lease(lease)));
        }
        let taken_in = matches!(self.answers.recv().await, Some(Ok(())));
        if taken_in {
            self.authority.taken_in();
        }
        taken_in
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
