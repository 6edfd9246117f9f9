//! Blocks: what a follower refuses, what fits into one, and what a digest covers.

use super::super::fixture::*;
use super::super::known_keys::KnownKeys;
use super::*;
use crate::block::SignedHeader;
use crate::crypto::SigningKey;
use crate::params::Genesis;
use crate::proof::Net;
use crate::tx::Submission;
use crate::types::{Amount, Role, Secret};

fn signed(header: Header, transactions: Vec<Transaction>, key: &SigningKey) -> Block {
    Block { header: SignedHeader::sign(key, header), transactions }
}

/// A good second block, changed in one place each, signed by the ledger's key unless said.
#[test]
fn a_follower_refuses_what_does_not_follow() {
    let mut w = World::new();
    w.block(vec![]);
    let follower = w.ledger.clone();
    let tx = w.transfer(Role::Wallet, w.hub.public(), 1);
    let applied = w.block(vec![tx.clone()]);
    let (good, txs) = (applied.header, vec![tx.clone()]);
    let unsigned = match tx.clone() {
        Transaction::Account { body, .. } => {
            Transaction::Account { body, signature: crate::types::Signature([1; 64]) }
        }
        other => other,
    };
    let over_unsigned = Header { tx_root: Hash(unsigned.id().0), ..good };
    let of = |header: Header| signed(header, txs.clone(), &ledger_key());
    let table = [
        (of(Header { ledger: crate::types::LedgerId([1; 32]), ..good }), BlockError::WrongLedger),
        (
            of(Header { height: Height(3), ..good }),
            BlockError::Height { tip: Height(1), found: Height(3) },
        ),
        (of(Header { parent: Hash([1; 32]), ..good }), BlockError::Parent),
        (of(Header { time_ms: 1_149, ..good }), BlockError::TooEarly),
        (signed(good, txs.clone(), &key(1)), BlockError::Signature),
        (signed(good, vec![], &ledger_key()), BlockError::Transactions),
        (of(Header { tx_count: 2, ..good }), BlockError::Transactions),
        (
            signed(over_unsigned, vec![unsigned], &ledger_key()),
            BlockError::InvalidTransaction(Code::TxBadSignature),
        ),
        (of(Header { writes: Hash([1; 32]), ..good }), BlockError::Diverged),
        (of(Header { state_root: Hash([1; 32]), ..good }), BlockError::Diverged),
    ];
    for (block, error) in table {
        assert_eq!(follower.clone().verify_block(&block), Err(error));
    }
    let taken = follower.clone().verify_block(&of(good));
    assert_eq!(taken.map(|applied| applied.header), Ok(good));
}

#[test]
fn a_block_comes_the_least_interval_after_the_one_before() {
    let mut w = World::new();
    w.block(vec![]);
    let (time, least) = (w.ledger.tip().time_ms, genesis().least_interval_ms);
    for (later, fits) in [(least - 1, false), (least, true), (least + 1, true)] {
        assert_eq!(w.ledger.clone().apply([], time + later).is_ok(), fits, "{later}");
    }
}

#[test]
fn what_does_not_fit_into_the_bytes_waits() {
    let w = World::new();
    let tx = w.ledger.verify_tx(w.transfer(Role::Wallet, w.hub.public(), 1)).unwrap();
    let per_block = genesis().block_bytes as usize / tx.bytes();
    let mut ledger = w.ledger.clone();
    let applied = ledger.apply(vec![tx; per_block + 2], 1_000).unwrap();
    assert_eq!((applied.transactions.len(), applied.left_over.len()), (per_block, 2));
}

/// The declared cost counts, whether or not the secrets fit.
#[test]
fn what_does_not_fit_into_the_hashes_waits_and_a_block_over_them_is_refused() {
    let mut w = World::with(Genesis { block_hashes: 4 << 20, ..genesis() });
    let id = w.open(100, 0);
    let deep = |id| crate::lock::Lock {
        id,
        unit: Amount(1),
        steps: crate::lock::STEPS_MAX,
        ..lock(1, 1, 1, 300)
    };
    let locks: Vec<_> = (0..16).map(deep).collect();
    w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
    let claim = |salt: u8| {
        let claims = (0..16).map(|id| (id, Secret([salt; 32]))).collect();
        let body = Submission { claims, ..submission(id, Role::Hub) };
        w.ledger.verify_tx(w.submit_tx(body)).unwrap()
    };
    let claims = [claim(1), claim(2), claim(3)];
    let mut ledger = w.ledger.clone();
    let time = ledger.tip().time_ms + 1_000;
    let applied = ledger.apply(claims.clone(), time).unwrap();
    assert_eq!((applied.transactions.len(), applied.left_over.len()), (2, 1));

    let transactions: Vec<_> = claims.into_iter().map(VerifiedTx::into_tx).collect();
    let ids: Vec<_> = transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    let header = Header { tx_root: merkle_root(&ids), tx_count: 3, ..applied.header };
    let block = signed(header, transactions, &ledger_key());
    assert_eq!(w.ledger.clone().verify_block(&block), Err(BlockError::OverBudget));
}

/// A channel opened and closed within one block, by a producer that takes such: a follower finds
/// the keys in the block itself.
#[test]
fn a_follower_checks_signatures_on_channels_of_the_same_block() {
    let w = World::new();
    let (id, open) = (w.terms().channel_id(), w.open_tx(10));
    let close = w.close(id, Role::Hub);
    let terms = w.terms();
    let lookup = |asked: &ChannelId| (*asked == id).then_some((terms, Height(1)));
    let keys = Keys {
        ledger: w.ledger.id(),
        ledger_key: w.ledger.key(),
        development: true,
        free: true,
        tip: Height(0),
        terms: &lookup,
        in_block: false,
        wallet_keys: &KnownKeys::default(),
        workers: w.ledger.workers,
    };
    let verify = |tx: Transaction| VerifiedTx::verify(tx, &keys).unwrap();
    let applied = w.ledger.clone().apply([verify(open), verify(close)], 1_000).unwrap();
    assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    let block = signed(applied.header, applied.transactions.clone(), &ledger_key());
    let followed = w.ledger.clone().verify_block(&block).unwrap();
    assert_eq!(followed.events, applied.events);

    let mut forged = block;
    if let Transaction::Submit { signature, .. } = &mut forged.transactions[1] {
        *signature = crate::types::Signature([1; 64]);
    }
    let ids: Vec<_> = forged.transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    forged.header.header.tx_root = merkle_root(&ids);
    let forged = signed(forged.header.header, forged.transactions, &ledger_key());
    let refused = w.ledger.clone().verify_block(&forged);
    assert_eq!(refused, Err(BlockError::InvalidTransaction(Code::TxBadSignature)));
}

/// It waited for a block while its channel was paid out: refused, and a follower agrees.
#[test]
fn a_transaction_on_a_channel_that_is_gone_is_refused_in_the_block() {
    let mut w = World::new();
    let id = w.open(0, 0);
    let waiting = w.ledger.verify_tx(w.close(id, Role::Hub)).unwrap();
    let gone = crate::proof::CooperativeClose {
        channel: id,
        wallet_amount: Amount(0),
        hub_amount: Amount(0),
        wallet_net: Net::new(0).unwrap(),
        hub_net: Net::new(0).unwrap(),
        valid_until: Height(100),
    };
    w.done(w.cooperative_tx(gone));
    let mut ledger = w.ledger.clone();
    let time = ledger.tip().time_ms + 1_000;
    let applied = ledger.apply([waiting], time).unwrap();
    assert_eq!(applied.outcomes[0].1, Err(Code::NoSuchChannel));
    let block = signed(applied.header, applied.transactions.clone(), &ledger_key());
    let followed = w.ledger.clone().verify_block(&block).unwrap();
    assert_eq!(followed.events, applied.events);
}

/// Two histories that end in the same state still have different digests.
#[test]
fn the_digest_covers_every_write() {
    let mut a = World::new();
    let mut b = World::new();
    a.block(vec![]);
    b.block(vec![]);
    assert_eq!(a.ledger.tip().writes, b.ledger.tip().writes);
    let id = a.open(10, 0);
    b.block(vec![b.open_tx(10)]);
    assert_eq!(a.ledger.tip().writes, b.ledger.tip().writes);
    a.block(vec![a.deposit_tx(id, Role::Wallet, 1)]);
    b.block(vec![b.deposit_tx(id, Role::Wallet, 2)]);
    assert_ne!(a.ledger.tip().writes, b.ledger.tip().writes);
}

#[test]
#[should_panic(expected = "would make or lose money")]
fn a_block_that_would_make_money_is_never_signed() {
    let mut w = World::new();
    w.ledger.state.credit(key(5).public(), EUR, Amount(1));
    let _ = w.ledger.apply([], 1_000);
}

/// Half of a block's hashes are for single payments, whatever claims on streams wait before them.
#[test]
fn streams_take_at_most_half_of_the_hashes() {
    let mut w = World::with(Genesis { block_hashes: 4 << 20, ..genesis() });
    let (streams, single) = (w.open(100, 0), w.open(100, 0));
    let deep = |id| crate::lock::Lock {
        id,
        unit: Amount(1),
        steps: crate::lock::STEPS_MAX,
        ..lock(1, 1, 1, 300)
    };
    let locks: Vec<_> = (0..16).map(deep).collect();
    w.done(w.bring(Role::Hub, true, proof(streams, Role::Wallet, 1, 0, &locks), &locks));
    let one = [lock(7, 1, 1, 300)];
    w.done(w.bring(Role::Hub, true, proof(single, Role::Wallet, 1, 0, &one), &one));
    let claim = |salt: u8| {
        let claims = (0..16).map(|id| (id, Secret([salt; 32]))).collect();
        w.submit_tx(Submission { claims, ..submission(streams, Role::Hub) })
    };
    let payment = w.claim(single, Role::Hub, &[(7, secret(7, 1, 1))]);
    let txs = [claim(1), claim(2), claim(3), payment.clone()];
    let txs = txs.map(|tx| w.ledger.verify_tx(tx).unwrap());
    let mut ledger = w.ledger.clone();
    let time = ledger.tip().time_ms + 1_000;
    let applied = ledger.apply(txs, time).unwrap();
    assert_eq!((applied.transactions.len(), applied.left_over.len()), (3, 1));
    assert_eq!(applied.outcomes[2], (payment.id(), Ok(())));
}

/// One too many for the block, and what the same account sent after it keeps its nonce.
#[test]
fn what_follows_something_left_over_waits_with_it() {
    let w = World::with(Genesis { block_bytes: 256 << 10, ..genesis() });
    let at = |nonce: u64, size: usize| {
        let Transaction::Account { mut body, .. } = w.transfer(Role::Wallet, key(5).public(), 1)
        else {
            unreachable!()
        };
        body.nonce = nonce;
        if size > 0 {
            let entry = |at: usize| {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&(at as u64).to_be_bytes());
                w.entry(ChannelId(id), None, 1)
            };
            let entries = (0..size).map(entry).collect();
            body.action = AccountAction::Anchor(w.anchoring(0, entries));
        }
        w.ledger.verify_tx(Transaction::account(&w.wallet, body)).unwrap()
    };
    let per_block = (256 << 10) / at(0, 256).bytes();
    let mut txs: Vec<VerifiedTx> = (0..=per_block as u64).map(|nonce| at(nonce, 256)).collect();
    txs.push(at(per_block as u64 + 1, 0));
    let applied = w.ledger.clone().apply(txs, 1_000).unwrap();
    assert_eq!((applied.transactions.len(), applied.left_over.len()), (per_block, 2));
    assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
}
