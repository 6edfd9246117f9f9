//! What has moved since it was last anchored, for whoever anchors it.
//!
//! A channel is on the shard's list from a change on until the ledger shows that all of it is
//! anchored; a channel at rest costs nothing. What is handed over is an action like any other: it
//! leaves once every record before it is durable, so nothing is anchored that a crash could take
//! back. What was handed over and never came into a block is handed over again in the next round.

use settlement::block::LedgerEvent;
use settlement::channel::{Phase, Step};
use settlement::reject::Code;
use settlement::tx::AnchorEntry;
use settlement::types::{Amount, AssetId, ChannelId, Height, Role};

use super::slot::Slot;
use super::state::Cx;
use super::{Action, ME, Shard, Slice};

/// A part of what has moved in one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// In which shard.
    pub slice: Slice,
    /// The round that it was asked for in.
    pub round: u64,
    /// The newest block that the shard had followed.
    pub height: Height,
    /// What moved; each channel once in a round, unless it moves again.
    pub channels: Vec<MovedChannel>,
    /// Whether there is more: ask again in the same round.
    pub more: bool,
}

/// A channel that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedChannel {
    /// Which.
    pub channel: ChannelId,
    /// Of which asset.
    pub asset: AssetId,
    /// What the hub owes its wallet; none once it is paid out.
    pub owed: Option<Amount>,
    /// What is to be anchored, if the ledger does not know it already.
    pub entry: Option<AnchorEntry>,
}

impl Slot {
    /// What the hub owes the wallet: what the wallet has in the escrow by the newest block, and
    /// what came and went by the newest states that both sides have accepted; never less than the
    /// ledger holds a hub to that has forgotten what it paid. Pending locks are whose they were
    /// before. Once this is anchored, the ledger would pay the same.
    fn owed(&self) -> Option<Amount> {
        if self.is_closed() {
            return None;
        }
        let channel = &self.channel;
        let (hub, wallet) = (channel.escrow(ME), channel.escrow(Role::Wallet));
        let left = hub.on_ledger().saturating_add(wallet.on_ledger());
        let owed = wallet.on_ledger();
        let sent = channel.outgoing().accepted.transferred.max(self.floor);
        let owed = owed.saturating_add(sent.wide());
        let owed = owed.saturating_sub(channel.incoming().tally.transferred.wide());
        Amount::from_wide(owed.min(left).max(0))
    }

    /// What is to be anchored: the wallet's newest accepted proof, if it is newer than what is
    /// recorded, and what the wallet has acknowledged that it got. Never of a channel that is
    /// closing, or is about to: the proof would stand there with its locks unopened.
    fn entry(&self) -> Option<AnchorEntry> {
        let channel = &self.channel;
        let lost = channel.suspended() == Some(Code::StateLost);
        if channel.phase() != Phase::Open || lost {
            return None;
        }
        let newest = channel.incoming().proof.as_ref();
        let wallet_proof = newest.filter(|proof| proof.value.seq > channel.recorded_seq()).cloned();
        let hub_transferred = channel.outgoing().accepted.transferred;
        let moved = wallet_proof.is_some() || hub_transferred > self.floor;
        moved.then_some(AnchorEntry { channel: channel.id(), wallet_proof, hub_transferred })
    }

    /// Takes in what a block says that the hub has certainly paid: it has anchored it, or a
    /// recorded proof of the wallet's acknowledges it. Whether the hub owes more by that.
    pub(super) fn raise_floor(&mut self, event: &LedgerEvent) -> bool {
        let floor = match event {
            LedgerEvent::Anchored { hub_transferred, .. } => *hub_transferred,
            LedgerEvent::ProofRecorded { proof, .. } if proof.from == Role::Wallet => {
                proof.peer_transferred
            }
            _ => return false,
        };
        let rises = floor > self.floor && floor > self.channel.outgoing().accepted.transferred;
        self.floor = self.floor.max(floor);
        rises
    }
}

/// Whether a step may change what the hub owes or what can be anchored.
pub(super) fn moves(step: &Step) -> bool {
    match step {
        Step::Received(_)
        | Step::Acked { .. }
        | Step::Lapsed { .. }
        | Step::Resumed
        | Step::Adopted(_) => true,
        Step::Ledger(event) => matches!(
            **event,
            LedgerEvent::Deposited { .. }
                | LedgerEvent::Withdrawn { .. }
                | LedgerEvent::Settled { .. }
        ),
        _ => false,
    }
}

impl Shard {
    pub(super) fn mark_moved(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && !slot.moved
        {
            slot.moved = true;
            self.moved.push_back((0, id));
        }
    }

    /// Hands over at most so many channels that have moved and were not handed over in this round.
    pub(super) fn on_anchor(&mut self, round: u64, most: usize, cx: &mut Cx<'_>) {
        let mut channels = Vec::new();
        while channels.len() < most && self.waits_for(round) {
            let Some((_, id)) = self.moved.pop_front() else { break };
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let (asset, owed, entry) = (slot.channel.terms().asset, slot.owed(), slot.entry());
            slot.moved = entry.is_some();
            if slot.moved {
                self.moved.push_back((round, id));
            }
            channels.push(MovedChannel { channel: id, asset, owed, entry });
        }
        // After a start all channels were on it.
        if self.moved.len() < self.moved.capacity() / 4 {
            self.moved.shrink_to(self.moved.len().saturating_mul(2));
        }
        let (slice, height) = (self.config.slice, self.followed().0);
        let more = self.waits_for(round);
        cx.out.actions.push(Action::Moved(Box::new(Moved {
            slice,
            round,
            height,
            channels,
            more,
        })));
    }

    /// Those handed over in this round stand behind all others that had moved by its beginning.
    fn waits_for(&self, round: u64) -> bool {
        self.moved.front().is_some_and(|(handed, _)| *handed < round)
    }
}
