//! Cutting an anchor into chunks, and following them into blocks.
//!
//! A chunk is one transaction. A few at a time go to the ledger, and the next ones once those are in
//! a block: so a block keeps room for claims and payments of others, and following it holds no shard
//! up for long.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use settlement::encoding::encode;
use settlement::ledger::TX_BYTES_MAX;
use settlement::liabilities::Liabilities;
use settlement::params::Genesis;
use settlement::reject::Code;
use settlement::tx::{AnchorEntry, Anchoring};
use settlement::types::{AssetId, ChannelId, Height, TxId};

/// The most entries of a chunk, well below what the ledger takes: its one thread checks each one's
/// signature when it takes a chunk in, which holds up all else there, and takes a core away from
/// whatever shares the machine with it. These take about two milliseconds.
const ENTRIES_MAX: usize = 64;

/// The longest wait between two chunks.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What a chunk has beside its entries, at most, with the envelope of its transaction.
const AROUND_BYTES: usize = 512;

/// How large chunks and what goes into one block may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunking {
    /// Of one transaction.
    pub(super) chunk_bytes: usize,
    /// Of all that go into one block.
    pub(super) block_bytes: usize,
}

impl Chunking {
    /// A quarter of each block at most.
    pub(super) fn of(genesis: &Genesis) -> Chunking {
        let block_bytes = usize::try_from(genesis.block_bytes / 4).unwrap_or(usize::MAX);
        let chunk_bytes = TX_BYTES_MAX.saturating_sub(AROUND_BYTES).min(block_bytes);
        Chunking { chunk_bytes, block_bytes }
    }
}

/// All chunks, each group for one block. An asset of which something is said but nothing anchored
/// gets a chunk without entries.
pub(super) fn waves(
    said: &[Liabilities],
    entries: &BTreeMap<ChannelId, (AssetId, AnchorEntry)>,
    epoch: u64,
    chunking: Chunking,
) -> VecDeque<Vec<Anchoring>> {
    let mut waves: VecDeque<Vec<Anchoring>> = VecDeque::new();
    let mut left = 0usize;
    for liabilities in said {
        let of_asset = entries.values().filter(|(asset, _)| *asset == liabilities.asset);
        for (bytes, entries) in chunks(of_asset.map(|(_, entry)| entry), chunking.chunk_bytes) {
            let bytes = bytes.saturating_add(AROUND_BYTES);
            let chunk = Anchoring { epoch, entries, liabilities: *liabilities };
            match (left.checked_sub(bytes), waves.back_mut()) {
                (Some(rest), Some(wave)) => {
                    left = rest;
                    wave.push(chunk);
                }
                _ => {
                    left = chunking.block_bytes.saturating_sub(bytes);
                    waves.push_back(vec![chunk]);
                }
            }
        }
    }
    waves
}

/// How long is waited between two of a round's chunks, so that all of them take half of the time
/// between two rounds, or less.
pub(super) fn pause(interval: Duration, chunks: usize) -> Duration {
    let share = interval / u32::try_from(chunks).unwrap_or(u32::MAX).max(1);
    (share / 2).min(PAUSE_MAX)
}

/// At least one, perhaps empty, each with the bytes of its entries.
fn chunks<'a>(
    entries: impl Iterator<Item = &'a AnchorEntry>,
    bytes_max: usize,
) -> Vec<(usize, Vec<AnchorEntry>)> {
    let mut done = Vec::new();
    let (mut bytes, mut chunk) = (0usize, Vec::new());
    for entry in entries {
        let more = encode(entry).len();
        let full = bytes.saturating_add(more) > bytes_max || chunk.len() >= ENTRIES_MAX;
        if full && !chunk.is_empty() {
            done.push((bytes, std::mem::take(&mut chunk)));
            bytes = 0;
        }
        bytes = bytes.saturating_add(more);
        chunk.push(entry.clone());
    }
    if !chunk.is_empty() || done.is_empty() {
        done.push((bytes, chunk));
    }
    done
}

/// Chunks on their way into blocks.
pub(super) struct Posting {
    waves: VecDeque<Vec<Anchoring>>,
    /// How many chunks there were in all waves.
    pub(super) of: usize,
    /// Of the chunks under way, how many nobody has answered for in the end.
    open: usize,
    /// Those that the ledger has taken in.
    taken: HashSet<TxId>,
    /// Transactions that blocks refused meanwhile: one of these may be a chunk whose answer is late.
    refused: HashSet<TxId>,
    /// The first block that was followed since the last of those that went out was answered.
    since: Option<Height>,
}

impl Posting {
    pub(super) fn new(waves: VecDeque<Vec<Anchoring>>) -> Posting {
        let (taken, refused) = (HashSet::new(), HashSet::new());
        let of = waves.iter().map(Vec::len).sum();
        Posting { waves, of, open: 0, taken, refused, since: None }
    }

    /// The chunks for the next block; none once all are through.
    pub(super) fn next(&mut self) -> Option<Vec<Anchoring>> {
        let wave = self.waves.pop_front()?;
        self.open = wave.len();
        self.taken.clear();
        self.refused.clear();
        self.since = None;
        Some(wave)
    }

    /// Whether nothing more can come of the chunks under way.
    pub(super) fn is_over(&self) -> bool {
        self.open == 0
    }

    fn close_one(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// One is in a block.
    pub(super) fn confirmed(&mut self) {
        self.close_one();
    }

    /// The ledger's first answer to one.
    ///
    /// # Errors
    /// Why nothing comes of it.
    pub(super) fn posted(&mut self, answer: Result<TxId, Code>) -> Result<(), Code> {
        self.since = None;
        let refused = match answer {
            Ok(tx) if self.refused.contains(&tx) => Err(Code::BadAnchor),
            Ok(tx) => {
                self.taken.insert(tx);
                return Ok(());
            }
            Err(code) => Err(code),
        };
        self.close_one();
        refused
    }

    /// A block has refused a transaction; whether it is one of these.
    pub(super) fn refused(&mut self, tx: &TxId) -> bool {
        let one = self.taken.remove(tx);
        if one {
            self.close_one();
        } else {
            self.refused.insert(*tx);
        }
        one
    }

    /// Whether so many blocks have come without the chunks that they never will.
    pub(super) fn lost(&mut self, height: Height, patience: u64) -> bool {
        let since = *self.since.get_or_insert(height);
        self.open > 0 && height >= since.after(patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_half_of_the_time_until_the_next_at_most() {
        let ms = Duration::from_millis;
        let table = [
            (ms(2_000), 0, ms(50)),
            (ms(2_000), 1, ms(50)),
            (ms(2_000), 20, ms(50)),
            (ms(2_000), 1_000, ms(1)),
            (ms(200), 10, ms(10)),
            (ms(10_000), usize::MAX, Duration::from_nanos(1)),
        ];
        for (interval, chunks, expected) in table {
            assert_eq!(pause(interval, chunks), expected, "{interval:?} {chunks}");
        }
    }
}
