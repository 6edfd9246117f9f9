//! The ledger as a service: one thread that owns the [`Producer`] and its blocking files, and a
//! handle for everybody else.
//!
//! The thread makes blocks by the clock, or by hand in tests. What is to be done reaches it through
//! bounded queues, transactions before questions; when one is full it is refused as overloaded. A
//! block is announced only after it is durable. A journal that fails ends the process: memory is
//! ahead of the disk then, and nothing may be told to anybody.
//!
//! Whoever can ask a ledger anything can ask it as often as they like, and a claim that a flood of
//! questions keeps out of the blocks until its lock has expired is money lost. So each question that
//! the thread answers itself costs about as much as finding one row, and what costs more (earlier
//! blocks) is answered beside it: from memory, or by a few blocking threads that read the journal's
//! files themselves, as many at once as [`HISTORY_AT_ONCE`].

mod gate;
mod inbox;
mod worker;

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::ChannelState;
use super::producer::Producer;
use super::store::{History, StoreError};
use crate::api::{AccountView, ChannelView, LedgerInfo};
use crate::block::{Block, BlockEvents};
use crate::reject::Code;
use crate::state_proof::StateProof;
use crate::tx::Transaction;
use crate::types::{Amount, AssetId, ChannelId, Height, PublicKey, TxId};
use gate::Gate;
use inbox::{Inbox, Kind};
pub use worker::now_ms;
use worker::{Worker, produce};

/// The longest that [`LedgerHandle::events_from`] waits for a block: 30 s.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// How many answers about older blocks are worked on at once.
pub const HISTORY_AT_ONCE: usize = 2;

/// How many more may wait for their turn; beyond that [`Code::Overloaded`] is the answer.
pub const HISTORY_WAITING_MAX: usize = 256;

/// What takes up to so many bytes in the journal is put into the form it is sent in at once; more
/// waits for its turn.
const SMALL_BYTES: usize = 64 << 10;

/// Who makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The thread, every block interval.
    Clock,
    /// [`LedgerHandle::produce_now`] and [`LedgerHandle::produce_at`] alone.
    ByHand,
}

type Command = Box<dyn FnOnce(&mut Producer) + Send>;

/// The running thread.
pub struct Service {
    handle: LedgerHandle,
    thread: JoinHandle<()>,
}

/// A way to a running ledger; clones are cheap.
#[derive(Clone)]
pub struct LedgerHandle {
    door: Arc<Door>,
    height: watch::Receiver<Height>,
    history: Arc<History>,
    gate: Gate,
}

/// The askers' side of the queues; the thread ends when the last of them is gone.
struct Door(Arc<Inbox<Command>>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Service {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(producer: Producer, pace: Pace) -> std::io::Result<Service> {
        let inbox = Inbox::new();
        let (announce, height) = watch::channel(producer.ledger().tip().height);
        let history = Arc::clone(producer.history());
        let worker = Worker {
            interval: Duration::from_millis(producer.ledger().parameters().block_interval_ms),
            producer,
            inbox: Arc::clone(&inbox),
            announce,
            pace,
        };
        let thread = Builder::new().name("ledger".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        let gate = Gate::new(HISTORY_AT_ONCE, HISTORY_WAITING_MAX);
        let handle = LedgerHandle { door: Arc::new(Door(inbox)), height, history, gate };
        Ok(Service { handle, thread })
    }

    /// A way to it.
    pub fn handle(&self) -> LedgerHandle {
        self.handle.clone()
    }

    /// Stops after what is being done, takes a checkpoint, and closes the files. Whoever waits for
    /// a block or an answer is told that the ledger is gone.
    pub async fn stop(self) {
        let stopped = tokio::task::spawn_blocking(move || {
            self.handle.door.0.close();
            self.thread.join().is_ok()
        });
        if !matches!(stopped.await, Ok(true)) {
            tracing::error!("the ledger's thread did not end cleanly");
        }
    }
}

impl LedgerHandle {
    /// Has the thread answer a question; see the module for what one may cost.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Producer) -> T + Send + 'static,
    ) -> Result<T, Code> {
        self.put(Kind::Question, question).await
    }

    /// Has the thread do something that comes before all questions.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Producer) -> T + Send + 'static,
    ) -> Result<T, Code> {
        self.put(Kind::Work, work).await
    }

    async fn put<T: Send + 'static>(
        &self,
        kind: Kind,
        what: impl FnOnce(&mut Producer) -> T + Send + 'static,
    ) -> Result<T, Code> {
        let (reply, answer) = oneshot::channel();
        let command: Command = Box::new(move |producer| {
            // Whoever asked may have gone away.
            let _ = reply.send(what(producer));
        });
        self.door.0.put(kind, command)?;
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
        self.work(|producer| producer.submit(tx)).await?
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
        self.work(move |producer| producer.mint(account, asset, amount)).await?
    }

    /// What the blocks from this height on did, at most `max` of them. If there is no such block
    /// yet, waits for one up to `wait` (at most [`WAIT_MAX`]); then the answer may be empty. The
    /// newest blocks come from memory; for older ones see [`HISTORY_AT_ONCE`].
    ///
    /// # Errors
    /// [`Code::Internal`] when older blocks can't be read.
    pub async fn events_from(
        &self,
        height: Height,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Arc<BlockEvents>>, Code> {
        let told = self.reached(height, wait).await?;
        if told == 0 {
            return Ok(Vec::new());
        }
        let max = max.min(told);
        if let Some(page) = self.history.recent_from(height, max) {
            return Ok(page.blocks);
        }
        let history = Arc::clone(&self.history);
        self.gate.run(move || logged(history.events_from(height, max))).await?
    }

    /// As [`LedgerHandle::events_from`], put into the form in which it is sent.
    pub(super) async fn events_as<T: Send + 'static>(
        &self,
        (height, max, wait): (Height, usize, Duration),
        form: impl FnOnce(&[Arc<BlockEvents>]) -> T + Send + 'static,
    ) -> Result<T, Code> {
        let told = self.reached(height, wait).await?;
        if told == 0 {
            return Ok(form(&[]));
        }
        let max = max.min(told);
        let recent = self.history.recent_from(height, max);
        if let Some(page) = recent.as_ref().filter(|page| page.bytes <= SMALL_BYTES) {
            return Ok(form(&page.blocks));
        }
        let history = Arc::clone(&self.history);
        let answer = move || {
            let blocks = match recent {
                Some(page) => page.blocks,
                None => logged(history.events_from(height, max))?,
            };
            Ok(form(&blocks))
        };
        self.gate.run(answer).await?
    }

    /// Waits until there is a block of this height; how many there are from it on. The newest block is
    /// in memory before its height is told of, for as long as a checkpoint takes, and counts only then:
    /// whoever heard of it earlier would show a hub a block that its own ledger seems to have lost.
    async fn reached(&self, height: Height, wait: Duration) -> Result<usize, Code> {
        let (mut tip, first) = (self.height.clone(), height.max(Height(1)));
        self.is_running()?;
        let there = tip.wait_for(|tip| *tip >= first);
        match tokio::time::timeout(wait.min(WAIT_MAX), there).await {
            Ok(Ok(tip)) => {
                let more = usize::try_from(tip.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
                Ok(more.saturating_add(1))
            }
            Ok(Err(_)) => Err(Code::LedgerUnavailable),
            Err(_) => Ok(0),
        }
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

    /// A whole block; see [`HISTORY_AT_ONCE`].
    ///
    /// # Errors
    /// [`Code::Internal`] when it can't be read.
    pub async fn block(&self, height: Height) -> Result<Option<Block>, Code> {
        self.block_as(height, |block| block).await
    }

    /// As [`LedgerHandle::block`], put into the form in which it is sent.
    pub(super) async fn block_as<T: Send + 'static>(
        &self,
        height: Height,
        form: impl FnOnce(Option<Block>) -> T + Send + 'static,
    ) -> Result<T, Code> {
        self.is_running()?;
        if height > *self.height.borrow() {
            return Ok(form(None));
        }
        let history = Arc::clone(&self.history);
        self.gate.run(move || logged(history.block(height)).map(form)).await?
    }

    fn is_running(&self) -> Result<(), Code> {
        self.height.has_changed().map(|_| ()).map_err(|_| Code::LedgerUnavailable)
    }

    /// Makes a block now, or at the earliest time that it may have. Once it is answered, whoever
    /// asks for what the block did is told.
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn produce_now(&self) -> Result<Option<Arc<BlockEvents>>, Code> {
        let make = |producer: &mut Producer| {
            let time = now_ms().max(producer.next_time_ms());
            produce(producer, time)
        };
        self.announced(self.work(make).await?).await
    }

    /// Makes a block of this time; none if that is too early. See [`LedgerHandle::produce_now`].
    ///
    /// # Errors
    /// See [`LedgerHandle::info`].
    pub async fn produce_at(&self, time_ms: u64) -> Result<Option<Arc<BlockEvents>>, Code> {
        self.announced(self.work(move |producer| produce(producer, time_ms)).await?).await
    }

    /// The thread answers who made a block before it tells of its height.
    async fn announced(
        &self,
        made: Option<Arc<BlockEvents>>,
    ) -> Result<Option<Arc<BlockEvents>>, Code> {
        if let Some(block) = &made {
            let height = block.header.header.height;
            let mut tip = self.height.clone();
            tip.wait_for(|tip| *tip >= height).await.map_err(|_| Code::LedgerUnavailable)?;
        }
        Ok(made)
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
