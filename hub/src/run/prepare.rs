//! What a start reads from disk before anything runs: the key, the ledger, and every channel.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use client_sdk::ledger_client::LedgerClient;
use settlement::crypto::SigningKey;
use settlement::index::{Index, Rows, SledConfig, SledIndex};
use settlement::journal::{FileJournal, Journal, JournalConfig, Kind};
use settlement::ledger::home::Home as LedgerHome;
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::ledger::service::{Pace, Service};
use settlement::params::{Allocation, Genesis};
use settlement::types::{Amount, AssetId};

use crate::config::Config;
use crate::embedded::Embedded;
use crate::home::Home;
use crate::remote::Remote;
use crate::shard::{BadRow, Record, Restoring, Shard, ShardConfig, Slice};

/// What the hub's journal is marked with.
const JOURNAL_KIND: Kind = Kind::new("hub");
/// What a development ledger gives the hub of each asset.
const DEVELOPMENT_FUNDS: Amount = Amount(1_000_000_000_000);

/// Finds the ledger, and reads everything back from disk.
pub(super) async fn find_and_prepare(
    home: Home,
    config: Config,
    key: Arc<SigningKey>,
) -> Result<Prepared> {
    let remote = match &config.ledger {
        Some(url) => Some(Remote::find(&home, url, &config.ledger_trust()?).await?),
        None => None,
    };
    // Reading back a long journal takes a while, and blocks.
    tokio::task::spawn_blocking(move || prepare(&home, config, &key, remote)).await?
}

/// The hub's key; a first start of a development hub makes it.
pub(super) fn own_key(home: &Home, config: &Config) -> Result<SigningKey> {
    if config.development && !home.has_key() { home.make_key() } else { home.key() }
}

/// What is read from disk before anything runs.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) ledger: Option<Service>,
    pub(super) client: Arc<dyn LedgerClient>,
    pub(super) genesis: Genesis,
    pub(super) shard_config: ShardConfig,
    pub(super) journal: FileJournal,
    pub(super) index: SledIndex,
    pub(super) shards: Vec<Shard>,
}

fn prepare(
    home: &Home,
    config: Config,
    key: &SigningKey,
    remote: Option<Remote>,
) -> Result<Prepared> {
    let source = match remote {
        Some(remote) => Source::Remote(Box::new(remote)),
        None => Source::Embedded(Box::new(find_embedded(home, &config, key)?)),
    };
    let genesis = source.genesis().clone();
    let policy = config.policy(&genesis)?;
    config.anchor_interval(&genesis)?;
    home.pin(&genesis, config.ledger.as_deref().unwrap_or("the embedded one"))?;
    let shard_config = ShardConfig {
        hub: key.public(),
        genesis: genesis.clone(),
        policy,
        fees: config.fee_policy(),
        inbound: config.inbound(),
        limits: config.payments,
        slice: Slice::ALL,
    };
    // With many channels both take long, and neither needs the other.
    let (ledger, own) = both(|| source.open(), || open_own(home, &config, &shard_config));
    let ((journal, index, shards), (ledger, client)) = (own?, ledger?.start()?);
    Ok(Prepared { config, ledger, client, genesis, shard_config, journal, index, shards })
}

/// Does both at the same time.
fn both<A: Send, B>(beside: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let here = here();
        (beside.join().unwrap_or_else(|panic| resume_unwind(panic)), here)
    })
}

/// The hub's own journal and index, and the shards that they make.
fn open_own(
    home: &Home,
    config: &Config,
    shard_config: &ShardConfig,
) -> Result<(FileJournal, SledIndex, Vec<Shard>)> {
    let storage = config.storage;
    let journal = JournalConfig {
        kind: JOURNAL_KIND,
        segment_bytes: storage.segment_bytes,
        archive_bytes: Some(storage.archive_bytes),
    };
    let journal = FileJournal::open(home.journal(), journal)?;
    let sled = SledConfig { cache_bytes: storage.cache_bytes };
    let mut index = SledIndex::open(home.index(), sled)?;
    let shards = restore(shard_config, config.shards, &mut index, &journal)?;
    Ok((journal, index, shards))
}

/// Where the ledger is, before it is opened.
enum Source {
    /// In this process.
    Embedded(Box<Unopened>),
    /// In one of its own.
    Remote(Box<Remote>),
}

/// An embedded ledger whose files were not read yet.
struct Unopened {
    home: LedgerHome,
    key: SigningKey,
    genesis: Genesis,
    config: ProducerConfig,
}

/// Where the ledger is, not running yet if it is in this process.
enum Found {
    Embedded(Box<Producer>),
    Remote(Box<Remote>),
}

impl Source {
    fn genesis(&self) -> &Genesis {
        match self {
            Source::Embedded(unopened) => &unopened.genesis,
            Source::Remote(remote) => &remote.genesis,
        }
    }

    fn open(self) -> Result<Found> {
        match self {
            Source::Embedded(unopened) => {
                let Unopened { home, key, genesis, config } = *unopened;
                let producer = home.open(genesis, key, config)?;
                Ok(Found::Embedded(Box::new(producer)))
            }
            Source::Remote(remote) => Ok(Found::Remote(remote)),
        }
    }
}

impl Found {
    fn start(self) -> Result<(Option<Service>, Arc<dyn LedgerClient>)> {
        match self {
            Found::Embedded(producer) => {
                let service = Service::start(*producer, Pace::Clock);
                let service = service.context("cannot start a thread")?;
                let client = Arc::new(Embedded(service.handle()));
                Ok((Some(service), client))
            }
            Found::Remote(remote) => Ok((None, Arc::new(remote.client))),
        }
    }
}

/// The embedded ledger. On the first start of a development hub it is made, and the hub is given
/// something to put into channels.
fn find_embedded(home: &Home, config: &Config, hub: &SigningKey) -> Result<Unopened> {
    let first = !home.ledger().join("genesis.toml").exists();
    if first && let Some(pinned) = home.pinned()? {
        bail!(
            "the channels here are on ledger {}, which this hub does not embed: say where it is \
             with --ledger URL, or use another --data-dir",
            pinned.ledger_id()
        );
    }
    let ledger = LedgerHome::at(home.ledger())?;
    let key = ledger.key()?;
    if first && !config.development {
        bail!(
            "there is no ledger in {} yet: put a genesis.toml there that names its ledger_key {}, \
             or use --development for one with a faucet",
            home.ledger().display(),
            key.public()
        );
    }
    let given = if first { Some(development_genesis(&key, hub)?) } else { None };
    let genesis = ledger.genesis(given, false, &key)?;
    home.refuse_other(&genesis, "the embedded one")?;
    let config = ProducerConfig::checkpoint_each(config.storage.ledger_checkpoint_blocks);
    Ok(Unopened { home: ledger, key, genesis, config })
}

fn development_genesis(ledger: &SigningKey, hub: &SigningKey) -> Result<Genesis> {
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).context("the system gives no randomness")?;
    // TOML's integers end at 2^63.
    let salt = u64::from_le_bytes(salt) >> 1;
    let genesis = Genesis::development("development", ledger.public(), salt);
    let assets = (0u32..).zip(&genesis.assets);
    let allocations = assets.map(|(id, _)| Allocation {
        account: hub.public(),
        asset: AssetId(id),
        amount: DEVELOPMENT_FUNDS,
    });
    Ok(Genesis { allocations: allocations.collect(), ..genesis })
}

/// The shards as the index and the journal behind it say.
fn restore(
    config: &ShardConfig,
    count: u16,
    index: &mut SledIndex,
    journal: &FileJournal,
) -> Result<Vec<Shard>> {
    let (rows, mut shards) = of_rows(config, count, index)?;
    journal.replay(index.position(), &mut |_, bytes| {
        let record: Record = settlement::encoding::decode(bytes).map_err(|e| e.to_string())?;
        shards.iter_mut().for_each(|shard| shard.replay(&record));
        Ok(())
    })?;
    tracing::info!(
        rows,
        records = journal.last().saturating_sub(index.position()),
        channels = shards.iter().flat_map(Shard::channels).count(),
        "restored"
    );
    Ok(shards)
}

/// The shards as the index says, and how many rows it has.
fn of_rows(config: &ShardConfig, count: u16, index: &mut SledIndex) -> Result<(usize, Vec<Shard>)> {
    let restoring = |index| {
        let slice = Slice { index, count };
        Restoring::new(ShardConfig { slice, ..config.clone() })
    };
    let mut restoring: Vec<Restoring> = (0..count).map(restoring).collect();
    let rows = Rows::read(index, b"")?;
    let read = rows.iter().try_for_each(|(key, value)| {
        restoring.iter_mut().try_for_each(|shard| shard.row(key, value))
    });
    let finish = || restoring.into_iter().map(Restoring::finish).collect();
    let shards: Result<Vec<Shard>, BadRow> = read.and_then(|()| finish());
    Ok((rows.len(), shards.context("a row of the index can't be used")?))
}
