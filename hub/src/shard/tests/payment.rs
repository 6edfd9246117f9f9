//! Payments that go well, and what the wallets are told on the way.

use settlement::channel::{NewOp, Step};
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, Role, Secret};
use settlement::update::{Destination, Payload};
use settlement::wire::Message;

use super::wallet::{Manner, Wallet};
use super::world::{DEPOSIT, LIFE, World, secret};
use crate::shard::*;

#[test]
fn a_payment_reaches_the_payee_and_its_secret_the_payer() {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.run();
    assert_eq!(world.wallets[0].secrets, [(1, secret(1).0)]);
    assert_eq!((world.completed, world.not_completed), (1, 0));
    world.idle();
    // 1,000 and a fee of 2 + 1 %.
    assert_eq!(world.wallets[0].channel.balance(Role::Wallet), Amount(DEPOSIT.0 - 1_012));
    assert_eq!(world.wallets[1].channel.balance(Role::Wallet), Amount(DEPOSIT.0 + 1_000));
    assert_eq!(world.hub_net(), 12);
    assert_eq!(world.pairs(), 0, "what is concluded is forgotten");
    for at in [0, 1] {
        assert_eq!(world.channel(at).locked(), Amount::ZERO);
    }
    assert!(world.shards[0].counters().is_quiet());
}

#[test]
fn payments_that_wait_for_an_answer_travel_in_one_update() {
    let mut world = World::new(5);
    for from in 0..4 {
        world.pay(from, 4, 100, from as u8 + 1);
    }
    // The first took off alone; the other three wait for its answer.
    assert_eq!(world.shards[0].counters().queued, 3);
    world.run();
    let added: Vec<usize> = world
        .journal
        .iter()
        .filter_map(|record| match record {
            Record::Forwarded { step, pairs, .. } => Some((Wallet::added(step), pairs.len())),
            _ => None,
        })
        .map(|(added, pairs)| {
            assert_eq!(added, pairs, "each lock is recorded with its pair");
            added
        })
        .collect();
    assert_eq!(added, [1, 3]);
    assert_eq!(world.completed, 4);
}

#[test]
fn a_settlement_waits_no_longer_than_an_idle_second() {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.now_ms += 900;
    world.input(Input::Tick);
    assert_ne!(world.channel(1).outgoing().tip().locks, [], "it waits for company");
    world.now_ms += 100;
    world.input(Input::Tick);
    assert_eq!(world.channel(1).outgoing().tip().locks, []);
}

#[test]
fn a_settlement_rides_with_the_next_payment() {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.pay(0, 1, 1_000, 2);
    world.run();
    let ids: Vec<u64> = world.channel(1).outgoing().tip().locks.iter().map(|l| l.id).collect();
    assert_eq!(ids, [2]);
}

#[test]
fn a_failed_lock_goes_back_only_once_the_hubs_own_is_gone() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::Fails(Code::InvoiceExpired);
    world.wallets[1].settles = false;
    world.pay(0, 1, 1_000, 1);
    world.run();
    // The payee has failed the lock and taken its drop, but signed nothing that retires the proofs
    // in which it stands.
    assert_eq!(world.channel(1).outgoing().tip().locks, []);
    assert_eq!(world.wallets[0].failed, [], "the hub's own lock is not gone");
    world.wallets[1].settles = true;
    world.idle();
    assert_eq!(world.wallets[0].failed, [(1, Code::InvoiceExpired)]);
    world.idle();
    assert_eq!(world.wallets[0].back, [(1, Code::InvoiceExpired)]);
    assert_eq!(world.hub_net(), 0);
    assert_eq!(world.pairs(), 0);
}

#[test]
fn nothing_is_said_about_a_channel_before_its_wallet_has_met() {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.input(Input::Disconnected(world.id(1)));
    world.set_online(1, true);
    world.input(Input::Connected(world.id(1)));
    let ack = Message::Ack { channel: world.id(1), seq: 1 };
    world.input(Input::Message(Box::new(ack)));
    let reveal = Message::Reveal { channel: world.id(1), id: 1, secret: secret(1).0 };
    world.input(Input::Message(Box::new(reveal)));
    let (channel, code) = (world.id(1), Code::BadSignature);
    world.input(Input::BadUpdate { channel, seq: 1, code });
    world.now_ms += 2_000;
    world.input(Input::Tick);
    assert_eq!(world.wallets[1].inbox, []);
    assert!(world.channel(1).outgoing().in_flight.is_some(), "the early answer was ignored");
    let sync = world.wallets[1].sync();
    world.input(sync);
    assert!(matches!(world.wallets[1].inbox[0], Message::Sync { .. }));
    assert!(matches!(world.wallets[1].inbox[1], Message::Update(_)), "said again after meeting");
    world.run();
    assert_eq!(world.completed, 1);
}

#[test]
fn a_payment_waits_for_its_payee_to_meet() {
    let mut world = World::new(2);
    world.disconnect(1);
    world.set_online(1, true);
    world.input(Input::Connected(world.id(1)));
    world.pay(0, 1, 1_000, 1);
    world.run();
    let forwarded = |world: &World| {
        world.journal.iter().filter(|record| matches!(record, Record::Forwarded { .. })).count()
    };
    assert_eq!(forwarded(&world), 0, "nothing is signed for a state that the payee may not hold");
    assert_eq!(world.wallets[1].inbox, []);
    assert_eq!((world.shards[0].counters().queued, world.not_completed), (1, 0));
    let sync = world.wallets[1].sync();
    world.input(sync);
    world.run();
    assert_eq!((forwarded(&world), world.completed), (1, 1));
}

#[test]
fn a_payer_that_has_not_met_hears_of_the_secret_when_it_does() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.input(Input::Connected(world.id(0)));
    let reveal = Message::Reveal { channel: world.id(1), id: 1, secret: secret(1).0 };
    world.input(Input::Message(Box::new(reveal)));
    assert_eq!(world.completed, 1);
    assert_eq!(world.wallets[0].inbox, []);
    let sync = world.wallets[0].sync();
    world.input(sync);
    world.run();
    assert_eq!(world.wallets[0].secrets, [(1, secret(1).0)]);
}

#[test]
fn an_update_for_a_channel_that_is_not_known_is_refused() {
    let mut world = World::new(1);
    let before = world.journal.len();
    let event = world.open(2);
    world.set_online(1, true);
    let sync = world.wallets[1].sync();
    world.input(sync);
    let refused = Message::Reject { channel: world.id(1), seq: 0, code: Code::UnknownChannel };
    assert_eq!(world.wallets[1].inbox.pop_front(), Some(refused));
    world.wallets[1].met = true;
    world.pay(1, 0, 10, 1);
    let refused = Message::Reject { channel: world.id(1), seq: 1, code: Code::UnknownChannel };
    assert_eq!(world.wallets[1].inbox.pop_front(), Some(refused));
    assert_eq!(world.journal.len(), before);
    world.block(vec![event]);
    assert!(world.shards[0].channel(&world.id(1)).is_some());
}

#[test]
fn a_secret_that_does_not_fit_suspends_the_channel_until_the_next_sync() {
    let mut world = World::new(3);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    let wrong = Message::Reveal { channel: world.id(1), id: 1, secret: secret(9).0 };
    world.input(Input::Message(Box::new(wrong)));
    assert_eq!(world.channel(1).suspended(), Some(Code::SecretMismatch));
    world.pay(2, 1, 10, 2);
    world.run();
    assert_eq!(world.wallets[2].failed, [(1, Code::PayeeOffline)], "it takes nothing meanwhile");
    world.wallets[1].manner = Manner::Reveals;
    world.connect(1);
    world.run();
    assert_eq!(world.channel(1).suspended(), None);
    assert_eq!(world.completed, 1);
    let suspended =
        |record: &&Record| matches!(record, Record::Step { step: Step::Suspended { .. }, .. });
    assert_eq!(world.journal.iter().filter(suspended).count(), 1);
}

/// T-07: the same anchor and amount, from two payers and from one payer to two payees. What the one
/// payee reveals completes the one payment.
#[test]
fn a_secret_is_passed_to_the_paired_lock_alone() {
    let mut world = World::new(4);
    world.wallets[2].manner = Manner::StaysSilent;
    world.wallets[3].manner = Manner::StaysSilent;
    world.pay(0, 2, 1_000, 1);
    world.pay(1, 2, 1_000, 1);
    world.run();
    world.pay(1, 3, 1_000, 1);
    world.run();
    // Wallet 2 shows the secret of the second payer's lock only.
    let reveal = Message::Reveal { channel: world.id(2), id: 2, secret: secret(1).0 };
    world.input(Input::Message(Box::new(reveal)));
    world.run();
    assert_eq!(world.wallets[0].secrets, []);
    assert_eq!(world.wallets[1].secrets, [(1, secret(1).0)], "its first lock, not its second");
    assert_eq!(world.completed, 1);
    assert_eq!(world.hub_net(), 12);
}

#[test]
fn a_stream_is_paid_step_by_step() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    let chain: Vec<[u8; 32]> =
        std::iter::successors(Some([5; 32]), |value| Some(chain_step(value))).take(6).collect();
    let mut op = world.pay_op(1, 100, Anchor(chain[5]));
    let NewOp::Add { steps, .. } = &mut op else { panic!() };
    *steps = 5;
    world.add(0, op);
    world.run();
    // Steps 2, 2 again, 4 and 5; an idle second after the first.
    for (at, learned) in [(3, 1), (3, 1), (1, 2), (0, 3)] {
        let secret = Secret(chain[at]);
        let reveal = Message::Reveal { channel: world.id(1), id: 1, secret };
        world.input(Input::Message(Box::new(reveal)));
        // The payer hears of it with the next tick.
        world.input(Input::Tick);
        world.run();
        assert_eq!(world.wallets[0].secrets.len(), learned);
        assert_eq!(world.wallets[0].secrets.last(), Some(&(1, secret)));
        assert_eq!(world.pairs(), usize::from(at != 0), "kept as long as more may come");
        if at == 3 {
            world.idle();
            world.restart();
            world.run();
        }
    }
    world.idle();
    assert_eq!(world.wallets[1].channel.balance(Role::Wallet), Amount(DEPOSIT.0 + 500));
    assert_eq!(world.hub_net(), 15);
}

#[test]
fn shards_pass_payments_to_each_other() {
    let mut world = World::with(super::world::config(), 4, 8);
    let crossing = (0..8).flat_map(|from| (0..8).map(move |to| (from, to)));
    for (seed, (from, to)) in crossing.filter(|(from, to)| from != to).enumerate() {
        world.pay(from, to, 100, seed as u8 + 1);
        world.run();
    }
    assert!(world.shards.iter().filter(|shard| shard.counters().channels > 0).count() > 1);
    assert_eq!(world.completed, 56);
    assert_eq!(world.pairs(), 0, "other shards are told, too, that a payment is concluded");
    world.idle();
    assert_eq!(world.hub_net(), 56 * 3);
}

/// Money goes on in its own asset, whatever the directory says.
#[test]
fn unknown_payee_when_the_payees_channel_is_of_another_asset() {
    for (asset, expected) in [(AssetId(0), None), (AssetId(1), Some(Code::UnknownPayee))] {
        let mut world = World::new(2);
        let forward = Forward {
            incoming: (world.id(0), 1),
            outgoing: world.id(1),
            asset,
            unit_in: Amount(12),
            anchor: secret(1).1,
            unit: Amount(10),
            steps: 1,
            expiry: world.height().after(LIFE - 80),
            to: Destination { hub: None, wallet: world.wallets[1].key.public() },
            payload: Payload::default(),
        };
        let mut out = Output::default();
        let input = Input::Passed(Pass::Forward(Box::new(forward)));
        world.shards[0].handle(input, world.now_ms, &world.directory, &mut out);
        let code = out.passes.iter().find_map(|pass| match pass {
            Pass::Outcome { outcome: Err(code), .. } => Some(*code),
            _ => None,
        });
        assert_eq!(code, expected);
    }
}
