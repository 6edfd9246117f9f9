//! Blocks that survive: what was shown is there after a crash, and nothing else was shown.

use super::super::fixture::*;
use super::*;
use crate::block::LedgerEvent;
use crate::index::{MemoryIndex, Shelf};
use crate::journal::{CrashPoint, Disk, MemoryJournal};
use crate::types::{Height, Role};

#[derive(Default)]
struct Machine {
    disk: Disk,
    shelf: Shelf,
}

impl Machine {
    fn start(&self) -> Producer {
        self.try_start(genesis(), ledger_key()).unwrap()
    }

    fn try_start(&self, genesis: Genesis, key: SigningKey) -> Result<Producer, StoreError> {
        let few = StoreConfig { checkpoint_blocks: 4, recent_blocks: 3, ..StoreConfig::default() };
        self.open(genesis, key, few)
    }

    fn start_with(&self, store: StoreConfig) -> Result<Producer, StoreError> {
        self.open(genesis(), ledger_key(), store)
    }

    fn open(
        &self,
        genesis: Genesis,
        key: SigningKey,
        store: StoreConfig,
    ) -> Result<Producer, StoreError> {
        let journal = MemoryJournal::open(&self.disk).unwrap();
        let index = MemoryIndex::open(&self.shelf);
        let config = ProducerConfig { store, ..ProducerConfig::default() };
        Producer::open(genesis, key, Box::new(journal), Box::new(index), config)
    }
}

/// A transfer with the next nonce.
fn pay(producer: &mut Producer, amount: u64) -> TxId {
    let mut world = World::new();
    world.ledger = producer.ledger().clone();
    let tx = world.transfer(Role::Wallet, world.hub.public(), amount);
    producer.submit(tx).unwrap()
}

fn next(producer: &mut Producer) -> Arc<BlockEvents> {
    let time = producer.next_time_ms();
    producer.produce(time).unwrap().unwrap()
}

#[test]
fn a_restart_brings_back_the_same_state_whatever_the_index_covers() {
    // Blocks before the first checkpoint, just at one, and behind one.
    for blocks in [0, 1, 3, 4, 5, 9] {
        let machine = Machine::default();
        let mut producer = machine.start();
        for _ in 0..blocks {
            pay(&mut producer, 1);
            next(&mut producer);
        }
        let (before, tip) = (producer.ledger().clone(), producer.tip().copied());
        drop(producer);
        let again = machine.start();
        assert_eq!(again.ledger().state, before.state, "{blocks}");
        assert_eq!((again.ledger().tip(), again.tip().copied()), (before.tip(), tip));
        drop(again);
        machine.shelf.lose();
        assert_eq!(machine.start().ledger().state, before.state, "{blocks}, without an index");
    }
}

/// A crash at every append and sync: what was shown stays, what was not shown may have happened,
/// and the ledger goes on from there.
#[test]
fn what_was_shown_survives_a_crash_at_any_point() {
    for nth in 1..=10 {
        for point in [
            CrashPoint::Append { nth },
            CrashPoint::Sync { nth, kept: 0 },
            CrashPoint::Sync { nth, kept: 1 },
        ] {
            let machine = Machine::default();
            let mut producer = machine.start();
            machine.disk.crash_at(point);
            let mut shown = vec![];
            loop {
                pay(&mut producer, 1);
                let time = producer.next_time_ms();
                match producer.produce(time) {
                    Ok(block) => shown.extend(block),
                    Err(error) => break assert!(matches!(error, StoreError::Journal(_))),
                }
            }
            assert_eq!(shown.len() as u64, nth - 1, "{point:?}");
            drop(producer);
            let mut producer = machine.start();
            let kept = matches!(point, CrashPoint::Sync { kept: 1, .. });
            let height = producer.ledger().tip().height.0;
            assert_eq!(height, nth - 1 + u64::from(kept), "{point:?}");
            for block in &shown {
                let found = producer.history().events_from(block.header.header.height, 1).unwrap();
                assert_eq!(&found[0], block);
            }
            pay(&mut producer, 1);
            next(&mut producer);
            assert!(producer.ledger().is_conserved());
        }
    }
}

#[test]
fn a_failed_sync_shows_nothing() {
    let machine = Machine::default();
    let mut producer = machine.start();
    machine.disk.fail_next_sync();
    let time = producer.next_time_ms();
    assert!(matches!(producer.produce(time), Err(StoreError::Journal(_))));
    assert_eq!(producer.tip(), None);
    assert!(producer.history().events_from(Height(1), 10).unwrap().is_empty());
}

#[test]
fn a_failed_checkpoint_costs_nothing() {
    let machine = Machine::default();
    let mut producer = machine.start();
    machine.shelf.fail_next_checkpoint();
    for _ in 0..6 {
        pay(&mut producer, 1);
        next(&mut producer);
    }
    let before = producer.ledger().clone();
    drop(producer);
    let again = machine.start();
    assert_eq!(again.ledger().state, before.state);
}

/// Few blocks may be long ones, and a start takes in again what no checkpoint covers.
#[test]
fn a_checkpoint_comes_after_so_many_bytes_too() {
    let machine = Machine::default();
    let store = StoreConfig { checkpoint_bytes: 2_000, ..StoreConfig::default() };
    let mut producer = machine.start_with(store).unwrap();
    let position = || MemoryIndex::open(&machine.shelf).position();
    pay(&mut producer, 1);
    next(&mut producer);
    assert_eq!(position(), 0);
    for _ in 0..20 {
        producer.mint(key(5).public(), EUR, Amount(1)).unwrap();
    }
    let height = next(&mut producer).header.header.height;
    assert_eq!(position(), height.0);
    pay(&mut producer, 1);
    next(&mut producer);
    assert_eq!(position(), height.0, "they are counted from one to the next");
    drop(producer);
    assert_eq!(machine.start_with(store).unwrap().ledger().tip().height, height.after(1));
}

#[test]
fn another_genesis_or_key_is_refused() {
    let refused = |blocks: u64| {
        let machine = Machine::default();
        let mut producer = machine.start();
        for _ in 0..blocks {
            next(&mut producer);
        }
        drop(producer);
        let other = Genesis { salt: 2, ..genesis() };
        machine.try_start(other, ledger_key()).err()
    };
    assert!(matches!(refused(1), Some(StoreError::OtherGenesis)), "from the journal");
    assert!(matches!(refused(5), Some(StoreError::OtherGenesis)), "from the index");
    let machine = Machine::default();
    assert!(matches!(machine.try_start(genesis(), key(1)), Err(StoreError::Key)));
}

#[test]
fn history_is_the_same_from_memory_and_from_the_journal() {
    let machine = Machine::default();
    let mut producer = machine.start();
    let mut shown = vec![];
    for _ in 0..7 {
        pay(&mut producer, 1);
        shown.push(next(&mut producer));
    }
    let from = |height, max| producer.history().events_from(Height(height), max).unwrap();
    assert_eq!(from(0, 100), shown);
    assert_eq!(from(1, 2), shown[..2]);
    assert_eq!(from(3, 3), shown[2..5]);
    assert_eq!(from(6, 100), shown[5..]);
    assert!(from(8, 1).is_empty());
    assert_eq!(producer.history().block(Height(0)).unwrap(), None);
    assert_eq!(producer.history().block(Height(8)).unwrap(), None);
    let block = producer.history().block(Height(3)).unwrap().unwrap();
    assert_eq!((block.header, block.transactions.len()), (shown[2].header, 1));
}

#[test]
fn a_block_is_made_only_when_its_time_has_come() {
    let machine = Machine::default();
    let mut producer = machine.start();
    assert!(producer.produce(1_000).unwrap().is_some());
    let least = genesis().least_interval_ms;
    assert!(producer.produce(1_000 + least - 1).unwrap().is_none());
    assert!(producer.produce(0).unwrap().is_none(), "the clock was set back");
    assert!(producer.produce(1_000 + least).unwrap().is_some());
}

#[test]
fn the_faucet_counts_its_mints_itself() {
    let machine = Machine::default();
    let mut producer = machine.start();
    let to = key(5).public();
    for _ in 0..3 {
        producer.mint(to, EUR, Amount(7)).unwrap();
    }
    let minted = next(&mut producer);
    assert_eq!(minted.events.len(), 3);
    assert!(matches!(minted.events[2], LedgerEvent::Minted { .. }));
    producer.mint(to, EUR, Amount(1)).unwrap();
    next(&mut producer);
    assert_eq!(producer.ledger().account(&to).balance(EUR), Amount(22));
    assert_eq!(producer.mint(to, AssetId(9), Amount(1)), Err(Code::UnknownAsset));
    assert_eq!(producer.mint(to, EUR, Amount(0)), Err(Code::TxZeroAmount));
}

/// It is told of before and after a checkpoint and a restart, but is no part of the state.
#[test]
fn a_channel_that_was_paid_out_is_still_told_of() {
    use crate::api::ChannelPhase;
    for blocks in [0, 5] {
        let machine = Machine::default();
        let mut producer = machine.start();
        let mut world = World::new();
        let (id, open) = (world.terms().channel_id(), world.open_tx(10));
        assert_eq!(producer.channel(&id).unwrap(), None);
        producer.submit(open.clone()).unwrap();
        world.done(open);
        next(&mut producer);
        assert_eq!(producer.channel(&id).unwrap().unwrap().phase, ChannelPhase::Open);
        producer.submit(world.close(id, Role::Hub)).unwrap();
        next(&mut producer);
        let closing = producer.channel(&id).unwrap().unwrap();
        assert_eq!((closing.phase, closing.closed_by), (ChannelPhase::Closing, Some(Role::Hub)));
        for _ in 0..u64::from(WINDOW) + 1 + blocks {
            next(&mut producer);
        }
        let closed = producer.channel(&id).unwrap().unwrap();
        assert_eq!(closed.phase, ChannelPhase::Closed);
        assert_eq!(closed.paid.unwrap().wallet, Amount(10));
        drop(producer);
        assert_eq!(machine.start().channel(&id).unwrap(), Some(closed));
    }
}
