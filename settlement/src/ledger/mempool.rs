//! Transactions that wait for a block, in the order of their arrival.
//!
//! Bounded in number and bytes. Sending the same transaction again repeats the answer: while it
//! waits, and after it was applied (the newest [`REMEMBERED`] are known). One that was refused in a
//! block is forgotten, so that it can be sent again when it may work: a `Settle` that came too
//! early is the very same transaction later on.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Ledger;
use super::apply::Ahead;
use super::verified::VerifiedTx;
use crate::reject::Code;
use crate::tx::Transaction;
use crate::types::{PublicKey, TxId};

/// How many applied transactions are remembered.
pub const REMEMBERED: usize = 65_536;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct MempoolConfig {
    /// The most transactions.
    pub count: usize,
    /// The most bytes of them.
    pub bytes: usize,
}

impl Default for MempoolConfig {
    fn default() -> MempoolConfig {
        MempoolConfig { count: 65_536, bytes: 64 << 20 }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Mempool {
    config: MempoolConfig,
    queue: VecDeque<VerifiedTx>,
    bytes: usize,
    waiting: HashSet<TxId>,
    /// How many wait that spend a nonce of this account; `None` counts mints.
    spending: HashMap<Option<PublicKey>, u64>,
    applied: HashSet<TxId>,
    applied_oldest_first: VecDeque<TxId>,
}

impl Mempool {
    /// An empty queue.
    pub fn new(config: MempoolConfig) -> Mempool {
        Mempool { config, ..Mempool::default() }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many of them spend a nonce of this account.
    pub fn spending(&self, account: &PublicKey) -> u64 {
        self.spending.get(&Some(*account)).copied().unwrap_or(0)
    }

    /// How many mints wait.
    pub fn minting(&self) -> u64 {
        self.spending.get(&None).copied().unwrap_or(0)
    }

    /// Takes a transaction in, if it would be taken in the next block behind what waits of the
    /// same account.
    ///
    /// # Errors
    /// The code that it is refused with.
    pub fn submit(&mut self, ledger: &Ledger, tx: Transaction) -> Result<TxId, Code> {
        let id = tx.id();
        if self.waiting.contains(&id) {
            return Ok(id);
        }
        match self.admit(ledger, tx) {
            Err(_) if self.applied.contains(&id) => Ok(id),
            other => other.map(|()| id),
        }
    }

    fn admit(&mut self, ledger: &Ledger, tx: Transaction) -> Result<(), Code> {
        let spends = spends(&tx);
        let ahead = spends.and_then(|by| self.spending.get(&by)).copied();
        // Cheap refusals come before signatures are checked.
        if self.queue.len() >= self.config.count {
            return Err(Code::QueueFull);
        }
        let verified = ledger.verify_tx(tx)?;
        ledger.check_behind(&verified, Ahead(ahead.unwrap_or(0)))?;
        let bytes = self.bytes.saturating_add(verified.bytes());
        if bytes > self.config.bytes {
            return Err(Code::QueueFull);
        }
        self.bytes = bytes;
        self.waiting.insert(verified.id());
        if let Some(by) = spends {
            let count = self.spending.entry(by).or_default();
            *count = count.saturating_add(1);
        }
        self.queue.push_back(verified);
        Ok(())
    }

    /// The oldest that fit into so many bytes. They still count as waiting until
    /// [`Mempool::done`].
    pub(super) fn take(&mut self, mut bytes: usize) -> Vec<VerifiedTx> {
        let mut taken = Vec::new();
        while let Some(next) = self.queue.front() {
            let Some(left) = bytes.checked_sub(next.bytes()) else {
                break;
            };
            bytes = left;
            taken.extend(self.queue.pop_front());
        }
        taken
    }

    /// Says what became of those that were taken. What is left over goes back to the front.
    pub(super) fn done(
        &mut self,
        applied: &[Transaction],
        outcomes: &[(TxId, Result<(), Code>)],
        left_over: Vec<VerifiedTx>,
    ) {
        for tx in left_over.into_iter().rev() {
            self.queue.push_front(tx);
        }
        for (tx, (id, outcome)) in applied.iter().zip(outcomes) {
            self.waiting.remove(id);
            self.unspend(tx);
            if outcome.is_ok() {
                self.remember(*id);
            }
        }
        self.bytes = self.queue.iter().map(VerifiedTx::bytes).sum();
    }

    fn unspend(&mut self, tx: &Transaction) {
        let Some(by) = spends(tx) else { return };
        let left = self.spending.get(&by).copied().unwrap_or(0);
        match left.saturating_sub(1) {
            0 => self.spending.remove(&by),
            left => self.spending.insert(by, left),
        };
    }

    fn remember(&mut self, id: TxId) {
        if self.applied.insert(id) {
            self.applied_oldest_first.push_back(id);
        }
        if self.applied_oldest_first.len() > REMEMBERED
            && let Some(oldest) = self.applied_oldest_first.pop_front()
        {
            self.applied.remove(&oldest);
        }
    }
}

/// Whose nonce it spends; `Some(None)` for the ledger's own count of mints.
fn spends(tx: &Transaction) -> Option<Option<PublicKey>> {
    match tx {
        Transaction::Account { body, .. } => Some(Some(body.account)),
        Transaction::Mint { .. } => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
