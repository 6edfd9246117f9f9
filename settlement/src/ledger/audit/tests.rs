//! Audits of right ledgers, and of ledgers that are wrong in one place.

use std::fs;
use std::ops::Range;
use std::path::Path;

use super::super::fixture::*;
use super::super::store::{RECORD_VERSION, Record};
use super::*;
use crate::block::{Block, LedgerEvent, SignedHeader};
use crate::crypto::merkle_root;
use crate::encoding::encode;
use crate::journal::{
    Disk, FileJournal, Journal, JournalConfig, JournalReader, Kind, MemoryJournal,
};
use crate::tx::{AccountAction, Transaction};
use crate::types::{Amount, Role, Signature};

const KIND: Kind = Kind::new("test");

/// A ledger with a bit of everything, block by block as its journal would keep it.
fn history() -> Vec<(Block, Vec<LedgerEvent>)> {
    let mut w = World::new();
    let mut all = vec![];
    let mut block = |w: &mut World, txs: Vec<Transaction>| {
        let events = w.block(txs).events;
        all.push((w.blocks.last().unwrap().clone(), events));
    };
    let id = w.terms().channel_id();
    let (open, mint) = (w.open_tx(100), w.mint_tx(0, 50));
    block(&mut w, vec![open, mint]);
    let deposit = w.deposit_tx(id, Role::Hub, 50);
    block(&mut w, vec![deposit]);
    let withdraw = w.withdraw_tx(id, Role::Wallet, 10, 100);
    block(&mut w, vec![withdraw]);
    let locks = [lock(1, 5, 2, 30)];
    let close = w.bring(Role::Hub, true, proof(id, Role::Wallet, 3, 20, &locks), &locks);
    block(&mut w, vec![close]);
    let claim = w.claim(id, Role::Hub, &[(1, secret(1, 2, 1))]);
    let refused = w.transfer(Role::Wallet, key(5).public(), 5_000);
    block(&mut w, vec![claim, refused]);
    while w.ledger.channel_count() > 0 {
        block(&mut w, vec![]);
    }
    block(&mut w, vec![]);
    all
}

fn record((block, events): &(Block, Vec<LedgerEvent>)) -> Vec<u8> {
    let (block, events) = (block.clone(), events.clone());
    encode(&Record { version: RECORD_VERSION, block, events })
}

fn write(journal: &mut dyn Journal, history: &[(Block, Vec<LedgerEvent>)]) {
    for block in history {
        journal.append(&record(block)).unwrap();
        journal.sync().unwrap();
    }
}

/// The audit of these blocks, each a record of a sound journal.
fn audited(history: &[(Block, Vec<LedgerEvent>)]) -> AuditReport {
    let disk = Disk::new();
    let mut journal = MemoryJournal::open(&disk).unwrap();
    write(&mut journal, history);
    audit(&journal, genesis(), &mut |_| {}).unwrap()
}

/// The audit of a directory that somebody may own.
fn audited_files(dir: &Path) -> AuditReport {
    audit(&JournalReader::new(dir, KIND), genesis(), &mut |_| {}).unwrap()
}

fn journal_in(dir: &Path) -> FileJournal {
    FileJournal::open(dir, JournalConfig { segment_bytes: 6_000, ..JournalConfig::new(KIND) })
        .unwrap()
}

#[test]
fn a_right_ledger_is_found_right_while_its_owner_has_it_open() {
    let dir = tempfile::tempdir().unwrap();
    let history = history();
    let mut journal = journal_in(dir.path());
    write(&mut journal, &history);
    let mut seen = vec![];
    let reader = JournalReader::new(dir.path(), KIND);
    let report = audit(&reader, genesis(), &mut |right| seen.push(right.blocks)).unwrap();
    let count = history.len() as u64;
    assert_eq!(report.wrong, None);
    assert_eq!(
        (report.right, report.height),
        (Progress { blocks: count, transactions: 7 }, Height(count))
    );
    assert_eq!(report.writes, history.last().unwrap().0.header.header.writes);
    assert_eq!(report.held[0], Held { asset: EUR, accounts: 2_050, escrow: 0 });
    assert_eq!(seen, (1..=count).collect::<Vec<_>>());
    journal.archive_before(count).unwrap();
    assert_eq!(audited_files(dir.path()), report, "archived segments are read too");
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    files.sort();
    files
}

/// The bytes of the header or record that this byte is in.
fn frame_of(segment: &[u8], at: usize) -> Range<u64> {
    let (mut start, mut end) = (0, 48);
    while end <= at {
        let length: [u8; 4] = segment[end..end + 4].try_into().unwrap();
        let is_group = length == [0xA7, b'G', b'R', 0xFF];
        let bytes = if is_group { 24 } else { 8 + u32::from_le_bytes(length) as usize };
        (start, end) = (end, end + bytes);
    }
    start as u64..end as u64
}

/// Every byte, one after the other. The auditor goes on from one to the next, as all blocks before
/// a flipped byte are right; every hundredth time a new one starts at the genesis and must say the
/// same.
#[test]
fn a_flipped_byte_anywhere_is_found_and_located() {
    let dir = tempfile::tempdir().unwrap();
    let history = history();
    write(&mut journal_in(dir.path()), &history);
    let files = segments(dir.path());
    assert!(files.len() > 1, "more than one segment");
    let reader = JournalReader::new(dir.path(), KIND);
    let mut auditor = Auditor::new(genesis()).unwrap();
    let last_group = 24 + 8 + record(history.last().unwrap()).len();
    let mut flipped = 0;
    for path in &files {
        let good = fs::read(path).unwrap();
        let is_last = Some(path) == files.last();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(path, &bad).unwrap();
            let report = auditor.audit(&reader, &mut |_| {});
            let name = format!("byte {at} of {}", path.display());
            if at % 100 == 8 {
                assert_eq!(report, audited_files(dir.path()), "{name}");
            }
            flipped += 1;
            if is_last && at >= good.len() - last_group {
                let torn = report.torn_tail.expect(&name);
                assert_eq!((&torn.file, report.wrong), (path, None), "{name}");
                assert!(frame_of(&good, at).contains(&torn.offset), "{name}: {}", torn.offset);
                assert_eq!(report.right.blocks, history.len() as u64 - 1, "{name}");
                continue;
            }
            let wrong = report.wrong.expect(&name);
            assert_eq!(wrong.block.0, report.right.blocks + 1, "{name}");
            assert_eq!(wrong.file.as_ref(), Some(path), "{name}");
            let offset = wrong.offset.expect(&name);
            assert!(frame_of(&good, at).contains(&offset), "{name}: said byte {offset}");
        }
        fs::write(path, &good).unwrap();
    }
    assert!(flipped > 10_000, "{flipped} bytes");
    assert!(auditor.audit(&reader, &mut |_| {}).is_right());
    assert_eq!(auditor.audit(&reader, &mut |_| {}), audited_files(dir.path()));
}

#[test]
fn a_missing_segment_and_a_torn_end_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    write(&mut journal_in(dir.path()), &history());
    let files = segments(dir.path());
    let last = files.last().unwrap();
    let bytes = fs::read(last).unwrap();
    fs::write(last, &bytes[..bytes.len() - 1]).unwrap();
    let report = audited_files(dir.path());
    assert!(report.is_right() && report.torn_tail.is_some());
    fs::write(last, bytes).unwrap();
    fs::remove_file(&files[0]).unwrap();
    assert!(!audited_files(dir.path()).is_right());
}

/// Signs a changed block again, as only the ledger's own key can.
fn signed_again(history: &mut [(Block, Vec<LedgerEvent>)], at: usize) {
    let block = &mut history[at].0;
    let ids: Vec<Hash> = block.transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    block.header.header.tx_root = merkle_root(&ids);
    block.header = SignedHeader::sign(&ledger_key(), block.header.header);
}

#[test]
fn what_the_ledgers_own_key_forged_is_found_in_its_block() {
    type Change = fn(&mut (Block, Vec<LedgerEvent>));
    let unsigned: Change = |(block, _)| match &mut block.transactions[0] {
        Transaction::Account { signature, .. } => *signature = Signature([1; 64]),
        _ => unreachable!(),
    };
    let table: [(&str, Change, &str); 5] = [
        ("a transaction's signature", unsigned, "does not fit"),
        ("the writes", |(block, _)| block.header.header.writes = Hash([1; 32]), "header says"),
        ("the parent", |(block, _)| block.header.header.parent = Hash([1; 32]), "build on"),
        ("a transaction left out", |(block, _)| drop(block.transactions.pop()), "header"),
        ("an event left out", |(_, events)| drop(events.pop()), "other events"),
    ];
    for (name, change, reason) in table {
        let mut history = history();
        change(&mut history[1]);
        signed_again(&mut history, 1);
        let report = audited(&history);
        let wrong = report.wrong.expect(name);
        assert_eq!((wrong.block, report.right.blocks), (Height(2), 1), "{name}");
        assert!(wrong.reason.contains(reason), "{name}: {}", wrong.reason);
    }
}

/// The books don't trust the ledger: they are shown what it would never do.
#[test]
fn the_books_find_money_that_was_made_or_lost() {
    let mut w = World::new();
    let id = w.terms().channel_id();
    let opened = w.block(vec![w.open_tx(100)]);
    let closed = w.block(vec![w.close(id, Role::Hub)]);
    let books = || {
        let mut books = Books::open(&Ledger::genesis(genesis()).unwrap()).unwrap();
        books.enter(&opened).unwrap();
        books.enter(&closed).unwrap();
        books
    };
    let (wallet, hub) = (Amount(99), Amount(0));
    let short = LedgerEvent::Settled { channel: id, wallet, hub, cooperative: false };
    let empty = w.block(vec![]);
    let mut paid_short = empty.clone();
    paid_short.events.push(short);
    assert!(books().enter(&paid_short).unwrap_err().contains("paid out 99 of 100"));
    let mut more = empty.clone();
    let (key, value) = opened.rows.iter().find(|(key, _)| key[0] == b'b').unwrap();
    assert_eq!(value.as_deref(), Some(encode(&Amount(900)).as_slice()));
    more.rows.push((key.clone(), Some(encode(&Amount(901)))));
    assert!(books().enter(&more).unwrap_err().contains("were issued"));
    let minted = LedgerEvent::Minted { to: key_of(), asset: EUR, amount: Amount(1) };
    more.events.push(minted);
    assert_eq!(books().enter(&more), Ok(()), "minted");
}

/// The same tree in two chunks is fine; another one for the same height is not, whatever stands
/// between them.
#[test]
fn a_hub_that_signs_two_trees_for_one_height_is_found() {
    let found = |root: u8, later: u64| {
        let mut w = World::new();
        let mut events = vec![w.done(w.open_tx(100))];
        for (root, as_of) in [(3, 1), (3, 1), (5, 2), (root, 1 + later)] {
            let mut anchor = w.anchoring(0, vec![]);
            anchor.liabilities.as_of = Height(as_of);
            anchor.liabilities.root = Hash([root; 32]);
            events.push(w.done(w.account_tx(Role::Hub, AccountAction::Anchor(anchor))));
        }
        let history: Vec<_> = w.blocks.iter().cloned().zip(events).collect();
        audited(&history)
    };
    assert_eq!((found(3, 0).is_right(), found(4, 2).is_right()), (true, true));
    let report = found(4, 0);
    assert_eq!((report.wrong.clone(), report.is_right()), (None, false));
    let [contradiction] = report.contradictions.try_into().unwrap();
    assert_eq!((contradiction.hub, contradiction.first.0), (key(2).public(), Height(2)));
    assert_eq!(contradiction.other.0, Height(5));
}

/// All that a hub says it owes must be in its channels, as of the height that it names.
#[test]
fn a_hub_that_owes_more_than_its_channels_hold_is_found() {
    let mut w = World::new();
    let id = w.terms().channel_id();
    let mut events = vec![w.done(w.open_tx(100)), w.done(w.deposit_tx(id, Role::Hub, 50))];
    events.push(w.done(w.withdraw_tx(id, Role::Wallet, 30, 100)));
    // As of block 1 the channel held 100, of block 2 150, of block 3 120.
    let said = [(1, 101), (1, 100), (2, 150), (3, 121), (3, 121), (3, 120)];
    let mut state = |as_of, total, asset| {
        let mut anchor = w.anchoring(0, vec![]);
        // Roots differ, so that what is said again of one height counts as said of another tree.
        let root = Hash([total as u8; 32]);
        anchor.liabilities =
            Liabilities { as_of: Height(as_of), asset, root, total: Amount(total) };
        events.push(w.done(w.account_tx(Role::Hub, AccountAction::Anchor(anchor))));
    };
    said.iter().for_each(|(as_of, total)| state(*as_of, *total, EUR));
    state(2, 1, AssetId(1));
    let history: Vec<_> = w.blocks.iter().cloned().zip(events).collect();
    let report = audited(&history);
    let numbers = |owed: &[Owed]| -> Vec<_> {
        let number = |o: &Owed| (o.liabilities.as_of.0, o.liabilities.total.0, o.escrow, o.block.0);
        owed.iter().map(number).collect()
    };
    assert_eq!(numbers(&report.uncovered), [(1, 101, 100, 4), (3, 121, 120, 7), (2, 1, 0, 10)]);
    assert_eq!(numbers(&report.owed), [(3, 120, 120, 9), (2, 1, 0, 10)]);
    assert!(!report.is_right());
    assert_eq!(report.wrong, None);
}

fn key_of() -> crate::types::PublicKey {
    key(1).public()
}
