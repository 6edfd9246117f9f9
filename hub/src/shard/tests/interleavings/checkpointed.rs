//! A checkpoint while wallets pay each other.

use std::collections::{BTreeMap, BTreeSet};

use settlement::index::{Change, Index, IndexError, MemoryIndex, RowVisitor, Shelf};
use settlement::journal::{Lsn, Past};
use settlement::types::ChannelId;
use shuttle::rand::Rng;

use super::paid::{SHARDS, callers};
use super::{Hub, durable};
use crate::checkpoint::{Checkpointer, Due};
use crate::counters::Counters;
use crate::interleavings::try_orders;
use crate::shard::Shard;
use crate::shard::tests::starting::{Rows, restored};
use crate::sync::Arc;
use crate::sync::thread::{spawn, yield_now};

/// An index whose rows may not be ahead of the journal.
struct Behind {
    inner: MemoryIndex,
    journal: std::sync::Arc<dyn Past>,
}

impl Index for Behind {
    fn position(&self) -> Lsn {
        self.inner.position()
    }
    fn archivable(&self) -> Lsn {
        // What is archived is gone here, and it is all looked at again.
        0
    }
    fn scan(&self, prefix: &[u8], visit: RowVisitor<'_>) -> Result<(), IndexError> {
        self.inner.scan(prefix, visit)
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.inner.get(key)
    }
    fn rest(&mut self) {}
    fn checkpoint(
        &mut self,
        position: Lsn,
        changes: &mut dyn Iterator<Item = Change>,
    ) -> Result<(), IndexError> {
        assert!(position <= self.journal.durable(), "rows ahead of the journal");
        self.inner.checkpoint(position, changes)
    }
}

fn channels(shards: &[Shard]) -> BTreeMap<ChannelId, Vec<u8>> {
    let channels = shards.iter().flat_map(Shard::channels);
    channels.map(|channel| (channel.id(), settlement::encoding::encode(channel))).collect()
}

fn pairs(shards: &[Shard]) -> BTreeSet<(ChannelId, u64)> {
    shards.iter().flat_map(Shard::pairs).map(|pair| pair.outgoing).collect()
}

#[test]
fn a_checkpoint_is_what_the_durable_records_up_to_one_of_them_make() {
    try_orders(200, || {
        let mut hub = Hub::start(SHARDS, 3);
        let shelf = Shelf::new();
        let index = Behind { inner: MemoryIndex::open(&shelf), journal: hub.past.clone() };
        let (due, counters) = (Due { records: u64::MAX }, Arc::<Counters>::default());
        let checkpointer = Checkpointer::start(index, due, hub.shared.clone(), counters).unwrap();
        let callers = callers(&mut hub).map(|caller| spawn(move || caller.pay()));
        (0..shuttle::rand::thread_rng().gen_range(0..60)).for_each(|_| yield_now());
        checkpointer.stop();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let _journal = hub.threads.stop(&hub.shared);

        let index = MemoryIndex::open(&shelf);
        let mut rows = Rows::new();
        let mut keep = |key: &[u8], value: &[u8]| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(())
        };
        index.scan(&[], &mut keep).unwrap();
        let mut world = hub.world;
        let at = usize::try_from(index.position()).unwrap();
        world.journal = durable(&*hub.past)[..at].to_vec();
        assert!(at > 0, "no checkpoint was taken");
        let from_rows = restored(&world, &rows, at, SHARDS);
        let replayed = world.replayed(SHARDS);
        assert!(channels(&from_rows) == channels(&replayed), "other rows than its records");
        // That a pair is concluded is no record of its own: the payer's channel has it, and whoever
        // keeps the pair hears of it, before the checkpoint or after it.
        let (open, kept, made) = (pairs(&world.replayed(1)), pairs(&from_rows), pairs(&replayed));
        assert!(open.is_subset(&kept), "a payer may never hear what became of a lock");
        assert!(kept.is_subset(&made), "a lock is known that was never made");
    });
}
