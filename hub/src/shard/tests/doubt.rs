//! Updates that an earlier life of the hub may have taken, and forgotten.

use client_sdk::api::upfront_memo;
use settlement::block::LedgerEvent;
use settlement::channel::{Answer, NewOp, Step};
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId};

use super::wallet::{Manner, Wallet};
use super::world::{FEES, LIFE, World, config, key, secret};
use crate::shard::*;

const AMOUNT: Amount = Amount(1_000);

/// Payer 0 has paid payee 1, and has heard nothing of it, or only that its update was taken. The hub is
/// restored from before.
fn paid_and_forgotten(shards: u16, heard: bool) -> World {
    let mut world = World::with(config(), shards, 2);
    let copy = world.journal.len();
    world.pay(0, 1, AMOUNT.0, 1);
    if heard {
        assert!(world.deliver(0));
    }
    world.disconnect(0);
    world.run();
    world.idle();
    world.set_online(1, false);
    world.journal.truncate(copy);
    world.restart();
    world
}

fn fee() -> i128 {
    FEES.fee(AMOUNT).unwrap().wide()
}

/// ⚔ The payee has the money, so the payer's update is neither refused nor is its lock given back, whoever
/// comes back first.
#[test]
fn a_payment_whose_payer_heard_nothing_is_collected_by_a_restored_hub() {
    for shards in [1, 4] {
        for heard in [true, false] {
            for order in [[0, 1], [1, 0]] {
                let mut world = paid_and_forgotten(shards, heard);
                for at in order {
                    world.come_back(at);
                }
                (0..20).for_each(|_| {
                    world.blocks(10);
                    world.idle();
                });
                let context = format!("{shards} shards, heard: {heard}, {order:?}");
                assert_eq!(world.hub_net(), fee(), "{context}");
                assert_eq!(world.wallets[0].secrets.len(), 1, "{context}");
                assert_eq!(world.pairs(), 0, "{context}");
            }
        }
    }
}

/// The hub ends before it has taken a payment, and nothing is forgotten.
fn unanswered() -> World {
    let mut world = World::new(2);
    never_taken(&mut world, 1);
    world
}

fn never_taken(world: &mut World, seed: u8) {
    let (secret, anchor) = secret(seed);
    world.wallets[1].known.insert(anchor, secret);
    let wanted = world.pay_op(1, AMOUNT.0, anchor);
    never_sent(world, wanted);
}

/// Payer 0 signs an update that the hub never gets; then the hub starts again, and nobody is there.
fn never_sent(world: &mut World, wanted: NewOp) {
    world.wallets[0].wanted.push(wanted);
    let lost = world.with_now(0, Wallet::update);
    assert_eq!(lost.len(), 1);
    (0..world.wallets.len()).for_each(|at| world.set_online(at, false));
    world.restart();
}

#[test]
fn a_payment_that_no_life_had_taken_waits_for_its_payee_and_goes_its_way() {
    let mut world = unanswered();
    world.come_back(0);
    assert_eq!(held(&world), [Some(Answer::Held)]);
    world.come_back(1);
    world.idle();
    assert_eq!((world.wallets[0].secrets.len(), world.completed), (1, 1));
    assert_eq!(world.hub_net(), fee());
}

/// The payer's lock is sought before anybody is there; once its channel is met as it was left, the payee's
/// can say that it was not passed on.
#[test]
fn a_payment_that_was_taken_and_not_passed_on_is_given_up_whoever_comes_back_first() {
    for order in [[0, 1], [1, 0]] {
        let mut world = World::new(2);
        let start = world.journal.len();
        world.pay(0, 1, AMOUNT.0, 1);
        (0..2).for_each(|at| world.set_online(at, false));
        let forwarded = |record: &Record| matches!(record, Record::Forwarded { .. });
        let passed_on = world.journal.iter().rposition(forwarded).unwrap();
        assert!(passed_on > start);
        world.journal.truncate(passed_on);
        world.restart();
        world.blocks(1);
        order.into_iter().for_each(|at| world.connect(at));
        world.run();
        assert_eq!(world.wallets[0].failed, [(1, Code::PayeeOffline)], "{order:?}");
    }
}

/// A hub that does not know yet what the ledger has done answers later, and refuses nothing.
#[test]
fn what_cannot_be_taken_yet_is_asked_for_again() {
    let mut world = unanswered();
    world.input(Input::Signing(false));
    (0..2).for_each(|at| world.connect(at));
    world.run();
    assert_eq!(held(&world), []);
    assert!(world.wallets[0].channel.outgoing().in_flight.is_some());
    world.input(Input::Signing(true));
    world.run();
    world.idle();
    assert_eq!((world.wallets[0].secrets.len(), world.hub_net()), (1, fee()));
}

/// What was lost once is known: what a payer sends after it has heard of it was in no forgotten life.
#[test]
fn a_restart_long_after_a_loss_holds_up_no_payment() {
    let mut world = paid_and_forgotten(1, true);
    (0..2).for_each(|at| world.come_back(at));
    world.blocks(300);
    world.idle();
    assert_eq!(world.hub_net(), fee());
    never_taken(&mut world, 2);
    (0..2).for_each(|at| world.come_back(at));
    world.idle();
    assert_eq!(world.wallets[0].secrets.len(), 2);
    assert_eq!(world.hub_net(), 2 * fee());
}

#[test]
fn a_payment_whose_payee_stays_away_ends_at_its_expiry() {
    let mut world = unanswered();
    world.come_back(0);
    world.blocks(LIFE + 60);
    world.idle();
    assert_eq!(held(&world), []);
    assert_eq!(world.hub_net(), 0);
}

/// ⚔ A payee with two channels may have been paid in either: that nothing was lost in one says nothing.
#[test]
fn a_payee_with_several_channels_cannot_say_that_nothing_was_passed_on() {
    let mut world = unanswered();
    let payee = world.wallets[1].key.public();
    world.directory.2.insert(payee, ChannelId([7; 32]));
    (0..2).for_each(|at| world.come_back(at));
    assert_eq!(held(&world), [Some(Answer::Held)]);
}

/// ⚔ The payee closes on the ledger with a proof that the hub has forgotten, before the payer is back.
#[test]
fn a_proof_of_the_hubs_that_only_the_ledger_shows_is_a_loss() {
    let mut world = paid_and_forgotten(1, false);
    let (proof, _) =
        world.wallets[1].channel.their_snapshot().map(|it| (it.proof.value, ())).unwrap();
    assert_eq!(world.channel(0).suspended(), None);
    world.block(vec![LedgerEvent::ProofRecorded { proof, locks: Vec::new() }]);
    assert_eq!(world.channel(0).suspended(), Some(Code::Recovering));
    world.come_back(0);
    assert_eq!(held(&world), [Some(Answer::Held)]);
    assert_eq!(world.wallets[0].failed, []);
}

/// The process ends before the payer's shard has heard that something is forgotten.
#[test]
fn a_loss_that_was_found_is_known_after_the_next_start() {
    let mut world = paid_and_forgotten(1, false);
    world.connect(1);
    world.run();
    let payer = world.id(0);
    let told = |record: &Record| {
        let told = Step::Suspended { code: Code::Recovering };
        matches!(record, Record::Step { channel, step } if *channel == payer && *step == told)
    };
    let found = world.journal.iter().position(told).unwrap();
    assert!(world.channel(1).is_recovering());
    world.journal.remove(found);
    world.set_online(1, false);
    world.restart();
    assert_eq!(world.channel(0).suspended(), Some(Code::Recovering));
}

/// ⚔ A wallet that says that it had used every number before has all its payments held, and takes no more
/// room for it than they do.
#[test]
fn what_is_held_takes_no_room_once_it_is_over() {
    let mut world = World::new(2);
    world.disconnect(1);
    let (id, payee) = (world.id(0), world.id(1));
    for seed in 1..4 {
        let slot = world.shards[0].slots.get_mut(&id).unwrap();
        slot.first_shown = Some(u64::MAX);
        world.shards[0].slots.get_mut(&payee).unwrap().met = false;
        world.pay(0, 1, AMOUNT.0, seed);
        world.run();
        assert_eq!(held(&world), [Some(Answer::Held)]);
        let lost = world.shards[0].slots.get(&id).and_then(|slot| slot.lost.as_ref());
        assert_eq!(lost.map(|lost| lost.in_doubt.len()), Some(1), "the {seed}th");
        world.blocks(LIFE + 60);
        world.idle();
    }
}

fn held(world: &World) -> Vec<Option<Answer>> {
    world.channel(0).incoming().locks.values().map(|known| known.answer).collect()
}

/// What can't have been passed on is answered at once.
#[test]
fn a_payment_to_somebody_without_a_channel_is_not_held() {
    let mut world = World::new(1);
    let (_, anchor) = secret(1);
    let mut wanted = world.pay_op(0, AMOUNT.0, anchor);
    let NewOp::Add { to, .. } = &mut wanted else { panic!("no lock") };
    to.wallet = key(99).public();
    never_sent(&mut world, wanted);
    world.come_back(0);
    world.idle();
    assert_eq!(world.wallets[0].failed, [(1, Code::UnknownPayee)]);
}

/// What was paid upfront for a stream's lock is remembered until the lock goes its way.
#[test]
fn a_fee_that_was_paid_upfront_counts_for_a_lock_that_was_held() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    let (_, anchor) = secret(1);
    let (unit, many) = (Amount(100), 16);
    let fee = FEES.fee(Amount(unit.0 * u64::from(many))).unwrap();
    let mut wanted = world.pay_op(1, unit.0, anchor);
    let NewOp::Add { unit: each, steps, .. } = &mut wanted else { panic!("no lock") };
    (*each, *steps) = (unit, many);
    world.wallets[0].wanted.push(NewOp::Pay { amount: fee, memo: upfront_memo(&anchor) });
    never_sent(&mut world, wanted);
    (0..2).for_each(|at| world.come_back(at));
    let locks = &world.channel(1).outgoing().tip().locks;
    assert_eq!(
        locks.iter().map(|lock| (lock.unit, lock.steps)).collect::<Vec<_>>(),
        [(unit, many)]
    );
}

/// ⚔ The payee shows that a lock of its own was given up, which the hub can't take its word for before that
/// has expired. What it was paid meanwhile is collected all the same.
#[test]
fn a_payee_that_cannot_be_taken_back_yet_says_its_secrets() {
    for order in [[0, 1], [1, 0]] {
        let mut world = World::new(3);
        world.wallets[2].manner = Manner::StaysSilent;
        world.pay(1, 2, 500, 9);
        world.run();
        let copy = world.journal.len();
        world.pay(0, 1, AMOUNT.0, 1);
        world.disconnect(0);
        world.run();
        world.wallets[2].manner = Manner::Fails(Code::UnknownInvoice);
        world.disconnect(2);
        world.connect(2);
        (0..3).for_each(|_| world.idle());
        assert_eq!(world.channel(1).incoming().locks.len(), 0);
        // What the payee signs last, the hub has not signed that it holds.
        world.wallets[2].manner = Manner::StaysSilent;
        world.blocks(1);
        world.pay(1, 2, 300, 10);
        world.run();
        (0..3).for_each(|at| world.set_online(at, false));
        world.journal.truncate(copy);
        world.restart();
        order.into_iter().for_each(|at| world.come_back(at));
        assert_eq!(
            world.channel(1).suspended(),
            Some(Code::StateLost),
            "{order:?}: not taken back"
        );
        assert_eq!(world.wallets[0].secrets.len(), 1, "{order:?}");
    }
}
