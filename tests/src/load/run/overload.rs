//! A hub that is held to a part of a core and offered far more than it can carry there: it pushes
//! back, answers what it takes in about as fast as always, and is its old self as soon as it is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Run;
use crate::load::fleet::Fleet;
use crate::load::generator::{Generator, Live, Shared, sum};
use crate::load::hub::Hub;
use crate::load::report::{Check, Overload};
use crate::load::throttle::Throttle;
use crate::load::usage::Usage;

/// The part of a core.
const PART: f64 = 0.2;
/// How much more is offered than it carries.
const TIMES: f64 = 10.0;
/// How long it is looked at what it carries, and how it is at half of that.
const FIRST: Duration = Duration::from_secs(10);
/// Within this time after the load it is to be as before; how it is then is looked at so long.
const RECOVERY: Duration = Duration::from_secs(1);
/// How often queues are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// An answer's time under overload, in normal ones.
const SLOWER: f64 = 2.0;
/// What a worker hands over at once to a shard's full queue, and what the hub itself puts there.
const OVER: f64 = 1_024.0;

/// The most that was seen in a time.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    lanes: f64,
    inputs: f64,
    rss: u64,
}

impl Run<'_> {
    pub(super) fn overload(&mut self, hub: &mut Hub, fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        let throttle = Throttle::hold(hub.id(), PART)?;
        self.report.conditions.push(format!("overload: the hub is held to {throttle}"));
        self.say(&format!("held to {throttle}: what does it carry?"));
        let (fleets, carried) = self.carries(hub, fleets)?;
        if carried <= 0.0 {
            bail!("the hub carries nothing so");
        }
        let mut fleets = fleets;
        fleets.iter_mut().for_each(|fleet| fleet.set_open_loop(true));
        let (normal, high) = (carried / 2.0, carried * TIMES);
        let shared = Shared::new(true);
        shared.set_rate(normal);
        let generators = self.start(hub, fleets, &shared);
        pass(&generators, RECOVERY * 2)?;
        self.say(&format!("{carried:.0} payments a second; now half of that"));
        let (before, _) = self.watch(hub, &generators, FIRST)?;
        self.say(&format!("now {high:.0} a second"));
        shared.set_rate(high);
        let offered = Duration::from_secs_f64(self.options.seconds);
        let began = (shared.now_ns(), sum(&generators, completed));
        let (during, most) = self.watch(hub, &generators, offered)?;
        let took = (shared.now_ns() - began.0) as f64 / 1e9;
        let admitted = (sum(&generators, completed) - began.1) as f64 / took;
        let waiting = sum(&generators, |live: &Live| &live.backlog);
        shared.set_rate(normal);
        pass(&generators, RECOVERY)?;
        let queued = look(hub)?;
        let (after, _) = self.watch(hub, &generators, FIRST / 2)?;
        self.report.overload = Some(Overload {
            carried_per_second: carried,
            offered_per_second: high,
            completed_per_second: admitted,
            not_taken: waiting,
            answer_ms_normal: before,
            answer_ms_overload: during,
            answer_ms_after: after,
            most_lanes: most.lanes,
            most_shard_inputs: most.inputs,
            most_rss_bytes: most.rss,
        });
        self.judge(hub, &most, &queued, high * took)?;
        shared.expect_the_end();
        hub.kill();
        drop(throttle);
        generators.into_iter().map(Generator::join).collect()
    }

    /// Payments a second in closed loop.
    fn carries(&mut self, hub: &Hub, mut fleets: Vec<Fleet>) -> Result<(Vec<Fleet>, f64)> {
        fleets.iter_mut().for_each(|fleet| fleet.set_open_loop(false));
        let shared = Shared::new(true);
        let generators = self.start(hub, fleets, &shared);
        pass(&generators, FIRST / 2)?;
        let (from, began) = (sum(&generators, completed), Instant::now());
        pass(&generators, FIRST)?;
        let carried = (sum(&generators, completed) - from) as f64 / began.elapsed().as_secs_f64();
        shared.end();
        let fleets = generators.into_iter().map(Generator::join).collect::<Result<_>>()?;
        Ok((fleets, carried))
    }

    /// The 99th percentile of the hub's answers in this time, in milliseconds, and the most that
    /// was seen in its queues.
    fn watch(&self, hub: &Hub, generators: &[Generator], time: Duration) -> Result<(f64, Most)> {
        let (before, began, mut most) = (hub.metrics()?, Instant::now(), Most::default());
        while began.elapsed() < time {
            pass(generators, LOOK)?;
            let now = look(hub)?;
            most.lanes = most.lanes.max(now.lanes);
            most.inputs = most.inputs.max(now.inputs);
            most.rss = most.rss.max(now.rss);
        }
        Ok((answers_ms(&before, &hub.metrics()?, 0.99), most))
    }

    fn judge(&mut self, hub: &Hub, most: &Most, after: &Most, offered: f64) -> Result<()> {
        let Some(seen) = self.report.overload.clone() else { return Ok(()) };
        let bounds = Bounds::of(hub, self.options.connections)?;
        let normal = seen.answer_ms_normal * SLOWER;
        self.report.checks.extend([
            Check::at_least(
                "payments pushed back, of those offered",
                seen.not_taken as f64,
                0.5 * offered,
            ),
            Check::at_most("lanes that wait", most.lanes, bounds.lanes),
            Check::at_most("inputs that wait for shards", most.inputs, bounds.inputs),
            Check::at_most("p99 of answers under overload, ms", seen.answer_ms_overload, normal),
            Check::at_most("p99 of answers after it, ms", seen.answer_ms_after, normal),
            Check::at_most("lanes that wait a second after it", after.lanes, bounds.lanes / 2.0),
            Check::at_most("inputs that wait a second after it", after.inputs, bounds.inputs / 8.0),
        ]);
        Ok(())
    }
}

/// What the hub's queues hold at most.
pub(super) struct Bounds {
    pub(super) lanes: f64,
    pub(super) inputs: f64,
}

impl Bounds {
    pub(super) fn of(hub: &Hub, connections: usize) -> Result<Bounds> {
        let metrics = hub.metrics()?;
        let of = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
        let shards = of("hub_shard_queues").max(1.0);
        let inputs = shards * (of("hub_shard_queue_capacity") + OVER);
        Ok(Bounds { lanes: connections as f64 * of("hub_lanes_per_connection"), inputs })
    }
}

fn completed(live: &Live) -> &std::sync::atomic::AtomicU64 {
    &live.completed
}

fn look(hub: &Hub) -> Result<Most> {
    let sample = super::measure::sample(hub)?;
    let rss = Usage::of(hub.id())?.rss;
    Ok(Most { lanes: sample.verify_queue, inputs: sample.shard_queue, rss })
}

fn pass(generators: &[Generator], time: Duration) -> Result<()> {
    std::thread::sleep(time);
    if generators.iter().any(Generator::has_ended) {
        bail!("the wallets ended before they should");
    }
    Ok(())
}

/// Within how many milliseconds this share was answered of what was read between the two.
fn answers_ms(before: &HashMap<String, f64>, after: &HashMap<String, f64>, share: f64) -> f64 {
    let mut grown: Vec<(f64, f64)> = Vec::new();
    for (name, count) in after {
        let le = name.strip_prefix("hub_answer_seconds_bucket{le=\"");
        let Some(le) = le.and_then(|le| le.strip_suffix("\"}")) else { continue };
        let seconds = le.parse().unwrap_or(f64::INFINITY);
        grown.push((seconds, count - before.get(name).copied().unwrap_or(0.0)));
    }
    grown.sort_by(|one, other| one.0.total_cmp(&other.0));
    let wanted = grown.last().map_or(0.0, |(_, all)| all * share);
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in grown {
        if count >= wanted && count > below {
            return 1e3 * (low + (bound - low) * (wanted - below) / (count - below));
        }
        (low, below) = (bound, count);
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_that_of_what_was_answered_in_between() {
        let figures = |counts: [f64; 3]| {
            let names = ["0.010000", "0.020000", "+Inf"];
            let named = names.map(|le| format!("hub_answer_seconds_bucket{{le=\"{le}\"}}"));
            named.into_iter().zip(counts).collect::<HashMap<String, f64>>()
        };
        let before = figures([500.0, 500.0, 500.0]);
        let after = figures([550.0, 600.0, 600.0]);
        assert!((answers_ms(&before, &after, 0.5) - 10.0).abs() < 1e-9);
        assert!((answers_ms(&before, &after, 0.75) - 15.0).abs() < 1e-9);
        assert_eq!(answers_ms(&before, &before, 0.99), 0.0, "of none");
    }
}
