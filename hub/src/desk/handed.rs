//! What was handed in, until it can't be refused in a block any more.

use std::collections::{HashMap, VecDeque};

use settlement::types::{ChannelId, TxId};

/// The most that is remembered: as many as wait in a ledger's queue, for the day on which everybody
/// closes.
const REMEMBERED: usize = 65_536;

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
    what: HashMap<TxId, What>,
    oldest_first: VecDeque<TxId>,
}

impl HandedIn {
    /// Remembers one. Before it is handed in: the block that refuses it may be seen earlier than
    /// the answer.
    pub(super) fn remember(&mut self, tx: TxId, what: What) {
        if self.what.insert(tx, what).is_none() {
            self.oldest_first.push_back(tx);
        }
        if self.oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.what.remove(&oldest);
        }
    }

    /// What a transaction was for, if it is one of these.
    pub(super) fn find(&self, tx: &TxId) -> Option<What> {
        self.what.get(tx).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_remembered() {
        let tx = |number: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            TxId(id)
        };
        let what = What::Deposit(ChannelId([1; 32]));
        let mut handed = HandedIn::default();
        for number in 0..=REMEMBERED {
            handed.remember(tx(number), what);
            handed.remember(tx(number), what);
        }
        assert_eq!(handed.find(&tx(0)), None);
        assert_eq!(handed.find(&tx(1)), Some(what));
        assert_eq!(handed.what.len(), REMEMBERED);
    }
}
