//! Chains measured ahead: the same answers, on any number of threads and within the block's room.

use std::cell::Cell;
use std::num::NonZero;

use super::super::fixture::*;
use super::*;
use crate::lock::STEPS_MAX;
use crate::params::Genesis;
use crate::tx::Transaction;
use crate::types::{ChannelId, Role};

thread_local! {
    /// Locks that were long enough for the table, and measured on the thread that applies the block.
    static LATE: Cell<u32> = const { Cell::new(0) };
}

pub(super) fn hashed_while_applying(lock: &Lock) {
    LATE.set(LATE.get() + u32::from(lock.steps >= STEPS_MIN));
}

/// A closing channel with these many locks of so many steps each, and who may claim them.
fn closing(genesis: Genesis, locks: u8, steps: u32) -> (World, ChannelId) {
    let mut w = World::with(genesis);
    let id = w.open(1_000, 0);
    let locks: Vec<Lock> = (1..=locks).map(|seed| lock(seed, 1, steps, 300)).collect();
    w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
    (w, id)
}

fn claims(w: &World, id: ChannelId, secrets: &[(u64, Secret)]) -> Transaction {
    w.submit_tx(Submission { claims: secrets.to_vec(), ..submission(id, Role::Hub) })
}

/// Claims that fit and claims that don't, one deeper than another, and a newer proof on which all
/// of them are measured again: the same blocks for any number of workers.
#[test]
fn what_comes_out_does_not_depend_on_the_number_of_workers() {
    const STEPS: u32 = 200;
    let (mut w, id) = closing(genesis(), 40, STEPS);
    let depth = |seed: u8| u32::from(seed) * 5;
    let good: Vec<_> =
        (1..=39).map(|seed| (seed.into(), secret(seed, STEPS, depth(seed)))).collect();
    w.done(claims(&w, id, &good));
    w.block(vec![
        claims(&w, id, &[(40, Secret([7; 32])), (1, secret(1, STEPS, 150))]),
        claims(&w, id, &[(40, secret(40, STEPS, STEPS))]),
    ]);
    let fewer: Vec<Lock> = (2..=40).map(|seed| lock(seed, 1, STEPS + 1, 300)).collect();
    let changed: Vec<Lock> = (0..)
        .zip(&fewer)
        .map(|(at, lock): (u32, &Lock)| match at % 2 {
            0 => *lock,
            _ => Lock { anchor: Anchor([9; 32]), ..*lock },
        })
        .collect();
    w.done(w.bring(Role::Hub, false, proof(id, Role::Wallet, 2, 0, &changed), &changed));
    assert!(w.channel(id).directions.wallet.claims.values().any(|claim| claim.steps == 0));
    for workers in [1, 2, 3, 64] {
        let mut ledger = Ledger::genesis(genesis()).unwrap();
        ledger.limit_workers(NonZero::new(workers).unwrap());
        for block in &w.blocks {
            ledger.verify_block(block).unwrap();
        }
        assert_eq!(ledger.state, w.ledger.state, "{workers} workers");
    }
}

#[test]
fn the_table_says_what_hashing_would() {
    const STEPS: u32 = 100;
    let (w, id) = closing(genesis(), 3, STEPS);
    let shown = [(1, secret(1, STEPS, 99)), (2, Secret([7; 32])), (9, Secret([1; 32]))];
    let tx = w.ledger.verify_tx(claims(&w, id, &shown)).unwrap();
    let measured = Measured::ahead(&w.ledger, &[tx], w.ledger.tip().height.after(1));
    let chain = |seed: u8, secret| (secret, lock(seed, 1, STEPS, 300).anchor, STEPS);
    let expected = [(chain(1, shown[0].1), Some(99)), (chain(2, shown[1].1), None)];
    assert_eq!(measured.0, HashMap::from(expected), "no lock has the id 9");
    // A lock that nobody measured ahead, and one that is known: the table is believed.
    assert_eq!(measured.steps(&lock(3, 1, STEPS, 300), &secret(3, STEPS, 4)), 4);
    let made_up = Measured(HashMap::from([(chain(1, shown[0].1), Some(5))]));
    assert_eq!(made_up.steps(&lock(1, 1, STEPS, 300), &shown[0].1), 5);
    let mut channel = w.channel(id).clone();
    assert!(channel.directions.wallet.claim(1, shown[0].1, &made_up));
    assert_eq!(channel.directions.wallet.claims[&1].steps, 5);
}

/// Two submissions of 2^20 steps are the streams' half of the block; a third waits, unhashed.
#[test]
fn no_more_is_hashed_ahead_than_a_block_has_room_for() {
    let (mut w, id) = closing(Genesis { block_hashes: 4 << 20, ..genesis() }, 16, 1);
    let deep = |id: u8| Lock {
        id: u64::from(id),
        anchor: Anchor([id; 32]),
        steps: STEPS_MAX,
        ..lock(1, 1, 1, 300)
    };
    let locks: Vec<Lock> = (0..16).map(deep).collect();
    w.done(w.bring(Role::Hub, false, proof(id, Role::Wallet, 2, 0, &locks), &locks));
    let claim = |salt: u8| {
        let shown: Vec<_> = (0..16).map(|id| (id, Secret([salt; 32]))).collect();
        w.ledger.verify_tx(claims(&w, id, &shown)).unwrap()
    };
    let txs = [claim(1), claim(2), claim(3)];
    let measured = Measured::ahead(&w.ledger, &txs, w.ledger.tip().height.after(1));
    let hashed: u64 = measured.0.keys().map(|(_, _, steps)| u64::from(*steps)).sum();
    assert_eq!(hashed, 2 << 20);
    assert!(!measured.0.keys().any(|(secret, ..)| *secret == Secret([3; 32])));
}

/// Claims, and a newer proof on which they are measured again: all of it was hashed before the block
/// was applied. A lock that comes in the very same block can't be.
#[test]
fn no_block_hashes_a_long_chain_while_it_is_applied() {
    const STEPS: u32 = STEPS_MIN;
    let (mut w, id) = closing(genesis(), 3, STEPS);
    let counted = || LATE.replace(0);
    counted();
    w.done(claims(&w, id, &[(1, secret(1, STEPS, 5)), (2, secret(2, STEPS, STEPS))]));
    assert_eq!(counted(), 0, "claims");
    let longer: Vec<Lock> = (1..=3).map(|seed| lock(seed, 1, STEPS, 300)).collect();
    w.done(w.bring(Role::Hub, false, proof(id, Role::Wallet, 2, 1, &longer), &longer));
    assert_eq!(counted(), 0, "what is measured again");
    assert_eq!(w.channel(id).directions.wallet.claims[&2].steps, STEPS);
    let newest = proof(id, Role::Wallet, 3, 2, &[lock(4, 1, STEPS, 300)]);
    let bring = w.bring(Role::Hub, false, newest, &[lock(4, 1, STEPS, 300)]);
    w.block(vec![bring, claims(&w, id, &[(4, secret(4, STEPS, 1))])]);
    assert!(counted() > 0, "a lock of the same block");
}
