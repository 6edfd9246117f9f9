//! A connection that loses, repeats and reorders what is said on it. None that carries bytes in order
//! does; what is lost then is the order, and nobody's money.

use settlement::reject::Code;
use settlement::types::Secret;
use settlement::wire::Message;

use super::wallet::Manner;
use super::world::World;
use crate::shard::*;

/// The hub passes a payment on; the payee takes it and answers, and its acknowledgment is lost.
fn answered_without_ack(manner: Manner, change: impl Fn(&mut Message)) -> World {
    let mut world = World::new(2);
    world.wallets[1].manner = manner;
    world.pay(0, 1, 1_000, 1);
    while world.wallets[1].inbox.is_empty() {
        assert!(world.deliver(0));
    }
    let update = world.wallets[1].inbox.pop_front().unwrap();
    let said = world.with_now(1, |wallet, now| wallet.hear(update, now));
    let mut acks = 0;
    for input in said {
        match input {
            Input::Message(message) if matches!(*message, Message::Ack { .. }) => acks += 1,
            Input::Message(mut message) => {
                change(&mut message);
                world.input(Input::Message(message));
            }
            _ => {}
        }
    }
    assert_eq!(acks, 1);
    world
}

/// ⚔ A payee that then loses its state is shown the update with the lock as one that it took.
#[test]
fn who_answers_a_lock_has_taken_the_update_with_it() {
    for manner in [Manner::Reveals, Manner::Fails(Code::UnknownInvoice)] {
        let world = answered_without_ack(manner, |_| ());
        assert_eq!(world.channel(1).outgoing().accepted.locks.len(), 1);
    }
}

#[test]
fn a_secret_that_does_not_fit_says_nothing() {
    let world = answered_without_ack(Manner::Reveals, |message| {
        if let Message::Reveal { secret, .. } = message {
            *secret = Secret([99; 32]);
        }
    });
    assert!(world.channel(1).outgoing().in_flight.is_some());
    assert_eq!(world.channel(1).suspended(), Some(Code::SecretMismatch));
}

/// A wallet can't lose state within a connection: what says so was overtaken.
#[test]
fn what_a_wallet_showed_before_its_newest_word_is_no_loss() {
    let mut world = World::new(2);
    let syncs = |world: &World| [0, 1].map(|at: usize| world.wallets[at].sync());
    let old = syncs(&world);
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.idle();
    for old in old {
        let records = world.journal.len();
        world.input(old);
        assert_eq!(world.journal.len(), records);
    }
    assert!(world.wallets.iter().all(|wallet| wallet.inbox.is_empty()), "it is no word to answer");
    assert!((0..2).all(|at| world.channel(at).suspended().is_none()));

    // On the next connection the same is a loss.
    let old = syncs(&world);
    world.pay(0, 1, 1_000, 2);
    world.run();
    world.idle();
    for (at, old) in old.into_iter().enumerate() {
        world.disconnect(at);
        world.set_online(at, true);
        world.input(Input::Connected(world.id(at)));
        world.input(old);
        assert_eq!(world.channel(at).suspended(), Some(Code::StateLost));
    }
}
