//! The connections that stand, and who has to make room when there are too many.
//!
//! Anybody can connect, and a key costs nothing: a wallet signs in before it opens its first
//! channel. So connections whose wallets have channels are counted apart from those of strangers,
//! and nobody is turned away at the door: whoever comes takes the place of a stranger, the one that
//! has been here longest. A flood of strangers throws out strangers.
//!
//! Past [`Bounds::most`], connections with channels take the places of strangers too: an operator
//! who expects more has to raise it. What opening so many channels costs is for the ledger to say: the
//! hub hands on no opening below `channels.deposit_min`, and serves one that came to the ledger another
//! way, since a hub that is restored must answer for all that an earlier life of it served.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use settlement::reject::Code;
use tokio::sync::Notify;

use crate::answers::Answers;
use crate::config::Config;
use crate::peer::{Peer, SignedIn};

/// Keys without a channel that all connections together may have signed in; some 300 bytes each.
const KEYS_WITHOUT_MAX: usize = 1 << 18;

/// How many connections may stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Those with a wallet that has a channel.
    pub(crate) most: usize,
    /// Those that are signed in without one. Connections that have not signed in yet may take what
    /// is left of both.
    pub(crate) strangers: usize,
    /// Keys without a channel on all of them.
    pub(crate) keys_without: usize,
}

impl Bounds {
    /// What the settings say.
    pub(crate) fn of(config: &Config) -> Bounds {
        let connections = &config.connections;
        Bounds {
            most: connections.most,
            strangers: connections.strangers,
            keys_without: KEYS_WITHOUT_MAX,
        }
    }
}

/// See the module.
pub(crate) struct Peers {
    bounds: Bounds,
    last: AtomicU64,
    standing: Mutex<Standing>,
    changed: Notify,
    /// How long updates on all of them wait for answers.
    pub(crate) answers: Arc<Answers>,
}

/// A connection's place.
struct Seat {
    peer: Arc<Peer>,
    /// Keys on it that have no channel.
    without: usize,
}

/// Connections by their number, which only rises: the first has been here longest.
#[derive(Default)]
struct Standing {
    arriving: BTreeMap<u64, Seat>,
    strangers: BTreeMap<u64, Seat>,
    known: HashMap<u64, Seat>,
    /// Keys without a channel on all of them.
    without: usize,
}

impl Standing {
    fn len(&self) -> usize {
        self.arriving.len().saturating_add(self.strangers.len()).saturating_add(self.known.len())
    }

    fn peers(&self) -> impl Iterator<Item = &Arc<Peer>> {
        let new = self.arriving.values().chain(self.strangers.values());
        new.chain(self.known.values()).map(|seat| &seat.peer)
    }

    fn remove(&mut self, id: u64) -> Option<Seat> {
        let new = self.arriving.remove(&id).or_else(|| self.strangers.remove(&id));
        let seat = new.or_else(|| self.known.remove(&id))?;
        self.without = self.without.saturating_sub(seat.without);
        Some(seat)
    }

    fn evict(&mut self, id: u64) {
        if let Some(seat) = self.remove(id) {
            seat.peer.close(Code::TooManyConnections);
        }
    }

    /// Evicts until the bounds hold, though never the one that room is made for.
    fn make_room(&mut self, bounds: &Bounds, newcomer: u64) {
        let all = bounds.most.saturating_add(bounds.strangers);
        while self.strangers.len() > bounds.strangers || self.len() > all {
            // A flood of those that say nothing leaves those alone that have signed in, as long as
            // it is the larger one.
            let crowded = self.strangers.len() > bounds.strangers
                || self.strangers.len() > self.arriving.len();
            let crowd = if crowded { &self.strangers } else { &self.arriving };
            let Some(oldest) = crowd.keys().copied().find(|id| *id != newcomer) else { break };
            self.evict(oldest);
        }
        while self.without > bounds.keys_without {
            let Some(largest) = self.most_keys(newcomer) else { break };
            self.evict(largest);
        }
    }

    /// Who has the most keys without a channel: a stranger if there is one.
    fn most_keys(&self, newcomer: u64) -> Option<u64> {
        let largest = |one: &(u64, usize)| (one.1, std::cmp::Reverse(one.0));
        let without = |(id, seat): (&u64, &Seat)| (*id, seat.without);
        let other = |one: &(u64, usize)| one.0 != newcomer && one.1 > 0;
        let strangers = self.strangers.iter().map(without).filter(other).max_by_key(largest);
        let known = || self.known.iter().map(without).filter(other).max_by_key(largest);
        strangers.or_else(known).map(|(id, _)| id)
    }
}

impl Peers {
    /// Nobody yet.
    pub(crate) fn new(bounds: Bounds) -> Peers {
        let (standing, changed) = (Mutex::default(), Notify::new());
        Peers { bounds, last: AtomicU64::new(0), standing, changed, answers: Arc::default() }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new connection in. Where there is no room, an older one has to leave.
    pub(crate) fn join(&self, config: &Config) -> Arc<Peer> {
        let id = self.last.fetch_add(1, Relaxed).saturating_add(1);
        let peer = Peer::new(id, config.workers(), config.connections.out_bytes);
        let peer = Arc::new(peer.watched(&self.answers));
        let mut standing = self.standing();
        standing.arriving.insert(id, Seat { peer: peer.clone(), without: 0 });
        standing.make_room(&self.bounds, id);
        peer
    }

    /// What is signed in on a connection, or what has a channel of it, has changed.
    pub(crate) fn place(&self, peer: &Peer, signed: &SignedIn) {
        let mut standing = self.standing();
        // One that was evicted stays so.
        let Some(seat) = standing.remove(peer.id) else { return };
        let seat = Seat { without: signed.without_channel(), ..seat };
        standing.without = standing.without.saturating_add(seat.without);
        if signed.with_channel > 0 && standing.known.len() < self.bounds.most {
            standing.known.insert(peer.id, seat);
        } else {
            standing.strangers.insert(peer.id, seat);
        }
        standing.make_room(&self.bounds, peer.id);
    }

    /// The connection is gone, or about to be.
    pub(crate) fn leave(&self, peer: &Peer) {
        self.standing().remove(peer.id);
        self.changed.notify_waiters();
    }

    /// How many stand.
    pub(crate) fn len(&self) -> usize {
        self.standing().len()
    }

    /// Says goodbye to all.
    pub(crate) fn close_all(&self, code: Code) {
        self.standing().peers().for_each(|peer| peer.close(code));
    }

    /// Until none stands.
    pub(crate) async fn gone(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on a change is not missed.
            changed.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests;
