//! The async client: many wallets with one hub, over a few connections, in one durable store.
//!
//! ```text
//! socket → verify (runtime threads) ─┐
//! ledger → check headers ────────────┼→ core (one thread, owns the wallets) → group
//! commands, time ────────────────────┘                                          │
//! socket ← sign (runtime threads) ← committer (one thread: append, fdatasync) ←─┘
//! ```
//!
//! Nothing leaves the process before what it rests on is durable: messages, signatures, submissions
//! to the ledger and answers to the user are all performed by the committer, behind the fsync of
//! their group and of every earlier one. A failed fsync ends the process. While one group is synced
//! the next one fills, so a busy client needs few syncs and an idle one answers at once.
//!
//! Everything is bounded: the core's queue pushes back on sockets and users, the group on the core,
//! and a connection that does not keep up is dropped and made again.

mod committer;
mod connection;
mod core;
mod counted;
mod error;
#[cfg(feature = "http402")]
mod facts;
mod feed;
mod flows;
mod handle;
mod kept;
mod members;
mod pipe;
mod protect;
mod recover;
mod requests;
mod setup;
mod start;
mod status;
mod store;
mod streams;
mod submit;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::join_all;
use settlement::block::SignedHeader;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::params::Genesis;
use settlement::reject::Code;
use settlement::types::PublicKey;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use crate::api::HubInfo;
use crate::hub_http::HttpHub;
use crate::ledger_client::LedgerClient;
use crate::trust::Trust;
use connection::Peer;
use core::{CoreInput, CoreQueue};
use members::Members;
use setup::{Found, find_setup, wallet_config};
use start::Parts;
use store::{Setup, Store};

#[cfg(any(feature = "tower", feature = "http402"))]
pub(crate) use core::clock_ms;
#[cfg(feature = "http402")]
pub(crate) use facts::OnlyTill;
#[cfg(feature = "http402")]
pub(crate) use handle::fresh;

pub use connection::Link;
pub use counted::Counts;
pub use error::ClientError;
pub use flows::{Closed, Opened};
pub use handle::{Events, WalletHandle};
pub use protect::{Protections, Ranks};
pub use status::{Status, StatusChannel};
pub use streams::{
    Exposure, IncomingStream, IncomingStreams, OutgoingStream, Received, StreamOptions,
};

/// How long a client that ends waits for its connections to say the last of what there is to say.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How a client is opened.
#[derive(Clone)]
pub struct ClientConfig {
    /// The hub's address, such as `http://127.0.0.1:7400`.
    pub hub_url: String,
    /// The ledger, where it is not the one that the hub names or serves itself.
    pub ledger: Option<Arc<dyn LedgerClient>>,
    /// The store's directory. One process owns it.
    pub store_dir: PathBuf,
    /// How many connections the wallets share, at least 1. Each is served by one core at a time.
    pub connections: usize,
    /// Whether the hub is connected to at all. Without, the client only follows the ledger.
    pub connect: bool,
    /// Whether the keys that the store does not have yet were only just made: then their wallets
    /// begin with the ledger's newest block.
    pub new_keys: bool,
    /// Whose certificates are believed where an address starts with `https://`.
    pub trust: Trust,
}

impl ClientConfig {
    /// One connection, and the ledger that the hub names or serves itself.
    pub fn new(hub_url: impl Into<String>, store_dir: impl Into<PathBuf>) -> ClientConfig {
        ClientConfig {
            hub_url: hub_url.into(),
            ledger: None,
            store_dir: store_dir.into(),
            connections: 1,
            connect: true,
            new_keys: false,
            trust: Trust::default(),
        }
    }
}

/// What all handles of a client share.
struct Shared {
    core: CoreQueue,
    hub: HttpHub,
    ledger: Arc<dyn LedgerClient>,
    genesis: Arc<Genesis>,
    info: HubInfo,
    members: Arc<Members>,
    links: Vec<watch::Receiver<Link>>,
    /// A connection that is not wanted counts as down.
    connect: bool,
    /// Submissions that the ledger has neither taken nor refused.
    unanswered: watch::Receiver<usize>,
}

/// An open client. Dropping it is like a crash that loses nothing durable; [`Client::shutdown`]
/// saves the next start some time.
pub struct Client {
    shared: Arc<Shared>,
    dropped: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    tasks: Vec<AbortHandle>,
}

impl Client {
    /// Opens the store, restores its wallets and starts connecting and following. `keys` must have
    /// the key of every wallet in the store; keys that it does not have yet are added, and look for
    /// channels from the ledger's first block on.
    ///
    /// When the store is new, hub and ledger have to answer; later neither is needed.
    ///
    /// # Errors
    /// [`Code::HubUnavailable`], [`Code::LedgerUnavailable`]; [`Code::WrongLedger`] when the ledger
    /// is not the one that the hub or the store names; [`Code::HomeLocked`],
    /// [`Code::StoreDamaged`]; [`Code::BadArgument`] for an address or a missing key.
    pub async fn open(
        config: ClientConfig,
        keys: Vec<Arc<SigningKey>>,
    ) -> Result<Client, ClientError> {
        let hub = HttpHub::trusting(&config.hub_url, &config.trust)?;
        let Found { setup, ledger, newest } = find_setup(&config, &hub).await?;
        let dir = config.store_dir.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
        let store = store.map_err(|_| ClientError::stopped())??;
        let (client, more) = Client::start(&config, store, setup, (hub, ledger), (keys, newest))?;
        for key in more {
            client.add(key, config.new_keys).await?;
        }
        Ok(client)
    }

    /// Starts with the wallets of the store; returns the keys that it does not have.
    fn start(
        config: &ClientConfig,
        store: Store,
        setup: Setup,
        (hub, ledger): (HttpHub, Arc<dyn LedgerClient>),
        (keys, newest): (Vec<Arc<SigningKey>>, Option<SignedHeader>),
    ) -> Result<(Client, Vec<Arc<SigningKey>>), ClientError> {
        let Setup { hub: info, genesis } = setup;
        let hub_key = VerifyingKey::parse(&info.hub);
        let hub_key = hub_key.map_err(|_| {
            ClientError::new(Code::BadSignIn, "the hub names no public key of its own")
        })?;
        let restored = store.load(&|public| {
            let key = keys.iter().find(|key| key.public() == *public).cloned();
            let key = key.ok_or_else(|| missing_key(public))?;
            Ok(wallet_config(key, &genesis, &info, &info.fees))
        })?;
        let members = Arc::new(Members::new(config.connections));
        for (public, _) in &restored {
            let key = keys.iter().find(|key| key.public() == *public);
            members.add(key.ok_or_else(|| missing_key(public))?.clone());
        }
        let peer = Peer {
            url: hub.connect_url(),
            trust: config.trust.clone(),
            ledger: info.ledger,
            hub: info.hub,
            hub_key,
        };
        let parts = Parts {
            store,
            hub,
            ledger,
            genesis: Arc::new(genesis),
            info,
            members,
            peer: Arc::new(peer),
            newest,
        };
        let known: Vec<PublicKey> = restored.iter().map(|(public, _)| *public).collect();
        let client = parts.run(config, restored)?;
        let more = keys.into_iter().filter(|key| !known.contains(&key.public())).collect();
        Ok((client, more))
    }

    /// Adds a wallet whose key may have been used before: it looks for its channels from the
    /// ledger's first block on. Adding one that is there already returns that one.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn add_wallet(&self, key: SigningKey) -> Result<WalletHandle, ClientError> {
        self.add(Arc::new(key), false).await
    }

    /// Adds a wallet whose key was only just made from fresh randomness: it begins with the
    /// ledger's newest block.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn add_new_wallet(&self, key: SigningKey) -> Result<WalletHandle, ClientError> {
        self.add(Arc::new(key), true).await
    }

    async fn add(&self, key: Arc<SigningKey>, fresh: bool) -> Result<WalletHandle, ClientError> {
        let (added, index) = oneshot::channel();
        let input = CoreInput::Add { key: key.clone(), fresh, added };
        self.shared.core.send(input).await.map_err(|_| ClientError::stopped())?;
        let index = index.await.map_err(|_| ClientError::stopped())?;
        Ok(WalletHandle::new(self.shared.clone(), index, key))
    }

    /// The wallets that the client has, in the order of adding.
    pub fn wallets(&self) -> Vec<WalletHandle> {
        let members = (0u32..).map_while(|index| Some((index, self.shared.members.get(index)?)));
        members
            .map(|(index, member)| WalletHandle::new(self.shared.clone(), index, member.key))
            .collect()
    }

    /// The hub's terms, as last seen.
    pub fn hub(&self) -> &HubInfo {
        &self.shared.info
    }

    /// What the ledger started from.
    pub fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    /// How each connection stands.
    pub fn links(&self) -> Vec<Link> {
        self.shared.links.iter().map(|link| link.borrow().clone()).collect()
    }

    /// Ends: settles what is due with a hub that is connected, says the last of it (a hub can't
    /// anchor what this side has not acknowledged), and takes a checkpoint that saves the next start
    /// from replaying the journal. A hub that does not answer holds it up for a few seconds.
    pub async fn shutdown(self) {
        self.settle().await;
        // A core that is gone already has nothing to save.
        let _ = self.shared.core.send(CoreInput::Shutdown).await;
        let client = Arc::new(self);
        let threads = client.clone();
        if tokio::task::spawn_blocking(move || threads.join()).await.is_err() {
            tracing::error!("the client's threads did not end cleanly");
        }
        client.said_all().await;
    }

    /// Gives what is under way in each wallet a moment to be settled.
    async fn settle(&self) {
        let wallets = self.wallets().into_iter();
        let connected = wallets.filter(|wallet| matches!(wallet.link(), Link::Up { .. }));
        let settled = connected.map(|wallet| async move { wallet.settle().await });
        // What takes longer goes on with the next start.
        let _ = tokio::time::timeout(handle::SETTLE, join_all(settled)).await;
    }

    /// Waits until the connections that are up have written what the committer has put out, and
    /// have ended: each does when the core and the committer have.
    async fn said_all(&self) {
        let up = self.shared.links.iter().filter(|link| matches!(*link.borrow(), Link::Up { .. }));
        let ended =
            up.cloned().map(|mut link| async move { while link.changed().await.is_ok() {} });
        if tokio::time::timeout(LAST_WORDS, join_all(ended)).await.is_err() {
            tracing::warn!("the hub does not read what this client has to say");
        }
    }

    fn join(&self) {
        let threads: Vec<_> =
            self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the client panicked");
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.dropped.store(true, Ordering::Release);
        // A full queue wakes the core just as well.
        let _ = self.shared.core.try_send(CoreInput::Wake);
        self.join();
    }
}

fn missing_key(public: &PublicKey) -> ClientError {
    let detail = format!("the store holds the wallet {public}, and its key was not given");
    ClientError::new(Code::BadArgument, detail)
}

#[cfg(test)]
pub(crate) mod tests;
