//! A stream that this wallet pays.

use settlement::lock::STEPS_MAX;
use settlement::reject::Code;
use settlement::types::Secret;
use tokio::sync::Mutex;

use super::super::handle::{WalletHandle, fresh};
use super::{StreamOptions, Views, tokens, until};
use crate::client::ClientError;
use crate::relay::StepToken;
use crate::wallet::stream::{Chain, StreamId, StreamKey, StreamPhase, StreamView};
use crate::wallet::{Command, Way};

/// See the module's page. Dropping it changes nothing: the stream stays open until it is closed, from
/// either side, or its locks end.
pub struct OutgoingStream {
    wallet: WalletHandle,
    key: StreamKey,
    options: StreamOptions,
    /// One at a time, in order.
    views: Mutex<Views>,
}

impl OutgoingStream {
    pub(super) fn new(
        wallet: WalletHandle,
        key: StreamKey,
        options: StreamOptions,
        views: Views,
    ) -> OutgoingStream {
        OutgoingStream { wallet, key, options, views: Mutex::new(views) }
    }

    pub(super) async fn open(
        wallet: WalletHandle,
        options: StreamOptions,
    ) -> Result<OutgoingStream, ClientError> {
        let stream = StreamId(fresh()?);
        let key = StreamKey { way: Way::Out, peer: options.payee, stream };
        add_lock(&wallet, &key, &options).await?;
        let (mut views, _) = wallet.stream_views(key).await?;
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
        Ok(OutgoingStream::new(wallet, key, options, views))
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
    /// the payee has not said that it holds what came before. A wait that is given up may have paid a
    /// part.
    ///
    /// # Errors
    /// [`Code::StreamClosed`] and others that ended the stream; [`Code::InsufficientBalance`] and
    /// others when no further lock can be had, [`Code::StreamSpent`] when none is wanted.
    pub async fn pay(&self, steps: u64) -> Result<StreamView, ClientError> {
        let mut views = self.views.lock().await;
        let mut wanted = steps;
        while wanted > 0 {
            let room = self.room(&mut views, 1).await?;
            let now = wanted.min(room);
            self.hand_out(now, true).await?;
            wanted = wanted.saturating_sub(now);
            self.top_up(&mut views).await?;
        }
        let view = views.borrow().clone();
        view.ok_or_else(super::unknown)
    }

    /// Hands so many steps out for another way than the relay: one token, or more where a lock ends,
    /// in the order in which the payee must get them. Durable here when this returns. Waits like
    /// [`OutgoingStream::pay`]: until the payee holds so much of what came before that
    /// [`Exposure::ahead`](super::Exposure::ahead) covers these steps too.
    ///
    /// # Errors
    /// As [`OutgoingStream::pay`]; [`Code::BadArgument`] for more steps at once than `ahead` covers.
    pub async fn advance(&self, steps: u32) -> Result<Vec<StepToken>, ClientError> {
        let mut views = self.views.lock().await;
        if u64::from(steps) > self.most_ahead() {
            let detail = format!("a payer goes {} steps ahead at most", self.most_ahead());
            return Err(ClientError::new(Code::BadArgument, detail));
        }
        self.room(&mut views, steps.into()).await?;
        let tokens = self.hand_out(steps.into(), false).await?;
        // These were handed out, whatever comes of the next lock: who needs more hears of it then.
        let _ = self.top_up(&mut views).await;
        Ok(tokens)
    }

    async fn hand_out(&self, steps: u64, by_relay: bool) -> Result<Vec<StepToken>, ClientError> {
        let (stream, steps) = (self.key, u32::try_from(steps).unwrap_or(u32::MAX));
        tokens(self.wallet.command(Command::Advance { stream, steps, by_relay }).await?)
    }

    /// How many steps can be handed out now, `least` or more: waits until there are so many.
    async fn room(&self, views: &mut Views, least: u64) -> Result<u64, ClientError> {
        let most = self.most_ahead();
        loop {
            if self.left(views).await? < least {
                self.next_lock(views).await?;
                continue;
            }
            let room = until(&self.wallet, views, |view| {
                let ahead = view.paid.saturating_sub(view.taken);
                let room = most.saturating_sub(ahead).min(view.left);
                let ends = view.left < least || view.phase != StreamPhase::Open;
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

    /// How many steps are left in locks that stand.
    async fn left(&self, views: &mut Views) -> Result<u64, ClientError> {
        let known = |view: &StreamView| Some((view.left, view.phase));
        let (left, phase) = until(&self.wallet, views, known).await?;
        match phase {
            StreamPhase::Open | StreamPhase::Opening => Ok(left),
            StreamPhase::Closing | StreamPhase::Ended(_) => Err(self.over(views)),
        }
    }

    /// Why no more is paid.
    fn over(&self, views: &Views) -> ClientError {
        let phase = views.borrow().as_ref().map(|view| view.phase);
        let code = match phase {
            Some(StreamPhase::Ended(Some(code))) => code,
            Some(StreamPhase::Open | StreamPhase::Opening) => Code::StreamSpent,
            _ => Code::StreamClosed,
        };
        ClientError::new(code, code.title())
    }

    /// Adds the next lock once less than half of the last one is left.
    async fn top_up(&self, views: &mut Views) -> Result<(), ClientError> {
        let coming =
            until(&self.wallet, views, |view| Some(view.left.saturating_add(view.wanted))).await?;
        if !self.options.top_up || coming >= u64::from(self.options.steps / 2).max(1) {
            return Ok(());
        }
        match add_lock(&self.wallet, &self.key, &self.options).await {
            // What is left can still be paid; who needs more hears of it then.
            Err(_) if coming > 0 => Ok(()),
            added => added,
        }
    }

    /// Waits for the next lock; asks for it if that was not done.
    async fn next_lock(&self, views: &mut Views) -> Result<(), ClientError> {
        let before = until(&self.wallet, views, |view| Some((view.left, view.wanted))).await?;
        if before.1 == 0 {
            if !self.options.top_up {
                return Err(ClientError::new(Code::StreamSpent, Code::StreamSpent.title()));
            }
            add_lock(&self.wallet, &self.key, &self.options).await?;
        }
        let stands = until(&self.wallet, views, |view| {
            let more = view.left > before.0;
            (more || view.wanted == 0).then_some(more)
        });
        if stands.await? { Ok(()) } else { Err(self.over(views)) }
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
