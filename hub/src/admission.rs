//! How much work the hub lets in: sockets are read only while there is room for more.
//!
//! Queues between the parts of the hub are bounded in messages, and a message may be a payment or a
//! thousand. So what is under way between the read of a frame and the answer to it is counted in
//! operations ([`ops_of`]), all queues together, and when it is as much as the hub does in some tens of
//! milliseconds ([`budget`]), reading stops. What is not read waits in the sockets, and they push back
//! on whoever fills them. Connections that want to read stand in line ([`turns`]).
//!
//! # Why this never stands still
//! Only what the hub finishes by itself is counted: decode, verify, the shard's step, the commit, and
//! handing the answer to its connection. None of this waits for anything that a wallet has yet to say,
//! so what is under way comes to its end, and the next reader is let in. What it leads to does not
//! count: the payee's lock is added and told in the same step, and her acknowledgment and her secret
//! come back as frames of their own.
//!
//! They come through the same sockets as new payments, in order, and can't be told apart before they
//! are read. So they are not let in before others, but nobody is kept behind others either: whoever
//! stands in line gets a turn, each as large as all others', before anybody gets the next one. What
//! can lie before a secret in its socket is bounded by the protocol: one unanswered update for each
//! channel, and one answer for each lock of the hub's.
//!
//! What the hub itself puts into its queues (blocks, what shards pass to each other, closes, claims) is
//! never kept waiting.

mod budget;
mod turns;
mod weight;

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::Stream;
use tokio::sync::Notify;

use crate::counters::Counters;
use budget::Budget;
use turns::{QUANTUM, Turns};
pub(crate) use weight::ops_of;

/// See the module.
pub(crate) struct Gate {
    began: Instant,
    counters: Arc<Counters>,
    /// Operations that were read since the state was looked at last: most frames cost no lock.
    read: AtomicU64,
    /// How many may be, before who wants to read has to wait. None while somebody waits.
    room: AtomicU64,
    last: AtomicU64,
    state: Mutex<State>,
}

struct State {
    budget: Budget,
    turns: Turns<Arc<Place>>,
}

/// Where a reader waits.
#[derive(Default)]
struct Place {
    /// What it may read once it was let in.
    credit: AtomicU64,
    let_in: Notify,
}

/// What the gate shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) under_way: u64,
    pub(crate) limit: u64,
    pub(crate) finished: u64,
    pub(crate) waiting: usize,
    pub(crate) paused: Duration,
}

impl Gate {
    /// A gate that nobody went through. Commits are counted among the counters.
    pub(crate) fn new(counters: Arc<Counters>) -> Gate {
        let state = State { budget: Budget::new(), turns: Turns::new() };
        let room = AtomicU64::new(state.budget.room(0));
        Gate {
            began: Instant::now(),
            counters,
            read: AtomicU64::new(0),
            room,
            last: AtomicU64::new(0),
            state: Mutex::new(state),
        }
    }

    /// The state, with all that was read. Nothing done under this lock can panic half way, so a
    /// poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.budget.admit(self.read.swap(0, Relaxed));
        state
    }

    fn is_open(&self) -> bool {
        self.read.load(Relaxed) < self.room.load(Relaxed)
    }

    /// One who reads through this gate.
    pub(crate) fn reader(&self) -> Reader<'_> {
        let id = self.last.fetch_add(1, Relaxed);
        Reader { gate: self, id, place: Arc::default(), stands: false, credit: 0, debt: 0 }
    }

    /// So many operations are answered, or came to nothing.
    pub(crate) fn finish(&self, ops: u64) {
        if ops > 0 {
            let mut state = self.lock();
            state.budget.finish(ops, self.began.elapsed(), || self.counters.fastest_commit());
            self.let_in(&mut state);
        }
    }

    /// Lets in who has room for a whole turn, and says whether others have to wait.
    fn let_in(&self, state: &mut State) {
        let State { budget, turns } = state;
        let waited = turns.waiting() > 0;
        while budget.room(turns.reserved()) >= QUANTUM
            && let Some((place, credit)) = turns.let_in()
        {
            place.credit.store(credit, Relaxed);
            place.let_in.notify_one();
        }
        let waits = turns.waiting() > 0;
        if waits != waited {
            budget.press(waits, self.began.elapsed());
        }
        let room = if waits { 0 } else { budget.room(turns.reserved()) };
        self.room.store(room, Relaxed);
    }

    /// The figures of this moment.
    pub(crate) fn figures(&self) -> Figures {
        let mut state = self.lock();
        self.let_in(&mut state);
        let waiting = state.turns.waiting();
        state.budget.press(waiting > 0, self.began.elapsed());
        let budget = &state.budget;
        Figures {
            under_way: budget.under_way(),
            limit: budget.limit(),
            finished: budget.finished(),
            waiting,
            paused: budget.paused(),
        }
    }
}

/// One connection's way through the gate.
pub(crate) struct Reader<'a> {
    gate: &'a Gate,
    id: u64,
    place: Arc<Place>,
    /// Whether it stands in line, or was let in and does not know yet.
    stands: bool,
    /// What is left of its turn; 0 when it has none.
    credit: u64,
    /// What it read too much.
    debt: u64,
}

/// What was let in, until it is handed on: if that does not happen it counts as finished.
pub(crate) struct Admitted<'a> {
    gate: &'a Gate,
    ops: u64,
}

impl Admitted<'_> {
    /// Somebody else will say when it is finished.
    pub(crate) fn handed_on(mut self) {
        self.ops = 0;
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.gate.finish(self.ops);
    }
}

impl<'a> Reader<'a> {
    /// The stream's next item, once there is room for it. `ops_of` says how much an item is, and
    /// `is_stranger` where one stands that has to wait. Nothing is lost when this is dropped while it
    /// waits.
    pub(crate) async fn next<S: Stream + Unpin>(
        &mut self,
        stream: &mut S,
        ops_of: impl Fn(&S::Item) -> u64,
        is_stranger: impl Fn() -> bool,
    ) -> Option<(S::Item, Admitted<'a>)> {
        loop {
            if self.stands || !self.may_read() {
                self.wait(&is_stranger).await;
            }
            let read = std::future::poll_fn(|context| {
                if !self.may_read() {
                    return Poll::Ready(None);
                }
                match Pin::new(&mut *stream).poll_next(context) {
                    Poll::Ready(item) => Poll::Ready(Some(item)),
                    Poll::Pending => {
                        self.end_turn();
                        Poll::Pending
                    }
                }
            });
            if let Some(item) = read.await {
                let item = item?;
                let ops = ops_of(&item);
                self.admit(ops);
                return Some((item, Admitted { gate: self.gate, ops }));
            }
        }
    }

    fn may_read(&self) -> bool {
        self.credit > 0 || self.gate.is_open()
    }

    /// Until it is let in.
    async fn wait(&mut self, is_stranger: impl Fn() -> bool) {
        if !self.stands {
            let stranger = is_stranger();
            let mut state = self.gate.lock();
            let alone = state.turns.waiting() == 0;
            state.turns.line_up(self.id, stranger, self.debt, self.place.clone());
            (self.stands, self.debt) = (true, 0);
            if alone {
                state.budget.press(true, self.gate.began.elapsed());
            }
            self.gate.let_in(&mut state);
        }
        self.place.let_in.notified().await;
        self.stands = false;
        self.credit = self.place.credit.load(Relaxed);
    }

    fn admit(&mut self, ops: u64) {
        self.gate.read.fetch_add(ops, Relaxed);
        if self.credit > ops {
            self.credit = self.credit.saturating_sub(ops);
        } else if self.credit > 0 {
            self.debt = ops.saturating_sub(self.credit);
            self.end_turn();
        }
    }

    /// Gives back what was reserved for it, if it has a turn.
    fn end_turn(&mut self) {
        if std::mem::take(&mut self.credit) > 0 {
            let mut state = self.gate.lock();
            state.turns.end();
            self.gate.let_in(&mut state);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if self.stands {
            let mut state = self.gate.lock();
            if !state.turns.leave(self.id) {
                // It was let in, and does not know yet.
                state.turns.end();
            }
            self.gate.let_in(&mut state);
        }
        self.end_turn();
    }
}

#[cfg(test)]
mod tests;
