//! What is around the planner: the clock, the shards, the desk.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use settlement::block::BlockEvents;
use settlement::params::{Genesis, Policy};
use settlement::reject::Code;
use settlement::tx::Anchoring;
use settlement::types::{Height, PublicKey, TxId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::planner::{Do, Planner, Site};
use super::rounds::{Chunking, pause};
use super::{AnchorReport, Books};
use crate::counters::{Counters, add};
use crate::desk::{Desk, Errand};
use crate::lease::Authority;
use crate::outbox::Durable;
use crate::router::ShardQueues;
use crate::shard::Input;
use crate::shards::Job;

/// The most channels that a shard hands over at once: about a millisecond of its time.
const HANDED_OVER: usize = 1_024;

/// Where operators ask for a round.
pub(crate) type Requests = mpsc::UnboundedSender<oneshot::Sender<AnchorReport>>;

/// What anchoring needs.
pub(crate) struct Anchorer {
    pub(crate) hub: PublicKey,
    pub(crate) genesis: Genesis,
    pub(crate) policy: Policy,
    pub(crate) interval: Duration,
    pub(crate) authority: Arc<Authority>,
    pub(crate) queues: ShardQueues,
    pub(crate) desk: Desk,
    pub(crate) books: Books,
    pub(crate) counters: Arc<Counters>,
    pub(crate) durable: mpsc::UnboundedReceiver<Durable>,
    pub(crate) blocks: broadcast::Receiver<Arc<BlockEvents>>,
    pub(crate) requests: mpsc::UnboundedReceiver<oneshot::Sender<AnchorReport>>,
}

struct Running {
    site: Anchorer,
    planner: Planner,
    height: Height,
    /// Whether a round is due.
    due: bool,
    /// Who waits for the next round.
    waiting: Vec<oneshot::Sender<AnchorReport>>,
    /// Who waits for the one that runs.
    attending: Vec<oneshot::Sender<AnchorReport>>,
    answers: mpsc::UnboundedSender<Result<TxId, Code>>,
    /// Chunks on their way to the desk; they end with this.
    posting: JoinSet<()>,
}

impl Anchorer {
    /// Anchors until the hub stops.
    pub(crate) async fn run(self) {
        let site = Site {
            hub: self.hub,
            shards: u16::try_from(self.queues.len()).unwrap_or(u16::MAX),
            chunking: Chunking::of(&self.genesis),
            patience: self.policy.inclusion_delay.saturating_mul(4),
        };
        let planner = Planner::new(site, self.books.clone());
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (answers, mut answered) = mpsc::unbounded_channel();
        let mut running = Running {
            site: self,
            planner,
            height: Height(0),
            due: false,
            waiting: Vec::new(),
            attending: Vec::new(),
            answers,
            posting: JoinSet::new(),
        };
        loop {
            let next = tokio::select! {
                _ = ticks.tick() => {
                    running.due = true;
                    Vec::new()
                }
                Some(request) = running.site.requests.recv() => {
                    running.waiting.push(request);
                    Vec::new()
                }
                Some(answer) = answered.recv() => running.planner.posted(answer),
                durable = running.site.durable.recv() => match durable {
                    Some(Durable::Moved(moved)) => running.planner.moved(*moved),
                    Some(Durable::Stated(said)) => running.planner.stated(&said),
                    None => return,
                },
                block = running.site.blocks.recv() => match block {
                    Ok(block) => running.follow(&block),
                    // What was missed is waited for in vain, and in the next round again.
                    Err(RecvError::Lagged(_)) => Vec::new(),
                    Err(RecvError::Closed) => return,
                },
            };
            running.perform(next);
            running.begin_if_due();
        }
    }
}

impl Running {
    fn follow(&mut self, block: &BlockEvents) -> Vec<Do> {
        self.height = block.header.header.height;
        self.planner.follow(block)
    }

    fn begin_if_due(&mut self) {
        let wanted = self.due || !self.waiting.is_empty();
        if !wanted || !self.planner.is_free(self.height) || !self.site.authority.may_sign() {
            return;
        }
        let Some(tenure) = self.site.authority.tenure() else { return };
        self.due = false;
        self.attending = std::mem::take(&mut self.waiting);
        let next = self.planner.begin(tenure);
        self.perform(next);
    }

    fn perform(&mut self, next: Vec<Do>) {
        for next in next {
            match next {
                Do::Ask { shard, round } => {
                    self.tell(shard, Input::Anchor { round, most: HANDED_OVER });
                }
                Do::State(said) => self.tell(0, Input::State(said)),
                Do::Post { chunks, of } => self.post(chunks, of),
                Do::Done(report) => self.done(&report),
            }
        }
    }

    fn post(&mut self, chunks: Vec<Anchoring>, of: usize) {
        let pause = pause(self.site.interval, of);
        // A wave follows when the one before is over: at most a pause is left of that.
        self.posting = JoinSet::new();
        let pause = move || tokio::time::sleep(pause);
        self.posting.spawn(hand_in(chunks, pause, self.site.desk.clone(), self.answers.clone()));
    }

    fn tell(&self, shard: u16, input: Input) {
        if let Some(queue) = self.site.queues.get(usize::from(shard)) {
            queue.push(Job::Input(input));
        }
    }

    fn done(&mut self, report: &AnchorReport) {
        let channels = usize::try_from(report.channels).unwrap_or(usize::MAX);
        add(&self.site.counters.channels_anchored, channels);
        if let Some(block) = report.block {
            add(&self.site.counters.anchors, 1);
            self.site.counters.anchored_height.store(block.0, Relaxed);
            tracing::debug!(channels, %block, "anchored");
        }
        if let Some(code) = report.problem {
            add(&self.site.counters.anchors_failed, 1);
            tracing::warn!(
                %code,
                anchored = report.channels,
                of = report.of,
                "not everything that moved was anchored; it is tried again in the next round"
            );
        }
        for waiting in self.attending.drain(..) {
            // Who asked may have gone away.
            let _ = waiting.send(report.clone());
        }
    }
}

/// One chunk after the other, each a pause after the one before is answered.
async fn hand_in<P: Future<Output = ()>>(
    chunks: Vec<Anchoring>,
    pause: impl Fn() -> P,
    desk: Desk,
    answers: mpsc::UnboundedSender<Result<TxId, Code>>,
) {
    for chunk in chunks {
        let (answer, answered) = oneshot::channel();
        desk.give(Errand::Anchor(Box::new(chunk), answer));
        let answer = match answered.await {
            Ok(answer) => answer.map_err(|problem| problem.code),
            Err(_) => Err(Code::ShuttingDown),
        };
        let _ = answers.send(answer);
        pause().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

    use settlement::liabilities::Liabilities;
    use settlement::types::{Amount, AssetId, Hash};

    use super::*;

    #[tokio::test]
    async fn a_chunk_is_handed_in_a_pause_after_the_one_before_is_answered() {
        let liabilities =
            Liabilities { as_of: Height(3), asset: AssetId(0), root: Hash::ZERO, total: Amount(0) };
        let chunk = |epoch| Anchoring { epoch, entries: Vec::new(), liabilities };
        let (errands, mut handed) = mpsc::unbounded_channel();
        let (answers, mut answered) = mpsc::unbounded_channel();
        let (pauses, mut pausing) = mpsc::unbounded_channel();
        let pause = move || {
            let (go_on, over) = oneshot::channel::<()>();
            pauses.send(go_on).unwrap();
            async move { over.await.unwrap() }
        };
        let chunks = vec![chunk(1), chunk(2), chunk(3)];
        tokio::spawn(hand_in(chunks, pause, Desk::of(errands), answers));
        for epoch in 1..=3 {
            let Some(Errand::Anchor(chunk, answer)) = handed.recv().await else { panic!() };
            assert_eq!(chunk.epoch, epoch);
            assert!(pausing.try_recv().is_err(), "the ledger has not taken number {epoch} in yet");
            if epoch == 3 {
                // Its answer never comes: the desk is gone.
                break;
            }
            answer.send(Ok(TxId([1; 32]))).unwrap();
            assert_eq!(answered.recv().await, Some(Ok(TxId([1; 32]))));
            let go_on = pausing.recv().await.unwrap();
            assert!(handed.try_recv().is_err(), "the pause is not over");
            go_on.send(()).unwrap();
        }
        assert_eq!(answered.recv().await, Some(Err(Code::ShuttingDown)));
    }
}
