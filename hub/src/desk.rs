//! The hub's errands to the ledger: submissions, deposits, and what both sides have signed.
//!
//! Deposits spend the nonces of the hub's account, so they go one after the other. Everything else
//! carries no nonce and may go side by side; handing the same in again does no harm. An errand is
//! tried until the ledger answers, and one that is put off holds up no other: claims have deadlines.
//! What is lost with the process the shards ask for again, and so they do with what the ledger
//! refuses, at once or in a block, as long as it is needed.

mod deposits;
mod handed;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client_sdk::api::Cosigned;
use client_sdk::ledger_client::{LedgerClient, LedgerError};
use settlement::api::Problem;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::crypto::{Signable, SigningKey};
use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, ChannelId, LedgerId, TxId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc};

use crate::counters::{Counters, add};
use crate::tickets::{Body, Request};
use deposits::Deposits;
use handed::{HandedIn, What};

/// How long a retry waits.
const PAUSE: Duration = Duration::from_millis(250);
/// Requests to the ledger that are under way at once.
const AT_ONCE: usize = 64;

/// Something to bring to the ledger.
pub(crate) enum Errand {
    /// One side's newest proof and claims.
    Submit(Box<Submission>),
    /// The hub's money into a channel.
    Deposit { channel: ChannelId, amount: Amount },
    /// What the wallet has signed and a shard has agreed to.
    Cosign(Box<Request>),
}

/// Where errands are handed in.
#[derive(Clone)]
pub(crate) struct Desk {
    errands: mpsc::UnboundedSender<Errand>,
}

/// Runs the errands.
pub(crate) struct Clerk {
    ledger: Arc<dyn LedgerClient>,
    id: LedgerId,
    key: Arc<SigningKey>,
    counters: Arc<Counters>,
    /// One for each request that may be under way.
    places: Semaphore,
    /// Channels of which a submission is on its way: shards repeat them until they are in a block.
    submitting: Mutex<HashSet<ChannelId>>,
    deposits: Deposits,
    /// Whom a refusal in a block concerns.
    handed_in: Mutex<HandedIn>,
}

impl Desk {
    /// Hands an errand in; it is lost if the hub is stopping.
    pub(crate) fn give(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    /// Opens the desk; `blocks` are those that the hub follows. Its tasks end with the last handle
    /// and with the blocks.
    pub(crate) fn open(clerk: Clerk, blocks: Receiver<Arc<BlockEvents>>) -> Desk {
        let (errands, waiting) = mpsc::unbounded_channel();
        let clerk = Arc::new(clerk);
        tokio::spawn(clerk.clone().watch(blocks));
        tokio::spawn(clerk.serve(waiting));
        Desk { errands }
    }
}

impl Clerk {
    /// A clerk who signs with the hub's key.
    pub(crate) fn new(
        ledger: Arc<dyn LedgerClient>,
        id: LedgerId,
        key: Arc<SigningKey>,
        counters: Arc<Counters>,
    ) -> Clerk {
        Clerk {
            ledger,
            id,
            key,
            counters,
            places: Semaphore::new(AT_ONCE),
            submitting: Mutex::default(),
            deposits: Deposits::default(),
            handed_in: Mutex::default(),
        }
    }

    async fn serve(self: Arc<Clerk>, mut waiting: mpsc::UnboundedReceiver<Errand>) {
        let (deposits, queue) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().deposit_all(queue));
        while let Some(errand) = waiting.recv().await {
            if let Errand::Deposit { channel, amount } = errand {
                if self.deposits.begin(channel) {
                    let _ = deposits.send((channel, amount));
                }
                continue;
            }
            if let Errand::Submit(submission) = &errand
                && !self.submitting().insert(submission.channel)
            {
                continue;
            }
            let clerk = self.clone();
            tokio::spawn(async move { clerk.run(errand).await });
        }
    }

    fn handed_in(&self) -> std::sync::MutexGuard<'_, HandedIn> {
        self.handed_in.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks in blocks for transactions of this hub that were taken in and then refused.
    async fn watch(self: Arc<Clerk>, mut blocks: Receiver<Arc<BlockEvents>>) {
        loop {
            let block = match blocks.recv().await {
                Ok(block) => block,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            for event in &block.events {
                let LedgerEvent::Refused { tx, code } = event else { continue };
                let what = self.handed_in().find(tx);
                if let Some(what) = what {
                    self.refused(what, *code).await;
                }
            }
        }
    }

    /// Says what the ledger refused and is not merely late or done already.
    async fn refused(&self, what: What, code: Code) {
        add(&self.counters.refused_by_ledger, 1);
        match (what, code) {
            // Somebody else, or this hub before, has brought all of it already.
            (What::Submission(channel), Code::ChangesNothing) => {
                tracing::debug!(?channel, "a submission brings nothing new");
            }
            (What::Deposit(channel), Code::InsufficientFunds) => self.needs_money(channel).await,
            (What::Submission(channel) | What::Deposit(channel) | What::Agreement(channel), _) => {
                tracing::warn!(?what, %channel, %code, "the ledger refused a transaction");
            }
        }
    }

    fn submitting(&self) -> std::sync::MutexGuard<'_, HashSet<ChannelId>> {
        self.submitting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, errand: Errand) {
        match errand {
            Errand::Submit(submission) => {
                let channel = submission.channel;
                let transaction = Transaction::submit(&self.key, *submission);
                let what = What::Submission(channel);
                if let Err(problem) = self.bring(&transaction, what).await {
                    self.refused(what, problem.code).await;
                }
                self.submitting().remove(&channel);
            }
            Errand::Cosign(request) => self.cosign(*request).await,
            Errand::Deposit { .. } => {}
        }
    }

    async fn cosign(&self, request: Request) {
        let wallet = request.wallet;
        let (channel, signature, transaction) = match request.body {
            Body::Withdraw(body) => {
                let hub = self.key.sign(&body.digest());
                (body.channel, hub, Transaction::Withdraw { body, wallet, hub })
            }
            Body::Close(body) => {
                let hub = self.key.sign(&body.digest());
                (body.channel, hub, Transaction::CooperativeClose { body, wallet, hub })
            }
        };
        let answer = self
            .bring(&transaction, What::Agreement(channel))
            .await
            .map(|tx| Cosigned { signature, tx });
        let _ = request.answer.send(answer);
    }

    /// Brings a transaction to the ledger until it answers.
    async fn bring(&self, transaction: &Transaction, what: What) -> Result<TxId, Problem> {
        self.handed_in().remember(transaction.id(), what);
        loop {
            let answer = {
                // The semaphore is never closed. No place is kept while waiting to try again.
                let _place = self.places.acquire().await;
                self.ledger.submit(transaction).await
            };
            match answer {
                Ok(tx) => {
                    add(&self.counters.submitted, 1);
                    return Ok(tx);
                }
                Err(LedgerError::Refused(problem)) if !passes(problem.code) => {
                    return Err(*problem);
                }
                Err(error) => tracing::debug!(%error, "the ledger is asked again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether a refusal is a passing lack of the ledger's, and nothing about the transaction.
fn passes(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::Overloaded | Code::LedgerUnavailable | Code::Internal)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting;
