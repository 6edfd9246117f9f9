//! State proofs from a real ledger, and everything that is changed in one.

use super::super::fixture::*;
use crate::crypto::VerifyingKey;
use crate::state_proof::{BadStateProof, StateProof};
use crate::types::{Amount, ChannelId, Hash, LedgerId, Role};

fn proof_of(w: &World, id: ChannelId) -> StateProof {
    let header = w.blocks.last().unwrap().header;
    w.ledger.state_proof(&id, &header).unwrap()
}

fn verify(w: &World, proof: &StateProof, id: ChannelId) -> Result<(), BadStateProof> {
    let key = VerifyingKey::parse(&ledger_key().public()).unwrap();
    proof.verify(&w.ledger.id(), &key, &id).map(|_| ())
}

#[test]
fn every_channel_is_under_every_header_until_it_is_paid_out() {
    let mut w = World::new();
    let mut open: Vec<ChannelId> = vec![];
    for round in 0..12 {
        open.push(w.open(10, 0));
        if round % 3 == 2 {
            let leaving = open.remove(round / 4);
            w.done(w.close(leaving, Role::Hub));
            assert_eq!(verify(&w, &proof_of(&w, leaving), leaving), Ok(()));
            w.settle(leaving);
            let header = w.blocks.last().unwrap().header;
            assert_eq!(w.ledger.state_proof(&leaving, &header), None);
        }
        for id in &open {
            assert_eq!(verify(&w, &proof_of(&w, *id), *id), Ok(()), "round {round}");
        }
    }
}

/// What a wallet reads from it: up to where it is protected.
#[test]
fn a_proof_shows_floors_and_what_each_side_would_get() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let newest = proof(id, Role::Wallet, 4, 20, &[]);
    w.done(w.anchor_tx(0, vec![w.entry(id, Some(newest), 30)]));
    let shown = proof_of(&w, id);
    assert_eq!(verify(&w, &shown, id), Ok(()));
    let standing = shown.leaf.directions.wallet.standing.unwrap();
    assert_eq!((standing.seq, standing.transferred), (4, Amount(20)));
    assert_eq!(shown.leaf.directions.hub.floor, Amount(30));
    let expected = shown.leaf.payout();
    w.done(w.close(id, Role::Hub));
    assert_eq!(w.settle(id), (expected.wallet.0, expected.hub.0));
}

#[test]
fn a_proof_that_is_changed_in_anything_shows_nothing() {
    let mut w = World::new();
    let ids: Vec<ChannelId> = (0..5).map(|_| w.open(10, 5)).collect();
    let id = ids[2];
    let good = proof_of(&w, id);
    let path = Err(BadStateProof::Path);
    let changed = |change: &dyn Fn(&mut StateProof)| {
        let mut proof = good.clone();
        change(&mut proof);
        verify(&w, &proof, id)
    };
    assert_eq!(changed(&|_| {}), Ok(()));
    assert_eq!(changed(&|p| p.leaf.directions.hub.floor = Amount(1)), path);
    assert_eq!(changed(&|p| p.leaf.deposited.wallet = Amount(11)), path);
    assert_eq!(changed(&|p| p.leaf.index = 3), path);
    assert_eq!(changed(&|p| p.leaf.index = 5), path);
    assert_eq!(changed(&|p| p.count = 6), path);
    assert_eq!(changed(&|p| p.siblings[0] = Hash([1; 32])), path);
    assert_eq!(changed(&|p| p.siblings.truncate(2)), path);
    assert_eq!(changed(&|p| p.siblings.push(Hash::ZERO)), path);
    assert_eq!(
        changed(&|p| p.header.header.state_root = Hash([1; 32])),
        Err(BadStateProof::Signature)
    );
    assert_eq!(changed(&|p| p.header = w.blocks[0].header), path, "an older block's");
    assert_eq!(verify(&w, &good, ids[1]), Err(BadStateProof::WrongChannel));
    let key = VerifyingKey::parse(&ledger_key().public()).unwrap();
    let elsewhere = good.verify(&LedgerId([1; 32]), &key, &id);
    assert_eq!(elsewhere, Err(BadStateProof::WrongLedger));
    let other_key = VerifyingKey::parse(&w.hub.public()).unwrap();
    assert_eq!(good.verify(&w.ledger.id(), &other_key, &id), Err(BadStateProof::Signature));
}
