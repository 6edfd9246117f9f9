//! Records that are not what they should be.

use super::super::audit::audit;
use super::super::fixture::*;
use super::history::Page;
use super::*;
use crate::crypto::merkle_root;
use crate::index::{MemoryIndex, Shelf};
use crate::journal::{Disk, MemoryJournal};
use crate::tx::Transaction;
use crate::types::{Hash, Role, Signature};

/// Opens a store on a journal with these records.
fn opened(records: &[Vec<u8>]) -> Result<(Ledger, Store), StoreError> {
    let disk = Disk::new();
    let mut journal = MemoryJournal::open(&disk).unwrap();
    for record in records {
        journal.append(record).unwrap();
    }
    journal.sync().unwrap();
    let index = MemoryIndex::open(&Shelf::new());
    let config = StoreConfig::default();
    Store::open(genesis(), Box::new(journal), Box::new(index), config)
}

fn record(version: u16, block: &Block, events: &[LedgerEvent]) -> Vec<u8> {
    encode(&Record { version, block: block.clone(), events: events.to_vec() })
}

#[test]
fn a_start_checks_every_block_and_its_events() {
    let mut w = World::new();
    let events = w.done(w.transfer(Role::Wallet, w.hub.public(), 1));
    let block = &w.blocks[0];
    let good = record(RECORD_VERSION, block, &events);
    assert!(opened(std::slice::from_ref(&good)).is_ok());
    let mut forged = block.clone();
    forged.header.header.time_ms += 1;
    let long = [good.clone(), vec![0]].concat();
    let table = [
        ("another block's events", record(RECORD_VERSION, block, &[]), "other events"),
        ("a changed header", record(RECORD_VERSION, &forged, &events), "signed"),
        ("a newer record", record(RECORD_VERSION + 1, block, &events), "version 2"),
        ("bytes left over", long, "left over"),
        ("no record", vec![1], "malformed"),
    ];
    for (name, bytes, reason) in table {
        let error = opened(&[bytes]).err().expect(name).to_string();
        assert!(error.contains("block 1 ") && error.contains(reason), "{name}: {error}");
    }
    let twice = opened(&[good.clone(), good]).err().unwrap().to_string();
    assert!(twice.contains("block 2 "), "{twice}");
}

/// A block whose transaction was changed after it was written, the header as it was.
fn with_another_signature(block: &Block) -> Block {
    let mut block = block.clone();
    let Transaction::Account { signature, .. } = &mut block.transactions[0] else { unreachable!() };
    *signature = Signature([1; 64]);
    block
}

/// The same, signed again, as only the ledger's own key can.
fn signed_again(mut block: Block) -> Block {
    let ids: Vec<Hash> = block.transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    block.header.header.tx_root = merkle_root(&ids);
    block.header = SignedHeader::sign(&ledger_key(), block.header.header);
    block
}

/// What a start trusts is its own key's signature over each header, and through it every byte.
#[test]
fn a_start_takes_what_its_own_key_has_signed_and_not_a_byte_else() {
    let mut w = World::new();
    let events = w.done(w.transfer(Role::Wallet, w.hub.public(), 1));
    let open = |block: &Block| opened(&[record(RECORD_VERSION, block, &events)]);
    let changed = with_another_signature(&w.blocks[0]);
    let error = open(&changed).err().unwrap().to_string();
    assert!(error.contains("not those of the header"), "{error}");
    let mut left_out = w.blocks[0].clone();
    left_out.transactions.clear();
    assert!(open(&left_out).is_err());
    let others = SignedHeader::sign(&w.hub, w.blocks[0].header.header);
    let error = open(&Block { header: others, ..w.blocks[0].clone() }).err().unwrap().to_string();
    assert!(error.contains("not signed by the ledger's key"), "{error}");
}

/// A ledger that forges under its own key deceives itself at a start; an audit finds it.
#[test]
fn an_audit_checks_each_signature_that_a_start_does_not() {
    let mut w = World::new();
    let events = w.done(w.transfer(Role::Wallet, w.hub.public(), 1));
    let forged = signed_again(with_another_signature(&w.blocks[0]));
    let bytes = record(RECORD_VERSION, &forged, &events);
    assert!(opened(std::slice::from_ref(&bytes)).is_ok(), "checked before it was written");
    let disk = Disk::new();
    let mut journal = MemoryJournal::open(&disk).unwrap();
    journal.append(&bytes).unwrap();
    journal.sync().unwrap();
    let report = audit(&journal, genesis(), &mut |_| ()).unwrap();
    let wrong = report.wrong.expect("a signature that does not fit");
    assert!(wrong.reason.contains("does not fit"), "{}", wrong.reason);
}

#[test]
fn an_answer_about_history_is_bounded() {
    let mut page = Page::new(usize::MAX);
    assert_eq!(page.max, HISTORY_BLOCKS_MAX);
    let mut w = World::new();
    let header = w.block(vec![]).header;
    let block =
        Arc::new(BlockEvents { header: SignedHeader::sign(&ledger_key(), header), events: vec![] });
    assert!(page.push(Arc::clone(&block), HISTORY_BYTES - 1));
    assert!(!page.push(block, 1));
    assert_eq!(Page::new(0).max, 1);
}
