//! What the ledger says about the channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Channel, Phase, Step};
use crate::block::LedgerEvent;
use crate::lock::Lock;
use crate::proof::BalanceProof;
use crate::rare::AtRest;
use crate::reject::Code;
use crate::types::{Amount, Height, PerRole, Role, Secret};

/// What of this side's has reached the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct OnLedger {
    /// The newest proof of the other side's direction that stands there.
    pub(super) standing_seq: u64,
    /// What more the ledger has shown of the directions.
    pub(super) proven: Proven,
    /// Secrets that count there for locks of the other side's direction.
    pub(super) shown: BTreeMap<u64, Secret>,
}

impl AtRest for OnLedger {
    const AT_REST: &'static OnLedger = &OnLedger {
        standing_seq: 0,
        proven: Proven { opened: false, seen: PerRole { wallet: Seen::NONE, hub: Seen::NONE } },
        shown: BTreeMap::new(),
    };
}

/// What the ledger has proven of a direction, by its owner's signature or the other side's: no
/// state that falls behind it is adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// The highest seq of a recorded proof.
    pub(super) seq: u64,
    /// The permanent floor under what the direction pays.
    pub(super) transferred: Amount,
}

impl Seen {
    const NONE: Seen = Seen { seq: 0, transferred: Amount::ZERO };
}

/// In the encoding, what a version before this one wrote as a yes or no is still that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "ProvenBytes", into = "ProvenBytes")]
pub(super) struct Proven {
    /// Whether the locks of the standing proof have been opened.
    pub(super) opened: bool,
    /// Of each role's direction.
    pub(super) seen: PerRole<Seen>,
}

#[derive(Serialize, Deserialize)]
enum ProvenBytes {
    Closed,
    Opened,
    ClosedAndSeen(PerRole<Seen>),
    OpenedAndSeen(PerRole<Seen>),
}

impl From<ProvenBytes> for Proven {
    fn from(bytes: ProvenBytes) -> Proven {
        let (opened, seen) = match bytes {
            ProvenBytes::Closed => (false, PerRole::default()),
            ProvenBytes::Opened => (true, PerRole::default()),
            ProvenBytes::ClosedAndSeen(seen) => (false, seen),
            ProvenBytes::OpenedAndSeen(seen) => (true, seen),
        };
        Proven { opened, seen }
    }
}

impl From<Proven> for ProvenBytes {
    fn from(Proven { opened, seen }: Proven) -> ProvenBytes {
        match (opened, seen == PerRole::default()) {
            (false, true) => ProvenBytes::Closed,
            (true, true) => ProvenBytes::Opened,
            (false, false) => ProvenBytes::ClosedAndSeen(seen),
            (true, false) => ProvenBytes::OpenedAndSeen(seen),
        }
    }
}

impl Channel {
    /// The steps that follow from something that the block at this height did. Events of other
    /// channels give none.
    pub fn follow(&self, event: &LedgerEvent, block: Height) -> Vec<Step> {
        if event.channel() != Some(self.id) || matches!(event, LedgerEvent::Opened { .. }) {
            return Vec::new();
        }
        let mut steps = vec![Step::Ledger(Box::new(event.clone()))];
        if let LedgerEvent::ClaimShown { from, id, secret, steps: counted, .. } = event
            && *from == self.me
            && (*counted > 0 || !self.is_late(*id, block))
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
            }
            LedgerEvent::Anchored { hub_transferred, .. } => {
                let seen = self.on_ledger.proven.seen.of_mut(Role::Hub);
                seen.transferred = seen.transferred.max(*hub_transferred);
            }
            LedgerEvent::CloseStarted { by, proofs_until, .. } => {
                self.phase = Phase::Closing { by: *by, proofs_until: *proofs_until };
            }
            LedgerEvent::ProofRecorded { proof, locks } => self.follow_proof(proof, locks),
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
        if self.hold.suspended.is_none() && (!self.covered() || self.has_signed_more()) {
            self.hold.suspended = Some(Code::StateLost);
        }
    }

    fn follow_proof(&mut self, proof: &BalanceProof, locks: &[Lock]) {
        let OnLedger { standing_seq, proven, .. } = &mut *self.on_ledger;
        if proof.from == self.me.other() {
            *standing_seq = (*standing_seq).max(proof.seq);
            proven.opened = proof.locked.0 == 0 || !locks.is_empty();
        }
        let seen = proven.seen.of_mut(proof.from);
        seen.seq = seen.seq.max(proof.seq);
        let acknowledged = proven.seen.of_mut(proof.from.other());
        acknowledged.transferred = acknowledged.transferred.max(proof.peer_transferred);
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
