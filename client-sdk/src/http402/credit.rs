//! What payers owe a till: steps that they were served on credit and have not paid yet.
//!
//! It is counted by payer and unit, not by stream: who opens one stream after the other owes what it
//! owed, and is lent no more for it. Who pays with many wallets is many payers, each with a channel
//! that somebody has put money into.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use settlement::types::{Amount, AssetId, PublicKey};

/// By whom, of what asset, in what unit.
pub(super) type Debtor = (PublicKey, AssetId, Amount);

/// What one payer owes, in steps of one unit, over all its streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed(Arc<Mutex<u64>>);

impl Owed {
    /// Locked after an account, never before it.
    pub(super) fn steps(&self) -> MutexGuard<'_, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// All payers who owe something, or may soon.
#[derive(Debug, Default)]
pub(super) struct Debts(HashMap<Debtor, Owed>);

impl Debts {
    /// What this one owes. Of those without an account it is kept in mind as long as there are fewer
    /// than `most` in all.
    pub(super) fn of(&mut self, debtor: Debtor, most: usize) -> Owed {
        if self.0.len() >= most && !self.0.contains_key(&debtor) {
            self.0.retain(|_, owed| owed.is_in_use() || *owed.steps() > 0);
            if self.0.len() >= most {
                self.0.retain(|_, owed| owed.is_in_use());
            }
        }
        self.0.entry(debtor).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debtor(number: u8) -> Debtor {
        (PublicKey([number; 33]), AssetId(0), Amount(1))
    }

    #[test]
    fn debts_are_kept_longer_than_accounts_and_are_bounded() {
        let mut debts = Debts::default();
        let used = debts.of(debtor(0), 3);
        *debts.of(debtor(1), 3).steps() = 7;
        debts.of(debtor(2), 3);
        // Who owes nothing is forgotten first.
        debts.of(debtor(3), 3);
        assert_eq!((debts.0.len(), *debts.of(debtor(1), 3).steps()), (3, 7));
        // Then who has no account.
        *debts.of(debtor(3), 3).steps() = 1;
        *used.steps() = 2;
        debts.of(debtor(4), 3);
        assert_eq!(debts.0.len(), 2);
        assert_eq!([0, 1].map(|number| *debts.of(debtor(number), 3).steps()), [2, 0]);
    }
}
