//! Anchors and leases: what a hub puts on the ledger for all its channels at once.
//!
//! What is anchored can't be undone by a stale close, even if nobody watches: the wallet's proof
//! stands as if the hub had submitted it, with its locks unopened, and `hub_transferred` is a floor
//! under what the hub has paid. Entries stand alone. One that is stale, whose channel is gone, was
//! opened after the anchor's height, or whose window is over, is skipped and never the rest: a
//! wallet that closes at the right moment must not spoil the anchor of all others. One with a bad
//! signature refuses the whole, before anything is applied, since the hub itself has built it.
//!
//! A lease raises the hub's epoch. Anchors of an earlier epoch are refused, so a process that runs
//! on a copy of the hub's data can't anchor after another has taken over.

use super::channel::ChannelState;
use super::dispute::record;
use super::measured::Measured;
use super::{Ledger, boundaries};
use crate::block::LedgerEvent;
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::tx::{AnchorEntry, Anchoring, Lease};
use crate::types::{Height, PublicKey, Role};

impl Ledger {
    pub(super) fn plan_anchor(&self, hub: &PublicKey, anchor: &Anchoring) -> Result<(), Code> {
        let current = anchor.epoch == self.state.epoch(hub);
        current.then_some(()).ok_or(Code::StaleEpoch)?;
        self.known_asset(anchor.liabilities.asset)
    }

    pub(super) fn commit_anchor(
        &mut self,
        hub: PublicKey,
        anchor: &Anchoring,
        block: Height,
        events: &mut Vec<LedgerEvent>,
    ) -> LedgerEvent {
        for entry in &anchor.entries {
            let channel = self.state.channel(&entry.channel);
            let counts = |channel: &&ChannelState| {
                channel.terms.hub == hub
                    && boundaries::anchored(channel.opened, anchor.liabilities.as_of)
                    && channel.takes_proofs(block)
            };
            let Some(mut channel) = channel.filter(counts).cloned() else {
                continue;
            };
            if anchor_one(&mut channel, entry, events) {
                self.state.put_channel(entry.channel, Some(channel));
            }
        }
        LedgerEvent::LiabilitiesAnchored { hub, liabilities: anchor.liabilities }
    }

    pub(super) fn plan_lease(&self, hub: &PublicKey, lease: &Lease) -> Result<(), Code> {
        let higher = lease.epoch > self.state.epoch(hub);
        higher.then_some(()).ok_or(Code::StaleEpoch)
    }

    pub(super) fn commit_lease(&mut self, hub: PublicKey, lease: &Lease) -> LedgerEvent {
        self.state.lease(hub, *lease);
        LedgerEvent::Leased { hub, epoch: lease.epoch, holder: lease.holder }
    }
}

/// Whether anything changed.
fn anchor_one(
    channel: &mut ChannelState,
    entry: &AnchorEntry,
    events: &mut Vec<LedgerEvent>,
) -> bool {
    let proof: Option<&BalanceProof> = entry.wallet_proof.as_ref().map(|proof| &proof.value);
    let newer = proof.filter(|proof| channel.directions.wallet.improved_by(proof, &[]));
    if let Some(proof) = newer {
        record(channel, Role::Hub, proof, &[], &Measured::default());
        events.push(LedgerEvent::ProofRecorded { proof: *proof, locks: Vec::new() });
    }
    let floor = &mut channel.directions.hub.floor;
    let rises = entry.hub_transferred > *floor;
    let hub_transferred = entry.hub_transferred.max(*floor);
    if rule_is_on(Rule::AnchorFloor) {
        *floor = hub_transferred;
    }
    if rises || newer.is_some() {
        events.push(LedgerEvent::Anchored { channel: entry.channel, hub_transferred });
    }
    rises || newer.is_some()
}

#[cfg(test)]
mod tests;
