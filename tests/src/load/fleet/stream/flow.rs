//! What streams do of their own accord: the next lock, redemptions, and giving the rest back.

use settlement::channel::{Answer, Effect, NewOp, Now};
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::wire::Message;

use super::super::{Fleet, Stage};
use super::{Stream, StreamLock, UNIT};
use crate::load::socket::Socket;

/// Redemptions in a turn, before the sockets are looked at again.
const REDEMPTIONS_PER_TURN: usize = 2_048;
/// Locks of a stream at once.
const LOCKS: usize = 4;
/// How long a payer may wait to hear again what it had been told, once both have met the hub.
const AGAIN_NS: u64 = 5_000_000_000;

impl Fleet {
    /// So many wallets pay a stream.
    pub fn start_streams(&mut self) {
        let count = self.pace.streams.streams.min(self.wallets.len());
        self.streams = (0..count).map(|_| Stream::default()).collect();
    }

    /// Whether a stream goes on: else it comes to its end.
    fn flows(&self, at: usize) -> bool {
        let payee = self.payee_of(at);
        let pays = |at: usize| self.wallets[at].stage == Stage::Pays;
        self.paying && pays(at) && pays(payee)
    }

    pub(super) fn list_stream(&mut self, at: usize) {
        if let Some(stream) = self.streams.get_mut(at)
            && !std::mem::replace(&mut stream.listed, true)
        {
            self.ready.push_back(at);
        }
    }

    /// A redemption of the next stream falls due.
    pub fn redemption_falls_due(&mut self) {
        let all = self.streams.len().max(1);
        let at = self.next_stream % all;
        self.next_stream = (at + 1) % all;
        if let Some(stream) = self.streams.get_mut(at) {
            stream.due = stream.due.saturating_add(1);
            self.list_stream(at);
        }
    }

    /// Whether this wallet's stream needs its next lock.
    pub(in super::super) fn needs_lock(&self, at: usize, now_ns: u64) -> bool {
        let Some(stream) = self.streams.get(at) else { return false };
        let low = stream.left() <= self.pace.streams.steps_per_lock / 2;
        low && stream.locks.len() < LOCKS
            && now_ns >= stream.not_before_ns
            && self.view.fresh
            && self.flows(at)
    }

    /// What adds the next lock of this wallet's stream.
    pub(in super::super) fn lock_ops(&mut self, at: usize) -> Vec<NewOp> {
        let payee = self.payees[self.payee_of(at)];
        let expiry = self.view.height.after(self.terms.policy().stream_life_max);
        let (steps, fees) = (self.pace.streams.steps_per_lock, *self.terms.fees());
        let rng = &mut self.rng;
        let Some(stream) = self.streams.get_mut(at) else { return Vec::new() };
        let next = stream.next.take().or_else(|| StreamLock::new(rng, steps, &fees));
        stream.next = next;
        stream.next.as_ref().map(|lock| lock.ops(payee, expiry)).unwrap_or_default()
    }

    /// The next lock stands in an update, under this id.
    pub(in super::super) fn lock_is_sent(&mut self, at: usize, id: u64) {
        let payee = self.payee_of(at);
        let Some(stream) = self.streams.get_mut(at) else { return };
        if let Some(lock) = stream.next.take() {
            stream.locks.push_back(StreamLock { outgoing: id, ..lock });
            self.wallets[payee].coming += 1;
            self.stats.stream_locks += 1;
        }
    }

    /// It does not: it is tried again with the next update.
    pub(in super::super) fn lock_is_not_sent(&mut self, code: Code) {
        if !matches!(code, Code::TooManyUnacknowledged | Code::TooManyLocks) {
            self.stats.refused(format!("a stream's lock was not sent: {code}"));
        }
    }

    /// Lets streams go on: each that may redeem does so once, and again in its turn.
    pub fn flow(&mut self, sockets: &mut [Socket], now_ns: u64, said: &mut impl FnMut(usize)) {
        self.wind_up_ending(sockets, now_ns, said);
        if !self.paying || !self.view.fresh {
            return;
        }
        for _ in 0..REDEMPTIONS_PER_TURN {
            let Some(at) = self.ready.pop_front() else { return };
            self.streams[at].listed = false;
            if let Some(connection) = self.redeem(at, sockets, now_ns) {
                said(connection);
                self.list_stream(at);
            }
            if self.needs_lock(at, now_ns) {
                self.list(at);
            }
        }
    }

    /// Whether some stream may have more to redeem at once.
    pub fn goes_on(&self) -> bool {
        self.paying && self.view.fresh && !self.ready.is_empty()
    }

    /// Redeems once, if there is something to redeem; on which connection.
    fn redeem(&mut self, at: usize, sockets: &mut [Socket], now_ns: u64) -> Option<usize> {
        let pace = self.pace.streams;
        let payee = self.payee_of(at);
        let flows = self.flows(at) && self.wallets[payee].met;
        let stream = self.streams.get_mut(at)?;
        let due = !pace.open_loop || stream.due > 0;
        if !flows || !due || stream.ahead(pace.steps_per_redemption) >= pace.ahead {
            return None;
        }
        let usable = |lock: &&mut StreamLock| lock.incoming.is_some() && lock.left() > 0;
        let lock = stream.locks.iter_mut().find(usable)?;
        let more = lock.left().min(pace.steps_per_redemption);
        let shown = lock.shown + more;
        // From the payer to the payee, which checks each step.
        let secret = lock.chain.secret(shown)?;
        let newest = (0..more).fold(secret.0, |value, _| chain_step(&value));
        assert!(newest == lock.newest, "a step of a chain does not fit");
        let (id, left) = (lock.incoming?, lock.chain.steps() - shown);
        let now = Now { view: self.view, policy: &self.terms.info.policy, lag: self.terms.lag };
        let wallet = &mut self.wallets[payee];
        let claimable = wallet.channel.claimable(id, &now);
        let step = claimable.and_then(|_| wallet.channel.reveal_measured(id, &secret, left));
        let Ok(Some(step)) = step else { return None };
        let socket = sockets.get_mut(wallet.connection)?;
        let channel = wallet.channel.id();
        for effect in wallet.channel.commit(&step) {
            if let Effect::SendReveal { id, secret } = effect {
                socket.queue(&Message::Reveal { channel, id, secret });
            }
        }
        wallet.books.earned += UNIT.0 * u64::from(more);
        wallet.books.steps_shown += u64::from(more);
        (lock.shown, lock.newest) = (shown, secret.0);
        lock.mark.get_or_insert((shown, now_ns));
        stream.due = stream.due.saturating_sub(1);
        Some(wallet.connection)
    }

    /// Streams that come to their end, because nothing more is paid or one of their wallets leaves.
    fn wind_up_ending(
        &mut self,
        sockets: &mut [Socket],
        now_ns: u64,
        said: &mut impl FnMut(usize),
    ) {
        let ending: Vec<usize> = if self.paying {
            let leaving = self.leaving.iter();
            leaving.flat_map(|at| [Some(*at), self.payer_of(*at)]).flatten().collect()
        } else {
            (0..self.streams.len()).collect()
        };
        for at in ending {
            let payee = self.payee_of(at);
            let Some(connection) = self.wallets.get(payee).map(|payee| payee.connection) else {
                continue;
            };
            let Some(socket) = sockets.get_mut(connection) else { continue };
            if self.wind_up(at, socket, now_ns) {
                said(connection);
            }
        }
    }

    /// The payee gives up what is left, once all that it has redeemed is settled. Whether it has said
    /// something.
    fn wind_up(&mut self, at: usize, socket: &mut Socket, now_ns: u64) -> bool {
        let payee = self.payee_of(at);
        let ready = |at: usize| self.wallets[at].met && self.wallets[at].stage != Stage::Away;
        let Some(stream) = self.streams.get(at) else { return false };
        if !ready(payee) || stream.locks.is_empty() {
            return false;
        }
        if stream.resend {
            return self.show_again(at, socket, now_ns);
        }
        let standing: Vec<u64> = stream.locks.iter().filter_map(|lock| lock.incoming).collect();
        let mut said = false;
        for id in standing {
            let channel = &mut self.wallets[payee].channel;
            let known = channel.incoming().locks.get(&id);
            let rest = known.is_some_and(|known| matches!(known.answer, None | Some(Answer::Held)));
            let Ok(step) = channel.fail(id, Code::StreamClosed) else { continue };
            if rest && channel.usable().is_ok() {
                channel.commit(&step);
                let channel = channel.id();
                socket.queue(&Message::Fail { channel, id, code: Code::StreamClosed });
                said = true;
            }
        }
        said
    }

    /// After a reconnect the payee says again what it has redeemed, but not before the hub has shown
    /// the payer what it had told it: so that is known to have been on the disk.
    fn show_again(&mut self, at: usize, socket: &mut Socket, now_ns: u64) -> bool {
        let payee = self.payee_of(at);
        if !self.wallets[at].met && self.wallets[at].stage != Stage::Away {
            return false;
        }
        let standing = &self.wallets[at].channel.outgoing().standing;
        let stream = &mut self.streams[at];
        let missing = stream.locks.iter().filter(|lock| {
            let known = standing.get(&lock.outgoing).and_then(|standing| standing.answer);
            !lock.payer_done && !lock.told_again && matches!(known, Some(Answer::Known { .. }))
        });
        let missing = missing.count() as u64;
        let since_ns = *stream.waits_since_ns.get_or_insert(now_ns);
        if missing > 0 && now_ns.saturating_sub(since_ns) < AGAIN_NS {
            return false;
        }
        stream.resend = false;
        self.list(at);
        if missing > 0 {
            self.stats.lost_state += missing;
            self.stats.refused("redemptions forgotten that a payer was told of".to_owned());
        }
        let again = self.wallets[payee].channel.to_resend();
        for effect in again {
            match effect {
                Effect::SendReveal { id, .. } if self.is_of_stream(payee, id) => {
                    self.perform(payee, effect, socket, now_ns);
                }
                _ => {}
            }
        }
        true
    }

    /// Whether this payer waits to hear again what it had been told. Until then it settles nothing,
    /// which would tell the hub.
    pub(in super::super) fn waits_to_be_told(&self, at: usize) -> bool {
        self.streams.get(at).is_some_and(|stream| stream.resend)
    }

    /// Nothing counts that was said on the connections before.
    pub(in super::super) fn part_streams(&mut self) {
        for stream in &mut self.streams {
            (stream.resend, stream.waits_since_ns) = (!stream.locks.is_empty(), None);
            stream.locks.iter_mut().for_each(|lock| lock.told_again = false);
        }
    }
}
