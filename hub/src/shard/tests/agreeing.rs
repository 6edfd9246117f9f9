//! Withdrawals and cooperative closes.

use settlement::channel::Phase;
use settlement::proof::Net;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::{Amount, Height, Role, Signature};

use super::wallet::Manner;
use super::world::{DEPOSIT, World};
use crate::shard::*;

const SIGNATURE: Signature = Signature([0; 64]);

fn withdraw(world: &mut World, total: u64, valid_until: Height) -> Action {
    let withdrawal = Withdrawal {
        channel: world.id(0),
        role: Role::Wallet,
        total_withdrawn: Amount(total),
        valid_until,
    };
    world.input(Input::Withdraw { withdrawal, signature: SIGNATURE, ticket: 7 });
    world.answers.pop().unwrap()
}

fn close(world: &mut World, close: CooperativeClose) -> Action {
    world.input(Input::Close { close, signature: SIGNATURE, ticket: 8 });
    world.answers.pop().unwrap()
}

const REFUSED: Action = Action::Refuse { ticket: 8, code: Code::NotAgreed };

#[test]
fn a_withdrawal_is_signed_when_it_is_covered_and_counts_from_then_on() {
    let mut world = World::new(2);
    let until = world.height().after(10);
    let refused = Action::Refuse { ticket: 7, code: Code::Overdraft };
    assert_eq!(withdraw(&mut world, DEPOSIT.0 + 1, until), refused);
    assert_eq!(withdraw(&mut world, DEPOSIT.0 - 100, until), Action::Cosign { ticket: 7 });
    world.restart();
    world.run();
    // The wallet does not count it here, so what it signs next is more than it has.
    world.pay(0, 1, 100, 1);
    world.run();
    assert_eq!(world.wallets[0].rejected, [Code::Overdraft]);
    // It lapses once its last block has passed without it.
    world.blocks(10);
    world.pay(0, 1, 100, 2);
    world.run();
    assert_eq!(world.wallets[0].rejected.len(), 2);
    world.blocks(1);
    world.pay(0, 1, 100, 3);
    world.run();
    assert_eq!(world.completed, 1);
}

#[test]
fn a_close_is_signed_once_all_is_settled() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(1, 0, 1_000, 1);
    world.run();
    // The hub owes the payee a settlement: it makes it now and asks the wallet to come again.
    let until = world.height().after(100);
    let wanted = CooperativeClose {
        channel: world.id(0),
        wallet_amount: Amount(DEPOSIT.0 + 1_000),
        hub_amount: Amount(DEPOSIT.0 - 1_000),
        wallet_net: Net::new(DEPOSIT.wide()).unwrap(),
        hub_net: Net::new(DEPOSIT.wide()).unwrap(),
        valid_until: until,
    };
    assert_eq!(close(&mut world, wanted), REFUSED);
    assert_eq!(world.channel(0).outgoing().tip().transferred, Amount(1_000), "settled for it");
    world.run();
    let unfair = CooperativeClose { wallet_amount: Amount(DEPOSIT.0 + 1_001), ..wanted };
    assert_eq!(close(&mut world, unfair), REFUSED);
    assert_eq!(close(&mut world, wanted), Action::Cosign { ticket: 8 });
    assert_eq!(world.channel(0).phase(), Phase::Agreed { valid_until: until });
    assert_eq!(close(&mut world, wanted), Action::Cosign { ticket: 8 }, "asked again");
    world.pay(1, 0, 100, 2);
    world.run();
    assert_eq!(world.wallets[1].failed, [(2, Code::ChannelClosing)]);
    blocks_past(&mut world, until);
    assert_eq!(world.channel(0).phase(), Phase::Open, "it did not happen");
}

#[test]
fn a_withdrawal_is_signed_once_what_is_due_is_settled() {
    let mut world = World::new(2);
    world.pay(1, 0, 1_000, 1);
    world.run();
    let until = world.height().after(10);
    let again = Action::Refuse { ticket: 7, code: Code::NotAgreed };
    assert_eq!(withdraw(&mut world, DEPOSIT.0 + 1_000, until), again);
    world.run();
    // The wallet has the settlement, and says so with the next thing that it signs.
    let acknowledged = world.with_now(0, |wallet, now| {
        let mut said = Vec::new();
        let step = wallet.channel.acknowledge().unwrap();
        wallet.commit(step, &mut said, now);
        said
    });
    acknowledged.into_iter().for_each(|input| world.input(input));
    world.run();
    let signed = Action::Cosign { ticket: 7 };
    assert_eq!(withdraw(&mut world, DEPOSIT.0 + 1_000, until), signed);
}

fn blocks_past(world: &mut World, height: Height) {
    while world.height() <= height {
        assert_ne!(world.channel(0).phase(), Phase::Open);
        world.blocks(1);
    }
}

#[test]
fn nothing_is_signed_while_a_payment_is_pending() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    for at in [0, 1] {
        let wanted = CooperativeClose {
            channel: world.id(at),
            wallet_amount: DEPOSIT,
            hub_amount: DEPOSIT,
            wallet_net: Net::new(DEPOSIT.wide()).unwrap(),
            hub_net: Net::new(DEPOSIT.wide()).unwrap(),
            valid_until: world.height().after(10),
        };
        assert_eq!(close(&mut world, wanted), REFUSED);
    }
}

#[test]
fn a_request_for_a_channel_that_is_not_known_is_refused() {
    let mut world = World::new(1);
    world.open(2);
    world.wallets.swap(0, 1);
    let until = world.height().after(10);
    let refused = Action::Refuse { ticket: 7, code: Code::UnknownChannel };
    assert_eq!(withdraw(&mut world, 1, until), refused);
}
