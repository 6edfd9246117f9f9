//! The hub's errands to the ledger: submissions, deposits, and what both sides have signed.
//!
//! Deposits spend the nonces of the hub's account, so they go one after the other. Everything else
//! carries no nonce and may go side by side; handing the same in again does no harm. An errand is
//! tried until the ledger answers; what is lost with the process the shards ask for again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client_sdk::api::Cosigned;
use client_sdk::ledger_client::{LedgerClient, LedgerError};
use settlement::api::Problem;
use settlement::crypto::{Signable, SigningKey};
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{Amount, ChannelId, LedgerId, Role, TxId};
use tokio::sync::{Semaphore, mpsc};

use crate::counters::{Counters, add};
use crate::tickets::{Body, Request};

/// How long a retry waits.
const PAUSE: Duration = Duration::from_millis(250);
/// Errands that are on their way at once.
const AT_ONCE: usize = 64;
/// How often a deposit is tried whose nonce was taken.
const NONCE_TRIES: u32 = 8;

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

struct Clerk {
    ledger: Arc<dyn LedgerClient>,
    id: LedgerId,
    key: Arc<SigningKey>,
    counters: Arc<Counters>,
    /// Channels of which a submission is on its way: shards repeat them until they are in a block.
    submitting: Mutex<HashSet<ChannelId>>,
}

impl Desk {
    /// Hands an errand in; it is lost if the hub is stopping.
    pub(crate) fn give(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    /// Opens the desk. Its task ends when the last handle is dropped.
    pub(crate) fn open(
        ledger: Arc<dyn LedgerClient>,
        id: LedgerId,
        key: Arc<SigningKey>,
        counters: Arc<Counters>,
    ) -> (Desk, tokio::task::JoinHandle<()>) {
        let (errands, waiting) = mpsc::unbounded_channel();
        let submitting = Mutex::default();
        let clerk = Arc::new(Clerk { ledger, id, key, counters, submitting });
        (Desk { errands }, tokio::spawn(clerk.serve(waiting)))
    }
}

impl Clerk {
    async fn serve(self: Arc<Clerk>, mut waiting: mpsc::UnboundedReceiver<Errand>) {
        let (deposits, queue) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().deposit_all(queue));
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(errand) = waiting.recv().await {
            if let Errand::Deposit { channel, amount } = errand {
                let _ = deposits.send((channel, amount));
                continue;
            }
            if let Errand::Submit(submission) = &errand
                && !self.submitting().insert(submission.channel)
            {
                continue;
            }
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let clerk = self.clone();
            tokio::spawn(async move {
                clerk.run(errand).await;
                drop(place);
            });
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
                if let Err(problem) = self.bring(&transaction).await {
                    tracing::debug!(?channel, code = %problem.code, "a submission was refused");
                }
                self.submitting().remove(&channel);
            }
            Errand::Cosign(request) => self.cosign(*request).await,
            Errand::Deposit { .. } => {}
        }
    }

    async fn cosign(&self, request: Request) {
        let wallet = request.wallet;
        let (signature, transaction) = match request.body {
            Body::Withdraw(body) => {
                let hub = self.key.sign(&body.digest());
                (hub, Transaction::Withdraw { body, wallet, hub })
            }
            Body::Close(body) => {
                let hub = self.key.sign(&body.digest());
                (hub, Transaction::CooperativeClose { body, wallet, hub })
            }
        };
        let answer = self.bring(&transaction).await.map(|tx| Cosigned { signature, tx });
        let _ = request.answer.send(answer);
    }

    /// Brings a transaction to the ledger until it answers.
    async fn bring(&self, transaction: &Transaction) -> Result<TxId, Problem> {
        loop {
            match self.ledger.submit(transaction).await {
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

    async fn deposit_all(
        self: Arc<Clerk>,
        mut queue: mpsc::UnboundedReceiver<(ChannelId, Amount)>,
    ) {
        let mut nonce = 0;
        while let Some((channel, amount)) = queue.recv().await {
            for _ in 0..NONCE_TRIES {
                match self.deposit(channel, amount, &mut nonce).await {
                    Ok(()) => break,
                    Err(problem) if problem.code == Code::BadNonce => {
                        tracing::debug!(?channel, "the account's nonce has moved");
                    }
                    Err(problem) => {
                        tracing::warn!(?channel, %amount, code = %problem.code, "no deposit");
                        break;
                    }
                }
            }
        }
    }

    /// One try, with the nonce after the last one or, if the ledger knows better, that one.
    async fn deposit(
        &self,
        channel: ChannelId,
        amount: Amount,
        nonce: &mut u64,
    ) -> Result<(), Problem> {
        let account = self.key.public();
        if let Ok(view) = self.ledger.account(&account).await {
            *nonce = view.nonce.max(*nonce);
        }
        let action = AccountAction::Deposit { channel, role: Role::Hub, amount };
        let body = AccountTx { ledger: self.id, account, nonce: *nonce, action };
        let brought = self.bring(&Transaction::account(&self.key, body)).await;
        match brought {
            Ok(_) => {
                *nonce = nonce.saturating_add(1);
                Ok(())
            }
            Err(problem) => {
                // What was handed in before may have been refused, so count from the ledger again.
                *nonce = 0;
                if problem.code == Code::BadNonce {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(problem)
            }
        }
    }
}

/// Whether a refusal is a passing lack of the ledger's, and nothing about the transaction.
fn passes(code: Code) -> bool {
    matches!(code, Code::QueueFull | Code::Overloaded | Code::LedgerUnavailable | Code::Internal)
}

#[cfg(test)]
mod tests;
