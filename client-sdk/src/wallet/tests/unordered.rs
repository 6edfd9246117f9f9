//! A connection that loses, repeats and reorders what is said on it. None that carries bytes in order
//! does; what is lost then is the order, and nobody's money.

use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Secret};
use settlement::wire::Message;

use super::super::*;
use super::fake_hub::FromHub;
use super::harness::*;

/// The hub takes the update with the lock and answers the lock; the acknowledgment is lost.
fn answered_without_ack(world: &mut World, answer: impl FnOnce(ChannelId, u64) -> Message) {
    world.command(pay(3, 7, 500));
    let update = world.unsent().front().cloned().unwrap();
    world.carry_to_hub(update);
    let acks =
        world.hub.out.iter().filter(|said| matches!(said, FromHub::Say(Message::Ack { .. })));
    assert_eq!(acks.count(), 1);
    world.forget_unsent();
    let (id, lock) = (world.id(), world.hub.only_lock());
    world.hear(answer(id, lock));
}

fn reveal(channel: ChannelId, id: u64) -> Message {
    Message::Reveal { channel, id, secret: Secret([7; 32]) }
}

fn fail(channel: ChannelId, id: u64) -> Message {
    Message::Fail { channel, id, code: Code::UnknownInvoice }
}

#[test]
fn who_answers_a_lock_has_taken_the_update_with_it() {
    for answer in [reveal, fail] {
        let mut world = World::new();
        answered_without_ack(&mut world, answer);
        assert_eq!(world.channel().outgoing().accepted.locks.len(), 1);
    }
}

/// ⚔ The payer has paid when it hears the secret. A hub that then loses the update, but not what it has
/// passed on, is shown it as one that was taken.
#[test]
fn a_hub_that_loses_what_it_has_answered_is_shown_it() {
    let mut world = World::new();
    let before = world.hub.channel.clone();
    answered_without_ack(&mut world, reveal);
    world.disconnect();
    world.hub.channel = before;
    world.feed(Input::Connected);
    world.forget_unsent();
    let (own, yours) = world.hub.channel.snapshot_refs();
    world.hear(Message::Sync { channel: world.id(), own, yours, tip: None });
    assert_eq!(world.channel().suspended(), Some(Code::StateLost));
    let shown = world.unsent().iter().filter_map(|action| match action {
        Action::Send(Message::Snapshot { proof, locks, .. }) => Some((proof.value, locks.len())),
        _ => None,
    });
    let shown: Vec<_> = shown.collect();
    let [(proof, 1)] = shown[..] else { panic!("{shown:?}") };
    assert_eq!(proof.locked, Amount(501));
}

#[test]
fn a_secret_that_does_not_fit_says_nothing() {
    let mut world = World::new();
    let false_one = |channel, id| Message::Reveal { channel, id, secret: Secret([8; 32]) };
    answered_without_ack(&mut world, false_one);
    assert!(world.channel().outgoing().in_flight.is_some());
    assert_eq!(world.channel().suspended(), Some(Code::SecretMismatch));
}

/// A hub can't lose state within a connection: what says so was overtaken.
#[test]
fn what_the_hub_showed_before_its_newest_word_is_no_loss() {
    let mut world = World::new();
    let shown = |world: &World| {
        let (own, yours) = world.hub.channel.snapshot_refs();
        Message::Sync { channel: world.id(), own, yours, tip: None }
    };
    let first = shown(&world);
    world.hub_pays(5);
    world.run();
    let second = shown(&world);
    world.command(Command::PayHub { channel: world.id(), amount: Amount(5), memo: String::new() });
    world.run();
    for old in [first, second.clone()] {
        let records = world.records.len();
        world.hear(old);
        assert_eq!((world.channel().suspended(), world.records.len()), (None, records));
        assert!(world.unsent().is_empty());
    }
    world.hub_pays(5);
    world.run();
    world.assert_agreed();

    // On the next connection the same is a loss.
    world.disconnect();
    world.feed(Input::Connected);
    world.hear(second);
    assert_eq!(world.channel().suspended(), Some(Code::StateLost));
}
