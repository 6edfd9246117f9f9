use settlement::block::SignedHeader;
use settlement::crypto::SigningKey;
use settlement::types::PublicKey;

use super::*;

const NOW_MS: u64 = 1_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes([7; 32]).unwrap()
}

fn genesis() -> Genesis {
    Genesis::development("test", key().public(), 1)
}

fn header(height: u64, parent: Hash, time_ms: u64) -> Header {
    let ledger = genesis().ledger_id();
    let height = Height(height);
    let (tx_root, tx_count, writes) = (Hash::ZERO, 0, Hash::ZERO);
    let state_root = Hash::ZERO;
    Header { ledger, height, parent, time_ms, tx_root, tx_count, writes, state_root }
}

fn block(key: &SigningKey, header: Header) -> BlockEvents {
    BlockEvents { header: SignedHeader::sign(key, header), events: Vec::new() }
}

fn check() -> HeaderCheck {
    HeaderCheck::new(&genesis(), Height(1), 1_000).unwrap()
}

#[test]
fn only_the_next_signed_block_is_taken() {
    let first = header(1, Hash(genesis().ledger_id().0), NOW_MS);
    let mut check = check();
    check.take(&block(&key(), first), NOW_MS).unwrap();
    let good = header(2, first.digest(), NOW_MS + 150);
    let stranger = SigningKey::from_bytes([8; 32]).unwrap();
    let elsewhere = LedgerId([9; 32]);
    let cases = [
        (block(&stranger, good), BadBlock::Signature),
        (block(&key(), Header { ledger: elsewhere, ..good }), BadBlock::Signature),
        (block(&key(), Header { height: Height(3), ..good }), BadBlock::Height),
        (block(&key(), first), BadBlock::Height),
        (block(&key(), Header { parent: Hash([1; 32]), ..good }), BadBlock::Parent),
        (block(&key(), Header { time_ms: NOW_MS + 149, ..good }), BadBlock::TooSoon),
        (block(&key(), Header { time_ms: NOW_MS + 1_001, ..good }), BadBlock::Future),
    ];
    for (block, expected) in cases {
        assert_eq!(check.take(&block, NOW_MS), Err(expected), "{block:?}");
        assert_eq!(check.next(), Height(2));
    }
    check.take(&block(&key(), Header { time_ms: NOW_MS + 1_000, ..good }), NOW_MS).unwrap();
    assert_eq!(check.next(), Height(3));
}

#[test]
fn the_first_block_follows_the_ledgers_id() {
    let wrong = header(1, Hash::ZERO, NOW_MS);
    assert_eq!(check().take(&block(&key(), wrong), NOW_MS), Err(BadBlock::Parent));
}

#[test]
fn a_genesis_that_is_not_the_ledgers_is_refused() {
    let genesis = genesis();
    let id = genesis.ledger_id();
    let info = |genesis: &Genesis| LedgerInfo { ledger: id, genesis: genesis.clone(), tip: None };
    assert!(check_genesis(&info(&genesis), &id).is_ok());
    let other = Genesis { salt: 2, ..genesis.clone() };
    assert_eq!(check_genesis(&info(&other), &id), Err(BadGenesis::WrongId));
    let elsewhere = LedgerInfo { ledger: LedgerId([9; 32]), ..info(&genesis) };
    assert_eq!(check_genesis(&elsewhere, &id), Err(BadGenesis::WrongId));
    let keyless = Genesis { ledger_key: PublicKey([0; 33]), ..genesis };
    let info = LedgerInfo { ledger: keyless.ledger_id(), genesis: keyless.clone(), tip: None };
    assert_eq!(check_genesis(&info, &keyless.ledger_id()), Err(BadGenesis::Key));
}
