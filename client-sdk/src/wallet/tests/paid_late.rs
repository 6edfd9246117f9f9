//! Locks that wait: for a fresh view, or until it is too late.

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::reject::Code;
use settlement::types::*;

use super::super::*;
use super::harness::*;
use super::paid::{answer, cut_after};

#[test]
fn nothing_is_revealed_in_a_stale_view_and_the_lock_is_judged_again_in_a_fresh_one() {
    let mut world = stale_world(1_000);
    assert!(world.hub.learned.is_empty() && world.hub.failures.is_empty());
    world.feed(Input::Tick);
    world.run();
    assert!(world.hub.learned.is_empty() && world.hub.failures.is_empty());
    world.catch_up();
    world.block(Vec::new());
    world.run();
    assert_eq!(answer(&world), None);
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
}

#[test]
fn a_lock_that_is_too_late_even_in_a_stale_view_is_given_up() {
    let mut world = stale_world(1_000);
    world.catch_up();
    for _ in 0..120 {
        assert!(world.hub.learned.is_empty());
        world.hub.height += 1;
        let late = old(world.block_at(world.hub.height, Vec::new()));
        world.feed(Input::Block(Box::new(late)));
    }
    world.run();
    assert_eq!(answer(&world), Some(Code::LedgerStalled));
}

#[test]
fn an_invoice_that_ends_while_its_lock_waits_is_not_paid() {
    // Blocks in all, the last of them fresh.
    for (blocks, expected) in [(20, None), (21, Some(Code::InvoiceExpired))] {
        let mut world = stale_world(20);
        world.catch_up();
        for _ in 1..blocks {
            world.hub.height += 1;
            let late = old(world.block_at(world.hub.height, Vec::new()));
            world.feed(Input::Block(Box::new(late)));
        }
        world.pass(1);
        world.run();
        assert_eq!(answer(&world), expected, "after {blocks} blocks");
    }
}

#[test]
fn an_invoice_whose_lock_still_waits_when_the_channel_is_paid_out_ends() {
    let mut world = stale_world(20);
    world.catch_up();
    let (channel, wallet, hub) = (world.id(), Amount(1), Amount(2));
    let settled = LedgerEvent::Settled { channel, wallet, hub, cooperative: false };
    world.hub.height += 1;
    let late = old(world.block_at(world.hub.height, vec![settled]));
    world.feed(Input::Block(Box::new(late)));
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
    world.pass(21);
    assert_eq!(world.state_of(7), Some(PaymentState::Failed(Code::InvoiceExpired)));
}

#[test]
fn no_lock_is_answered_while_the_hub_can_not_hear_it() {
    let mut world = stale_world(1_000);
    world.disconnect();
    world.catch_up();
    let before = world.records.len();
    world.pass(1);
    world.feed(Input::Tick);
    assert!(world.wallet.view(world.now_ms).fresh);
    let answered = |r: &Record| matches!(r, Record::Step { step: Step::Answered { .. }, .. });
    assert!(!world.records[before..].iter().any(answered));
    world.reconnect();
    assert_eq!(answer(&world), None);
}

/// A wallet that came back between accepting the lock of its invoice and answering it, with a view
/// that is not fresh. The invoice lives for so many blocks.
fn stale_world(life_blocks: u64) -> World {
    let mut world = World::new();
    let Command::Invoice { secret, asset, amount, memo, .. } = invoice(7, 300) else { panic!() };
    world.command(Command::Invoice { secret, asset, amount, life_blocks, memo });
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    let received = |r: &Record| matches!(r, Record::Step { step: Step::Received(_), .. });
    let mut world = cut_after(world, received);
    world.now_ms += Policy::development().stale_view_ms + 1;
    world.disconnect();
    world.feed(Input::Connected);
    world.run();
    world
}

fn old(mut block: BlockEvents) -> BlockEvents {
    block.header.header.time_ms -= 2 * Policy::development().stale_view_ms;
    block
}
