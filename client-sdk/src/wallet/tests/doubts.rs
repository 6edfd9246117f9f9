//! What an old copy of a home has told as failed, or is about to, and may have been paid in what it has forgotten.

use settlement::block::LedgerEvent;
use settlement::channel::Phase;
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::reject::Code;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::forgotten::LEAP;
use super::harness::*;
use super::unsent::*;

fn failed(code: Code) -> Option<PaymentState> {
    Some(PaymentState::Failed(code))
}

/// The hub is met, and shows what the copy lacks.
fn meets(world: &mut World, shown: [Message; 2]) {
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.pass(LEAP);
    world.run();
}

/// And has signed that it holds what came after: invoices are paid again.
fn is_certain_again(world: &mut World) {
    world.hub_pays(5);
    world.run();
    world.second();
    world.run();
    assert!(world.channel().is_certain());
}

fn is_refused(world: &mut World, code: Code) {
    let lock = world.hub.only_lock();
    world.hub.fail(lock, code);
    world.run();
    world.second();
    world.run();
    assert!(world.hub.channel.incoming().tally.locks.is_empty(), "dropped");
}

/// It may have been paid the first time. What it was asked again, and in which process that failed, says nothing
/// of that.
#[test]
fn a_payment_in_doubt_that_is_asked_for_again_and_fails_stays_in_doubt() {
    for restarts in [false, true] {
        let (mut world, shown) = old_copy(false);
        meets(&mut world, shown);
        assert_eq!(world.state_of(9), UNKNOWN);
        is_certain_again(&mut world);
        for code in [Code::PayeeOffline, Code::InvoiceUsed] {
            world.command(pay(3, 9, 10));
            world.run();
            assert_eq!(world.state_of(9), Some(PaymentState::Pending));
            if restarts {
                world.restart();
                world.feed(Input::Connected);
                world.run();
            }
            is_refused(&mut world, code);
            assert_eq!(world.state_of(9), UNKNOWN, "restarts: {restarts}");
        }
        for secret in [8, 9] {
            world.command(pay(3, secret, 10));
        }
        world.disconnect();
        assert_eq!(world.state_of(9), UNKNOWN, "not even sent");
    }
}

#[test]
fn a_payment_in_doubt_that_is_asked_for_again_can_be_paid() {
    let (mut world, shown) = old_copy(false);
    meets(&mut world, shown);
    is_certain_again(&mut world);
    world.command(pay(3, 9, 10));
    world.run();
    let lock = world.hub.only_lock();
    world.hub.reveal(lock, Secret([9; 32]));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// That a payee or the hub has lost state is no reason for doubt: the money is back, or was never sent.
#[test]
fn what_others_have_lost_puts_no_payment_in_doubt() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    world.run();
    is_refused(&mut world, Code::StateLost);
    assert_eq!(world.state_of(9), failed(Code::RefusedByPayee));
    world.command(pay(3, 9, 10));
    world.run();
    is_refused(&mut world, Code::PayeeOffline);
    assert_eq!(world.state_of(9), failed(Code::PayeeOffline));

    let [_, before] = what_the_hub_shows(&world);
    world.hub_pays(5);
    world.run();
    world.disconnect();
    world.feed(Input::Connected);
    world.command(pay(3, 8, 10));
    world.hear(before);
    assert_eq!(world.channel().suspended(), Some(Code::StateLost), "the hub has");
    assert_eq!(world.state_of(8), failed(Code::HubUnavailable));
}

/// The hub is met long after a lock's life, and after the invoice's end, perhaps by another process.
#[test]
fn what_had_failed_is_doubted_however_late_the_hub_is_met() {
    for restarts in [false, true] {
        let mut world = World::new();
        fails(&mut world, 9);
        let copy = world.records.len();
        pays_again(&mut world);
        let shown = restore(&mut world, copy);
        world.pass(300 + FOLLOW_STRIDE);
        if restarts {
            world.restart();
        }
        assert_eq!(world.state_of(9), failed(Code::PayeeOffline));
        meets(&mut world, shown);
        assert_eq!(world.state_of(9), UNKNOWN, "restarts: {restarts}");
    }
}

/// It was given up after a lock's life, or a life after its own lock's end.
#[test]
fn what_was_given_up_before_the_hub_was_met_is_doubted_when_it_is() {
    for (sent, code) in [(false, Code::HubUnavailable), (true, Code::Expired)] {
        for restarts in [false, true] {
            let (mut world, shown) = old_copy(sent);
            world.pass(2 * world.wallet.config.policy.lock_life + 2);
            assert_eq!(world.state_of(9), failed(code));
            if restarts {
                world.restart();
            }
            meets(&mut world, shown);
            assert_eq!(world.state_of(9), UNKNOWN, "sent: {sent}, restarts: {restarts}");
        }
    }
}

/// A second channel of the asset, which the hub closes before it can be met.
fn opens_second(world: &mut World) -> ChannelId {
    let second = OpenTerms { nonce: 1, ..terms() };
    let channel = second.channel_id();
    world.block(vec![LedgerEvent::Opened { terms: second, deposit: Amount(10) }]);
    let proofs_until = world.wallet.height().after(400);
    world.block(vec![LedgerEvent::CloseStarted { channel, by: Role::Hub, proofs_until }]);
    world.forget_unsent();
    channel
}

/// One channel has shown the loss, and all is certain there again, before it is known that no other channel has
/// the payment.
#[test]
fn a_loss_that_is_over_is_not_forgotten_while_another_channel_is_not_met() {
    for restarts in [false, true] {
        let mut world = World::new();
        opens_second(&mut world);
        world.command(pay(3, 9, 10));
        let wanted = world.records.iter().rposition(|r| matches!(r, Record::Payment(_))).unwrap();
        world.run();
        let lock = world.hub.only_lock();
        world.hub.reveal(lock, Secret([9; 32]));
        world.run();
        world.second();
        world.run();
        let shown = restore(&mut world, wanted + 1);
        meets(&mut world, shown);
        is_certain_again(&mut world);
        assert_eq!(world.state_of(9), Some(PaymentState::Pending));
        if restarts {
            world.restart();
        }
        world.pass(world.wallet.config.policy.lock_life + 2);
        assert_eq!(world.state_of(9), UNKNOWN, "restarts: {restarts}");
    }
}

/// The copy has its lock. The hub closes with a proof of after that was paid.
#[test]
fn a_lock_whose_end_is_forgotten_and_whose_channel_closes_does_not_expire() {
    for settled in [false, true] {
        let (mut world, _) = old_copy(true);
        hub_closes(&mut world);
        if settled {
            is_paid_out(&mut world);
            world.restart();
        }
        world.pass(world.wallet.config.policy.lock_life + 2);
        assert_eq!(world.state_of(9), UNKNOWN, "settled: {settled}");
    }
}

/// The copy does not know of the payment; it is asked for on one channel, and fails there, before or after another
/// shows that there was more. One to somebody who has not asked was never made before.
#[test]
fn what_is_asked_for_before_the_loss_shows_on_another_channel_is_in_doubt() {
    for late in [false, true] {
        let mut world = World::new();
        let channel = opens_second(&mut world);
        world.restart();
        world.feed(Input::Connected);
        world.run();
        world.command(pay(3, 9, 10));
        world.run();
        let proof = BalanceProof {
            channel,
            from: Role::Wallet,
            seq: 5,
            transferred: Amount(5),
            locked: Amount(0),
            locks_root: Hash::ZERO,
            peer_seq: 0,
            peer_transferred: Amount(0),
        };
        let shows = LedgerEvent::ProofRecorded { proof, locks: Vec::new() };
        if late {
            world.block(vec![shows]);
            world.pass(LEAP);
            world.run();
            is_refused(&mut world, Code::PayeeOffline);
        } else {
            is_refused(&mut world, Code::PayeeOffline);
            assert_eq!(world.state_of(9), failed(Code::PayeeOffline));
            world.block(vec![shows]);
        }
        assert_eq!(world.state_of(9), UNKNOWN, "late: {late}");
    }
}

/// It met the hub in the one channel that it knows, before it had followed the block that opened another.
#[test]
fn a_channel_that_the_copy_does_not_know_may_have_paid() {
    let mut world = World::new();
    fails(&mut world, 9);
    let copy = world.records.len();
    let other = OpenTerms { nonce: 1, ..terms() };
    let opens = LedgerEvent::Opened { terms: other, deposit: Amount(10) };
    world.now_ms += 60_000;
    let block = world.block_at(world.hub.height + 1, vec![opens]);
    world.now_ms += 60_000;
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.feed(Input::Connected);
    world.run();
    assert!(world.wallet.is_synced(&world.id()));
    world.hub.height += 1;
    world.feed(Input::Block(Box::new(block)));
    assert_eq!(world.state_of(9), UNKNOWN);
}

fn is_closed_by_agreement(world: &mut World, wallet: u64) {
    let hub = Amount(WALLET_DEPOSIT + HUB_DEPOSIT - wallet);
    let (channel, wallet) = (world.id(), Amount(wallet));
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: true }]);
    assert!(matches!(world.channel().phase(), Phase::Closed { .. }));
}

/// The copy is from before the channel was closed by agreement, with what was paid since, or with as much as the
/// copy has.
#[test]
fn a_forgotten_close_by_agreement_shows_that_state_is_lost() {
    for wallet in [WALLET_DEPOSIT - 11, WALLET_DEPOSIT] {
        let (mut world, _) = old_copy(false);
        is_closed_by_agreement(&mut world, wallet);
        assert_eq!(world.state_of(9), UNKNOWN, "not sent");

        let (mut world, _) = old_copy(true);
        is_closed_by_agreement(&mut world, wallet);
        world.restart();
        world.pass(world.wallet.config.policy.lock_life + 2);
        assert_eq!(world.state_of(9), UNKNOWN, "its lock is known");

        let mut world = World::new();
        fails(&mut world, 9);
        let copy = world.records.len();
        pays_again(&mut world);
        restore(&mut world, copy);
        is_closed_by_agreement(&mut world, wallet);
        assert_eq!(world.state_of(9), UNKNOWN, "it had failed");
    }
}

/// ⚔ What the ledger shows of one channel says of all that they may not be known, whatever the hub hides.
#[test]
fn a_loss_that_the_ledger_shows_makes_the_other_channels_leap() {
    for agreed in [false, true] {
        let (mut world, _) = old_copy(false);
        let other = OpenTerms { asset: AssetId(1), nonce: 1, ..terms() };
        world.block(vec![LedgerEvent::Opened { terms: other, deposit: Amount(10) }]);
        let suspended =
            |world: &World| world.wallet.channel(&other.channel_id()).unwrap().suspended();
        assert_eq!(suspended(&world), None);
        if agreed {
            is_closed_by_agreement(&mut world, WALLET_DEPOSIT);
        } else {
            hub_closes(&mut world);
        }
        assert_eq!(suspended(&world), Some(Code::Recovering), "agreed: {agreed}");
    }
}

/// The wallet has all that it had when it signed; also what it had when that close could not be carried any more.
#[test]
fn a_close_that_is_known_is_no_loss() {
    for lapses in [false, true] {
        let mut world = World::new();
        fails(&mut world, 9);
        for last in [false, true] {
            let valid_until = world.wallet.height().after(100);
            let close = world.channel().close_terms(valid_until).unwrap();
            world.command(Command::AgreeClose { close });
            assert_eq!(world.refused(), None);
            if last || !lapses {
                break;
            }
            world.pass(101);
            assert_eq!(world.channel().phase(), Phase::Open);
        }
        world.restart();
        is_closed_by_agreement(&mut world, WALLET_DEPOSIT);
        assert_eq!(world.state_of(9), failed(Code::PayeeOffline));
    }
}
