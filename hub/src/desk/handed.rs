//! What was handed in, until it can't be refused in a block any more.

use std::collections::HashMap;

use settlement::types::{ChannelId, Height, TxId};

/// The most that is remembered at least: as many as wait in a ledger's queue, for the day on which
/// everybody closes. Up to as many before them are known, too.
const REMEMBERED: usize = 65_536;

/// For how many blocks a transaction is remembered at least; twice as many at most. What the ledger takes is
/// in a block after an `inclusion_delay`, which is 30 blocks where they come each second.
const BLOCKS: u64 = 256;

/// What a transaction was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Submission(ChannelId),
    Deposit(ChannelId),
    Agreement(ChannelId),
    Anchor,
    Lease,
}

/// The newest transactions of this hub.
#[derive(Debug, Default)]
pub(super) struct HandedIn {
    newest: HashMap<TxId, What>,
    before: HashMap<TxId, What>,
    /// Where the newest begin.
    since: Height,
}

impl HandedIn {
    /// Remembers one. Before it is handed in: the block that refuses it may be seen earlier than
    /// the answer.
    pub(super) fn remember(&mut self, tx: TxId, what: What) {
        if self.newest.len() >= REMEMBERED {
            self.turn();
        }
        self.newest.insert(tx, what);
    }

    /// The ledger has made this block.
    pub(super) fn follow(&mut self, height: Height) {
        if height >= self.since.after(BLOCKS) {
            self.since = height;
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.newest);
    }

    /// What a transaction was for, if it is one of these.
    pub(super) fn find(&self, tx: &TxId) -> Option<What> {
        self.newest.get(tx).or_else(|| self.before.get(tx)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHAT: What = What::Deposit(ChannelId([1; 32]));

    fn tx(number: usize) -> TxId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        TxId(id)
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut handed = HandedIn::default();
        for number in 0..=2 * REMEMBERED {
            handed.remember(tx(number), WHAT);
            handed.remember(tx(number), WHAT);
        }
        assert_eq!(handed.find(&tx(0)), None);
        assert_eq!(handed.find(&tx(REMEMBERED)), Some(WHAT));
        assert_eq!(handed.find(&tx(2 * REMEMBERED)), Some(WHAT));
    }

    #[test]
    fn what_no_block_can_refuse_any_more_is_forgotten() {
        let mut handed = HandedIn::default();
        for height in 1..=BLOCKS {
            handed.follow(Height(height));
        }
        handed.remember(tx(1), WHAT);
        for height in BLOCKS..2 * BLOCKS {
            handed.follow(Height(height));
            assert_eq!(handed.find(&tx(1)), Some(WHAT), "{height}");
        }
        for height in 2 * BLOCKS..=3 * BLOCKS {
            handed.follow(Height(height));
        }
        assert_eq!(handed.find(&tx(1)), None);
        assert!(handed.newest.is_empty() && handed.before.is_empty());
    }
}
