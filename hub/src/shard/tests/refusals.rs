//! Each way in which the hub fails a payment, by its code.

use settlement::channel::NewOp;
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, Height};
use settlement::update::Destination;
use settlement::wire::Message;

use super::wallet::Manner;
use super::world::{DEPOSIT, World, config, key, secret};
use crate::shard::*;

/// The code with which wallet 0's payment came back, and that it cost nobody anything.
fn failed(world: &mut World) -> Code {
    world.idle();
    let [(_, code)] = world.wallets[0].failed[..] else {
        panic!("failed: {:?}, rejected: {:?}", world.wallets[0].failed, world.wallets[0].rejected)
    };
    world.idle();
    assert_eq!(world.wallets[0].back.len(), 1, "the payer has its money back");
    assert_eq!(world.hub_net(), 0);
    code
}

/// What comes of one payment from wallet 0 to wallet 1, as `change` makes it.
fn refused(mut world: World, change: impl FnOnce(&mut NewOp)) -> Code {
    let (secret, anchor) = secret(1);
    world.wallets[1].known.insert(anchor, secret);
    let mut op = world.pay_op(1, 1_000, anchor);
    change(&mut op);
    world.add(0, op);
    let code = failed(&mut world);
    assert_eq!(world.channel(1).outgoing().last_lock_id, 0, "no lock was added for it");
    code
}

fn to(op: &mut NewOp) -> &mut Destination {
    let NewOp::Add { to, .. } = op else { panic!("no lock") };
    to
}

fn expire(op: &mut NewOp, at: Height) {
    let NewOp::Add { expiry, .. } = op else { panic!("no lock") };
    *expiry = at;
}

fn worth(op: &mut NewOp, amount: u64) {
    let NewOp::Add { unit, .. } = op else { panic!("no lock") };
    *unit = Amount(amount);
}

#[test]
fn unknown_payee() {
    let code = refused(World::new(2), |op| to(op).wallet = key(50).public());
    assert_eq!(code, Code::UnknownPayee);
}

#[test]
fn unknown_payee_when_the_directory_names_a_channel_that_is_not_the_payees() {
    let mut world = World::new(3);
    let payee = (world.wallets[1].key.public(), AssetId(0));
    world.directory.0.insert(payee, (world.id(2), true));
    assert_eq!(refused(world, |_| ()), Code::UnknownPayee);
}

#[test]
fn payee_offline() {
    let mut world = World::new(2);
    world.disconnect(1);
    assert_eq!(refused(world, |_| ()), Code::PayeeOffline);
    // The directory and the shard hear of it one after the other.
    let mut world = World::new(2);
    world.set_online(1, false);
    assert_eq!(refused(world, |_| ()), Code::PayeeOffline);
    let mut world = World::new(2);
    world.input(Input::Disconnected(world.id(1)));
    assert_eq!(refused(world, |_| ()), Code::PayeeOffline);
}

#[test]
fn payee_offline_when_it_leaves_while_the_payment_waits() {
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 1_000, 2);
    world.pay(0, 1, 1_000, 1);
    assert_eq!(world.shards[0].counters().queued, 1);
    world.disconnect(1);
    assert_eq!(world.shards[0].counters().queued, 0);
    assert_eq!(failed(&mut world), Code::PayeeOffline);
}

#[test]
fn no_inbound_liquidity() {
    let mut config = config();
    config.inbound.max = Amount(999);
    assert_eq!(refused(World::with(config.clone(), 1, 2), |_| ()), Code::NoInboundLiquidity);
    config.inbound.max = Amount(1_000);
    let mut world = World::with(config, 1, 2);
    world.pay(0, 1, 1_000, 1);
    world.run();
    assert_eq!(world.completed, 1);
}

#[test]
fn fee_too_low() {
    assert_eq!(refused(World::new(2), |op| worth(op, 3)), Code::FeeTooLow);
    let mut world = World::new(2);
    world.pay(0, 1, 1, 1);
    world.run();
    assert_eq!(world.completed, 1, "4 units carry 1 and a fee of 3");
}

#[test]
fn expiry_too_soon() {
    // expiry_delta 80, claim_margin 30, settle_grace 40, lag 20.
    let world = World::new(2);
    let at = world.height().after(169);
    assert_eq!(refused(world, |op| expire(op, at)), Code::ExpiryTooSoon);
    let mut world = World::new(2);
    let (secret, anchor) = secret(1);
    world.wallets[1].known.insert(anchor, secret);
    let mut op = world.pay_op(1, 1_000, anchor);
    expire(&mut op, world.height().after(170));
    world.add(0, op);
    world.run();
    assert_eq!(world.completed, 1);
}

#[test]
fn expiry_too_soon_is_said_at_once() {
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 1_000, 2);
    let mut op = world.pay_op(1, 1_000, secret(1).1);
    expire(&mut op, world.height().after(169));
    world.add(0, op);
    assert_eq!(world.shards[0].counters().queued, 0, "it waits for nobody");
    assert_eq!(failed(&mut world), Code::ExpiryTooSoon);
}

#[test]
fn expiry_too_soon_when_it_has_waited() {
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 1_000, 2);
    let mut op = world.pay_op(1, 1_000, secret(1).1);
    expire(&mut op, world.height().after(170));
    world.add(0, op);
    world.block(Vec::new());
    world.input(Input::Message(Box::new(Message::Ack { channel: world.id(1), seq: 1 })));
    assert_eq!(failed(&mut world), Code::ExpiryTooSoon);
}

#[test]
fn duplicate_payment() {
    let mut world = World::new(3);
    world.wallets[1].manner = Manner::StaysSilent;
    world.wallets[2].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.pay(0, 1, 500, 1);
    world.run();
    assert_eq!(world.wallets[0].failed, [(2, Code::DuplicatePayment)]);
    // To another payee, or from another payer, it is another payment.
    world.pay(0, 2, 1_000, 1);
    world.pay(2, 1, 1_000, 1);
    world.run();
    assert_eq!(world.pairs(), 3);
    // Also after a restart.
    world.restart();
    world.run();
    world.pay(0, 1, 700, 1);
    world.run();
    let duplicate = world.wallets[0].last_lock();
    assert_eq!(world.wallets[0].failed.last(), Some(&(duplicate, Code::DuplicatePayment)));
}

#[test]
fn foreign_hub() {
    let code = refused(World::new(2), |op| to(op).hub = Some(key(50).public()));
    assert_eq!(code, Code::ForeignHub);
    let mut world = World::new(2);
    let (secret, anchor) = secret(1);
    world.wallets[1].known.insert(anchor, secret);
    let mut op = world.pay_op(1, 1_000, anchor);
    to(&mut op).hub = Some(world.hub.public());
    world.add(0, op);
    world.run();
    assert_eq!(world.completed, 1, "this hub may be named");
}

#[test]
fn draining() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.input(Input::Drain);
    world.pay(0, 1, 1_000, 2);
    world.run();
    assert_eq!(world.wallets[0].failed, [(2, Code::Draining)]);
    assert!(!world.shards[0].counters().is_quiet());
    world.wallets[1].manner = Manner::Reveals;
    world.connect(1);
    world.idle();
    assert_eq!(world.completed, 1, "what is pending goes on");
    assert!(world.shards[0].counters().is_quiet());
}

#[test]
fn ledger_stalled() {
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 1_000, 2);
    world.pay(0, 1, 1_000, 1);
    world.now_ms += world.config.policy.stale_view_ms + 1;
    world.input(Input::Message(Box::new(Message::Ack { channel: world.id(1), seq: 1 })));
    assert_eq!(failed(&mut world), Code::LedgerStalled);
}

#[test]
fn refused_by_payee() {
    let mut world = World::new(2);
    world.pay(0, 1, 1_000, 1);
    world.wallets[1].inbox.clear();
    let (channel, code) = (world.id(1), Code::TotalsMismatch);
    world.input(Input::Message(Box::new(Message::Reject { channel, seq: 1, code })));
    assert_eq!(world.wallets[0].failed, [], "the refused proof may have been kept");
    assert_eq!(failed(&mut world), Code::RefusedByPayee);
}

#[test]
fn what_a_payee_says_is_passed_on() {
    for code in [Code::InvoiceUsed, Code::WrongAmount, Code::Unknown(999)] {
        let mut world = World::new(2);
        world.wallets[1].manner = Manner::Fails(code);
        world.pay(0, 1, 1_000, 1);
        assert_eq!(failed(&mut world), code);
    }
}

#[test]
fn expired() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.rest();
    world.pay(0, 1, 1_000, 1);
    world.blocks(169);
    assert_eq!(world.wallets[0].failed, []);
    world.blocks(1);
    assert_eq!(failed(&mut world), Code::Expired);
    assert_eq!(world.channel(1).locked(), Amount(1_000), "the payee may be some blocks behind");
    world.blocks(20);
    world.idle();
    assert_eq!(world.channel(1).locked(), Amount::ZERO);
}

#[test]
fn no_capacity_for_more_than_the_payee_can_hold() {
    let mut world = World::new(3);
    world.wallets[1].manner = Manner::StaysSilent;
    for seed in 0..=255 {
        world.pay(usize::from(seed % 2) * 2, 1, 100, seed);
        world.run();
    }
    assert_eq!(world.pairs(), 256);
    let op = world.pay_op(1, 100, settlement::types::Anchor([3; 32]));
    world.add(0, op);
    world.run();
    assert_eq!(world.wallets[0].failed, [(129, Code::NoCapacity)]);
}

#[test]
fn no_capacity_beyond_a_channels_share_of_what_the_ledger_can_settle() {
    let mut config = config();
    config.genesis.block_hashes = 6 << 20;
    // A third of 5 blocks of so many hashes, of which a sixteenth is 10 locks of 2^16 steps.
    let mut world = World::with(config, 1, 3);
    for at in 0..11 {
        let to = 1 + at % 2;
        let anchor = settlement::types::Anchor([at as u8; 32]);
        let mut op = world.pay_op(to, 2, anchor);
        let NewOp::Add { steps, .. } = &mut op else { panic!() };
        *steps = 1 << 16;
        world.add(0, op);
        world.run();
    }
    assert_eq!(world.wallets[0].failed, [(11, Code::NoCapacity)], "the payer's channel is full");
    assert_eq!(world.pairs(), 10);
    // The payee's channel has a share of its own: 10 from one payer, none from another.
    let mut world = World::with(world.config.clone(), 1, 3);
    for at in 0..12 {
        let anchor = settlement::types::Anchor([at as u8; 32]);
        let mut op = world.pay_op(1, 2, anchor);
        let NewOp::Add { steps, .. } = &mut op else { panic!() };
        *steps = 1 << 16;
        world.add(usize::from(at % 2 == 1) * 2, op);
        world.run();
    }
    assert_eq!(world.wallets[0].failed, [(6, Code::NoCapacity)]);
    assert_eq!(world.wallets[2].failed, [(6, Code::NoCapacity)]);
    assert!(world.shards[0].counters().locks_out == 10);
}

#[test]
fn no_capacity_when_too_many_wait() {
    let mut config = config();
    config.limits.queue_max = 1;
    let mut world = World::with(config, 1, 4);
    world.wallets[1].answers = false;
    world.pay(2, 1, 100, 1);
    world.pay(3, 1, 100, 2);
    world.pay(0, 1, 100, 3);
    assert_eq!(failed(&mut world), Code::NoCapacity);
    assert_eq!(world.shards[0].counters().queued, 1);
}

#[test]
fn payment_to_self() {
    let world = World::new(2);
    let own = world.wallets[0].key.public();
    assert_eq!(refused(world, |op| to(op).wallet = own), Code::PaymentToSelf);
}

#[test]
fn channel_closing() {
    let mut world = World::new(2);
    world.input(Input::CloseAlone(world.id(1)));
    assert_eq!(refused(world, |_| ()), Code::ChannelClosing);
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 100, 2);
    world.pay(0, 1, 100, 1);
    world.input(Input::CloseAlone(world.id(1)));
    assert_eq!(failed(&mut world), Code::ChannelClosing, "while it waits");
}

#[test]
fn unanswered() {
    let mut world = World::new(3);
    world.wallets[1].answers = false;
    world.pay(2, 1, 100, 2);
    world.pay(0, 1, 100, 1);
    for _ in 0..49 {
        world.block(Vec::new());
        world.input(Input::Tick);
    }
    world.run();
    assert_eq!(world.wallets[0].failed, []);
    world.block(Vec::new());
    world.input(Input::Tick);
    assert_eq!(failed(&mut world), Code::Unanswered);
}

#[test]
fn an_update_that_breaks_a_rule_is_refused_and_changes_nothing() {
    let mut world = World::new(2);
    let before = World::state(&world.shards);
    let fee_in = Amount(DEPOSIT.0 + 1);
    // The wallet's own engine would not sign this; its escrow is made to look larger.
    let event = settlement::block::LedgerEvent::Deposited {
        channel: world.id(0),
        role: settlement::types::Role::Wallet,
        total: Amount(2 * DEPOSIT.0),
    };
    for step in world.wallets[0].channel.follow(&event, world.height()) {
        world.wallets[0].channel.commit(&step);
    }
    let mut op = world.pay_op(1, 1_000, secret(1).1);
    worth(&mut op, fee_in.0);
    world.add(0, op);
    world.deliver(0);
    assert_eq!(world.wallets[0].rejected, [Code::Overdraft]);
    let channel = world.id(1);
    assert_eq!(World::state(&world.shards)[&channel], before[&channel]);
    let bad = Input::BadUpdate { channel, seq: 9, code: Code::BadSignature };
    world.input(bad);
    let refusal = Message::Reject { channel, seq: 9, code: Code::BadSignature };
    assert_eq!(world.wallets[1].inbox.pop_front(), Some(refusal));
}
