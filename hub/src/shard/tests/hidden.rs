//! A hub that starts on an old copy of its data and knows it, and wallets that hide what they have.

use settlement::block::LedgerEvent;
use settlement::channel::{Answer, Channel, Step};
use settlement::reject::Code;
use settlement::types::{Amount, Role};

use super::forgotten::{LIFE, Shown, sent, show};
use super::wallet::Manner;
use super::world::World;
use crate::shard::*;

/// What wallet 1 signs and shows here looks as if nothing had been lost.
fn hides(world: &mut World, before: Channel) {
    world.wallets[1].channel = before;
}

/// ⚔ A wallet that shows nothing of what the hub has forgotten gets no second proof with a number
/// that was used, and what it keeps back counts for nothing once it has acknowledged the leap.
#[test]
fn a_wallet_that_hides_what_was_forgotten_meets_a_hub_that_has_leapt() {
    for shown in [Shown::Lease, Shown::Statement, Shown::ByAnother] {
        let mut world = World::new(3);
        let (copy, before) = (world.journal.len(), world.wallets[1].channel.clone());
        for seed in 1..4 {
            world.pay(0, 1, 100, seed);
            world.blocks(1);
            world.idle();
        }
        assert!(world.channel(1).outgoing().last_seq >= 3);
        world.pay(2, 0, 100, 8);
        world.idle();
        (0..3).for_each(|at| world.set_online(at, false));
        world.journal.truncate(copy);
        world.restart();
        let from = world.journal.len();
        if shown == Shown::ByAnother {
            world.connect(0);
            world.run();
        }
        hides(&mut world, before);
        show(&mut world, shown);
        world.blocks(2);
        assert_eq!(world.channel(1).suspended(), Some(Code::Recovering), "{shown:?}");
        world.connect(0);
        world.connect(2);
        world.blocks(LIFE + 60);
        world.pay(2, 1, 50, 9);
        world.idle();
        assert_eq!(world.wallets[2].secrets.len(), 2, "{shown:?}");
        let seqs = sent(&world, 1, from);
        assert!(seqs.len() > 1 && seqs.iter().all(|seq| *seq > 1 << 32), "{shown:?}: {seqs:?}");
        assert!(world.channel(1).is_certain(), "{shown:?}");
    }
}

/// ⚔ What a wallet gives up, or lets expire, is given up for the payer only once the wallet has
/// signed that it holds what came after the leap: it may keep a proof in which it was paid.
#[test]
fn a_wallet_that_hides_a_payment_gives_nothing_up_before_it_acknowledges_the_leap() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    // The hub will remember up to here: wallet 1 has the lock, and was not paid.
    let (copy, before) = (world.journal.len(), world.wallets[1].channel.clone());
    world.disconnect(0);
    world.wallets[1].manner = Manner::Reveals;
    let said = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        wallet.act_on_locks(&mut said, now);
        said
    });
    said.into_iter().for_each(|input| world.input(input));
    world.idle();
    let kept = world.wallets[1].channel.incoming().proof.clone().unwrap().value;
    assert_eq!(kept.transferred, Amount(1_000));
    (0..2).for_each(|at| world.set_online(at, false));
    world.journal.truncate(copy);
    world.restart();
    hides(&mut world, before);
    world.wallets[1].manner = Manner::StaysSilent;
    show(&mut world, Shown::Lease);
    world.connect(0);
    // It answers no update, so nothing is acknowledged.
    world.wallets[1].answers = false;
    world.blocks(25);
    world.idle();
    assert!(!world.channel(1).is_certain());
    let expiry = world.channel(1).outgoing().tip().locks[0].expiry;
    while world.height() < expiry.after(5) {
        world.blocks(1);
    }
    world.connect(1);
    world.idle();
    assert_eq!(world.wallets[0].failed, [], "it may have been paid");
    world.wallets[1].answers = true;
    world.connect(1);
    world.idle();
    assert!(world.channel(1).is_certain());
    assert_eq!(world.wallets[0].failed, [(1, Code::Expired)], "at once");
}

/// A wallet that was away all the time shows what was forgotten long ago: that says nothing new
/// about the other channels.
#[test]
fn a_loss_that_was_waited_out_stops_nobody_again() {
    let mut world = World::new(3);
    let copy = world.journal.len();
    for (seed, from, to) in [(1, 0, 1), (2, 0, 2)] {
        world.pay(from, to, 100, seed);
        world.idle();
    }
    (0..3).for_each(|at| world.set_online(at, false));
    world.journal.truncate(copy);
    world.restart();
    world.connect(0);
    show(&mut world, Shown::ByAnother);
    world.blocks(LIFE + 60);
    for life in 0..2 {
        world.restart();
        if life == 1 {
            world.connect(2);
            world.run();
            assert_eq!(world.channel(2).suspended(), Some(Code::Recovering));
        }
        world.pay(0, 1, 100, 10 + life);
        world.blocks(1);
        world.idle();
        assert_eq!(world.wallets[0].secrets.len(), 3 + usize::from(life));
    }
    world.blocks(LIFE + 60);
    assert!(!world.channel(2).waits_out() && world.channel(2).suspended().is_none());
}

/// ⚔ A payee that hides a lock of the hub's, and claims on it on the ledger, shows the secret there:
/// the payer, whose lock the hub has taken back, is charged.
#[test]
fn a_claim_on_a_lock_that_is_forgotten_still_charges_its_payer() {
    for shards in [1, 3] {
        let mut world = World::with(super::world::config(), shards, 2);
        let (copy, before) = (world.journal.len(), world.wallets[1].channel.clone());
        world.wallets[1].manner = Manner::StaysSilent;
        world.pay(0, 1, 1_000, 1);
        world.run();
        let kept = world.wallets[1].channel.incoming().clone();
        (0..2).for_each(|at| world.set_online(at, false));
        world.journal.truncate(copy);
        world.restart();
        hides(&mut world, before);
        show(&mut world, Shown::Lease);
        world.connect(0);
        world.blocks(25);
        world.idle();
        assert_eq!(world.channel(0).incoming().locks.len(), 1, "taken back, and held");
        let (channel, proofs_until) = (world.id(1), world.height().after(51));
        let (proof, locks) = (kept.proof.unwrap().value, kept.tally.locks);
        let (secret, from) = (super::world::secret(1).0, Role::Hub);
        world.block(vec![
            LedgerEvent::CloseStarted { channel, by: Role::Wallet, proofs_until },
            LedgerEvent::ProofRecorded { proof, locks },
            LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 1 },
        ]);
        world.run();
        assert_eq!(world.wallets[0].secrets, [(1, secret)], "{shards} shards");
    }
}

/// The money of a lock is back, and the process ended before the payer's channel had recorded that. A
/// claim that comes then, on a proof that is void, charges nobody.
#[test]
fn a_claim_on_a_lock_whose_money_is_back_charges_nobody() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::Fails(Code::InvoiceExpired);
    world.pay(0, 1, 1_000, 1);
    world.idle();
    let failed = |record: &Record| {
        let failed = |step: &Step| matches!(step, Step::Answered { answer: Answer::Failed(_), .. });
        matches!(record, Record::Step { step, .. } if failed(step))
    };
    let at = world.journal.iter().position(failed).unwrap();
    (0..2).for_each(|at| world.set_online(at, false));
    world.journal.truncate(at);
    world.restart();
    assert_eq!(world.pairs(), 1);
    let (channel, secret) = (world.id(1), super::world::secret(1).0);
    let from = Role::Hub;
    world.block(vec![LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 0 }]);
    assert_eq!(world.channel(0).incoming().locks.get(&1).unwrap().answer, None);
    world.connect(1);
    world.connect(0);
    world.idle();
    assert_eq!(world.wallets[0].secrets, []);
    assert_eq!(world.channel(0).incoming().locks.len(), 0);
}
