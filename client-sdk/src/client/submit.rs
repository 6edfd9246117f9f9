//! Bringing submissions to the ledger, trying until it answers; where it takes fees, in envelopes that
//! the wallet's account pays for.

use std::sync::Arc;
use std::time::Duration;

use settlement::api::Problem;
use settlement::params::Genesis;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{LedgerId, TxId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::members::{Member, Members};
use crate::ledger_client::{LedgerClient, LedgerError};

/// A submission and the wallet that signs it.
pub(crate) struct Submitted {
    index: u32,
    submission: Box<Submission>,
    unanswered: Unanswered,
}

/// Where submissions are handed in. At most a few per channel, and only around a close, so the
/// queue needs no bound of its own.
#[derive(Clone)]
pub(crate) struct Submissions {
    queue: UnboundedSender<Submitted>,
    unanswered: Arc<watch::Sender<usize>>,
}

/// Counted for as long as the ledger has neither taken nor refused a submission.
struct Unanswered(Arc<watch::Sender<usize>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// The queue's two ends.
pub(crate) fn submissions() -> (Submissions, UnboundedReceiver<Submitted>) {
    let (queue, submitted) = unbounded_channel();
    (Submissions { queue, unanswered: Arc::new(watch::channel(0).0) }, submitted)
}

impl Submissions {
    /// Hands one in. Once the client has ended it goes nowhere: the next start makes it anew.
    pub(crate) fn give(&self, index: u32, submission: Box<Submission>) {
        self.unanswered.send_modify(|count| *count = count.saturating_add(1));
        let unanswered = Unanswered(self.unanswered.clone());
        let _ = self.queue.send(Submitted { index, submission, unanswered });
    }

    /// How many the ledger has not answered yet.
    pub(crate) fn unanswered(&self) -> watch::Receiver<usize> {
        self.unanswered.subscribe()
    }
}

/// How many are brought at once.
const TOGETHER: usize = 16;
/// How long the account is waited for while it does something else.
const ACCOUNT_WAIT: Duration = Duration::from_secs(2);
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Signs and brings whatever comes, until the client is dropped. One that is slow to be answered
/// holds up no other: deadlines differ.
pub(crate) async fn run(
    mut submissions: UnboundedReceiver<Submitted>,
    members: Arc<Members>,
    ledger: Arc<dyn LedgerClient>,
    genesis: Arc<Genesis>,
) {
    let envelopes = (!genesis.fees.is_free()).then(|| genesis.ledger_id());
    let places = Arc::new(Semaphore::new(TOGETHER));
    let mut tasks = JoinSet::new();
    while let Some(Submitted { index, submission, unanswered }) = submissions.recv().await {
        let Some(member) = members.get(index) else {
            continue;
        };
        let (ledger, places) = (ledger.clone(), places.clone());
        tasks.spawn(async move {
            let transaction = Transaction::submit(&member.key, *submission);
            let bearer = Bearer { ledger: ledger.as_ref(), member: &member, envelopes };
            bearer.bring(&transaction, &places).await;
            drop(unanswered);
        });
        while tasks.try_join_next().is_some() {}
    }
}

/// Who brings one.
struct Bearer<'a> {
    ledger: &'a dyn LedgerClient,
    member: &'a Member,
    /// The ledger's id, if it takes what is about channels in envelopes only.
    envelopes: Option<LedgerId>,
}

impl Bearer<'_> {
    /// Hands a transaction in until the ledger takes it or refuses it for good.
    async fn bring(&self, transaction: &Transaction, places: &Semaphore) {
        let mut pause = RETRY_MIN;
        loop {
            let answer = {
                // The semaphore is never closed.
                let _place = places.acquire().await;
                self.hand_in(transaction).await
            };
            match answer {
                Ok(tx) => return tracing::info!(%tx, "the ledger took a submission"),
                // Somebody else, or this wallet before, has brought all of it already.
                Err(LedgerError::Refused(problem)) if problem.code == Code::ChangesNothing => {
                    return;
                }
                Err(LedgerError::Refused(problem)) if is_final(&problem) => {
                    let channel = transaction.channel();
                    return tracing::warn!(
                        ?channel,
                        code = problem.code.number(),
                        detail = problem.detail,
                        "the ledger refused a submission"
                    );
                }
                Err(error) => tracing::warn!(%error, "a submission is tried again"),
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(RETRY_MAX);
        }
    }

    /// Once. In an envelope with the account's next nonce: whatever else the account does right now
    /// is waited for, but not long, since a claim has a deadline.
    async fn hand_in(&self, transaction: &Transaction) -> Result<TxId, LedgerError> {
        let Some((ledger, action)) = self.envelopes.zip(AccountAction::carry(transaction.clone()))
        else {
            return self.ledger.submit(transaction).await;
        };
        let _turn = timeout(ACCOUNT_WAIT, self.member.account.lock()).await;
        let account = self.member.key.public();
        let nonce = self.ledger.account(&account).await?.nonce;
        let body = AccountTx { ledger, account, nonce, action };
        self.ledger.submit(&Transaction::account(&self.member.key, body)).await
    }
}

/// Whether trying again can't help. A nonce that something else has spent can be another one.
fn is_final(problem: &Problem) -> bool {
    !problem.retryable && problem.code != Code::BadNonce
}
