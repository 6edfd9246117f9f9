//! Starting a hub, and stopping it so that nothing is left half done.

mod open;
mod prepare;
mod signing;
mod stop;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use settlement::journal::{FileJournal, Journal};
use settlement::ledger::serve::{ANSWERS_BYTES, Bounds, serve};
use settlement::ledger::service::LedgerHandle;
use settlement::types::{Height, LedgerId, PublicKey};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::counters::Counters;
use crate::home::Home;
use crate::hub::Hub;
use crate::tips::Watch;
use crate::{admin, api};
use open::Opened;

/// How long requests that are being answered may take when the hub stops.
const GRACE: Duration = Duration::from_secs(2);

/// How long a start waits for the lease on an embedded ledger; it goes on without.
const LEASE: Duration = Duration::from_secs(2);

/// A hub that serves. Dropping it without [`RunningHub::stop`] leaves it running until the process
/// ends.
pub struct RunningHub {
    hub: Arc<Hub>,
    opened: Opened,
    listening: SocketAddr,
    admin: SocketAddr,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

/// Starts a hub: takes its data directory, starts the embedded ledger or finds the one that the
/// settings name, rebuilds every channel, and serves. A first start with `development` set makes a
/// key, and a ledger if none is named.
///
/// # Errors
/// When a file, an address or a setting can't be used; each error says what to do.
pub async fn start(config: Config) -> Result<RunningHub> {
    start_over(config, |journal| Box::new(journal)).await
}

/// The same over another journal: `over` is given the one in the data directory, from which the
/// channels were rebuilt, and makes of it the one that the hub writes to from now on.
///
/// # Errors
/// As [`start`].
pub async fn start_over(
    config: Config,
    over: impl FnOnce(FileJournal) -> Box<dyn Journal>,
) -> Result<RunningHub> {
    config.check()?;
    let (listener, admin_listener) =
        (bind("listen", config.listen).await?, bind("admin_listen", config.admin_listen).await?);
    let (listening, admin) = (listener.local_addr()?, admin_listener.local_addr()?);
    // How many cores the system gives may change while the hub runs; workers and lanes stay.
    let config = Config { verify_workers: config.workers(), ..config };
    let (hub, opened) = open::open(config, over).await?;
    if opened.ledger.is_some() {
        // Such a lease is held within milliseconds; nobody is to be refused for that.
        let _ = tokio::time::timeout(LEASE, hub.authority.ready()).await;
    }
    watch_tips(&hub, opened.ledger.is_some())?;
    let (stop, stopped) = watch::channel(false);
    let bounds = Bounds {
        // Requests come beside the connections that stay.
        sockets: hub.config.connections.most.saturating_add(256),
        head: Duration::from_millis(hub.config.connections.sign_in_ms),
        answers: ANSWERS_BYTES,
    };
    let routes = api::routes(hub.clone(), opened.ledger_routes());
    let admin_routes = admin::routes(hub.clone());
    let few = Bounds { sockets: 64, ..bounds };
    let servers = vec![
        tokio::spawn(serve(listener, routes, bounds, stopped.clone(), GRACE)),
        tokio::spawn(serve(admin_listener, admin_routes, few, stopped, GRACE)),
    ];
    tracing::info!(%listening, %admin, hub = %hub.key.public(), "serving");
    Ok(RunningHub { hub, opened, listening, admin, stop, servers })
}

/// Has the headers looked at that wallets show.
fn watch_tips(hub: &Hub, is_embedded: bool) -> Result<()> {
    let dir = Home::at(&hub.config.data_dir)?.ledger();
    let (ledger, authority) = (hub.ledger.clone(), hub.authority.clone());
    let watch = Watch::over(ledger, &hub.genesis, is_embedded.then_some(dir), authority)?;
    hub.pool.show_tips(watch.start(hub.blocks.subscribe()));
    Ok(())
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} ({key})"))
}

impl RunningHub {
    /// Where wallets connect, as `http://…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.listening)
    }

    /// Where operators look, as `http://…`.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The hub's key.
    pub fn key(&self) -> PublicKey {
        self.hub.key.public()
    }

    /// Which ledger.
    pub fn ledger_id(&self) -> LedgerId {
        self.hub.ledger_id
    }

    /// The embedded ledger, if there is one.
    pub fn ledger(&self) -> Option<LedgerHandle> {
        self.opened.ledger()
    }

    /// Figures since the start.
    pub fn counters(&self) -> &Counters {
        &self.hub.counters
    }

    /// The newest height that the hub has followed.
    pub fn height(&self) -> Height {
        *self.hub.height.borrow()
    }

    /// Tells when [`RunningHub::height`] moves.
    pub fn heights(&self) -> watch::Receiver<Height> {
        self.hub.height.clone()
    }

    /// Until another process has taken the hub's lease; says so. Nothing is signed from then on, and
    /// the process is to be stopped for good.
    pub async fn fenced(&self) -> String {
        self.hub.authority.fenced().await
    }

    /// Stops: takes nothing new, lets what is pending be answered for at most 5 s, says goodbye,
    /// takes a checkpoint, and stops the ledger.
    pub async fn stop(self) {
        let RunningHub { hub, opened, stop, servers, .. } = self;
        stop::stop(hub, opened, &stop, servers).await;
    }
}
