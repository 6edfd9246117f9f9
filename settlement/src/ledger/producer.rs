//! Makes blocks: takes what waits, applies it, signs, writes, and only then shows it.
//!
//! Driven from outside: it has no clock and no thread. One block is one record of the journal,
//! written and synced before anybody hears of it.

use std::sync::Arc;

use super::mempool::{Mempool, MempoolConfig};
use super::store::{History, Store, StoreConfig, StoreError};
use super::{BlockError, Ledger};
use crate::api::ChannelView;
use crate::block::{BlockEvents, SignedHeader};
use crate::crypto::{Signable, SigningKey};
use crate::index::Index;
use crate::journal::Journal;
use crate::params::Genesis;
use crate::reject::Code;
use crate::state_proof::StateProof;
use crate::tx::{Mint, Transaction};
use crate::types::{Amount, AssetId, ChannelId, PublicKey, TxId};

/// Limits of a producer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerConfig {
    /// Of the queue.
    pub mempool: MempoolConfig,
    /// Of the store.
    pub store: StoreConfig,
}

impl ProducerConfig {
    /// The defaults, with a checkpoint of the index after so many blocks at the latest.
    pub fn checkpoint_each(blocks: u64) -> ProducerConfig {
        let store = StoreConfig { checkpoint_blocks: blocks, ..StoreConfig::default() };
        ProducerConfig { store, ..ProducerConfig::default() }
    }
}

/// The one writer of a ledger. See the module.
pub struct Producer {
    ledger: Ledger,
    mempool: Mempool,
    store: Store,
    key: SigningKey,
}

impl Producer {
    /// Opens a ledger where it was, or at its genesis.
    ///
    /// # Errors
    /// [`StoreError`]: each says what to do.
    pub fn open(
        genesis: Genesis,
        key: SigningKey,
        journal: Box<dyn Journal>,
        index: Box<dyn Index>,
        config: ProducerConfig,
    ) -> Result<Producer, StoreError> {
        if genesis.ledger_key != key.public() {
            return Err(StoreError::Key);
        }
        let (ledger, store) = Store::open(genesis, journal, index, config.store)?;
        let mempool = Mempool::new(config.mempool.within_delay(ledger.parameters()));
        Ok(Producer { ledger, mempool, store, key })
    }

    /// The ledger as of the newest block, which is durable.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What waits for the next block.
    pub fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// The newest block's header; none before the first.
    pub fn tip(&self) -> Option<&SignedHeader> {
        self.store.tip()
    }

    /// The earliest time that the next block may have, in milliseconds since 1970.
    pub fn next_time_ms(&self) -> u64 {
        let least = self.ledger.parameters().least_interval_ms;
        self.ledger.tip().time_ms.saturating_add(least)
    }

    /// Takes a transaction in for a block.
    ///
    /// # Errors
    /// The code that it is refused with.
    pub fn submit(&mut self, tx: Transaction) -> Result<TxId, Code> {
        self.mempool.submit(&self.ledger, tx)
    }

    /// The faucet: new money, on development ledgers alone.
    ///
    /// # Errors
    /// [`Code::NoFaucet`], and what a mint is refused with.
    pub fn mint(&mut self, to: PublicKey, asset: AssetId, amount: Amount) -> Result<TxId, Code> {
        let number = self.ledger.next_mint();
        let body = Mint {
            ledger: self.ledger.id(),
            number: number.saturating_add(self.mempool.minting()),
            to,
            asset,
            amount,
        };
        let signature = self.key.sign(&body.digest());
        self.submit(Transaction::Mint { body, signature })
    }

    /// Makes one block, empty if nothing waits. `None` when the least interval since the last
    /// block has not passed: a clock that was set back makes the ledger stand still, and lets
    /// nobody's deadline pass.
    ///
    /// # Errors
    /// [`StoreError::Journal`]: the ledger is ahead of the disk, so the process must end. A failed
    /// checkpoint is logged and tried again with a later block.
    pub fn produce(&mut self, now_ms: u64) -> Result<Option<Arc<BlockEvents>>, StoreError> {
        if self.store.tip().is_some() && now_ms < self.next_time_ms() {
            return Ok(None);
        }
        let genesis = self.ledger.parameters();
        let bytes = usize::try_from(genesis.block_bytes).unwrap_or(usize::MAX);
        let waiting = self.mempool.take(bytes, u64::from(genesis.block_hashes / 2));
        let mut applied = match self.ledger.apply(waiting, now_ms) {
            Ok(applied) => applied,
            Err(error) => return Err(self.unmade(error)),
        };
        let left_over = std::mem::take(&mut applied.left_over);
        let done = std::mem::take(&mut applied.outcomes);
        self.mempool.done(&applied.transactions, &done, left_over);
        let header = SignedHeader::sign(&self.key, applied.header);
        let events = self.store.write(header, applied)?;
        if self.store.checkpoint_due(&self.ledger) {
            self.checkpoint();
        }
        Ok(Some(events))
    }

    fn unmade(&self, error: BlockError) -> StoreError {
        StoreError::Block { height: self.ledger.tip().height.after(1).0, reason: error.to_string() }
    }

    /// Brings the index up to the newest block, as before a clean stop. A failure costs only time
    /// at the next start, so it is logged.
    pub fn checkpoint(&mut self) {
        if let Err(error) = self.store.checkpoint(&self.ledger) {
            tracing::warn!(%error, "no checkpoint was taken; the journal has everything");
        }
    }

    /// What earlier blocks did, to be read from any thread.
    pub fn history(&self) -> &Arc<History> {
        self.store.history()
    }

    /// A channel, whether open, closing or paid out.
    ///
    /// # Errors
    /// [`StoreError::Index`] when what was paid out can't be read.
    pub fn channel(&self, id: &ChannelId) -> Result<Option<ChannelView>, StoreError> {
        match self.ledger.channel(id) {
            Some(channel) => Ok(Some(channel.view())),
            None => Ok(self.store.closed(id)?.map(|closed| closed.view())),
        }
    }

    /// A channel's state under the newest header; none once it is paid out, or before the first
    /// block.
    pub fn state_proof(&self, id: &ChannelId) -> Option<StateProof> {
        self.ledger.state_proof(id, self.tip()?)
    }
}

#[cfg(test)]
mod tests;
