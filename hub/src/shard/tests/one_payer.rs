//! Two payers on one chain, a payee that has met a hub on an old copy as if nothing had been lost, and one payment:
//! one payer pays it.

use settlement::channel::NewOp;
use settlement::types::{Amount, Secret};
use settlement::wire::Message;

use super::hidden_claims::{back, claim, close, collected, hides, single, two};
use super::streams::{STEPS, UNIT, anchor, at};
use super::world::{World, secret};
use crate::shard::*;

/// What a payer wants, once its world is there.
type MakesOp = Box<dyn Fn(&World) -> NewOp>;

fn reveal(world: &mut World, id: u64, secret: Secret) {
    let channel = world.id(1);
    world.input(Input::Message(Box::new(Message::Reveal { channel, id, secret })));
}

fn stream(world: &World) -> NewOp {
    let mut op = world.pay_op(1, UNIT, anchor());
    let NewOp::Add { steps, .. } = &mut op else { panic!() };
    *steps = STEPS;
    op
}

/// Said to the end, then claimed for less.
#[test]
fn what_was_said_deeper_than_it_is_claimed_is_collected_once() {
    for first in [5, 13, STEPS] {
        let mut world = two([stream, stream]);
        back(&mut world);
        hides(&mut world);
        let events = close(&world);
        world.block(events);
        reveal(&mut world, 1, at(first));
        (0..5).for_each(|_| world.idle());
        let channel = world.id(1);
        world.block(vec![claim(channel, 1, at(5), 5)]);
        (0..5).for_each(|_| world.idle());
        let all = u64::from(first) * (UNIT + 3);
        assert_eq!(collected(&world), [all, 0], "said to {first}, claimed to 5");
    }
}

/// ⚔ The dearer of two payers' locks is over when the claim on the other one's comes.
#[test]
fn a_claim_is_not_collected_from_a_lock_that_is_over() {
    let dear = |world: &World| world.pay_op(1, 1_100, secret(1).1);
    let other = |world: &World| {
        let mut op = world.pay_op(1, 1_000, secret(1).1);
        let NewOp::Add { expiry, .. } = &mut op else { panic!() };
        *expiry = expiry.after(world.config.policy.expiry_delta + 30);
        op
    };
    let ops: [MakesOp; 2] = [Box::new(dear), Box::new(other)];
    let mut world = two(ops);
    back(&mut world);
    let locks = [0, 2].map(|payer| world.channel(payer).incoming().tally.locks[0]);
    assert!(locks[0].expiry < locks[1].expiry && locks[0].unit > locks[1].unit);
    while world.height() < locks[0].expiry.after(5) {
        world.blocks(1);
    }
    for _ in 0..5 {
        world.idle();
    }
    let delta = world.config.policy.expiry_delta;
    assert!(world.height() < locks[1].expiry.before(delta), "the other own lock stands");
    hides(&mut world);
    let mut events = close(&world);
    let channel = world.id(1);
    events.push(claim(channel, 2, secret(1).0, 1));
    world.block(events);
    (0..5).for_each(|_| world.idle());
    assert_eq!(collected(&world), [0, 1_012]);
}

/// Said in parts, and a dearer payer of the chain comes between.
#[test]
fn what_is_said_again_deeper_goes_to_the_same_payer() {
    let dearer = |world: &World| {
        let mut op = stream(world);
        let NewOp::Add { unit, .. } = &mut op else { panic!() };
        *unit = Amount(UNIT + 13);
        op
    };
    let ops: [MakesOp; 2] = [Box::new(stream), Box::new(dearer)];
    let mut world = two(ops);
    world.come_back(0);
    hides(&mut world);
    reveal(&mut world, 1, at(5));
    (0..3).for_each(|_| world.idle());
    assert_eq!(collected(&world), [5 * 103, 0]);
    world.come_back(2);
    reveal(&mut world, 1, at(9));
    (0..5).for_each(|_| world.idle());
    assert_eq!(collected(&world), [9 * 103, 0]);
}

#[test]
fn what_was_said_before_a_start_and_is_claimed_after_is_collected_once() {
    for restarts in [false, true] {
        let mut world = two([single, single]);
        back(&mut world);
        hides(&mut world);
        let events = close(&world);
        world.block(events);
        let s = secret(1).0;
        reveal(&mut world, 1, s);
        (0..5).for_each(|_| world.idle());
        assert_eq!(collected(&world), [1_012, 0]);
        if restarts {
            world.restart();
            back(&mut world);
        }
        let channel = world.id(1);
        world.block(vec![claim(channel, 1, s, 1)]);
        (0..5).for_each(|_| world.idle());
        assert_eq!(collected(&world), [1_012, 0], "restarts: {restarts}");
    }
}

/// A payee says it again whenever it meets: that is recorded once.
#[test]
fn a_secret_that_is_said_again_is_recorded_once() {
    let mut world = two([stream, stream]);
    world.come_back(0);
    hides(&mut world);
    for _ in 0..5 {
        reveal(&mut world, 1, at(5));
        world.idle();
    }
    let recorded = world.journal.iter().filter(|it| matches!(it, Record::Claimed { .. }));
    assert_eq!(recorded.count(), 1);
    assert_eq!(collected(&world), [5 * 103, 0]);
}
