//! A payer hands out steps only of locks that its payee has, and counts as paid what the payee can get.

use settlement::reject::Code;
use settlement::types::*;

use super::super::stream::{StreamLock, StreamPhase, StreamState};
use super::super::*;
use super::harness::*;
use super::streams::*;
use crate::relay::Body;

fn query(seed: u8, steps: u32) -> Body {
    Body::Query { anchor: chain(seed, steps).anchor() }
}

/// A stream of 100 steps whose lock stands, and whose payee has said nothing.
fn asked_for() -> World {
    let mut world = World::new();
    world.command(open_stream(50, 2, 100));
    world.run();
    world.events.clear();
    world
}

fn by_hand(steps: u32) -> Command {
    Command::Advance { stream: key_of_stream(), steps, by_relay: false }
}

/// A hub may refuse any lock until its payee has it.
#[test]
fn no_step_goes_out_of_a_lock_that_the_payee_has_not_said_that_it_has() {
    for way in [advance as fn(u32) -> Command, by_hand] {
        let mut world = asked_for();
        world.command(way(1));
        assert_eq!(world.refused().map(|it| it.0), Some(Code::StreamSpent));
        let shows = view(&world);
        assert_eq!((shows.left, shows.usable, shows.ready, shows.paid), (100, 0, 0, 0));
        assert_eq!(said(&mut world), []);
        world.events.clear();
        taken(&mut world, 50, 100, 0);
        assert_eq!((view(&world).usable, view(&world).ready), (100, 1));
        world.command(way(1));
        assert_eq!((world.refused(), view(&world).paid), (None, 1));
    }
}

/// The relay may lose whatever it likes.
#[test]
fn a_payee_whose_first_word_was_lost_is_asked_until_it_answers() {
    let mut world = asked_for();
    world.feed(Input::Tick);
    assert_eq!(said(&mut world), [], "it may be about to say so");
    for _ in 0..3 {
        world.second();
        assert_eq!(said(&mut world), [query(50, 100)]);
        world.feed(Input::Tick);
        assert_eq!(said(&mut world), [], "once a second");
    }
    taken(&mut world, 50, 100, 0);
    world.second();
    assert_eq!(said(&mut world), []);
    world.command(advance(1));
    assert_eq!(said(&mut world), [step(50, 100, 1)]);
    // One that takes no steps any more is asked to give the lock back.
    let mut world = asked_for();
    let anchor = chain(50, 100).anchor();
    hears(&mut world, PAYEE, &Body::Closed { anchor, steps: 0 });
    world.second();
    assert_eq!(said(&mut world), [Body::Close { anchor }]);
}

/// What the payee has said is forgotten with the process. That it has a lock shows in the steps of it.
#[test]
fn after_a_restart_the_payee_is_asked_about_locks_of_which_nothing_was_handed_out() {
    let again = |world: &mut World| {
        world.now_ms += 1_000;
        world.restart();
        world.feed(Input::Connected);
        world.run();
    };
    let mut world = opened();
    again(&mut world);
    assert_eq!((view(&world).left, view(&world).usable), (100, 0));
    world.feed(Input::Tick);
    assert_eq!(said(&mut world), [query(50, 100)], "at once");
    taken(&mut world, 50, 100, 0);
    assert_eq!(view(&world).usable, 100);
    world.command(advance(3));
    again(&mut world);
    said(&mut world);
    assert_eq!(view(&world).usable, 97);
    world.second();
    assert_eq!(said(&mut world), [step(50, 100, 3)]);
}

#[test]
fn a_lock_that_is_refused_takes_no_step_with_it() {
    let mut world = opened();
    world.command(open_stream(51, 2, 50));
    world.run();
    assert_eq!((view(&world).left, view(&world).usable), (150, 100));
    world.command(advance(101));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::StreamSpent));
    world.command(advance(100));
    world.hub.fail(2, Code::NoCapacity);
    world.run();
    world.second();
    let refused = view(&world);
    assert_eq!((refused.locks, refused.refused), (1, Some(Code::NoCapacity)));
    assert_eq!((refused.paid, refused.returned, refused.left), (100, 0, 0));
    assert_eq!(refused.phase, StreamPhase::Open);
    // The next one pays.
    world.command(open_stream(52, 2, 50));
    world.run();
    assert_eq!(view(&world).refused, None);
    taken(&mut world, 52, 50, 0);
    world.command(advance(50));
    assert_eq!(view(&world).paid, 150);
}

/// The payer's again, and no more can be redeemed of it: it may be paid once more, and is not paid twice.
#[test]
fn steps_that_were_not_redeemed_when_their_lock_ended_are_not_paid() {
    let mut world = opened();
    world.command(advance(30));
    taken(&mut world, 50, 100, 30);
    world.hub.reveal(1, chain(50, 100).secret(7).unwrap());
    world.run();
    world.second();
    assert_eq!((view(&world).paid, view(&world).returned), (30, 0), "they can still be redeemed");
    world.pass(LIFE + 1);
    world.run();
    let ended = view(&world);
    assert!(ended.has_ended());
    assert_eq!((ended.paid, ended.taken, ended.returned), (7, 7, 23));
    assert_eq!((ended.redeemed, ended.settled), (7, 7));
    assert_eq!(world.wallet.redeemed_at_the_end(&key_of_stream()), Some(7));
}

#[test]
fn what_may_have_been_redeemed_counts_as_paid() {
    let mut world = opened();
    world.command(advance(30));
    world.hub.reveal(1, chain(50, 100).secret(7).unwrap());
    world.run();
    let known = world.wallet.stream_locks(&key_of_stream()).next().unwrap().clone();
    let ended = |code| StreamState::Ended(Some(code));
    let cases = [
        (Way::Out, StreamState::Open, 30),
        (Way::Out, ended(Code::StreamClosed), 7),
        (Way::Out, ended(Code::Expired), 7),
        (Way::Out, ended(Code::NoCapacity), 7),
        (Way::Out, ended(Code::StateLost), 30),
        (Way::Out, ended(Code::ChannelClosing), 30),
        (Way::In, StreamState::Open, 30),
        (Way::In, ended(Code::StreamClosed), 30),
    ];
    for (way, state, paid) in cases {
        let lock = StreamLock { way, state, ..known.clone() };
        assert_eq!(lock.paid(), paid, "{way:?} {state:?}");
    }
}

/// Locks of a few steps would use up all places of a payer if each waited to be settled.
#[test]
fn a_lock_that_is_used_up_is_settled_at_once() {
    for (redeemed, received) in [(99, 1), (100, 201)] {
        let mut world = opened();
        world.command(advance(100));
        taken(&mut world, 50, 100, 100);
        world.hub.reveal(1, chain(50, 100).secret(redeemed).unwrap());
        world.run();
        assert_eq!(world.hub.channel.received(), Amount(received), "{redeemed}");
        world.second();
        assert_eq!(world.hub.channel.received(), Amount(1 + 2 * u64::from(redeemed)));
    }
}
