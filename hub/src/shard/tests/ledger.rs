//! What the hub brings before the ledger, hears from it, and by when.

use settlement::block::LedgerEvent;
use settlement::channel::Phase;
use settlement::crypto::chain_step;
use settlement::params::Genesis;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::types::{Anchor, AssetId, Height, LedgerId, Role};
use settlement::wire::Message;

use super::wallet::Manner;
use super::world::{DEPOSIT, World, config, key, secret};
use crate::shard::*;

/// A payment that is pending: the payee says nothing, and what the payer's lock is.
pub(super) fn pending() -> World {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.rest();
    world.pay(0, 1, 1_000, 1);
    world.run();
    world
}

pub(super) fn expiries(world: &World) -> (Height, Height) {
    let incoming = world.channel(0).incoming().tally.locks[0].expiry;
    (incoming, world.channel(1).outgoing().tip().locks[0].expiry)
}

pub(super) fn reveal(world: &mut World) {
    let message = Message::Reveal { channel: world.id(1), id: 1, secret: secret(1).0 };
    world.input(Input::Message(Box::new(message)));
    world.run();
}

pub(super) fn blocks_to(world: &mut World, height: Height) {
    let count = height.0 - world.height().0;
    world.blocks(count);
}

pub(super) fn closed_by_wallet(world: &mut World, at: usize) {
    let proofs_until = world.height().after(51);
    world.block(vec![LedgerEvent::CloseStarted {
        channel: world.id(at),
        by: Role::Wallet,
        proofs_until,
    }]);
}

fn recorded(world: &World, at: usize) -> LedgerEvent {
    let incoming = world.channel(at).incoming();
    let proof = incoming.proof.as_ref().unwrap().value;
    LedgerEvent::ProofRecorded { proof, locks: incoming.tally.locks.clone() }
}

/// T-14: a secret counts up to the block before the hub's own lock expires.
#[test]
fn a_secret_at_or_after_the_hubs_own_expiry_is_ignored() {
    for (late, completed) in [(-1, 1), (0, 0), (1, 0)] {
        let mut world = pending();
        let (_, expiry) = expiries(&world);
        blocks_to(&mut world, Height(expiry.0.checked_add_signed(late).unwrap()));
        reveal(&mut world);
        assert_eq!(world.completed, completed, "{late} blocks late");
        world.blocks(5);
        world.idle();
        assert_eq!(world.not_completed, 1 - completed);
        assert_eq!(world.hub_net(), [0, 12][completed]);
    }
}

/// T-08: the payer's lock outlives the hub's own by `expiry_delta`, whatever the payer sets.
#[test]
fn the_payers_lock_outlives_the_hubs_own() {
    let policy = config().policy;
    for life in [170, 171, 250, 700, 1_500] {
        let mut world = World::new(2);
        world.wallets[1].manner = Manner::StaysSilent;
        let mut op = world.pay_op(1, 1_000, secret(1).1);
        let settlement::channel::NewOp::Add { expiry, .. } = &mut op else { panic!() };
        *expiry = world.height().after(life);
        world.add(0, op);
        world.run();
        let (incoming, outgoing) = expiries(&world);
        assert_eq!(incoming, outgoing.after(policy.expiry_delta), "a life of {life} blocks");
        // Learned in the last block that takes a claim, however late that block is seen and however
        // slowly the ledger takes transactions, it can still be claimed in time.
        let lag = policy.lag(&config().genesis);
        let learned = outgoing.after(lag).after(policy.inclusion_delay);
        assert!(learned.after(policy.inclusion_delay) <= incoming.before(policy.claim_margin));
    }
}

#[test]
fn a_payer_that_does_not_settle_is_closed_on_and_claimed_from_in_time() {
    let mut world = pending();
    world.wallets[0].settles = false;
    reveal(&mut world);
    let (incoming, _) = expiries(&world);
    let claim_by = incoming.before(world.config.policy.claim_margin);
    assert_eq!(world.shards[0].claim_deadline(&world.id(0)), Some(claim_by));
    blocks_to(&mut world, claim_by.before(1));
    assert_eq!(world.submissions, []);
    world.blocks(1);
    let [submission] = &world.submissions[..] else { panic!("{:?}", world.submissions) };
    assert!(submission.close);
    assert_eq!(submission.claims, [(1, secret(1).0)]);
    assert_eq!(submission.locks.len(), 1);
    assert_eq!(submission.proof, world.channel(0).incoming().proof);
    assert_eq!(world.channel(0).phase(), Phase::ClosingSoon);
    // Again after `inclusion_delay` blocks, and after a restart, until the ledger has it.
    world.blocks(4);
    assert_eq!(world.submissions.len(), 1);
    world.blocks(1);
    assert_eq!(world.submissions.len(), 2);
    world.restart();
    world.blocks(1);
    assert_eq!(world.submissions.len(), 3);
    let (channel, proofs_until) = (world.id(0), world.height().after(51));
    let (id, secret) = (1, secret(1).0);
    world.block(vec![
        LedgerEvent::CloseStarted { channel, by: Role::Hub, proofs_until },
        recorded(&world, 0),
        LedgerEvent::ClaimShown { channel, from: Role::Wallet, id, secret, steps: 1 },
    ]);
    world.blocks(20);
    assert_eq!(world.submissions.len(), 3);
}

#[test]
fn a_close_by_the_wallet_is_answered_with_its_newest_proof() {
    let mut world = pending();
    closed_by_wallet(&mut world, 0);
    let [submission] = &world.submissions[..] else { panic!("{:?}", world.submissions) };
    assert!(!submission.close);
    assert_eq!(submission.proof.as_ref().map(|proof| proof.value.seq), Some(1));
    world.block(vec![recorded(&world, 0)]);
    world.blocks(20);
    assert_eq!(world.submissions.len(), 1, "it is on the ledger");
    // The secret comes while the channel closes: it is claimed at once, and nobody settles.
    reveal(&mut world);
    let submission = world.submissions.last().unwrap();
    assert_eq!(submission.claims, [(1, secret(1).0)]);
    assert_eq!(world.submissions.len(), 2);
    assert_eq!(world.completed, 1, "the payer has a right to it all the same");
}

#[test]
fn a_secret_that_is_claimed_with_on_the_ledger_reaches_the_payer() {
    let mut world = pending();
    let (_, expiry) = expiries(&world);
    closed_by_wallet(&mut world, 1);
    blocks_to(&mut world, expiry.before(2));
    let (channel, id) = (world.id(1), 1);
    let claim =
        LedgerEvent::ClaimShown { channel, from: Role::Hub, id, secret: secret(1).0, steps: 1 };
    world.block(vec![claim]);
    world.run();
    assert_eq!(world.wallets[0].secrets, [(1, secret(1).0)]);
    world.blocks(5);
    assert_eq!(world.not_completed, 0, "a claimed lock has not expired");
    let (wallet, hub) = (DEPOSIT.checked_add(settlement::types::Amount(1_000)).unwrap(), DEPOSIT);
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: false }]);
    assert_eq!(world.channel(1).phase(), Phase::Closed { wallet, hub });
    assert_eq!(world.shards[0].counters().locks_out, 0);
}

/// A claim that came too late counts for nothing, so the payer is not charged for it, although its
/// own shard has not heard yet that the lock is gone.
#[test]
fn a_secret_that_comes_after_the_lock_is_gone_is_passed_to_nobody() {
    let mut world = pending();
    let (_, expiry) = expiries(&world);
    blocks_to(&mut world, expiry.before(1));
    let (channel, from, id, secret) = (world.id(1), Role::Hub, 1, secret(1).0);
    let mut last = later(&mut world);
    let mut claim = later(&mut world);
    claim.events = vec![LedgerEvent::ClaimShown { channel, from, id, secret, steps: 0 }];
    let mut out = Output::default();
    for block in [&mut last, &mut claim] {
        let input = Input::Block(std::sync::Arc::new(block.clone()));
        world.shards[0].handle(input, world.now_ms, &world.directory, &mut out);
    }
    let (incoming, outgoing) = ((world.id(0), 1), (channel, id));
    let outcome = Err(Code::Expired);
    assert_eq!(out.passes, [Pass::Outcome { incoming, outgoing, outcome }]);
}

/// Without a fresh view nothing is refunded: a claim may be in a block that is not seen yet.
#[test]
fn a_lock_expires_in_a_fresh_view_only() {
    let mut world = pending();
    let (_, expiry) = expiries(&world);
    blocks_to(&mut world, expiry.before(1));
    let stale = world.config.policy.stale_view_ms + 1;
    let now_ms = world.now_ms;
    let mut out = Output::default();
    let blocks: Vec<_> = (0..3).map(|_| later(&mut world)).collect();
    for block in &blocks {
        let block = Input::Block(std::sync::Arc::new(block.clone()));
        world.shards[0].handle(block, now_ms + stale + 1_000, &world.directory, &mut out);
    }
    assert_eq!((out.passes, out.actions), (vec![], vec![]), "seen, but long after");
    world.journal.extend(out.records);
    world.now_ms = now_ms + 600;
    world.blocks(1);
    world.idle();
    assert_eq!(world.wallets[0].failed, [(1, Code::Expired)]);
}

/// A clock that was set back does not make the newest block a new one.
#[test]
fn a_view_from_ahead_of_the_own_clock_is_not_fresh() {
    let mut world = pending();
    let (_, expiry) = expiries(&world);
    blocks_to(&mut world, expiry.before(1));
    let back_ms = world.now_ms - world.config.policy.stale_view_ms - 1_000;
    let block = Input::Block(std::sync::Arc::new(later(&mut world)));
    let mut out = Output::default();
    world.shards[0].handle(block, back_ms, &world.directory, &mut out);
    assert_eq!((out.passes, out.actions), (vec![], vec![]));
}

/// The next block, which the hub has not seen.
fn later(world: &mut World) -> settlement::block::BlockEvents {
    let mut block = world.blocks.last().unwrap().clone();
    block.events.clear();
    block.header.header.height = world.height().after(1);
    block.header.header.time_ms += 200;
    world.blocks.push(block.clone());
    block
}

#[test]
fn blocks_that_were_followed_or_that_are_not_the_next_change_nothing() {
    let mut world = World::new(2);
    let before = (World::state(&world.shards), world.journal.len());
    for at in [0, 1] {
        let block = world.blocks[at].clone();
        world.input(Input::Block(std::sync::Arc::new(block)));
    }
    let mut gap = world.blocks[1].clone();
    gap.header.header.height = world.height().after(2);
    world.input(Input::Block(std::sync::Arc::new(gap)));
    assert_eq!((World::state(&world.shards), world.journal.len()), before);
    assert_eq!(world.shards[0].followed().0, world.height());
}

#[test]
fn channels_under_other_terms_are_not_served() {
    let mut world = World::empty(config(), 1);
    let LedgerEvent::Opened { terms, .. } = world.open(1) else { panic!() };
    let other = Genesis::development("other", key(200).public(), 0).ledger_id();
    let cases = [
        (terms, true),
        (OpenTerms { hub: key(9).public(), ..terms }, false),
        (OpenTerms { ledger: other, ..terms }, false),
        (OpenTerms { ledger: LedgerId([0; 32]), ..terms }, false),
        (OpenTerms { asset: AssetId(1), ..terms }, false),
        (OpenTerms { wallet: terms.hub, ..terms }, false),
        // lag 20 + 4 × 5 at least; no longer than the hub's own 50.
        (OpenTerms { challenge_blocks: 40, ..terms }, true),
        (OpenTerms { challenge_blocks: 39, ..terms }, false),
        (OpenTerms { challenge_blocks: 51, ..terms }, false),
    ];
    for (terms, served) in cases {
        world.block(vec![LedgerEvent::Opened { terms, deposit: DEPOSIT }]);
        let known = world.shards[0].channel(&terms.channel_id());
        assert_eq!(known.is_some(), served, "{terms:?}");
    }
}

#[test]
fn the_operator_closes_a_channel_without_its_wallet() {
    let mut world = World::new(2);
    world.input(Input::CloseAlone(world.id(0)));
    let [submission] = &world.submissions[..] else { panic!() };
    assert!(submission.close && submission.proof.is_none());
    assert_eq!(world.channel(0).phase(), Phase::ClosingSoon);
    world.pay(0, 1, 100, 1);
    world.run();
    assert_eq!(world.wallets[0].rejected.first(), Some(&Code::ChannelNotOpen));
    assert_eq!(world.channel(0).incoming().tally.seq, 0);
    assert_eq!(world.submissions.len(), 1);
    world.input(Input::CloseAlone(world.id(0)));
    assert_eq!(world.submissions.len(), 2, "asked again, it is brought again");
}

/// However many blocks come, a channel with nothing to wait for is not looked at.
#[test]
fn a_channel_at_rest_costs_nothing_per_block() {
    let mut world = World::new(4);
    world.pay(0, 1, 1_000, 1);
    world.run();
    assert!(!world.shards[0].wakes.is_empty());
    world.idle();
    world.blocks(260);
    world.idle();
    world.blocks(100);
    let waking = world.shards[0].slots.iter().filter(|slot| slot.wake.is_some()).count();
    assert_eq!((waking, world.shards[0].wakes.len()), (0, 0));
}

/// What it has to bring it brings again every `inclusion_delay` blocks, and it waits as long for
/// nothing to do.
#[test]
fn a_channel_that_closes_is_not_looked_at_in_each_block() {
    let mut world = pending();
    let delay = world.config.policy.inclusion_delay;
    let wake = |world: &World| world.shards[0].slots.get(&world.id(0)).unwrap().wake;
    closed_by_wallet(&mut world, 0);
    for answers in 1..4 {
        assert_eq!(world.submissions.len(), answers);
        assert_eq!(wake(&world), Some(world.height().after(delay)), "{answers} answers");
        world.blocks(delay);
    }
    world.block(vec![recorded(&world, 0)]);
    let answers = world.submissions.len();
    world.blocks(3 * delay);
    assert_eq!(world.submissions.len(), answers, "it is on the ledger");
    assert!(wake(&world) > Some(world.height().after(1)), "{:?}", wake(&world));
}

#[test]
fn a_closed_channel_stays_closed_when_its_last_blocks_come_again() {
    let mut world = pending();
    let from = world.journal.len();
    closed_by_wallet(&mut world, 0);
    let (channel, wallet, hub) = (world.id(0), DEPOSIT, DEPOSIT);
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: false }]);
    let submissions = world.submissions.len();
    let tail = world.journal.split_off(from);
    let events = tail.into_iter().filter(|record| !matches!(record, Record::Followed { .. }));
    world.journal.extend(events);
    world.restart();
    world.blocks(10);
    assert_eq!(world.channel(0).phase(), Phase::Closed { wallet, hub });
    assert_eq!(world.submissions.len(), submissions);
}

#[test]
fn an_event_that_comes_twice_does_no_harm() {
    let mut world = pending();
    closed_by_wallet(&mut world, 0);
    let at = world.journal.iter().rposition(|record| matches!(record, Record::Followed { .. }));
    world.block(vec![recorded(&world, 0)]);
    let before = World::state(&world.shards);
    // The records of the last two blocks' heights are gone, those of their events are not.
    let torn = |(place, record): &(usize, &Record)| {
        *place < at.unwrap() || !matches!(record, Record::Followed { .. })
    };
    world.journal =
        world.journal.iter().enumerate().filter(torn).map(|(_, record)| record.clone()).collect();
    world.restart();
    world.run();
    assert_eq!(World::state(&world.shards)[&world.id(0)], before[&world.id(0)]);
}

/// Payer and payee work together: the payee shows nothing, closes, and redeems a whole stream with
/// one claim. However many steps that are, the hub claims as many from the payer.
#[test]
fn a_stream_that_is_claimed_with_one_secret_is_claimed_from_the_payer_too() {
    let steps = 5_000;
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    let seed = secret(1).0;
    let end = (0..steps).fold(seed.0, |value, _| chain_step(&value));
    let mut op = world.pay_op(1, 100, Anchor(end));
    let settlement::channel::NewOp::Add { steps: many, .. } = &mut op else { panic!() };
    *many = steps;
    world.add(0, op);
    world.run();
    world.wallets[0].settles = false;
    closed_by_wallet(&mut world, 1);
    let (channel, from, id) = (world.id(1), Role::Hub, 1);
    world.block(vec![LedgerEvent::ClaimShown { channel, from, id, secret: seed, steps }]);
    world.run();
    assert_eq!(world.wallets[0].secrets.last(), Some(&(1, seed)), "in strides that it takes");
    let (incoming, _) = expiries(&world);
    blocks_to(&mut world, incoming.before(1));
    let submission = world.submissions.last().unwrap();
    assert_eq!((submission.channel, &submission.claims[..]), (world.id(0), &[(1, seed)][..]));
    assert!(world.hub_net() >= 0, "the hub paid {} on", -world.hub_net());
}
