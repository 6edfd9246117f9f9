//! The hub's errands to the ledger: submissions, what both sides have signed, deposits, anchors and
//! leases.
//!
//! The last three spend the nonces of the hub's account, so they go one after the other
//! ([`account`]). Everything else carries no nonce and may go side by side, unless the ledger takes
//! fees: then the account pays for its envelope. Handing the same in again does no harm. An errand is
//! tried until the ledger answers, and one that is put off holds up no other: claims have deadlines.
//! What is lost with the process the shards ask for again, and so they do with what the ledger
//! refuses, at once or in a block, as long as it is needed.
//!
//! It signs only what [`crate::lease`] lets this process sign.

mod account;
mod handed;
mod purse;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client_sdk::api::Cosigned;
use client_sdk::ledger_client::{LedgerClient, LedgerError};
use settlement::api::Problem;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::crypto::{Signable, SigningKey};
use settlement::params::Fees;
use settlement::reject::Code;
use settlement::tx::{Anchoring, Lease, Submission, Transaction};
use settlement::types::{Amount, ChannelId, LedgerId, TxId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::counters::{Counters, add};
use crate::lease::Authority;
use crate::tickets::{Body, Request};
use account::{Account, Spend};
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
    /// A chunk of an anchor; answered once the ledger has taken it in for a block or refused it.
    Anchor(Box<Anchoring>, oneshot::Sender<Result<TxId, Problem>>),
    /// This process's lease.
    Lease(Lease),
}

/// Where errands are handed in.
#[derive(Clone)]
pub(crate) struct Desk {
    errands: mpsc::UnboundedSender<Errand>,
}

/// What a clerk works with.
pub(crate) struct Office {
    pub(crate) ledger: Arc<dyn LedgerClient>,
    pub(crate) id: LedgerId,
    /// What the ledger takes.
    pub(crate) fees: Fees,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) authority: Arc<Authority>,
    /// Where it is told what became of leases.
    pub(crate) leases: mpsc::UnboundedSender<Result<(), Code>>,
}

/// Runs the errands.
pub(crate) struct Clerk {
    office: Office,
    /// One for each request that may be under way.
    places: Semaphore,
    /// Channels of which a submission is on its way: shards repeat them until they are in a block.
    submitting: Mutex<HashSet<ChannelId>>,
    account: Account,
    /// Whom a refusal in a block concerns.
    handed_in: Mutex<HandedIn>,
}

impl Desk {
    /// Hands an errand in; it is lost if the hub is stopping.
    pub(crate) fn give(&self, errand: Errand) {
        let _ = self.errands.send(errand);
    }

    /// A desk whose errands somebody else runs.
    #[cfg(test)]
    pub(crate) fn of(errands: mpsc::UnboundedSender<Errand>) -> Desk {
        Desk { errands }
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

impl std::ops::Deref for Clerk {
    type Target = Office;

    fn deref(&self) -> &Office {
        &self.office
    }
}

impl Clerk {
    /// A clerk who signs with the hub's key.
    pub(crate) fn new(office: Office) -> Clerk {
        Clerk {
            office,
            places: Semaphore::new(AT_ONCE),
            submitting: Mutex::default(),
            account: Account::default(),
            handed_in: Mutex::default(),
        }
    }

    async fn serve(self: Arc<Clerk>, mut waiting: mpsc::UnboundedReceiver<Errand>) {
        let (spending, queue) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().spend_all(queue));
        while let Some(errand) = waiting.recv().await {
            let errand = match self.spending(errand) {
                Ok(spend) => {
                    spend.into_iter().for_each(|spend| drop(spending.send(spend)));
                    continue;
                }
                Err(errand) => errand,
            };
            if let Errand::Submit(submission) = &errand
                && !self.submitting().insert(submission.channel)
            {
                continue;
            }
            let clerk = self.clone();
            tokio::spawn(async move { clerk.run(errand).await });
        }
    }

    /// What the account has to do for an errand, or the errand that it has no part in.
    fn spending(&self, errand: Errand) -> Result<Option<Spend>, Errand> {
        match errand {
            Errand::Deposit { channel, amount } => {
                let new = self.account.begin(channel);
                Ok(new.then_some(Spend::Deposit(channel, amount)))
            }
            Errand::Anchor(anchoring, answer) => Ok(Some(Spend::Anchor(anchoring, answer))),
            Errand::Lease(lease) => Ok(Some(Spend::Lease(lease))),
            other => Err(other),
        }
    }

    fn tell_lease(&self, answer: Result<(), Code>) {
        // Nobody listens any more once the hub is stopping.
        let _ = self.leases.send(answer);
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
            self.handed_in().follow(block.header.header.height);
            for event in &block.events {
                let LedgerEvent::Refused { tx, code } = event else { continue };
                let what = self.handed_in().find(tx);
                if let Some(what) = what {
                    self.refused(what, *code).await;
                    if what == What::Lease {
                        self.tell_lease(Err(*code));
                    }
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
            (_, Code::InsufficientFunds) => self.needs_money(what).await,
            (What::Submission(channel) | What::Deposit(channel) | What::Agreement(channel), _) => {
                tracing::warn!(?what, %channel, %code, "the ledger refused a transaction");
            }
            (What::Anchor, _) => tracing::warn!(%code, "an anchor was refused; it is made anew"),
            (What::Lease, _) => tracing::warn!(%code, "the lease was refused; it is taken anew"),
        }
    }

    fn submitting(&self) -> std::sync::MutexGuard<'_, HashSet<ChannelId>> {
        self.submitting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn run(&self, errand: Errand) {
        match errand {
            Errand::Submit(submission) => {
                let channel = submission.channel;
                if !self.may_submit(&submission).await {
                    self.submitting().remove(&channel);
                    return;
                }
                let transaction = Transaction::submit(&self.key, *submission);
                let what = What::Submission(channel);
                if let Err(problem) = self.carry(transaction, what).await {
                    self.refused(what, problem.code).await;
                }
                self.submitting().remove(&channel);
            }
            Errand::Cosign(request) => self.cosign(*request).await,
            // The account does these.
            Errand::Deposit { .. } | Errand::Anchor(..) | Errand::Lease(_) => {}
        }
    }

    /// Waits with a close until the lease is held: a process that may be behind another one closes
    /// nothing. Everything else brings what the other side has signed, and may go at once.
    async fn may_submit(&self, submission: &Submission) -> bool {
        while submission.close && !self.authority.is_held() && !self.authority.is_fenced() {
            tokio::time::sleep(PAUSE).await;
        }
        !self.authority.is_fenced()
    }

    async fn cosign(&self, request: Request) {
        // The shard has counted it as done; it lapses there unless the wallet asks again.
        if !self.authority.may_sign() {
            return request.refuse(Code::LedgerStalled);
        }
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
            .carry(transaction, What::Agreement(channel))
            .await
            .map(|tx| Cosigned { signature, tx });
        let _ = request.answer.send(answer);
    }

    /// Brings a transaction to the ledger until it answers.
    async fn bring(&self, transaction: &Transaction, what: What) -> Result<TxId, Problem> {
        loop {
            if let Some(answer) = self.attempt(transaction, what).await {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Hands a transaction in once; `None` if it is to be handed in again as it is.
    async fn attempt(
        &self,
        transaction: &Transaction,
        what: What,
    ) -> Option<Result<TxId, Problem>> {
        // The semaphore is never closed. No place is kept while waiting to try again.
        let _place = self.places.acquire().await;
        self.handed_in().remember(transaction.id(), what);
        match self.ledger.submit(transaction).await {
            Ok(tx) => {
                add(&self.counters.submitted, 1);
                Some(Ok(tx))
            }
            Err(LedgerError::Refused(problem)) if !passes(problem.code) => Some(Err(*problem)),
            Err(error) => {
                tracing::debug!(%error, "the ledger is asked again");
                None
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
#[cfg(test)]
mod waiting;
