//! What the ledger says about the channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Channel, Phase, Step};
use crate::block::LedgerEvent;
use crate::reject::Code;
use crate::types::{Height, Secret};

/// What of this side's has reached the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct OnLedger {
    /// The newest proof of the other side's direction that stands there.
    pub(super) standing_seq: u64,
    /// Whether its locks have been opened.
    pub(super) opened: bool,
    /// Secrets that count there for locks of the other side's direction.
    pub(super) shown: BTreeMap<u64, Secret>,
}

impl Channel {
    /// The steps that follow from something a block did. Events of other channels give none.
    pub fn follow(&self, event: &LedgerEvent) -> Vec<Step> {
        if event.channel() != Some(self.id) || matches!(event, LedgerEvent::Opened { .. }) {
            return Vec::new();
        }
        let mut steps = vec![Step::Ledger(Box::new(event.clone()))];
        if let LedgerEvent::ClaimShown { from, id, secret, .. } = event
            && *from == self.me
            && let Ok(Some(learned)) = self.learn(*id, secret)
        {
            steps.push(learned);
        }
        steps
    }

    pub(super) fn follow_committed(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Deposited { role, total, .. } => {
                let escrow = self.escrow.of_mut(*role);
                escrow.deposited = escrow.deposited.max(*total);
            }
            LedgerEvent::Withdrawn { role, total, .. } => {
                let escrow = self.escrow.of_mut(*role);
                escrow.withdrawn = escrow.withdrawn.max(*total);
                escrow.agreed = escrow.agreed.filter(|(agreed, _)| agreed > total);
                if !self.covered() {
                    self.suspended = Some(Code::StateLost);
                }
            }
            LedgerEvent::CloseStarted { by, proofs_until, .. } => {
                self.phase = Phase::Closing { by: *by, proofs_until: *proofs_until };
            }
            LedgerEvent::ProofRecorded { proof, locks } if proof.from == self.me.other() => {
                self.on_ledger.standing_seq = self.on_ledger.standing_seq.max(proof.seq);
                self.on_ledger.opened = proof.locked.0 == 0 || !locks.is_empty();
            }
            // One that counted for nothing has to be brought again: the ledger keeps no claim on an
            // open channel, nor on a lock that does not stand.
            LedgerEvent::ClaimShown { from, id, secret, steps: 1.., .. }
                if *from == self.me.other() =>
            {
                self.on_ledger.shown.insert(*id, *secret);
            }
            LedgerEvent::Settled { wallet, hub, .. } => {
                self.phase = Phase::Closed { wallet: *wallet, hub: *hub };
            }
            _ => {}
        }
    }

    /// The newest proof of the other side's direction that is recorded on the ledger; 0 for none.
    pub fn recorded_seq(&self) -> u64 {
        self.on_ledger.standing_seq
    }

    /// The last height at which proofs count, while the channel is closing.
    pub fn proofs_until(&self) -> Option<Height> {
        match self.phase {
            Phase::Closing { proofs_until, .. } => Some(proofs_until),
            _ => None,
        }
    }
}
