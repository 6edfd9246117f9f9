//! The hub's own money in channels.

use settlement::types::Amount;

use super::world::{DEPOSIT, World, config, hub_deposit};
use crate::shard::*;

fn world(max: u64, low_water_ppm: u32) -> World {
    let mut config = config();
    config.inbound = InboundPolicy { ppm: 500_000, max: Amount(max), low_water_ppm };
    World::with(config, 1, 2)
}

#[test]
fn a_new_channel_gets_its_part_of_the_wallets_deposit() {
    let half = DEPOSIT.0 / 2;
    for (max, gets) in [(u64::MAX, half), (1_000, 1_000)] {
        let world = world(max, 0);
        assert_eq!(world.channel(0).escrow(ME).deposited, Amount(gets));
        assert_eq!(world.deposits, [], "once");
    }
    let mut none = config();
    none.inbound.ppm = 0;
    let mut world = World::with(none, 1, 1);
    world.blocks(50);
    assert_eq!(world.deposits, []);
}

#[test]
fn a_channel_is_filled_up_when_it_is_low_with_one_deposit_at_a_time() {
    let mut world = world(1_000, 500_000);
    world.pay(0, 1, 500, 1);
    world.idle();
    assert_eq!(world.deposits, [], "half of it is left");
    world.pay(0, 1, 1, 2);
    world.run();
    assert_eq!(world.deposits, [(world.id(1), Amount(501))]);
    world.pay(0, 1, 100, 3);
    world.idle();
    assert_eq!(world.deposits.len(), 1, "one is on its way");
    world.block(vec![hub_deposit(world.id(1), Amount(1_501))]);
    assert_eq!(world.deposits.len(), 1, "900 is not low");
    world.pay(0, 1, 500, 4);
    world.run();
    assert_eq!(world.deposits.len(), 2, "low again, and the first has arrived");
}

#[test]
fn a_deposit_that_never_arrives_is_made_again() {
    let mut world = World::empty(config(), 1);
    let opened = world.open(1);
    world.block(vec![opened]);
    assert_eq!(world.deposits.len(), 1);
    world.blocks(19);
    assert_eq!(world.deposits.len(), 1);
    world.blocks(1);
    assert_eq!(world.deposits.len(), 2);
}

#[test]
fn a_restart_waits_for_a_deposit_that_may_be_on_its_way() {
    let mut world = World::empty(config(), 1);
    let opened = world.open(1);
    world.block(vec![opened]);
    world.restart();
    world.blocks(19);
    assert_eq!(world.deposits.len(), 1);
    world.blocks(1);
    assert_eq!(world.deposits.len(), 2);
}

#[test]
fn blocks_of_long_ago_make_no_deposit() {
    let mut world = World::empty(config(), 1);
    let opened = world.open(1);
    world.block(vec![opened]);
    world.block(vec![hub_deposit(world.id(0), DEPOSIT)]);
    world.blocks(3);
    // A hub that starts from nothing sees the opening again, and then what it did about it.
    world.journal.clear();
    world.deposits.clear();
    world.now_ms += 10_000;
    world.restart();
    world.blocks(30);
    assert_eq!(world.deposits, []);
    assert_eq!(world.channel(0).escrow(ME).deposited, DEPOSIT);
}
