//! The ledger as a service: one thread that owns the [`Producer`] and its blocking files, and a
//! handle for everybody else.
//!
//! The thread makes blocks by the clock, or by hand in tests. Commands reach it through a bounded
//! queue; when that is full they are refused as overloaded. A block is announced only after it is
//! durable. A journal that fails ends the process: memory is ahead of the disk then, and nothing
//! may be told to anybody.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use super::ChannelState;
use super::producer::Producer;
use super::store::StoreError;
use crate::api::{AccountView, ChannelView, LedgerInfo};
use crate::block::{Block, BlockEvents};
use crate::journal::abort_on;
use crate::reject::Code;
use crate::state_proof::StateProof;
use crate::tx::Transaction;
use crate::types::{Amount, AssetId, ChannelId, Height, PublicKey, TxId};

/// The most commands that wait for the thread.
const COMMANDS_MAX: usize = 4_096;

/// The longest that [`LedgerHandle::events_from`] waits for a block: 30 s.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// Who makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The thread, every block interval.
    Clock,
    /// [`LedgerHandle::produce_now`] and [`LedgerHandle::produce_at`] alone.
    ByHand,
}

type Command = Box<dyn FnOnce(&mut Producer) -> Next + Send>;

enum Next {
    Go,
    Stop,
}

/// The running thread.
pub struct Service {
    handle: LedgerHandle,
    thread: JoinHandle<()>,
}

/// A way to a running ledger; clones are cheap.
#[derive(Clone)]
pub struct LedgerHandle {
    commands: SyncSender<Command>,
    height: watch::Receiver<Height>,
}

impl Service {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(producer: Producer, pace: Pace) -> std::io::Result<Service> {
        let (commands, waiting) = sync_channel(COMMANDS_MAX);
        let (announce, height) = watch::channel(producer.ledger().tip().height);
        let worker = Worker {
            interval: Duration::from_millis(producer.ledger().parameters().block_interval_ms),
            producer,
            waiting,
            announce,
            pace,
        };
        let thread = Builder::new().name("ledger".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        let handle = LedgerHandle { commands, height };
        Ok(Service { handle, thread })
    }

    /// A way to it.
    pub fn handle(&self) -> LedgerHandle {
        self.handle.clone()
    }

    /// Stops after what is being done, takes a checkpoint, and closes the files. Whoever waits for
    /// a block is told that the ledger is gone.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || {
            let stop: Command = Box::new(|_| Next::Stop);
            // A thread that is gone already needs no stopping.
            let _ = self.handle.commands.send(stop);
            self.thread.join().is_ok()
        });
        if !matches!(stopped.await, Ok(true)) {
            tracing::error!("the ledger's thread did not end cleanly");
        }
    }
}

/// What the thread owns.
struct Worker {
    producer: Producer,
    waiting: Receiver<Command>,
    announce: watch::Sender<Height>,
    pace: Pace,
    interval: Duration,
}

impl Worker {
    fn run(mut self) {
        let mut next_block = Instant::now();
        loop {
            let command = match self.pace {
                Pace::ByHand => self.waiting.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Pace::Clock => {
                    let left = next_block.saturating_duration_since(Instant::now());
                    self.waiting.recv_timeout(left)
                }
            };
            match command.map(|command| command(&mut self.producer)) {
                Ok(Next::Go) => {}
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Next::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            // Looked at after every command too, so that a flood of them delays no block.
            if self.pace == Pace::Clock && Instant::now() >= next_block {
                let _ = produce(&mut self.producer, now_ms());
                next_block = Instant::now().checked_add(self.interval).unwrap_or(next_block);
            }
            self.announce();
        }
        self.producer.checkpoint();
    }

    fn announce(&self) {
        let height = self.producer.ledger().tip().height;
        self.announce.send_if_modified(|announced| {
            let moved = *announced != height;
            *announced = height;
            moved
        });
    }
}

/// Makes one block, or ends the process: after a failure nothing may be said any more.
fn produce(producer: &mut Producer, now_ms: u64) -> Option<Arc<BlockEvents>> {
    match producer.produce(now_ms) {
        Ok(block) => block,
        Err(StoreError::Journal(error)) => abort_on(&error),
        Err(error) => {
            tracing::error!(%error, "no block could be made; the process ends");
            std::process::abort()
        }
    }
}

/// Milliseconds since 1970 by this machine's clock.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl LedgerHandle {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Producer) -> T + Send + 'static,
    ) -> Result<T, Code> {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |producer| {
            // Whoever asked may have gone away.
            let _ = reply.send(question(producer));
            Next::Go
        });
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Code::Overloaded,
            TrySendError::Disconnected(_) => Code::LedgerUnavailable,
        })?;
        answer.await.map_err(|_| Code::LedgerUnavailable)
    }

    /// What the ledger is and where it stands.
    ///
    /// # Errors
    /// [`Code::LedgerUnavailable`] or [`Code::Overloaded`], as for all that follow.
    pub async fn info(&self) -> Result<LedgerInfo, Code> {
        self.ask(|producer| LedgerInfo {
            genesis: producer.ledger().parameters().clone(),
            ledger: producer.ledger().id(),
            tip: producer.tip().copied(),
        })
        .await
    }

    /// Hands in a transaction for a block. That it was taken in does not say that it will be
    /// applied: the events of the block do.
    ///
    /// # Errors
    /// The code that it is refused with.
    pub async fn submit(&self, tx: Transaction) -> Result<TxId, Code> {
        self.ask(|producer| producer.submit(tx)).await?
    }

    /// New money, on development ledgers alone.
    ///
    /// # Errors
    /// [`Code::NoFaucet`] and what a mint is refused with.
    pub async fn faucet(
        &self,
        account: PublicKey,
        asset: AssetId,
        amount: Amount,
    ) -> Result<TxId, Code> {
        self.ask(move |producer| producer.mint(account, asset, amount)).await?
    }

    /// What the blocks from this height on did, at most `max` of them. If there is no such block
    /// yet, waits for one up to `wait` (at most [`WAIT_MAX`]); then the answer may be empty.
    ///
    /// # Errors
    /// [`Code::Internal`] when older blocks can't be read.
    pub async fn events_from(
        &self,
        height: Height,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Arc<BlockEvents>>, Code> {
        let mut tip = self.height.clone();
        let there = tip.wait_for(|tip| *tip >= height.max(Height(1)));
        match tokio::time::timeout(wait.min(WAIT_MAX), there).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(Code::LedgerUnavailable),
            Err(_) => return Ok(Vec::new()),
        }
        self.ask(move |producer| logged(producer.events_from(height, max))).await?
    }

    /// The newest durable block's height; [`watch::Receiver::changed`] tells when it moves.
    pub fn height(&self) -> watch::Receiver<Height> {
        self.height.clone()
    }

    /// An account, as of the newest block.
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn account(&self, account: PublicKey) -> Result<AccountView, Code> {
        let of = move |producer: &mut Producer| {
            let state = producer.ledger().account(&account);
            AccountView {
                account,
                nonce: state.nonce,
                balances: state.balances,
                lease: state.lease,
            }
        };
        self.ask(of).await
    }

    /// A channel, as of the newest block.
    ///
    /// # Errors
    /// [`Code::NoSuchChannel`] when none was ever opened under this id.
    pub async fn channel(&self, id: ChannelId) -> Result<ChannelView, Code> {
        let of = move |producer: &mut Producer| logged(producer.channel(&id));
        self.ask(of).await??.ok_or(Code::NoSuchChannel)
    }

    /// What the ledger holds of a channel that is open or closing: proofs, locks and claims too.
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn channel_state(&self, id: ChannelId) -> Result<Option<ChannelState>, Code> {
        self.ask(move |producer| producer.ledger().channel(&id).cloned()).await
    }

    /// A channel's state under the newest header, to be checked by somebody who trusts nobody.
    ///
    /// # Errors
    /// [`Code::NoSuchChannel`] when there is none, or it is paid out.
    pub async fn state_proof(&self, id: ChannelId) -> Result<StateProof, Code> {
        let proof = self.ask(move |producer| producer.state_proof(&id)).await?;
        proof.ok_or(Code::NoSuchChannel)
    }

    /// A whole block.
    ///
    /// # Errors
    /// [`Code::Internal`] when it can't be read.
    pub async fn block(&self, height: Height) -> Result<Option<Block>, Code> {
        self.ask(move |producer| logged(producer.block(height))).await?
    }

    /// Makes a block now, or at the earliest time that it may have.
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn produce_now(&self) -> Result<Option<Arc<BlockEvents>>, Code> {
        let make = |producer: &mut Producer| {
            let time = now_ms().max(producer.next_time_ms());
            produce(producer, time)
        };
        self.ask(make).await
    }

    /// Makes a block of this time; none if that is too early.
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn produce_at(&self, time_ms: u64) -> Result<Option<Arc<BlockEvents>>, Code> {
        self.ask(move |producer| produce(producer, time_ms)).await
    }
}

fn logged<T>(read: Result<T, StoreError>) -> Result<T, Code> {
    read.map_err(|error| {
        tracing::error!(%error, "history can't be read");
        Code::Internal
    })
}

#[cfg(test)]
pub(super) mod tests;
