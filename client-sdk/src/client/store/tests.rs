use std::sync::Arc;

use settlement::crypto::SigningKey;
use settlement::index::{MemoryIndex, Shelf};
use settlement::journal::{Disk, MemoryJournal};
use settlement::params::Policy;
use settlement::proof::OpenTerms;
use settlement::types::{Amount, AssetId, Height};

use super::*;
use crate::api::FeePolicy;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

fn config(number: u8) -> WalletConfig {
    WalletConfig {
        key: Arc::new(key(number)),
        genesis: Genesis::development("test", key(77).public(), 1),
        hub: key(99).public(),
        policy: Policy::development(),
        fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
    }
}

fn config_of(public: &PublicKey) -> Result<WalletConfig, ClientError> {
    let number = (1..=9).find(|number| key(*number).public() == *public);
    number.map(config).ok_or_else(|| ClientError::new(Code::BadArgument, "no key"))
}

fn opened(number: u8) -> Record {
    let terms = OpenTerms {
        ledger: config(1).genesis.ledger_id(),
        asset: AssetId(0),
        wallet: key(number).public(),
        hub: key(99).public(),
        challenge_blocks: 50,
        nonce: 0,
    };
    Record::Opened { terms, deposit: Amount(u64::from(number)) }
}

fn followed(height: u64) -> Record {
    Record::Followed { height: Height(height), time_ms: height * 200 }
}

fn store(disk: &Disk, shelf: &Shelf) -> Store {
    let journal = MemoryJournal::open(disk).unwrap();
    Store { journal: Box::new(journal), index: Box::new(MemoryIndex::open(shelf)) }
}

fn append(store: &mut Store, entries: &[Entry]) {
    for entry in entries {
        store.journal.append(&encode(entry)).unwrap();
    }
}

fn two_wallets() -> Vec<Entry> {
    vec![
        Entry::Wallet { index: 0, key: key(1).public() },
        Entry::Wallet { index: 1, key: key(2).public() },
        Entry::Record { index: 1, record: opened(2) },
        Entry::Record { index: 0, record: followed(5) },
        Entry::Record { index: 1, record: followed(7) },
    ]
}

fn heights(wallets: &[Restored]) -> Vec<(PublicKey, u64, usize)> {
    let of = |(key, wallet): &Restored| (*key, wallet.followed().0, wallet.channels().count());
    wallets.iter().map(of).collect()
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_what_was_not_is_not() {
    let (disk, shelf) = (Disk::new(), Shelf::new());
    let mut open = store(&disk, &shelf);
    append(&mut open, &two_wallets());
    open.journal.sync().unwrap();
    append(&mut open, &[Entry::Record { index: 0, record: followed(9) }]);
    drop(open);
    disk.crash();
    let wallets = store(&disk, &shelf).load(&config_of).unwrap();
    let expected = vec![(key(1).public(), 5, 0), (key(2).public(), 7, 1)];
    assert_eq!(heights(&wallets), expected);
}

#[test]
fn a_checkpoint_and_the_records_after_it_make_the_same_wallets() {
    let (disk, shelf) = (Disk::new(), Shelf::new());
    let mut open = store(&disk, &shelf);
    append(&mut open, &two_wallets());
    let position = open.journal.sync().unwrap();
    let mut wallets = open.load(&config_of).unwrap();
    let mut rows = Vec::new();
    for (index, (public, wallet)) in (0u32..).zip(&mut wallets) {
        rows.push(key_row(index, public));
        rows.extend(wallet.take_dirty_rows().into_iter().map(|row| wallet_row(index, row)));
    }
    open.index.checkpoint(position, &mut rows.into_iter()).unwrap();
    append(&mut open, &[Entry::Record { index: 0, record: followed(9) }]);
    open.journal.sync().unwrap();
    drop(open);
    disk.crash();

    let restored = store(&disk, &shelf).load(&config_of).unwrap();
    let expected = vec![(key(1).public(), 9, 0), (key(2).public(), 7, 1)];
    assert_eq!(heights(&restored), expected);
    shelf.lose();
    let replayed = store(&disk, &shelf).load(&config_of).unwrap();
    assert_eq!(heights(&replayed), expected);
    let rows = |wallets: &[Restored]| -> Vec<_> {
        wallets.iter().map(|(_, wallet)| wallet.rows()).collect()
    };
    assert_eq!(rows(&restored), rows(&replayed));
}

#[test]
fn a_wallet_whose_key_is_missing_is_not_left_out_in_silence() {
    let (disk, shelf) = (Disk::new(), Shelf::new());
    let mut open = store(&disk, &shelf);
    append(&mut open, &[Entry::Wallet { index: 0, key: key(44).public() }]);
    open.journal.sync().unwrap();
    assert_eq!(open.load(&config_of).err().map(|error| error.code), Some(Code::BadArgument));
}

#[test]
fn records_that_make_no_sense_are_refused() {
    let first = Entry::Wallet { index: 0, key: key(1).public() };
    let cases = [
        vec![Entry::Wallet { index: 1, key: key(1).public() }],
        vec![first.clone(), first.clone()],
        vec![first, Entry::Record { index: 1, record: followed(1) }],
    ];
    for entries in cases {
        let (disk, shelf) = (Disk::new(), Shelf::new());
        let mut open = store(&disk, &shelf);
        append(&mut open, &entries);
        open.journal.sync().unwrap();
        let refused = open.load(&config_of).err().map(|error| error.code);
        assert_eq!(refused, Some(Code::StoreDamaged), "{entries:?}");
    }
}
