//! What every part of a running hub shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use client_sdk::ledger_client::LedgerClient;
use settlement::block::BlockEvents;
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy};
use settlement::types::{Height, LedgerId};
use tokio::sync::{broadcast, watch};

use crate::anchor::{Books, Requests};
use crate::config::Config;
use crate::counters::Counters;
use crate::lease::Authority;
use crate::peers::Peers;
use crate::relay::Relay;
use crate::shards::{Shared, now_ms};
use crate::tickets::Tickets;
use crate::verify::Pool;

/// See the module.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) genesis: Genesis,
    pub(crate) ledger_id: LedgerId,
    pub(crate) policy: Policy,
    pub(crate) ledger: Arc<dyn LedgerClient>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) relay: Relay,
    pub(crate) counters: Arc<Counters>,
    pub(crate) height: watch::Receiver<Height>,
    pub(crate) blocks: broadcast::Sender<Arc<BlockEvents>>,
    /// What keeps the ledger's next block away, as far as it is known.
    pub(crate) trouble: watch::Receiver<Option<String>>,
    pub(crate) draining: AtomicBool,
    pub(crate) authority: Arc<Authority>,
    /// What the hub owes.
    pub(crate) books: Books,
    pub(crate) anchors: Requests,
}

impl Hub {
    /// Why no payment is taken: the check that failed, and why. None when all is well.
    pub(crate) fn why_not_ready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("draining: the hub is stopping".to_owned());
        }
        if !self.is_fresh() {
            return Some(format!("ledger: the view is not fresh: {}", self.staleness()));
        }
        self.authority.why_not().map(|why| format!("lease: {why}"))
    }

    /// Whether the hub's view of the ledger is fresh.
    pub(crate) fn is_fresh(&self) -> bool {
        let newest = self.counters.block_time_ms.load(Relaxed);
        now_ms().saturating_sub(newest) <= self.policy.stale_view_ms
    }

    /// Why the view is not fresh, for operators.
    pub(crate) fn staleness(&self) -> String {
        let newest = self.counters.block_time_ms.load(Relaxed);
        let height = self.counters.height.load(Relaxed);
        let seen = if newest == 0 {
            "no block was seen since the start".to_owned()
        } else {
            let age = now_ms().saturating_sub(newest);
            let most = self.policy.stale_view_ms;
            format!("the newest block, {height}, is {age} ms old, and {most} ms is fresh")
        };
        match &*self.trouble.borrow() {
            Some(trouble) => format!("{seen}: {trouble}"),
            None => seen,
        }
    }

    /// The connections that stand.
    pub(crate) fn peers(&self) -> &Peers {
        &self.shared.router.peers
    }

    /// Whether the hub is stopping.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}
