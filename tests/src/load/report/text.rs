//! A report as a table.

use std::fmt::Write;

use super::{LatencyMs, Overload, Report, Sample};

/// What a figure is, and the figure.
pub(super) type Row = (String, String);

impl Report {
    /// As a table.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (what, figure) in self.rows() {
            // Writing into a string can't fail.
            let _ = writeln!(text, "{what:<44}{figure:>24}");
        }
        for condition in &self.conditions {
            let _ = writeln!(text, "- {condition}");
        }
        text
    }

    /// All figures in the order in which they are read.
    pub(super) fn rows(&self) -> Vec<Row> {
        let name = row("profile", &self.profile);
        let measured = if self.overload.is_some() {
            // Such a run is about answers: what a payment costs under a flood is not looked at.
            Vec::new()
        } else {
            [
                self.payments(),
                self.streams(),
                self.cpu(),
                self.work(),
                self.size(),
                self.ratios().into(),
            ]
            .concat()
        };
        let failures = self.failures.iter().map(|(why, count)| row(&format!("  {why}"), count));
        let rows = std::iter::once(name).chain(measured).chain(failures);
        rows.chain(self.raw_rates()).chain(self.end()).collect()
    }

    fn payments(&self) -> Vec<Row> {
        vec![
            row("measured, s", format!("{:.1}", self.seconds)),
            row("payments completed", self.payments_completed),
            row("payments failed", self.payments_failed),
            row("payments that went as they were not meant to", self.payments_not_as_meant),
            row("payments that had fallen due and were not sent", self.payments_not_sent),
            row(
                "channels closed / opened",
                format!("{} / {}", self.channels_closed, self.channels_opened),
            ),
            row("payments a second", format!("{:.0}", self.payments_per_second)),
            row("latency p50 / p99 / p99.9, ms", three(&self.latency_ms)),
        ]
    }

    fn streams(&self) -> Vec<Row> {
        if self.streams == 0 {
            return Vec::new();
        }
        let count = |count: f64| format!("{count:.0}");
        let streams = format!("{} / {}", self.streams, self.steps_per_redemption);
        vec![
            row("streams / steps a redemption", streams),
            row("redemptions a second", count(self.redemptions_per_second)),
            row("redemptions a second, by the hub", count(self.redemptions_per_second_by_hub)),
            row("steps a second", count(self.steps_per_second)),
            row("locks of streams added", self.stream_locks),
            row("until told p50 / p99 / p99.9, ms", three(&self.redemption_latency_ms)),
        ]
    }

    fn cpu(&self) -> Vec<Row> {
        let us = |us: f64| format!("{us:.2}");
        let mut rows = vec![row("hub CPU a payment, µs", us(self.hub_cpu_us_per_payment))];
        let threads = self.hub_cpu_us_by_thread.iter();
        rows.extend(threads.map(|(thread, spent)| row(&format!("  {thread}"), us(*spent))));
        rows.extend([
            row("hub CPU a payment, in verifications", us(self.hub_cpu_in_verifications)),
            row("hub CPU seconds a million payments", us(self.hub_cpu_us_per_payment)),
            row("ledger's process CPU a payment, µs", us(self.ledger_cpu_us_per_payment)),
            row("generator CPU a payment, µs", us(self.generator_cpu_us_per_payment)),
        ]);
        rows
    }

    fn work(&self) -> Vec<Row> {
        let each = |count: f64| format!("{count:.4}");
        vec![
            row("hub's verifications a payment", each(self.verifications_per_payment)),
            row("hub's batch signatures a payment", each(self.signatures_per_payment)),
            row("wallets' signatures a payment", each(self.wallet_signatures_per_payment)),
            row("hub's updates to wallets a payment", each(self.hub_updates_per_payment)),
            row("hub's batch signatures checked by wallets", self.hub_signatures_checked),
            row("fsyncs a second", format!("{:.0}", self.fsyncs_per_second)),
            row("payments a fsync", format!("{:.1}", self.payments_per_fsync)),
            row("journal bytes a payment", format!("{:.0}", self.journal_bytes_per_payment)),
        ]
    }

    fn size(&self) -> Vec<Row> {
        let peak = |of: fn(&Sample) -> f64| self.over_time.iter().map(of).fold(0.0, f64::max);
        vec![
            row("hub's resident memory, MiB", mebibytes(self.hub_rss_bytes)),
            row("resident bytes an idle channel", format!("{:.0}", self.rss_bytes_per_channel)),
            row(
                "resident bytes a channel, restarted",
                format!("{:.0}", self.rss_bytes_per_channel_restarted),
            ),
            row("most lanes that waited to be verified", peak(|it| it.verify_queue)),
            row("most inputs that waited for shards", peak(|it| it.shard_queue)),
            row("most operations under way", peak(|it| it.ops)),
        ]
    }

    fn raw_rates(&self) -> [Row; 4] {
        let raw = &self.raw;
        let both = format!("{:.1} / {:.1}", raw.verify_us, raw.sign_us);
        let all = format!("{:.0}", raw.verify_per_second_all_cores);
        [
            row("raw: verify / sign, µs", both),
            row("raw: verifications a second on all cores", all),
            row("raw: SHA-256 step, µs", format!("{:.3}", raw.sha256_step_us)),
            row("raw: write 16 KiB and fdatasync, µs", format!("{:.0}", raw.fdatasync_us)),
        ]
    }

    /// Figures beside what the machine does by itself.
    fn ratios(&self) -> [Row; 4] {
        let raw = &self.raw;
        let by =
            |figure: f64, raw: f64| format!("{:.2}", if raw > 0.0 { figure / raw } else { 0.0 });
        let us = self.hub_cpu_us_per_payment;
        let (walked, synced) = (self.steps_per_second, self.fsyncs_per_second);
        [
            row("hub CPU a payment, in signatures", by(us, raw.sign_us)),
            row(
                "payments, by verifications on all cores",
                by(self.payments_per_second, raw.verify_per_second_all_cores),
            ),
            row("steps, by what a core hashes", by(walked * raw.sha256_step_us, 1e6)),
            row("fsyncs, by what the disk takes", by(synced * raw.fdatasync_us, 1e6)),
        ]
    }

    fn end(&self) -> Vec<Row> {
        let mut rows = vec![
            row("restart after kill -9, s", format!("{:.2}", self.restart_seconds)),
            row("payments lost", self.lost),
            row("conserved", self.conserved),
        ];
        rows.extend(self.overload.iter().flat_map(overload));
        rows.extend(self.checks.iter().map(|check| {
            let kept = if check.kept { "kept" } else { "BROKEN" };
            row(&check.what, format!("{:.1} of {:.1}, {kept}", check.measured, check.bound))
        }));
        rows
    }
}

fn overload(seen: &Overload) -> [Row; 5] {
    let (carried, offered) = (seen.carried_per_second, seen.offered_per_second);
    let (full, half) = (seen.answer_ms_normal, seen.answer_ms_half);
    let rates = format!("{carried:.0} / {offered:.0} / {:.0}", seen.completed_per_second);
    let (during, after) = (seen.answer_ms_overload, seen.answer_ms_after);
    let answers = format!("{full:.1} / {half:.1} / {during:.1} / {after:.1}");
    let ops = format!("{:.0} / {:.0}", seen.most_ops, seen.most_ops_limit);
    let paused = format!("{:.0} of {:.0}", seen.reads_paused_ms, seen.overload_ms);
    [
        row("payments/s carried / offered / completed", rates),
        row("p99 of answers at what it carries / half / flooded / half after, ms", answers),
        row("most operations under way / let in", ops),
        row("reads paused, ms of it", paused),
        row("most memory then, MiB", mebibytes(seen.most_rss_bytes)),
    ]
}

fn row(what: &str, figure: impl ToString) -> Row {
    (what.to_owned(), figure.to_string())
}

fn three(latency: &LatencyMs) -> String {
    let LatencyMs { p50, p99, p999 } = latency;
    format!("{p50:.1} / {p99:.1} / {p999:.1}")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1u32 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::raw::Raw;

    /// What a row says, without the blanks before it.
    fn figure(text: &str, what: &str) -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(&format!("{what} ")))?;
        Some(line[what.len()..].trim().to_owned())
    }

    #[test]
    fn figures_stand_beside_what_the_machine_does_by_itself() {
        let raw = Raw {
            sign_us: 25.0,
            sha256_step_us: 0.05,
            fdatasync_us: 250.0,
            verify_per_second_all_cores: 60_000.0,
            ..Raw::default()
        };
        let report = Report {
            hub_cpu_us_per_payment: 50.0,
            payments_per_second: 90_000.0,
            steps_per_second: 5_000_000.0,
            fsyncs_per_second: 200.0,
            raw,
            ..Report::default()
        };
        let text = report.text();
        for (what, ratio) in [
            ("hub CPU a payment, in signatures", "2.00"),
            ("payments, by verifications on all cores", "1.50"),
            ("steps, by what a core hashes", "0.25"),
            ("fsyncs, by what the disk takes", "0.05"),
        ] {
            assert_eq!(figure(&text, what).as_deref(), Some(ratio), "{what}");
        }
    }

    /// Zeros would look like figures.
    #[test]
    fn a_run_with_an_overload_shows_no_figures_that_it_does_not_measure() {
        let (measured, overload) = ("payments a second", Some(Overload::default()));
        assert!(figure(&Report::default().text(), measured).is_some());
        let text = Report { overload, ..Report::default() }.text();
        assert!(figure(&text, measured).is_none(), "{text}");
        assert!(figure(&text, "raw: SHA-256 step, µs").is_some(), "{text}");
    }
}
