//! Being paid by streams: which locks and steps the wallet takes, and how it comes to the money.

use settlement::block::LedgerEvent;
use settlement::channel::Phase;
use settlement::proof::SnapshotRef;
use settlement::reject::Code;
use settlement::types::*;
use settlement::update::Payload;
use settlement::wire::Message;

use super::super::stream::{Chain, StreamId, StreamKey, StreamPhase, StreamView};
use super::super::*;
use super::harness::*;
use super::streams::hears;
use crate::payload::{Content, ContentKey, seal};
use crate::relay::{Body, RelayKeys, StepToken};

pub(super) const PAYER: u8 = 3;
pub(super) const STEPS: u32 = 100;

pub(super) fn chain() -> Chain {
    Chain::new(Secret([50; 32]), STEPS)
}

pub(super) fn key_of_stream() -> StreamKey {
    StreamKey { way: Way::In, peer: key(PAYER).public(), stream: StreamId([7; 16]) }
}

pub(super) fn content() -> Content {
    Content {
        key: ContentKey::Stream { stream: StreamId([7; 16]), number: 0 },
        unit: Amount(3),
        steps: STEPS,
        asset: AssetId(0),
        anchor: chain().anchor(),
        memo: "words".to_owned(),
    }
}

pub(super) fn lock(content: &Content) -> NewLock {
    let (me, ledger) = (key(1).public(), genesis().ledger_id());
    let payload = seal(content, &key(PAYER), &me, &ledger, &[1; 24]).unwrap();
    let (unit, anchor) = (3, chain().anchor());
    NewLock { anchor, unit, steps: STEPS, life: 1_000, to: me, payload }
}

pub(super) fn token(steps: u32) -> StepToken {
    StepToken { anchor: chain().anchor(), steps, secret: chain().secret(steps).unwrap() }
}

pub(super) fn step(world: &mut World, steps: u32) {
    hears(world, PAYER, &Body::Step(token(steps)));
}

pub(super) fn view(world: &World) -> StreamView {
    world.wallet.stream(&key_of_stream()).unwrap()
}

pub(super) fn said(world: &mut World) -> Vec<Body> {
    let mut keys = RelayKeys::default();
    let ledger = genesis().ledger_id();
    let open = |message| match message {
        Message::Relay { from, ciphertext, .. } => {
            keys.open(&ciphertext, &from, &key(PAYER), &ledger).unwrap()
        }
        other => panic!("{other:?}"),
    };
    world.relayed.drain(..).map(open).collect()
}

pub(super) fn taken(steps: u32) -> Body {
    Body::Taken { anchor: chain().anchor(), steps }
}

pub(super) fn closed(steps: u32) -> Body {
    Body::Closed { anchor: chain().anchor(), steps }
}

/// A stream of 100 steps of 3 that the wallet has.
pub(super) fn opened() -> World {
    let mut world = World::new();
    world.hub_adds(lock(&content()));
    world.run();
    assert_eq!(said(&mut world), [taken(0)]);
    world.events.clear();
    world
}

#[test]
fn a_lock_that_is_as_its_payload_says_is_kept_and_said_to_be_here() {
    let world = opened();
    let view = view(&world);
    assert_eq!((view.phase, view.unit, view.left), (StreamPhase::Open, Amount(3), 100));
    assert_eq!(view.memo, "words");
    assert_eq!((world.hub.failures.len(), world.hub.learned.len()), (0, 0));
}

/// ⚔ A hub that skims a unit off, gives fewer or more steps, another chain or another asset than the
/// payer's payload says, gets no step; nor does a payload that is nobody's.
#[test]
fn a_unit_skimmed_from_the_payload_or_another_shape_is_given_up() {
    let good = || lock(&content());
    let other = Chain::new(Secret([51; 32]), STEPS).anchor();
    let stranger = lock(&content()).payload.as_slice().iter().map(|byte| byte ^ 1).collect();
    let cases = [
        (NewLock { unit: 2, ..good() }, Code::WrongAmount),
        (NewLock { unit: 4, ..good() }, Code::WrongAmount),
        (NewLock { steps: STEPS - 1, ..good() }, Code::WrongAmount),
        (NewLock { steps: STEPS + 1, ..good() }, Code::WrongAmount),
        (NewLock { anchor: other, ..good() }, Code::BadPayload),
        (lock(&Content { asset: AssetId(1), ..content() }), Code::WrongAmount),
        (NewLock { payload: Payload::new(stranger).unwrap(), ..good() }, Code::BadPayload),
        (NewLock { payload: Payload::default(), ..good() }, Code::UnknownInvoice),
        (NewLock { to: key(4).public(), ..good() }, Code::UnknownPayee),
        (NewLock { life: 69, ..good() }, Code::ExpiryTooSoon),
    ];
    for (at, (lock, code)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        world.hub_adds(lock);
        world.run();
        assert_eq!(world.hub.failures, [(1, code)], "case {at}");
        assert!(world.wallet.stream(&key_of_stream()).is_none(), "case {at}");
        step(&mut world, 5);
        assert_eq!(world.relayed.len(), 0, "case {at}");
    }
}

/// ⚔ A second lock on a chain that was used gets nothing, while the first stands and afterwards.
#[test]
fn a_chain_that_was_used_before_is_given_up() {
    let mut world = opened();
    world.hub_adds(lock(&content()));
    world.run();
    assert_eq!(world.hub.failures, [(2, Code::DuplicatePayment)]);
    world.command(Command::CloseStream { stream: key_of_stream() });
    world.run();
    assert!(view(&world).has_ended());
    world.hub_adds(lock(&content()));
    world.run();
    assert_eq!(world.hub.failures.last(), Some(&(3, Code::DuplicatePayment)));
}

#[test]
fn a_step_is_durable_before_it_is_said_to_be_taken() {
    let mut world = opened();
    step(&mut world, 4);
    assert_eq!(said(&mut world), [taken(4)]);
    let secret = chain().secret(4);
    let shown = Record::Shown { anchor: chain().anchor(), steps: 4, secret };
    assert!(world.records.contains(&shown));
    world.restart();
    assert_eq!((view(&world).paid, view(&world).redeemed), (4, 0));
    // Redeemed a moment after the start, hub or no hub.
    world.now_ms += 1_100;
    world.feed(Input::Tick);
    assert_eq!(view(&world).redeemed, 4);
}

/// ⚔ A step that does not fit is ignored, and those before it stay what they are.
#[test]
fn junk_secrets_are_ignored_and_cost_a_share_of_each_second() {
    let mut world = opened();
    step(&mut world, 4);
    said(&mut world);
    let good = token(9);
    let junk = [
        StepToken { secret: Secret([9; 32]), ..good },
        StepToken { steps: 8, ..good },
        StepToken { steps: 10, ..good },
        StepToken { steps: STEPS + 1, ..good },
        StepToken { steps: u32::MAX, ..good },
        StepToken { secret: Secret(chain().anchor().0), ..good },
    ];
    for token in junk {
        world.second();
        hears(&mut world, PAYER, &Body::Step(token));
        assert_eq!((view(&world).paid, said(&mut world)), (4, vec![taken(4)]));
        world.command(Command::TakeStep { token });
        assert_eq!(world.refused().map(|it| it.0), Some(Code::StepMismatch));
    }
    step(&mut world, 9);
    assert_eq!(view(&world).paid, 9);
    // Old ones again change nothing.
    for steps in [1, 4, 9] {
        step(&mut world, steps);
        assert_eq!((view(&world).paid, view(&world).redeemed), (9, 4));
    }
    assert_eq!(world.channel().suspended(), None);
}

/// ⚔ Others can't hand steps over, close, or say anything of a stream.
#[test]
fn only_the_payer_is_heard() {
    let mut world = opened();
    hears(&mut world, 4, &Body::Step(token(5)));
    hears(&mut world, 4, &Body::Close { anchor: chain().anchor() });
    assert_eq!((view(&world).paid, view(&world).phase), (0, StreamPhase::Open));
    assert_eq!(said(&mut world), []);
}

/// ⚔ There is no way to settle a part and lose the rest.
#[test]
fn a_part_that_is_settled_leaves_the_rest_of_the_stream() {
    let mut world = opened();
    for (steps, paid) in [(4, 12), (9, 27), (100, 300)] {
        step(&mut world, steps);
        world.command(Command::Redeem { stream: key_of_stream() });
        world.run();
        world.second();
        assert_eq!(world.balance(), WALLET_DEPOSIT + paid);
        assert_eq!((view(&world).redeemed, view(&world).settled), (steps.into(), steps.into()));
    }
    assert_eq!(view(&world).phase, StreamPhase::Ended(None));
    world.assert_agreed();
}

/// Redeemed within a second: many steps, one secret.
#[test]
fn the_newest_step_is_redeemed_a_second_after_the_first() {
    let mut world = opened();
    for steps in 1..=10 {
        step(&mut world, steps);
    }
    assert_eq!(world.hub.learned.len(), 0);
    world.second();
    assert_eq!(world.hub.learned, [chain().secret(10).unwrap()]);
}

/// ⚔ What was redeemed of a stream is folded before the rest is given up.
#[test]
fn a_part_redeemed_is_settled_before_the_rest_is_given_up() {
    let mut world = opened();
    world.hub.script.keep_due = true;
    step(&mut world, 30);
    said(&mut world);
    hears(&mut world, PAYER, &Body::Close { anchor: chain().anchor() });
    assert_eq!(said(&mut world), [closed(30)]);
    world.run();
    assert_eq!(world.hub.learned, [chain().secret(30).unwrap()]);
    assert_eq!(world.hub.failures, [], "not while the hub has not settled");
    assert_eq!(world.hub.channel.incoming().tally.seq, 1, "it is asked to settle at once");
    world.pass(3);
    world.run();
    assert_eq!(world.hub.failures, []);
    world.hub.script.keep_due = false;
    world.run();
    world.run();
    assert_eq!(world.hub.failures, [(1, Code::StreamClosed)]);
    world.run();
    assert_eq!(view(&world).phase, StreamPhase::Ended(Some(Code::StreamClosed)));
    assert_eq!((world.balance(), world.channel().locked()), (WALLET_DEPOSIT + 90, Amount(0)));
    world.assert_agreed();
}

#[test]
fn a_payee_that_closes_takes_no_more_and_says_so() {
    let mut world = opened();
    world.command(Command::CloseStream { stream: key_of_stream() });
    world.run();
    assert_eq!(said(&mut world), [closed(0)]);
    assert_eq!(world.hub.failures, [(1, Code::StreamClosed)]);
    step(&mut world, 5);
    assert_eq!((said(&mut world), view(&world).paid), (vec![closed(0)], 0));
    // The next lock of the stream comes too late.
    let next = Chain::new(Secret([51; 32]), STEPS).anchor();
    let key = ContentKey::Stream { stream: StreamId([7; 16]), number: 1 };
    let content = Content { anchor: next, key, ..content() };
    world.hub_adds(NewLock { anchor: next, ..lock(&content) });
    world.run();
    assert_eq!(world.hub.failures.last(), Some(&(2, Code::StreamClosed)));
}

/// A payee with steps in hand and a hub that is gone gets its money from the ledger.
#[test]
fn steps_in_hand_are_claimed_on_the_ledger_when_the_hub_is_gone() {
    let mut world = opened();
    let expiry = world.channel().incoming().tally.locks[0].expiry;
    world.disconnect();
    step(&mut world, 30);
    assert_eq!(view(&world).paid, 30);
    let deadline = expiry.0 - 30;
    while world.hub.height < deadline - 1 {
        world.block(Vec::new());
    }
    assert_eq!(world.submissions.len(), 0, "not before it has to");
    world.block(Vec::new());
    let submission = world.submissions.pop().unwrap();
    assert!(submission.close);
    assert_eq!(submission.claims, [(1, chain().secret(30).unwrap())]);
}

/// Whoever closes: what is in hand is claimed, redeemed at the hub before or not.
#[test]
fn steps_in_hand_are_claimed_when_the_channel_closes() {
    for by_hub in [false, true] {
        let mut world = opened();
        step(&mut world, 30);
        let (channel, proofs_until) = (world.id(), Height(world.hub.height + 50));
        if by_hub {
            let by = Role::Hub;
            world.block(vec![LedgerEvent::CloseStarted { channel, by, proofs_until }]);
        } else {
            world.command(Command::CloseAlone { channel });
        }
        let submission = world.submissions.pop().unwrap();
        assert_eq!(submission.claims, [(1, chain().secret(30).unwrap())], "{by_hub}");
        assert_ne!(world.channel().phase(), Phase::Open);
    }
}

/// A step that could not be claimed in time any more does not count.
#[test]
fn a_step_that_comes_too_late_is_not_taken() {
    let mut world = opened();
    let expiry = world.channel().incoming().tally.locks[0].expiry;
    while world.hub.height < expiry.0 - 70 {
        world.block(Vec::new());
    }
    step(&mut world, 3);
    assert_eq!(view(&world).paid, 3);
    world.block(Vec::new());
    world.command(Command::TakeStep { token: token(4) });
    assert_eq!(world.refused().map(|it| it.0), Some(Code::ExpiryTooSoon));
    // Nor one that comes while the ledger is not seen.
    let mut world = opened();
    world.now_ms += 10_000;
    world.command(Command::TakeStep { token: token(4) });
    assert_eq!(world.refused().map(|it| it.0), Some(Code::LedgerStalled));
    assert_eq!(view(&world).paid, 0);
}

/// A hub that had to hash too much hears the newest secret again a second later.
#[test]
fn what_the_hub_had_no_time_for_is_said_again() {
    let mut world = opened();
    step(&mut world, 30);
    world.command(Command::Redeem { stream: key_of_stream() });
    world.forget_unsent();
    let (channel, code) = (world.id(), Code::HashBudget);
    world.hear(Message::Reject { channel, seq: 0, code });
    world.feed(Input::Tick);
    assert_eq!(world.unsent().len(), 0);
    world.second();
    assert_eq!(world.hub.learned, [chain().secret(30).unwrap()]);
    let answer = world.channel().incoming().locks.get(&1).and_then(|known| known.answer);
    assert_eq!(answer, None, "it is settled");
}

/// A hub that has lost state hears again what it has paid of a stream that is over, and no more: it has
/// to collect that from the payer.
#[test]
fn a_hub_that_lost_state_hears_again_what_it_has_paid_of_a_stream() {
    for (steps, closes) in [(30, true), (STEPS, false)] {
        let mut world = opened();
        step(&mut world, steps);
        world.command(Command::Redeem { stream: key_of_stream() });
        world.run();
        world.second();
        if closes {
            world.command(Command::CloseStream { stream: key_of_stream() });
            world.run();
            world.second();
        }
        assert_eq!(world.channel().incoming().tally.locks, []);
        let (channel, newest) = (world.id(), world.hub.channel.snapshot_refs());
        world.disconnect();
        world.feed(Input::Connected);
        for (own, yours) in [(SnapshotRef::NONE, SnapshotRef::NONE), newest] {
            world.forget_unsent();
            world.hear(Message::Sync { channel, own, yours, tip: None });
        }
        let secret = chain().secret(steps).unwrap();
        let reveal = Action::Send(Message::Reveal { channel, id: 1, secret });
        assert_eq!(world.unsent().iter().filter(|it| **it == reveal).count(), 1, "{steps}");
    }
}
