//! The same state from records, from rows, and with another count of shards.

use std::collections::BTreeMap;

use settlement::channel::NewOp;
use settlement::index::{MAX_KEY_BYTES, MAX_VALUE_BYTES};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor};
use settlement::update::Payload;

use super::wallet::Manner;
use super::world::{World, config};
use crate::shard::*;

pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn checkpoint(shards: &mut [Shard], rows: &mut Rows) {
    for (key, value) in shards.iter_mut().flat_map(Shard::take_dirty_rows) {
        assert!(key.len() <= MAX_KEY_BYTES);
        match value {
            Some(value) => {
                assert!(value.len() <= MAX_VALUE_BYTES);
                rows.insert(key, value);
            }
            None => drop(rows.remove(&key)),
        }
    }
}

pub(super) fn restored(world: &World, rows: &Rows, from: usize, count: u16) -> Vec<Shard> {
    let rows = rows.iter().map(|(key, value)| (key.clone(), value.clone()));
    let restore = |config| Shard::restore(config, rows.clone()).unwrap();
    let mut shards: Vec<Shard> = world.configs(count).into_iter().map(restore).collect();
    for shard in &mut shards {
        world.journal[from..].iter().for_each(|record| shard.replay(record));
    }
    shards
}

/// Payments that succeed, fail, are refused and wait, between one input and the next.
fn busy(world: &mut World, mut after: impl FnMut(&mut World)) {
    let manners = [Manner::Reveals, Manner::Fails(Code::InvoiceUsed), Manner::StaysSilent];
    for seed in 1..=18u8 {
        let (from, to) = (usize::from(seed % 3), usize::from((seed + 1 + seed / 3 % 2) % 3));
        world.wallets[to].manner = manners[usize::from(seed / 6) % 3];
        world.pay(from, to, 100 * u64::from(seed), seed);
        after(world);
        while (0..3).any(|at| world.deliver(at)) {
            after(world);
        }
        if seed % 4 == 0 {
            world.now_ms += 1_100;
            world.input(Input::Tick);
            after(world);
        }
        world.blocks(1);
        after(world);
    }
}

#[test]
fn any_prefix_of_the_records_and_any_rows_below_it_give_the_same_state() {
    let mut world = World::new(3);
    let mut rows = Rows::new();
    let (mut position, mut turn, mut compared) = (0, 0, 0);
    busy(&mut world, |world| {
        let live = World::state(&world.shards);
        assert!(World::state(&world.replayed(1)) == live, "from {} records", world.journal.len());
        if position > 0 {
            let from_rows = restored(world, &rows, position, 1);
            assert!(World::state(&from_rows) == live, "from rows at {position}");
            assert_eq!(from_rows[0].followed(), world.shards[0].followed());
            assert_eq!(from_rows[0].counters().locks_in, world.shards[0].counters().locks_in);
            compared += 1;
        }
        turn += 1;
        if turn % 5 == 0 {
            checkpoint(&mut world.shards, &mut rows);
            position = world.journal.len();
        }
    });
    assert!(compared > 40);
    let mix = (world.completed, world.not_completed, world.pairs());
    assert!(mix.0 > 1 && mix.1 > 1 && mix.2 > 1, "{mix:?}");
}

#[test]
fn a_hub_starts_with_another_count_of_shards() {
    for (before, after) in [(1, 3), (3, 1), (3, 5)] {
        let mut world = World::with(config(), before, 3);
        let mut rows = Rows::new();
        busy(&mut world, |_| ());
        checkpoint(&mut world.shards, &mut rows);
        let position = world.journal.len();
        let live = World::state(&world.shards);
        for from_rows in [true, false] {
            let shards = match from_rows {
                true => restored(&world, &rows, position, after),
                false => world.replayed(after),
            };
            assert_eq!(World::state(&shards).keys().count(), live.keys().count());
            world.start_with(shards);
            assert_eq!(world.shards.len(), usize::from(after));
            let height = world.height();
            assert!(world.shards.iter().all(|shard| shard.followed().0 == height));
            world.run();
        }
        for at in 0..3 {
            world.wallets[at].manner = Manner::Reveals;
        }
        world.pay(0, 1, 5, 99);
        world.run();
        for _ in 0..35 {
            world.blocks(10);
            world.idle();
        }
        assert_eq!(world.pairs(), 0);
        assert!((0..3).all(|at| world.wallets[at].channel.locked() == Amount::ZERO));
        // The rows of the count before go with the first checkpoint that every shard has a part in.
        checkpoint(&mut world.shards, &mut rows);
        world.start_with(restored(&world, &rows, world.journal.len(), after));
        checkpoint(&mut world.shards, &mut rows);
        let followed = rows.keys().filter(|key| key.first() == Some(&b'f')).count();
        assert_eq!(followed, usize::from(after));
    }
}

#[test]
fn a_shard_that_lags_behind_another_misses_no_block() {
    let mut world = World::with(config(), 2, 3);
    let block = {
        world.blocks(1);
        let mut block = world.blocks.last().unwrap().clone();
        block.header.header.height = world.height().after(1);
        block
    };
    // One of two shards has followed it when the process ends.
    let mut out = Output::default();
    let input = Input::Block(std::sync::Arc::new(block));
    world.shards[0].handle(input, world.now_ms, &world.directory, &mut out);
    world.journal.extend(out.records);
    let shards = world.replayed(2);
    let heights: Vec<u64> = shards.iter().map(|shard| shard.followed().0.0).collect();
    assert_eq!(heights, [world.height().0 + 1, world.height().0]);
    // A single shard starts at the lower one.
    let mut shard = world.replayed(1).remove(0);
    shard.recovered(&[], world.now_ms, &mut Output::default());
    assert_eq!(shard.followed().0, world.height());
}

#[test]
fn a_large_channel_is_cut_into_rows_and_shrinks_again() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    let mut rows = Rows::new();
    for seed in 0..40 {
        let mut op = world.pay_op(1, 100, Anchor([seed; 32]));
        let NewOp::Add { payload, .. } = &mut op else { panic!() };
        *payload = Payload::new(vec![seed; 512]).unwrap();
        world.add(0, op);
        world.run();
    }
    checkpoint(&mut world.shards, &mut rows);
    assert!(rows.len() > 7, "{} rows", rows.len());
    let state = World::state(&restored(&world, &rows, world.journal.len(), 1));
    assert_eq!(state, World::state(&world.shards));
    for _ in 0..30 {
        world.blocks(10);
        world.idle();
    }
    assert_eq!(world.pairs(), 0);
    checkpoint(&mut world.shards, &mut rows);
    assert!(rows.len() <= 5, "{} rows", rows.len());
    let state = World::state(&restored(&world, &rows, world.journal.len(), 1));
    assert_eq!(state, World::state(&world.shards));
    assert_eq!(world.shards[0].take_dirty_rows().len(), 1, "nothing but the height is left");
}

#[test]
fn rows_that_are_not_whole_are_refused() {
    let mut world = World::new(2);
    let mut rows = Rows::new();
    checkpoint(&mut world.shards, &mut rows);
    let (first, value) = rows.iter().next().map(|(k, v)| (k.clone(), v.clone())).unwrap();
    let mut moved = first.clone();
    *moved.last_mut().unwrap() = 1;
    let damaged = [
        Rows::from([(moved, value.clone())]),
        Rows::from([(first.clone(), value[..value.len() - 1].to_vec())]),
        Rows::from([(first.clone(), Vec::new())]),
        Rows::from([(first.clone(), [&[9], &value[1..]].concat())]),
        Rows::from([([&first[..1], &[0; 34][..]].concat(), value)]),
        Rows::from([(b"x".to_vec(), Vec::new())]),
        Rows::from([(b"f\0\0\0\x01".to_vec(), Vec::new())]),
    ];
    for rows in damaged {
        assert!(Shard::restore(config(), rows.clone()).is_err(), "{rows:?}");
    }
    assert!(Shard::restore(config(), rows).is_ok());
}
