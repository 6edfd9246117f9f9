//! What a payee says, and how often; and when it redeems a lock that is used up.

use settlement::types::*;

use super::super::stream::{Chain, StreamId, StreamPhase};
use super::harness::*;
use super::streams::hears;
use super::streams_paid::*;
use crate::payload::{Content, ContentKey};
use crate::relay::Body;

fn query() -> Body {
    Body::Query { anchor: chain().anchor() }
}

fn close() -> Body {
    Body::Close { anchor: chain().anchor() }
}

fn next_chain() -> Chain {
    Chain::new(Secret([51; 32]), STEPS)
}

/// The next lock of the stream comes.
fn next_lock(world: &mut World) {
    let key = ContentKey::Stream { stream: StreamId([7; 16]), number: 1 };
    let anchor = next_chain().anchor();
    world.hub_adds(NewLock { anchor, ..lock(&Content { anchor, key, ..content() }) });
    world.run();
}

#[test]
fn a_payer_that_asks_hears_how_far_its_payee_is() {
    let mut world = opened();
    step(&mut world, 4);
    said(&mut world);
    hears(&mut world, PAYER, &query());
    assert_eq!(said(&mut world), [taken(4)]);
    world.second();
    hears(&mut world, 4, &query());
    hears(&mut world, PAYER, &Body::Query { anchor: next_chain().anchor() });
    assert_eq!(said(&mut world), [], "nothing to others, and nothing of a lock that is not here");
    hears(&mut world, PAYER, &close());
    said(&mut world);
    world.second();
    hears(&mut world, PAYER, &query());
    assert_eq!(said(&mut world), [closed(4)]);
}

/// ⚔ Who says something again and again uses up no more than a word a second of what the hub passes on for
/// the payee, and keeps nobody from hearing what is new.
#[test]
fn a_payee_that_is_asked_without_end_answers_once_a_second_and_says_news_at_once() {
    let mut world = opened();
    let anchor = chain().anchor();
    let junk = Body::Step(crate::relay::StepToken { secret: Secret([9; 32]), ..token(9) });
    for (steps, repeated) in [(4, Body::Step(token(4))), (5, query()), (6, junk)] {
        world.second();
        step(&mut world, steps);
        for _ in 0..50 {
            hears(&mut world, PAYER, &repeated);
        }
        assert_eq!(said(&mut world), [taken(steps), taken(steps)], "{repeated:?}");
        world.second();
        for _ in 0..50 {
            hears(&mut world, PAYER, &repeated);
        }
        assert_eq!(said(&mut world), [taken(steps)], "{repeated:?}");
    }
    world.hub.script.keep_due = true;
    step(&mut world, 7);
    assert_eq!(said(&mut world), [taken(7)], "news at once");
    world.second();
    // What is redeemed is not settled yet; then the lock has ended.
    for settles in [false, true] {
        world.hub.script.keep_due = !settles;
        for round in 0..2 {
            world.second();
            for _ in 0..50 {
                hears(&mut world, PAYER, &Body::Close { anchor });
            }
            let answers = if round == 0 && !settles { 2 } else { 1 };
            assert_eq!(said(&mut world), vec![closed(7); answers], "{settles} {round}");
            world.run();
        }
        assert_eq!(view(&world).has_ended(), settles);
    }
}

/// Each lock has its own second, and a payer that says something again after a second is answered.
#[test]
fn a_payer_that_waits_a_second_is_answered_each_time() {
    let mut world = opened();
    step(&mut world, 4);
    next_lock(&mut world);
    said(&mut world);
    for _ in 0..5 {
        step(&mut world, 4);
        let anchor = next_chain().anchor();
        hears(&mut world, PAYER, &Body::Query { anchor });
        assert_eq!(said(&mut world), [taken(4), Body::Taken { anchor, steps: 0 }]);
        world.second();
    }
}

/// Else a payer whose locks are of a few steps runs out of places for them. The newest waits, so that the
/// stream is not over before the next lock comes.
#[test]
fn a_lock_that_is_used_up_is_redeemed_once_the_next_one_is_here() {
    let all = [chain().secret(STEPS).unwrap()];
    let mut world = opened();
    next_lock(&mut world);
    step(&mut world, STEPS - 1);
    assert_eq!(world.hub.learned, [], "not while steps of it can come");
    step(&mut world, STEPS);
    world.run();
    assert_eq!(world.hub.learned, all, "at once, the next one is here");

    let mut world = opened();
    step(&mut world, STEPS);
    world.run();
    assert_eq!((world.hub.learned.len(), view(&world).phase), (0, StreamPhase::Open));
    next_lock(&mut world);
    assert_eq!(world.hub.learned, all, "when the next one comes");

    let mut world = opened();
    step(&mut world, STEPS);
    world.second();
    assert_eq!(world.hub.learned, all, "after a second");
}
