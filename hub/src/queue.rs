//! A bounded queue that hands over everything that waits at once.
//!
//! Threads that work in batches take the whole queue with one lock. What comes from wallets waits
//! for room, so that a full queue pushes back on the socket that fills it. What the hub itself puts
//! in (blocks, payments passed between shards) never waits: two shards that waited for each other's
//! room would wait for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// See the module.
pub(crate) struct Queue<T> {
    capacity: usize,
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue in which `capacity` items wait before [`Queue::push_all`] does.
    pub(crate) fn new(capacity: usize) -> Queue<T> {
        Queue {
            capacity,
            state: Mutex::new(State { items: VecDeque::new(), closed: false }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        }
    }

    /// Nothing done under this lock can panic half way, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items wait before [`Queue::push_all`] does.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Puts one in, room or not.
    pub(crate) fn push(&self, item: T) {
        self.lock().items.push_back(item);
        self.filled.notify_one();
    }

    /// Moves all in, waiting for room first; after [`Queue::close`] they are dropped.
    pub(crate) fn push_all(&self, items: &mut Vec<T>) {
        if items.is_empty() {
            return;
        }
        let mut state = self.lock();
        while state.items.len() >= self.capacity && !state.closed {
            state = self.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            items.clear();
        }
        state.items.extend(items.drain(..));
        drop(state);
        self.filled.notify_one();
    }

    /// Swaps everything that waits into `batch` (which must be empty), waiting until `deadline` for
    /// something. False once the queue is closed and empty.
    pub(crate) fn take_all(&self, batch: &mut VecDeque<T>, deadline: Instant) -> bool {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return true;
            }
            let waited = self.filled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.items, batch);
        let open = !(state.closed && batch.is_empty());
        drop(state);
        self.emptied.notify_all();
        open
    }

    /// Takes one, waiting for it. `None` once the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                drop(state);
                self.emptied.notify_one();
                return Some(item);
            }
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets takers finish what waits, and nobody wait any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_full_queue_makes_wallets_wait_and_lets_the_hub_through() {
        let queue = Arc::new(Queue::new(2));
        queue.push_all(&mut vec![1, 2]);
        queue.push(3);
        let blocked = queue.clone();
        let waiter = std::thread::spawn(move || blocked.push_all(&mut vec![4]));
        let mut batch = VecDeque::new();
        assert!(queue.take_all(&mut batch, soon()));
        assert_eq!(batch, [1, 2, 3], "the fourth waited for room");
        waiter.join().unwrap();
        assert_eq!(queue.take(), Some(4));
    }

    #[test]
    fn a_closed_queue_gives_what_waits_and_then_ends() {
        let queue = Queue::new(8);
        queue.push(1);
        queue.close();
        let mut batch = VecDeque::new();
        assert!(queue.take_all(&mut batch, soon()));
        assert_eq!(batch, [1]);
        batch.clear();
        assert!(!queue.take_all(&mut batch, soon()));
        assert_eq!(queue.take(), None);
    }
}
