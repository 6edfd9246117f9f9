//! What a client keeps for each payee, over all streams to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::open::Purse;
use crate::http402::purse::{SharedSums, Sums};

/// How long an answer may still take that nobody waits for. What has come by then counts as served; a
/// server that is at work for longer is cut off, and charges nothing.
pub(in crate::http402) const LINGER: Duration = Duration::from_secs(3);

/// See the module.
pub(in crate::http402) struct Payee {
    /// What it was handed. It outlives streams: who ends one begins nothing anew.
    pub(super) sums: SharedSums,
    /// How many responses of it nobody waits for, while it is not known yet what they cost.
    endings: watch::Sender<usize>,
    /// Streams over which nothing more is paid, and which are not known to be over.
    past: Mutex<Vec<Arc<Purse>>>,
}

/// A response that nobody waits for.
pub(in crate::http402) struct Ending(Arc<Payee>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.endings.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Payee {
    /// Who may get so much in all.
    pub(super) fn new(budget: u64) -> Payee {
        let sums = Arc::new(Mutex::new(Sums::new(budget)));
        let (endings, past) = (watch::channel(0).0, Mutex::default());
        Payee { sums, endings, past }
    }

    /// One response more that nobody waits for.
    pub(in crate::http402) fn ending(self: &Arc<Payee>) -> Ending {
        self.endings.send_modify(|count| *count = count.saturating_add(1));
        Ending(self.clone())
    }

    /// How many there are, now and from now on.
    pub(super) fn endings(&self) -> watch::Receiver<usize> {
        self.endings.subscribe()
    }

    fn past(&self) -> MutexGuard<'_, Vec<Arc<Purse>>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is paid over this stream.
    pub(super) fn is_past(&self, purse: Arc<Purse>) {
        self.past().push(purse);
    }

    /// Looks which of those are over: what the payee did not redeem then, it never gets.
    pub(super) async fn look_back(&self) {
        let past = std::mem::take(&mut *self.past());
        for purse in past {
            match purse.redeemed_at_the_end().await {
                Some(redeemed) => purse.book().ended(redeemed),
                None => self.past().push(purse),
            }
        }
    }
}
