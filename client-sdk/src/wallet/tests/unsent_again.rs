//! What had failed when the process started, and is asked for again: what a loss says of it that shows later.

use settlement::block::LedgerEvent;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::types::{Amount, Hash, Role};

use super::super::*;
use super::forgotten::LEAP;
use super::harness::*;
use super::unsent::*;

/// It is paid in this life; then the ledger shows that another channel of the asset has lost something.
#[test]
fn a_payment_that_was_made_since_the_start_is_not_in_doubt() {
    let mut world = World::new();
    fails(&mut world, 9);
    let channel = opens_another(&mut world);
    closes(&mut world, channel);
    world.disconnect();
    world.restart();
    world.feed(Input::Connected);
    world.run();
    pays_again(&mut world);
    let (from, transferred, locks_root) = (Role::Wallet, Amount(1), Hash::ZERO);
    let (seq, locked, peer_seq, peer_transferred) = (1, Amount(0), 0, Amount(0));
    let proof = BalanceProof {
        channel,
        from,
        seq,
        transferred,
        locked,
        locks_root,
        peer_seq,
        peer_transferred,
    };
    world.block(vec![LedgerEvent::ProofRecorded { proof, locks: Vec::new() }]);
    assert!(world.wallet.channel(&channel).unwrap().has_signed_more());
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// An old copy starts twice: before its channel closes, and before the hub brings what the copy does not have.
#[test]
fn a_loss_in_a_channel_that_was_closing_at_the_start_counts() {
    let mut world = World::new();
    fails(&mut world, 9);
    let copy = world.records.len();
    pays_again(&mut world);
    restore(&mut world, copy);
    let [closes, proof] = closing(&world);
    world.block(vec![closes]);
    world.restart();
    assert_eq!(world.state_of(9), Some(PaymentState::Failed(Code::PayeeOffline)));
    world.block(vec![proof]);
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// Its user asks for it again before the hub has shown that it was made.
#[test]
fn an_old_copy_that_is_asked_again_for_what_it_had_paid_does_not_know() {
    let mut world = World::new();
    fails(&mut world, 9);
    let copy = world.records.len();
    pays_again(&mut world);
    let shown = restore(&mut world, copy);
    world.feed(Input::Connected);
    world.command(pay(3, 9, 10));
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.pass(LEAP);
    world.run();
    assert_eq!(world.state_of(9), UNKNOWN);
}
