//! What had failed when the process started, and was asked for again: what a loss says of it that is found
//! while a channel closes.

use settlement::block::LedgerEvent;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::types::{Amount, Hash, Role};

use super::super::*;
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
