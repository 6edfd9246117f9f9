//! Where blocks are kept: the journal, the index behind it, and the newest blocks in memory.
//!
//! The journal is the truth. Each block is one record with the events that it brought, and record
//! number and height are the same number, so history needs no index of its own. The index holds
//! the rows of the state as of some height, and saves the time to replay everything. A start loads
//! the index and applies the blocks after it: what this ledger's own key has signed was checked before
//! it was written, so no other signature is checked again, but every block must be the one that was
//! signed, and give the writes, the state root and the events that it gave. Nothing is ever dropped,
//! so an index that is lost or wrong is rebuilt. An audit checks every signature: [`super::audit`].
//!
//! The rows of blocks since the last checkpoint wait in memory, the newest version of each only.

mod history;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::blocks::{Applied, BlockError};
use super::rows::Row;
use super::{ClosedChannel, Ledger, LedgerError};
use crate::block::{Block, BlockEvents, LedgerEvent, SignedHeader};
use crate::encoding::{decode, encode, encode_tight};
use crate::index::{Index, IndexError, Rows};
use crate::journal::{Journal, JournalError, Lsn};
use crate::params::Genesis;
use crate::types::ChannelId;

use history::Recent;
pub use history::{HISTORY_BLOCKS_MAX, HISTORY_BYTES, History};

/// The format of the journal's records.
pub const RECORD_VERSION: u16 = 1;

/// The index row that holds the header as of which the rows are. No state row starts with `t`.
const TIP_ROW: &[u8] = b"t";

/// The index rows that tell of channels paid out start with this, and so does no state row.
const CLOSED_ROWS: &[u8] = b"z";

/// Bytes of blocks between two checkpoints for each channel that the second has to write, at least.
pub const CHECKPOINT_BYTES_PER_CHANNEL: u64 = 160;

/// What [`StoreConfig::checkpoint_blocks`] may be set to: a checkpoint writes the whole index, so one
/// with each block or two would be all that a ledger does.
pub const CHECKPOINT_BLOCKS: RangeInclusive<u64> = 10..=1_000_000;

/// [`StoreConfig::checkpoint_blocks`], unless it is set.
pub const CHECKPOINT_BLOCKS_DEFAULT: u64 = 1_024;

/// How much is kept in memory, and how often a checkpoint is taken.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Blocks from one checkpoint of the index to the next, at most: see [`CHECKPOINT_BLOCKS`].
    pub checkpoint_blocks: u64,
    /// Bytes of them, at most, unless the ledger is so large that a checkpoint, which writes all of
    /// it, would come too often: see [`CHECKPOINT_BYTES_PER_CHANNEL`]. They bound what a start has to
    /// take in again.
    pub checkpoint_bytes: u64,
    /// The most blocks of which events are kept in memory.
    pub recent_blocks: usize,
    /// The most bytes of them, as they are in memory.
    pub recent_bytes: usize,
    /// Whether segments that no start needs leave the live journal, so that opening it stays fast.
    /// Only for a journal that still replays what it archived, as the one in files does.
    pub archive: bool,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            checkpoint_blocks: CHECKPOINT_BLOCKS_DEFAULT,
            checkpoint_bytes: 16 << 20,
            recent_blocks: 4_096,
            recent_bytes: 8 << 20,
            archive: false,
        }
    }
}

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The journal. After [`JournalError::Fatal`] the process must end.
    #[error("the ledger's journal: {0}")]
    Journal(#[from] JournalError),
    /// The index. Nothing is lost.
    #[error("the ledger's index: {0}")]
    Index(#[from] IndexError),
    /// The genesis or the stored rows.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is stored belongs to another ledger.
    #[error(
        "the data directory holds another ledger than this genesis makes: use the genesis it was \
         started with, or an empty directory"
    )]
    OtherGenesis,
    /// A record of the journal does not follow from those before it.
    #[error("block {height} in the journal cannot be used: {reason}")]
    Block {
        /// Its height.
        height: Lsn,
        /// What is wrong.
        reason: String,
    },
    /// The key given is not the one that the genesis names.
    #[error("the signing key is not the ledger_key of the genesis")]
    Key,
}

/// One block as the journal keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) version: u16,
    pub(super) block: Block,
    pub(super) events: Vec<LedgerEvent>,
}

/// Journal, index and recent history. See the module.
pub struct Store {
    journal: Box<dyn Journal>,
    index: Box<dyn Index>,
    config: StoreConfig,
    /// Rows that the index does not have yet.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Bytes of the blocks that wrote them.
    changes_bytes: u64,
    history: Arc<History>,
    tip: Option<SignedHeader>,
}

impl Store {
    /// Opens what is stored, and brings the ledger to where it was.
    ///
    /// # Errors
    /// [`StoreError`]: each says what to do.
    pub fn open(
        genesis: Genesis,
        journal: Box<dyn Journal>,
        mut index: Box<dyn Index>,
        config: StoreConfig,
    ) -> Result<(Ledger, Store), StoreError> {
        let (mut ledger, tip) = load(genesis, index.as_mut())?;
        let history = Arc::new(History::new(journal.past()));
        let changes = BTreeMap::new();
        let changes_bytes = 0;
        let mut store = Store { journal, index, config, changes, changes_bytes, history, tip };
        store.replay_into(&mut ledger)?;
        Ok((ledger, store))
    }

    fn replay_into(&mut self, ledger: &mut Ledger) -> Result<(), StoreError> {
        let from = ledger.tip().height.0;
        let mut replayed = Replayed::default();
        let mut failure = None;
        let limits = self.config;
        let visited = self.journal.replay(from, &mut |lsn, bytes| {
            let done =
                replay_one(ledger, lsn, bytes, Ledger::retake_block).map(|(applied, events)| {
                    self.tip = Some(events.header);
                    replayed.take(&applied, Arc::new(events), bytes.len(), &limits);
                });
            done.map_err(|error| {
                let reason = error.to_string();
                failure = Some(error);
                reason
            })
        });
        if let Some(error) = failure {
            return Err(error);
        }
        visited?;
        self.changes = replayed.changes;
        self.changes_bytes = replayed.bytes;
        self.history.starts_with(replayed.recent);
        Ok(())
    }

    /// What earlier blocks did, to be read from any thread.
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The newest block's header; none before the first block.
    pub fn tip(&self) -> Option<&SignedHeader> {
        self.tip.as_ref()
    }

    /// Makes a block durable. Only what this returns may be shown to anybody.
    ///
    /// # Errors
    /// [`StoreError::Journal`]: the process must end, as the ledger is ahead of the disk.
    pub(super) fn write(
        &mut self,
        header: SignedHeader,
        applied: Applied,
    ) -> Result<Arc<BlockEvents>, StoreError> {
        let block = Block { header, transactions: applied.transactions };
        let record = Record { version: RECORD_VERSION, block, events: applied.events };
        let bytes = encode(&record);
        let height = header.header.height;
        let lsn = self.journal.append(&bytes)?;
        if lsn != height.0 {
            let reason = format!("it was written as record {lsn}");
            return Err(StoreError::Block { height: height.0, reason });
        }
        self.journal.sync()?;
        self.tip = Some(header);
        self.changes.extend(applied.rows);
        self.changes.extend(applied.closed.iter().map(closed_row));
        self.changes_bytes = self.changes_bytes.saturating_add(bytes.len() as u64);
        // They are kept for as long as somebody may ask for them, and grew one by one.
        let mut events = record.events;
        events.shrink_to_fit();
        let events = Arc::new(BlockEvents { header, events });
        self.history.remember(Arc::clone(&events), bytes.len(), &self.config);
        Ok(events)
    }

    /// What is left to tell of a channel that was paid out.
    ///
    /// # Errors
    /// [`StoreError::Index`] when it can't be read.
    pub fn closed(&self, id: &ChannelId) -> Result<Option<ClosedChannel>, StoreError> {
        let key = closed_key(id);
        let row = match self.changes.get(&key) {
            Some(row) => row.clone(),
            None => self.index.get(&key)?,
        };
        Ok(row.and_then(|row| decode(&row).ok()))
    }

    /// Whether enough has been written since the last checkpoint.
    pub fn checkpoint_due(&self, ledger: &Ledger) -> bool {
        let covered = self.index.position();
        let blocks = ledger.tip().height.0.saturating_sub(covered);
        let dear = (ledger.channel_count() as u64).saturating_mul(CHECKPOINT_BYTES_PER_CHANNEL);
        blocks >= self.config.checkpoint_blocks
            || self.changes_bytes >= self.config.checkpoint_bytes.max(dear)
    }

    /// Brings the index up to the newest block, and lets the journal move segments that no start
    /// will need into its archive.
    ///
    /// # Errors
    /// [`StoreError::Index`] and [`StoreError::Journal`]: nothing is lost, and the next checkpoint
    /// brings these changes too.
    pub fn checkpoint(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let position = ledger.tip().height.0;
        let Some(tip) = self.tip.filter(|_| position > self.index.position()) else {
            return Ok(());
        };
        let changes = self.changes.iter().map(|(key, value)| (key.clone(), value.clone()));
        // The first checkpoint has to hold what no block ever touched, too.
        let first = self.index.position() == 0;
        let untouched = if first { ledger.all_rows() } else { Vec::new() };
        let tip_row = (TIP_ROW.to_vec(), Some(encode(&tip)));
        let mut rows = untouched.into_iter().chain(changes).chain([tip_row]);
        self.index.checkpoint(position, &mut rows)?;
        self.changes.clear();
        self.changes_bytes = 0;
        if self.config.archive {
            self.journal.archive_before(self.index.archivable())?;
        }
        Ok(())
    }
}

/// What a replay gathers.
#[derive(Default)]
struct Replayed {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: u64,
    recent: Recent,
}

impl Replayed {
    fn take(
        &mut self,
        applied: &Applied,
        block: Arc<BlockEvents>,
        bytes: usize,
        limits: &StoreConfig,
    ) {
        self.changes.extend(applied.rows.iter().cloned());
        self.changes.extend(applied.closed.iter().map(closed_row));
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.recent.push(block, bytes, limits);
    }
}

fn closed_key(id: &ChannelId) -> Vec<u8> {
    [CLOSED_ROWS, id.as_slice()].concat()
}

fn closed_row(closed: &ClosedChannel) -> Row {
    (closed_key(&closed.terms.channel_id()), Some(encode_tight(closed)))
}

/// The ledger as the index has it.
fn load(
    genesis: Genesis,
    index: &mut dyn Index,
) -> Result<(Ledger, Option<SignedHeader>), StoreError> {
    if index.position() == 0 {
        return Ok((Ledger::genesis(genesis)?, None));
    }
    let broken = |why: &str| LedgerError::State(why.to_owned());
    let tip = index.get(TIP_ROW)?;
    let tip = tip.ok_or_else(|| broken("the newest header is missing"))?;
    let tip: SignedHeader = decode(&tip).map_err(|error| broken(&error.to_string()))?;
    if tip.header.ledger != genesis.ledger_id() {
        return Err(StoreError::OtherGenesis);
    }
    if tip.header.height.0 != index.position() {
        return Err(broken("the newest header is not that of its position").into());
    }
    let rows = Rows::read(index, b"")?;
    let of_state = |(key, _): &(&[u8], &[u8])| *key != TIP_ROW && !key.starts_with(CLOSED_ROWS);
    let ledger = Ledger::restore(genesis, &tip.header, rows.iter().filter(of_state))?;
    if tip.verify(ledger.key()).is_err() {
        return Err(broken("the newest header is not signed by the ledger's key").into());
    }
    Ok((ledger, Some(tip)))
}

fn read_record(lsn: Lsn, bytes: &[u8]) -> Result<Record, StoreError> {
    let wrong = |reason: String| StoreError::Block { height: lsn, reason };
    // The version comes first, so that a newer record is named as such and not as damage.
    match postcard::take_from_bytes::<u16>(bytes) {
        Ok((version, _)) if version > RECORD_VERSION => Err(wrong(format!(
            "it has format version {version}, and this program knows versions up to {RECORD_VERSION}"
        ))),
        _ => decode(bytes).map_err(|error| wrong(error.to_string())),
    }
}

/// Checks one record of the journal and has its block applied.
pub(super) fn replay_one(
    ledger: &mut Ledger,
    lsn: Lsn,
    bytes: &[u8],
    apply: impl FnOnce(&mut Ledger, &Block) -> Result<Applied, BlockError>,
) -> Result<(Applied, BlockEvents), StoreError> {
    let record = read_record(lsn, bytes)?;
    let wrong = |reason: String| StoreError::Block { height: lsn, reason };
    let applied = apply(ledger, &record.block);
    let applied = applied.map_err(|error| match error {
        BlockError::WrongLedger => StoreError::OtherGenesis,
        other => wrong(other.to_string()),
    })?;
    if applied.header.height.0 != lsn {
        return Err(wrong("its height is another".to_owned()));
    }
    if applied.events != record.events {
        return Err(wrong("applying it brings other events".to_owned()));
    }
    let events = BlockEvents { header: record.block.header, events: record.events };
    Ok((applied, events))
}

#[cfg(test)]
mod tests;
