//! Streams through the hub: what is recorded, who hears of it and when, and what comes back.

use settlement::channel::{Answer, NewOp};
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::*;

use super::wallet::Manner;
use super::world::{DEPOSIT, LIFE, World, config};
use crate::shard::*;

pub(super) const STEPS: u32 = 50;
pub(super) const UNIT: u64 = 100;
/// 2 and 1 % on each step.
const FEE: u64 = 3;

pub(super) fn at(depth: u32) -> Secret {
    Secret((depth..STEPS).fold([5; 32], |value, _| chain_step(&value)))
}

pub(super) fn anchor() -> Anchor {
    Anchor(chain_step(&at(1).0))
}

pub(super) fn lock_op(world: &World) -> NewOp {
    let mut op = world.pay_op(1, UNIT, anchor());
    let NewOp::Add { steps, .. } = &mut op else { panic!() };
    *steps = STEPS;
    op
}

/// Wallet 0 streams 100 a step to wallet 1, which redeems when it is told to.
pub(super) fn streaming_in(world: &mut World) {
    world.wallets[1].manner = Manner::StaysSilent;
    let op = lock_op(world);
    world.add(0, op);
    world.run();
}

pub(super) fn streaming() -> World {
    let mut world = World::new(2);
    streaming_in(&mut world);
    world
}

/// The payee shows the hub a secret, as an honest one does.
pub(super) fn redeem(world: &mut World, depth: u32) {
    let said = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        if let Ok(Some(step)) = wallet.channel.reveal(1, &at(depth)) {
            wallet.commit(step, &mut said, now);
        }
        said
    });
    said.into_iter().for_each(|input| world.input(input));
}

/// The payee gives the rest up, if it may.
pub(super) fn give_up(world: &mut World) -> bool {
    let given = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        let step = wallet.channel.fail(1, Code::StreamClosed).ok()?;
        wallet.commit(step, &mut said, now);
        Some(said)
    });
    let done = given.is_some();
    given.into_iter().flatten().for_each(|input| world.input(input));
    done
}

/// The payee acknowledges without need: the hub settles at once.
pub(super) fn hurry(world: &mut World) {
    let said = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        if let Some(step) = wallet.channel.acknowledge() {
            wallet.commit(step, &mut said, now);
        }
        said
    });
    said.into_iter().for_each(|input| world.input(input));
}

pub(super) fn tick(world: &mut World) {
    world.now_ms += 200;
    world.input(Input::Tick);
    world.run();
}

/// How many steps the payer's channel knows of, settled ones included.
pub(super) fn known_in(world: &World) -> u32 {
    let incoming = world.channel(0).incoming();
    let Some(lock) = incoming.tally.lock(1) else { return STEPS };
    match incoming.locks.get(&1).unwrap().answer {
        Some(Answer::Known { steps, .. }) => STEPS - lock.steps + steps,
        _ => STEPS - lock.steps,
    }
}

pub(super) fn paid(world: &World) -> (u64, u64) {
    let balance = |at: usize| world.wallets[at].channel.balance(Role::Wallet).0;
    (DEPOSIT.0 - balance(0), balance(1) - DEPOSIT.0)
}

/// ⚔ The forwarded lock has the shape of the payer's: the same anchor, steps and payload, a unit that
/// is lower by the fee, an end that is earlier by `expiry_delta`.
#[test]
fn the_forwarded_lock_has_the_shape_of_the_payers() {
    let world = streaming();
    let theirs = world.channel(0).incoming().tally.locks[0];
    let own = world.channel(1).outgoing().tip().locks[0];
    assert_eq!((own.anchor, own.steps), (theirs.anchor, theirs.steps));
    assert_eq!((theirs.unit, own.unit), (Amount(UNIT + FEE), Amount(UNIT)));
    assert_eq!(own.expiry, theirs.expiry.before(world.config.policy.expiry_delta));
}

#[test]
fn a_redemption_is_one_record_and_payers_hear_of_the_newest_with_the_tick() {
    let mut world = streaming();
    world.wallets[0].settles = false;
    let before = world.journal.len();
    for depth in 1..=20 {
        redeem(&mut world, depth);
        assert_eq!(world.journal.len(), before + depth as usize);
    }
    assert_eq!((known_in(&world), world.wallets[0].secrets.len()), (0, 0));
    tick(&mut world);
    assert_eq!(world.journal.len(), before + 21);
    assert_eq!(world.wallets[0].secrets, [(1, at(20))]);
    assert_eq!(known_in(&world), 20);
    tick(&mut world);
    assert_eq!(world.journal.len(), before + 21, "nothing new");
    world.wallets[0].settles = true;
    world.idle();
    assert_eq!(paid(&world), (20 * (UNIT + FEE), 20 * UNIT));
    assert_eq!(world.hub_net(), i128::from(20 * FEE));
}

/// Single payments are not counted among them, a stream's last step is: also once it alone is left.
#[test]
fn redemptions_are_counted_with_their_steps() {
    let mut world = World::new(3);
    streaming_in(&mut world);
    redeem(&mut world, 1);
    redeem(&mut world, 11);
    redeem(&mut world, STEPS - 1);
    assert_eq!(world.redeemed, Redeemed { redemptions: 3, steps: u64::from(STEPS - 1) });
    world.idle();
    assert_eq!(world.channel(1).outgoing().standing.get(&1).unwrap().lock.steps, 1);
    redeem(&mut world, STEPS);
    let all = Redeemed { redemptions: 4, steps: u64::from(STEPS) };
    assert_eq!(world.redeemed, all);
    world.pay(2, 0, 50, 7);
    world.run();
    assert_eq!((world.completed, world.redeemed), (2, all));
}

/// An update that adds another payment's lock settles what is known. The payer hears of it all the same.
#[test]
fn payers_hear_of_what_was_settled_before_the_tick() {
    let mut world = World::new(3);
    streaming_in(&mut world);
    redeem(&mut world, 10);
    let op = world.pay_op(1, 50, Anchor([9; 32]));
    world.add(2, op);
    world.run();
    assert_eq!(world.channel(1).outgoing().accepted.lock(1).unwrap().steps, STEPS - 10);
    assert_eq!(known_in(&world), 0);
    tick(&mut world);
    assert_eq!(known_in(&world), 10);
}

/// The last step ends the lock, so its payer hears of it at once.
#[test]
fn the_last_step_is_passed_at_once() {
    let mut world = streaming();
    redeem(&mut world, 7);
    redeem(&mut world, STEPS);
    world.run();
    assert_eq!(world.wallets[0].secrets, [(1, at(STEPS))]);
    world.idle();
    assert_eq!(world.pairs(), 0);
    assert_eq!(paid(&world), (u64::from(STEPS) * (UNIT + FEE), u64::from(STEPS) * UNIT));
    assert_eq!(world.completed, 1);
}

/// ⚔ Settled in part, again and again, nothing of the rest is lost on either leg.
#[test]
fn partial_settlement_keeps_the_rest_on_both_legs() {
    let mut world = streaming();
    for depth in [3, 4, 17, 49] {
        redeem(&mut world, depth);
        tick(&mut world);
        world.idle();
        let left = STEPS - depth;
        let locks = [
            world.channel(0).incoming().tally.locks[0],
            world.channel(1).outgoing().tip().locks[0],
        ];
        assert_eq!(locks.map(|lock| (lock.id, lock.steps)), [(1, left), (1, left)]);
        assert_eq!(locks.map(|lock| lock.anchor.0), [at(depth).0, at(depth).0]);
        assert_eq!(paid(&world).1, u64::from(depth) * UNIT);
        assert_eq!(world.hub_net(), i128::from(u64::from(depth) * FEE));
    }
}

/// ⚔ A part is redeemed and the rest given up: the payer's lock is given up only once the payer has
/// settled that part.
#[test]
fn part_redeemed_failure_waits_for_the_payers_settlement() {
    let mut world = streaming();
    world.wallets[0].settles = false;
    redeem(&mut world, 20);
    assert!(!give_up(&mut world), "what was shown is folded first");
    hurry(&mut world);
    world.run();
    assert!(give_up(&mut world));
    world.run();
    tick(&mut world);
    assert_eq!(world.channel(1).outgoing().tip().locks, [], "the hub's own is over");
    assert_eq!((known_in(&world), world.wallets[0].failed.len()), (20, 0));
    assert_eq!(world.pairs(), 1, "kept until the payer's channel has recorded the end");
    world.restart();
    world.run();
    assert_eq!((known_in(&world), world.wallets[0].failed.len()), (20, 0));
    world.wallets[0].settles = true;
    world.idle();
    assert_eq!(world.wallets[0].failed, [(1, Code::StreamClosed)]);
    world.idle();
    assert_eq!(world.wallets[0].back, [(1, Code::StreamClosed)]);
    assert_eq!(paid(&world), (20 * (UNIT + FEE), 20 * UNIT));
    assert_eq!((world.hub_net(), world.pairs()), (i128::from(20 * FEE), 0));
}

/// ⚔ The payee redeems, a payment's update settles that, and it gives the rest up, all before the next
/// tick: what it redeemed is passed first.
#[test]
fn what_is_redeemed_is_passed_before_the_rest_is_back() {
    let mut world = streaming();
    redeem(&mut world, 20);
    world.pay(0, 1, 1_000, 9);
    world.run();
    assert_eq!(world.channel(1).outgoing().tip().locks[0].steps, STEPS - 20, "it is settled");
    assert_eq!(known_in(&world), 0, "and the payer has not heard of it");
    assert!(give_up(&mut world));
    world.run();
    world.wallets[1].manner = Manner::Fails(Code::InvoiceExpired);
    world.idle();
    world.blocks(LIFE + 60);
    world.idle();
    assert_eq!(paid(&world), (20 * (UNIT + FEE), 20 * UNIT));
    assert_eq!(world.wallets[0].back.first(), Some(&(1, Code::StreamClosed)));
}

/// ⚔ Two payers have locked money to one chain for the same payee: what that redeems of one lock is
/// charged to the payer whom that lock is for, and to nobody else.
#[test]
fn a_step_goes_to_the_paired_lock_alone() {
    let mut world = World::new(3);
    streaming_in(&mut world);
    let op = lock_op(&world);
    world.add(2, op);
    world.run();
    assert_eq!(world.channel(1).outgoing().tip().locks.len(), 2);
    for depth in [20, STEPS] {
        redeem(&mut world, depth);
        tick(&mut world);
        assert_eq!(world.wallets[0].secrets.last(), Some(&(1, at(depth))));
        assert_eq!(world.wallets[2].secrets, []);
    }
    world.blocks(LIFE + 60);
    world.idle();
    assert_eq!(world.wallets[2].channel.balance(Role::Wallet), DEPOSIT);
}

/// Money is free again in a moment, without an idle second on either side.
#[test]
fn a_stream_that_is_closed_ends_without_waiting() {
    let mut world = streaming();
    redeem(&mut world, 20);
    let before = world.now_ms;
    hurry(&mut world);
    world.run();
    assert!(give_up(&mut world));
    world.run();
    assert_eq!(world.wallets[0].back, [(1, Code::StreamClosed)]);
    assert_eq!(world.now_ms, before);
    assert_eq!(paid(&world), (20 * (UNIT + FEE), 20 * UNIT));
}

/// So many blocks pass that every lock has ended.
pub(super) fn end(world: &mut World) {
    for _ in 0..(LIFE + 60) / 10 {
        world.blocks(10);
        world.idle();
    }
}

/// A stream of 33 steps, redeemed four times, until its lock has ended or the payee has given it up.
pub(super) fn streams_to_the_end(world: &mut World, closes: bool) {
    streaming_in(world);
    for depth in [5, 6, 20, 33] {
        redeem(world, depth);
        world.run();
        if depth == 20 {
            tick(world);
            world.idle();
        }
    }
    if closes {
        hurry(world);
        world.run();
        give_up(world);
    }
    world.idle();
    end(world);
}

/// The process ends after any record, and starts again: nothing is lost, and nobody pays twice.
#[test]
fn a_hub_that_ends_at_any_record_of_a_stream_loses_nothing() {
    let play = |crash_at: Option<usize>, closes: bool| {
        let mut world = World::with(config(), 2, 2);
        let start = world.journal.len();
        world.crash_at = crash_at.map(|at| start + at);
        streams_to_the_end(&mut world, closes);
        (world, start)
    };
    for closes in [true, false] {
        let (whole, start) = play(None, closes);
        let records = whole.journal.len() - start;
        for crash_at in 0..=records.min(120) {
            let (world, _) = play(Some(crash_at), closes);
            let (from, to) = paid(&world);
            let context = format!("{crash_at} of {records}, closes: {closes}");
            // Before the lock is passed on nothing is paid; afterwards all that was redeemed.
            assert!([(0, 0), (33 * (UNIT + FEE), 33 * UNIT)].contains(&(from, to)), "{context}");
            assert!(crash_at < 8 || to > 0, "{context}: it was passed on");
            assert_eq!(world.hub_net(), i128::from(from) - i128::from(to), "{context}");
            let at = |at: usize| (world.channel(at).locked(), world.wallets[at].channel.locked());
            assert_eq!([at(0), at(1)], [(Amount(0), Amount(0)); 2], "{context}");
            assert_eq!(world.submissions.len(), 0, "{context}: nobody had to go to the ledger");
        }
    }
}

/// A payer that does not settle what was redeemed is brought before the ledger, in time.
#[test]
fn what_a_payer_does_not_settle_is_claimed_on_the_ledger() {
    let mut world = streaming();
    world.wallets[0].settles = false;
    redeem(&mut world, 20);
    tick(&mut world);
    let expiry = world.channel(0).incoming().tally.locks[0].expiry;
    let margin = world.config.policy.claim_margin;
    while world.height() < expiry.before(margin) {
        world.blocks(1);
    }
    let submission = world.submissions.iter().find(|it| it.channel == world.id(0)).unwrap();
    assert!(submission.close);
    assert_eq!(submission.claims, [(1, at(20))]);
}
