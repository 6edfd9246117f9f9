//! Answers of a wallet with one channel, for tests.

use settlement::block::{BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::crypto::{Signable, Signed, SigningKey, chain_step};
use settlement::encoding::encode;
use settlement::lock::{Lock, locked_total, locks_root};
use settlement::params::Genesis;
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::state_proof::{ChannelLeaf, DirectionLeaf, Standing, StateProof, state_root};
use settlement::tx::{Submission, Transaction};
use settlement::types::*;

use super::answer::{Answer, CheckedAnswer};

pub(crate) const LEDGER: u8 = 9;
pub(crate) const WALLET: u8 = 1;
pub(crate) const HUB: u8 = 2;

pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    Genesis::development("test", key(LEDGER).public(), 1)
}

/// The terms of a channel; `nonce` tells channels apart.
pub(crate) fn terms(nonce: u64) -> OpenTerms {
    OpenTerms {
        ledger: genesis().ledger_id(),
        asset: AssetId(0),
        wallet: key(WALLET).public(),
        hub: key(HUB).public(),
        challenge_blocks: 50,
        nonce,
    }
}

/// A lock of one step, whose secret is its number all over, and 10 blocks more of life than that.
pub(crate) fn lock(number: u8, unit: u64) -> Lock {
    let anchor = Anchor(chain_step(&[number; 32]));
    let expiry = Height(100 + u64::from(number));
    Lock { id: number.into(), anchor, unit: Amount(unit), steps: 1, expiry }
}

/// What the wallet brings for a channel: the hub's proof of this number, with these locks, and
/// claims on those of these numbers.
pub(crate) fn submission(nonce: u64, seq: u64, locks: &[Lock], claimed: &[u8]) -> Submission {
    let proof = BalanceProof {
        channel: terms(nonce).channel_id(),
        from: Role::Hub,
        seq,
        transferred: Amount(seq * 100),
        locked: locked_total(locks).unwrap(),
        locks_root: locks_root(locks),
        peer_seq: 0,
        peer_transferred: Amount(0),
    };
    Submission {
        channel: proof.channel,
        by: Role::Wallet,
        close: false,
        proof: Some(Signed::alone(&key(HUB), proof, Salt([7; 16]))),
        locks: locks.to_vec(),
        claims: claimed.iter().map(|n| (u64::from(*n), Secret([*n; 32]))).collect(),
    }
}

pub(crate) fn signed_by(signer: u8, nonce: u64, seq: u64, body: Submission) -> Answer {
    let transaction = hex::encode(encode(&Transaction::submit(&key(signer), body)));
    Answer { channel: terms(nonce).channel_id(), terms: terms(nonce), seq, transaction }
}

pub(crate) fn answer(nonce: u64, seq: u64, locks: &[Lock], claimed: &[u8]) -> Answer {
    signed_by(WALLET, nonce, seq, submission(nonce, seq, locks, claimed))
}

pub(crate) fn checked(nonce: u64, seq: u64, locks: &[Lock], claimed: &[u8]) -> CheckedAnswer {
    CheckedAnswer::check(answer(nonce, seq, locks, claimed), &genesis().ledger_id()).unwrap()
}

/// A channel as the ledger holds it: with the hub's proof of this number, and so much claimed on it.
pub(crate) fn leaf(nonce: u64, proofs_until: Option<u64>, seq: u64, claimed: u64) -> ChannelLeaf {
    let standing = Standing { seq, digest: Hash::ZERO, transferred: Amount(seq * 100) };
    let standing = (seq > 0).then_some(standing);
    let hub = DirectionLeaf { standing, claimed: Amount(claimed), ..DirectionLeaf::default() };
    ChannelLeaf {
        index: 0,
        channel: terms(nonce).channel_id(),
        opened: Height(1),
        deposited: PerRole { wallet: Amount(1_000), hub: Amount(1_000) },
        withdrawn: PerRole::default(),
        closed_by: proofs_until.map(|_| Role::Hub),
        proofs_until: proofs_until.map(Height),
        directions: PerRole { wallet: DirectionLeaf::default(), hub },
    }
}

/// The header of this height over one channel, signed by this key.
pub(crate) fn header(signer: u8, height: u64, leaf: &ChannelLeaf) -> SignedHeader {
    let header = Header {
        ledger: genesis().ledger_id(),
        height: Height(height),
        parent: Hash::ZERO,
        time_ms: height * 1_000,
        tx_root: Hash::ZERO,
        tx_count: 0,
        writes: Hash::ZERO,
        state_root: state_root(&leaf.digest(), 1),
    };
    SignedHeader::sign(&key(signer), header)
}

pub(crate) fn proof(signer: u8, height: u64, leaf: ChannelLeaf) -> StateProof {
    StateProof { header: header(signer, height, &leaf), leaf, count: 1, siblings: Vec::new() }
}

/// The block of this height, behind those before it.
pub(crate) fn block(height: u64, events: Vec<LedgerEvent>) -> BlockEvents {
    let mut header = header(LEDGER, 0, &leaf(0, None, 0, 0)).header;
    for height in 1..=height {
        let (parent, time_ms) = (header.digest(), height * 1_000);
        header = Header { height: Height(height), parent, time_ms, ..header };
    }
    BlockEvents { header: SignedHeader::sign(&key(LEDGER), header), events }
}
