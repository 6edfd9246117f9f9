//! The measured time: what everything had used before and after it, and a look each second.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use crate::load::churn::Counts;
use crate::load::generator::{Generator, Live, Shared, sum};
use crate::load::hub::Hub;
use crate::load::options::Profile;
use crate::load::report::{LatencyMs, Sample};
use crate::load::stats::Span;
use crate::load::usage::Usage;

/// Everything that grows, at one moment.
struct Moment {
    at_ns: u64,
    hub: Usage,
    ledger: Usage,
    own: Usage,
    metrics: HashMap<String, f64>,
    live: Counted,
    closed: u64,
    opened: u64,
}

struct Counted {
    completed: u64,
    failed: u64,
    unmeant: u64,
    not_sent: u64,
    signatures: u64,
    updates_heard: u64,
    checked: u64,
    redemptions: u64,
    steps: u64,
}

impl Moment {
    fn now(
        hub: &Hub,
        shared: &Shared,
        generators: &[Generator],
        churned: &Counts,
    ) -> Result<Moment> {
        let of = |figure: fn(&Live) -> &AtomicU64| sum(generators, figure);
        let metrics = hub.metrics()?;
        Ok(Moment {
            at_ns: shared.now_ns(),
            closed: churned.closed.load(Relaxed),
            opened: churned.opened.load(Relaxed),
            live: Counted {
                completed: of(|live| &live.completed),
                failed: of(|live| &live.failed),
                unmeant: of(|live| &live.unmeant),
                not_sent: of(|live| &live.backlog),
                signatures: of(|live| &live.signatures),
                updates_heard: of(|live| &live.updates_heard),
                checked: of(|live| &live.checked),
                redemptions: of(|live| &live.redemptions),
                steps: of(|live| &live.steps),
            },
            hub: Usage::of(hub.id())?,
            ledger: hub.ledger_id().map(Usage::of).transpose()?.unwrap_or_default(),
            own: Usage::of(std::process::id())?,
            metrics,
        })
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics.get(name).copied().unwrap_or(0.0)
    }
}

impl Run<'_> {
    /// Warms up and measures. The load goes on after it.
    pub(super) fn measure(
        &mut self,
        hub: &Hub,
        generators: &[Generator],
        shared: &Shared,
        span: &Span,
    ) -> Result<()> {
        self.say("warming up");
        pause(self.options.warm_up, generators, &mut || Ok(()))?;
        let from = Moment::now(hub, shared, generators, &self.churned)?;
        span.begin(from.at_ns);
        self.say("measuring");
        let mut samples = Vec::new();
        let mut look = || {
            samples.push(sample(hub)?);
            Ok(())
        };
        pause(self.options.seconds, generators, &mut look)?;
        let to = Moment::now(hub, shared, generators, &self.churned)?;
        span.end(to.at_ns);
        self.report.over_time = samples;
        self.measured(&from, &to);
        Ok(())
    }

    fn measured(&mut self, from: &Moment, to: &Moment) {
        let seconds = (to.at_ns - from.at_ns) as f64 / 1e9;
        let redemptions = to.live.redemptions - from.live.redemptions;
        let completed = to.live.completed - from.live.completed;
        // In a load of streams alone, a redemption is what a payment is in others.
        let alone = self.options.profile == Profile::Stream;
        let completed = if alone { redemptions } else { completed };
        let each = |value: f64| if completed == 0 { 0.0 } else { value / completed as f64 };
        let grown = |name: &str| to.metric(name) - from.metric(name);
        let (hub, own) = (to.hub.since(&from.hub), to.own.since(&from.own));
        let ledger = to.ledger.since(&from.ledger);
        let report = &mut self.report;
        report.seconds = seconds;
        report.payments_completed = completed;
        report.payments_failed = to.live.failed - from.live.failed;
        report.payments_not_as_meant = to.live.unmeant - from.live.unmeant;
        report.payments_not_sent = to.live.not_sent;
        report.channels_closed = to.closed - from.closed;
        report.channels_opened = to.opened - from.opened;
        report.payments_per_second = completed as f64 / seconds;
        report.redemptions = redemptions;
        report.redemptions_per_second = redemptions as f64 / seconds;
        report.redemptions_per_second_by_hub = grown("hub_redemptions_total") / seconds;
        report.steps_per_second = (to.live.steps - from.live.steps) as f64 / seconds;
        report.hub_cpu_us_per_payment = each(hub.cpu_s * 1e6);
        let threads = hub.threads.iter().map(|(name, s)| (name.clone(), each(s * 1e6)));
        report.hub_cpu_us_by_thread = threads.filter(|(_, us)| *us >= 0.005).collect();
        report.ledger_cpu_us_per_payment = each(ledger.cpu_s * 1e6);
        report.generator_cpu_us_per_payment = each(own.cpu_s * 1e6);
        report.verifications_per_payment = each(grown("hub_updates_verified_total"));
        report.signatures_per_payment = each(grown("hub_batch_signatures_total"));
        let signatures = to.live.signatures - from.live.signatures;
        report.wallet_signatures_per_payment = each(signatures as f64);
        let updates = to.live.updates_heard - from.live.updates_heard;
        report.hub_updates_per_payment = each(updates as f64);
        report.hub_signatures_checked = to.live.checked - from.live.checked;
        report.journal_bytes_per_payment = each(grown("hub_record_bytes_total"));
        let fsyncs = grown("hub_fsyncs_total");
        report.fsyncs_per_second = fsyncs / seconds;
        report.payments_per_fsync = if fsyncs > 0.0 { completed as f64 / fsyncs } else { 0.0 };
        report.hub_rss_bytes = hub.rss;
    }
}

pub(super) fn sample(hub: &Hub) -> Result<Sample> {
    let metrics = hub.metrics()?;
    let of = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    let queues = metrics.iter().filter(|(name, _)| name.starts_with("hub_shard_queue{"));
    Ok(Sample {
        payments: 0,
        redemptions: 0,
        latency_ms: LatencyMs::default(),
        hub_rss_bytes: Usage::of(hub.id())?.rss,
        verify_queue: of("hub_verify_queue"),
        shard_queue: queues.map(|(_, length)| length).sum(),
        ops: of("hub_ops_under_way"),
        ops_limit: of("hub_ops_under_way_limit"),
    })
}

/// Lets time pass, unless a thread ends before it should; `look` is called at the end of each
/// second.
fn pause(
    seconds: f64,
    generators: &[Generator],
    look: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut next = began + Duration::from_secs(1);
    while Instant::now() < until {
        Generator::all_go_on(generators)?;
        let left = until.min(next).saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_millis(100)));
        if Instant::now() >= next {
            look()?;
            next += Duration::from_secs(1);
        }
    }
    Ok(())
}
