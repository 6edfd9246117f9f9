//! A hub that starts on an old copy, and on another one while or after it takes back what the first had
//! lost.

use settlement::channel::{Answer, Step};

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
