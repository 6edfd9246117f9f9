//! Everything behind the sockets: files, threads, ledger.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anyhow::Result;
use settlement::journal::{FileJournal, Journal, Lsn};
use settlement::ledger::http;
use settlement::ledger::service::{LedgerHandle, Service};
use tokio::sync::broadcast;

use super::prepare::{Prepared, find_and_prepare, own_key};
use super::signing::{Around, Signing};
use crate::admission::Gate;
use crate::checkpoint::{Checkpointer, Due};
use crate::committer::{self, Log};
use crate::config::Config;
use crate::counters::Counters;
use crate::home::Home;
use crate::hub::Hub;
use crate::outbox::Outbox;
use crate::peers::{Bounds, Peers};
use crate::queue::Queue;
use crate::relay::Relay;
use crate::router::{Router, ShardQueues};
use crate::shard::{Input, Output, Pairing, Shard};
use crate::shards::{self, Job, Shared, now_ms};
use crate::sync::mpsc::sync_channel;
use crate::sync::thread::JoinHandle;
use crate::tickets::Tickets;
use crate::verify::Pool;

/// Inputs of wallets that wait for a shard before workers do.
const SHARD_QUEUE: usize = 8_192;
/// Commits that wait for the outbox before the committer does.
const COMMITS_WAITING: usize = 8;
/// Blocks that a request that waits for one may be behind.
const BLOCKS_BEHIND: usize = 256;

/// The committer's thread, which gives the journal back.
type Committer = JoinHandle<Box<dyn Journal>>;

/// What has to be stopped again.
pub(super) struct Opened {
    /// The embedded ledger, if there is one.
    pub(super) ledger: Option<Service>,
    pub(super) follower: tokio::task::JoinHandle<()>,
    /// Those that take the lease, and anchor.
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
    pub(super) verifiers: Vec<JoinHandle<()>>,
    pub(super) shards: Vec<JoinHandle<()>>,
    pub(super) committer: Committer,
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
pub(super) async fn open(
    config: Config,
    over: impl FnOnce(FileJournal) -> Box<dyn Journal>,
) -> Result<(Arc<Hub>, Opened)> {
    let home = Home::at(&config.data_dir)?;
    let lock = home.lock()?;
    let key = Arc::new(own_key(&home, &config)?);
    let prepared = find_and_prepare(home, config, key.clone()).await?;
    let (blocks, _) = broadcast::channel(BLOCKS_BEHIND);
    let (counters, tickets) = (Arc::<Counters>::default(), Arc::<Tickets>::default());
    let gate = Arc::new(Gate::new(counters.clone()));
    let (signing, outbox) = Signing::open(&prepared, &key, &counters, &gate, &tickets, &blocks);
    let (authority, policy) = (signing.authority.clone(), prepared.shard_config.policy);
    let Prepared { config, ledger, client, genesis, shard_config, journal, index, shards } =
        prepared;
    let queues: ShardQueues = shards.iter().map(|_| Queue::new(SHARD_QUEUE)).collect();
    let peers = Peers::new(Bounds::of(&config));
    let router = Arc::new(Router::new(shard_config.clone(), queues.clone(), peers));
    let shared = share(&shards, &queues, &router, journal.last());
    // Nothing is to be signed before the lease is held.
    queues.iter().for_each(|queue| queue.push(Job::Input(Input::Signing(false))));
    let followed = shards.iter().map(|shard| shard.followed().0).min().unwrap_or_default();
    route(&shards, &router, &counters);
    let shards = recover(shards, &shared);
    let (committer, outbox) = start_committing(over(journal), &shared, outbox, &counters)?;
    let shards = start_shards(shards, &shared)?;
    let due = Due { records: config.storage.checkpoint_records };
    let checkpointer = Checkpointer::start(index, due, shared.clone(), counters.clone())?;
    let pool = Pool::new(router.clone(), queues.clone(), counters.clone(), gate);
    let verifiers = pool.start(config.workers())?;
    let ledger_id = genesis.ledger_id();
    let relay = Relay::new(router.clone(), counters.clone());
    let around = Around {
        ledger: client.clone(),
        genesis: &genesis,
        policy,
        interval: config.anchor_interval(&genesis)?,
        router,
        blocks: blocks.clone(),
    };
    let following = signing.start(around, &shared.queues, followed)?;
    let hub = Arc::new(Hub {
        config,
        key,
        genesis,
        ledger_id,
        policy,
        ledger: client,
        shared,
        pool,
        tickets,
        relay,
        counters,
        height: following.heights,
        blocks,
        trouble: following.trouble,
        draining: AtomicBool::new(false),
        authority,
        books: following.books,
        anchors: following.requests,
    });
    let opened = Opened {
        ledger,
        follower: following.follower,
        tasks: following.tasks,
        verifiers,
        shards,
        committer,
        outbox,
        checkpointer,
        lock,
    };
    Ok((hub, opened))
}

/// What the threads share.
fn share(shards: &[Shard], queues: &ShardQueues, router: &Arc<Router>, last: Lsn) -> Arc<Shared> {
    let log = Log::new(last);
    let pending = shards.iter().map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
    Arc::new(Shared { queues: queues.clone(), log, router: router.clone(), pending })
}

/// Takes in where every channel of the shards is.
fn route(shards: &[Shard], router: &Router, counters: &Counters) {
    shards.iter().flat_map(Shard::channels).for_each(|channel| router.restore(channel));
    counters.channels.store(router.channel_count() as u64, Relaxed);
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
                queue.push(Job::Input(Input::Passed(pass)));
            }
        }
    }
    shards
}

fn start_shards(shards: Vec<Shard>, shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let threads = shards.into_iter().enumerate();
    threads.map(|(index, shard)| shards::start(index, shard, shared.clone())).collect()
}

/// The committer, and the outbox behind it.
fn start_committing(
    journal: Box<dyn Journal>,
    shared: &Arc<Shared>,
    outbox: Outbox,
    counters: &Arc<Counters>,
) -> std::io::Result<(Committer, JoinHandle<()>)> {
    let (commits, waiting) = sync_channel(COMMITS_WAITING);
    let outbox = outbox.start(waiting)?;
    let committer = committer::start(journal, shared.clone(), commits, counters.clone())?;
    Ok((committer, outbox))
}
