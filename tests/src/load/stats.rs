//! What is counted, and latencies over time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;
use settlement::reject::Code;

use super::mix::Meant;

/// The longest latency that is told apart, in microseconds: two minutes.
const LONGEST_US: u64 = 120_000_000;
const SECOND_NS: u64 = 1_000_000_000;

fn histogram(digits: u8) -> Histogram<u32> {
    // The bounds are constants that the library takes.
    Histogram::new_with_bounds(1, LONGEST_US, digits).expect("bounds of a histogram")
}

/// Latencies of payments in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u32>);

impl Latencies {
    /// None yet, told apart to so many decimal digits.
    pub fn new(digits: u8) -> Latencies {
        Latencies(histogram(digits))
    }

    /// One more.
    pub fn add(&mut self, ns: u64) {
        self.0.saturating_record((ns / 1_000).max(1));
    }

    /// All of another's.
    pub fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// Milliseconds within which this share of the payments was completed; 0 if there was none.
    pub fn ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1_000.0 }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

/// One second of the measured time.
#[derive(Clone, Debug)]
pub struct Second {
    /// The latencies of the payments completed in it.
    pub latencies: Latencies,
    /// Redemptions of streams that payers were told of in it.
    pub redemptions: u64,
}

/// The measured span, in nanoseconds since the load began. Shared by all threads.
#[derive(Debug)]
pub struct Span {
    from_ns: AtomicU64,
    to_ns: AtomicU64,
}

impl Default for Span {
    fn default() -> Span {
        Span { from_ns: AtomicU64::new(u64::MAX), to_ns: AtomicU64::new(u64::MAX) }
    }
}

impl Span {
    /// It begins.
    pub fn begin(&self, now_ns: u64) {
        self.from_ns.store(now_ns, Relaxed);
    }

    /// It ends.
    pub fn end(&self, now_ns: u64) {
        self.to_ns.store(now_ns, Relaxed);
    }

    /// Which second of it this is; none before and after.
    fn second(&self, now_ns: u64) -> Option<usize> {
        let into = now_ns.checked_sub(self.from_ns.load(Relaxed))?;
        let second = usize::try_from(into / SECOND_NS).ok()?;
        (now_ns < self.to_ns.load(Relaxed)).then_some(second)
    }
}

/// What one thread counted.
#[derive(Clone, Debug)]
pub struct Stats {
    /// The measured time.
    pub span: std::sync::Arc<Span>,
    /// Payments sent.
    pub started: u64,
    /// Payments completed, in all.
    pub completed: u64,
    /// Payments that failed, or could not be sent.
    pub failed: u64,
    /// Those of them that were not meant to, and payments that were meant to fail and did not.
    pub unmeant: u64,
    /// Wallets that were to close their channel and could not in time.
    pub stayed: u64,
    /// Signatures made by wallets.
    pub signatures: u64,
    /// Updates of the hub's that were checked.
    pub updates_heard: u64,
    /// Why something was refused or failed, with how many.
    pub refusals: BTreeMap<String, u64>,
    /// Channels of which the hub or the wallet had lost state when they met, and locks of which the
    /// hub had forgotten redemptions.
    pub lost_state: u64,
    /// Redemptions of streams that payers were told of.
    pub redemptions: u64,
    /// How many steps those were.
    pub steps: u64,
    /// Locks of streams that were added.
    pub stream_locks: u64,
    /// From a redemption to what its payer was told, within the measured time: of a sample.
    pub redemption_latencies: Latencies,
    /// Latencies within the measured time.
    pub latencies: Latencies,
    /// The same second by second.
    pub seconds: Vec<Second>,
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            span: std::sync::Arc::default(),
            started: 0,
            completed: 0,
            failed: 0,
            unmeant: 0,
            stayed: 0,
            signatures: 0,
            updates_heard: 0,
            refusals: BTreeMap::new(),
            lost_state: 0,
            redemptions: 0,
            steps: 0,
            stream_locks: 0,
            redemption_latencies: Latencies::new(3),
            latencies: Latencies::new(3),
            seconds: Vec::new(),
        }
    }
}

impl Stats {
    /// A payment was completed.
    pub fn completed(&mut self, since_ns: u64, now_ns: u64) {
        self.completed += 1;
        let Some(second) = self.span.second(now_ns) else { return };
        let took = now_ns.saturating_sub(since_ns);
        self.latencies.add(took);
        self.at(second).latencies.add(took);
    }

    /// A payer was told of so many redemptions more, of so many steps; one of them was made at this
    /// time.
    pub fn redeemed(&mut self, redemptions: u32, steps: u32, since_ns: Option<u64>, now_ns: u64) {
        self.redemptions += u64::from(redemptions);
        self.steps += u64::from(steps);
        let Some(second) = self.span.second(now_ns) else { return };
        self.at(second).redemptions += u64::from(redemptions);
        if let Some(since_ns) = since_ns {
            self.redemption_latencies.add(now_ns.saturating_sub(since_ns));
        }
    }

    /// A payment failed, with this code, which it may have been meant to.
    pub fn failed(&mut self, what: &str, meant: Option<Meant>, code: Code) {
        self.failed += 1;
        if meant.is_some_and(|meant| meant.is(code)) {
            return self.refused(format!("{what}, as meant: {code}"));
        }
        self.unmeant += 1;
        self.refused(format!("{what}: {code}"));
    }

    /// Something was refused or failed.
    pub fn refused(&mut self, why: String) {
        *self.refusals.entry(why).or_default() += 1;
    }

    fn at(&mut self, second: usize) -> &mut Second {
        while self.seconds.len() <= second {
            self.seconds.push(Second { latencies: Latencies::new(2), redemptions: 0 });
        }
        &mut self.seconds[second]
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Stats) {
        self.started += other.started;
        self.completed += other.completed;
        self.failed += other.failed;
        self.unmeant += other.unmeant;
        self.stayed += other.stayed;
        self.signatures += other.signatures;
        self.updates_heard += other.updates_heard;
        self.lost_state += other.lost_state;
        self.redemptions += other.redemptions;
        self.steps += other.steps;
        self.stream_locks += other.stream_locks;
        self.redemption_latencies.merge(&other.redemption_latencies);
        self.latencies.merge(&other.latencies);
        for (why, count) in &other.refusals {
            *self.refusals.entry(why.clone()).or_default() += count;
        }
        for (second, theirs) in other.seconds.iter().enumerate() {
            let ours = self.at(second);
            ours.latencies.merge(&theirs.latencies);
            ours.redemptions += theirs.redemptions;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ends_within_the_span_is_measured_and_lies_in_its_second() {
        let mut stats = Stats::default();
        stats.completed(0, 5);
        stats.span.begin(10 * SECOND_NS);
        stats.completed(0, 9 * SECOND_NS);
        stats.completed(9 * SECOND_NS, 10 * SECOND_NS);
        stats.completed(11 * SECOND_NS, 12 * SECOND_NS + 5_000_000);
        stats.span.end(13 * SECOND_NS);
        stats.completed(0, 13 * SECOND_NS);
        let counts: Vec<u64> = stats.seconds.iter().map(|it| it.latencies.count()).collect();
        assert_eq!((stats.completed, stats.latencies.count()), (5, 2));
        assert_eq!(counts, [1, 0, 1]);
    }

    #[test]
    fn quantiles_of_merged_threads_are_those_of_all_their_payments() {
        let (mut one, mut two) = (Stats::default(), Stats::default());
        one.span.begin(0);
        two.span.begin(0);
        // 1 to 990 ms in one, 10 payments of 5 s in the other.
        (1..=990u64).for_each(|ms| one.completed(0, ms * 1_000_000));
        (0..10).for_each(|_| two.completed(0, 5 * SECOND_NS));
        one.merge(&two);
        let within = |share: f64, ms: f64| (one.latencies.ms(share) / ms - 1.0).abs() < 0.002;
        assert!(within(0.5, 500.0) && within(0.99, 990.0) && within(0.999, 5_000.0));
        assert_eq!((one.latencies.count(), one.seconds.len()), (1_000, 6));
        assert_eq!(Latencies::new(2).ms(0.99), 0.0, "of none");
    }
}
