//! Ledgers with a long history of everything, made in a moment by the real producer: many accounts
//! that pay each other, and channels that open, are paid into, recorded, anchored, paid out of, and
//! closed together, alone, or against an answer.
//!
//! A seed fixes all of it but the ledger's key.

mod channels;
mod flips;

pub use flips::{Flips, Found};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::block::LedgerEvent;
use settlement::crypto::SigningKey;
use settlement::index::{MemoryIndex, Shelf};
use settlement::journal::{FileJournal, JournalConfig};
use settlement::ledger::home::{Home, JOURNAL_KIND};
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::params::{Allocation, Genesis};
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, LedgerId, PublicKey};

use channels::Life;

const EUR: AssetId = AssetId(0);
/// What everybody starts with.
const RICH: Amount = Amount(1 << 40);
/// Hubs; their channels are spread evenly.
const HUBS: usize = 4;

/// How long a history is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Blocks, each a group of its own in the journal.
    pub blocks: u64,
    /// Transactions in all of them, spread evenly; more if the channels alone take more.
    pub transactions: u64,
    /// Accounts that pay each other and open channels.
    pub wallets: usize,
    /// Channels that are opened in each block.
    pub opened: usize,
    /// Where a segment of the journal ends, in bytes.
    pub segment_bytes: u64,
}

/// What was made, and how long that took.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// How many blocks.
    pub blocks: u64,
    /// How many transactions, all of which were taken.
    pub transactions: u64,
    /// From the first transaction to the last block's sync.
    pub took: Duration,
}

/// Somebody with an account.
struct Party {
    key: SigningKey,
    public: PublicKey,
    nonce: u64,
}

impl Party {
    fn new(rng: &mut ChaCha8Rng) -> Party {
        loop {
            if let Ok(key) = SigningKey::from_bytes(rng.random()) {
                return Party { public: key.public(), key, nonce: 0 };
            }
        }
    }

    /// Spends the next nonce.
    fn act(&mut self, ledger: LedgerId, action: AccountAction) -> Transaction {
        let body = AccountTx { ledger, account: self.public, nonce: self.nonce, action };
        self.nonce += 1;
        Transaction::account(&self.key, body)
    }
}

struct Maker {
    plan: Plan,
    rng: ChaCha8Rng,
    producer: Producer,
    wallets: Vec<Party>,
    hubs: Vec<Party>,
    life: Life,
    transactions: u64,
}

/// Makes a ledger in `dir`, as `ledger run` would have left it, and calls `progress` with each
/// block's height.
///
/// # Errors
/// When files can't be written.
///
/// # Panics
/// When the ledger refuses something.
pub fn make(dir: &Path, plan: Plan, seed: u64, progress: &mut dyn FnMut(u64)) -> Result<Made> {
    let mut maker = Maker::new(dir, plan, seed)?;
    let started = Instant::now();
    for height in 1..=plan.blocks {
        maker.block(height)?;
        progress(height);
    }
    let (blocks, transactions) = (plan.blocks, maker.transactions);
    Ok(Made { blocks, transactions, took: started.elapsed() })
}

/// Where a ledger's journal is.
pub fn journal_in(dir: &Path) -> PathBuf {
    dir.join("journal")
}

impl Maker {
    fn new(dir: &Path, plan: Plan, seed: u64) -> Result<Maker> {
        let home = Home::at(dir)?;
        let key = home.key()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut parties = |count| (0..count).map(|_| Party::new(&mut rng)).collect::<Vec<_>>();
        let (wallets, hubs) = (parties(plan.wallets), parties(HUBS));
        let mut genesis = Genesis::development("long", key.public(), seed);
        let rich = |party: &Party| Allocation { account: party.public, asset: EUR, amount: RICH };
        genesis.allocations = wallets.iter().chain(&hubs).map(rich).collect();
        let genesis = home.genesis(Some(genesis), false, &key)?;
        // The index stays in memory: a start makes it anew from the journal.
        let journal =
            JournalConfig { segment_bytes: plan.segment_bytes, ..JournalConfig::new(JOURNAL_KIND) };
        let journal = FileJournal::open(journal_in(dir), journal)?;
        let index = MemoryIndex::open(&Shelf::new());
        let config = ProducerConfig::default();
        let producer = Producer::open(genesis, key, Box::new(journal), Box::new(index), config);
        let producer = producer.context("a new ledger opens")?;
        let life = Life::default();
        Ok(Maker { plan, rng, producer, wallets, hubs, life, transactions: 0 })
    }

    fn block(&mut self, height: u64) -> Result<()> {
        for tx in self.live() {
            self.submit(tx);
        }
        let due = self.plan.transactions * height / self.plan.blocks;
        while self.transactions < due {
            let tx = self.transfer();
            self.submit(tx);
        }
        let block = self.producer.produce(height * 1_000)?.context("the time has come")?;
        assert_eq!(self.producer.mempool().len(), 0, "block {height} is full");
        let refused = block.events.iter().find(|e| matches!(e, LedgerEvent::Refused { .. }));
        assert_eq!(refused, None, "block {height}");
        Ok(())
    }

    fn transfer(&mut self) -> Transaction {
        let from = self.rng.random_range(0..self.wallets.len());
        let to = self.wallets[self.rng.random_range(0..self.wallets.len())].public;
        let amount = Amount(self.rng.random_range(1..1_000));
        let ledger = self.producer.ledger().id();
        self.wallets[from].act(ledger, AccountAction::Transfer { to, asset: EUR, amount })
    }

    fn submit(&mut self, tx: Transaction) {
        let taken = self.producer.submit(tx.clone());
        assert!(taken.is_ok(), "{taken:?}: {tx:?}");
        self.transactions += 1;
    }
}
