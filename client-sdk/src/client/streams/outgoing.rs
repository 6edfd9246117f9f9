//! A stream that this wallet pays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use settlement::lock::STEPS_MAX;
use settlement::reject::Code;
use settlement::types::Secret;
use tokio::sync::Mutex;

use super::super::handle::{WalletHandle, fresh};
use super::paying::{Paying, coming, goes_on, is_full, is_refused};
use super::{CLOSING, StreamOptions, Views, tokens, until};
use crate::client::ClientError;
use crate::relay::StepToken;
use crate::wallet::stream::{
    Chain, STREAM_LOCKS_OF_ONE_PAYER, StreamId, StreamKey, StreamPhase, StreamView,
};
use crate::wallet::{Command, Way};

/// See the module's page. Several of one stream pay it one after the other. Dropping it changes nothing: the stream stays open until it is closed, from
/// either side, or its locks end.
pub struct OutgoingStream {
    wallet: WalletHandle,
    key: StreamKey,
    options: StreamOptions,
    /// One at a time, in order.
    paying: Arc<Mutex<Paying>>,
    /// How many steps this has handed out, apart from those that were paid again.
    handed: AtomicU64,
}

impl OutgoingStream {
    pub(super) fn new(
        wallet: WalletHandle,
        view: &StreamView,
        options: StreamOptions,
        views: Views,
    ) -> OutgoingStream {
        let first = Paying { views, paid_again: view.returned, stood: None };
        let paying = wallet.shared.members.paying(wallet.index, view.key, first);
        OutgoingStream { wallet, key: view.key, options, paying, handed: AtomicU64::new(0) }
    }

    pub(super) async fn open(
        wallet: WalletHandle,
        options: StreamOptions,
    ) -> Result<OutgoingStream, ClientError> {
        let stream = StreamId(fresh()?);
        let key = StreamKey { way: Way::Out, peer: options.payee, stream };
        add_lock(&wallet, &key, &options).await?;
        let (mut views, view) = wallet.stream_views(key).await?;
        let ready = until(&wallet, &mut views, |view| match view.phase {
            StreamPhase::Ended(code) => Some(Err(code.unwrap_or(Code::StreamClosed))),
            _ => (view.ready > 0).then_some(Ok(())),
        });
        match tokio::time::timeout(options.patience, ready).await {
            Ok(ready) => ready?.map_err(|code| ClientError::new(code, code.title()))?,
            Err(_) => {
                // Whatever becomes of that, the lock ends by itself.
                let _ = wallet.close_stream(key).await;
                let detail = "the payee does not say that it has the stream's lock";
                return Err(ClientError::new(Code::Unanswered, detail));
            }
        }
        Ok(OutgoingStream::new(wallet, &view, options, views))
    }

    /// Names it within the wallet.
    pub fn key(&self) -> StreamKey {
        self.key
    }

    /// How it stands.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn view(&self) -> Result<StreamView, ClientError> {
        self.wallet.stream_views(self.key).await.map(|(_, view)| view)
    }

    /// How many steps the payee was paid for, once nothing more can come of the stream.
    #[cfg(feature = "http402")]
    pub(crate) async fn redeemed_at_the_end(&self) -> Result<Option<u64>, ClientError> {
        let key = self.key;
        self.wallet.look(move |wallet| wallet.redeemed_at_the_end(&key)).await
    }

    /// Pays so many steps: they are durable here, and on their way, when this returns. Waits while
    /// the payee has not said that it holds what came before, or that it has the next lock, and while
    /// the hub has no room for another lock of the stream. What this has paid and came back, because its
    /// lock ended before the payee redeemed it, is paid again ([`StreamView::returned`]). A wait that is
    /// given up may have paid a part.
    ///
    /// # Errors
    /// [`Code::StreamClosed`] and others that ended the stream; [`Code::InsufficientBalance`] and
    /// others when no further lock can be had ([`Code::NoCapacity`]: while none of the stream stands),
    /// [`Code::StreamSpent`] when none is wanted.
    pub async fn pay(&self, steps: u64) -> Result<StreamView, ClientError> {
        let mut paying = self.paying.lock().await;
        self.hand_over(&mut paying, steps).await
    }

    /// Waits until the payee holds all that was paid, for ten seconds at most; what comes back meanwhile
    /// is paid again. Closing a stream before that may leave some of it unpaid.
    ///
    /// # Errors
    /// As [`OutgoingStream::pay`]; [`Code::Unanswered`] when the payee does not say in time that it
    /// holds it.
    pub async fn delivered(&self) -> Result<StreamView, ClientError> {
        // Whoever else pays the stream may be waiting for the payee, too.
        let delivered = async { self.deliver(&mut *self.paying.lock().await).await };
        let delivered = tokio::time::timeout(CLOSING, delivered).await;
        delivered.map_err(|_| {
            let detail = "the payee does not say that it holds what was paid";
            ClientError::new(Code::Unanswered, detail)
        })?
    }

    async fn deliver(&self, paying: &mut Paying) -> Result<StreamView, ClientError> {
        loop {
            self.hand_over(paying, 0).await?;
            let again = paying.paid_again;
            let all_there = until(&self.wallet, &mut paying.views, |view| {
                let came_back = view.returned > again;
                (came_back || view.taken >= view.paid).then(|| (!came_back).then(|| view.clone()))
            });
            if let Some(view) = all_there.await? {
                return Ok(view);
            }
        }
    }

    /// Hands out so many steps and all that came back.
    async fn hand_over(&self, paying: &mut Paying, steps: u64) -> Result<StreamView, ClientError> {
        let mut wanted = steps;
        while wanted > 0 || paying.came_back() > 0 {
            let room = self.room(paying, 1).await?;
            let (again, new) = paying.shares(wanted, room);
            // Counted first: who does not wait for the answer must not pay it a second time.
            let before = paying.paid_again;
            paying.paid_again = before.saturating_add(again);
            let handed = self.hand_out(again.saturating_add(new), true).await;
            if let Err(error) = handed {
                paying.paid_again = before;
                return Err(error);
            }
            wanted = wanted.saturating_sub(new);
            self.handed.fetch_add(new, Relaxed);
            self.top_up(paying).await?;
        }
        let view = paying.views.borrow().clone();
        view.ok_or_else(super::unknown)
    }

    /// Hands so many steps out for another way than the relay: one token, or more where a lock ends,
    /// in the order in which the payee must get them. Durable here when this returns. Waits like
    /// [`OutgoingStream::pay`]: until the payee holds so much of what came before that
    /// [`Exposure::ahead`](super::Exposure::ahead) covers these steps too.
    ///
    /// # Errors
    /// As [`OutgoingStream::pay`]; [`Code::BadArgument`] for more steps at once than `ahead` covers, or than
    /// the locks have that may stand.
    pub async fn advance(&self, steps: u32) -> Result<Vec<StepToken>, ClientError> {
        let mut paying = self.paying.lock().await;
        if u64::from(steps) > self.most_ahead() {
            let detail = format!("a payer goes {} steps ahead at most", self.most_ahead());
            return Err(ClientError::new(Code::BadArgument, detail));
        }
        // So many would have to stand at once, beside one of which a part is paid.
        let lock_steps = u64::from(self.options.steps.min(STEPS_MAX));
        let most = lock_steps.saturating_mul(STREAM_LOCKS_OF_ONE_PAYER as u64 - 1);
        if u64::from(steps) > most {
            let detail = format!("a payee keeps locks of {most} steps at most: take larger locks");
            return Err(ClientError::new(Code::BadArgument, detail));
        }
        self.room(&mut paying, steps.into()).await?;
        let tokens = self.hand_out(steps.into(), false).await?;
        self.handed.fetch_add(steps.into(), Relaxed);
        // These were handed out, whatever comes of the next lock: who needs more hears of it then.
        let _ = self.top_up(&mut paying).await;
        Ok(tokens)
    }

    async fn hand_out(&self, steps: u64, by_relay: bool) -> Result<Vec<StepToken>, ClientError> {
        let (stream, steps) = (self.key, u32::try_from(steps).unwrap_or(u32::MAX));
        tokens(self.wallet.command(Command::Advance { stream, steps, by_relay }).await?)
    }

    /// How many steps can be handed out now, `least` or more: waits until there are so many.
    async fn room(&self, paying: &mut Paying, least: u64) -> Result<u64, ClientError> {
        let most = self.most_ahead();
        loop {
            if self.usable(&mut paying.views).await? < least {
                self.next_lock(paying).await?;
                continue;
            }
            let room = until(&self.wallet, &mut paying.views, |view| {
                let ahead = view.paid.saturating_sub(view.taken);
                let room = most.saturating_sub(ahead).min(view.usable);
                let ends = view.usable < least || view.phase != StreamPhase::Open;
                (room >= least || ends).then_some(room)
            });
            let room = room.await?;
            if room >= least {
                return Ok(room);
            }
            // A lock has ended meanwhile, or all of the stream has: the next turn says so.
        }
    }

    fn most_ahead(&self) -> u64 {
        self.options.exposure.ahead.max(1).into()
    }

    /// How many steps are left in locks that the payee has.
    async fn usable(&self, views: &mut Views) -> Result<u64, ClientError> {
        let known = |view: &StreamView| Some((view.usable, view.phase));
        let (usable, phase) = until(&self.wallet, views, known).await?;
        match phase {
            StreamPhase::Open | StreamPhase::Opening => Ok(usable),
            StreamPhase::Closing | StreamPhase::Ended(_) => Err(self.over(views)),
        }
    }

    /// Why no more is paid.
    fn over(&self, views: &Views) -> ClientError {
        let known = views.borrow().as_ref().map(|view| (view.phase, view.refused));
        let code = match known {
            Some((StreamPhase::Ended(Some(code)), _)) => code,
            Some((StreamPhase::Open | StreamPhase::Opening, refused)) => {
                refused.unwrap_or(Code::StreamSpent)
            }
            _ => Code::StreamClosed,
        };
        ClientError::new(code, code.title())
    }

    /// Adds the next lock once less than half of the last one is left. One that was refused is asked for
    /// again when a lock has ended, or all are used up.
    async fn top_up(&self, paying: &mut Paying) -> Result<(), ClientError> {
        let view = until(&self.wallet, &mut paying.views, |view| Some(view.clone())).await?;
        let left = view.left.saturating_add(view.wanted);
        let is_enough = left >= self.half_a_lock().min(self.still_wanted(paying));
        let refused = is_refused(&view, paying.stood);
        if !self.options.top_up || is_enough || refused || !goes_on(&view) {
            return Ok(());
        }
        paying.stood = Some(view.locks);
        match add_lock(&self.wallet, &self.key, &self.options).await {
            // What is left can still be paid; who needs more hears of it then.
            Err(_) if left > 0 => Ok(()),
            added => added,
        }
    }

    fn half_a_lock(&self) -> u64 {
        u64::from(self.options.steps / 2).max(1)
    }

    /// How many steps are still to be handed out, as far as that is known.
    fn still_wanted(&self, paying: &Paying) -> u64 {
        let handed = self.handed.load(Relaxed);
        let new = self.options.in_all.map_or(u64::MAX, |all| all.saturating_sub(handed));
        new.saturating_add(paying.came_back())
    }

    /// Waits until the payee has the next lock; asks for it if that was not done. While the hub has no
    /// room for it, and others of the stream stand, it is asked for once one of those has ended.
    async fn next_lock(&self, paying: &mut Paying) -> Result<(), ClientError> {
        let Paying { views, stood, .. } = paying;
        loop {
            let before = until(&self.wallet, views, |view| {
                let waits = coming(view) == 0 && is_full(view, *stood);
                (!waits).then(|| view.clone())
            });
            let before = before.await?;
            if coming(&before) == 0 {
                if !goes_on(&before) {
                    return Err(self.over(views));
                }
                if !self.options.top_up {
                    return Err(ClientError::new(Code::StreamSpent, Code::StreamSpent.title()));
                }
                *stood = Some(before.locks);
                add_lock(&self.wallet, &self.key, &self.options).await?;
            }
            let stands = until(&self.wallet, views, |view| {
                let more = view.usable > before.usable;
                (more || coming(view) == 0).then_some((more, view.refused, view.locks))
            });
            match stands.await? {
                (false, Some(Code::NoCapacity), 1..) => {}
                (false, Some(_), _) => return Err(self.over(views)),
                (true, ..) | (false, None, _) => return Ok(()),
            }
        }
    }

    /// Pays no more: the payee redeems what it has, and the rest of the money is this wallet's again
    /// when this returns, in a moment if the payee answers.
    ///
    /// # Errors
    /// [`Code::Unanswered`] when the payee does not: the rest comes back by itself when it does, or
    /// when the locks end.
    pub async fn close(self) -> Result<StreamView, ClientError> {
        self.wallet.end_stream(self.key).await
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn close_no_wait(&self) -> Result<(), ClientError> {
        self.wallet.close_stream(self.key).await
    }
}

/// Adds a lock of its own chain to a stream.
async fn add_lock(
    wallet: &WalletHandle,
    key: &StreamKey,
    options: &StreamOptions,
) -> Result<(), ClientError> {
    let (seed, nonce) = (Secret(fresh()?), fresh()?);
    let steps = options.steps.min(STEPS_MAX);
    // Up to 65,536 hashes: not on the one thread that owns the wallets.
    let chain = tokio::task::spawn_blocking(move || Chain::new(seed, steps)).await;
    let chain = Box::new(chain.map_err(|_| ClientError::stopped())?);
    let StreamOptions { payee, asset, unit, life_blocks, ref memo, .. } = *options;
    let (stream, memo) = (key.stream, memo.clone());
    let command =
        Command::OpenStream { stream, chain, nonce, payee, asset, unit, life_blocks, memo };
    wallet.command(command).await.map(|_| ())
}
