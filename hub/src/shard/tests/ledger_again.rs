//! What the hub brings before the ledger sooner or later than it would, and asks a wallet for again.

use settlement::channel::Phase;
use settlement::reject::Code;
use settlement::wire::Message;

use super::ledger::*;
use super::world::{World, secret};
use crate::shard::*;

/// The hub has just answered a close, without the secret: that does not wait until the hub would answer again.
#[test]
fn a_secret_that_comes_after_an_answer_is_claimed_with_at_once() {
    let mut world = pending();
    closed_by_wallet(&mut world, 0);
    assert_eq!(world.submissions.len(), 1);
    reveal(&mut world);
    assert_eq!(world.submissions.len(), 2);
    assert_eq!(world.submissions[1].claims, [(1, secret(1).0)]);
}

/// A hub on an old copy on which a payer has not settled, and the time to claim has come. The payer had
/// settled, and shows it.
fn claims_what_was_settled() -> World {
    let mut world = pending();
    world.wallets[0].settles = false;
    reveal(&mut world);
    let copy = world.journal.len();
    let due = world.shards[0].claim_deadline(&world.id(0)).unwrap();
    world.wallets[0].settles = true;
    world.idle();
    blocks_to(&mut world, due);
    assert_eq!((world.channel(0).incoming().tally.locks.len(), world.submissions.len()), (0, 0));
    (0..2).for_each(|at| world.set_online(at, false));
    world.journal.truncate(copy);
    world.restart();
    world
}

/// To close on that would give away what came after it.
#[test]
fn a_hub_waits_to_meet_a_wallet_before_it_closes_on_what_it_holds_of_old() {
    let mut world = claims_what_was_settled();
    assert_eq!(world.submissions, []);
    world.come_back(0);
    assert_eq!((world.channel(0).phase(), world.submissions.len()), (Phase::Open, 0));
}

/// For the slack in the margin, and no longer.
#[test]
fn a_hub_closes_on_what_it_holds_of_old_if_the_wallet_stays_away() {
    let mut world = claims_what_was_settled();
    let margin = world.config.policy.margin;
    world.blocks(margin - 1);
    assert_eq!(world.submissions, []);
    world.blocks(1);
    assert_eq!(world.submissions.len(), 1);
}

/// A payee whose view is behind has refused to drop it; it is asked again when its view may have come as far, and
/// not before, whether or not the hub has started again meanwhile.
#[test]
fn an_expired_lock_that_was_not_dropped_is_asked_for_again() {
    for restarts in [true, false] {
        let mut world = pending();
        let (_, expiry) = expiries(&world);
        let lag = world.config.policy.lag(&world.config.genesis);
        world.wallets[1].answers = false;
        blocks_to(&mut world, expiry.after(lag));
        assert_eq!(world.channel(1).outgoing().tip().locks, []);
        let seq = world.channel(1).outgoing().last_seq;
        let (channel, code) = (world.id(1), Code::DropNotAllowed);
        world.input(Input::Message(Box::new(Message::Reject { channel, seq, code })));
        world.wallets[1].answers = true;
        world.idle();
        if restarts {
            world.restart();
            world.run();
        }
        world.blocks(lag - 1);
        assert_eq!(world.channel(1).outgoing().tip().locks.len(), 1);
        world.blocks(1);
        assert_eq!(world.channel(1).outgoing().tip().locks, [], "restarts: {restarts}");
    }
}
