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
/// How long it is looked at what it carries, and how it is at half of that: as long as it is overloaded, and
/// at most this.
const FIRST: Duration = Duration::from_secs(10);
/// Within this time after the load it is to be as before; how it is then is looked at so long.
const RECOVERY: Duration = Duration::from_secs(1);
/// How long it is looked at what it carries of a flood.
const RAMP: Duration = Duration::from_secs(2);
/// How often queues are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// An answer's time under overload, in those of a hub that is offered what it carries and no more.
const SLOWER: f64 = 2.0;
/// What a worker hands over at once to a shard's full queue, and what the hub itself puts there.
const OVER: f64 = 1_024.0;
/// Operations that may be under way by the hub's limit: readers that were let in at once read a whole
/// frame each, where half a frame was reserved.
const OPS_OVER: f64 = 3.0;

/// The most that was seen in a time.
#[derive(Clone, Copy, Debug, Default)]
struct Most {
    lanes: f64,
    inputs: f64,
    ops: f64,
    ops_limit: f64,
    rss: u64,
}

impl Most {
    fn and(self, other: Most) -> Most {
        Most {
            lanes: self.lanes.max(other.lanes),
            inputs: self.inputs.max(other.inputs),
            ops: self.ops.max(other.ops),
            ops_limit: self.ops_limit.max(other.ops_limit),
            rss: self.rss.max(other.rss),
        }
    }
}

impl Run<'_> {
    pub(super) fn overload(&mut self, hub: &mut Hub, fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        let throttle = Throttle::hold(hub.id(), PART)?;
        self.report.conditions.push(format!("overload: the hub is held to {throttle}"));
        self.say(&format!("held to {throttle}: what does it carry?"));
        let (mut fleets, carried, busy) = self.carries(hub, fleets)?;
        if carried <= 0.0 {
            bail!("the hub carries nothing so");
        }
        fleets.iter_mut().for_each(|fleet| fleet.set_open_loop(true));
        let (half, first) = (carried / 2.0, self.first());
        let shared = Shared::new(true);
        shared.set_rate(half);
        let generators = self.start(hub, fleets, &shared);
        pass(&generators, RECOVERY * 2)?;
        self.say(&format!("{carried:.0} payments a second; now half of that"));
        let (before, _) = self.watch(hub, &generators, first)?;
        let (mut seen, most) = self.flood(hub, &generators, &shared, carried)?;
        shared.set_rate(half);
        pass(&generators, RECOVERY)?;
        let queued = look(hub)?;
        let (after, _) = self.watch(hub, &generators, first / 2)?;
        (seen.answer_ms_normal, seen.answer_ms_half, seen.answer_ms_after) = (busy, before, after);
        self.report.overload = Some(seen);
        self.judge(hub, &most, &queued)?;
        shared.expect_the_end();
        hub.kill();
        drop(throttle);
        generators.into_iter().map(Generator::join).collect()
    }

    /// First ten times what it carries in closed loop. Payments that wait go under one signature, so
    /// that it carries more of them then: ten times as many as that are what it is offered for the
    /// rest of the time.
    fn flood(
        &mut self,
        hub: &Hub,
        generators: &[Generator],
        shared: &Shared,
        carried: f64,
    ) -> Result<(Overload, Most)> {
        let (metrics, paused_before_ms) = (hub.metrics()?, paused_ms(hub)?);
        let began = (shared.now_ns(), sum(generators, completed));
        let since_s = |from_ns: u64| (shared.now_ns() - from_ns) as f64 / 1e9;
        shared.set_rate(carried * TIMES);
        let (_, first) = self.watch(hub, generators, RAMP)?;
        let full = (sum(generators, completed) - began.1) as f64 / since_s(began.0);
        let high = full.max(carried) * TIMES;
        self.say(&format!("it carries {full:.0} a second of a flood; now {high:.0} a second"));
        shared.set_rate(high);
        let flooded = (shared.now_ns(), sum(generators, completed));
        let (_, most) =
            self.watch(hub, generators, Duration::from_secs_f64(self.options.seconds))?;
        let took = since_s(flooded.0);
        let most = most.and(first);
        let seen = Overload {
            carried_per_second: carried,
            offered_per_second: high,
            completed_per_second: (sum(generators, completed) - flooded.1) as f64 / took,
            not_taken: sum(generators, |live: &Live| &live.backlog),
            fell_due: (high * took) as u64,
            answer_ms_overload: answers_ms(&metrics, &hub.metrics()?, 0.99),
            most_lanes: most.lanes,
            most_shard_inputs: most.inputs,
            most_ops: most.ops,
            most_ops_limit: most.ops_limit,
            reads_paused_ms: paused_ms(hub)? - paused_before_ms,
            overload_ms: since_s(began.0) * 1e3,
            most_rss_bytes: most.rss,
            ..Overload::default()
        };
        Ok((seen, most))
    }

    fn first(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds).min(FIRST)
    }

    /// Payments a second in closed loop, and the 99th percentile of the hub's answers then.
    fn carries(&mut self, hub: &Hub, mut fleets: Vec<Fleet>) -> Result<(Vec<Fleet>, f64, f64)> {
        fleets.iter_mut().for_each(|fleet| fleet.set_open_loop(false));
        let shared = Shared::new(true);
        let generators = self.start(hub, fleets, &shared);
        pass(&generators, self.first() / 2)?;
        let (from, began) = (sum(&generators, completed), Instant::now());
        let (answers_ms, _) = self.watch(hub, &generators, self.first())?;
        let carried = (sum(&generators, completed) - from) as f64 / began.elapsed().as_secs_f64();
        shared.end();
        let fleets = generators.into_iter().map(Generator::join).collect::<Result<_>>()?;
        Ok((fleets, carried, answers_ms))
    }

    /// The 99th percentile of the hub's answers in this time, in milliseconds, and the most that
    /// was seen in its queues.
    fn watch(&self, hub: &Hub, generators: &[Generator], time: Duration) -> Result<(f64, Most)> {
        let (before, began, mut most) = (hub.metrics()?, Instant::now(), Most::default());
        while began.elapsed() < time {
            pass(generators, LOOK)?;
            most = most.and(look(hub)?);
        }
        Ok((answers_ms(&before, &hub.metrics()?, 0.99), most))
    }

    fn judge(&mut self, hub: &Hub, most: &Most, after: &Most) -> Result<()> {
        let Some(seen) = self.report.overload.clone() else { return Ok(()) };
        let bounds = Bounds::of(hub, self.options.connections)?;
        let (normal, slower) = (seen.answer_ms_normal, seen.answer_ms_normal * SLOWER);
        self.report.checks.extend([
            Check::at_least(
                "payments pushed back, of those offered",
                seen.not_taken as f64,
                0.5 * seen.fell_due as f64,
            ),
            Check::at_most("lanes that wait", most.lanes, bounds.lanes),
            Check::at_most("inputs that wait for shards", most.inputs, bounds.inputs),
            Check::at_most("operations under way", most.ops, most.ops_limit * OPS_OVER),
            Check::at_least(
                "ms in which reading was paused",
                seen.reads_paused_ms,
                seen.overload_ms / 4.0,
            ),
            Check::at_most("p99 of answers under overload, ms", seen.answer_ms_overload, slower),
            Check::at_most("p99 of answers after it, ms", seen.answer_ms_after, normal),
            Check::at_most("lanes that wait a second after it", after.lanes, bounds.lanes / 2.0),
            Check::at_most("inputs that wait a second after it", after.inputs, bounds.inputs / 8.0),
            Check::at_most("operations under way a second after it", after.ops, most.ops_limit),
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
    Ok(Most {
        lanes: sample.verify_queue,
        inputs: sample.shard_queue,
        ops: sample.ops,
        ops_limit: sample.ops_limit,
        rss,
    })
}

fn paused_ms(hub: &Hub) -> Result<f64> {
    Ok(hub.metrics()?.get("hub_reads_paused_ms_total").copied().unwrap_or(0.0))
}

fn pass(generators: &[Generator], time: Duration) -> Result<()> {
    std::thread::sleep(time);
    Generator::all_go_on(generators)
}

/// Within how many milliseconds this share was answered of what was read between the two: in none, if
/// nothing was.
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
    f64::INFINITY
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
        assert_eq!(answers_ms(&before, &before, 0.99), f64::INFINITY, "of none");
    }
}
