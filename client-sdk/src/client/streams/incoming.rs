//! Streams that this wallet is paid by.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_util::Stream;
use futures_util::stream::unfold;
use settlement::types::Amount;

use super::super::handle::{Events, WalletHandle};
use super::{Exposure, Views, until};
use crate::client::ClientError;
use crate::wallet::stream::{StreamKey, StreamPhase, StreamView};
use crate::wallet::{Command, Event, Way};

/// Streams to a wallet, one after the other.
pub struct IncomingStreams {
    wallet: WalletHandle,
    events: Events,
    exposure: Exposure,
    seen: HashSet<StreamKey>,
    waiting: Vec<StreamKey>,
}

impl IncomingStreams {
    pub(super) fn new(wallet: WalletHandle, events: Events, exposure: Exposure) -> IncomingStreams {
        let (seen, waiting) = (HashSet::new(), Vec::new());
        IncomingStreams { wallet, events, exposure, seen, waiting }
    }

    /// The next stream that has not ended: first those that stand, then each that comes. `None` when
    /// the client has ended.
    pub async fn next(&mut self) -> Option<IncomingStream> {
        if self.seen.is_empty() {
            self.list().await?;
        }
        loop {
            if let Some(key) = self.waiting.pop() {
                match self.wallet.incoming_stream(key, self.exposure).await {
                    Ok(stream) => return Some(stream),
                    Err(_) => continue,
                }
            }
            // A stream that is told of is here; one that a slow listener missed is in the list.
            match self.events.next_or_missed().await? {
                Some(Event::Stream(view)) if view.key.way == Way::In && !view.has_ended() => {
                    self.note(view.key);
                }
                Some(_) => {}
                None => self.list().await?,
            }
        }
    }

    /// The same as an async stream.
    pub fn into_stream(self) -> impl Stream<Item = IncomingStream> {
        unfold(self, |mut streams| async move {
            let next = streams.next().await?;
            Some((next, streams))
        })
    }

    fn note(&mut self, key: StreamKey) {
        if self.seen.insert(key) {
            self.waiting.push(key);
        }
    }

    async fn list(&mut self) -> Option<()> {
        let keys = self.wallet.look(|wallet| {
            let standing = wallet.streams(Way::In).filter(|view| !view.has_ended());
            standing.map(|view| view.key).collect::<Vec<_>>()
        });
        let keys = keys.await.ok()?;
        keys.into_iter().for_each(|key| self.note(key));
        Some(())
    }
}

/// What has come in since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Steps since the last time.
    pub steps: u64,
    /// Steps in all.
    pub total: u64,
    /// What these steps are worth, in base units.
    pub amount: Amount,
}

/// A stream that this wallet is paid by. What is received is durable here.
pub struct IncomingStream {
    wallet: WalletHandle,
    key: StreamKey,
    opened: StreamView,
    views: Views,
    exposure: Exposure,
    served: AtomicU64,
}

impl IncomingStream {
    pub(super) fn new(
        wallet: WalletHandle,
        opened: StreamView,
        views: Views,
        exposure: Exposure,
    ) -> IncomingStream {
        let key = opened.key;
        IncomingStream { wallet, key, opened, views, exposure, served: AtomicU64::new(0) }
    }

    /// Names it within the wallet; `key.peer` is the payer.
    pub fn key(&self) -> StreamKey {
        self.key
    }

    /// What a step is worth.
    pub fn unit(&self) -> Amount {
        self.opened.unit
    }

    /// What it is for, as its payer says.
    pub fn memo(&self) -> &str {
        &self.opened.memo
    }

    /// How it stands.
    pub fn view(&self) -> StreamView {
        self.views.borrow().clone().unwrap_or_else(|| self.opened.clone())
    }

    /// How many steps have come in, all locks of the stream together.
    pub fn paid(&self) -> u64 {
        self.view().paid
    }

    /// How many steps were served, as [`IncomingStream::serve`] was told.
    pub fn served(&self) -> u64 {
        self.served.load(Relaxed)
    }

    /// Counts what was served before, for who goes on with a stream after a restart.
    pub fn set_served(&self, steps: u64) {
        self.served.store(steps, Relaxed);
    }

    /// Counts so many steps as served once what was received covers them, but for the credit that is
    /// given. `false` when it never will: the payer pays no more. A wait that is given up counts
    /// nothing.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn serve(&self, steps: u64) -> Result<bool, ClientError> {
        let served = self.served.fetch_add(steps, Relaxed).saturating_add(steps);
        let counted = Counted { served: &self.served, steps };
        let needed = served.saturating_sub(self.exposure.credit);
        let mut views = self.views.clone();
        let covered = until(&self.wallet, &mut views, |view| {
            let over = matches!(view.phase, StreamPhase::Closing | StreamPhase::Ended(_));
            (view.paid >= needed || over).then_some(view.paid >= needed)
        });
        if covered.await? {
            counted.keep();
            return Ok(true);
        }
        Ok(false)
    }

    /// What comes in, from what is there already on; several steps may come as one item. Ends with
    /// the stream.
    pub fn received(&self) -> impl Stream<Item = Received> + use<> {
        let unit = self.opened.unit;
        let start = (self.wallet.clone(), self.views.clone(), 0u64);
        unfold(start, move |(wallet, mut views, before)| async move {
            let total = until(&wallet, &mut views, |view| {
                (view.paid > before || view.has_ended()).then_some(view.paid)
            });
            let total = total.await.ok().filter(|total| *total > before)?;
            let steps = total.saturating_sub(before);
            let amount = Amount(unit.0.saturating_mul(steps));
            Some((Received { steps, total, amount }, (wallet, views, total)))
        })
    }

    /// Waits until nothing more comes of it: all that was taken is settled.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn ended(&self) -> Result<StreamView, ClientError> {
        let mut views = self.views.clone();
        let ended = |view: &StreamView| view.has_ended().then(|| view.clone());
        until(&self.wallet, &mut views, ended).await
    }

    /// Redeems every step in hand now; that happens by itself within a second.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn redeem(&self) -> Result<(), ClientError> {
        self.wallet.command(Command::Redeem { stream: self.key }).await.map(|_| ())
    }

    /// Takes no more: what there is is redeemed, and the rest is the payer's again.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.wallet.close_stream(self.key).await
    }
}

/// Steps that are counted as served, for as long as it is not known that they were not.
struct Counted<'a> {
    served: &'a AtomicU64,
    steps: u64,
}

impl Counted<'_> {
    fn keep(mut self) {
        self.steps = 0;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.served.fetch_sub(self.steps, Relaxed);
    }
}
