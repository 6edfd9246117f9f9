//! T-06: whatever the payee does, and after whichever record the process ends, the hub does not
//! lose, a payer pays only if the payee is paid, and nothing stays pending.

use std::collections::BTreeSet;

use settlement::channel::Answer;
use settlement::reject::Code;
use settlement::types::{Amount, Role};

use super::streams::{STEPS, UNIT, known_in, paid, redeem, streaming_in};
use super::wallet::Manner;
use super::world::{DEPOSIT, FEES, LIFE, World, config};
use crate::shard::*;

/// What the payee does, and how many blocks after the lock has come.
pub(super) const MANNERS: [(Manner, u64); 6] = [
    (Manner::Reveals, 0),
    (Manner::Reveals, 99),
    // Too late for an honest payee.
    (Manner::Reveals, 101),
    (Manner::Fails(Code::InvoiceExpired), 0),
    (Manner::Fails(Code::InvoiceExpired), 169),
    (Manner::StaysSilent, 0),
];

const PAYMENTS: [(usize, usize, u64); 4] = [(0, 1, 1_000), (2, 1, 500), (0, 1, 70), (1, 2, 300)];

/// Four payments among three wallets, of which wallet 1 behaves in a manner, until all has ended.
fn play(shards: u16, manner: (Manner, u64), crash_at: Option<usize>) -> (World, usize) {
    play_from(shards, manner, crash_at, None)
}

/// The same, and what is found after the crash is a copy of the first records of the journal.
pub(super) fn play_from(
    shards: u16,
    manner: (Manner, u64),
    crash_at: Option<usize>,
    copy: Option<usize>,
) -> (World, usize) {
    let mut world = World::with(config(), shards, 3);
    let start = world.journal.len();
    world.crash_at = crash_at.map(|at| start + at);
    world.copy = copy;
    world.wallets[1].manner = Manner::StaysSilent;
    for (seed, (from, to, amount)) in (1..).zip(PAYMENTS) {
        world.pay(from, to, amount, seed);
    }
    world.run();
    world.blocks(manner.1);
    world.wallets[1].manner = manner.0;
    let said = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        wallet.act_on_locks(&mut said, now);
        said
    });
    said.into_iter().for_each(|input| world.input(input));
    world.idle();
    let end = LIFE + 3 * 20;
    for _ in 0..=end / 10 {
        world.blocks(10);
        world.idle();
    }
    (world, start)
}

pub(super) fn check(world: &World, context: &str) {
    let mut fees = 0;
    let mut paid = [0i128; 3];
    for (seed, (from, to, amount)) in (1..).zip(PAYMENTS) {
        let shown = |(_, secret): &&(u64, _)| *secret == super::world::secret(seed).0;
        let times = world.wallets[from].secrets.iter().filter(shown).count();
        assert!(times <= 1, "{context}: payment {seed} was charged {times} times");
        if times == 1 {
            let fee = FEES.fee(Amount(amount)).unwrap().wide();
            fees += fee;
            paid[from] -= Amount(amount).wide() + fee;
            paid[to] += Amount(amount).wide();
        }
    }
    for (at, wallet) in world.wallets.iter().enumerate() {
        let balance = wallet.channel.balance(Role::Wallet).wide() - DEPOSIT.wide();
        assert_eq!(balance, paid[at], "{context}: wallet {at} is paid and charged for the same");
        assert_eq!(wallet.channel.locked(), Amount::ZERO, "{context}: wallet {at}");
    }
    assert_eq!(world.hub_net(), fees, "{context}");
    assert_eq!(world.pairs(), 0, "{context}");
    assert_eq!(world.submissions, [], "{context}: nobody had to close");
}

#[test]
fn no_end_of_the_process_after_any_record_loses_a_payment() {
    for shards in [1, 3] {
        for manner in MANNERS {
            let (world, start) = play(shards, manner, None);
            check(&world, &format!("{shards} shards, {manner:?}"));
            // The interesting records are those of the payments, not of the blocks after them.
            let ends: BTreeSet<usize> = world
                .journal
                .iter()
                .enumerate()
                .skip(start)
                .filter(|(_, record)| !matches!(record, Record::Followed { .. }))
                .flat_map(|(at, _)| [at - start, at + 1 - start])
                .collect();
            let count = ends.len();
            assert!(count > 20);
            let mut crashes = 0;
            for crash_at in ends {
                let (world, _) = play(shards, manner, Some(crash_at));
                crashes += world.crashes;
                check(&world, &format!("{shards} shards, {manner:?}, ends at {crash_at}"));
                if shards == 1 {
                    let replayed = world.replayed(1);
                    assert_eq!(World::state(&replayed), World::state(&world.shards));
                }
            }
            assert!(crashes + 1 >= count, "{crashes} of {count}");
        }
    }
}

/// The lock that the hub adds and whom it was added for are durable together or not at all.
#[test]
fn an_own_lock_without_its_payer_is_never_recorded() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    let at = world.journal.iter().position(|record| matches!(record, Record::Forwarded { .. }));
    for end in 0..=world.journal.len() {
        world.journal.truncate(world.journal.len().min(end.max(at.unwrap())));
        let shard = &world.replayed(1)[0];
        let locks: usize = shard.channels().map(|c| c.outgoing().tip().locks.len()).sum();
        assert_eq!(locks, shard.pairs().len());
    }
    let (mut out, shard) = (Output::default(), &mut world.replayed(1)[0]);
    shard.recovered(&[], world.now_ms, &mut out);
    let held = |record: &Record| {
        let held = |step: &Step| matches!(step, Step::Answered { answer: Answer::Held, .. });
        matches!(record, Record::Step { step, .. } if held(step))
    };
    assert!(out.records.iter().any(held), "what was not passed on waits for its payee");
}

/// A payer's lock behind which a lock of the hub's may stand is not failed by a restart.
#[test]
fn a_restart_fails_no_payment_that_was_passed_on() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    // Not even sent yet, when the process ends.
    world.restart();
    world.run();
    assert_eq!(world.wallets[0].failed, []);
    world.wallets[1].manner = Manner::Reveals;
    world.connect(1);
    world.run();
    assert_eq!(world.completed, 1);
}

/// What the payee has shown before the end of the process is passed on by the next start alone: the
/// payee is gone, and says nothing more.
#[test]
fn a_start_passes_on_what_a_payee_that_is_gone_has_shown() {
    for shards in [1, 3] {
        for depth in [1, 20, STEPS] {
            let context = format!("{shards} shards, {depth} steps");
            let mut world = World::with(config(), shards, 2);
            streaming_in(&mut world);
            let before = world.journal.len();
            redeem(&mut world, depth);
            // The payee's channel has it on the disk, and the payer's not yet.
            world.journal.truncate(before + 1);
            world.set_online(1, false);
            world.restart();
            world.run();
            assert_eq!(known_in(&world), depth, "{context}");
            world.idle();
            let fees = FEES.fee(Amount(UNIT)).unwrap().0 * u64::from(depth);
            assert_eq!(paid(&world).0, u64::from(depth) * UNIT + fees, "{context}: it is charged");
            assert_eq!(world.hub_net(), i128::from(fees), "{context}");
        }
    }
}
