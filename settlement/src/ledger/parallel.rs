//! The same work on many things, on all cores. What comes out does not depend on how many there
//! are, so the ledger stays deterministic.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// How many signatures a worker takes at a time: about half a millisecond of them, so that a dear
/// one delays nobody and the counter is no bottleneck.
pub(super) const SIGNATURES: usize = 16;

/// How many threads may work at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workers(pub(super) NonZero<usize>);

impl Default for Workers {
    /// One for each core. Asked once: the answer is read from files.
    fn default() -> Workers {
        static CORES: OnceLock<NonZero<usize>> = OnceLock::new();
        let count = || thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        Workers(*CORES.get_or_init(count))
    }
}

impl Workers {
    /// `work` on each item, in the order of the items. A worker takes `portion` of them at a time;
    /// no more than that are done without starting a thread.
    pub(super) fn map<T: Sync, R: Send>(
        self,
        portion: usize,
        items: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Vec<R> {
        let portions: Vec<&[T]> = items.chunks(portion.max(1)).collect();
        let workers = self.0.get().min(portions.len());
        if workers <= 1 {
            return items.iter().map(work).collect();
        }
        let next = AtomicUsize::new(0);
        let run = || {
            let mut mine: Vec<(usize, Vec<R>)> = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(portion) = portions.get(at) else {
                    return mine;
                };
                mine.push((at, portion.iter().map(&work).collect()));
            }
        };
        let mut done: Vec<(usize, Vec<R>)> = thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
            let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
            joined.flat_map(|mine| mine.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        done.sort_unstable_by_key(|(at, _)| *at);
        done.into_iter().flat_map(|(_, results)| results).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: usize) -> Workers {
        Workers(NonZero::new(count).unwrap())
    }

    #[test]
    fn results_come_in_the_order_of_the_items_whoever_works() {
        for count in [0, 1, 16, 17, 163] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            for (portion, threads) in [(16, 1), (16, 2), (16, 7), (1, 2), (1, 200), (0, 2)] {
                let done = workers(threads).map(portion, &items, |item| item * 2);
                assert_eq!(done, expected, "{count} items, {portion} at a time, {threads} threads");
            }
        }
    }

    /// Each item waits until the other was begun, so one thread alone would never get through.
    #[test]
    fn two_workers_work_at_the_same_time() {
        let both = std::sync::Barrier::new(2);
        let leaders = workers(2).map(1, &[0, 1], |_| both.wait().is_leader());
        assert_eq!(leaders.iter().filter(|leader| **leader).count(), 1);
    }

    #[test]
    #[should_panic(expected = "an item that panics")]
    fn a_panic_is_not_lost() {
        let items: Vec<usize> = (0..160).collect();
        workers(2).map(SIGNATURES, &items, |item| assert!(*item != 100, "an item that panics"));
    }
}
