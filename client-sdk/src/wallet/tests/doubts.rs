//! What an old copy of a home has told as failed, or is about to, and may have been paid in what it has forgotten.

use settlement::reject::Code;
use settlement::types::Secret;
use settlement::wire::Message;

use super::super::*;
use super::forgotten::LEAP;
use super::harness::*;
use super::unsent::*;

fn failed(code: Code) -> Option<PaymentState> {
    Some(PaymentState::Failed(code))
}

/// The hub is met, and shows what the copy lacks.
fn meets(world: &mut World, shown: [Message; 2]) {
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.pass(LEAP);
    world.run();
}

/// And has signed that it holds what came after: invoices are paid again.
fn is_certain_again(world: &mut World) {
    world.hub_pays(5);
    world.run();
    world.second();
    world.run();
    assert!(world.channel().is_certain());
}

fn is_refused(world: &mut World, code: Code) {
    let lock = world.hub.only_lock();
    world.hub.fail(lock, code);
    world.run();
    world.second();
    world.run();
    assert!(world.hub.channel.incoming().tally.locks.is_empty(), "dropped");
}

/// It may have been paid the first time. What it was asked again, and in which process that failed, says nothing
/// of that.
#[test]
fn a_payment_in_doubt_that_is_asked_for_again_and_fails_stays_in_doubt() {
    for restarts in [false, true] {
        let (mut world, shown) = old_copy(false);
        meets(&mut world, shown);
        assert_eq!(world.state_of(9), UNKNOWN);
        is_certain_again(&mut world);
        for code in [Code::PayeeOffline, Code::InvoiceUsed] {
            world.command(pay(3, 9, 10));
            world.run();
            assert_eq!(world.state_of(9), Some(PaymentState::Pending));
            if restarts {
                world.restart();
                world.feed(Input::Connected);
                world.run();
            }
            is_refused(&mut world, code);
            assert_eq!(world.state_of(9), UNKNOWN, "restarts: {restarts}");
        }
        for secret in [8, 9] {
            world.command(pay(3, secret, 10));
        }
        world.disconnect();
        assert_eq!(world.state_of(9), UNKNOWN, "not even sent");
    }
}

#[test]
fn a_payment_in_doubt_that_is_asked_for_again_can_be_paid() {
    let (mut world, shown) = old_copy(false);
    meets(&mut world, shown);
    is_certain_again(&mut world);
    world.command(pay(3, 9, 10));
    world.run();
    let lock = world.hub.only_lock();
    world.hub.reveal(lock, Secret([9; 32]));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// That a payee or the hub has lost state is no reason for doubt: the money is back, or was never sent.
#[test]
fn what_others_have_lost_puts_no_payment_in_doubt() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    world.run();
    is_refused(&mut world, Code::StateLost);
    assert_eq!(world.state_of(9), failed(Code::RefusedByPayee));
    world.command(pay(3, 9, 10));
    world.run();
    is_refused(&mut world, Code::PayeeOffline);
    assert_eq!(world.state_of(9), failed(Code::PayeeOffline));

    let [_, before] = what_the_hub_shows(&world);
    world.hub_pays(5);
    world.run();
    world.disconnect();
    world.feed(Input::Connected);
    world.command(pay(3, 8, 10));
    world.hear(before);
    assert_eq!(world.channel().suspended(), Some(Code::StateLost), "the hub has");
    assert_eq!(world.state_of(8), failed(Code::HubUnavailable));
}
