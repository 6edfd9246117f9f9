//! What waits for the ledger's thread: work (transactions handed in, blocks made by hand) comes
//! before questions, so that nobody's questions delay a claim.
//!
//! Both queues are bounded. After [`WORK_IN_A_ROW`] pieces of work a question gets its turn, so that
//! a flood of transactions does not silence the ledger either.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::reject::Code;

/// The most that wait in each queue.
pub(super) const WAITING_MAX: usize = 4_096;

/// How much work is done before a question that waits.
pub(super) const WORK_IN_A_ROW: usize = 64;

/// Which queue something waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Work,
    Question,
}

/// What the thread is to do next.
pub(super) enum Next<T> {
    Do(T),
    /// The time given has come.
    Due,
    /// Nobody will ask for anything any more.
    Closed,
}

/// The two queues. `T` is what the thread does for somebody.
pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    news: Condvar,
}

struct State<T> {
    work: VecDeque<T>,
    questions: VecDeque<T>,
    /// Pieces of work done since the last question.
    in_a_row: usize,
    closed: bool,
}

impl<T> State<T> {
    fn next(&mut self) -> Option<T> {
        let question_first = self.in_a_row >= WORK_IN_A_ROW && !self.questions.is_empty();
        if !question_first && let Some(work) = self.work.pop_front() {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Some(work);
        }
        self.in_a_row = 0;
        self.questions.pop_front()
    }
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Arc<Inbox<T>> {
        let (work, questions) = (VecDeque::new(), VecDeque::new());
        let state = State { work, questions, in_a_row: 0, closed: false };
        Arc::new(Inbox { state: Mutex::new(state), news: Condvar::new() })
    }

    /// Nothing panics while it is held, and each change is whole.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something into its queue.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when that is full, [`Code::LedgerUnavailable`] once it is closed.
    pub(super) fn put(&self, kind: Kind, what: T) -> Result<(), Code> {
        let mut state = self.state();
        if state.closed {
            return Err(Code::LedgerUnavailable);
        }
        let queue = match kind {
            Kind::Work => &mut state.work,
            Kind::Question => &mut state.questions,
        };
        if queue.len() >= WAITING_MAX {
            return Err(Code::Overloaded);
        }
        queue.push_back(what);
        drop(state);
        self.news.notify_one();
        Ok(())
    }

    /// Waits for what is to be done next, until the time given if there is one.
    pub(super) fn next(&self, until: Option<Instant>) -> Next<T> {
        let mut state = self.state();
        loop {
            if state.closed {
                return Next::Closed;
            }
            if let Some(found) = state.next() {
                return Next::Do(found);
            }
            state = match until {
                None => self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Next::Due;
                    }
                    let waited = self.news.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes nothing in any more, and drops what waits: whoever asked is told so.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let dropped = (std::mem::take(&mut state.work), std::mem::take(&mut state.questions));
        drop(state);
        drop(dropped);
        self.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(inbox: &Inbox<u32>) -> Option<u32> {
        match inbox.next(Some(Instant::now())) {
            Next::Do(what) => Some(what),
            Next::Due | Next::Closed => None,
        }
    }

    #[test]
    fn work_comes_before_questions_that_came_first() {
        let inbox = Inbox::new();
        for (kind, what) in [(Kind::Question, 1), (Kind::Question, 2), (Kind::Work, 3)] {
            inbox.put(kind, what).unwrap();
        }
        let order = [done(&inbox), done(&inbox), done(&inbox), done(&inbox)];
        assert_eq!(order, [Some(3), Some(1), Some(2), None]);
    }

    #[test]
    fn a_flood_of_either_keeps_no_room_of_the_other() {
        for (flood, other) in [(Kind::Work, Kind::Question), (Kind::Question, Kind::Work)] {
            let inbox = Inbox::new();
            for at in 0..WAITING_MAX as u32 {
                inbox.put(flood, at).unwrap();
            }
            assert_eq!(inbox.put(flood, 0), Err(Code::Overloaded));
            assert_eq!(inbox.put(other, u32::MAX), Ok(()));
            let before = (0..).take_while(|_| done(&inbox) != Some(u32::MAX)).count();
            assert!(before <= WORK_IN_A_ROW, "{flood:?}: {before}");
        }
    }

    #[test]
    fn who_closes_it_drops_what_waits_and_wakes_who_waits() {
        let inbox = Inbox::new();
        let told = Arc::new(());
        inbox.put(Kind::Work, Arc::clone(&told)).unwrap();
        inbox.close();
        assert_eq!(Arc::strong_count(&told), 1);
        assert_eq!(inbox.put(Kind::Work, told), Err(Code::LedgerUnavailable));
        let inbox: Arc<Inbox<u32>> = Inbox::new();
        let waiting = Arc::clone(&inbox);
        let thread = std::thread::spawn(move || matches!(waiting.next(None), Next::Closed));
        inbox.close();
        assert!(thread.join().unwrap());
    }
}
