//! A payee that starts on an old copy.

use settlement::channel::{Taken, TakenLock};
use settlement::crypto::Signed;
use settlement::lock::Lock;
use settlement::types::*;
use settlement::update::{Destination, Payload};
use settlement::wire::Message;

use super::super::*;
use super::harness::*;
use super::streams_paid::{chain, key_of_stream, opened, step, token, view};

/// What the hub shows of its own direction.
fn shown(world: &World) -> Message {
    let (proof, locks) = world.hub.channel.own_snapshot().unwrap();
    let proof = Signed::alone(&key(2), proof, Salt([1; 16]));
    let to = Destination { hub: None, wallet: key(1).public() };
    let taken = |lock: &Lock| TakenLock { lock: *lock, to, payload: Payload::default() };
    let locks = locks.iter().map(taken).collect();
    Message::snapshot(Taken { proof, locks })
}

/// It has forgotten steps that are settled by now: it goes on behind those, and is paid for what
/// follows.
#[test]
fn a_payee_on_an_old_copy_takes_the_next_steps() {
    // Steps that the copy knows of; how many were settled after it was made.
    for (known, settled) in [(0, 30), (10, 30), (10, 11)] {
        let mut world = opened();
        if known > 0 {
            step(&mut world, known);
        }
        let copy = world.records.len();
        step(&mut world, settled);
        world.command(Command::Redeem { stream: key_of_stream() });
        world.run();
        world.second();
        assert_eq!(view(&world).settled, u64::from(settled));
        world.disconnect();
        world.records.truncate(copy);
        world.restart();
        assert_eq!((view(&world).paid, view(&world).settled), (u64::from(known), 0));
        world.feed(Input::Connected);
        let show = shown(&world);
        world.hear(show);
        let (own, yours) = world.hub.channel.snapshot_refs();
        let channel = world.id();
        world.hear(Message::Sync { channel, own, yours, tip: None });
        world.run();
        assert_eq!(
            (view(&world).paid, view(&world).settled),
            (u64::from(settled), u64::from(settled))
        );
        // Until nothing that it may have signed and forgotten can take that away.
        world.pass(22 + 142);
        world.run();
        world.command(Command::TakeStep { token: token(40) });
        assert_eq!((world.refused(), view(&world).paid), (None, 40), "{known} {settled}");
        world.command(Command::Redeem { stream: key_of_stream() });
        world.run();
        assert_eq!(world.hub.learned.last(), chain().secret(40).as_ref());
    }
}
