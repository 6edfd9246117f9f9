//! Bringing submissions to the ledger, trying until it answers.

use std::sync::Arc;
use std::time::Duration;

use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::members::Members;
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
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Signs and brings whatever comes, until the client is dropped. One that is slow to be answered
/// holds up no other: deadlines differ.
pub(crate) async fn run(
    mut submissions: UnboundedReceiver<Submitted>,
    members: Arc<Members>,
    ledger: Arc<dyn LedgerClient>,
) {
    let places = Arc::new(Semaphore::new(TOGETHER));
    let mut tasks = JoinSet::new();
    while let Some(Submitted { index, submission, unanswered }) = submissions.recv().await {
        let Some(member) = members.get(index) else {
            continue;
        };
        let (ledger, places) = (ledger.clone(), places.clone());
        tasks.spawn(async move {
            let transaction = Transaction::submit(&member.key, *submission);
            bring(ledger.as_ref(), &transaction, &places).await;
            drop(unanswered);
        });
        while tasks.try_join_next().is_some() {}
    }
}

/// Hands a transaction in until the ledger takes it or refuses it for good.
async fn bring(ledger: &dyn LedgerClient, transaction: &Transaction, places: &Semaphore) {
    let mut pause = RETRY_MIN;
    loop {
        let answer = {
            // The semaphore is never closed.
            let _place = places.acquire().await;
            ledger.submit(transaction).await
        };
        match answer {
            Ok(tx) => return tracing::info!(%tx, "the ledger took a submission"),
            // Somebody else, or this wallet before, has brought all of it already.
            Err(LedgerError::Refused(problem)) if problem.code == Code::ChangesNothing => return,
            Err(LedgerError::Refused(problem)) if !problem.retryable => {
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
