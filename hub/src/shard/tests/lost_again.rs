//! A hub that starts on an old copy, and on another one while or after it takes back what the first had
//! lost.

use settlement::block::LedgerEvent;
use settlement::channel::{Answer, Step};
use settlement::types::{Role, Secret};
use settlement::wire::Message;

use super::lost_streams::*;
use super::streams::*;
use crate::shard::*;

/// ⚔ The payee says what it has redeemed before its channel is taken back: the payer hears of that, and
/// for which lock of the hub's is not known yet. The hub ends, and starts on what it had recorded by then,
/// or on any copy of it since: what the payee redeems from then on reaches the payer all the same.
#[test]
fn what_is_learned_of_a_forgotten_lock_does_not_hide_what_follows() {
    for (settles, order) in [(true, [0, 1]), (true, [1, 0]), (false, [0, 1]), (false, [1, 0])] {
        let second_life = |kept: Option<usize>| {
            let mut world = forgotten(1, CASES[0], Copy::Payers);
            world.wallets[0].settles = settles;
            let start = world.journal.len();
            redeem(&mut world, 13);
            world.come_back(0);
            world.come_back(1);
            assert_eq!(known_in(&world), 13);
            let learned = world.journal.iter().skip(start).position(says_secret).unwrap();
            let all = start + learned + 1..=world.journal.len();
            (0..2).for_each(|at| world.set_online(at, false));
            world.journal.truncate(kept.unwrap_or(usize::MAX));
            world.restart();
            (world, all)
        };
        for kept in second_life(None).1 {
            let context = format!("payer settles: {settles}, {order:?}, {kept} records");
            let (mut world, _) = second_life(Some(kept));
            order.into_iter().for_each(|at| world.come_back(at));
            redeem(&mut world, 33);
            tick(&mut world);
            assert_eq!(known_in(&world), 33, "{context}");
            world.idle();
            world.idle();
            assert!(give_up(&mut world), "{context}");
            world.wallets[0].settles = true;
            end(&mut world);
            assert_eq!((paid(&world), world.pairs()), (for_steps(33), 0), "{context}");
            assert_eq!(world.submissions, [], "{context}");
        }
    }
}

fn says_secret(record: &Record) -> bool {
    let Record::Step { step: Step::Answered { answer, .. }, .. } = record else { return false };
    matches!(answer, Answer::Known { .. })
}

/// ⚔ The second copy knows a part of what was paid on a lock that belongs to nobody. That lock is over, and so
/// is its time, before its payee says what it has redeemed of it: all of it is collected from the payer.
#[test]
fn a_lock_that_was_paid_on_after_the_second_copy_is_collected_in_full() {
    for (is_late, order) in [(false, [0, 1]), (false, [1, 0]), (true, [0, 1]), (true, [1, 0])] {
        let mut world = forgotten(1, CASES[0], Copy::Nothing);
        world.come_back(1);
        redeem(&mut world, 13);
        world.idle();
        world.idle();
        let kept = world.journal.len();
        redeem(&mut world, 33);
        world.idle();
        world.idle();
        assert!(give_up(&mut world));
        world.idle();
        world.idle();
        assert_eq!(world.channel(1).outgoing().tip().locks, []);
        world.set_online(1, false);
        let lock = world.wallets[0].channel.outgoing().tip().locks[0];
        let own = lock.expiry.before(world.config.policy.expiry_delta);
        while is_late && world.height() <= own {
            world.blocks(1);
        }
        world.journal.truncate(kept);
        world.restart();
        order.into_iter().for_each(|at| world.come_back(at));
        end(&mut world);
        assert_eq!(paid(&world), for_steps(33), "late: {is_late}, {order:?}");
        assert_eq!((world.pairs(), world.submissions.len()), (0, 0), "{is_late}, {order:?}");
    }
}

/// ⚔ A payee that has met hides what the hub has forgotten, says as many secrets as the hub looks into, closes
/// with it, and claims on the ledger.
#[test]
fn a_hidden_lock_that_is_claimed_on_the_ledger_is_collected_whatever_its_payee_says() {
    for junk in [0, 1_023, 1_024] {
        let mut world = forgotten(1, CASES[0], Copy::Payers);
        world.blocks(2);
        let channel = world.id(1);
        let incoming = world.wallets[1].channel.incoming();
        let proof = incoming.proof.as_ref().unwrap().value;
        let locks = incoming.tally.locks.to_vec();
        world.input(Input::Lost);
        world.blocks(25);
        world.set_online(1, true);
        world.input(Input::Connected(channel));
        let (yours, own) = world.channel(1).snapshot_refs();
        world.input(Input::Message(Box::new(Message::Sync { channel, own, yours, tip: None })));
        world.run();
        world.wallets[1].inbox.clear();
        for number in 0..junk {
            let mut secret = Secret([0xee; 32]);
            secret.0[..4].copy_from_slice(&u32::to_be_bytes(number));
            world.input(Input::Message(Box::new(Message::Reveal { channel, id: 77, secret })));
        }
        let proofs_until = world.height().after(100);
        world.block(vec![
            LedgerEvent::CloseStarted { channel, by: Role::Wallet, proofs_until },
            LedgerEvent::ProofRecorded { proof, locks },
        ]);
        let (secret, steps) = (at(13), 13);
        world.block(vec![LedgerEvent::ClaimShown { channel, from: ME, id: 1, secret, steps }]);
        (0..200).for_each(|_| tick(&mut world));
        assert_eq!(known_in(&world), 13, "{junk} others");
    }
}
