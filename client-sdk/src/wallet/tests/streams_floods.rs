//! ⚔ One side of a stream that has the other one talk, or hash, without end.

use settlement::types::*;

use super::super::stream::{
    Chain, HASHES_PER_SECOND, STREAM_LOCKS_OF_ONE_PAYER, StreamId, StreamKey,
};
use super::super::{Command, Way};
use super::harness::*;
use super::streams::{PAYEE, advance, chain, hears, open_stream, said, taken};
use super::streams_paid::{PAYER, STEPS, content, lock, view};
use crate::payload::{Content, ContentKey, seal};
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

/// What does not fit costs the payer who sent it its share of a second, and nobody else.
#[test]
fn hashing_for_junk_ends_with_its_share_of_the_second() {
    let mut world = World::new();
    let long = Chain::new(Secret([52; 32]), 4_000);
    let content = Content { anchor: long.anchor(), steps: 4_000, unit: Amount(1), ..content() };
    let lock = NewLock { anchor: long.anchor(), steps: 4_000, unit: 1, ..lock(&content) };
    world.hub_adds(lock);
    world.run();
    let token = |steps, secret| StepToken { anchor: long.anchor(), steps, secret };
    let times = HASHES_PER_SECOND / 4_000 + 1;
    for _ in 0..times {
        world.command(Command::TakeStep { token: token(4_000, Secret([1; 32])) });
    }
    let good = token(1, long.clone().secret(1).unwrap());
    world.command(Command::TakeStep { token: good });
    assert_eq!(view(&world).paid, 0, "nothing more is hashed in this second");
    let (other, stream) = (Chain::new(Secret([53; 32]), STEPS), StreamId([8; 16]));
    let theirs = Content {
        key: ContentKey::Stream { stream, number: 0 },
        anchor: other.anchor(),
        ..self::content()
    };
    let (me, ledger) = (key(1).public(), genesis().ledger_id());
    let payload = seal(&theirs, &key(4), &me, &ledger, &[1; 24]).unwrap();
    world.hub_adds(NewLock { anchor: other.anchor(), payload, ..self::lock(&self::content()) });
    world.run();
    let secret = other.clone().secret(1).unwrap();
    let first = StepToken { anchor: other.anchor(), steps: 1, secret };
    world.command(Command::TakeStep { token: first });
    let of_other = StreamKey { way: Way::In, peer: key(4).public(), stream };
    let paid = world.wallet.stream(&of_other).unwrap().paid;
    assert_eq!(paid, 1, "another payer's steps are heard");
    world.now_ms += 1_000;
    world.command(Command::TakeStep { token: good });
    assert_eq!(view(&world).paid, 1);
}
