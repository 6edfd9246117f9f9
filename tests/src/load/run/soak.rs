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
        let p99 = |from: usize| {
            let mut all = Latencies::new(2);
            let minute = stats.seconds.iter().skip(from).take(MINUTE);
            minute.for_each(|second| all.merge(&second.latencies));
            all.ms(0.99)
        };
        let mib = f64::from(1u32 << 20);
        let checks = [
            Check::at_most(
                "memory of the last minute, MiB, by the second's",
                memory(last) / mib,
                memory(MINUTE) / mib * MEMORY,
            ),
            Check::at_most(
                "p99 of the last minute, ms, by the second's",
                p99(last),
                p99(MINUTE) * SLOWER,
            ),
        ];
        self.report.checks.extend(checks);
    }
}
