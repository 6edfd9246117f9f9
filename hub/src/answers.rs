//! How long updates wait for their answers, from the hub's read to its write.
//!
//! A connection watches one of its updates at a time, and the next one that it watches is any of the
//! next 16: so it costs next to nothing, and no payer can tell which. The time runs from the moment
//! at which the frame was let in ([`admission`](crate::admission)) and read, before it waits for anything
//! else, to the moment at which the write with its answer was done. What it waited before in its socket does not count.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use settlement::wire::Message;

/// Upper bounds of the histogram's buckets are these many microseconds, each a quarter more than the
/// one before it.
const FIRST_US: f64 = 100.0;
const STEP: f64 = 1.25;
/// The last bound is some two minutes.
const BUCKETS: usize = 64;
/// One update of so many is watched, on the average of half of that.
const EVERY: u32 = 16;
/// Of an update that is not answered by then nothing is expected any more.
const FORGOTTEN: Duration = Duration::from_secs(120);
/// An update's number among the messages.
const UPDATE: u8 = 3;

/// All answers of a process.
#[derive(Debug)]
pub(crate) struct Answers {
    buckets: [AtomicU64; BUCKETS],
    slower: AtomicU64,
    sum_us: AtomicU64,
}

impl Default for Answers {
    fn default() -> Answers {
        let buckets = [const { AtomicU64::new(0) }; BUCKETS];
        Answers { buckets, slower: AtomicU64::new(0), sum_us: AtomicU64::new(0) }
    }
}

fn bounds_us() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(FIRST_US), |bound| Some(bound * STEP))
}

impl Answers {
    fn add(&self, took: Duration) {
        let us = took.as_secs_f64() * 1e6;
        let bucket = bounds_us().zip(&self.buckets).find(|(bound, _)| us <= *bound);
        bucket.map_or(&self.slower, |(_, bucket)| bucket).fetch_add(1, Relaxed);
        self.sum_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// As `/metrics` prints a histogram.
    pub(crate) fn text(&self) -> String {
        let name = "hub_answer_seconds";
        let mut text = format!(
            "# HELP {name} From when an update is let in and read to the write of its answer, of a sample.\n\
             # TYPE {name} histogram\n"
        );
        let mut count = 0u64;
        for (bound, bucket) in bounds_us().zip(&self.buckets) {
            count = count.saturating_add(bucket.load(Relaxed));
            let le = bound / 1e6;
            text.push_str(&format!("{name}_bucket{{le=\"{le:.6}\"}} {count}\n"));
        }
        count = count.saturating_add(self.slower.load(Relaxed));
        let sum = self.sum_us.load(Relaxed) as f64 / 1e6;
        text.push_str(&format!("{name}_bucket{{le=\"+Inf\"}} {count}\n"));
        text.push_str(&format!("{name}_sum {sum:.6}\n{name}_count {count}\n"));
        text
    }
}

/// One connection's watch.
#[derive(Debug)]
pub(crate) struct Watch {
    answers: Arc<Answers>,
    /// Updates that pass before the next one is watched; [`BUSY`] while one is.
    pass: AtomicU32,
    watched: Mutex<Option<Watched>>,
}

/// One is being watched.
const BUSY: u32 = u32::MAX;

#[derive(Debug)]
struct Watched {
    channel: [u8; 32],
    read: Instant,
    /// Whether the answer is among what is written next, or being written.
    answered: bool,
    writing: bool,
}

impl Watch {
    /// One that has watched nothing yet.
    pub(crate) fn new(answers: Arc<Answers>) -> Watch {
        Watch { answers, pass: AtomicU32::new(0), watched: Mutex::default() }
    }

    fn watched(&self) -> MutexGuard<'_, Option<Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.pass.load(Relaxed) == BUSY
    }

    /// A frame was read just now, by the only task that reads.
    pub(crate) fn read(&self, frame: &[u8]) {
        let Some((&UPDATE, body)) = frame.split_first() else { return };
        let pass = self.pass.load(Relaxed);
        if pass != 0 && pass != BUSY {
            return self.pass.store(pass.saturating_sub(1), Relaxed);
        }
        let mut watched = self.watched();
        let waits = watched.as_ref().is_some_and(|it| it.read.elapsed() < FORGOTTEN);
        let Some(channel) = body.first_chunk().filter(|_| !waits) else { return };
        let read = Instant::now();
        *watched = Some(Watched { channel: *channel, read, answered: false, writing: false });
        self.pass.store(BUSY, Relaxed);
    }

    /// A message is put behind what is to be written.
    pub(crate) fn queued(&self, message: &Message) {
        if !self.is_busy() {
            return;
        }
        if let Message::Ack { channel, .. } | Message::Reject { channel, .. } = message
            && let Some(watched) = &mut *self.watched()
            && watched.channel == channel.0
        {
            watched.answered = true;
        }
    }

    /// What was queued is being written from here on.
    pub(crate) fn writing(&self) {
        if self.is_busy()
            && let Some(watched) = &mut *self.watched()
        {
            watched.writing = watched.answered;
        }
    }

    /// The last write is done.
    pub(crate) fn written(&self) {
        if !self.is_busy() {
            return;
        }
        let mut watched = self.watched();
        if let Some(done) = watched.take_if(|watched| watched.writing) {
            self.answers.add(done.read.elapsed());
            // A channel's id is a digest: any of its bytes is as good as drawn.
            let [drawn, ..] = done.channel;
            self.pass.store(u32::from(drawn) % EVERY, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settlement::types::ChannelId;

    fn update(channel: u8) -> Vec<u8> {
        [&[UPDATE][..], &[channel; 32], &[9; 8]].concat()
    }

    fn ack(channel: u8) -> Message {
        Message::Ack { channel: ChannelId([channel; 32]), seq: 1 }
    }

    fn count(answers: &Answers) -> u64 {
        let text = answers.text();
        text.trim_end().rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn an_answer_counts_once_its_write_is_done() {
        let answers = Arc::<Answers>::default();
        let watch = Watch::new(answers.clone());
        watch.read(&update(64));
        watch.writing();
        watch.written();
        watch.queued(&ack(2));
        watch.writing();
        watch.written();
        assert_eq!(count(&answers), 0, "another channel's");
        watch.queued(&ack(64));
        watch.written();
        assert_eq!(count(&answers), 0, "the write before it");
        watch.writing();
        watch.written();
        assert_eq!(count(&answers), 1);
        // The next one is watched at once: 64 % 16 pass before it.
        watch.read(&update(1));
        watch.queued(&ack(1));
        watch.writing();
        watch.written();
        assert_eq!(count(&answers), 2);
        watch.read(&update(1));
        assert!(!watch.is_busy(), "one passes");
    }

    #[test]
    fn times_are_told_apart_by_a_quarter() {
        let answers = Answers::default();
        for ms in [1, 10, 10_000, 1_000_000] {
            answers.add(Duration::from_millis(ms));
        }
        let text = answers.text();
        let below = |seconds: f64| {
            let lines =
                text.lines().filter_map(|line| line.split_once("le=\"")?.1.split_once("\"} "));
            let found = lines.filter(|(le, _)| le.parse::<f64>().unwrap() >= seconds);
            found.map(|(_, count)| count.parse::<u64>().unwrap()).next().unwrap()
        };
        assert_eq!([below(0.0009), below(0.001), below(0.01), below(10.0)], [0, 1, 2, 3]);
        assert!(text.ends_with("hub_answer_seconds_count 4\n") && text.contains("+Inf\"} 4"));
    }
}
