//! Who pays, for what, and when nothing is paid.

use super::super::fixture::*;
use super::*;
use crate::block::LedgerEvent;
use crate::params::{Fees, Genesis};
use crate::proof::BalanceProof;
use crate::tx::{AccountAction, ChannelTx, Submission};
use crate::types::{ChannelId, Role, Secret};

const FEES: Fees =
    Fees { asset: EUR, flat: Amount(2), per_kilobyte: Amount(3), per_kilohash: Amount(5) };

fn costly() -> Genesis {
    Genesis { fees: FEES, development: false, challenge_blocks_min: 140, ..genesis() }
}

/// A world with fees, and a channel of 100 and 50 in it.
fn world() -> (World, ChannelId) {
    let mut w = World::with(costly());
    let mut terms = w.terms();
    terms.challenge_blocks = 200;
    let deposit = Amount(100);
    w.done(w.account_tx(Role::Wallet, AccountAction::Open { terms, deposit }));
    w.done(w.deposit_tx(terms.channel_id(), Role::Hub, 50));
    (w, terms.channel_id())
}

fn carry(w: &World, by: Role, tx: Transaction) -> Transaction {
    w.account_tx(by, AccountAction::carry(tx).unwrap())
}

fn small() -> u64 {
    FEES.of(1, 0).0
}

#[test]
fn the_account_that_acts_pays_and_the_ledger_gets_it() {
    let (mut w, _) = world();
    assert_eq!(w.balance(Role::Wallet), 1_000 - 100 - small());
    assert_eq!(w.balance(Role::Hub), 1_000 - 50 - small());
    w.done(w.transfer(Role::Wallet, w.hub.public(), 300));
    assert_eq!(w.balance(Role::Wallet), 600 - 2 * small());
    let ledger = w.ledger.account(&ledger_key().public());
    assert_eq!(ledger.balance(EUR), Amount(3 * small()));
}

/// What is left after a transfer has to cover its fee: one less, just, one more.
#[test]
fn the_fee_is_counted_with_what_is_spent() {
    let (w, _) = world();
    let most = w.balance(Role::Hub) - small();
    for (amount, taken) in [(most - 1, true), (most, true), (most + 1, false)] {
        let expected = if taken { Ok(()) } else { Err(Code::InsufficientFunds) };
        assert_eq!(w.answer(&w.transfer(Role::Hub, key(5).public(), amount)), expected);
    }
    let mut other_asset = w;
    let all = AccountAction::Transfer {
        to: key(5).public(),
        asset: EUR,
        amount: Amount(other_asset.balance(Role::Hub) - small()),
    };
    other_asset.done(other_asset.account_tx(Role::Hub, all));
    let dollars =
        AccountAction::Transfer { to: key(5).public(), asset: AssetId(1), amount: Amount(1) };
    let tx = other_asset.account_tx(Role::Hub, dollars);
    assert_eq!(other_asset.answer(&tx), Err(Code::InsufficientFunds), "nothing left for the fee");
}

#[test]
fn a_channels_transaction_comes_in_the_envelope_of_whoever_carries_it() {
    let (mut w, id) = world();
    let close = w.close(id, Role::Wallet);
    assert_eq!(w.answer(&close), Err(Code::EnvelopeNeeded));
    let before = w.balance(Role::Hub);
    // The hub carries what the wallet has signed.
    let events = w.done(carry(&w, Role::Hub, close));
    assert!(matches!(events[0], LedgerEvent::CloseStarted { by: Role::Wallet, .. }));
    assert_eq!(w.balance(Role::Hub), before - small());
}

#[test]
fn an_envelope_is_signed_by_the_account_and_what_it_carries_by_its_own() {
    let (w, id) = world();
    let forged = Submission { close: true, ..submission(id, Role::Wallet) };
    let by_the_hub = Transaction::submit(&w.hub, forged);
    let tx = carry(&w, Role::Hub, by_the_hub);
    assert_eq!(w.answer(&tx), Err(Code::TxBadSignature));
    let Transaction::Account { body, .. } = carry(&w, Role::Hub, w.close(id, Role::Hub)) else {
        unreachable!()
    };
    assert_eq!(w.answer(&Transaction::account(&w.wallet, body)), Err(Code::TxBadSignature));
    assert_eq!(ChannelTx::of(w.transfer(Role::Hub, key(5).public(), 1)), None);
}

/// Refused without a fee: seen to change nothing, without hashing.
#[test]
fn what_is_seen_to_change_nothing_costs_nothing() {
    let (mut w, id) = world();
    w.done(carry(&w, Role::Hub, w.close(id, Role::Hub)));
    let before = w.ledger.account(&w.hub.public());
    let again = carry(&w, Role::Hub, w.close(id, Role::Hub));
    assert_eq!(w.answer(&again), Err(Code::ChangesNothing));
    let outcome = w.block(vec![again]).outcomes[0].1;
    assert_eq!(outcome, Err(Code::ChangesNothing));
    assert_eq!(w.ledger.account(&w.hub.public()), before, "neither fee nor nonce");
}

/// A secret that does not fit is found out by hashing alone: that is paid for, and a part that
/// fails refuses no other.
#[test]
fn declared_hashes_are_paid_for_first_whatever_comes_of_them() {
    let (mut w, id) = world();
    let locks = [lock(1, 1, 3_500, 2_000)];
    let standing: BalanceProof = proof(id, Role::Wallet, 1, 10, &locks[..0]);
    let newest = BalanceProof { seq: 2, ..proof(id, Role::Wallet, 2, 10, &locks) };
    w.done(carry(&w, Role::Hub, w.bring(Role::Hub, true, standing, &[])));
    w.done(carry(&w, Role::Hub, w.bring(Role::Hub, false, newest, &locks)));
    let before = w.ledger.account(&w.hub.public());
    let wrong = carry(&w, Role::Hub, w.claim(id, Role::Hub, &[(1, Secret([9; 32]))]));
    let cost = FEES.of(1, 3_500);
    assert_eq!(cost.0, small() + 4 * 5);
    let poor = carry(&w, Role::Hub, w.claim(id, Role::Hub, &[(1, Secret([8; 32]))]));
    let applied = w.block(vec![wrong.clone()]);
    let refused = LedgerEvent::Refused { tx: wrong.id(), code: Code::ChangesNothing };
    assert!(applied.events.contains(&refused));
    let after = w.ledger.account(&w.hub.public());
    assert_eq!(after.balance(EUR).0, before.balance(EUR).0 - cost.0);
    assert_eq!(after.nonce, before.nonce + 1, "the very same envelope never pays twice");
    assert_eq!(w.answer(&poor), Err(Code::BadNonce));
}

/// The hashes are part of the fee that has to be there, not only what the bytes cost.
#[test]
fn hashes_that_can_not_be_paid_for_are_not_made() {
    let (mut w, id) = world();
    let locks = [lock(1, 1, 3_500, 2_000)];
    let newest = proof(id, Role::Wallet, 2, 10, &locks);
    w.done(carry(&w, Role::Hub, w.bring(Role::Hub, true, newest, &locks)));
    let cost = FEES.of(1, 3_500).0;
    let spare = w.balance(Role::Hub) - small() - (cost - 1);
    w.done(w.transfer(Role::Hub, key(5).public(), spare));
    assert_eq!(w.balance(Role::Hub), cost - 1);
    let claim =
        |w: &World| carry(w, Role::Hub, w.claim(id, Role::Hub, &[(1, secret(1, 3_500, 9))]));
    assert_eq!(w.answer(&claim(&w)), Err(Code::InsufficientFunds));
    w.done(w.transfer(Role::Wallet, w.hub.public(), 1));
    w.done(claim(&w));
    assert_eq!(w.balance(Role::Hub), 0);
}

/// Where nothing costs anything both ways are taken.
#[test]
fn a_free_ledger_takes_transactions_with_and_without_an_envelope() {
    for wrapped in [true, false] {
        let mut w = World::new();
        let id = w.open(10, 10);
        let bare = w.close(id, Role::Hub);
        let tx = if wrapped { carry(&w, Role::Wallet, bare) } else { bare };
        w.done(tx);
        assert!(w.channel(id).closing.is_some());
        assert_eq!(w.balance(Role::Wallet), 990);
    }
}
