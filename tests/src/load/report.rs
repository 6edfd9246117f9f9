//! What is printed.

use std::collections::BTreeMap;
use std::fmt::Write;

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
    /// How long was measured.
    pub seconds: f64,
    /// Payments that fell due a second, in open loop.
    pub rate: Option<f64>,
    /// Payments completed in that time: the payee's secret reached the payer, and both legs are
    /// durable.
    pub payments_completed: u64,
    /// Payments that failed in that time.
    pub payments_failed: u64,
    /// Completed payments a second.
    pub payments_per_second: f64,
    /// Steps of streams redeemed a second.
    pub steps_per_second: f64,
    /// From the lock's sending, or the time it was due in open loop, to the payer's secret.
    pub latency_ms: LatencyMs,
    /// CPU time of the hub's process for a completed payment.
    pub hub_cpu_us_per_payment: f64,
    /// The same by the names of its threads.
    pub hub_cpu_us_by_thread: BTreeMap<String, f64>,
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
    /// What of it came with the channels, before anybody signed in, for each.
    pub rss_bytes_per_channel: f64,
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
    /// Why payments failed, with how many.
    pub failures: Vec<(String, u64)>,
    /// Under what conditions all this was measured.
    pub conditions: Vec<String>,
}

impl Report {
    /// Whether nothing was lost.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.conserved
    }

    /// As a table.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut row = |what: &str, value: String| {
            // Writing into a string can't fail.
            let _ = writeln!(text, "{what:<44}{value:>16}");
        };
        row("payments completed", self.payments_completed.to_string());
        row("payments failed", self.payments_failed.to_string());
        row("payments a second", format!("{:.0}", self.payments_per_second));
        let LatencyMs { p50, p99, p999 } = self.latency_ms;
        row("latency p50 / p99 / p99.9, ms", format!("{p50:.1} / {p99:.1} / {p999:.1}"));
        row("hub CPU a payment, µs", format!("{:.2}", self.hub_cpu_us_per_payment));
        for (thread, us) in &self.hub_cpu_us_by_thread {
            row(&format!("    {thread}"), format!("{us:.2}"));
        }
        row("hub CPU a payment, in verifications", format!("{:.2}", self.hub_cpu_in_verifications));
        row(
            "hub CPU seconds for a million payments",
            format!("{:.1}", self.hub_cpu_us_per_payment),
        );
        row("generator CPU a payment, µs", format!("{:.2}", self.generator_cpu_us_per_payment));
        row("verifications a payment", format!("{:.3}", self.verifications_per_payment));
        row("wallets' signatures a payment", format!("{:.3}", self.wallet_signatures_per_payment));
        row("hub's batch signatures a payment", format!("{:.4}", self.signatures_per_payment));
        row("hub's updates to wallets a payment", format!("{:.3}", self.hub_updates_per_payment));
        row("distinct signatures of the hub's checked", self.hub_signatures_checked.to_string());
        row("fsyncs a second", format!("{:.0}", self.fsyncs_per_second));
        row("payments a fsync", format!("{:.1}", self.payments_per_fsync));
        row("journal bytes a payment", format!("{:.0}", self.journal_bytes_per_payment));
        row("hub's resident memory, MiB", format!("{:.1}", self.hub_rss_bytes as f64 / 1048576.0));
        row("resident bytes a channel", format!("{:.0}", self.rss_bytes_per_channel));
        row(
            "raw: verify / sign, µs",
            format!("{:.1} / {:.1}", self.raw.verify_us, self.raw.sign_us),
        );
        row("raw: SHA-256 step, µs", format!("{:.3}", self.raw.sha256_step_us));
        row("raw: write 16 KiB and fdatasync, µs", format!("{:.0}", self.raw.fdatasync_us));
        row(
            "raw: verifications a second, all cores",
            format!("{:.0}", self.raw.verify_per_second_all_cores),
        );
        row("restart after kill -9, s", format!("{:.2}", self.restart_seconds));
        row("payments lost", self.lost.to_string());
        row("conserved", self.conserved.to_string());
        for (why, count) in &self.failures {
            row(&format!("    {why}"), count.to_string());
        }
        for condition in &self.conditions {
            let _ = writeln!(text, "- {condition}");
        }
        text
    }
}
