//! How a stream that this wallet pays ends, and who is heard about it.

use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::*;

use super::super::stream::{StreamPhase, StreamState};
use super::super::*;
use super::harness::*;
use super::streams::*;
use crate::relay::{Body, RelayKeys};

/// The rest is back in a moment: what the hub shows is settled at once, and dropped when it is given
/// up.
#[test]
fn closing_settles_what_was_redeemed_and_the_rest_comes_back() {
    let mut world = opened();
    world.command(advance(30));
    said(&mut world);
    world.command(Command::CloseStream { stream: key_of_stream() });
    let anchor = chain(50, 100).anchor();
    assert_eq!(said(&mut world), [step(50, 100, 30), Body::Close { anchor }]);
    assert_eq!(view(&world).phase, StreamPhase::Closing);
    world.command(advance(1));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::StreamSpent));
    let secret = chain(50, 100).secret(30).unwrap();
    world.hub.reveal(1, secret);
    world.run();
    assert_eq!(world.hub.channel.received(), Amount(61), "settled without an idle second");
    world.hub.fail(1, Code::StreamClosed);
    world.run();
    let view = view(&world);
    assert_eq!(view.phase, StreamPhase::Ended(Some(Code::StreamClosed)));
    assert_eq!((view.redeemed, view.settled), (30, 30));
    assert_eq!((world.balance(), world.channel().locked()), (WALLET_DEPOSIT - 61, Amount(0)));
    world.assert_agreed();
}

#[test]
fn a_payee_that_closes_is_believed_and_asked_no_more() {
    let mut world = opened();
    world.command(advance(30));
    let anchor = chain(50, 100).anchor();
    hears(&mut world, PAYEE, &Body::Closed { anchor, steps: 30 });
    assert_eq!(view(&world).phase, StreamPhase::Closing);
    said(&mut world);
    world.hub.fail(1, Code::StreamClosed);
    world.run();
    assert!(view(&world).has_ended());
    world.second();
    assert_eq!(said(&mut world), []);
}

/// A payer whose payee has vanished gets the rest back when the lock ends.
#[test]
fn what_nobody_redeems_comes_back_at_the_expiry() {
    let mut world = opened();
    world.command(advance(30));
    world.pass(LIFE + 1);
    world.run();
    let view = view(&world);
    assert_eq!(view.phase, StreamPhase::Ended(Some(Code::Expired)));
    assert_eq!((view.paid, view.settled, view.returned), (0, 0, 30));
    assert_eq!(view.taken, 0, "what came back is not ahead of anything any more");
    world.pass(21);
    world.run();
    world.second();
    assert_eq!((world.balance(), world.channel().locked()), (WALLET_DEPOSIT - 1, Amount(0)));
}

/// Who waits for room looks at what it was told last.
#[test]
fn a_payer_is_told_when_its_lock_can_be_used_no_more() {
    let mut world = opened();
    let left = |e: &Event| match e {
        Event::Stream(view) => Some(view.left),
        _ => None,
    };
    while view(&world).left > 0 {
        world.events.clear();
        world.pass(1);
    }
    assert_eq!(world.events.iter().filter_map(left).collect::<Vec<_>>(), [0]);
    world.pass(1);
    assert_eq!(world.events.iter().filter_map(left).count(), 1, "once");
}

/// A hub that gives the lock up gets nothing of it, and the stream ends.
#[test]
fn a_lock_that_was_not_passed_on_ends_its_stream() {
    let mut world = World::new();
    world.hub.script.fail_others = Some(Code::PayeeOffline);
    world.command(open_stream(50, 2, 100));
    world.run();
    world.second();
    assert_eq!(view(&world).phase, StreamPhase::Ended(Some(Code::PayeeOffline)));
}

#[test]
fn a_stream_that_was_wanted_when_the_process_ended_has_failed() {
    let mut world = World::new();
    world.hub.script.mute = true;
    world.command(Command::PayHub { channel: world.id(), amount: Amount(9), memo: "x".into() });
    world.command(open_stream(50, 2, 100));
    assert_eq!(view(&world).phase, StreamPhase::Opening);
    world.restart();
    assert_eq!(view(&world).phase, StreamPhase::Ended(Some(Code::HubUnavailable)));
}

/// ⚔ What others say of a stream that is not theirs changes nothing, nor does what is said again.
#[test]
fn only_the_payee_is_heard_and_repeating_changes_nothing() {
    let mut world = opened();
    world.command(advance(5));
    let anchor = chain(50, 100).anchor();
    let before = view(&world);
    hears(&mut world, 4, &Body::Taken { anchor, steps: 5 });
    hears(&mut world, 4, &Body::Closed { anchor, steps: 5 });
    // As if it came from the payee, but sealed by somebody else.
    let (me, ledger) = (key(1).public(), genesis().ledger_id());
    let body = Body::Closed { anchor, steps: 5 };
    let forged = RelayKeys::default().seal(&body, &key(4), &me, &ledger).unwrap();
    let from = key(PAYEE).public();
    world.feed(Input::Relay { to: me, from, ciphertext: forged });
    assert_eq!(view(&world), before);
    for _ in 0..3 {
        taken(&mut world, 50, 100, 5);
    }
    assert_eq!(view(&world).taken, 5);
    taken(&mut world, 50, 100, 77);
    assert_eq!(view(&world).taken, 5, "no more than was handed out");
    let state = world.wallet.stream_locks(&key_of_stream()).next().unwrap().state;
    assert_eq!(state, StreamState::Open);
}

/// How deep a hub comes into a lock's chain that takes every 32 bytes it has ever seen for a secret,
/// and everything that opens with its own key.
fn deepest(seen: &[Vec<u8>], anchor: [u8; 32], steps: u32) -> u32 {
    let depth = |window: &[u8]| {
        let mut value: [u8; 32] = window.try_into().unwrap();
        (1..=steps).find(|_| {
            value = chain_step(&value);
            value == anchor
        })
    };
    seen.iter().flat_map(|bytes| bytes.windows(32)).filter_map(depth).max().unwrap_or(0)
}

/// ⚔ A hub that holds every lock, payload and message that it carried learns no step before the payee
/// redeems it, and none beyond that one afterwards.
#[test]
fn a_hub_that_tries_learns_no_step_before_it_is_redeemed() {
    let mut world = opened();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for steps in 1..=20 {
        world.command(advance(1));
        seen.extend(world.relayed.iter().map(settlement::encoding::encode));
        for message in world.relayed.drain(..) {
            let settlement::wire::Message::Relay { from, to, ciphertext } = message else {
                panic!("{message:?}")
            };
            // As either side, with the key that it has.
            for other in [from, to] {
                let mut keys = RelayKeys::default();
                let opened = keys.open(&ciphertext, &other, &key(2), &genesis().ledger_id());
                assert!(opened.is_err());
            }
        }
        taken(&mut world, 50, 100, steps);
    }
    let id = world.hub.only_lock();
    let (lock, known) = {
        let incoming = world.hub.channel.incoming();
        (*incoming.tally.lock(id).unwrap(), incoming.locks.get(&id).unwrap().clone())
    };
    assert!(crate::payload::open(&known.payload, &key(2), &genesis().ledger_id()).is_err());
    seen.push(known.payload.as_slice().to_vec());
    seen.push(settlement::encoding::encode(&world.hub.channel));
    assert_eq!(view(&world).paid, 20);
    assert_eq!(deepest(&seen, lock.anchor.0, lock.steps), 0);
    // What the payee redeems is all that it gets; the payer is charged no more either.
    let secret = chain(50, 100).secret(7).unwrap();
    world.hub.reveal(1, secret);
    world.run();
    seen.push(settlement::encoding::encode(&world.hub.channel));
    assert_eq!(deepest(&seen, lock.anchor.0, lock.steps), 7);
    world.second();
    assert_eq!(world.hub.channel.received(), Amount(1 + 7 * 2));
}
