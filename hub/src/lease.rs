//! Which process signs for the hub: the one that holds the hub's newest lease on the ledger.
//!
//! At its start a process takes a lease: the next epoch, with fresh randomness as its holder. It
//! signs nothing of the hub's until that lease is in a block, and, on a ledger that others can use
//! too, until every process that held an older one must have seen it: `lag` blocks and the tolerance
//! of clocks later. From then on it signs only while its view of the ledger is fresh. When a block
//! shows another lease, it stops for good. So no two processes on copies of one directory ever sign
//! at the same time, and none signs after one that knows more.
//!
//! An embedded ledger is in this process, its store locked: nobody else can go on there, so the
//! process signs as soon as the ledger has taken its lease in for the next block, and no view of it
//! is too old.
//!
//! | what is signed | when |
//! | --- | --- |
//! | proofs, withdrawals and cooperative closes, deposits, anchors | [`Authority::may_sign`] |
//! | a submission that closes a channel | once the lease is held, in whatever view: a claim has a deadline |
//! | a submission on a channel that is closing | always, unless fenced: it is what the *other* side has signed, and the ledger takes the best of all that is brought |
//! | the lease itself, and the challenge of a connection | always, unless fenced; a challenge binds nobody |
//!
//! # Lost state
//! A journal that lacks a lease or an anchor that the ledger shows is older than what was signed
//! with the hub's key. [`Authority::lost`] says so from the block on that shows it, and it is
//! complete once the own lease is in a block: no event after that can be another process's. Every
//! shard sees the same in the blocks, before it is told that this process signs: see its module
//! `forgotten` for what follows.

#[cfg(test)]
pub(crate) mod fixture;
mod keeper;
mod take;

use std::sync::{Mutex, MutexGuard, PoisonError};

use settlement::block::BlockEvents;
use settlement::tx::Lease;
use tokio::sync::watch;

use crate::anchor::Tenure;
use crate::shard::{LostState, Own};
use crate::shards::now_ms;
use keeper::Keeper;
pub(crate) use keeper::Terms;
pub(crate) use take::Taking;

/// See the module. What all parts of the hub share.
pub(crate) struct Authority {
    keeper: Mutex<Keeper>,
    fenced: watch::Sender<Option<String>>,
    /// Whether the shards know that locks may be added.
    told: watch::Sender<bool>,
}

impl Authority {
    /// Nothing is held yet. `journal` is what the journal says at the start.
    pub(crate) fn new(terms: Terms, journal: Own) -> Authority {
        let keeper = Mutex::new(Keeper::new(terms, journal));
        Authority { keeper, fenced: watch::Sender::new(None), told: watch::Sender::new(false) }
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a block. Before anybody else is given it, so that nothing is signed that rests on a
    /// block with another process's lease.
    pub(crate) fn follow(&self, block: &BlockEvents) {
        let mut keeper = self.keeper();
        keeper.follow(block);
        let fenced = keeper.fenced();
        drop(keeper);
        if let Some(why) = fenced {
            self.fenced.send_if_modified(|before| {
                let first = before.is_none();
                before.get_or_insert(why);
                first
            });
        }
    }

    /// Ends this process as if another had taken over: it must sign nothing more.
    pub(crate) fn stop(&self, why: String) {
        self.keeper().stop(why.clone());
        self.fenced.send_if_modified(|before| before.replace(why).is_none());
    }

    /// Whether this process may sign in the name of the hub right now.
    pub(crate) fn may_sign(&self) -> bool {
        self.keeper().may_sign(now_ms())
    }

    /// Whether the lease is held, in however old a view.
    pub(crate) fn is_held(&self) -> bool {
        self.keeper().held(now_ms()).is_ok()
    }

    /// The lease that is held, and the block that has it.
    pub(crate) fn tenure(&self) -> Option<Tenure> {
        self.keeper().tenure(now_ms())
    }

    /// Why nothing may be signed yet, for operators; a view that is not fresh is not said here.
    pub(crate) fn why_not(&self) -> Option<String> {
        let why = self.keeper().held(now_ms()).err();
        let told = *self.told.borrow();
        why.or_else(|| (!told).then(|| "it is held, and payments are taken in a moment".to_owned()))
    }

    /// The shards have been told that locks may be added.
    fn told(&self) {
        self.told.send_replace(true);
    }

    /// Until they have been told.
    pub(crate) async fn ready(&self) {
        // It is told by this very authority, which is still there.
        let _ = self.told.subscribe().wait_for(|told| *told).await;
    }

    /// What shows that this process started from state that is not the hub's newest; see the module.
    pub(crate) fn lost(&self) -> Option<LostState> {
        self.keeper().lost()
    }

    /// Whether another process has taken over: this one is at its end.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fenced.borrow().is_some()
    }

    /// Until another process has taken over; says so.
    pub(crate) async fn fenced(&self) -> String {
        let mut fenced = self.fenced.subscribe();
        let why = fenced.wait_for(Option::is_some).await;
        why.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// The epoch of the next lease, above this one of the ledger's and all that are known here.
    fn next_epoch(&self, on_ledger: Option<Lease>) -> u64 {
        self.keeper().next_epoch(on_ledger)
    }

    fn take(&self, lease: Lease) {
        self.keeper().take(lease);
    }

    pub(crate) fn taken_in(&self) {
        self.keeper().taken_in();
    }
}
