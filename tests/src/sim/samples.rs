//! Bytes that a world has written: what is shown, damaged, to whatever reads such bytes.

use client_sdk::wallet::WalletConfig;
use hub::shard::{Shard, ShardConfig};
use settlement::encoding::{decode, encode};
use settlement::index::{Index, MemoryIndex, Shelf};
use settlement::journal::{Journal, MemoryJournal};
use settlement::ledger::store::{Store, StoreConfig};
use settlement::params::Genesis;

use super::{Dice, Plan, World, dice};

/// A key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// What is on the disks of a world in which payments are under way, and what it rests on.
pub struct Samples {
    /// The ledger's.
    pub genesis: Genesis,
    /// The hub's.
    pub shard: ShardConfig,
    /// That of the wallet whose bytes these are.
    pub wallet: WalletConfig,
    /// Records of the hub's journal.
    pub hub_records: Vec<Vec<u8>>,
    /// Records of a wallet's.
    pub wallet_records: Vec<Vec<u8>>,
    /// Records of the ledger's: a block each.
    pub blocks: Vec<Vec<u8>>,
    /// Rows of the hub's index.
    pub hub_rows: Vec<Row>,
    /// Rows of the wallet's.
    pub wallet_rows: Vec<Row>,
    /// Rows of the ledger's, after the last block.
    pub ledger_rows: Vec<Row>,
    /// The hub's channels, encoded.
    pub channels: Vec<Vec<u8>>,
}

/// What the world of this seed has written after so many events in which nothing breaks.
///
/// # Panics
/// When it goes wrong.
pub fn samples(seed: u64, events: u32) -> Samples {
    let plan = Plan { faults: false, ..Plan::of(seed, events) };
    let mut world = World::new(&plan);
    for event in 0..events {
        world.rng = Dice::Seeded(dice(seed, event));
        world.event(false).expect("nothing goes wrong");
    }
    let hub_records = world.hub.records();
    let wallet = &world.wallets[0];
    let core = |shard: Option<&Shard>| {
        let channels = shard.into_iter().flat_map(Shard::channels);
        channels.map(encode).collect()
    };
    let (blocks, ledger_rows, genesis) = of_ledger(world.ledger);
    Samples {
        shard: world.hub.config(),
        wallet: wallet.config(),
        wallet_records: wallet.records(),
        hub_rows: rows_of_hub(world.hub.config(), &hub_records),
        wallet_rows: wallet.core().map(client_sdk::wallet::Wallet::rows).unwrap_or_default(),
        channels: core(world.hub.core()),
        hub_records,
        blocks,
        ledger_rows,
        genesis,
    }
}

fn rows_of_hub(config: ShardConfig, records: &[Vec<u8>]) -> Vec<Row> {
    let mut shard = Shard::new(config);
    for record in records {
        shard.replay(&decode(record).expect("a record of the hub's"));
    }
    let rows = shard.take_dirty_rows().into_iter();
    let mut rows: Vec<Row> = rows.filter_map(|(key, value)| Some((key, value?))).collect();
    rows.sort();
    rows
}

fn of_ledger(ledger: super::LedgerNode) -> (Vec<Vec<u8>>, Vec<Row>, Genesis) {
    let (genesis, disk) = ledger.end();
    let open = || MemoryJournal::open(&disk).expect("the ledger has ended");
    let mut blocks = Vec::new();
    let read = open().replay(0, &mut |_, bytes| {
        blocks.push(bytes.to_vec());
        Ok(())
    });
    read.expect("the ledger's journal can be read");
    let shelf = Shelf::new();
    let index = Box::new(MemoryIndex::open(&shelf));
    let opened = Store::open(genesis.clone(), Box::new(open()), index, StoreConfig::default());
    let (ledger, mut store) = opened.expect("the ledger opens again");
    store.checkpoint(&ledger).expect("its rows are taken");
    let mut rows = Vec::new();
    let scanned = MemoryIndex::open(&shelf).scan(b"", &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    });
    scanned.expect("its rows can be read");
    (blocks, rows, genesis)
}
