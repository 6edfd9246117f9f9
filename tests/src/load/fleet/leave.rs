//! Wallets that close their channel and come back with another.

use std::sync::mpsc::{Receiver, Sender};

use settlement::channel::{Channel, Now};
use settlement::crypto::Signable;

use super::{Books, Fleet};
use crate::load::churn::{Arrival, Departure};
use crate::load::socket::Socket;

/// Of so many wallets at most one is without a channel.
const AWAY_PART: usize = 10;
/// How long a channel must have been quiet before it is closed: what the hub says of its own accord
/// has come by then.
const CALM_NS: u64 = 300_000_000;
/// How long a wallet tries to leave.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Whether a wallet pays and is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Pays,
    /// It pays no more and nobody pays it; what is pending comes to its end.
    Leaving {
        since_ns: u64,
        acknowledged_ns: Option<u64>,
    },
    /// It has signed the close.
    Away,
}

/// Where wallets leave and come back.
pub struct Door {
    /// Which thread this is.
    pub thread: usize,
    /// Out.
    pub departures: Sender<Departure>,
    /// In.
    pub arrivals: Receiver<Arrival>,
}

/// A channel that was closed, for the books.
pub struct Left {
    /// What the wallet did on it.
    pub books: Books,
    /// As both sides signed it last.
    pub channel: Channel,
}

impl Fleet {
    /// From now on wallets leave and come back by this door.
    pub fn set_door(&mut self, door: Door) {
        self.door = Some(door);
    }

    /// Channels that were closed.
    pub fn left(&self) -> &[Left] {
        &self.left
    }

    /// Whether this wallet pays.
    pub fn pays(&self, at: usize) -> bool {
        self.wallets.get(at).is_some_and(|wallet| wallet.stage == Stage::Pays)
    }

    /// Has the next wallet leave, unless too many are away.
    pub fn leave_next(&mut self, now_ns: u64) {
        let (away, all) = (self.leaving.len(), self.wallets.len());
        if away >= (all / AWAY_PART).max(1) || !self.paying {
            return;
        }
        let at = (0..all).map(|nth| (self.next_leaving + nth) % all).find(|at| self.pays(*at));
        let Some(at) = at else { return };
        self.next_leaving = at + 1;
        self.wallets[at].stage = Stage::Leaving { since_ns: now_ns, acknowledged_ns: None };
        self.leaving.push(at);
    }

    /// Lets those that leave go as far as they can, and those in that are back.
    pub fn come_and_go(
        &mut self,
        sockets: &mut [Socket],
        now_ns: u64,
        said: &mut impl FnMut(usize),
    ) {
        let arrivals: Vec<Arrival> =
            self.door.iter().flat_map(|door| door.arrivals.try_iter()).collect();
        for Arrival { at, channel } in arrivals {
            self.arrive(at, channel, sockets);
            said(self.wallets[at].connection);
        }
        for at in self.leaving.clone() {
            let connection = self.wallets[at].connection;
            let Some(socket) = sockets.get_mut(connection) else { continue };
            if self.go_on(at, socket, now_ns) {
                said(connection);
            }
        }
        let wallets = &self.wallets;
        self.leaving.retain(|at| wallets[*at].stage != Stage::Pays);
    }

    fn arrive(&mut self, at: usize, channel: Channel, sockets: &mut [Socket]) {
        let wallet = &mut self.wallets[at];
        let old = std::mem::replace(&mut wallet.channel, channel);
        self.of_channel.remove(&old.id());
        self.gone.insert(old.id());
        self.of_channel.insert(wallet.channel.id(), at as u32);
        let books = std::mem::take(&mut wallet.books);
        self.left.push(Left { books, channel: old });
        (wallet.stage, wallet.met, wallet.agreed) = (Stage::Pays, false, false);
        wallet.nonce += 1;
        if let Some(socket) = sockets.get_mut(wallet.connection) {
            self.meet(at, socket);
        }
        self.list(at);
    }

    /// Whether it has said something.
    fn go_on(&mut self, at: usize, socket: &mut Socket, now_ns: u64) -> bool {
        let wallet = &mut self.wallets[at];
        let Stage::Leaving { since_ns, acknowledged_ns } = wallet.stage else { return false };
        if !self.paying || now_ns.saturating_sub(since_ns) > PATIENCE_NS {
            wallet.stage = Stage::Pays;
            self.stats.stayed += u64::from(self.paying);
            self.list(at);
            return false;
        }
        if !wallet.is_quiet() || wallet.coming > 0 || !wallet.due.is_empty() {
            wallet.flush = true;
            self.list(at);
            return false;
        }
        let Some(since) = acknowledged_ns else {
            let Some(step) = wallet.channel.acknowledge() else { return false };
            wallet.stage = Stage::Leaving { since_ns, acknowledged_ns: Some(now_ns) };
            self.send_update(at, &step, socket);
            return true;
        };
        if now_ns.saturating_sub(since) >= CALM_NS {
            self.close(at);
        }
        false
    }

    /// Signs the close, if the channel is as far.
    fn close(&mut self, at: usize) {
        let (Some(door), Some(wallet)) = (&self.door, self.wallets.get_mut(at)) else { return };
        let now = Now { view: self.view, policy: self.terms.policy(), lag: self.terms.lag };
        let until = now.view.height.after(now.policy.agreed_blocks(now.lag));
        let channel = &mut wallet.channel;
        let Ok(close) = channel.close_terms(until) else { return };
        let Ok(step) = channel.agree_close(&close, &now) else { return };
        channel.commit(&step);
        wallet.stage = Stage::Away;
        let signature = wallet.key.sign(&close.digest());
        let (thread, key, nonce) = (door.thread, wallet.key.clone(), wallet.nonce);
        // Whoever carries it on outlives the load.
        let _ = door.departures.send(Departure { thread, at, key, nonce, close, signature });
    }
}
