//! A hub that has lost state may have paid this wallet and not know for whom: it is told the secrets again.

use settlement::channel::Step;
use settlement::reject::Code;
use settlement::types::{Height, Secret};
use settlement::wire::Message;

use super::super::*;
use super::fake_hub::FromHub;
use super::harness::*;

/// The wallet was paid; the hub then lost state, took it back and leapt, and the wallet ends before it
/// tells it anything.
fn leapt_while_the_wallet_is_away() -> World {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.hub.learned, [Secret([7; 32])]);
    world.disconnect();
    world.hub.commit(&Step::Suspended { code: Code::Recovering });
    world.hub.commit(&Step::Leapt { height: Height(world.hub.height) });
    world.restart();
    world
}

/// The sides say hello; what the wallet says next is left unsent.
fn meet(world: &mut World) {
    world.feed(Input::Connected);
    let sync = world.unsent().front().cloned().unwrap();
    world.carry_to_hub(sync);
    while !world.hub.out.is_empty() {
        world.run_once();
    }
}

fn told(world: &World) -> usize {
    let secret = |action: &&Action| matches!(action, Action::Send(Message::Reveal { secret, .. }) if *secret == Secret([7; 32]));
    world.unsent().iter().filter(secret).count()
}

#[test]
fn the_first_update_after_a_leap_is_answered_with_what_was_settled() {
    let mut world = leapt_while_the_wallet_is_away();
    meet(&mut world);
    assert_eq!(told(&world), 0, "it shows nothing of a leap yet");
    world.hub.pump();
    let [FromHub::Update(_)] = world.hub.out.make_contiguous() else { panic!("no update") };
    world.run_once();
    assert_eq!(told(&world), 1);
    // Only the first.
    world.run();
    world.hub_pays(5);
    world.run_once();
    assert_eq!(told(&world), 0);
}

#[test]
fn a_wallet_that_ends_before_it_has_told_it_tells_it_when_it_meets_again() {
    let mut world = leapt_while_the_wallet_is_away();
    meet(&mut world);
    world.hub.pump();
    world.run_once();
    for blocks in [0, 150] {
        world.pass(blocks);
        world.restart();
        meet(&mut world);
        assert_eq!(told(&world), 1, "after {blocks} blocks");
    }
    // Nothing can be collected with it any more.
    world.pass(1_600);
    world.restart();
    meet(&mut world);
    assert_eq!(told(&world), 0);
}

/// A hub that can't take the channel back yet hears at once what it can collect with.
#[test]
fn what_is_shown_comes_with_the_secrets() {
    let mut world = World::new();
    let before = world.hub.channel.clone();
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    world.disconnect();
    world.hub.channel = before;
    meet(&mut world);
    let shown = |action: &Action| matches!(action, Action::Send(Message::Snapshot { .. }));
    assert_eq!(world.unsent().iter().filter(|action| shown(action)).count(), 1);
    assert_eq!(told(&world), 1);
}

/// ⚔ A hub that says that it leapt into the future, or says hello again and again, hears it all once.
#[test]
fn a_hub_is_told_once_a_connection_and_only_after_a_real_leap() {
    let mut world = leapt_while_the_wallet_is_away();
    meet(&mut world);
    world.hub.pump();
    world.run_once();
    world.restart();
    meet(&mut world);
    let before = told(&world);
    let (own, yours) = world.hub.channel.snapshot_refs();
    world.hear(Message::Sync { channel: world.id(), own, yours, tip: None });
    assert_eq!((before, told(&world)), (1, 1));

    let mut world = World::new();
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    world.disconnect();
    world.hub.commit(&Step::Suspended { code: Code::Recovering });
    world.hub.commit(&Step::Leapt { height: Height(1 << 30) });
    meet(&mut world);
    world.hub.pump();
    world.run_once();
    world.restart();
    meet(&mut world);
    assert_eq!(told(&world), 0);
}
