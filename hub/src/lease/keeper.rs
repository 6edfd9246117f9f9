//! The rules of the lease: no clock, no thread, no ledger.

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::tx::Lease;
use settlement::types::{Height, PublicKey};

use crate::anchor::Tenure;
use crate::shard::{LostState, Own};

/// What the rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The hub's key.
    pub(crate) hub: PublicKey,
    /// Whether the ledger is in this process, its store locked.
    pub(crate) embedded: bool,
    /// How many blocks old a fresh view may be.
    pub(crate) lag: u64,
    /// The same in milliseconds.
    pub(crate) stale_view_ms: u64,
    /// How far two machines' clocks may be apart, in milliseconds.
    pub(crate) clocks_ms: u64,
}

/// Height and time of a block.
type At = (Height, u64);

pub(super) struct Keeper {
    terms: Terms,
    journal: Own,
    /// The newest epoch seen in a block.
    seen: u64,
    newest: At,
    mine: Option<Lease>,
    /// Whether the ledger has taken it in for a block.
    taken_in: bool,
    since: Option<At>,
    fenced: Option<String>,
    lost: Option<LostState>,
}

impl Keeper {
    pub(super) fn new(terms: Terms, journal: Own) -> Keeper {
        Keeper {
            terms,
            journal,
            seen: 0,
            newest: At::default(),
            mine: None,
            taken_in: false,
            since: None,
            fenced: None,
            lost: None,
        }
    }

    pub(super) fn tenure(&self, now_ms: u64) -> Option<Tenure> {
        let (lease, (since, _)) = (self.mine?, self.since?);
        self.held(now_ms).is_ok().then_some(Tenure { epoch: lease.epoch, since })
    }

    pub(super) fn fenced(&self) -> Option<String> {
        self.fenced.clone()
    }

    pub(super) fn lost(&self) -> Option<LostState> {
        self.lost
    }

    pub(super) fn next_epoch(&self, on_ledger: Option<Lease>) -> u64 {
        let known = self.journal.leases.iter().chain(&on_ledger);
        let highest = known.map(|lease| lease.epoch).max().unwrap_or(0).max(self.seen);
        highest.saturating_add(1)
    }

    /// The lease that this process takes from now on. It is in the journal already.
    pub(super) fn take(&mut self, lease: Lease) {
        self.mine = Some(lease);
        self.taken_in = false;
        self.journal.leases.push(lease);
    }

    /// The ledger has taken it in for a block.
    pub(super) fn taken_in(&mut self) {
        self.taken_in = true;
    }

    pub(super) fn follow(&mut self, block: &BlockEvents) {
        let header = &block.header.header;
        self.newest = (header.height, header.time_ms);
        for event in &block.events {
            if self.since.is_none() {
                self.lost = self.lost.or(self.journal.lacks(&self.terms.hub, event));
            }
            if let LedgerEvent::Leased { hub, epoch, holder } = event
                && *hub == self.terms.hub
            {
                self.leased(Lease { epoch: *epoch, holder: *holder });
            }
        }
    }

    /// Nothing may be signed from now on.
    pub(super) fn stop(&mut self, why: String) {
        self.fenced.get_or_insert(why);
    }

    fn leased(&mut self, lease: Lease) {
        self.seen = self.seen.max(lease.epoch);
        let Some(mine) = self.mine else { return };
        if lease == mine {
            self.since = Some(self.newest);
        } else if lease.epoch >= mine.epoch {
            let (height, epoch) = (self.newest.0, lease.epoch);
            self.fenced.get_or_insert(format!(
                "another process has taken over: block {height} has its lease number {epoch} of this \
                 hub's key, above number {} of this one. Two hubs must never run on copies of one \
                 directory: keep the one that runs on the newest, and never start this one again",
                mine.epoch
            ));
        }
    }

    pub(super) fn may_sign(&self, now_ms: u64) -> bool {
        let age_ms = now_ms.saturating_sub(self.newest.1);
        let fresh = self.terms.embedded || age_ms <= self.terms.stale_view_ms;
        fresh && self.held(now_ms).is_ok()
    }

    /// Whether every other process knows by now that it must not sign, or why that is not certain.
    pub(super) fn held(&self, now_ms: u64) -> Result<(), String> {
        if let Some(why) = &self.fenced {
            return Err(why.clone());
        }
        if self.terms.embedded && self.taken_in {
            return Ok(());
        }
        let Some((height, time_ms)) = self.since else {
            return Err("the lease of this process is in no block yet".to_owned());
        };
        // A process whose view still ends before this block thinks so at most this long.
        let others_know = height.after(self.terms.lag);
        let until_ms = time_ms.saturating_add(self.terms.stale_view_ms);
        let until_ms = until_ms.saturating_add(self.terms.clocks_ms);
        if self.newest.0 >= others_know && now_ms >= until_ms {
            return Ok(());
        }
        Err(format!(
            "the lease of this process is in block {height}, and another one could go on until block \
             {others_know} and for {} ms more",
            self.terms.clocks_ms
        ))
    }
}

#[cfg(test)]
mod tests;
