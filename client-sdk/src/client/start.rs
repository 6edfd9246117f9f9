//! Putting a client together: its threads, its tasks, and the queues between them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use settlement::block::SignedHeader;
use settlement::index::{Change, Index};
use settlement::params::Genesis;
use settlement::reject::Code;
use settlement::types::Height;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::committer::{Committer, Rows};
use super::connection::{Connection, Link, Outlet, Peer};
use super::core::{Core, CoreInput, CoreQueue, Links, Terms, queue};
use super::feed::Feed;
use super::members::Members;
use super::pipe::Pipe;
use super::setup::{keep_terms, wallet_config};
use super::store::{Restored, Store};
use super::{Client, ClientConfig, ClientError, Shared, submit};
use crate::api::HubInfo;
use crate::hub_http::HttpHub;
use crate::ledger_client::LedgerClient;

/// How often the core is told that time has passed.
const TICK: Duration = Duration::from_millis(250);

/// Everything that a client is put together from.
pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) hub: HttpHub,
    pub(super) ledger: Arc<dyn LedgerClient>,
    pub(super) genesis: Arc<Genesis>,
    pub(super) info: HubInfo,
    pub(super) members: Arc<Members>,
    pub(super) peer: Arc<Peer>,
    pub(super) newest: Option<SignedHeader>,
}

impl Parts {
    /// Starts the threads and tasks.
    pub(super) fn run(
        self,
        config: &ClientConfig,
        restored: Vec<Restored>,
    ) -> Result<Client, ClientError> {
        let (core, queue) = queue();
        let dropped = Arc::<AtomicBool>::default();
        let pipe = Arc::<Pipe>::default();
        let (wanted, wants) = watch::channel(Height(0));
        let mut tasks = Vec::new();
        let (outlets, links) = self.connect(config, &core, &mut tasks);
        let (submissions, submitted) = submit::submissions();
        let unanswered = submissions.unanswered();
        let (indexer, rows) = sync_channel(1);
        let archivable = Arc::<AtomicU64>::default();
        let behind = self.store.journal.durable().saturating_sub(self.store.index.position());
        let committer = Committer {
            pipe: pipe.clone(),
            journal: self.store.journal,
            indexer,
            archivable: archivable.clone(),
            members: self.members.clone(),
            outlets,
            submissions,
        };
        let (genesis, info) = (self.genesis.clone(), self.info.clone());
        let terms = Terms {
            fees: info.fees,
            make: Box::new(move |key, fees| wallet_config(key, &genesis, &info, fees)),
        };
        let links_of_core = Links {
            queue,
            dropped: dropped.clone(),
            pipe,
            members: self.members.clone(),
            wanted,
            uncovered: usize::try_from(behind).unwrap_or(usize::MAX),
            newest: self.newest,
        };
        let engine = Core::new(links_of_core, terms, restored);
        let index = self.store.index;
        let threads = vec![
            spawn("wallet-core", move || engine.run())?,
            spawn("wallet-commit", move || committer.run())?,
            spawn("wallet-index", move || keep_index(index, &rows, &archivable))?,
        ];
        let feed = Feed {
            ledger: self.ledger.clone(),
            genesis: self.genesis.clone(),
            future_ms: self.info.policy.stale_view_ms,
            core: core.clone(),
            wanted: wants,
        };
        let (members, ledger) = (self.members.clone(), self.ledger.clone());
        let submit = submit::run(submitted, members, ledger, self.genesis.clone());
        tasks.push(tokio::spawn(feed.run()).abort_handle());
        tasks.push(tokio::spawn(submit).abort_handle());
        tasks.push(tokio::spawn(tick(core.clone())).abort_handle());
        if let Some(link) = links.first() {
            let terms = keep_terms(self.hub.clone(), link.clone(), core.clone());
            tasks.push(tokio::spawn(terms).abort_handle());
        }
        let shared = Shared {
            core,
            hub: self.hub,
            ledger: self.ledger,
            genesis: self.genesis,
            info: self.info,
            members: self.members,
            links,
            connect: config.connect,
            unanswered,
        };
        let (shared, threads) = (Arc::new(shared), Mutex::new(threads));
        Ok(Client { shared, dropped, threads, tasks })
    }

    fn connect(
        &self,
        config: &ClientConfig,
        core: &CoreQueue,
        tasks: &mut Vec<AbortHandle>,
    ) -> (Vec<Outlet>, Vec<watch::Receiver<Link>>) {
        if !config.connect {
            return (Vec::new(), Vec::new());
        }
        let mut both = (Vec::new(), Vec::new());
        for number in 0..config.connections.max(1) {
            let (peer, members) = (self.peer.clone(), self.members.clone());
            let (connection, outlet, link) = Connection::new(number, peer, members, core.clone());
            tasks.push(tokio::spawn(connection.run()).abort_handle());
            both.0.push(outlet);
            both.1.push(link);
        }
        both
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, ClientError> {
    let spawned = Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error| ClientError::new(Code::Internal, format!("no thread: {error}")))
}

/// Tells the core the time until it is gone.
async fn tick(core: CoreQueue) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if core.send(CoreInput::Tick).await.is_err() {
            return;
        }
    }
}

/// Writes checkpoints. One that fails is taken again with the next: the journal has it all.
fn keep_index(mut index: Box<dyn Index>, rows: &Receiver<Rows>, archivable: &AtomicU64) {
    let mut kept: Vec<Change> = Vec::new();
    while let Ok((position, changed)) = rows.recv() {
        kept.extend(changed);
        if position <= index.position() {
            continue;
        }
        match index.checkpoint(position, &mut kept.iter().cloned()) {
            Ok(()) => {
                kept.clear();
                archivable.store(index.archivable(), Ordering::Release);
            }
            Err(error) => tracing::warn!(%error, "a checkpoint of the wallets failed"),
        }
    }
}
