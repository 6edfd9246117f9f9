//! Records that are not what they should be.

use super::super::fixture::*;
use super::history::Page;
use super::*;
use crate::index::{MemoryIndex, Shelf};
use crate::journal::{Disk, MemoryJournal};
use crate::types::Role;

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
