//! Blocks: making one from waiting transactions, and checking one that somebody else made.
//!
//! Both apply the same transactions in the same way; a follower then compares the header, whose
//! running digest covers every row that was written. A replay that computes something else is
//! noticed in the very block where it does.

use std::collections::HashMap;

use super::apply::Ahead;
use super::channel::ClosedChannel;
use super::measured::Measured;
use super::parallel::SIGNATURES;
use super::room::Room;
use super::rows::{Row, chain_writes};
use super::verified::{Keys, VerifiedTx};
use super::{Ledger, Tip};
use crate::block::{Block, Header, LedgerEvent};
use crate::crypto::merkle_root;
use crate::proof::OpenTerms;
use crate::reject::Code;
use crate::tx::{AccountAction, Transaction};
use crate::types::{ChannelId, Hash, Height, TxId};

/// What applying a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// To be signed by the ledger's key.
    pub header: Header,
    /// Those that the block holds, refused ones included.
    pub transactions: Vec<Transaction>,
    /// What became of each.
    pub outcomes: Vec<(TxId, Result<(), Code>)>,
    /// What followers hear.
    pub events: Vec<LedgerEvent>,
    /// Every row that was written, for the index.
    pub rows: Vec<Row>,
    /// The channels that were paid out.
    pub closed: Vec<ClosedChannel>,
    /// Transactions that did not fit in, in their order: those that were too much for the block's
    /// bytes or hashes, and those of the same accounts behind them.
    pub left_over: Vec<VerifiedTx>,
}

/// Why a block was not applied, or what it turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Of another ledger.
    #[error("the block is of another ledger")]
    WrongLedger,
    /// Not the next height.
    #[error("block {found} cannot follow block {tip}")]
    Height {
        /// The newest block's height.
        tip: Height,
        /// The height found.
        found: Height,
    },
    /// Does not build on the newest block.
    #[error("the block does not build on the newest one")]
    Parent,
    /// Earlier than the parent's time and the least interval.
    #[error("the block's time is too close to its parent's")]
    TooEarly,
    /// Not by the ledger's key.
    #[error("the block is not signed by the ledger's key")]
    Signature,
    /// The root or the count is not that of the transactions.
    #[error("the transactions are not those of the header")]
    Transactions,
    /// A transaction that is malformed or not signed.
    #[error("a transaction of the block is invalid on its face: {0}")]
    InvalidTransaction(Code),
    /// Over the block's bytes or hashes.
    #[error("the block holds more than a block may")]
    OverBudget,
    /// Applied, but accounts and escrow no longer add up to what was issued. The ledger that
    /// applied it must not be used any more.
    #[error("applying the block would make or lose money")]
    NotConserved,
    /// Applied, but the writes are not those that the header says. The ledger that applied it must
    /// not be used any more.
    #[error("applying the block does not give what its header says")]
    Diverged,
}

impl Ledger {
    /// Applies as many of these transactions as fit, in their order, as the next block.
    ///
    /// A transaction that turns out to be invalid is refused within the block ([`Applied`] says
    /// which) and stops nothing. Once this has returned `Ok` the ledger is at the new height, so
    /// the block must be signed and kept, or the ledger thrown away.
    ///
    /// # Errors
    /// [`BlockError::TooEarly`] when less than the least interval has passed; nothing changed.
    ///
    /// # Panics
    /// If accounts and escrow no longer add up to what was issued: that is a mistake in this
    /// program, and no such block must ever be signed.
    pub fn apply(
        &mut self,
        transactions: impl IntoIterator<Item = VerifiedTx>,
        time_ms: u64,
    ) -> Result<Applied, BlockError> {
        match self.make(transactions, time_ms) {
            Err(BlockError::NotConserved) => panic!(
                "block {} would make or lose money: {:?}",
                self.tip().height.after(1),
                self.state.held
            ),
            other => other,
        }
    }

    fn make(
        &mut self,
        transactions: impl IntoIterator<Item = VerifiedTx>,
        time_ms: u64,
    ) -> Result<Applied, BlockError> {
        self.check_time(time_ms)?;
        let height = self.tip().height.after(1);
        let transactions: Vec<VerifiedTx> = transactions.into_iter().collect();
        let measured = Measured::ahead(self, &transactions, height);
        let mut filling = Filling::new(self, height, measured);
        transactions.into_iter().for_each(|tx| filling.push(tx));
        let Filling { transactions, outcomes, mut events, left_over, .. } = filling;
        self.settle_due(height, &mut events);
        let rows = self.state.take_changes();
        let closed = self.state.take_closed();
        if !self.state.is_conserved() {
            return Err(BlockError::NotConserved);
        }
        let state_root = self.state.update_tree();
        let header = self.next_header(height, time_ms, &outcomes, &rows, state_root);
        self.move_to(&header);
        Ok(Applied { header, transactions, outcomes, events, rows, closed, left_over })
    }

    fn next_header(
        &self,
        height: Height,
        time_ms: u64,
        outcomes: &[(TxId, Result<(), Code>)],
        rows: &[Row],
        state_root: Hash,
    ) -> Header {
        let ids: Vec<Hash> = outcomes.iter().map(|(id, _)| Hash(id.0)).collect();
        Header {
            ledger: self.id(),
            height,
            parent: self.tip().digest,
            time_ms,
            tx_root: merkle_root(&ids),
            tx_count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            writes: chain_writes(&self.tip().writes, rows),
            state_root,
        }
    }

    fn move_to(&mut self, header: &Header) {
        self.tip = Tip::of(header);
    }

    fn check_time(&self, time_ms: u64) -> Result<(), BlockError> {
        let tip = self.tip();
        let least = self.parameters().least_interval_ms;
        let first = tip.height == Height(0);
        let late_enough = time_ms >= tip.time_ms.saturating_add(least);
        let right = first || late_enough;
        right.then_some(()).ok_or(BlockError::TooEarly)
    }

    /// Checks a signed block of somebody else, or of an earlier run, and applies it.
    ///
    /// Whether the header is from the future is for the caller, who has a clock.
    ///
    /// # Errors
    /// [`BlockError`]. After [`BlockError::OverBudget`], [`BlockError::NotConserved`] and
    /// [`BlockError::Diverged`], which only the owner of the ledger's key can bring about, the
    /// ledger is at a height of its own and must be thrown away; after all others nothing changed.
    pub fn verify_block(&mut self, block: &Block) -> Result<Applied, BlockError> {
        let header = &block.header.header;
        self.check_place(header)?;
        block.header.verify(&self.key).map_err(|_| BlockError::Signature)?;
        let transactions = self.verify_transactions(block)?;
        self.follow(transactions, header)
    }

    /// Applies a block of this ledger's own journal again. What its own key has signed was checked
    /// before; whether applying it gives what the header says is checked here too.
    ///
    /// # Errors
    /// As [`Ledger::verify_block`].
    pub(super) fn retake_block(&mut self, block: &Block) -> Result<Applied, BlockError> {
        let header = &block.header.header;
        self.check_place(header)?;
        let transactions = VerifiedTx::under_own_header(block, &self.key)?;
        self.follow(transactions, header)
    }

    fn follow(
        &mut self,
        transactions: Vec<VerifiedTx>,
        header: &Header,
    ) -> Result<Applied, BlockError> {
        let applied = self.make(transactions, header.time_ms)?;
        if !applied.left_over.is_empty() {
            return Err(BlockError::OverBudget);
        }
        if applied.header != *header {
            return Err(BlockError::Diverged);
        }
        Ok(applied)
    }

    /// Whether a header comes next here.
    fn check_place(&self, header: &Header) -> Result<(), BlockError> {
        let tip = self.tip();
        if header.ledger != self.id() {
            return Err(BlockError::WrongLedger);
        }
        if header.height != tip.height.after(1) {
            return Err(BlockError::Height { tip: tip.height, found: header.height });
        }
        if header.parent != tip.digest {
            return Err(BlockError::Parent);
        }
        self.check_time(header.time_ms)
    }

    /// Checks that the transactions are the header's, and their signatures, on all cores.
    /// Channels may have been opened in the block itself; a transaction on a channel that is
    /// nowhere can only be refused, so nothing rests on its signature.
    fn verify_transactions(&self, block: &Block) -> Result<Vec<VerifiedTx>, BlockError> {
        let (header, transactions) = (&block.header.header, &block.transactions);
        let opened: HashMap<ChannelId, OpenTerms> =
            transactions.iter().filter_map(opened_by).collect();
        let in_block = |id: &ChannelId| opened.get(id).map(|terms| (*terms, header.height));
        let terms = |id: &ChannelId| self.terms_of(id).or_else(|| in_block(id));
        let keys = Keys {
            ledger: self.id(),
            ledger_key: &self.key,
            development: self.parameters().development,
            free: self.parameters().fees.is_free(),
            tip: self.tip().height,
            terms: &terms,
            wallet_keys: &self.state.wallet_keys,
            in_block: true,
            workers: self.workers,
        };
        let verify = |tx: &Transaction| {
            let verified = VerifiedTx::verify(tx.clone(), &keys);
            let id = verified.as_ref().map_or_else(|_| tx.id(), VerifiedTx::id);
            (id, verified)
        };
        let (ids, verified): (Vec<TxId>, Vec<Result<VerifiedTx, Code>>) =
            self.workers.map(SIGNATURES, transactions, verify).into_iter().unzip();
        if !is_over(header, ids.into_iter()) {
            return Err(BlockError::Transactions);
        }
        let verified: Result<Vec<VerifiedTx>, Code> = verified.into_iter().collect();
        verified.map_err(BlockError::InvalidTransaction)
    }

    /// Checks what can be checked of a transaction without applying it: its shape and signatures.
    ///
    /// # Errors
    /// The code that it is refused with.
    pub fn verify_tx(&self, tx: Transaction) -> Result<VerifiedTx, Code> {
        let keys = Keys {
            ledger: self.id(),
            ledger_key: &self.key,
            development: self.parameters().development,
            free: self.parameters().fees.is_free(),
            tip: self.tip().height,
            terms: &|id| self.terms_of(id),
            wallet_keys: &self.state.wallet_keys,
            in_block: false,
            workers: self.workers,
        };
        VerifiedTx::verify(tx, &keys)
    }

    fn terms_of(&self, id: &ChannelId) -> Option<(OpenTerms, Height)> {
        self.state.channel(id).map(|channel| (channel.terms, channel.opened))
    }

    /// Whether a transaction would be taken if it were the next block's only one.
    ///
    /// # Errors
    /// The code that it would be refused with.
    pub fn check(&self, tx: &VerifiedTx) -> Result<(), Code> {
        self.check_behind(tx, Ahead(0))
    }

    /// The same for a transaction behind others of its account.
    pub(super) fn check_behind(&self, tx: &VerifiedTx, ahead: Ahead) -> Result<(), Code> {
        self.plan(tx, self.tip().height.after(1), ahead)
    }
}

/// Whether these are the ids of a header's transactions.
pub(super) fn is_over(header: &Header, ids: impl Iterator<Item = TxId>) -> bool {
    let ids: Vec<Hash> = ids.map(|id| Hash(id.0)).collect();
    merkle_root(&ids) == header.tx_root && u32::try_from(ids.len()) == Ok(header.tx_count)
}

fn opened_by(tx: &Transaction) -> Option<(ChannelId, OpenTerms)> {
    match tx {
        Transaction::Account { body, .. } => match &body.action {
            AccountAction::Open { terms, .. } => Some((terms.channel_id(), *terms)),
            _ => None,
        },
        _ => None,
    }
}

/// A block being filled.
struct Filling<'a> {
    ledger: &'a mut Ledger,
    height: Height,
    measured: Measured,
    room: Room,
    left_over: Vec<VerifiedTx>,
    transactions: Vec<Transaction>,
    outcomes: Vec<(TxId, Result<(), Code>)>,
    events: Vec<LedgerEvent>,
}

impl Filling<'_> {
    fn new(ledger: &mut Ledger, height: Height, measured: Measured) -> Filling<'_> {
        Filling {
            height,
            measured,
            room: Room::of(ledger.parameters()),
            left_over: Vec::new(),
            ledger,
            transactions: Vec::new(),
            outcomes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Applies a transaction, or leaves it over.
    fn push(&mut self, tx: VerifiedTx) {
        let cost = self.ledger.cost(&tx, self.height);
        if !self.room.takes(&tx, cost) {
            self.left_over.push(tx);
            return;
        }
        let outcome = self.ledger.execute(&tx, self.height, &self.measured, &mut self.events);
        if let Err(code) = outcome {
            let tx = tx.id();
            self.events.push(LedgerEvent::Refused { tx, code });
        }
        self.outcomes.push((tx.id(), outcome));
        self.transactions.push(tx.into_tx());
    }
}

#[cfg(test)]
mod tests;
