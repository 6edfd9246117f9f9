//! A connection as the rest of the hub sees it: a bounded queue of frames that go out, lanes of
//! frames that came in, and a way to close it.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use settlement::encoding::append;
use settlement::reject::Code;
use settlement::types::PublicKey;
use settlement::wire::Message;
use tokio::sync::Notify;

use crate::answers::{Answers, Watch};

/// Frames of one lane that wait to be verified before the socket is read no further.
const LANE_FRAMES: usize = 512;
/// The same in bytes.
const LANE_BYTES: usize = 1 << 20;

/// A connection.
pub(crate) struct Peer {
    /// Never used twice in a process, never 0.
    pub(crate) id: u64,
    out: Mutex<Out>,
    out_bytes_max: usize,
    wake: Notify,
    closing: AtomicBool,
    lanes: Box<[Lane]>,
    /// Notified once it is being closed.
    ended: Notify,
    watch: Watch,
    /// Changed by the router alone.
    pub(crate) signed: Mutex<SignedIn>,
}

/// The wallets that are signed in on a connection.
#[derive(Debug, Default)]
pub(crate) struct SignedIn {
    pub(crate) keys: HashSet<PublicKey>,
    /// How many of them have a channel that is not paid out.
    pub(crate) with_channel: usize,
}

impl SignedIn {
    /// How many of them have none.
    pub(crate) fn without_channel(&self) -> usize {
        self.keys.len().saturating_sub(self.with_channel)
    }
}

/// What goes out next.
#[derive(Default)]
pub(crate) struct Out {
    /// Frames, one behind the other.
    pub(crate) bytes: Vec<u8>,
    /// Where each of them ends.
    pub(crate) ends: Vec<usize>,
    /// Why the connection is to be closed once they are written.
    pub(crate) closing: Option<Code>,
}

struct Lane {
    waiting: Mutex<Waiting>,
    room: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Whether a worker has the lane, or it waits for one.
    scheduled: bool,
}

/// Whether a lane has to be handed to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheduling {
    /// Nobody has it.
    Needed,
    /// Somebody has it already.
    Done,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Peer {
    /// A connection that may owe its socket up to `out_bytes_max` bytes.
    pub(crate) fn new(id: u64, lanes: usize, out_bytes_max: usize) -> Peer {
        let lane = || Lane { waiting: Mutex::default(), room: Notify::new() };
        Peer {
            id,
            out: Mutex::default(),
            out_bytes_max,
            wake: Notify::new(),
            closing: AtomicBool::new(false),
            lanes: (0..lanes.max(1)).map(|_| lane()).collect(),
            ended: Notify::new(),
            watch: Watch::new(Arc::default()),
            signed: Mutex::default(),
        }
    }

    /// The same, with the time of its answers counted among these.
    pub(crate) fn watched(self, answers: &Arc<Answers>) -> Peer {
        Peer { watch: Watch::new(answers.clone()), ..self }
    }

    /// Puts a message into the queue without waking the writer: [`Peer::wake`] does, once for many.
    pub(crate) fn queue(&self, message: &Message) {
        let mut out = lock(&self.out);
        if out.closing.is_some() {
            return;
        }
        append(&mut out.bytes, message);
        let end = out.bytes.len();
        out.ends.push(end);
        self.watch.queued(message);
        if end > self.out_bytes_max {
            // What it does not read it does not get: the memory is given back at once.
            *out = Out { closing: Some(Code::SlowConsumer), ..Out::default() };
            self.end();
        }
    }

    /// Lets the writer write what was queued.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Queues one message and wakes the writer.
    pub(crate) fn send(&self, message: &Message) {
        self.queue(message);
        self.wake();
    }

    /// Says goodbye after what is queued, and closes. The first reason counts.
    pub(crate) fn close(&self, code: Code) {
        let mut out = lock(&self.out);
        out.closing = out.closing.or(Some(code));
        drop(out);
        self.end();
        self.wake();
    }

    fn end(&self) {
        self.closing.store(true, Relaxed);
        self.ended.notify_waiters();
    }

    /// Until it is being closed.
    pub(crate) async fn closing(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // From here on the end is not missed.
        ended.as_mut().enable();
        if !self.is_closing() {
            ended.await;
        }
    }

    /// Whether none of its wallets has a channel.
    pub(crate) fn is_stranger(&self) -> bool {
        lock(&self.signed).with_channel == 0
    }

    /// Whether this wallet is signed in on it.
    pub(crate) fn has_signed_in(&self, wallet: &PublicKey) -> bool {
        lock(&self.signed).keys.contains(wallet)
    }

    /// Whether it reads what is sent to it, so that something may be added that can be done without.
    pub(crate) fn has_room(&self) -> bool {
        lock(&self.out).bytes.len() <= self.out_bytes_max / 4
    }

    /// Whether it is being closed: nothing more that came from it counts.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Everything that waits to be written, as soon as there is something.
    pub(crate) async fn next_out(&self) -> Out {
        // What was taken last is written by now.
        self.watch.written();
        loop {
            {
                let mut out = lock(&self.out);
                if !out.ends.is_empty() || out.closing.is_some() {
                    let closing = out.closing;
                    self.watch.writing();
                    return std::mem::replace(&mut out, Out { closing, ..Out::default() });
                }
            }
            self.wake.notified().await;
        }
    }

    /// Puts a frame that came in into the lane that `channel` belongs to, once it has room.
    pub(crate) async fn accept(&self, lane: usize, frame: Bytes) -> Scheduling {
        self.watch.read(&frame);
        let Some(lane) = self.lanes.get(lane) else { return Scheduling::Done };
        loop {
            let room = lane.room.notified();
            {
                let mut waiting = lock(&lane.waiting);
                if waiting.frames.len() < LANE_FRAMES && waiting.bytes < LANE_BYTES {
                    waiting.bytes = waiting.bytes.saturating_add(frame.len());
                    waiting.frames.push_back(frame);
                    let scheduled = std::mem::replace(&mut waiting.scheduled, true);
                    return if scheduled { Scheduling::Done } else { Scheduling::Needed };
                }
            }
            room.await;
        }
    }

    /// How many lanes it has.
    pub(crate) fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// Moves at most `most` frames of a lane into `frames`.
    pub(crate) fn take_frames(&self, lane: usize, most: usize, frames: &mut Vec<Bytes>) {
        let Some(lane) = self.lanes.get(lane) else { return };
        let mut waiting = lock(&lane.waiting);
        let count = most.min(waiting.frames.len());
        frames.extend(waiting.frames.drain(..count));
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        waiting.bytes = waiting.bytes.saturating_sub(bytes);
        drop(waiting);
        lane.room.notify_one();
    }

    /// A worker is done with the lane for now; it is needed again if frames wait.
    pub(crate) fn release(&self, lane: usize) -> Scheduling {
        let Some(lane) = self.lanes.get(lane) else { return Scheduling::Done };
        let mut waiting = lock(&lane.waiting);
        waiting.scheduled = !waiting.frames.is_empty();
        if waiting.scheduled {
            return Scheduling::Needed;
        }
        drop(waiting);
        lane.room.notify_one();
        Scheduling::Done
    }

    /// Until workers have handed on all that came in. For whoever reads the socket, and has put the
    /// last frame into its lane.
    pub(crate) async fn handed_on(&self) {
        for lane in &self.lanes {
            loop {
                let released = lane.room.notified();
                if !lock(&lane.waiting).scheduled {
                    break;
                }
                released.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settlement::types::ChannelId;

    fn ack(seq: u64) -> Message {
        Message::Ack { channel: ChannelId([1; 32]), seq }
    }

    #[tokio::test]
    async fn frames_come_out_together_and_whole() {
        let peer = Peer::new(1, 1, 1 << 20);
        let messages = [ack(1), ack(300), ack(3)];
        messages.iter().for_each(|message| peer.queue(message));
        let out = peer.next_out().await;
        let mut from = 0;
        let read = out.ends.iter().map(|end| {
            let frame = &out.bytes[from..*end];
            from = *end;
            Message::from_frame(frame).unwrap()
        });
        assert_eq!(read.collect::<Vec<_>>(), messages);
        assert_eq!(out.closing, None);
    }

    #[tokio::test]
    async fn one_that_does_not_read_is_closed_and_its_memory_given_back() {
        let peer = Peer::new(1, 1, 200);
        for seq in 0..100 {
            peer.queue(&ack(seq));
        }
        assert!(peer.is_closing());
        let out = peer.next_out().await;
        assert_eq!((out.closing, out.bytes.len()), (Some(Code::SlowConsumer), 0));
    }

    #[tokio::test]
    async fn the_first_reason_to_close_counts_and_comes_last() {
        let peer = Peer::new(1, 1, 1 << 20);
        peer.send(&ack(1));
        peer.close(Code::Replaced);
        peer.close(Code::ShuttingDown);
        peer.send(&ack(2));
        let out = peer.next_out().await;
        assert_eq!((out.ends.len(), out.closing), (1, Some(Code::Replaced)));
    }

    #[tokio::test]
    async fn all_that_came_in_is_handed_on_once_no_worker_has_a_lane() {
        let peer = std::sync::Arc::new(Peer::new(1, 3, 1 << 20));
        peer.handed_on().await;
        for lane in [0, 2] {
            peer.accept(lane, Bytes::from_static(b"x")).await;
        }
        let reader = peer.clone();
        let waiting = tokio::spawn(async move { reader.handed_on().await });
        let mut frames = Vec::new();
        for lane in [0, 2] {
            peer.take_frames(lane, 64, &mut frames);
            tokio::task::yield_now().await;
            assert!(!waiting.is_finished(), "a worker has it");
            assert_eq!(peer.release(lane), Scheduling::Done);
        }
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_lane_stops_the_reader_until_a_worker_has_taken_frames() {
        let peer = std::sync::Arc::new(Peer::new(1, 2, 1 << 20));
        assert_eq!(peer.accept(1, Bytes::from_static(b"x")).await, Scheduling::Needed);
        for _ in 1..LANE_FRAMES {
            assert_eq!(peer.accept(1, Bytes::from_static(b"x")).await, Scheduling::Done);
        }
        let reader = peer.clone();
        let blocked = tokio::spawn(async move { reader.accept(1, Bytes::from_static(b"y")).await });
        tokio::task::yield_now().await;
        assert!(!blocked.is_finished());
        let mut frames = Vec::new();
        peer.take_frames(1, 64, &mut frames);
        assert_eq!(frames.len(), 64);
        assert_eq!(blocked.await.unwrap(), Scheduling::Done);
        assert_eq!(peer.release(1), Scheduling::Needed);
        frames.clear();
        peer.take_frames(1, LANE_FRAMES, &mut frames);
        assert_eq!(peer.release(1), Scheduling::Done);
    }
}
