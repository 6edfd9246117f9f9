//! What is printed.

mod html;
mod svg;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use super::raw::Raw;

/// Latencies of all payments of the measured time, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of the payments took no longer.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
}

/// One second of the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Payments completed in it.
    pub payments: u64,
    /// Redemptions of streams that payers were told of in it.
    pub redemptions: u64,
    /// Their latencies.
    pub latency_ms: LatencyMs,
    /// Resident memory of the hub at its end.
    pub hub_rss_bytes: u64,
    /// Connections' lanes that waited for a verify worker then.
    pub verify_queue: f64,
    /// Inputs that waited for the shards then.
    pub shard_queue: f64,
    /// Operations that the hub had read and not answered yet.
    pub ops: f64,
    /// How many it let in by its own limit.
    pub ops_limit: f64,
}

/// A bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Of what.
    pub what: String,
    /// What was measured.
    pub measured: f64,
    /// What it may come to.
    pub bound: f64,
    /// Whether it did not come to more, or less.
    pub kept: bool,
}

impl Check {
    /// It may be so much and no more.
    pub fn at_most(what: &str, measured: f64, bound: f64) -> Check {
        let kept = measured <= bound && measured.is_finite();
        Check { what: format!("{what}, at most"), measured, bound, kept }
    }

    /// It must be so much.
    pub fn at_least(what: &str, measured: f64, bound: f64) -> Check {
        Check { what: format!("{what}, at least"), measured, bound, kept: measured >= bound }
    }
}

/// What a hub did that was held to a part of a core. Answers are from the hub's read to its write, of
/// a sample of updates, in its own histogram's buckets, each a quarter wider than the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Overload {
    /// Payments a second that it carries so, in closed loop.
    pub carried_per_second: f64,
    /// Payments a second that fell due.
    pub offered_per_second: f64,
    /// Payments completed a second then.
    pub completed_per_second: f64,
    /// Payments that had fallen due at the end and were never sent.
    pub not_taken: u64,
    /// Payments that fell due in the time of which those are what is left.
    pub fell_due: u64,
    /// 99th percentile of its answers while it carries that.
    pub answer_ms_normal: f64,
    /// The same at half of it.
    pub answer_ms_half: f64,
    /// The same under overload.
    pub answer_ms_overload: f64,
    /// The same at half of what it carries, from a second after the overload.
    pub answer_ms_after: f64,
    /// The most lanes that waited to be verified.
    pub most_lanes: f64,
    /// The most inputs that waited for shards.
    pub most_shard_inputs: f64,
    /// The most operations that were read and not answered yet, under overload.
    pub most_ops: f64,
    /// The most of them that the hub let in at once by its own limit.
    pub most_ops_limit: f64,
    /// Milliseconds of overload in which some connection had to wait to be read.
    pub reads_paused_ms: f64,
    /// How long the overload lasted, in milliseconds.
    pub overload_ms: f64,
    /// The most resident memory.
    pub most_rss_bytes: u64,
}

/// Everything that a run comes to. The names are those of `--json`, and stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The kind of load.
    pub profile: String,
    /// Wallets that paid.
    pub wallets: usize,
    /// Connections that they shared.
    pub connections: usize,
    /// Payments under one signature of their payer.
    pub per_signature: usize,
    /// Milliseconds that each fdatasync of the hub's journal took more than the disk needs.
    pub fsync_delay_ms: Option<u64>,
    /// How long was measured.
    pub seconds: f64,
    /// Payments that fell due a second, in open loop.
    pub rate: Option<f64>,
    /// Payments completed in that time: the payee's secret reached the payer, and both legs are
    /// durable.
    pub payments_completed: u64,
    /// Payments that failed in that time, most of them because they were meant to.
    pub payments_failed: u64,
    /// Payments that failed in that time and were not meant to, or the other way round.
    pub payments_not_as_meant: u64,
    /// Payments that had fallen due at its end and were not sent, in open loop.
    pub payments_not_sent: u64,
    /// Channels that both sides closed in that time.
    pub channels_closed: u64,
    /// Channels opened in that time.
    pub channels_opened: u64,
    /// Completed payments a second.
    pub payments_per_second: f64,
    /// Streams that were paid.
    pub streams: usize,
    /// Steps of them that were redeemed at once.
    pub steps_per_redemption: u32,
    /// Locks of streams that were added, since the start.
    pub stream_locks: u64,
    /// Redemptions in that time: the payee showed a deeper secret, the hub made it durable and told the
    /// payer.
    pub redemptions: u64,
    /// The same a second.
    pub redemptions_per_second: f64,
    /// Redemptions a second by the hub's own count, which is of those that are durable.
    pub redemptions_per_second_by_hub: f64,
    /// Steps of streams redeemed so, a second.
    pub steps_per_second: f64,
    /// From a redemption to what its payer was told, of a sample. The hub tells payers five times a
    /// second.
    pub redemption_latency_ms: LatencyMs,
    /// From the lock's sending, or the time it was due in open loop, to the payer's secret.
    pub latency_ms: LatencyMs,
    /// CPU time of the hub's process for a completed payment.
    pub hub_cpu_us_per_payment: f64,
    /// The same by the names of its threads.
    pub hub_cpu_us_by_thread: BTreeMap<String, f64>,
    /// CPU time of the ledger's process, if it has one of its own.
    pub ledger_cpu_us_per_payment: f64,
    /// Updates whose signature the hub checked, for a completed payment.
    pub verifications_per_payment: f64,
    /// `fdatasync` calls on the hub's journal.
    pub fsyncs_per_second: f64,
    /// Completed payments for each of them.
    pub payments_per_fsync: f64,
    /// CPU time of this process for a completed payment.
    pub generator_cpu_us_per_payment: f64,
    /// Batch signatures of the hub's, for a completed payment.
    pub signatures_per_payment: f64,
    /// Signatures of wallets', for a completed payment.
    pub wallet_signatures_per_payment: f64,
    /// The hub's updates to wallets, for a completed payment.
    pub hub_updates_per_payment: f64,
    /// Bytes of the hub's journal, for a completed payment.
    pub journal_bytes_per_payment: f64,
    /// Signatures of the hub's that wallets checked: each distinct one.
    pub hub_signatures_checked: u64,
    /// Resident memory of the hub at the end of the measured time.
    pub hub_rss_bytes: u64,
    /// How much of it grew for each idle channel while they were opened; 0 without any.
    pub rss_bytes_per_channel: f64,
    /// What a hub that was started again has more than one without channels, for each channel it has,
    /// those of connected wallets included: what was only needed to open them is not in it. 0 without
    /// idle channels.
    pub rss_bytes_per_channel_restarted: f64,
    /// What the machine does by itself.
    pub raw: Raw,
    /// The hub's CPU time for a payment, in verifications of this run on one core.
    pub hub_cpu_in_verifications: f64,
    /// From the hub's start after `kill -9` until it takes payments again.
    pub restart_seconds: f64,
    /// Payments that a wallet had been told of and the hub knows nothing of after the restart.
    pub lost: u64,
    /// Whether what all channels hold adds up to all that was put into them, and the hub earned
    /// exactly its fees.
    pub conserved: bool,
    /// What an overloaded hub did.
    pub overload: Option<Overload>,
    /// Bounds, and whether they were kept.
    pub checks: Vec<Check>,
    /// Why payments failed, with how many.
    pub failures: Vec<(String, u64)>,
    /// The measured time second by second.
    pub over_time: Vec<Sample>,
    /// Under what conditions all this was measured.
    pub conditions: Vec<String>,
}

impl Report {
    /// Whether nothing was lost, and every bound that was looked at was kept.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.conserved && self.checks.iter().all(|check| check.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts read these.
    #[test]
    fn the_names_of_the_figures_stay() {
        let json = serde_json::to_value(Report::default()).unwrap();
        let names = [
            "profile",
            "wallets",
            "per_signature",
            "seconds",
            "payments_completed",
            "payments_failed",
            "payments_per_second",
            "steps_per_second",
            "streams",
            "steps_per_redemption",
            "redemptions",
            "redemptions_per_second",
            "redemption_latency_ms",
            "latency_ms",
            "hub_cpu_us_per_payment",
            "verifications_per_payment",
            "fsyncs_per_second",
            "generator_cpu_us_per_payment",
            "signatures_per_payment",
            "rss_bytes_per_channel",
            "rss_bytes_per_channel_restarted",
            "raw",
            "hub_cpu_in_verifications",
            "restart_seconds",
            "lost",
            "conserved",
        ];
        let missing: Vec<&str> =
            names.into_iter().filter(|name| json.get(name).is_none()).collect();
        assert_eq!(missing, Vec::<&str>::new());
        let inner = |name: &str, names: &[&str]| {
            let inner = json[name].as_object().unwrap();
            names.iter().all(|name| inner.contains_key(*name))
        };
        assert!(inner("latency_ms", &["p50", "p99", "p999"]));
        let raw = ["verify_us", "sign_us", "sha256_step_us", "fdatasync_us"];
        assert!(inner("raw", &raw) && inner("raw", &["verify_per_second_all_cores"]));
    }

    #[test]
    fn a_page_draws_every_second_and_needs_nothing_from_elsewhere() {
        let second = |payments| Sample { payments, ..Sample::default() };
        let report = Report {
            profile: "a < b".to_owned(),
            conserved: true,
            over_time: vec![second(5), second(9), second(7)],
            ..Report::default()
        };
        let page = report.html();
        assert!(page.contains("a &lt; b") && page.contains("Nothing was lost"));
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
        assert_eq!(page.matches("<polyline").count(), 7);
        assert!(report.is_good());
        let lost = Report { lost: 1, ..report };
        assert!(!lost.is_good() && lost.html().contains("Payments were lost"));
        let slow = Report { lost: 0, checks: vec![Check::at_most("ms", 2.0, 1.0)], ..lost };
        assert!(!slow.is_good() && slow.html().contains("add up; a bound is broken"));
    }
}
