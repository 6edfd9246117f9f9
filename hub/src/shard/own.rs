//! What the hub has put on the ledger for itself, as its own journal knows it: leases that its
//! processes took, and the heights as of which they said what the hub owes.
//!
//! Both are recorded before they are signed. So a journal that lacks what the ledger shows under
//! the hub's key is not the newest one: another process runs, or ran, on a copy of it, and this one
//! has lost state. [`Own::lacks`] tells.

use serde::{Deserialize, Serialize};
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::liabilities::Liabilities;
use settlement::tx::Lease;
use settlement::types::{Height, PublicKey};

use super::state::Cx;
use super::{Action, Record, Shard};

/// How many leases are kept: one for each start.
const LEASES_KEPT: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Own {
    /// The newest leases that processes took with this journal, whether they came into a block or
    /// not, oldest first.
    pub leases: Vec<Lease>,
    /// The newest height as of which one signed what the hub owes.
    pub stated: Option<Height>,
}

/// Something of the hub's own that the ledger shows and this journal does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostState {
    /// A lease that none of this journal's processes took.
    Lease(Lease),
    /// A statement of what the hub owes, in an anchor, that none of them signed.
    Anchor(Liabilities),
}

impl Own {
    /// Whether this event shows that the journal is not the newest one of this hub: what is in it
    /// is older than what was signed with the hub's key, so the hub must adopt what others show it
    /// and leap before it signs anything again.
    ///
    /// To be asked of what a journal said at the start, for every event after the height that it had
    /// followed and up to the block with this process's own lease. Earlier ones it has followed
    /// itself, and later ones are this process's own: the ledger takes anchors of the newest lease
    /// alone.
    pub fn lacks(&self, hub: &PublicKey, event: &LedgerEvent) -> Option<LostState> {
        match event {
            LedgerEvent::Leased { hub: of, epoch, holder } if of == hub => {
                let lease = Lease { epoch: *epoch, holder: *holder };
                let kept_all = self.leases.len() < LEASES_KEPT;
                let oldest = self.leases.first().filter(|_| !kept_all);
                let older = oldest.is_some_and(|oldest| *epoch < oldest.epoch);
                let known = older || self.leases.contains(&lease);
                (!known).then_some(LostState::Lease(lease))
            }
            LedgerEvent::LiabilitiesAnchored { hub: of, liabilities } if of == hub => {
                let known = self.stated.is_some_and(|stated| stated >= liabilities.as_of);
                (!known).then_some(LostState::Anchor(*liabilities))
            }
            _ => None,
        }
    }

    pub(super) fn note(&mut self, record: &Record) {
        match record {
            Record::Leased { lease } => {
                self.leases.push(*lease);
                let surplus = self.leases.len().saturating_sub(LEASES_KEPT);
                self.leases.drain(..surplus);
            }
            Record::Stated { liabilities } => {
                let newest = liabilities.iter().map(|said| said.as_of).max();
                self.stated = self.stated.max(newest);
            }
            _ => {}
        }
    }
}

impl Shard {
    /// Whether a block shows that the journal is not the newest one of this hub. Once it has the
    /// lease of this process, all of the hub's own that follows is this process's.
    pub(super) fn is_shown_lost(&mut self, block: &BlockEvents) -> bool {
        let mut lost = false;
        for event in &block.events {
            if self.leased {
                break;
            }
            if let LedgerEvent::Leased { hub, epoch, holder } = event
                && *hub == self.config.hub
                && self.lease == Some(Lease { epoch: *epoch, holder: *holder })
            {
                self.leased = true;
            } else {
                lost |= self.own.lacks(&self.config.hub, event).is_some();
            }
        }
        lost
    }

    /// What the hub has put on the ledger for itself, as the rows and records say.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The first shard keeps what is the whole hub's.
    pub(super) fn keeps_own(&self) -> bool {
        self.config.slice.index == 0
    }

    pub(super) fn on_lease(&mut self, lease: Lease, cx: &mut Cx<'_>) {
        self.lease = Some(lease);
        self.record_own(Record::Leased { lease }, Action::Lease(lease), cx);
    }

    pub(super) fn on_state(&mut self, liabilities: Vec<Liabilities>, cx: &mut Cx<'_>) {
        let stated = Action::Stated(liabilities.clone());
        self.record_own(Record::Stated { liabilities }, stated, cx);
    }

    fn record_own(&mut self, record: Record, action: Action, cx: &mut Cx<'_>) {
        if self.keeps_own() {
            self.own.note(&record);
            cx.out.records.push(record);
            cx.out.actions.push(action);
        }
    }
}
