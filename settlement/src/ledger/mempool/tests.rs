//! What waits, in which order, and what is answered when it comes again.

use super::super::fixture::*;
use super::*;
use crate::types::{ChannelId, Role};

fn numbered(w: &World, nonce: u64, amount: u64) -> Transaction {
    let Transaction::Account { mut body, .. } = w.transfer(Role::Wallet, w.hub.public(), amount)
    else {
        unreachable!()
    };
    body.nonce = nonce;
    Transaction::account(&w.wallet, body)
}

/// What a producer does, without its files.
fn make_block(w: &mut World, pool: &mut Mempool, bytes: usize) -> Vec<Result<(), Code>> {
    let taken = pool.take(bytes);
    let time = w.ledger.tip().time_ms + 1_000;
    let applied = w.ledger.apply(taken, time).unwrap();
    pool.done(&applied.transactions, &applied.outcomes, applied.left_over);
    applied.outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn nonces_follow_what_waits() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let submit = |pool: &mut Mempool, w: &World, nonce| {
        pool.submit(&w.ledger, numbered(w, nonce, 1)).map(|_| ())
    };
    assert_eq!(submit(&mut pool, &w, 1), Err(Code::BadNonce));
    assert_eq!(submit(&mut pool, &w, 0), Ok(()));
    assert_eq!(submit(&mut pool, &w, 1), Ok(()));
    assert_eq!(submit(&mut pool, &w, 3), Err(Code::BadNonce));
    assert_eq!((pool.len(), pool.spending(&w.wallet.public())), (2, 2));
    assert_eq!(make_block(&mut w, &mut pool, 1 << 20), [Ok(()), Ok(())]);
    assert_eq!(pool.spending(&w.wallet.public()), 0);
    assert_eq!(submit(&mut pool, &w, 2), Ok(()));
}

#[test]
fn the_same_transaction_again_repeats_its_answer() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let tx = numbered(&w, 0, 1);
    let id = pool.submit(&w.ledger, tx.clone()).unwrap();
    assert_eq!(pool.submit(&w.ledger, tx.clone()), Ok(id));
    assert_eq!(pool.len(), 1);
    make_block(&mut w, &mut pool, 1 << 20);
    assert_eq!(pool.submit(&w.ledger, tx), Ok(id));
    assert_eq!(pool.len(), 0);
    // Not the same bytes, so not the same transaction.
    assert_eq!(pool.submit(&w.ledger, numbered(&w, 0, 2)), Err(Code::BadNonce));
}

/// Two transfers of all there is: the second is refused in the block, and may come again later.
#[test]
fn what_a_block_refused_may_come_again() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    pool.submit(&w.ledger, numbered(&w, 0, 1_000)).unwrap();
    let second = numbered(&w, 1, 1_000);
    pool.submit(&w.ledger, second.clone()).unwrap();
    let outcomes = make_block(&mut w, &mut pool, 1 << 20);
    assert_eq!(outcomes, [Ok(()), Err(Code::InsufficientFunds)]);
    assert_eq!(pool.submit(&w.ledger, second.clone()), Err(Code::InsufficientFunds));
    w.ledger.state.issue(EUR, crate::types::Amount(1_000));
    w.ledger.state.credit(w.wallet.public(), EUR, crate::types::Amount(1_000));
    assert!(pool.submit(&w.ledger, second).is_ok());
}

#[test]
fn what_does_not_fit_keeps_its_place() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    for nonce in 0..3 {
        pool.submit(&w.ledger, numbered(&w, nonce, 1)).unwrap();
    }
    let one = w.ledger.verify_tx(numbered(&w, 0, 1)).unwrap().bytes();
    assert_eq!(make_block(&mut w, &mut pool, 2 * one), [Ok(()), Ok(())]);
    assert_eq!(pool.len(), 1);
    assert_eq!(make_block(&mut w, &mut pool, 2 * one), [Ok(())]);
    assert!(pool.is_empty());
}

#[test]
fn leftovers_of_a_block_go_back_in_order() {
    let (w, mut pool) = (World::new(), Mempool::default());
    for nonce in 0..3 {
        pool.submit(&w.ledger, numbered(&w, nonce, 1)).unwrap();
    }
    let taken = pool.take(1 << 20);
    let ids: Vec<TxId> = taken.iter().map(VerifiedTx::id).collect();
    pool.done(&[], &[], taken);
    let again: Vec<TxId> = pool.take(1 << 20).iter().map(VerifiedTx::id).collect();
    assert_eq!(ids, again);
}

#[test]
fn a_settle_that_came_too_early_is_taken_when_it_is_due() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let channel: ChannelId = w.open(10, 0);
    let settle = Transaction::Settle { channel };
    assert_eq!(pool.submit(&w.ledger, settle.clone()), Err(Code::NotDue));
    w.done(w.close(channel, Role::Hub));
    w.advance_to(w.height() + u64::from(WINDOW));
    assert!(pool.submit(&w.ledger, settle).is_ok());
}
