//! Streams of a hub that starts on an old copy of its data: the two legs of one were settled to
//! different steps, or one of them is over.

use settlement::channel::{NewOp, Phase};
use settlement::reject::Code;
use settlement::types::{Amount, Role};

use super::streams::*;
use super::world::{DEPOSIT, World, config};
use crate::shard::*;

const FEE: u64 = 3;

/// What the payer is charged and the payee is paid when so many steps were redeemed.
pub(super) fn for_steps(steps: u64) -> (u64, u64) {
    (steps * (UNIT + FEE), steps * UNIT)
}

/// The stream as far as it goes before the hub ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    /// Steps that the payee redeems while the payer is there, and both legs settle.
    pub(super) both: u32,
    /// Steps that are redeemed and settled with the payee alone: the payer is away.
    pub(super) payee: u32,
    /// Whether the payee then gives the rest up.
    pub(super) closes: bool,
    /// Steps that the payer settles of its own accord.
    pub(super) payer: u32,
}

/// What is on the disk that the hub starts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copy {
    /// Nothing of the stream.
    Nothing,
    /// The stream's lock, on the payer's leg alone.
    Payers,
    /// Both legs, and that they belong together.
    Both,
}

const COPIES: [Copy; 3] = [Copy::Nothing, Copy::Payers, Copy::Both];

fn settle_alone(world: &mut World, depth: u32) {
    let said = world.with_now(0, |wallet, now| {
        let mut said = Vec::new();
        if let Ok(Some(step)) = wallet.channel.check_reveal(1, &at(depth), now) {
            wallet.commit(step, &mut said, now);
        }
        said.extend(wallet.update(now));
        said
    });
    said.into_iter().for_each(|input| world.input(input));
    world.run();
}

/// Plays the stream, and has the hub start on an old copy. Nobody is there yet.
pub(super) fn forgotten(shards: u16, before: Before, copy: Copy) -> World {
    let mut world = World::with(config(), shards, 2);
    let start = world.journal.len();
    streaming_in(&mut world);
    let forwarded = |record: &Record| matches!(record, Record::Forwarded { .. });
    let passed_on = world.journal.iter().position(forwarded).unwrap();
    let kept = match copy {
        Copy::Nothing => start,
        Copy::Payers => passed_on,
        Copy::Both => world.journal.len(),
    };
    if before.both > 0 {
        redeem(&mut world, before.both);
        tick(&mut world);
        world.idle();
    }
    if before.payer > 0 {
        settle_alone(&mut world, before.payer);
    }
    world.disconnect(0);
    if before.payee > 0 {
        redeem(&mut world, before.payee);
        world.idle();
        world.idle();
    }
    if before.closes {
        assert!(give_up(&mut world));
        world.idle();
        world.idle();
        assert_eq!(world.channel(1).outgoing().tip().locks, []);
    }
    world.set_online(1, false);
    world.journal.truncate(kept);
    world.restart();
    world
}

pub(super) const CASES: [Before; 8] = [
    Before { both: 0, payee: 0, closes: false, payer: 0 },
    Before { both: 5, payee: 0, closes: false, payer: 0 },
    // The hub has paid what the payer has not.
    Before { both: 0, payee: 20, closes: false, payer: 0 },
    Before { both: 5, payee: 20, closes: false, payer: 0 },
    // And the other way round.
    Before { both: 5, payee: 0, closes: false, payer: 9 },
    // The payee's leg is over.
    Before { both: 5, payee: 20, closes: true, payer: 0 },
    Before { both: 0, payee: STEPS, closes: false, payer: 0 },
    Before { both: 5, payee: STEPS, closes: false, payer: 7 },
];

/// ⚔ Whatever was settled on which leg, and whatever of it the hub has forgotten: it collects from the
/// payer what it has paid to the payee.
#[test]
fn a_hub_that_forgot_a_stream_collects_what_it_has_paid_on_it() {
    for shards in [1, 4] {
        for copy in COPIES {
            for before in CASES {
                for order in [[0, 1], [1, 0]] {
                    let context = format!("{shards} shards, {copy:?}, {before:?}, {order:?}");
                    let mut world = forgotten(shards, before, copy);
                    order.into_iter().for_each(|at| world.come_back(at));
                    let steps = before.payee.max(before.both);
                    let most = u64::from(steps.max(before.payer));
                    world.idle();
                    world.idle();
                    let expected = (for_steps(most).0, for_steps(u64::from(steps)).1);
                    assert_eq!(paid(&world), expected, "{context}");
                    assert!(world.hub_net() >= 0, "{context}: {}", world.hub_net());
                    end(&mut world);
                    assert_eq!(paid(&world), expected, "{context}: at the end");
                    assert_eq!(world.pairs(), 0, "{context}");
                    assert_eq!(world.submissions, [], "{context}");
                }
            }
        }
    }
}

/// It goes on where it was: what the payee redeems from then on reaches the payer, and the rest comes
/// back when it is given up.
#[test]
fn a_stream_that_was_forgotten_goes_on() {
    for copy in COPIES {
        for before in CASES.into_iter().filter(|it| !it.closes && it.payee < STEPS) {
            for order in [[0, 1], [1, 0]] {
                let context = format!("{copy:?}, {before:?}, {order:?}");
                let mut world = forgotten(1, before, copy);
                order.into_iter().for_each(|at| world.come_back(at));
                redeem(&mut world, 33);
                tick(&mut world);
                assert_eq!(known_in(&world), 33, "{context}");
                world.idle();
                world.idle();
                assert_eq!(paid(&world), for_steps(33), "{context}");
                assert!(give_up(&mut world), "{context}");
                world.idle();
                world.idle();
                assert_eq!(world.wallets[0].back, [(1, Code::StreamClosed)], "{context}");
                assert_eq!((paid(&world), world.pairs()), (for_steps(33), 0), "{context}");
            }
        }
    }
}

/// ⚔ The payer stays away, and the copy has its lock: what the payee redeems is claimed on the ledger.
#[test]
fn a_payer_that_stays_away_is_charged_on_the_ledger_for_what_the_copy_has() {
    for shards in [1, 4] {
        for copy in [Copy::Payers, Copy::Both] {
            let mut world = forgotten(shards, CASES[0], copy);
            world.come_back(1);
            redeem(&mut world, 33);
            end(&mut world);
            let first = world.submissions.iter().find(|it| it.channel == world.id(0));
            let claims = first.map(|it| (it.close, &it.claims[..]));
            assert_eq!(claims, Some((true, &[(1, at(33))][..])), "{shards} shards, {copy:?}");
            assert_eq!(known_in(&world), 33, "{shards} shards, {copy:?}");
            assert_eq!(world.hub_net(), i128::from(33 * FEE), "{shards} shards, {copy:?}");
        }
    }
}

/// The payee redeems on while the payer is away, and the rest is over before that comes back.
#[test]
fn what_is_redeemed_of_a_lock_that_belongs_to_nobody_is_collected_later() {
    for (depth, closes) in [(33, false), (33, true), (STEPS, false)] {
        for restarts in [false, true] {
            let context = format!("{depth}, closes: {closes}, restarts: {restarts}");
            let before = Before { both: 5, payee: 20, closes: false, payer: 0 };
            let mut world = forgotten(1, before, Copy::Nothing);
            world.come_back(1);
            redeem(&mut world, depth);
            world.idle();
            world.idle();
            assert_eq!(world.channel(1).outgoing().tip().locks.len(), usize::from(depth < STEPS));
            if closes {
                assert!(give_up(&mut world));
                world.idle();
                world.idle();
                assert_eq!(world.channel(1).outgoing().tip().locks, []);
            }
            if restarts {
                world.restart();
                world.run();
            }
            world.come_back(0);
            world.idle();
            world.idle();
            assert_eq!(paid(&world), for_steps(depth.into()), "{context}");
            end(&mut world);
            assert_eq!((paid(&world), world.pairs()), (for_steps(depth.into()), 0), "{context}");
        }
    }
}

/// The process ends after any record and starts on any older copy.
#[test]
fn a_hub_on_any_old_copy_takes_its_streams_back() {
    let play = |shards: u16, closes: bool, end_at: Option<(usize, usize)>| {
        let mut world = World::with(config(), shards, 2);
        let start = world.journal.len();
        world.crash_at = end_at.map(|(at, _)| start + at);
        world.copy = end_at.map(|(_, copy)| copy);
        streams_to_the_end(&mut world, closes);
        // A lock that vanished from a payer's proof, and was given up in what is forgotten, is waited
        // out; then the sides meet again.
        for at in 0..2 {
            world.wallets[at].showing = false;
            world.come_back(at);
        }
        world.idle();
        (world, start)
    };
    let (mut plays, mut closed) = (0, 0);
    for (shards, closes) in [(1, true), (1, false), (3, true)] {
        let (whole, start) = play(shards, closes, None);
        assert_eq!(paid(&whole), for_steps(33));
        let records = (whole.journal.len() - start).min(90);
        for ends in (1..records).step_by(3) {
            let copies = (1..=start + ends).rev().step_by(5).take(9).chain([0, start]);
            for copy in copies {
                let (world, _) = play(shards, closes, Some((ends, copy)));
                let context = format!("{shards} shards, closes: {closes}, {ends}, copy of {copy}");
                let (from, to) = paid(&world);
                assert!(from == to / UNIT * (UNIT + FEE), "{context}: {from} for {to}");
                assert_eq!(world.hub_net(), i128::from(from) - i128::from(to), "{context}");
                plays += 1;
                // What this payer shows lacks a lock that was given up in what is forgotten: the hub
                // has to think that it is stolen, and claims on the ledger what it knows of it.
                if world.channel(0).phase() != Phase::Open {
                    closed += 1;
                    continue;
                }
                assert_eq!(world.pairs(), 0, "{context}");
                assert_eq!(world.submissions.len(), 0, "{context}");
                if shards == 1 {
                    let replayed = World::state(&world.replayed(1));
                    assert!(replayed == World::state(&world.shards), "{context}: replayed");
                }
            }
        }
    }
    assert!(closed * 20 < plays, "{closed} of {plays}");
}

/// ⚔ A second payer has locked a little money to the same chain for the same payee, and its lock stands
/// where the first payer's does: neither is taken for the other.
#[test]
fn two_payers_on_one_chain_are_not_confused() {
    for order in [[1, 0, 2], [1, 2, 0], [0, 2, 1], [2, 0, 1]] {
        let mut world = World::with(config(), 1, 3);
        let start = world.journal.len();
        streaming_in(&mut world);
        let mut op = lock_op(&world);
        let NewOp::Add { unit, .. } = &mut op else { panic!() };
        *unit = Amount(13);
        world.add(2, op);
        world.run();
        assert_eq!(world.channel(1).outgoing().tip().locks.len(), 2);
        [0, 2].into_iter().for_each(|at| world.disconnect(at));
        redeem(&mut world, 20);
        world.idle();
        world.set_online(1, false);
        world.journal.truncate(start);
        world.restart();
        order.into_iter().for_each(|at| world.come_back(at));
        let said = world.with_now(1, |wallet, now| {
            let mut said = Vec::new();
            let step = wallet.channel.fail(2, Code::StreamClosed).unwrap();
            wallet.commit(step, &mut said, now);
            said
        });
        said.into_iter().for_each(|input| world.input(input));
        redeem(&mut world, 33);
        end(&mut world);
        assert_eq!(paid(&world), for_steps(33), "{order:?}");
        assert_eq!(world.wallets[2].channel.balance(Role::Wallet), DEPOSIT, "{order:?}");
        assert_eq!(world.pairs(), 0);
    }
}

/// Chains are walked within the hub's own share of its time, and once: whoever comes back again and
/// again has nothing hashed again.
#[test]
fn looking_for_payers_is_bounded() {
    let before = Before { both: 5, payee: 20, closes: false, payer: 0 };
    let mut world = forgotten(1, before, Copy::Nothing);
    world.come_back(1);
    world.shards[0].hashes_left = 0;
    world.connect(0);
    world.run();
    for _ in 0..25 {
        world.shards[0].hashes_left = 0;
        world.blocks(1);
    }
    assert_eq!(known_in(&world), 5, "its turn has not come");
    tick(&mut world);
    world.idle();
    assert_eq!(known_in(&world), 20);
    // The own lock of the chain ends too late for what this hub asks for now.
    for (payee, payer, settled, hashes) in [(20, 0, 20, 158), (0, 9, 9, 68)] {
        let before = Before { both: 5, payee, closes: false, payer };
        let mut world = forgotten(1, before, Copy::Nothing);
        world.config.policy.expiry_delta += 1;
        world.restart();
        let left = |world: &World| world.shards[0].hashes_left;
        world.come_back(1);
        let all = left(&world);
        world.connect(0);
        world.run();
        world.blocks(25);
        assert_eq!((known_in(&world), left(&world)), (settled, all - hashes), "hashed once");
        for at in [0, 1, 0] {
            world.disconnect(at);
            world.connect(at);
            world.run();
            assert_eq!(left(&world), all - hashes, "and never again");
        }
    }
}
