//! How much work on answers about history goes on at once: reading old blocks, and putting much
//! into the form it is sent in. It is done on threads of its own, by a few at a time, so that it
//! competes with the ledger's own thread for no lock and for a bounded part of the processors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::reject::Code;

/// Lets so many through at once, and so many wait; the rest is turned away.
#[derive(Clone)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

/// One who waits, until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Gate {
        let places = Arc::new(Semaphore::new(at_once));
        Gate { places, waiting: Arc::default(), waiting_max }
    }

    fn wait(&self) -> Result<Waiting, Code> {
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let guard = Waiting(Arc::clone(&self.waiting));
        if waiting < self.waiting_max { Ok(guard) } else { Err(Code::Overloaded) }
    }

    /// Does the work on a blocking thread when its turn comes.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when too many wait, [`Code::Internal`] when the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Code> {
        let waiting = self.wait()?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Code::LedgerUnavailable)?;
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held by the work and not by who asked, who may have gone away meanwhile.
            drop(place);
            done
        });
        done.await.map_err(|_| Code::Internal)
    }
}
