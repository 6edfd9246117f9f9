//! How many of a channel's places a payee lets streams have.

use settlement::reject::Code;
use settlement::types::*;

use super::super::stream::{
    Chain, STREAM_LOCKS_MAX, STREAM_LOCKS_OF_ONE_PAYER, StreamId, StreamKey,
};
use super::super::*;
use super::harness::*;
use crate::payload::{Content, ContentKey, seal};
use crate::relay::StepToken;

/// Chains differ by their number.
fn chain(number: usize, steps: u32) -> Chain {
    let mut seed = [60; 32];
    seed[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
    Chain::new(Secret(seed), steps)
}

fn stream_of(payer: u8, number: usize) -> StreamKey {
    let mut stream = StreamId([7; 16]);
    stream.0[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
    StreamKey { way: Way::In, peer: key(payer).public(), stream }
}

/// A lock of a stream of its own; why it is given up, if it is.
fn opens(world: &mut World, payer: u8, number: usize, steps: u32) -> Option<Code> {
    let anchor = chain(number, steps).anchor();
    let key_in = ContentKey::Stream { stream: stream_of(payer, number).stream, number: 0 };
    let (asset, memo) = (AssetId(0), String::new());
    let content = Content { key: key_in, unit: Amount(1), steps, asset, anchor, memo };
    let (me, ledger) = (key(1).public(), genesis().ledger_id());
    let payload = seal(&content, &key(payer), &me, &ledger, &[1; 24]).unwrap();
    let before = world.hub.failures.len();
    world.hub_adds(NewLock { anchor, unit: 1, steps, life: 1_000, to: me, payload });
    world.run();
    world.hub.failures.get(before).map(|(_, code)| *code)
}

/// So many steps are paid, and settled.
fn pays(world: &mut World, number: usize, all: u32, steps: u32) {
    let mut chain = chain(number, all);
    let token = StepToken { anchor: chain.anchor(), steps, secret: chain.secret(steps).unwrap() };
    world.command(Command::TakeStep { token });
    world.second();
    world.run();
}

fn settled(world: &World, payer: u8, number: usize) -> u64 {
    world.wallet.stream(&stream_of(payer, number)).unwrap().settled
}

/// ⚔ Locks that their payers never pay, or pay all but one step of, shut nobody's payment out.
#[test]
fn streams_leave_half_of_the_places_to_payments_and_a_quarter_to_other_payers() {
    let mut world = World::new();
    for number in 0..STREAM_LOCKS_OF_ONE_PAYER {
        assert_eq!(opens(&mut world, 3, number, 2), None, "{number}");
        pays(&mut world, number, 2, 1);
        assert_eq!(settled(&world, 3, number), 1, "{number}: one step is left");
    }
    let full = Some(Code::NoCapacity);
    assert_eq!(opens(&mut world, 3, 1_000, 2), full, "as many as one payer may have");
    world.restart();
    world.feed(Input::Connected);
    world.run();
    assert_eq!(opens(&mut world, 3, 1_001, 2), full, "also after a restart");
    for number in STREAM_LOCKS_OF_ONE_PAYER..STREAM_LOCKS_MAX {
        assert_eq!(opens(&mut world, 4, number, 3), None, "{number}");
    }
    assert_eq!(opens(&mut world, 5, 1_002, 2), full, "as many as streams may have");
    // Payments have the other half.
    world.command(invoice(9, 40));
    world.hub_adds(NewLock::of(9, 40));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
    // What is used up makes room.
    pays(&mut world, 0, 2, 2);
    assert_eq!(opens(&mut world, 3, 1_003, 2), None);
    assert_eq!(opens(&mut world, 3, 1_004, 2), full);
    world.assert_agreed();
}

/// ⚔ One step looks like a payment to the hub, which does not count it among a payer's streams.
#[test]
fn a_streams_lock_has_two_steps_at_least() {
    let mut world = World::new();
    assert_eq!(opens(&mut world, 3, 0, 1), Some(Code::StepsOutOfRange));
    assert_eq!(world.wallet.streams(Way::In).count(), 0);
    world.command(super::streams::open_stream(1, 1, 1));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::StepsOutOfRange));
}
