//! Whether a long run ends as it began: what the second minute was like against the last one.

use anyhow::Result;

use super::Run;
use super::overload::Bounds;
use crate::load::hub::Hub;
use crate::load::report::{Check, Sample};
use crate::load::stats::{Latencies, Stats};

/// Shorter runs have no minute to compare with.
const LONG: usize = 180;
const MINUTE: usize = 60;
/// The hub's memory in the last minute, by that of the second one.
const MEMORY: f64 = 1.1;
/// The same of the 99th percentile of latencies.
const SLOWER: f64 = 1.5;
/// The same of the payments that were completed.
const CARRIED: f64 = 0.9;

impl Run<'_> {
    /// The bounds of queues; to be asked of a hub that runs.
    pub(super) fn check_queues(&mut self, hub: &Hub) -> Result<()> {
        if self.report.over_time.len() < LONG {
            return Ok(());
        }
        let bounds = Bounds::of(hub, self.options.connections)?;
        let most =
            |of: fn(&Sample) -> f64| self.report.over_time.iter().map(of).fold(0.0, f64::max);
        let (lanes, inputs) = (most(|it| it.verify_queue), most(|it| it.shard_queue));
        self.report.checks.push(Check::at_most("lanes that wait", lanes, bounds.lanes));
        self.report.checks.push(Check::at_most(
            "inputs that wait for shards",
            inputs,
            bounds.inputs,
        ));
        Ok(())
    }

    pub(super) fn check_minutes(&mut self, stats: &Stats) {
        let samples = &self.report.over_time;
        if samples.len() < LONG {
            return;
        }
        let last = samples.len() - MINUTE;
        let memory = |from: usize| {
            let minute = samples.iter().skip(from).take(MINUTE);
            minute.map(|it| it.hub_rss_bytes as f64).sum::<f64>() / MINUTE as f64
        };
        let latencies = |from: usize| {
            let mut all = Latencies::new(2);
            let minute = stats.seconds.iter().skip(from).take(MINUTE);
            minute.for_each(|second| all.merge(&second.latencies));
            all
        };
        let (second, end) = (latencies(MINUTE), latencies(last));
        let mib = f64::from(1u32 << 20);
        let checks = [
            Check::at_most(
                "memory of the last minute, MiB, by the second's",
                memory(last) / mib,
                memory(MINUTE) / mib * MEMORY,
            ),
            Check::at_most(
                "p99 of the last minute, ms, by the second's",
                end.ms(0.99),
                second.ms(0.99) * SLOWER,
            ),
            // Without, a hub that stands still would answer quickly.
            Check::at_least(
                "payments completed in the last minute, by the second's",
                end.count() as f64,
                second.count() as f64 * CARRIED,
            ),
        ];
        self.report.checks.extend(checks);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use clap::Parser;

    use super::*;
    use crate::load::Options;
    use crate::load::raw::Rounds;
    use crate::load::report::Report;

    /// Nothing was slow, for nothing was completed.
    #[test]
    fn a_run_that_stands_still_in_its_last_minute_is_not_kept() {
        let options = Options::try_parse_from(["load", "--profile", "mixed"]).unwrap();
        let sample = Sample { hub_rss_bytes: 1 << 26, ..Sample::default() };
        let mut stats = Stats::default();
        stats.span.begin(0);
        for second in 0..540u64 {
            (0..100).for_each(|_| {
                stats.completed(second * 1_000_000_000, second * 1_000_000_000 + 50_000_000)
            });
        }
        let report = Report { over_time: vec![sample; 600], conserved: true, ..Report::default() };
        let mut say = |_: &str| {};
        let mut run = Run {
            options: &options,
            dir: Path::new("."),
            say: &mut say,
            raw: Rounds::default(),
            churned: Arc::default(),
            report,
        };
        run.check_minutes(&stats);
        assert!(!run.report.is_good(), "600 s, nothing completed in the last 60, and it is good");
    }
}
