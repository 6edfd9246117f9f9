//! Paying by streams: what leaves the wallet, when, and what comes back.

use settlement::channel::Change;
use settlement::reject::Code;
use settlement::types::*;

use super::super::stream::{Chain, StreamId, StreamKey, StreamPhase, StreamView};
use super::super::*;
use super::harness::*;
use crate::api::{FeePolicy, upfront_memo};
use crate::payload::{ContentKey, open};
use crate::relay::{Body, RelayKeys, StepToken};

pub(super) const PAYEE: u8 = 3;
pub(super) const LIFE: u64 = 1_000;

pub(super) fn chain(seed: u8, steps: u32) -> Chain {
    Chain::new(Secret([seed; 32]), steps)
}

pub(super) fn key_of_stream() -> StreamKey {
    StreamKey { way: Way::Out, peer: key(PAYEE).public(), stream: StreamId([7; 16]) }
}

pub(super) fn open_stream(seed: u8, unit: u64, steps: u32) -> Command {
    Command::OpenStream {
        stream: StreamId([7; 16]),
        chain: Box::new(chain(seed, steps)),
        nonce: [seed; 24],
        payee: key(PAYEE).public(),
        asset: AssetId(0),
        unit: Amount(unit),
        life_blocks: LIFE,
        memo: "words".to_owned(),
    }
}

pub(super) fn advance(steps: u32) -> Command {
    Command::Advance { stream: key_of_stream(), steps, by_relay: true }
}

pub(super) fn view(world: &World) -> StreamView {
    world.wallet.stream(&key_of_stream()).unwrap()
}

/// What the wallet has said to the payee since the last time.
pub(super) fn said(world: &mut World) -> Vec<Body> {
    let mut keys = RelayKeys::default();
    let ledger = genesis().ledger_id();
    let open = |message| match message {
        settlement::wire::Message::Relay { to, from, ciphertext } => {
            assert_eq!((to, from), (key(PAYEE).public(), key(1).public()));
            keys.open(&ciphertext, &from, &key(PAYEE), &ledger).unwrap()
        }
        other => panic!("{other:?}"),
    };
    world.relayed.drain(..).map(open).collect()
}

/// Somebody says something to the wallet.
pub(super) fn hears(world: &mut World, from: u8, body: &Body) {
    let (me, ledger) = (key(1).public(), genesis().ledger_id());
    let ciphertext = RelayKeys::default().seal(body, &key(from), &me, &ledger).unwrap();
    world.feed(Input::Relay { to: me, from: key(from).public(), ciphertext });
}

pub(super) fn taken(world: &mut World, seed: u8, all: u32, steps: u32) {
    hears(world, PAYEE, &Body::Taken { anchor: chain(seed, all).anchor(), steps });
}

pub(super) fn step(seed: u8, all: u32, steps: u32) -> Body {
    let mut chain = chain(seed, all);
    let (anchor, secret) = (chain.anchor(), chain.secret(steps).unwrap());
    Body::Step(StepToken { anchor, steps, secret })
}

/// A stream of 100 steps whose payee has said that it has the lock.
pub(super) fn opened() -> World {
    let mut world = World::new();
    world.command(open_stream(50, 2, 100));
    world.run();
    taken(&mut world, 50, 100, 0);
    world.events.clear();
    world
}

#[test]
fn a_stream_is_a_lock_of_many_steps_and_its_payload_says_all_of_it() {
    let world = opened();
    let id = world.hub.only_lock();
    let lock = *world.hub.channel.incoming().tally.lock(id).unwrap();
    // 2 and the fee of 1 on the whole, upfront.
    assert_eq!((lock.unit, lock.steps, lock.anchor), (Amount(2), 100, chain(50, 100).anchor()));
    let known = world.hub.channel.incoming().locks.get(&id).unwrap();
    let (payer, content) = open(&known.payload, &key(PAYEE), &genesis().ledger_id()).unwrap();
    assert_eq!(payer, key(1).public());
    assert_eq!((content.unit, content.steps, content.anchor), (lock.unit, 100, lock.anchor));
    assert_eq!(content.key, ContentKey::Stream { stream: StreamId([7; 16]), number: 0 });
    let view = view(&world);
    assert_eq!((view.phase, view.left, view.fees), (StreamPhase::Open, 100, Amount(1)));
}

#[test]
fn the_fee_goes_with_the_lock_or_not_at_all() {
    let mut world = World::new();
    world.command(open_stream(50, 2, 100));
    world.run();
    let sent = world.records.iter().find_map(|record| match record {
        Record::Step { step: settlement::channel::Step::Sent(flight), .. } => Some(flight.clone()),
        _ => None,
    });
    let memo = upfront_memo(&chain(50, 100).anchor());
    let paid = Change::Paid { amount: Amount(1), memo };
    let changes = &sent.unwrap().changes;
    assert_eq!((changes.len(), &changes[0]), (2, &paid));
    assert!(matches!(changes[1], Change::Added { .. }));

    // One lock too many: neither goes, and what else is wanted does.
    let mut world = World::new();
    for number in 0..settlement::lock::LOCKS_MAX {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
        world.command(Command::Send {
            secret: Secret(bytes),
            nonce: [1; 24],
            payee: key(PAYEE).public(),
            asset: AssetId(0),
            amount: Amount(1),
            memo: String::new(),
        });
    }
    world.run();
    world.command(open_stream(51, 2, 100));
    world.command(Command::PayHub { channel: world.id(), amount: Amount(9), memo: "x".into() });
    world.run();
    let transferred = world.hub.channel.incoming().tally.transferred;
    assert_eq!(transferred, Amount(9), "no fee without its lock");
    assert_eq!(view(&world).wanted, 100, "it waits for room");
}

#[test]
fn fees_that_a_step_carries_are_on_the_unit() {
    let mut world = World::new();
    world.wallet.set_fees(FeePolicy { id: 2, base: Amount(0), ppm: 10_000 });
    world.command(open_stream(50, 100, 20));
    world.run();
    let lock = world.hub.channel.incoming().tally.locks[0];
    assert_eq!((lock.unit, world.hub.channel.received()), (Amount(101), Amount(0)));
    taken(&mut world, 50, 20, 0);
    world.command(advance(3));
    assert_eq!((view(&world).amount(), view(&world).fees), (Amount(300), Amount(3)));
}

/// ⚔ A chain is never used for a second lock, whatever has become of the first.
#[test]
fn a_chain_is_never_used_twice() {
    let mut world = opened();
    world.command(open_stream(50, 2, 100));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::AlreadyPaid));
    world.hub.fail(1, Code::PayeeOffline);
    world.run();
    world.second();
    assert!(view(&world).has_ended());
    world.command(open_stream(50, 2, 100));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::AlreadyPaid));
    // Nor for a payment, and no payment's anchor for a stream.
    let mut invoice = invoice_by(PAYEE, 60, 5, 10_000);
    invoice.anchor = chain(60, 2).anchor();
    world.command(Command::Pay { invoice: invoice.to_text(&key(PAYEE)).unwrap() });
    world.run();
    world.events.clear();
    world.command(open_stream(60, 2, 2));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::AlreadyPaid));
}

#[test]
fn what_a_stream_can_not_be_is_refused() {
    let with = |change: fn(&mut Command)| {
        let mut command = open_stream(50, 2, 100);
        change(&mut command);
        command
    };
    type Change = fn(&mut Command);
    let cases: [(Change, Code); 6] = [
        (
            |c| {
                if let Command::OpenStream { payee, .. } = c {
                    *payee = key(1).public()
                }
            },
            Code::PaymentToSelf,
        ),
        (
            |c| {
                if let Command::OpenStream { unit, .. } = c {
                    *unit = Amount(0)
                }
            },
            Code::ZeroAmount,
        ),
        (
            |c| {
                if let Command::OpenStream { unit, .. } = c {
                    *unit = Amount(5_000)
                }
            },
            Code::InsufficientBalance,
        ),
        (
            |c| {
                if let Command::OpenStream { unit, .. } = c {
                    *unit = Amount(u64::MAX)
                }
            },
            Code::AmountOverflow,
        ),
        (
            |c| {
                if let Command::OpenStream { life_blocks, .. } = c {
                    *life_blocks = 190
                }
            },
            Code::BadArgument,
        ),
        (
            |c| {
                if let Command::OpenStream { asset, .. } = c {
                    *asset = AssetId(9)
                }
            },
            Code::UnknownAsset,
        ),
    ];
    for (change, code) in cases {
        let mut world = World::new();
        world.command(with(change));
        assert_eq!(world.refused().map(|it| it.0), Some(code));
        assert!(world.wallet.stream(&key_of_stream()).is_none(), "{code}");
    }
}

/// No step leaves the wallet before its record: the newest that was shown is known after any crash.
#[test]
fn a_step_is_recorded_before_it_leaves() {
    let mut world = opened();
    world.command(advance(3));
    assert_eq!(said(&mut world), [step(50, 100, 3)]);
    let shown = Record::Shown { anchor: chain(50, 100).anchor(), steps: 3, secret: None };
    assert_eq!(world.records.last(), Some(&shown));
    assert_eq!(view(&world).paid, 3);
    world.restart();
    world.feed(Input::Connected);
    world.run();
    assert_eq!(view(&world).paid, 3);
    // And is said again, until the payee says that it has it.
    world.second();
    assert_eq!(said(&mut world), [step(50, 100, 3)]);
    world.command(advance(2));
    taken(&mut world, 50, 100, 3);
    assert_eq!(said(&mut world), [step(50, 100, 5)]);
}

#[test]
fn one_message_is_on_the_way_at_a_time_and_the_newest_step_goes_with_the_next() {
    let mut world = opened();
    for _ in 0..5 {
        world.command(advance(1));
    }
    assert_eq!(said(&mut world), [step(50, 100, 1)]);
    taken(&mut world, 50, 100, 1);
    assert_eq!(said(&mut world), [step(50, 100, 5)]);
    assert_eq!((view(&world).paid, view(&world).taken), (5, 1));
    taken(&mut world, 50, 100, 5);
    assert_eq!(said(&mut world), []);
    // One that takes nothing now is not asked again at once.
    world.command(advance(1));
    said(&mut world);
    taken(&mut world, 50, 100, 5);
    assert_eq!(said(&mut world), []);
    world.second();
    assert_eq!(said(&mut world), [step(50, 100, 6)]);
}

#[test]
fn a_payee_that_is_far_behind_is_led_on_in_strides() {
    let mut world = World::new();
    world.wallet.set_fees(FeePolicy { id: 2, base: Amount(0), ppm: 0 });
    world.command(open_stream(50, 1, 9_000));
    world.run();
    taken(&mut world, 50, 9_000, 0);
    world.command(advance(9_000));
    let expected = [4_096, 8_192, 9_000].map(|steps| step(50, 9_000, steps));
    assert_eq!(said(&mut world), expected);
}

#[test]
fn steps_go_on_in_the_next_lock_and_no_further() {
    let mut world = opened();
    world.command(open_stream(51, 2, 50));
    world.run();
    taken(&mut world, 51, 50, 0);
    assert_eq!((view(&world).left, view(&world).locks), (150, 2));
    world.command(advance(120));
    let steps = world.events.iter().find_map(|event| match event {
        Event::Steps(steps) => Some(steps.iter().map(|step| step.steps).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(steps, Some(vec![100, 20]));
    world.events.clear();
    world.command(advance(31));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::StreamSpent));
    assert_eq!((view(&world).paid, view(&world).left), (120, 30));
}

/// A step that nobody could redeem any more is not handed out.
#[test]
fn no_step_is_handed_out_of_a_lock_that_ends_soon() {
    let mut world = opened();
    world.pass(LIFE - 190 - 1);
    world.command(advance(1));
    assert_eq!(view(&world).paid, 1);
    world.pass(1);
    world.command(advance(1));
    assert_eq!(world.refused().map(|it| it.0), Some(Code::StreamSpent));
}
