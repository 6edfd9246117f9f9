//! A hub in a process of its own, wallets, and a shop on loopback.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use client_sdk::api::LiabilityAnswer;
use client_sdk::client::{Client, ClientConfig, WalletHandle};
use client_sdk::http402::{Limits, PayingClient, Till, TillOptions};
use reqwest::Url;
use settlement::crypto::SigningKey;
use settlement::types::{Amount, AssetId, ChannelId};
use tests::process::PATIENCE;
use tests::process::hub::Hub;
use tests::shop::{UNIT, routes};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub(crate) const ASSET: AssetId = AssetId(0);
/// What each wallet gets, and puts into its channel.
pub(crate) const DEPOSIT: u64 = 100_000;

pub(crate) struct Stage {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) hub: Hub,
}

/// A wallet with a channel.
pub(crate) struct Member {
    pub(crate) wallet: WalletHandle,
    pub(crate) channel: ChannelId,
    /// What the hub owes in the channel to begin with.
    pub(crate) begins: u64,
    _client: Client,
}

/// A client that pays nothing.
pub(crate) fn plain() -> reqwest::Client {
    // Whoever was first has set the same.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::start(&tests::programs!(), &dir.path().join("hub"));
        Stage { dir, hub }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    /// A wallet with money in a channel, of the key that this number makes.
    pub(crate) async fn member(&self, number: u8) -> Member {
        let account = key(number).public();
        tokio::task::block_in_place(|| self.hub.http.faucet(&account, Amount(DEPOSIT)));
        let config = ClientConfig::new(&self.hub.url, self.path(&format!("wallet-{number}")));
        let client = Client::open(config, Vec::new()).await.unwrap();
        let wallet = client.add_new_wallet(key(number)).await.unwrap();
        let channel = wallet.open_channel(ASSET, Amount(DEPOSIT)).await.unwrap().channel;
        wallet.synced().await.unwrap();
        let begins = wallet.status().await.unwrap().channels[0].wallet_amount.0;
        Member { wallet, channel, begins, _client: client }
    }

    /// What the hub signs that it owes in a channel, as of now.
    pub(crate) fn owed(&self, channel: &ChannelId) -> u64 {
        tokio::task::block_in_place(|| {
            self.hub.anchor_now();
            let leaf: LiabilityAnswer =
                self.hub.http.get(&format!("/v1/channels/{channel}/liability")).ok();
            leaf.proof.verify(&leaf.liabilities).unwrap();
            leaf.proof.owed.0
        })
    }
}

impl Member {
    /// What is locked in its channel.
    pub(crate) async fn locked(&self) -> u64 {
        self.wallet.status().await.unwrap().channels[0].locked.0
    }

    /// What belongs to it in its channel.
    pub(crate) async fn holds(&self) -> u64 {
        self.wallet.status().await.unwrap().channels[0].wallet_amount.0
    }

    /// A client that pays out of it.
    pub(crate) fn paying(&self) -> PayingClient {
        PayingClient::new(self.wallet.clone(), limits()).unwrap()
    }
}

/// What clients may pay where a test says nothing else: locks of 200 steps.
pub(crate) fn limits() -> Limits {
    let limits = Limits::new(ASSET, Amount(100), Amount(50_000));
    Limits { lock_max: Amount(200 * UNIT.0), ahead: 64, window: 16, ..limits }
}

/// A request as a shop saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) version: Version,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) credential: String,
}

pub(crate) struct Shop {
    pub(crate) till: Till,
    pub(crate) realm: String,
    /// Words that were made.
    pub(crate) made: Arc<AtomicU64>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<()>,
    /// Ends its connections, too, once their answers are out.
    stop: Arc<Notify>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.stop.notify_one();
        self.server.abort();
    }
}

impl Shop {
    pub(crate) async fn open(member: &Member) -> Shop {
        Shop::open_with(member, TillOptions::default()).await
    }

    pub(crate) async fn open_with(member: &Member, options: TillOptions) -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let realm = listener.local_addr().unwrap().to_string();
        Shop::open_at(member, options, listener, realm)
    }

    /// A shop behind something, which clients know as `realm`.
    pub(crate) fn open_at(
        member: &Member,
        options: TillOptions,
        listener: TcpListener,
        realm: String,
    ) -> Shop {
        let till = Till::with(member.wallet.clone(), &realm, options).unwrap();
        let (made, seen): (Arc<AtomicU64>, Arc<Mutex<Vec<Seen>>>) = Default::default();
        let noted = seen.clone();
        let note = from_fn(move |request: Request, next: Next| {
            if let Some(credential) = request.headers().get(AUTHORIZATION) {
                let credential = credential.to_str().unwrap().to_owned();
                let (method, target) = (request.method().to_string(), request.uri().to_string());
                let version = request.version();
                noted.lock().unwrap().push(Seen { version, method, target, credential });
            }
            next.run(request)
        });
        let routes = routes(&till, &made).unwrap().layer(note);
        let stop = Arc::<Notify>::default();
        let told = stop.clone();
        let server = axum::serve(listener, routes)
            .with_graceful_shutdown(async move { told.notified().await });
        let server = tokio::spawn(async move { server.await.unwrap() });
        Shop { till, realm, made, seen, server, stop }
    }

    /// A shop of the same wallet that knows nothing of what this one has sold.
    pub(crate) async fn begun_again(self, member: &Member) -> Shop {
        drop(self);
        until("its till to be gone", async || Till::new(member.wallet.clone(), "").is_ok()).await;
        Shop::open(member).await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.realm).parse().unwrap()
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Steps served and held, over all streams.
    pub(crate) fn served_and_paid(&self) -> (u64, u64) {
        let charged = self.till.charged();
        let sum = |of: fn(&client_sdk::http402::Charged) -> u64| charged.iter().map(of).sum();
        (sum(|it| it.served), sum(|it| it.paid))
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waited = async {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !holds().await {
            looks.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waited).await.is_ok(), "waited for {what}");
}
