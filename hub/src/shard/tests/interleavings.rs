//! Orders in which the threads of a whole hub may run ([`crate::interleavings`]): two shards, the
//! committer and the outbox as they are, between wallets that follow the rules and a disk that takes
//! its time.

mod asked;
mod checkpointed;
mod connected;
mod paid;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use settlement::journal::{Disk, Journal, MemoryJournal, Past};
use settlement::types::ChannelId;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::wallet::Wallet;
use super::world::{World, config, key};
use crate::admission::Gate;
use crate::committer::{self, Log};
use crate::config::Config;
use crate::counters::Counters;
use crate::desk::{Desk, Errand};
use crate::interleavings::commits::Slow;
use crate::outbox::{Outbox, Tools};
use crate::peer::Peer;
use crate::peers::{Bounds, Peers};
use crate::queue::Queue;
use crate::router::{Router, ShardQueues, shard_of};
use crate::shard::*;
use crate::shards::{self, Job, Shared, now_ms};
use crate::sync::Arc;
use crate::sync::mpsc::sync_channel;
use crate::sync::thread::JoinHandle;
use crate::tickets::Tickets;

/// A world whose shards run in threads.
struct Hub {
    world: World,
    shared: Arc<Shared>,
    past: std::sync::Arc<dyn Past>,
    tickets: Arc<Tickets>,
    /// What the outbox has for the ledger.
    errands: UnboundedReceiver<Errand>,
    threads: Threads,
}

struct Threads {
    shards: Vec<JoinHandle<()>>,
    committer: JoinHandle<Slow>,
    outbox: JoinHandle<()>,
}

impl Hub {
    /// A hub over so many shards with the channels of so many wallets, which it has met before.
    fn start(shards: u16, wallets: u8) -> Hub {
        let mut world = World::with(config(), shards, wallets);
        // The threads go by the clock, and to it the view has to be fresh.
        world.now_ms = now_ms();
        world.block(Vec::new());
        let disk = Disk::new();
        keep(&disk, &world.journal);
        let journal = Slow::on(&disk, None);
        let queues: ShardQueues = (0..shards).map(|_| Queue::new(2)).collect();
        let peers = Peers::new(Bounds::of(&Config::default()));
        let router = Arc::new(Router::new(world.config.clone(), queues.clone(), peers));
        let channels = world.shards.iter().flat_map(Shard::channels);
        channels.for_each(|channel| router.restore(channel));
        let pending = (0..shards).map(|_| std::sync::atomic::AtomicU64::new(0)).collect();
        let log = Log::new(journal.last());
        let shared = Arc::new(Shared { queues, log, router, pending });
        let (past, tickets, counters) =
            (journal.past(), Arc::<Tickets>::default(), Arc::<Counters>::default());
        let (errand, errands) = unbounded_channel();
        let outbox = Outbox::new(Tools {
            key: Arc::new(key(100)),
            desk: Desk::of(errand),
            tickets: tickets.clone(),
            counters: counters.clone(),
            authority: crate::lease::fixture::held(),
            anchors: unbounded_channel().0,
            gate: Arc::new(Gate::new(counters.clone())),
        });
        let (commits, committed) = sync_channel(1);
        let outbox = outbox.start(committed).unwrap();
        let committer = committer::start(journal, shared.clone(), commits, counters).unwrap();
        let shards = std::mem::take(&mut world.shards).into_iter().enumerate();
        let start = |(index, shard)| shards::start(index, shard, shared.clone()).unwrap();
        let threads = Threads { shards: shards.map(start).collect(), committer, outbox };
        Hub { world, shared, past, tickets, errands, threads }
    }

    /// Signs a wallet in on a connection of its own.
    fn connect(&mut self, at: usize) -> (Arc<Peer>, Wallet) {
        let peer = Arc::new(Peer::new(at as u64 + 1, 1, 1 << 20));
        self.world.set_online(at, true);
        let key = self.world.wallets[at].key.public();
        self.shared.router.sign_in(&peer, std::iter::once(key), 8).unwrap();
        let terms = *self.world.wallets[at].channel.terms();
        let idle = Wallet::new(super::world::key(0xEE), terms, super::world::DEPOSIT);
        (peer, std::mem::replace(&mut self.world.wallets[at], idle))
    }
}

impl Threads {
    /// As [`crate::run`] stops a hub. The journal stays open for whoever reads what is durable.
    fn stop(self, shared: &Shared) -> Slow {
        shared.queues.iter().for_each(|queue| queue.push(Job::Stop));
        self.shards.into_iter().for_each(|shard| shard.join().unwrap());
        shared.queues.iter().for_each(Queue::close);
        shared.log.close();
        let journal = self.committer.join().unwrap();
        self.outbox.join().unwrap();
        journal
    }
}

/// Puts records on a disk.
fn keep(disk: &Disk, records: &[Record]) {
    let mut journal = MemoryJournal::open(disk).unwrap();
    for record in records {
        journal.append(&settlement::encoding::encode(record)).unwrap();
    }
    journal.sync().unwrap();
}

/// The durable records.
fn durable(past: &dyn Past) -> Vec<Record> {
    let mut records = Vec::new();
    let mut keep = |_, bytes: &[u8]| {
        records.push(settlement::encoding::decode(bytes).unwrap());
        Ok(ControlFlow::Continue(()))
    };
    past.read(0, &mut keep).unwrap();
    records
}

/// What a start would make of the durable records, and of how many.
struct Found {
    shards: Vec<Shard>,
    records: u64,
}

impl Found {
    fn nothing(world: &World, shards: u16) -> Found {
        let shards = world.configs(shards).into_iter().map(Shard::new).collect();
        Found { shards, records: 0 }
    }

    /// Goes on to the newest; `each` looks at what there is before each record.
    fn go_on(&mut self, past: &dyn Past, each: impl Fn(&Record, &[Shard])) {
        let Found { shards, records } = self;
        let from = *records;
        let mut replay = |lsn, bytes: &[u8]| {
            let record: Record = settlement::encoding::decode(bytes).unwrap();
            each(&record, shards);
            shards.iter_mut().for_each(|shard| shard.replay(&record));
            *records = lsn;
            Ok(ControlFlow::Continue(()))
        };
        past.read(from, &mut replay).unwrap();
    }

    fn channel(&self, id: ChannelId) -> &settlement::channel::Channel {
        self.shards.iter().find_map(|shard| shard.channel(&id)).unwrap()
    }
}

/// The shards of these channels.
fn spread(channels: impl Iterator<Item = ChannelId>, shards: usize) -> BTreeSet<usize> {
    channels.map(|channel| shard_of(&channel, shards)).collect()
}
