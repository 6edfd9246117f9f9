//! What an anchor protects, whom it binds, and that no entry can spoil another.

use super::super::fixture::*;
use super::*;
use crate::block::{Block, SignedHeader};
use crate::proof::{CooperativeClose, Net};
use crate::tx::{ANCHOR_ENTRIES_MAX, AccountAction, Transaction};
use crate::types::{Amount, AssetId, ChannelId, Hash, Holder, Salt};

fn paid(id: ChannelId, seq: u64, paid: u64) -> BalanceProof {
    proof(id, Role::Wallet, seq, paid, &[])
}

fn floor_of(w: &World, id: ChannelId) -> u64 {
    w.channel(id).directions.hub.floor.0
}

/// The hub closes with nothing, and the wallet sleeps through the whole window.
#[test]
fn an_anchor_pays_a_wallet_that_sleeps() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let entries = vec![w.entry(id, Some(paid(id, 4, 20)), 30)];
    let liabilities = w.anchoring(0, vec![]).liabilities;
    let events = w.done(w.anchor_tx(0, entries));
    let hub = w.hub.public();
    assert_eq!(
        events,
        [
            LedgerEvent::ProofRecorded { proof: paid(id, 4, 20), locks: vec![] },
            LedgerEvent::Anchored { channel: id, hub_transferred: Amount(30) },
            LedgerEvent::LiabilitiesAnchored { hub, liabilities },
        ]
    );
    w.done(w.close(id, Role::Hub));
    assert_eq!(w.settle(id), (100 + 30 - 20, 50 - 30 + 20));
}

/// The wallet closes with an old proof of the hub's, and the hub is gone for good.
#[test]
fn an_anchored_proof_binds_the_wallet() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let acknowledging =
        BalanceProof { peer_seq: 9, peer_transferred: Amount(12), ..paid(id, 4, 60) };
    w.done(w.anchor_tx(0, vec![w.entry(id, Some(acknowledging), 12)]));
    let old = proof(id, Role::Hub, 8, 45, &[]);
    w.done(w.bring(Role::Wallet, true, old, &[]));
    assert_eq!(w.settle(id), (100 + 12 - 60, 50 - 12 + 60), "void, and the floor stays");
}

#[test]
fn an_anchored_total_only_rises() {
    let mut w = World::new();
    let id = w.open(100, 50);
    for (seq, transferred, expected) in [(1, 10, 10), (2, 9, 10), (3, 11, 11)] {
        w.done(w.anchor_tx(0, vec![w.entry(id, Some(paid(id, seq, seq)), transferred)]));
        assert_eq!(floor_of(&w, id), expected);
    }
    let nothing_new = w.done(w.anchor_tx(0, vec![w.entry(id, Some(paid(id, 2, 50)), 11)]));
    assert_eq!(nothing_new.len(), 1, "only what the hub owes");
    w.done(w.close(id, Role::Hub));
    assert_eq!(w.settle(id), (100 + 11 - 3, 50 - 11 + 3));
}

/// Whoever follows the blocks hears of an entry that counts, by its proof or by what the hub has paid.
#[test]
fn an_entry_that_counts_is_told_whichever_half_of_it_is_new() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let table =
        [(1, 10, Some(10)), (2, 10, Some(10)), (2, 11, Some(11)), (3, 9, Some(11)), (3, 11, None)];
    for (seq, transferred, expected) in table {
        let entry = w.entry(id, Some(paid(id, seq, seq)), transferred);
        let told = w.done(w.anchor_tx(0, vec![entry])).into_iter().find_map(|event| match event {
            LedgerEvent::Anchored { channel, hub_transferred } if channel == id => {
                Some(hub_transferred.0)
            }
            _ => None,
        });
        assert_eq!(told, expected, "{seq} {transferred}");
    }
}

/// Each entry that can't count, beside one that does.
#[test]
fn an_entry_that_is_stale_or_late_is_skipped_and_never_the_rest() {
    let mut w = World::new();
    let (good, stale, over, gone) =
        (w.open(10, 10), w.open(10, 10), w.open(10, 10), w.open(10, 10));
    w.done(w.bring(Role::Hub, false, paid(stale, 5, 3), &[]));
    let locks = [lock(1, 1, 1, 2_000)];
    w.done(w.bring(Role::Hub, true, proof(over, Role::Wallet, 1, 0, &locks), &locks));
    w.done(w.cooperative_tx(CooperativeClose {
        channel: gone,
        wallet_amount: Amount(10),
        hub_amount: Amount(10),
        wallet_net: Net::new(10).unwrap(),
        hub_net: Net::new(10).unwrap(),
        valid_until: Height(1_000),
    }));
    w.advance_to(w.height() + u64::from(WINDOW) + 1);
    let later = w.terms().channel_id();
    let never = ChannelId([9; 32]);
    let entries = vec![
        w.entry(stale, Some(paid(stale, 4, 9)), 0),
        w.entry(over, Some(paid(over, 4, 9)), 9),
        w.entry(gone, Some(paid(gone, 4, 9)), 9),
        w.entry(later, Some(paid(later, 4, 9)), 9),
        w.entry(never, None, 9),
        w.entry(good, Some(paid(good, 4, 9)), 8),
    ];
    let tx = w.anchor_tx(0, entries);
    w.done(w.open_tx(10));
    let before = [stale, over, later].map(|id| w.channel(id).clone());
    w.done(tx);
    assert_eq!([stale, over, later].map(|id| w.channel(id).clone()), before);
    assert_eq!(floor_of(&w, good), 8);
    assert_eq!(w.channel(good).directions.wallet.standing, Some(paid(good, 4, 9)));
}

#[test]
fn one_bad_signature_refuses_the_whole_anchor() {
    let mut w = World::new();
    let (good, bad) = (w.open(10, 10), w.open(10, 10));
    let mut entries = vec![w.entry(good, None, 5), w.entry(bad, Some(paid(bad, 1, 1)), 5)];
    assert_eq!(w.answer(&w.anchor_tx(0, entries.clone())), Ok(()));
    let by_the_hub = crate::crypto::Signed::alone(&w.hub, paid(bad, 1, 1), Salt([0; 16]));
    entries[1].wallet_proof = Some(by_the_hub);
    assert_eq!(w.answer(&w.anchor_tx(0, entries.clone())), Err(Code::TxBadSignature));
    for wrong in [paid(good, 1, 1), proof(bad, Role::Hub, 1, 1, &[])] {
        entries[1].wallet_proof = Some(w.sign(wrong));
        assert_eq!(w.answer(&w.anchor_tx(0, entries.clone())), Err(Code::BadAnchor));
    }
}

/// A proof whose signature nobody could check, as its channel was not there yet, never counts.
#[test]
fn what_could_not_be_checked_does_not_count() {
    let mut w = World::new();
    w.block(vec![]);
    let id = w.terms().channel_id();
    let forged = crate::crypto::Signed::alone(&w.hub, paid(id, 1, 10), Salt([0; 16]));
    let entry = AnchorEntry { wallet_proof: Some(forged), ..w.entry(id, None, 0) };
    let early = w.ledger.verify_tx(w.anchor_tx(0, vec![entry])).unwrap();
    let open = w.ledger.verify_tx(w.open_tx(10)).unwrap();
    for same_block in [true, false] {
        let (mut ledger, mut follower) = (w.ledger.clone(), w.ledger.clone());
        let blocks = if same_block {
            vec![vec![open.clone(), early.clone()]]
        } else {
            vec![vec![open.clone()], vec![early.clone()]]
        };
        for txs in blocks {
            let time = ledger.tip().time_ms + 1_000;
            let applied = ledger.apply(txs, time).unwrap();
            assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
            let header = SignedHeader::sign(&ledger_key(), applied.header);
            let block = Block { header, transactions: applied.transactions };
            assert_eq!(follower.verify_block(&block).unwrap().events, applied.events);
        }
        assert_eq!(ledger.channel(&id).unwrap().directions.wallet.standing, None);
    }
}

#[test]
fn an_anchor_is_as_of_a_block_that_is_there() {
    let mut w = World::new();
    let id = w.open(10, 10);
    w.advance_to(9);
    for (as_of, expected) in [(8, Ok(())), (9, Ok(())), (10, Err(Code::BadAnchor))] {
        let mut anchor = w.anchoring(0, vec![w.entry(id, None, 1)]);
        anchor.liabilities.as_of = Height(as_of);
        let tx = w.account_tx(Role::Hub, AccountAction::Anchor(anchor));
        assert_eq!(w.answer(&tx), expected, "{as_of}");
    }
}

/// Opened at 10, anchored as of 9, 10 and 11.
#[test]
fn an_anchor_speaks_of_channels_opened_up_to_its_height() {
    for (as_of, counts) in [(9, false), (10, true), (11, true)] {
        let mut w = World::new();
        w.advance_to(9);
        let id = w.open(10, 10);
        w.advance_to(12);
        let mut anchor = w.anchoring(0, vec![w.entry(id, None, 5)]);
        anchor.liabilities.as_of = Height(as_of);
        w.done(w.account_tx(Role::Hub, AccountAction::Anchor(anchor)));
        assert_eq!(floor_of(&w, id), if counts { 5 } else { 0 }, "{as_of}");
    }
}

#[test]
fn entries_count_up_to_and_with_the_end_of_the_window() {
    for (late_by, counts) in [(-1, true), (0, true), (1, false)] {
        let mut w = World::new();
        let id = w.open(100, 50);
        let locks = [lock(1, 5, 1, 500)];
        w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
        let carried_in = w.height() as i64 + i64::from(WINDOW) + late_by;
        w.advance_to(carried_in as u64 - 1);
        w.done(w.anchor_tx(0, vec![w.entry(id, Some(paid(id, 2, 60)), 7)]));
        let seq = w.channel(id).directions.wallet.standing.map(|proof| proof.seq);
        let expected = if counts { (7, Some(2)) } else { (0, Some(1)) };
        assert_eq!((floor_of(&w, id), seq), expected, "{late_by}");
    }
}

#[test]
fn an_anchor_is_bounded_and_names_each_channel_once() {
    let w = World::new();
    let entries = |count: usize| -> Vec<AnchorEntry> {
        let id = |at: usize| ChannelId([(at % 256) as u8; 32].map(|b| b ^ (at / 256) as u8));
        (0..count).map(|at| w.entry(id(at), None, 1)).collect()
    };
    let distinct = |count| {
        let mut entries = entries(count);
        for (at, entry) in entries.iter_mut().enumerate() {
            entry.channel.0[..8].copy_from_slice(&(at as u64).to_be_bytes());
        }
        entries
    };
    assert_eq!(w.answer(&w.anchor_tx(0, distinct(ANCHOR_ENTRIES_MAX))), Ok(()));
    let more = w.anchor_tx(0, distinct(ANCHOR_ENTRIES_MAX + 1));
    assert_eq!(w.answer(&more), Err(Code::MalformedTransaction));
    let twice = w.anchor_tx(0, [entries(1), entries(1)].concat());
    assert_eq!(w.answer(&twice), Err(Code::MalformedTransaction));
    let mut other_asset = w.anchoring(0, vec![]);
    other_asset.liabilities.asset = AssetId(9);
    let tx = w.account_tx(Role::Hub, AccountAction::Anchor(other_asset));
    assert_eq!(w.answer(&tx), Err(Code::UnknownAsset));
}

/// Epochs 1 to 3 after a lease of 2.
#[test]
fn a_lease_raises_the_epoch_and_stale_anchors_are_refused() {
    let mut w = World::new();
    let id = w.open(10, 10);
    let events = w.done(w.lease_tx(2));
    let (hub, holder) = (w.hub.public(), Holder([2; 16]));
    assert_eq!(events, [LedgerEvent::Leased { hub, epoch: 2, holder }]);
    assert_eq!(w.ledger.account(&hub).lease, Some(Lease { epoch: 2, holder }));
    for (epoch, anchors, leases) in [(1, false, false), (2, true, false), (3, false, true)] {
        let answer = |right| if right { Ok(()) } else { Err(Code::StaleEpoch) };
        let anchor = w.anchor_tx(epoch, vec![w.entry(id, None, 1)]);
        assert_eq!(w.answer(&anchor), answer(anchors), "{epoch}");
        assert_eq!(w.answer(&w.lease_tx(epoch)), answer(leases), "{epoch}");
    }
}

/// It waited for a block while another process took over: refused there, and nothing is anchored.
#[test]
fn an_anchor_that_a_lease_overtook_is_refused_in_its_block() {
    let mut w = World::new();
    let id = w.open(10, 10);
    let lease = w.lease_tx(1);
    let Transaction::Account { mut body, .. } = w.anchor_tx(0, vec![w.entry(id, None, 5)]) else {
        unreachable!()
    };
    body.nonce += 1;
    let anchor = Transaction::account(&w.hub, body);
    let outcomes = w.block(vec![lease, anchor]).outcomes;
    assert_eq!((outcomes[0].1, outcomes[1].1), (Ok(()), Err(Code::StaleEpoch)));
    assert_eq!(floor_of(&w, id), 0);
}

/// What stands unopened after an anchor can still be opened and claimed on.
#[test]
fn locks_of_an_anchored_proof_may_be_opened_later() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let locks = [lock(1, 5, 1, 500)];
    let newest = proof(id, Role::Wallet, 1, 30, &locks);
    w.done(w.anchor_tx(0, vec![w.entry(id, Some(newest), 0)]));
    w.done(w.bring(Role::Hub, true, newest, &locks));
    w.done(w.claim(id, Role::Hub, &[(1, secret(1, 1, 1))]));
    assert_eq!(w.settle(id), (65, 85));
    assert_ne!(newest.locks_root, Hash::ZERO);
}
