//! Everything behind the sockets: files, threads, ledger.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail};
use client_sdk::ledger_client::LedgerClient;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::index::{Index, SledConfig, SledIndex};
use settlement::journal::{FileJournal, Journal, JournalConfig, Kind};
use settlement::ledger::home::Home as LedgerHome;
use settlement::ledger::http;
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::ledger::service::{LedgerHandle, Pace, Service};
use settlement::params::{Allocation, Genesis};
use settlement::types::{Amount, AssetId};
use tokio::sync::{broadcast, watch};

use crate::checkpoint::{Checkpointer, Due};
use crate::committer::{self, Log};
use crate::config::Config;
use crate::counters::Counters;
use crate::desk::{Clerk, Desk};
use crate::embedded::Embedded;
use crate::follow::{Chain, Follower};
use crate::home::Home;
use crate::hub::{Hub, Peers};
use crate::outbox::Outbox;
use crate::queue::Queue;
use crate::remote::Remote;
use crate::router::{Router, ShardQueues};
use crate::shard::{Output, Pairing, Record, Shard, ShardConfig, Slice};
use crate::shards::{self, Job, Shared, now_ms};
use crate::tickets::Tickets;
use crate::verify::Pool;

/// What the hub's journal is marked with.
const JOURNAL_KIND: Kind = Kind::new("hub");
/// Inputs of wallets that wait for a shard before workers do.
const SHARD_QUEUE: usize = 8_192;
/// Commits that wait for the outbox before the committer does.
const COMMITS_WAITING: usize = 8;
/// Blocks that a request that waits for one may be behind.
const BLOCKS_BEHIND: usize = 256;
/// What a development ledger gives the hub of each asset.
const DEVELOPMENT_FUNDS: Amount = Amount(1_000_000_000_000);

/// What has to be stopped again.
pub(super) struct Opened {
    /// The embedded ledger, if there is one.
    pub(super) ledger: Option<Service>,
    pub(super) follower: tokio::task::JoinHandle<()>,
    pub(super) verifiers: Vec<JoinHandle<()>>,
    pub(super) shards: Vec<JoinHandle<()>>,
    pub(super) committer: JoinHandle<FileJournal>,
    pub(super) outbox: JoinHandle<()>,
    pub(super) checkpointer: Checkpointer,
    /// Keeps other processes out of the directory.
    pub(super) lock: File,
}

impl Opened {
    /// The embedded ledger, if there is one.
    pub(super) fn ledger(&self) -> Option<LedgerHandle> {
        self.ledger.as_ref().map(Service::handle)
    }

    /// Its routes.
    pub(super) fn ledger_routes(&self) -> Option<axum::Router> {
        self.ledger().map(http::routes)
    }
}

/// Opens everything in the order in which it depends on each other.
pub(super) async fn open(config: Config) -> Result<(Arc<Hub>, Opened)> {
    let home = Home::at(&config.data_dir)?;
    let lock = home.lock()?;
    let key = Arc::new(own_key(&home, &config)?);
    let prepared = find_and_prepare(home, config, key.clone()).await?;
    let Prepared { config, ledger, client, genesis, shard_config, journal, index, shards } =
        prepared;
    let counters = Arc::new(Counters::default());
    let queues: ShardQueues = shards.iter().map(|_| Queue::new(SHARD_QUEUE)).collect();
    let router = Arc::new(Router::new(shard_config.clone(), queues.clone()));
    let log = Log::new(journal.last());
    let pending = shards.iter().map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
    let shared = Arc::new(Shared { queues: queues.clone(), log, router: router.clone(), pending });
    let ledger_id = genesis.ledger_id();
    let tickets = Arc::new(Tickets::default());
    let (blocks, handed_in) = broadcast::channel(BLOCKS_BEHIND);
    let clerk = Clerk::new(client.clone(), ledger_id, key.clone(), counters.clone());
    let desk = Desk::open(clerk, handed_in);
    let outbox = Outbox::new(key.clone(), desk, tickets.clone(), counters.clone());
    let followed = shards.iter().map(|shard| shard.followed().0).min().unwrap_or_default();
    shards.iter().flat_map(Shard::channels).for_each(|channel| router.restore(channel));
    let shards = recover(shards, &shared);
    let (committer, outbox) = start_committing(journal, &shared, outbox, &counters)?;
    let threads = shards.into_iter().enumerate();
    let threads = threads.map(|(index, shard)| shards::start(index, shard, shared.clone()));
    let shards = threads.collect::<std::io::Result<Vec<_>>>()?;
    let due = Due { records: config.storage.checkpoint_records };
    let checkpointer = Checkpointer::start(index, due, shared.clone(), counters.clone())?;
    let pool = Pool::new(router.clone(), queues.clone(), counters.clone());
    let verifiers = pool.start(config.workers())?;
    let (height, heights) = watch::channel(followed);
    let (trouble, troubles) = watch::channel(None);
    let ledger_key = VerifyingKey::parse(&genesis.ledger_key).context("the ledger's key")?;
    let follower = Follower {
        ledger: client.clone(),
        chain: Chain::after(ledger_id, ledger_key, genesis.least_interval_ms, followed),
        queues,
        router,
        counters: counters.clone(),
        height,
        blocks: blocks.clone(),
        trouble,
    };
    let follower = tokio::spawn(follower.run());
    let hub = Arc::new(Hub {
        config,
        key,
        genesis,
        ledger_id,
        policy: shard_config.policy,
        ledger: client,
        shared,
        pool,
        tickets,
        counters,
        height: heights,
        blocks,
        trouble: troubles,
        draining: AtomicBool::new(false),
        peers: Peers::default(),
    });
    let opened =
        Opened { ledger, follower, verifiers, shards, committer, outbox, checkpointer, lock };
    Ok((hub, opened))
}

async fn find_and_prepare(home: Home, config: Config, key: Arc<SigningKey>) -> Result<Prepared> {
    let remote = match &config.ledger {
        Some(url) => Some(Remote::find(&home, url).await?),
        None => None,
    };
    // Reading back a long journal takes a while, and blocks.
    tokio::task::spawn_blocking(move || prepare(&home, config, &key, remote)).await?
}

fn own_key(home: &Home, config: &Config) -> Result<SigningKey> {
    if config.development && !home.has_key() { home.make_key() } else { home.key() }
}

/// What is read from disk before anything runs.
struct Prepared {
    config: Config,
    ledger: Option<Service>,
    client: Arc<dyn LedgerClient>,
    genesis: Genesis,
    shard_config: ShardConfig,
    journal: FileJournal,
    index: SledIndex,
    shards: Vec<Shard>,
}

fn prepare(
    home: &Home,
    config: Config,
    key: &SigningKey,
    remote: Option<Remote>,
) -> Result<Prepared> {
    let source = match remote {
        Some(remote) => Source::Remote(Box::new(remote)),
        None => Source::Embedded(Box::new(open_ledger(home, &config, key)?)),
    };
    let genesis = source.genesis().clone();
    let policy = config.policy(&genesis)?;
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
    let storage = config.storage;
    let journal = JournalConfig {
        kind: JOURNAL_KIND,
        segment_bytes: storage.segment_bytes,
        archive_bytes: Some(storage.archive_bytes),
    };
    let journal = FileJournal::open(home.journal(), journal)?;
    let sled = SledConfig { cache_bytes: storage.cache_bytes };
    let mut index = SledIndex::open(home.index(), sled)?;
    let shards = restore(&shard_config, config.shards, &index, &journal)?;
    index.rest();
    let (ledger, client) = source.start()?;
    Ok(Prepared { config, ledger, client, genesis, shard_config, journal, index, shards })
}

/// Where the ledger is.
enum Source {
    /// In this process, not running yet.
    Embedded(Box<Producer>),
    /// In one of its own.
    Remote(Box<Remote>),
}

impl Source {
    fn genesis(&self) -> &Genesis {
        match self {
            Source::Embedded(producer) => producer.ledger().parameters(),
            Source::Remote(remote) => &remote.genesis,
        }
    }

    fn start(self) -> Result<(Option<Service>, Arc<dyn LedgerClient>)> {
        match self {
            Source::Embedded(producer) => {
                let service = Service::start(*producer, Pace::Clock);
                let service = service.context("cannot start a thread")?;
                let client = Arc::new(Embedded(service.handle()));
                Ok((Some(service), client))
            }
            Source::Remote(remote) => Ok((None, Arc::new(remote.client))),
        }
    }
}

/// The embedded ledger. On the first start of a development hub it is made, and the hub is given
/// something to put into channels.
fn open_ledger(home: &Home, config: &Config, hub: &SigningKey) -> Result<Producer> {
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
    ledger.open(genesis, key, ProducerConfig::default())
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
    index: &SledIndex,
    journal: &FileJournal,
) -> Result<Vec<Shard>> {
    let mut rows = Vec::new();
    index.scan(b"", &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    let restore = |index| {
        let slice = Slice { index, count };
        let config = ShardConfig { slice, ..config.clone() };
        Shard::restore(config, rows.iter().cloned()).context("a row of the index can't be used")
    };
    let mut shards = (0..count).map(restore).collect::<Result<Vec<Shard>>>()?;
    journal.replay(index.position(), &mut |_, bytes| {
        let record: Record = settlement::encoding::decode(bytes).map_err(|e| e.to_string())?;
        shards.iter_mut().for_each(|shard| shard.replay(&record));
        Ok(())
    })?;
    tracing::info!(
        rows = rows.len(),
        records = journal.last().saturating_sub(index.position()),
        channels = shards.iter().flat_map(Shard::channels).count(),
        "restored"
    );
    Ok(shards)
}

/// Lets every shard do what a crash kept it from, and delivers what they have to say to each other.
fn recover(mut shards: Vec<Shard>, shared: &Shared) -> Vec<Shard> {
    let pairs: Vec<Pairing> = shards.iter().flat_map(Shard::pairs).collect();
    for shard in &mut shards {
        let mut out = Output::default();
        shard.recovered(&pairs, now_ms(), &mut out);
        shards::append_output(&shared.log, out.records, out.actions);
        for pass in out.passes {
            let to = crate::router::shard_of(&pass.channel(), shared.queues.len());
            if let Some(queue) = shared.queues.get(to) {
                queue.push(Job::Input(crate::shard::Input::Passed(pass)));
            }
        }
    }
    shards
}

/// The committer, and the outbox behind it.
fn start_committing(
    journal: FileJournal,
    shared: &Arc<Shared>,
    outbox: Outbox,
    counters: &Arc<Counters>,
) -> std::io::Result<(JoinHandle<FileJournal>, JoinHandle<()>)> {
    let (commits, waiting) = sync_channel(COMMITS_WAITING);
    let outbox = outbox.start(waiting)?;
    let committer = committer::start(journal, shared.clone(), commits, counters.clone())?;
    Ok((committer, outbox))
}
