//! Decoding frames and checking signatures, on as many threads as there are cores.
//!
//! Each connection has lanes; a channel always uses the same one, so its messages stay in order. A
//! lane with frames waits in one queue for any worker, which takes a handful and puts it back at the
//! end if there are more. So work spreads over all workers, and a connection that floods the hub
//! gets its turn like any other, and no more.

use std::io;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use settlement::channel::{VerifiedSnapshot, VerifiedUpdate};
use settlement::crypto::{BatchCache, VerifyingKey};
use settlement::reject::Code;
use settlement::types::{ChannelId, PublicKey, Role};
use settlement::wire::Message;

use crate::admission::{Gate, ops_of};
use crate::counters::{Counters, add};
use crate::peer::{Peer, Scheduling};
use crate::queue::Queue;
use crate::router::{Route, Router, ShardQueues};
use crate::shard::Input;
use crate::shards::Job;
use crate::sync::thread::{Builder, JoinHandle};
use crate::tips::Tips;

/// Frames that a worker takes from a lane at a time.
const FRAMES_PER_TURN: usize = 64;
/// Batch signatures that each worker remembers.
const BATCHES_REMEMBERED: usize = 256;

/// The workers.
pub(crate) struct Pool {
    lanes: Queue<(Arc<Peer>, usize)>,
    router: Arc<Router>,
    queues: ShardQueues,
    counters: Arc<Counters>,
    /// What lets frames in.
    pub(crate) gate: Arc<Gate>,
    tips: OnceLock<Tips>,
}

impl Pool {
    /// A pool without workers yet.
    pub(crate) fn new(
        router: Arc<Router>,
        queues: ShardQueues,
        counters: Arc<Counters>,
        gate: Arc<Gate>,
    ) -> Arc<Pool> {
        let tips = OnceLock::new();
        Arc::new(Pool { lanes: Queue::new(usize::MAX), router, queues, counters, gate, tips })
    }

    /// Starts so many workers.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(self: &Arc<Pool>, workers: usize) -> io::Result<Vec<JoinHandle<()>>> {
        let start = |n| {
            let pool = self.clone();
            Builder::new().name(format!("verify-{n}")).spawn(move || pool.work())
        };
        (0..workers.max(1)).map(start).collect()
    }

    /// Has the headers that wallets show looked at; once.
    pub(crate) fn show_tips(&self, tips: Tips) {
        let _ = self.tips.set(tips);
    }

    /// A lane has frames and nobody has it.
    pub(crate) fn schedule(&self, peer: &Arc<Peer>, lane: usize) {
        self.lanes.push((peer.clone(), lane));
    }

    /// How many lanes wait for a worker.
    pub(crate) fn waiting(&self) -> usize {
        self.lanes.len()
    }

    /// The workers end once no lane waits.
    pub(crate) fn close(&self) {
        self.lanes.close();
    }

    fn work(&self) {
        let mut worker = Worker {
            pool: self,
            cache: BatchCache::new(BATCHES_REMEMBERED),
            jobs: self.queues.iter().map(|_| Jobs::default()).collect(),
            dropped: 0,
        };
        let mut frames = Vec::with_capacity(FRAMES_PER_TURN);
        while let Some((peer, lane)) = self.lanes.take() {
            peer.take_frames(lane, FRAMES_PER_TURN, &mut frames);
            for frame in frames.drain(..) {
                worker.frame(&peer, &frame);
            }
            worker.hand_over();
            if peer.release(lane) == Scheduling::Needed {
                self.schedule(&peer, lane);
            }
        }
    }
}

/// The lane that a frame belongs to, read off its bytes before it is decoded: a channel's digest
/// starts behind the message's number (and the direction, in a snapshot). `None` for messages about
/// no channel, and for what is none.
pub(crate) fn lane_of(frame: &Bytes, lanes: usize) -> Option<usize> {
    let at = match frame.first()? {
        2 => 18,
        1..=7 => 17,
        _ => return None,
    };
    let byte = frame.get(at)?;
    Some(usize::from(*byte) % lanes.max(1))
}

struct Worker<'a> {
    pool: &'a Pool,
    cache: BatchCache,
    /// For each shard, what goes to it next.
    jobs: Vec<Jobs>,
    /// Operations of frames that go nowhere.
    dropped: u64,
}

#[derive(Default)]
struct Jobs {
    jobs: Vec<Job>,
    /// How many operations they come to.
    ops: u64,
}

impl Worker<'_> {
    fn frame(&mut self, peer: &Arc<Peer>, frame: &Bytes) {
        let ops = ops_of(frame);
        let job = if peer.is_closing() { None } else { self.read(peer, frame) };
        match job.and_then(|(shard, job)| Some((self.jobs.get_mut(shard)?, job))) {
            Some((jobs, job)) => {
                jobs.jobs.push(job);
                jobs.ops = jobs.ops.saturating_add(ops);
            }
            None => self.dropped = self.dropped.saturating_add(ops),
        }
    }

    fn read(&mut self, peer: &Arc<Peer>, frame: &Bytes) -> Option<(usize, Job)> {
        match Message::from_frame(frame) {
            Ok(message) => self.message(peer, message),
            Err(error) => {
                tracing::debug!(peer = peer.id, %error, "closing a connection");
                peer.close(error.code());
                None
            }
        }
    }

    /// Which shard it goes to, as what.
    fn message(&mut self, peer: &Arc<Peer>, message: Message) -> Option<(usize, Job)> {
        let channel = message.channel()?;
        let seq = match &message {
            Message::Update(update) => Some(update.proof.value.seq),
            Message::Sync { .. } => Some(0),
            _ => None,
        };
        let refuse = |code| {
            if let Some(seq) = seq {
                add(&self.pool.counters.refused, 1);
                peer.send(&Message::Reject { channel, seq, code });
            }
            None
        };
        let Some(route) = self.pool.router.route(&channel) else {
            return refuse(Code::UnknownChannel);
        };
        if !route.is_with(peer) {
            return refuse(Code::NotSignedIn);
        }
        if let (Message::Sync { tip: Some(tip), .. }, Some(tips)) = (&message, self.pool.tips.get())
        {
            tips.look(*tip);
        }
        let input = match message {
            Message::Update(update) => {
                let Some(key) = route.key() else { return refuse(Code::UnknownChannel) };
                let checked = VerifiedUpdate::check(update, key, &mut self.cache);
                self.checked(channel, seq.unwrap_or(0), checked)
            }
            Message::Snapshot { .. } => match snapshot(message, &route, self.pool.router.hub()) {
                Some(snapshot) => Input::Snapshot(Box::new(snapshot)),
                None => {
                    add(&self.pool.counters.refused, 1);
                    return None;
                }
            },
            message => Input::Message(Box::new(message)),
        };
        Some((route.shard, Job::Said(peer.id, channel, input)))
    }

    fn checked(
        &self,
        channel: ChannelId,
        seq: u64,
        checked: Result<VerifiedUpdate, Code>,
    ) -> Input {
        match checked {
            Ok(update) => {
                add(&self.pool.counters.verified, 1);
                Input::Update(Box::new(update))
            }
            Err(code) => {
                add(&self.pool.counters.refused, 1);
                Input::BadUpdate { channel, seq, code }
            }
        }
    }

    fn hand_over(&mut self) {
        for (jobs, queue) in self.jobs.iter_mut().zip(self.pool.queues.iter()) {
            if jobs.ops > 0 {
                jobs.jobs.push(Job::Admitted(std::mem::take(&mut jobs.ops)));
            }
            queue.push_all(&mut jobs.jobs);
        }
        self.pool.gate.finish(std::mem::take(&mut self.dropped));
    }
}

/// A direction that was shown in full, as its owner signed it. Rare, so the hub's own key is parsed
/// anew for it.
fn snapshot(message: Message, route: &Route, hub: &PublicKey) -> Option<VerifiedSnapshot> {
    let (direction, taken) = message.into_taken()?;
    let own = VerifyingKey::parse(hub).ok()?;
    let key = if direction == Role::Wallet { route.key()? } else { &own };
    VerifiedSnapshot::check(direction, taken, key).ok()
}

#[cfg(test)]
mod tests;
