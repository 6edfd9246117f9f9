//! The room of a block: how many bytes of transactions it takes, and how many chain hashes.

use std::collections::HashSet;

use super::dispute::Cost;
use super::verified::VerifiedTx;
use crate::params::Genesis;
use crate::types::PublicKey;

/// What is left of it.
pub(super) struct Room {
    bytes: usize,
    hashes: u64,
    /// Of the hashes, for locks of more than one step: half of a block's are kept for single
    /// payments, so that claims on streams can't crowd them out.
    streams: u64,
    /// Accounts of which a transaction was left over: what follows it would have a wrong nonce.
    behind: HashSet<Option<PublicKey>>,
}

impl Room {
    /// That of an empty block.
    pub(super) fn of(genesis: &Genesis) -> Room {
        Room {
            bytes: usize::try_from(genesis.block_bytes).unwrap_or(usize::MAX),
            hashes: u64::from(genesis.block_hashes),
            streams: u64::from(genesis.block_hashes / 2),
            behind: HashSet::new(),
        }
    }

    /// Takes the room that a transaction of this cost needs. If there is not enough, none is taken,
    /// and nothing fits any more that its account sent after it.
    pub(super) fn takes(&mut self, tx: &VerifiedTx, cost: Cost) -> bool {
        let spends = tx.tx().spends();
        let waits = spends.is_some_and(|by| self.behind.contains(&by));
        let left = (
            self.bytes.checked_sub(tx.bytes()),
            self.hashes.checked_sub(cost.hashes),
            self.streams.checked_sub(cost.streams),
        );
        let (false, (Some(bytes), Some(hashes), Some(streams))) = (waits, left) else {
            self.behind.extend(spends);
            return false;
        };
        (self.bytes, self.hashes, self.streams) = (bytes, hashes, streams);
        true
    }
}
