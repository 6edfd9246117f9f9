//! What a stream may cost the hub, and what it pays the hub.

use client_sdk::api::upfront_memo;
use settlement::channel::NewOp;
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::*;
use settlement::update::Memo;
use settlement::wire::Message;

use super::streams::*;
use super::wallet::Manner;
use super::world::{FEES, World, config};
use crate::shard::*;

/// ⚔ A secret that does not fit suspends its channel alone; one that was redeemed before changes
/// nothing.
#[test]
fn junk_secrets_suspend_the_channel_and_old_ones_are_ignored() {
    let mut world = streaming();
    let reveal = |world: &mut World, secret| {
        let channel = world.id(1);
        world.input(Input::Message(Box::new(Message::Reveal { channel, id: 1, secret })));
    };
    redeem(&mut world, 20);
    let before = world.journal.len();
    for depth in [1, 7, 19, 20] {
        reveal(&mut world, at(depth));
        assert_eq!(world.journal.len(), before, "{depth}");
    }
    reveal(&mut world, Secret([9; 32]));
    assert_eq!(world.channel(1).suspended(), Some(Code::SecretMismatch));
    assert_eq!(world.channel(0).suspended(), None);
}

/// ⚔ One payer's streams to a payee, over which it need not pay a step, keep out nobody else's.
#[test]
fn one_payer_leaves_room_for_the_streams_of_others() {
    let mut world = World::new(4);
    let chain = |number: u8| Anchor(chain_step(&chain_step(&[number; 32])));
    let open = |world: &mut World, from: usize, to: usize, number: u8, wanted: u32| {
        let mut op = world.pay_op(to, UNIT, chain(number));
        let NewOp::Add { steps, .. } = &mut op else { panic!() };
        *steps = wanted;
        let before = world.pairs();
        world.add(from, op);
        world.run();
        (world.pairs() - before, world.wallets[from].failed.last().map(|(_, code)| *code))
    };
    (1..4).for_each(|at| world.wallets[at].manner = Manner::StaysSilent);
    for number in 0..64 {
        assert_eq!(open(&mut world, 0, 1, number, 2), (1, None), "{number}");
    }
    let refused = (0, Some(Code::NoCapacity));
    assert_eq!(open(&mut world, 0, 1, 64, 2), refused);
    world.restart();
    world.run();
    assert_eq!(open(&mut world, 0, 1, 65, 2), refused, "a restart forgets none of them");
    // One of which all but a single step is paid is still one of them.
    world.wallets[0].settles = true;
    let step = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        let step = wallet.channel.reveal(1, &Secret(chain_step(&[0; 32])));
        wallet.commit(step.unwrap().unwrap(), &mut said, now);
        said
    });
    step.into_iter().for_each(|input| world.input(input));
    tick(&mut world);
    world.idle();
    assert_eq!(world.channel(0).incoming().tally.lock(1).unwrap().steps, 1);
    assert_eq!(open(&mut world, 0, 1, 70, 2), refused);
    // Others have their places, and so have payments and other payees.
    assert_eq!(open(&mut world, 2, 1, 66, 2).0, 1);
    assert_eq!(open(&mut world, 0, 1, 67, 1).0, 1);
    assert_eq!(open(&mut world, 0, 3, 68, 2).0, 1);
    // One that is given up makes room.
    assert!(give_up(&mut world));
    world.idle();
    assert_eq!(open(&mut world, 0, 1, 69, 2).0, 1);
}

/// ⚔ Hashing beyond a wallet's share of a second is refused with a number, and changes nothing else.
#[test]
fn a_wallet_has_a_budget_of_hashes_a_second() {
    let mut config = config();
    config.limits.hashes_per_second = 10;
    let mut world = World::with(config, 1, 2);
    streaming_in(&mut world);
    world.now_ms = world.now_ms.next_multiple_of(1_000);
    world.input(Input::Tick);
    let refused = |world: &mut World| {
        let found = world.wallets[1].inbox.iter().any(|message| {
            matches!(message, Message::Reject { seq: 0, code: Code::HashBudget, .. })
        });
        world.wallets[1].inbox.clear();
        found
    };
    redeem(&mut world, 9);
    assert!(!refused(&mut world));
    redeem(&mut world, 20);
    assert!(!refused(&mut world), "the message that goes beyond is still taken");
    let before = world.journal.len();
    redeem(&mut world, 21);
    assert!(refused(&mut world));
    assert_eq!((world.journal.len(), world.channel(1).suspended()), (before, None));
    // Others have theirs.
    world.now_ms += 999;
    redeem(&mut world, 22);
    assert!(refused(&mut world));
    world.now_ms += 1;
    redeem(&mut world, 23);
    assert!(!refused(&mut world));
    tick(&mut world);
    assert_eq!(known_in(&world), 23);
}

/// ⚔ A wallet with several channels has one budget: the whole of it where one shard keeps them all, a
/// share in each shard where they are spread.
#[test]
fn channels_of_one_wallet_share_its_budget() {
    for (shards, most) in [(1, 10), (2, 5)] {
        let mut config = config();
        config.limits.hashes_per_second = 10;
        let mut world = World::with(config, shards, 2);
        streaming_in(&mut world);
        let shard_of = |world: &World, at| Slice::index_of(&world.id(at), shards);
        // A second channel, in another shard where there is one.
        for nonce in 1.. {
            let opened = world.open_as(2, nonce);
            if shards == 1 || shard_of(&world, 2) != shard_of(&world, 1) {
                world.block(vec![opened]);
                break;
            }
            world.wallets.pop();
        }
        world.directory.1.insert(world.wallets[1].key.public(), shards.into());
        let deposit = super::world::hub_deposit(world.id(2), super::world::DEPOSIT);
        world.block(vec![deposit]);
        world.connect(2);
        world.wallets[2].manner = Manner::StaysSilent;
        let mut op = lock_op(&world);
        let NewOp::Add { anchor, .. } = &mut op else { panic!() };
        *anchor = Anchor(chain_step(&at(2).0));
        world.add(0, op);
        world.run();
        assert_eq!(world.channel(2).outgoing().tip().locks.len(), 1);
        world.now_ms = world.now_ms.next_multiple_of(1_000);
        world.input(Input::Tick);
        let reveal = |world: &mut World, wallet: usize, secret| {
            let channel = world.id(wallet);
            world.wallets[wallet].inbox.clear();
            let message = Message::Reveal { channel, id: 1, secret };
            world.input(Input::Message(Box::new(message)));
            let refused = Message::Reject { channel, seq: 0, code: Code::HashBudget };
            world.wallets[wallet].inbox.contains(&refused)
        };
        assert!(!reveal(&mut world, 1, at(most - 1)));
        assert!(!reveal(&mut world, 1, at(most)));
        assert!(reveal(&mut world, 1, at(most + 1)), "it is used up");
        assert_eq!(reveal(&mut world, 2, at(6)), shards == 1, "so it is for all in one shard");
        assert!(reveal(&mut world, 2, at(7)), "{shards} shards");
        world.now_ms += 1_000;
        assert!(!reveal(&mut world, 2, at(8)));
    }
}

/// ⚔ The same for an update that settles with what is not known here.
#[test]
fn updates_that_make_the_hub_hash_are_in_the_budget() {
    let mut config = config();
    config.limits.hashes_per_second = 10;
    let mut world = World::with(config, 1, 2);
    streaming_in(&mut world);
    // The payer pays of its own accord what nobody has redeemed.
    let settle = |world: &mut World, depth| {
        let said = world.with_now(0, |wallet, now| {
            let mut said = Vec::new();
            let answer = wallet.channel.check_reveal(1, &at(depth), now).unwrap().unwrap();
            wallet.commit(answer, &mut said, now);
            let step = wallet.channel.propose(&[], now).step.unwrap();
            wallet.commit(step, &mut said, now);
            said
        });
        said.into_iter().for_each(|input| world.input(input));
        world.wallets[0].inbox.iter().find_map(|message| match message {
            Message::Reject { code, .. } => Some(*code),
            _ => None,
        })
    };
    assert_eq!(settle(&mut world, 12), None);
    world.run();
    assert_eq!(settle(&mut world, 13), Some(Code::HashBudget));
}

/// The fee of a whole lock may come with it; then its steps go to the payee whole.
#[test]
fn a_fee_that_is_paid_upfront_leaves_the_unit_whole() {
    let value = UNIT * u64::from(STEPS);
    let fee = FEES.fee(Amount(value)).unwrap().0;
    let per_step = unit_to_forward(&FEES, Amount(UNIT)).unwrap();
    let memo = || upfront_memo(&anchor());
    let cases: [(u64, Memo, Amount); 5] = [
        (fee, memo(), Amount(UNIT)),
        (fee + 1, memo(), Amount(UNIT)),
        (fee - 1, memo(), per_step),
        (fee, upfront_memo(&Anchor([1; 32])), per_step),
        (fee, Memo::default(), per_step),
    ];
    for (amount, memo, expected) in cases {
        let mut world = World::new(2);
        world.wallets[1].manner = Manner::StaysSilent;
        let mut op = lock_op(&world);
        let NewOp::Add { unit, .. } = &mut op else { panic!() };
        *unit = Amount(UNIT);
        world.wallets[0].wanted.push(NewOp::Pay { amount: Amount(amount), memo });
        world.add(0, op);
        world.run();
        assert_eq!(world.channel(1).outgoing().tip().locks[0].unit, expected, "{amount}");
    }
    // In an update before it is for nothing.
    let mut world = World::new(2);
    world.add(0, NewOp::Pay { amount: Amount(fee), memo: memo() });
    world.run();
    let mut op = lock_op(&world);
    let NewOp::Add { unit, .. } = &mut op else { panic!() };
    *unit = Amount(UNIT);
    world.add(0, op);
    assert_eq!(world.channel(1).outgoing().tip().locks[0].unit, per_step);
}

/// Payers hash no more for one message than anybody: what was redeemed since the last tick reaches
/// them in strides.
#[test]
fn a_payer_hears_of_many_steps_in_strides() {
    let steps = 10_000;
    let chain = |depth: u32| Secret((depth..steps).fold([6; 32], |value, _| chain_step(&value)));
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    let mut op = world.pay_op(1, UNIT, Anchor(chain_step(&chain(1).0)));
    let NewOp::Add { steps: wanted, .. } = &mut op else { panic!() };
    *wanted = steps;
    world.add(0, op);
    world.run();
    for depth in [4_000, 8_000, 9_500] {
        let channel = world.id(1);
        let reveal = Message::Reveal { channel, id: 1, secret: chain(depth) };
        world.input(Input::Message(Box::new(reveal)));
    }
    tick(&mut world);
    let shown: Vec<Secret> = world.wallets[0].secrets.iter().map(|(_, secret)| *secret).collect();
    assert_eq!(shown, [chain(9_500 - 2 * 4_096), chain(9_500 - 4_096), chain(9_500)]);
    assert_eq!(world.channel(0).suspended(), None);
}
