//! ⚔ One side of a stream that has the other one talk without end.

use settlement::types::*;

use super::super::Way;
use super::super::stream::{Chain, STREAM_LOCKS_OF_ONE_PAYER, StreamId};
use super::harness::*;
use super::streams::{PAYEE, advance, chain, hears, open_stream, said, taken};
use super::streams_paid::{PAYER, STEPS, content, lock};
use crate::payload::{Content, ContentKey};
use crate::relay::{Body, StepToken};

/// What is on the way of its steps is on the way, whatever the payee says to have.
#[test]
fn a_payee_that_says_less_and_then_more_draws_no_more_messages_than_steps() {
    let mut world = World::new();
    world.command(open_stream(50, 1, 9_000));
    world.run();
    taken(&mut world, 50, 9_000, 0);
    world.command(advance(9_000));
    let sent = said(&mut world).len();
    assert_eq!(sent, 3, "three times 4,096 steps at most");
    let anchor = chain(50, 9_000).anchor();
    let mut heard = 0;
    for word in 0..100u32 {
        for steps in [word % 2, 4_096, word, 9_000 - word] {
            hears(&mut world, PAYEE, &Body::Taken { anchor, steps });
            heard += said(&mut world).len();
        }
    }
    assert_eq!(heard, 0);
    // What it says to lack in the end it gets a second later.
    hears(&mut world, PAYEE, &Body::Taken { anchor, steps: 8_000 });
    world.second();
    assert_eq!(said(&mut world).len(), 1);
}

/// Locks that are over are remembered for good, and asked for free.
#[test]
fn a_payer_that_asks_of_all_its_locks_gets_a_share_of_the_payees_words() {
    let mut world = World::new();
    let chain_of = |number: u8| Chain::new(Secret([number; 32]), STEPS);
    for number in 1..=100 {
        let (anchor, stream) = (chain_of(number).anchor(), StreamId([number; 16]));
        let key = ContentKey::Stream { stream, number: 0 };
        world.hub_adds(NewLock { anchor, ..lock(&Content { anchor, key, ..content() }) });
        world.run();
        let token = StepToken { anchor, steps: 1, secret: chain_of(number).secret(1).unwrap() };
        hears(&mut world, PAYER, &Body::Step(token));
        hears(&mut world, PAYER, &Body::Close { anchor });
        world.run();
        world.second();
    }
    assert!(world.wallet.streams(Way::In).all(|view| view.has_ended() && view.settled == 1));
    world.relayed.clear();
    for number in (1..=100).chain(1..=100) {
        hears(&mut world, PAYER, &Body::Query { anchor: chain_of(number).anchor() });
    }
    assert_eq!(world.relayed.len(), STREAM_LOCKS_OF_ONE_PAYER);
}
