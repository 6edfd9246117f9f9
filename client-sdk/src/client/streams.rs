//! Streams for programs: paying by the step, and being paid so.
//!
//! ```text
//! payer                                        payee
//! let stream = wallet.open_stream(…).await?;   let mut streams = wallet.incoming_streams();
//! stream.pay(3).await?;                        let mut stream = streams.next().await?;
//! stream.pay(1).await?;                        stream.serve(1).await?;  // may I go on?
//! stream.close().await?;                       stream.received() // async Stream of what came in
//! ```
//!
//! - **Paying** hands steps over by the hub's relay, end-to-end encrypted. [`OutgoingStream::pay`]
//!   returns when they are durable here and on their way; it waits while the payee has not said that
//!   it holds what came before ([`Exposure::ahead`]) or that it has the lock that they are of, and adds
//!   the next lock while the last one still has steps, so that paying does not stop for it. What comes
//!   back with a lock that ends before the payee redeems it is paid again with the next.
//!   [`OutgoingStream::delivered`] waits until the payee has said that it holds everything.
//! - **Another way than the relay**, such as a header of an HTTP request:
//!   [`OutgoingStream::advance`] gives the steps as [`StepToken`]s (one, or two where a lock ends),
//!   and the payee's side gives what it got to [`WalletHandle::take_step`], which returns once they
//!   are durable there. [`Exposure::ahead`] holds here too: of these steps the payer hears once they are
//!   redeemed, within about a second. The feature `http402` has both halves of that for HTTP.
//! - **Serving** on credit is [`IncomingStream::serve`]: it waits until what was received covers all
//!   that was served, but for [`Exposure::credit`] steps.
//! - **Redeeming** happens by itself, within a second of a step, and when the wallet closes; or with
//!   [`IncomingStream::redeem`].
//! - **Closing**, from either side, redeems what there is, and has the rest of the payer's money back
//!   in a moment. If the other side is gone, it comes back when the lock ends.
//! - After a restart of either side [`WalletHandle::streams`] lists what there is, and
//!   [`WalletHandle::resume_stream`], [`WalletHandle::incoming_stream`] go on with it.

mod incoming;
mod outgoing;
mod paying;

use std::time::Duration;

use settlement::lock::STEPS_MAX;
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, PublicKey};
use tokio::sync::watch;

use super::ClientError;
use super::handle::WalletHandle;
use crate::relay::StepToken;
use crate::wallet::stream::{StreamKey, StreamView};
use crate::wallet::{Command, Event, Way};

pub use incoming::{IncomingStream, IncomingStreams, Received};
pub use outgoing::OutgoingStream;
pub(crate) use paying::Paying;

/// How far one side goes without the other, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// A payer hands out no more than this beyond what the payee has said that it holds.
    pub ahead: u32,
    /// A payee serves no more than this beyond what it has received.
    pub credit: u64,
}

impl Default for Exposure {
    /// A payer runs 1,024 steps ahead at most, a payee gives no credit.
    fn default() -> Exposure {
        Exposure { ahead: 1_024, credit: 0 }
    }
}

/// What a payer opens a stream with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// To whom.
    pub payee: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// What the payee gets for a step, at least 1.
    pub unit: Amount,
    /// The steps of one lock, 2 to 65,536: `unit × steps` and the fee are locked at a time.
    pub steps: u32,
    /// For how many blocks a lock stands at most; the hub's policy bounds it.
    pub life_blocks: u64,
    /// What for, at most 256 bytes.
    pub memo: String,
    /// Whether the next lock is added by itself when less than half of the last one is left.
    pub top_up: bool,
    /// How many steps will be paid in all, if that is known: no lock is added for more.
    pub in_all: Option<u64>,
    /// How far it runs ahead.
    pub exposure: Exposure,
    /// How long the payee may take to say that it has the first lock.
    pub patience: Duration,
}

impl StreamOptions {
    /// A stream that goes on as long as there is money, with the defaults.
    pub fn new(payee: PublicKey, asset: AssetId, unit: Amount) -> StreamOptions {
        StreamOptions {
            payee,
            asset,
            unit,
            steps: 4_096.min(STEPS_MAX),
            life_blocks: 1_500,
            memo: String::new(),
            top_up: true,
            in_all: None,
            exposure: Exposure::default(),
            patience: OPENING,
        }
    }
}

/// How long a payee may take where nothing else is said.
const OPENING: Duration = Duration::from_secs(20);

/// How long the two sides may take to give the rest of a stream back.
const CLOSING: Duration = Duration::from_secs(10);

/// How a stream stands, now and from now on.
type Views = watch::Receiver<Option<StreamView>>;

impl WalletHandle {
    /// Opens a stream of `unit` a step to `payee`, with locks of `steps` steps that stand for
    /// `life_blocks` at most and follow each other without a gap. Returns when the payee has the
    /// first lock.
    ///
    /// # Errors
    /// As [`WalletHandle::open_stream_with`].
    pub async fn open_stream(
        &self,
        payee: PublicKey,
        asset: AssetId,
        unit: Amount,
        steps: u32,
        life_blocks: u64,
    ) -> Result<OutgoingStream, ClientError> {
        let options = StreamOptions::new(payee, asset, unit);
        self.open_stream_with(StreamOptions { steps, life_blocks, ..options }).await
    }

    /// The same with everything said.
    ///
    /// # Errors
    /// [`Code::InsufficientBalance`], [`Code::PayeeOffline`], [`Code::NoInboundLiquidity`],
    /// [`Code::NoCapacity`] and others of wallet and hub; [`Code::Unanswered`] when the payee does not
    /// say in time that it has the lock: then the stream is being closed.
    pub async fn open_stream_with(
        &self,
        options: StreamOptions,
    ) -> Result<OutgoingStream, ClientError> {
        OutgoingStream::open(self.clone(), options).await
    }

    /// Goes on with a stream of this wallet's that has not ended, after a restart for example.
    /// `options` say how further locks are made; payee, asset and unit stay what they are.
    ///
    /// # Errors
    /// [`Code::UnknownStream`].
    pub async fn resume_stream(
        &self,
        stream: StreamKey,
        options: StreamOptions,
    ) -> Result<OutgoingStream, ClientError> {
        let (views, view) = self.stream_views(stream).await?;
        let (asset, unit) = (view.asset, view.unit);
        if stream.way != Way::Out || view.has_ended() {
            return Err(unknown());
        }
        let options = StreamOptions { payee: stream.peer, asset, unit, ..options };
        Ok(OutgoingStream::new(self.clone(), &view, options, views))
    }

    /// Whether somebody in this process has a stream of this wallet's in hand to pay it.
    #[cfg(feature = "cli")]
    pub(crate) fn is_being_paid(&self, stream: &StreamKey) -> bool {
        self.shared.members.is_paid(self.index, stream)
    }

    /// Streams to this wallet: those that stand, and each one that comes.
    pub fn incoming_streams(&self, exposure: Exposure) -> Option<IncomingStreams> {
        Some(IncomingStreams::new(self.clone(), self.events()?, exposure))
    }

    /// One stream to this wallet.
    ///
    /// # Errors
    /// [`Code::UnknownStream`].
    pub async fn incoming_stream(
        &self,
        stream: StreamKey,
        exposure: Exposure,
    ) -> Result<IncomingStream, ClientError> {
        if stream.way != Way::In {
            return Err(unknown());
        }
        let (views, view) = self.stream_views(stream).await?;
        Ok(IncomingStream::new(self.clone(), view, views, exposure))
    }

    /// All streams, in and out, ended ones included.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn streams(&self) -> Result<Vec<StreamView>, ClientError> {
        self.look(|wallet| wallet.streams(Way::Out).chain(wallet.streams(Way::In)).collect()).await
    }

    /// Takes a step that was handed over in another way than by the relay. When this returns it is
    /// durable here, and counts. One that is known already changes nothing.
    ///
    /// # Errors
    /// [`Code::UnknownStream`] when the lock is not here (yet), or has ended; [`Code::StepMismatch`];
    /// [`Code::ExpiryTooSoon`], [`Code::LedgerStalled`] and others when it could not be claimed.
    pub async fn take_step(&self, token: StepToken) -> Result<StreamView, ClientError> {
        self.command(Command::TakeStep { token }).await?;
        let anchor = token.anchor;
        let view = self.look(move |wallet| wallet.stream_of(&anchor)).await?;
        view.ok_or_else(unknown)
    }

    /// How a stream stands, now and from now on.
    async fn stream_views(&self, key: StreamKey) -> Result<(Views, StreamView), ClientError> {
        let views = self.shared.members.watch_stream(self.index, key);
        let views = views.ok_or_else(ClientError::stopped)?;
        // Behind whatever was told until now.
        let view = self.look(move |wallet| wallet.stream(&key)).await?.ok_or_else(unknown)?;
        self.shared.members.show_stream(self.index, view.clone());
        Ok((views, view))
    }

    /// Closes a stream from this side, whichever that is, and waits until it has ended.
    ///
    /// # Errors
    /// [`Code::UnknownStream`]; [`Code::Unanswered`] when the other side does not answer: the rest
    /// comes back when it does, or when the stream's locks end.
    pub async fn end_stream(&self, stream: StreamKey) -> Result<StreamView, ClientError> {
        self.close_stream(stream).await?;
        let (mut views, _) = self.stream_views(stream).await?;
        let ended = until(self, &mut views, |view| view.has_ended().then(|| view.clone()));
        tokio::time::timeout(CLOSING, ended).await.map_err(|_| {
            let detail = "the other side does not answer; the rest comes back when it does, or \
                          when the stream's locks end";
            ClientError::new(Code::Unanswered, detail)
        })?
    }

    async fn close_stream(&self, stream: StreamKey) -> Result<(), ClientError> {
        self.command(Command::CloseStream { stream }).await.map(|_| ())
    }
}

/// Waits until a stream stands as wanted, or the client has ended.
async fn until<T>(
    wallet: &WalletHandle,
    views: &mut Views,
    mut found: impl FnMut(&StreamView) -> Option<T>,
) -> Result<T, ClientError> {
    loop {
        if let Some(found) = views.borrow_and_update().as_ref().and_then(&mut found) {
            return Ok(found);
        }
        tokio::select! {
            changed = views.changed() => changed.map_err(|_| ClientError::stopped())?,
            () = wallet.shared.core.closed() => return Err(ClientError::stopped()),
        }
    }
}

fn unknown() -> ClientError {
    ClientError::new(Code::UnknownStream, Code::UnknownStream.title())
}

fn tokens(event: Option<Event>) -> Result<Vec<StepToken>, ClientError> {
    match event {
        Some(Event::Steps(tokens)) => Ok(tokens),
        _ => Err(ClientError::new(Code::Internal, "the wallet handed out no steps")),
    }
}
