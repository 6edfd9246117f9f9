//! The thread and its handle, driven by hand, and once by the clock.

use super::super::fixture::*;
use super::super::producer::ProducerConfig;
use super::super::store::StoreConfig;
use super::*;
use crate::index::{MemoryIndex, Shelf};
use crate::journal::{Disk, Journal, MemoryJournal};

mod history;

pub(in crate::ledger) fn start(disk: &Disk, pace: Pace) -> Service {
    start_on(Box::new(MemoryJournal::open(disk).unwrap()), pace, StoreConfig::default())
}

fn start_on(journal: Box<dyn Journal>, pace: Pace, store: StoreConfig) -> Service {
    let index = Box::new(MemoryIndex::open(&Shelf::new()));
    let config = ProducerConfig { store, ..ProducerConfig::default() };
    let producer = Producer::open(genesis(), ledger_key(), journal, index, config).unwrap();
    Service::start(producer, pace).unwrap()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_block_is_heard_of_by_those_who_wait() {
    let service = start(&Disk::new(), Pace::ByHand);
    let handle = service.handle();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.events_from(Height(1), 10, LONG).await }
    });
    let to = key(5).public();
    let tx = handle.faucet(to, EUR, Amount(3)).await.unwrap();
    let made = handle.produce_now().await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), [Arc::clone(&made)]);
    assert_eq!(handle.account(to).await.unwrap().balances[0].amount, Amount(3));
    let block = handle.block(Height(1)).await.unwrap().unwrap();
    assert_eq!(block.transactions[0].id(), tx);
    let info = handle.info().await.unwrap();
    assert_eq!((info.ledger, info.tip), (genesis().ledger_id(), Some(made.header)));
    service.stop().await;
}

/// Its height is told of only after the thread has answered who made it.
#[tokio::test]
async fn whoever_made_a_block_can_ask_what_it_did_at_once() {
    let service = start(&Disk::new(), Pace::ByHand);
    let (announce, height) = watch::channel(Height(0));
    let handle = LedgerHandle { height, ..service.handle() };
    let making = tokio::spawn({
        let handle = handle.clone();
        async move { handle.produce_now().await }
    });
    // Behind the block, and behind its answer.
    while handle.info().await.unwrap().tip.is_none() {}
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!making.is_finished());
    announce.send_replace(Height(1));
    let made = making.await.unwrap().unwrap().unwrap();
    assert_eq!(handle.events_from(Height(1), 1, Duration::ZERO).await, Ok(vec![made]));
    service.stop().await;
}

/// A block is in memory before its height is told of, for as long as a checkpoint takes. Whoever heard
/// of it earlier than others would show it to a hub whose own ledger seems not to have it.
#[tokio::test]
async fn nobody_hears_of_a_block_before_its_height_is_told() {
    let service = start(&Disk::new(), Pace::ByHand);
    let handle = service.handle();
    let first = handle.produce_now().await.unwrap().unwrap();
    handle.produce_now().await.unwrap().unwrap();
    let (_told, height) = watch::channel(Height(1));
    let early = LedgerHandle { height, ..handle.clone() };
    let from_first = early.events_from(Height(1), 10, Duration::ZERO).await;
    assert_eq!(from_first, Ok(vec![first]));
    let sent = early.events_as((Height(1), 10, Duration::ZERO), <[_]>::len).await;
    assert_eq!(sent, Ok(1));
    assert_eq!(early.events_from(Height(2), 10, Duration::ZERO).await, Ok(vec![]));
    assert_eq!(early.block(Height(2)).await, Ok(None));
    assert_eq!(handle.events_from(Height(1), 10, Duration::ZERO).await.unwrap().len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn waiting_ends_with_the_wait_or_with_the_ledger() {
    let service = start(&Disk::new(), Pace::ByHand);
    let handle = service.handle();
    let none = handle.events_from(Height(1), 10, Duration::ZERO).await;
    assert_eq!(none, Ok(vec![]));
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.events_from(Height(1), 10, LONG).await }
    });
    // So that the wait has begun, though nothing depends on it.
    handle.info().await.unwrap();
    service.stop().await;
    assert_eq!(waiting.await.unwrap(), Err(Code::LedgerUnavailable));
    assert_eq!(handle.info().await, Err(Code::LedgerUnavailable));
}

#[tokio::test]
async fn a_block_may_be_made_at_a_given_time() {
    let service = start(&Disk::new(), Pace::ByHand);
    let handle = service.handle();
    let made = handle.produce_at(5_000).await.unwrap().unwrap();
    assert_eq!(made.header.header.time_ms, 5_000);
    assert_eq!(handle.produce_at(5_001).await.unwrap(), None);
    service.stop().await;
}

#[tokio::test]
async fn the_clock_makes_blocks_and_a_restart_goes_on() {
    let disk = Disk::new();
    let service = start(&disk, Pace::Clock);
    let blocks = service.handle().events_from(Height(2), 1, LONG).await.unwrap();
    assert_eq!(blocks[0].header.header.height, Height(2));
    service.stop().await;
    let durable = disk.durable();
    let service = start(&disk, Pace::ByHand);
    assert_eq!(service.handle().height().borrow().0, durable);
    service.stop().await;
}

#[tokio::test]
async fn a_channel_is_seen_through_the_handle() {
    let mut world = World::new();
    let service = start(&Disk::new(), Pace::ByHand);
    let handle = service.handle();
    let (id, open) = (world.terms().channel_id(), world.open_tx(10));
    handle.submit(open.clone()).await.unwrap();
    world.done(open);
    assert_eq!(handle.channel(id).await, Err(Code::NoSuchChannel), "not before its block");
    handle.produce_now().await.unwrap();
    assert_eq!(handle.channel(id).await, Ok(world.channel(id).view()));
    assert_eq!(handle.channel_state(id).await.unwrap().as_ref(), Some(world.channel(id)));
    service.stop().await;
}
