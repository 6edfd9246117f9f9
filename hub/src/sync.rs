//! What the threads on the way of a payment share, wait on, and start with.
//!
//! It is what the standard library has. With the feature `shuttle` it is what a scheduler has that runs
//! one thread at a time and chooses which at each lock, wait, send and atomic operation: so the
//! tests of `interleavings` try out orders in which the very code of the committer, the queues and the
//! shards' threads may run. No program that is shipped has the feature; `.ci/run` looks.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic, mpsc,
    },
    thread,
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic, mpsc,
    },
    thread,
};

#[cfg(not(feature = "shuttle"))]
pub(crate) use settlement::journal::abort_on;

/// The end of a process, as a test can look at it: this thread does nothing any more. All others go on,
/// so what they do with what they have been told until then is seen too.
#[cfg(feature = "shuttle")]
pub(crate) fn abort_on(_: &settlement::journal::JournalError) -> ! {
    loop {
        thread::yield_now();
    }
}
