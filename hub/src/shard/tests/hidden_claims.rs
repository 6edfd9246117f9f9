//! ⚔ A payee that has met a hub on an old copy as if nothing had been lost, and shows on the ledger what it was
//! promised.

use settlement::block::LedgerEvent;
use settlement::channel::NewOp;
use settlement::crypto::chain_step;
use settlement::types::{Anchor, ChannelId, Role, Secret};
use settlement::wire::Message;

use super::lost_streams::*;
use super::starting::{Rows, checkpoint, restored};
use super::streams::*;
use super::wallet::Manner;
use super::world::{World, config, secret};
use crate::shard::*;

/// The payee meets as if nothing had been lost.
pub(super) fn hides(world: &mut World) -> ChannelId {
    let channel = world.id(1);
    world.input(Input::Connected(channel));
    let (yours, own) = world.channel(1).snapshot_refs();
    world.input(Input::Message(Box::new(Message::Sync { channel, own, yours, tip: None })));
    // The wallet of these tests is honest: it hears nothing.
    assert!(world.wallets[1].inbox.is_empty() && !world.wallets[1].online);
    channel
}

/// What the payee brings before the ledger: the proof that the hub has forgotten, and the close.
pub(super) fn close(world: &World) -> Vec<LedgerEvent> {
    let channel = world.id(1);
    let incoming = world.wallets[1].channel.incoming();
    let proof = incoming.proof.as_ref().unwrap().value;
    let locks = incoming.tally.locks.to_vec();
    let proofs_until = world.height().after(100);
    vec![
        LedgerEvent::CloseStarted { channel, by: Role::Wallet, proofs_until },
        LedgerEvent::ProofRecorded { proof, locks },
    ]
}

pub(super) fn claim(channel: ChannelId, id: u64, secret: Secret, steps: u32) -> LedgerEvent {
    LedgerEvent::ClaimShown { channel, from: ME, id, secret, steps }
}

fn said(count: u32) -> Vec<Secret> {
    let real = chain_step(&at(13).0);
    let secrets = (0..).map(|number: u32| {
        let mut secret = Secret([0xee; 32]);
        secret.0[..4].copy_from_slice(&u32::to_be_bytes(number));
        secret
    });
    // Secrets whose first hash is looked into before the real one's.
    let first = secrets.filter(|secret| chain_step(&secret.0) < real);
    first.take(count as usize).collect()
}

fn junk(channel: ChannelId, count: u32) -> Vec<LedgerEvent> {
    // At most 256 in a submission, each of another lock.
    let ids = (77..77 + 255).cycle();
    said(count).into_iter().zip(ids).map(|(secret, id)| claim(channel, id, secret, 0)).collect()
}

/// ⚔ The ledger shows every claim of a submission, also one that counts for nothing (`steps: 0`), of a lock
/// that there never was: 256 of them ride along with one that is worth a look, at no hash.
#[test]
fn claims_that_count_for_nothing_are_not_kept_without_bound() {
    let mut world = forgotten(1, CASES[0], Copy::Payers);
    world.blocks(2);
    world.input(Input::Lost);
    world.blocks(25);
    let channel = hides(&mut world);
    let mut events = close(&world);
    world.wallets[1].inbox.clear();
    events.extend(junk(channel, 20_000));
    world.block(events);
    let slot = world.shards[0].slots.get(&channel).unwrap();
    let kept = slot.lost.as_ref().map_or(0, |lost| lost.said.len() + lost.claims.len());
    assert!(kept <= 1_024 + 256, "{kept}");
}

/// ⚔ The same, to keep the hub from the secret that counts until the payer's lock is over.
#[test]
fn claims_that_count_for_nothing_do_not_hide_the_one_that_counts() {
    for count in [0, 1_024, 100_000] {
        let mut world = forgotten(1, CASES[0], Copy::Payers);
        world.blocks(2);
        world.input(Input::Lost);
        world.blocks(25);
        let channel = hides(&mut world);
        let lock = world.channel(0).incoming().tally.locks[0];
        let own = lock.expiry.before(world.config.policy.expiry_delta);
        let events = close(&world);
        while world.height() < own.before(4) {
            world.blocks(1);
        }
        world.block(events);
        let mut events = junk(channel, count);
        events.push(claim(channel, 1, at(13), 13));
        world.block(events);
        while world.height() < lock.expiry {
            tick(&mut world);
            world.blocks(1);
            if known_in(&world) >= 13 {
                break;
            }
        }
        let (at, until) = (world.height(), lock.expiry);
        assert_eq!(known_in(&world), 13, "{count} others, at {at:?} of {until:?}");
    }
}

/// ⚔ Nothing shows that the hub has lost state before the payee, which has met as if nothing had, closes,
/// brings the proof, and claims, all in one submission.
#[test]
fn a_claim_that_comes_with_the_proof_that_shows_the_loss_is_learned() {
    for met in [false, true] {
        let mut world = forgotten(1, CASES[0], Copy::Payers);
        world.blocks(2);
        let channel = world.id(1);
        if met {
            hides(&mut world);
            assert!(world.shards[0].slots.get(&channel).unwrap().met);
        }
        let mut events = close(&world);
        events.push(claim(channel, 1, at(13), 13));
        world.block(events);
        (0..5).for_each(|_| tick(&mut world));
        // The payer is honest, and comes back in time.
        world.come_back(0);
        (0..5).for_each(|_| tick(&mut world));
        assert_eq!(known_in(&world), 13, "met: {met}");
    }
}

/// ⚔ The hub starts again, on all that it knew, before the payer is back.
#[test]
fn a_claim_is_known_after_the_next_start() {
    for from_rows in [false, true] {
        let mut world = forgotten(1, CASES[0], Copy::Nothing);
        world.blocks(2);
        world.input(Input::Lost);
        world.blocks(25);
        let channel = hides(&mut world);
        let mut events = close(&world);
        events.push(claim(channel, 1, at(5), 5));
        events.push(claim(channel, 1, at(13), 13));
        world.block(events);
        let mut rows = Rows::new();
        checkpoint(&mut world.shards, &mut rows);
        let before = World::state(&world.shards);
        let shards = match from_rows {
            true => restored(&world, &rows, world.journal.len(), 1),
            false => world.replayed(1),
        };
        assert_eq!(World::state(&shards), before, "from rows: {from_rows}");
        world.start_with(shards);
        world.come_back(0);
        (0..5).for_each(|_| tick(&mut world));
        assert_eq!(known_in(&world), 13, "from rows: {from_rows}");
        // What told the payer is a record of another channel's, which may not be durable yet.
        let payer = Some((world.id(0), 1));
        assert_eq!(world.shards[0].slots.get(&channel).unwrap().claims(), [(1, at(13), 13, payer)]);
    }
}

/// ⚔ The payee closes behind a lock of the most steps, after it has said secrets of nothing.
#[test]
fn secrets_of_nothing_do_not_hide_the_one_that_counts_behind_a_long_lock() {
    for junk in [0u32, 1_024] {
        let mut world = World::with(config(), 1, 3);
        let start = world.journal.len();
        let mut op = world.pay_op(1, 1, Anchor([9; 32]));
        let NewOp::Add { steps, .. } = &mut op else { panic!() };
        *steps = 1 << 16;
        world.add(2, op);
        world.disconnect(2);
        streaming_in(&mut world);
        assert_eq!(world.wallets[1].channel.incoming().tally.locks.len(), 2);
        world.disconnect(0);
        world.set_online(1, false);
        world.journal.truncate(start);
        world.restart();
        world.input(Input::Lost);
        world.come_back(2);
        world.come_back(0);
        let channel = hides(&mut world);
        let long = world.channel(2).incoming().tally.locks.to_vec();
        assert_eq!(long.iter().map(|lock| lock.steps).collect::<Vec<_>>(), [1 << 16]);
        let lock = world.channel(0).incoming().tally.locks[0];
        let own = lock.expiry.before(world.config.policy.expiry_delta);
        let events = close(&world);
        while world.height() < own.before(4) {
            tick(&mut world);
            world.blocks(1);
        }
        for secret in said(junk) {
            world.input(Input::Message(Box::new(Message::Reveal { channel, id: 77, secret })));
        }
        world.block(events);
        world.block(vec![claim(channel, 2, at(13), 13)]);
        while world.height() < lock.expiry && known_in(&world) < 13 {
            tick(&mut world);
            world.blocks(1);
        }
        let (at, until) = (world.height(), lock.expiry);
        assert_eq!(known_in(&world), 13, "{junk} others, at {at:?} of {until:?}");
    }
}

/// Two pay one chain: with these operations. The hub forgets it all.
pub(super) fn two(ops: [impl Fn(&World) -> NewOp; 2]) -> World {
    let mut world = World::with(config(), 1, 3);
    world.wallets[1].manner = Manner::StaysSilent;
    world.rest();
    let start = world.journal.len();
    for (payer, op) in [0, 2].into_iter().zip(ops) {
        let op = op(&world);
        world.add(payer, op);
        world.run();
        world.disconnect(payer);
    }
    world.set_online(1, false);
    world.journal.truncate(start);
    world.restart();
    world.input(Input::Lost);
    world.blocks(25);
    world
}

pub(super) fn back(world: &mut World) {
    [0, 2].into_iter().for_each(|payer| world.come_back(payer));
}

pub(super) fn single(world: &World) -> NewOp {
    world.pay_op(1, 1_000, secret(1).1)
}

/// Two have paid one invoice, each with a lock of the hub's behind it, and the hub forgets it all. The payee meets as
/// if nothing had been lost, closes, and claims on these, before the payers are back or after.
fn claims_on(claimed: &[u64], late: bool) -> World {
    let mut world = two([single, single]);
    let secret = secret(1).0;
    if !late {
        back(&mut world);
    }
    let channel = hides(&mut world);
    let mut events = close(&world);
    let claims = claimed.iter().map(|id| claim(channel, *id, secret, 1));
    events.extend(claims);
    world.block(events);
    if late {
        back(&mut world);
    }
    (0..5).for_each(|_| world.idle());
    world
}

/// From each payer, with the fee.
pub(super) fn collected(world: &World) -> [u64; 2] {
    [0, 2].map(|payer| world.channel(payer).incoming().tally.transferred.0)
}

/// ⚔ The hub has paid twice, with one secret, and collects from both.
#[test]
fn claims_on_two_locks_with_one_secret_are_collected_from_both_payers() {
    for late in [false, true] {
        assert_eq!(collected(&claims_on(&[1, 2], late)), [1_012, 1_012], "late: {late}");
    }
}

/// The hub has paid once, and collects once, whether or not it starts again; and whether or not the other payer is
/// told by its own payee.
#[test]
fn one_claim_is_collected_from_one_payer_also_after_a_start() {
    for (restarts, says) in [(false, false), (true, false), (false, true)] {
        let mut world = claims_on(&[1], false);
        assert_eq!(collected(&world), [1_012, 0]);
        if restarts {
            world.restart();
            [0, 2].into_iter().for_each(|payer| world.come_back(payer));
        }
        if says {
            let (channel, id, secret) = (world.id(1), 1, secret(1).0);
            world.input(Input::Message(Box::new(Message::Reveal { channel, id, secret })));
        }
        (0..5).for_each(|_| world.idle());
        assert_eq!(collected(&world), [1_012, 0], "restarts: {restarts}, says: {says}");
    }
}

/// The payee says the secret first; that is what it then claims with.
#[test]
fn what_was_said_and_is_claimed_is_collected_once() {
    for claimed in [&[][..], &[1], &[1, 2]] {
        let mut world = claims_on(&[], false);
        let (channel, secret) = (world.id(1), secret(1).0);
        world.input(Input::Message(Box::new(Message::Reveal { channel, id: 1, secret })));
        world.idle();
        world.block(claimed.iter().map(|id| claim(channel, *id, secret, 1)).collect());
        (0..5).for_each(|_| world.idle());
        let paid = 1.max(claimed.len()) as u64;
        assert_eq!(collected(&world).iter().sum::<u64>(), paid * 1_012, "{claimed:?}");
    }
}
