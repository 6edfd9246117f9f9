//! What a client keeps for each payee, over all streams to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use settlement::types::Amount;
use tokio::sync::{Mutex as AsyncMutex, watch};

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
    /// Held while a stream to it is opened: a payee that does not answer keeps nobody waiting but who
    /// wants to pay it.
    pub(super) opening: AsyncMutex<()>,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    /// Over which it is paid, by unit.
    now: HashMap<Amount, Arc<Purse>>,
    /// Over which nothing more is paid, and which are not known to be over.
    past: Vec<Arc<Purse>>,
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
        let (opening, streams) = Default::default();
        Payee { sums, endings: watch::channel(0).0, opening, streams }
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

    /// What may still be spent on it.
    pub(super) fn left(&self) -> u64 {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).left()
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream of this unit.
    pub(super) fn purse(&self, unit: Amount) -> Option<Arc<Purse>> {
        self.streams().now.get(&unit).cloned()
    }

    /// All that it is paid over.
    pub(super) fn purses(&self) -> Vec<Arc<Purse>> {
        self.streams().now.values().cloned().collect()
    }

    /// It is paid over this one from now on; over none for none.
    pub(super) fn pay_over(&self, unit: Amount, purse: Option<Arc<Purse>>) {
        let mut streams = self.streams();
        let before = match purse {
            Some(purse) => streams.now.insert(unit, purse),
            None => streams.now.remove(&unit),
        };
        streams.past.extend(before);
    }

    /// It is paid over none of these any more: all that are not known to be over.
    pub(super) fn pay_no_more(&self) -> Vec<Arc<Purse>> {
        let mut streams = self.streams();
        let now = std::mem::take(&mut streams.now);
        streams.past.extend(now.into_values());
        streams.past.clone()
    }

    /// Looks which of those are over: what the payee did not redeem then, it never gets.
    pub(super) async fn look_back(&self) {
        let past = std::mem::take(&mut self.streams().past);
        for purse in past {
            match purse.redeemed_at_the_end().await {
                Some(redeemed) => purse.book().ended(redeemed),
                None => self.streams().past.push(purse),
            }
        }
    }
}
