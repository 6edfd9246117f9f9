//! What is handed over to be anchored, and what the hub has put on the ledger for itself.

use settlement::block::LedgerEvent;
use settlement::liabilities::Liabilities;
use settlement::reject::Code;
use settlement::tx::{AnchorEntry, Lease};
use settlement::types::{Amount, AssetId, Hash, Height, Holder, Role};

use super::starting::{Rows, checkpoint, restored};
use super::world::{DEPOSIT, World, config};
use crate::shard::*;

/// Everything that the shards hand over in this round, asked for in portions of `most`.
fn handed(world: &mut World, round: u64, most: usize) -> Vec<MovedChannel> {
    let mut all = Vec::new();
    loop {
        world.input(Input::Anchor { round, most });
        let mut more = false;
        for answer in std::mem::take(&mut world.answers) {
            let Action::Moved(moved) = answer else { panic!("{answer:?}") };
            assert!(moved.channels.len() <= most && moved.round == round);
            assert_eq!(moved.height, world.height());
            more |= moved.more;
            all.extend(moved.channels);
        }
        if !more {
            all.sort_by_key(|moved| moved.channel);
            return all;
        }
    }
}

fn entries(handed: &[MovedChannel]) -> Vec<AnchorEntry> {
    handed.iter().filter_map(|moved| moved.entry.clone()).collect()
}

/// What the ledger does with these.
fn anchored(entries: &[AnchorEntry]) -> Vec<LedgerEvent> {
    let of = |entry: &AnchorEntry| {
        let proof = entry.wallet_proof.as_ref().map(|proof| proof.value);
        let recorded = proof.map(|proof| LedgerEvent::ProofRecorded { proof, locks: Vec::new() });
        let (channel, hub_transferred) = (entry.channel, entry.hub_transferred);
        recorded.into_iter().chain([LedgerEvent::Anchored { channel, hub_transferred }])
    };
    entries.iter().flat_map(of).collect()
}

fn of(world: &World, handed: &[MovedChannel], wallet: usize) -> MovedChannel {
    handed.iter().find(|moved| moved.channel == world.id(wallet)).unwrap().clone()
}

/// Two wallets, of which the first has paid the second 1,000 and a fee of 12.
fn paid() -> World {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.idle();
    world
}

#[test]
fn what_moved_is_handed_over_until_the_ledger_shows_it() {
    let mut world = World::new(2);
    let first = handed(&mut world, 1, 100);
    assert_eq!(first.len(), 2, "both were opened");
    assert!(first.iter().all(|moved| moved.owed == Some(DEPOSIT) && moved.entry.is_none()));
    assert_eq!(handed(&mut world, 2, 100), []);
    world.pay(0, 1, 1_000, 1);
    world.idle();
    let second = handed(&mut world, 3, 100);
    let (payer, payee) = (of(&world, &second, 0), of(&world, &second, 1));
    assert_eq!(payer.owed, Some(Amount(DEPOSIT.0 - 1_012)));
    assert_eq!(payee.owed, Some(Amount(DEPOSIT.0 + 1_000)));
    let entry = payee.entry.clone().unwrap();
    assert_eq!(entry.hub_transferred, Amount(1_000), "the wallet has acknowledged it");
    let entry = payer.entry.clone().unwrap();
    assert_eq!(entry.wallet_proof, world.channel(0).incoming().proof);
    assert_eq!(handed(&mut world, 4, 100), second, "as long as no block has it");
    let events = anchored(&entries(&second));
    world.block(events);
    assert_eq!(entries(&handed(&mut world, 5, 100)), []);
    assert_eq!(handed(&mut world, 6, 100), [], "at rest");
}

#[test]
fn what_the_wallet_has_not_acknowledged_is_not_anchored() {
    let mut world = paid();
    let entries_of = entries(&handed(&mut world, 1, 100));
    world.block(anchored(&entries_of));
    world.pay(0, 1, 500, 2);
    world.run();
    // The settlement is signed and on its way to the payee, which has not answered.
    world.now_ms += 1_100;
    world.input(Input::Tick);
    assert!(world.channel(1).outgoing().in_flight.is_some());
    let waiting = handed(&mut world, 2, 100);
    let said = of(&world, &waiting, 1);
    let floor = said.entry.map(|entry| entry.hub_transferred);
    assert!(floor.is_none_or(|floor| floor == Amount(1_000)), "{floor:?}");
    assert_eq!(said.owed, Some(Amount(DEPOSIT.0 + 1_000)));
    world.idle();
    let settled = handed(&mut world, 3, 100);
    let entry = of(&world, &settled, 1).entry.unwrap();
    assert_eq!(entry.hub_transferred, Amount(1_500));
}

/// A round takes every channel once, in portions, and what moves meanwhile waits for the next.
#[test]
fn a_large_round_comes_in_portions() {
    for shards in [1, 3] {
        let mut world = World::with(config(), shards, 7);
        assert_eq!(handed(&mut world, 1, 2).len(), 7);
        for seed in 0..7 {
            world.pay(seed, (seed + 1) % 7, 100, seed as u8 + 1);
        }
        world.idle();
        let moved = handed(&mut world, 2, 2);
        assert_eq!(entries(&moved).len(), 7);
        assert_eq!(entries(&handed(&mut world, 3, 3)), entries(&moved));
    }
}

/// An anchored proof would stand with its locks unopened, and an answer with the same proof opens
/// them; but whoever closes brings it at once.
#[test]
fn a_channel_that_is_closing_is_not_anchored() {
    let mut world = paid();
    let (channel, proofs_until) = (world.id(0), world.height().after(51));
    world.block(vec![LedgerEvent::CloseStarted { channel, by: Role::Wallet, proofs_until }]);
    world.input(Input::CloseAlone(world.id(1)));
    let handed_over = handed(&mut world, 1, 100);
    assert_eq!(entries(&handed_over), []);
    assert_eq!(of(&world, &handed_over, 0).owed, Some(Amount(DEPOSIT.0 - 1_012)));
    let (wallet, hub) = (Amount(DEPOSIT.0 - 1_012), Amount(DEPOSIT.0 + 1_012));
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: false }]);
    let gone = handed(&mut world, 2, 100);
    assert_eq!((gone.len(), of(&world, &gone, 0).owed), (1, None), "nothing is owed any more");
}

/// A submission raises the same floor: an anchor that changes nothing would be made for ever.
#[test]
fn what_a_submission_recorded_is_not_anchored_again() {
    let mut world = paid();
    // The payee's newest proof acknowledges what it got.
    world.pay(1, 0, 10, 2);
    world.idle();
    let acknowledged = world.channel(1).incoming().proof.as_ref().unwrap().value;
    assert_eq!(acknowledged.peer_transferred, Amount(1_000));
    world.block(vec![LedgerEvent::ProofRecorded { proof: acknowledged, locks: Vec::new() }]);
    let handed_over = handed(&mut world, 1, 100);
    assert_eq!(of(&world, &handed_over, 1).entry, None);
    assert!(of(&world, &handed_over, 0).entry.is_some());
}

/// What the ledger holds the hub to is owed, whatever the hub has forgotten about it.
#[test]
fn what_is_anchored_is_owed_by_a_hub_that_has_forgotten_it() {
    let mut world = World::new(2);
    let copy = world.journal.len();
    world.pay(0, 1, 1_000, 1);
    world.idle();
    world.set_online(0, false);
    world.set_online(1, false);
    let events = anchored(&entries(&handed(&mut world, 1, 100)));
    world.journal.truncate(copy);
    world.restart();
    handed(&mut world, 1, 100);
    world.block(events);
    assert_eq!(world.channel(1).outgoing().accepted.transferred, Amount(0));
    let handed_over = handed(&mut world, 2, 100);
    assert_eq!(of(&world, &handed_over, 1).owed, Some(Amount(DEPOSIT.0 + 1_000)));
}

#[test]
fn a_restart_neither_repeats_nor_forgets_an_anchor() {
    for from_rows in [false, true] {
        let mut world = paid();
        let all = entries(&handed(&mut world, 1, 100));
        assert_eq!(all.len(), 2);
        let (one, other) = all.split_at(1);
        world.block(anchored(one));
        let shards = if from_rows {
            let mut rows = Rows::new();
            checkpoint(&mut world.shards, &mut rows);
            restored(&world, &rows, world.journal.len(), 1)
        } else {
            world.replayed(1)
        };
        world.start_with(shards);
        let again = handed(&mut world, 1, 100);
        assert_eq!(again.len(), 2, "what is owed is told anew");
        assert_eq!(entries(&again), other, "what is in a block is not anchored again");
    }
}

fn lease(epoch: u64) -> Lease {
    Lease { epoch, holder: Holder([epoch as u8; 16]) }
}

fn said(as_of: u64) -> Liabilities {
    let (root, total) = (Hash([as_of as u8; 32]), Amount(as_of));
    Liabilities { as_of: Height(as_of), asset: AssetId(0), root, total }
}

/// Recorded before it is signed: once, and kept from rows and records.
#[test]
fn leases_and_statements_are_durable_before_they_leave() {
    let mut world = World::with(config(), 3, 1);
    let mut rows = Rows::new();
    world.input(Input::Lease(lease(1)));
    world.input(Input::State(vec![said(7)]));
    let answers = std::mem::take(&mut world.answers);
    assert_eq!(answers, [Action::Lease(lease(1)), Action::Stated(vec![said(7)])]);
    checkpoint(&mut world.shards, &mut rows);
    let position = world.journal.len();
    world.input(Input::Lease(lease(2)));
    world.input(Input::State(vec![said(9), said(9)]));
    let own = Own { leases: vec![lease(1), lease(2)], stated: Some(Height(9)) };
    assert_eq!(world.shards[0].own(), &own);
    for count in [1, 3, 5] {
        assert_eq!(world.replayed(count)[0].own(), &own);
        assert_eq!(restored(&world, &rows, position, count)[0].own(), &own);
    }
    for epoch in 3..200 {
        world.input(Input::Lease(lease(epoch)));
    }
    let kept = &world.shards[0].own().leases;
    assert_eq!((kept.len(), kept[63]), (64, lease(199)), "bounded");
}

/// Channels as older versions wrote them: nothing had been claimed then, nor anchored before.
#[test]
fn rows_of_older_versions_are_read() {
    let mut world = paid();
    let mut rows = Rows::new();
    checkpoint(&mut world.shards, &mut rows);
    let before = World::state(&world.shards);
    // No claims are what version 3 has at the end; the floor, which is zero, is what version 2 has.
    for version in [3, 2] {
        for (key, row) in rows.iter_mut().filter(|(key, _)| key[0] == b'c') {
            assert_eq!(row[0], version, "{key:?} is in one part");
            assert_eq!(row.pop(), Some(0));
            row[0] = version - 1;
        }
        let shards = restored(&world, &rows, world.journal.len(), 1);
        assert_eq!(World::state(&shards), before, "version {}", version - 1);
    }
    rows.iter_mut().filter(|(key, _)| key[0] == b'c').for_each(|(_, row)| row[0] = 4);
    let refused = Shard::restore(config(), rows.clone()).unwrap_err();
    assert!(refused.to_string().contains("another version"), "{refused}");
}

/// Nothing could be signed for the lock that the hub would add, so none is taken.
#[test]
fn while_this_process_may_not_sign_no_lock_is_taken() {
    let mut world = World::new(2);
    world.input(Input::Signing(false));
    world.pay(0, 1, 1_000, 1);
    world.run();
    let refused = (world.wallets[0].rejected.clone(), world.wallets[0].failed.clone());
    assert_eq!(refused, (vec![Code::StaleView], vec![]));
    assert_eq!(world.channel(0).incoming().last_lock_id, 0);
    world.input(Input::Signing(true));
    world.pay(0, 1, 1_000, 2);
    world.idle();
    assert_eq!(world.completed, 1);
}

/// Nor does the channel come to rest for one that is asked for again and again meanwhile.
#[test]
fn while_this_process_may_not_sign_a_busy_payer_waits() {
    let mut world = World::new(2);
    world.input(Input::Signing(false));
    for seed in 1..=40 {
        world.pay(0, 1, 1_000, seed);
        world.run();
    }
    assert_eq!(world.wallets[0].channel.suspended(), None);
    world.input(Input::Signing(true));
    (0..3).for_each(|_| world.idle());
    assert_eq!((world.wallets[0].rejected.len(), world.completed), (8, 32));
}
