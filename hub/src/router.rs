//! Who is where: which shard keeps a channel, which connection its wallet is signed in on, and
//! which channel serves a wallet.
//!
//! What a connection is told goes through the outbox in the order of commits. So when a wallet
//! comes or goes, the shard is told ([`Job::Attach`], [`Job::Detach`]) under the same lock under
//! which the maps change: shard, outbox and maps see the same order.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};

use foldhash::HashMap;
use settlement::block::LedgerEvent;
use settlement::channel::{Channel, Phase};
use settlement::crypto::VerifyingKey;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::types::{AssetId, ChannelId, LedgerId, PublicKey};

use crate::by_channel::{ByChannel, OfChannel};
use crate::peer::{Peer, SignedIn};
use crate::peers::Peers;
use crate::queue::Queue;
use crate::shard::{Directory, Input, ShardConfig, Slice};
use crate::shards::Job;
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The queues of all shards.
pub(crate) type ShardQueues = Arc<[Queue<Job>]>;

/// Which of so many shards keeps a channel.
pub(crate) fn shard_of(channel: &ChannelId, shards: usize) -> usize {
    usize::from(Slice::index_of(channel, u16::try_from(shards).unwrap_or(u16::MAX)))
}

/// A channel, as messages about it need it.
pub(crate) struct Route {
    pub(crate) channel: ChannelId,
    pub(crate) asset: AssetId,
    wallet: PublicKey,
    /// The wallet's key, once something of it had to be checked: of a wallet that sleeps nothing has,
    /// and parsing the keys of all would hold a start up.
    key: OnceLock<Box<VerifyingKey>>,
    pub(crate) shard: usize,
    /// The connection that its wallet is signed in on; 0 for none.
    peer: AtomicU64,
    /// Whether it can't be paid through any more.
    closing: AtomicBool,
}

impl OfChannel for Arc<Route> {
    fn channel(&self) -> ChannelId {
        self.channel
    }
}

impl Route {
    /// The wallet's key; `None` if it is no point of the curve, which a ledger lets nobody open a
    /// channel with.
    pub(crate) fn key(&self) -> Option<&VerifyingKey> {
        if self.key.get().is_none() {
            let key = VerifyingKey::parse(&self.wallet).ok()?;
            // Somebody else may have been faster, with the same key.
            let _ = self.key.set(Box::new(key));
        }
        self.key.get().map(Box::as_ref)
    }

    /// Whether its wallet is signed in on this connection.
    pub(crate) fn is_with(&self, peer: &Peer) -> bool {
        self.peer.load(Relaxed) == peer.id
    }
}

#[derive(Default)]
struct Wallet {
    /// Its channels that are not paid out, oldest first.
    all: Routes,
    peer: Option<Arc<Peer>>,
}

/// Mostly one, which then takes no memory of its own.
#[derive(Default)]
enum Routes {
    #[default]
    None,
    One(Arc<Route>),
    Many(Vec<Arc<Route>>),
}

impl Deref for Routes {
    type Target = [Arc<Route>];

    fn deref(&self) -> &[Arc<Route>] {
        match self {
            Routes::None => &[],
            Routes::One(route) => std::slice::from_ref(route),
            Routes::Many(routes) => routes,
        }
    }
}

impl Routes {
    fn push(&mut self, route: Arc<Route>) {
        *self = match std::mem::take(self) {
            Routes::None => Routes::One(route),
            Routes::One(first) => Routes::Many(vec![first, route]),
            Routes::Many(mut routes) => {
                routes.push(route);
                Routes::Many(routes)
            }
        };
    }

    fn remove(&mut self, channel: &ChannelId) {
        match self {
            Routes::One(route) if route.channel == *channel => *self = Routes::None,
            Routes::Many(routes) => routes.retain(|route| route.channel != *channel),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Maps {
    channels: ByChannel<Arc<Route>>,
    wallets: HashMap<PublicKey, Wallet>,
}

/// See the module.
pub(crate) struct Router {
    /// Which channels the hub serves.
    config: ShardConfig,
    ledger: LedgerId,
    queues: ShardQueues,
    /// The connections that stand: they are told which wallets have channels.
    pub(crate) peers: Peers,
    maps: RwLock<Maps>,
}

fn signed(peer: &Peer) -> MutexGuard<'_, SignedIn> {
    peer.signed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Router {
    /// A router that knows no channel yet.
    pub(crate) fn new(config: ShardConfig, queues: ShardQueues, peers: Peers) -> Router {
        let ledger = config.genesis.ledger_id();
        Router { config, ledger, queues, peers, maps: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, route: &Route, job: Job) {
        if let Some(queue) = self.queues.get(route.shard) {
            queue.push(job);
        }
    }

    /// The channel of this id, unless it is unknown or paid out.
    pub(crate) fn route(&self, channel: &ChannelId) -> Option<Arc<Route>> {
        self.read().channels.get(channel).cloned()
    }

    /// The connection of a wallet that has a channel, if it is signed in on one; `None` for a wallet
    /// that has none.
    pub(crate) fn wallet(&self, wallet: &PublicKey) -> Option<Option<Arc<Peer>>> {
        let maps = self.read();
        let wallet = maps.wallets.get(wallet).filter(|wallet| !wallet.all.is_empty())?;
        Some(wallet.peer.clone())
    }

    /// The hub's key.
    pub(crate) fn hub(&self) -> &PublicKey {
        &self.config.hub
    }

    /// Has the shard of a channel close it without its wallet.
    pub(crate) fn close_alone(&self, channel: &ChannelId) {
        if let Some(route) = self.route(channel) {
            self.tell(&route, Job::Input(Input::CloseAlone(*channel)));
        }
    }

    /// How many channels are not paid out.
    pub(crate) fn channel_count(&self) -> usize {
        self.read().channels.len()
    }

    /// Follows what a block did. The shards must have been given the block before.
    pub(crate) fn follow(&self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Opened { terms, .. } if self.config.serves(&self.ledger, terms) => {
                self.open(*terms)
            }
            LedgerEvent::CloseStarted { channel, .. } => self.closing(channel),
            LedgerEvent::Settled { channel, .. } => self.closed(channel),
            _ => {}
        }
    }

    /// Takes a channel in that a shard has kept.
    pub(crate) fn restore(&self, channel: &Channel) {
        match channel.phase() {
            Phase::Closed { .. } => {}
            Phase::Open | Phase::Agreed { .. } => self.open(*channel.terms()),
            Phase::ClosingSoon | Phase::Closing { .. } => {
                self.open(*channel.terms());
                self.closing(&channel.id());
            }
        }
    }

    /// Takes a channel in that a shard knows.
    pub(crate) fn open(&self, terms: OpenTerms) {
        let channel = terms.channel_id();
        let mut maps = self.write();
        if maps.channels.contains(&channel) {
            return;
        }
        let shard = shard_of(&channel, self.queues.len());
        let route = Arc::new(Route {
            channel,
            asset: terms.asset,
            wallet: terms.wallet,
            key: OnceLock::new(),
            shard,
            peer: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        });
        maps.channels.insert_new(route.clone());
        let wallet = maps.wallets.entry(terms.wallet).or_default();
        wallet.all.push(route.clone());
        if let Some(peer) = wallet.peer.clone() {
            route.peer.store(peer.id, Relaxed);
            if wallet.all.len() == 1 {
                self.changes(&peer, |signed| signed.with_channel.saturating_add(1));
            }
            self.tell(&route, Job::Attach(channel, peer));
        }
    }

    /// A wallet on this connection has got its first channel, or lost its last.
    fn changes(&self, peer: &Peer, with_channel: impl Fn(&SignedIn) -> usize) {
        let mut signed = signed(peer);
        signed.with_channel = with_channel(&signed);
        self.peers.place(peer, &signed);
    }

    /// The channel can't be paid through any more; messages about it still arrive.
    pub(crate) fn closing(&self, channel: &ChannelId) {
        let maps = self.write();
        if let Some(route) = maps.channels.get(channel) {
            route.closing.store(true, Relaxed);
        }
    }

    fn closed(&self, channel: &ChannelId) {
        let mut maps = self.write();
        let Some(route) = maps.channels.remove(channel) else { return };
        let Some(wallet) = maps.wallets.get_mut(&route.wallet) else { return };
        wallet.all.remove(channel);
        if let Some(peer) = &wallet.peer {
            if wallet.all.is_empty() {
                self.changes(peer, |signed| signed.with_channel.saturating_sub(1));
            }
            self.tell(&route, Job::Detach(*channel, peer.id));
        } else if wallet.all.is_empty() {
            maps.wallets.remove(&route.wallet);
        }
    }

    /// Signs wallets in on a connection; where they were signed in before they are no more.
    ///
    /// # Errors
    /// [`Code::TooManyKeys`] when the connection would have more than `most`; nothing has changed.
    pub(crate) fn sign_in(
        &self,
        peer: &Arc<Peer>,
        keys: impl Iterator<Item = PublicKey> + Clone,
        most: usize,
    ) -> Result<(), Code> {
        let mut maps = self.write();
        let mut own = signed(peer);
        let new = keys.clone().filter(|key| !own.keys.contains(key)).count();
        if own.keys.len().saturating_add(new) > most {
            return Err(Code::TooManyKeys);
        }
        for key in keys {
            if !own.keys.insert(key) {
                continue;
            }
            let wallet = maps.wallets.entry(key).or_default();
            let with_channel = usize::from(!wallet.all.is_empty());
            own.with_channel = own.with_channel.saturating_add(with_channel);
            let before = wallet.peer.replace(peer.clone());
            for route in wallet.all.iter() {
                if let Some(before) = &before {
                    self.tell(route, Job::Detach(route.channel, before.id));
                }
                route.peer.store(peer.id, Relaxed);
                self.tell(route, Job::Attach(route.channel, peer.clone()));
            }
            if let Some(before) = before {
                self.taken_over(&before, &key, with_channel);
            }
        }
        self.peers.place(peer, &own);
        Ok(())
    }

    /// A wallet has signed in elsewhere.
    fn taken_over(&self, before: &Peer, key: &PublicKey, with_channel: usize) {
        let mut left = signed(before);
        left.keys.remove(key);
        left.with_channel = left.with_channel.saturating_sub(with_channel);
        if left.keys.is_empty() {
            before.close(Code::Replaced);
            self.peers.leave(before);
        } else {
            self.peers.place(before, &left);
        }
    }

    /// The connection is gone.
    pub(crate) fn sign_out(&self, peer: &Peer) {
        let mut maps = self.write();
        let left = std::mem::take(&mut *signed(peer));
        for key in left.keys {
            let Some(wallet) = maps.wallets.get_mut(&key) else { continue };
            if wallet.peer.as_ref().is_none_or(|now| now.id != peer.id) {
                continue;
            }
            wallet.peer = None;
            for route in wallet.all.iter() {
                route.peer.store(0, Relaxed);
                self.tell(route, Job::Detach(route.channel, peer.id));
            }
            if wallet.all.is_empty() {
                maps.wallets.remove(&key);
            }
        }
    }
}

impl Directory for Router {
    fn find(&self, wallet: &PublicKey, asset: AssetId) -> Option<(ChannelId, bool)> {
        let maps = self.read();
        let wallet = maps.wallets.get(wallet)?;
        let payable = |route: &&Arc<Route>| route.asset == asset && !route.closing.load(Relaxed);
        let route = wallet.all.iter().rev().find(payable)?;
        Some((route.channel, wallet.peer.is_some()))
    }

    fn all(&self, wallet: &PublicKey, asset: AssetId) -> Vec<ChannelId> {
        let maps = self.read();
        let all = maps.wallets.get(wallet).map(|wallet| wallet.all.iter());
        let all = all.into_iter().flatten().filter(|route| route.asset == asset);
        all.map(|route| route.channel).collect()
    }

    fn spread(&self, wallet: &PublicKey) -> u32 {
        let maps = self.read();
        let all = maps.wallets.get(wallet).map(|wallet| wallet.all.iter());
        let shards: BTreeSet<usize> = all.into_iter().flatten().map(|route| route.shard).collect();
        u32::try_from(shards.len()).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests;
