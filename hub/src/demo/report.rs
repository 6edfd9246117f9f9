//! What the demo prints at its end: one table, or one JSON object.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::books::Audit;
use super::cheats::Attempt;

/// Everything that the demo measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// How many wallets took part.
    pub(super) wallets: usize,
    /// How long they were paying.
    pub(super) paying: Duration,
    /// Payments whose secret came back to the payer.
    pub(super) completed: u64,
    /// Those of them that came back while the wallets were paying.
    pub(super) completed_in_time: u64,
    /// Payments whose money came back to the payer, or was never locked.
    pub(super) failed: u64,
    /// Why they failed, and how often.
    pub(super) failures: BTreeMap<String, u64>,
    /// Payments that ended nowhere, or that payer and payee disagree about.
    pub(super) lost: u64,
    /// From the call of `pay` to the secret, in microseconds.
    pub(super) latency_us: Histogram<u64>,
    /// How often the hub's journal was synced to disk.
    pub(super) fsyncs: u64,
    /// Blocks that the ledger made.
    pub(super) blocks: u64,
    /// Channels closed by both sides, and by the wallet alone.
    pub(super) closes: Closes,
    /// What the wait for challenge windows took, beside the payments.
    pub(super) windows: Duration,
    /// Who tried to cheat, and what came of it.
    pub(super) cheats: Vec<Attempt>,
    /// From the start to the last check.
    pub(super) total: Duration,
}

impl Measured {
    /// What cheating has paid, over all who did; who lost by it does not make up for another.
    fn gained(&self) -> i128 {
        self.cheats.iter().map(|attempt| attempt.gained().max(0)).sum()
    }
}

/// How the channels were closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Closes {
    /// By both sides: paid out in the next block.
    pub(super) cooperative: u64,
    /// By the wallet alone, after the challenge window.
    pub(super) unilateral: u64,
}

/// The figures as they are printed. Amounts are decimal strings, as in every JSON of the project.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    wallets: usize,
    seconds: f64,
    payments_completed: u64,
    payments_failed: u64,
    failures: BTreeMap<String, u64>,
    payments_lost: u64,
    payments_per_second: f64,
    latency_ms_p50: f64,
    latency_ms_p99: f64,
    fsyncs: u64,
    blocks: u64,
    channels_closed_cooperatively: u64,
    channels_closed_unilaterally: u64,
    seconds_in_challenge_windows: f64,
    seconds_total: f64,
    supply_before: String,
    supply_after: String,
    conserved: bool,
    accounts_wrong: Vec<String>,
    cheats: Vec<Attempt>,
    gained_by_cheating: String,
}

impl Report {
    pub(super) fn of(measured: &Measured, audit: &Audit) -> Report {
        let seconds = measured.paying.as_secs_f64();
        let latency_ms =
            |quantile: f64| measured.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        Report {
            wallets: measured.wallets,
            seconds: round(seconds),
            payments_completed: measured.completed,
            payments_failed: measured.failed,
            failures: measured.failures.clone(),
            payments_lost: measured.lost,
            payments_per_second: round(measured.completed_in_time as f64 / seconds.max(0.001)),
            latency_ms_p50: round(latency_ms(0.5)),
            latency_ms_p99: round(latency_ms(0.99)),
            fsyncs: measured.fsyncs,
            blocks: measured.blocks,
            channels_closed_cooperatively: measured.closes.cooperative,
            channels_closed_unilaterally: measured.closes.unilateral,
            seconds_in_challenge_windows: round(measured.windows.as_secs_f64()),
            seconds_total: round(measured.total.as_secs_f64()),
            supply_before: audit.supply_before.to_string(),
            supply_after: audit.supply_after.to_string(),
            conserved: audit.conserved(),
            accounts_wrong: audit.wrong.clone(),
            cheats: measured.cheats.clone(),
            gained_by_cheating: measured.gained().to_string(),
        }
    }

    /// Whether nothing was lost, every unit is accounted for, and nobody got anything by cheating.
    pub(super) fn is_good(&self) -> bool {
        self.conserved && self.payments_lost == 0 && self.gained_by_cheating == "0"
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let (before, after) = (&self.supply_before, &self.supply_after);
        let rows = [
            ("wallets", self.wallets.to_string()),
            ("seconds of payments", format!("{:.1}", self.seconds)),
            ("payments completed", self.payments_completed.to_string()),
            ("payments failed", self.payments_failed.to_string()),
            ("payments lost", self.payments_lost.to_string()),
            ("payments per second", format!("{:.0}", self.payments_per_second)),
            ("latency, half below", format!("{:.2} ms", self.latency_ms_p50)),
            ("latency, 99 % below", format!("{:.2} ms", self.latency_ms_p99)),
            ("fsyncs of the hub's journal", self.fsyncs.to_string()),
            ("blocks of the ledger", self.blocks.to_string()),
            ("channels closed by both sides", self.channels_closed_cooperatively.to_string()),
            ("channels closed by the wallet alone", self.channels_closed_unilaterally.to_string()),
            (
                "waiting for challenge windows",
                format!("{:.1} s", self.seconds_in_challenge_windows),
            ),
            ("everything together", format!("{:.1} s", self.seconds_total)),
            ("on the ledger before, in units", before.clone()),
            ("on the ledger after, in units", after.clone()),
            ("got by cheating, in units", self.gained_by_cheating.clone()),
            ("every unit accounted for", if self.conserved { "yes" } else { "NO" }.to_owned()),
        ];
        let rows = rows.map(|(name, value)| (name.to_owned(), value));
        for (name, value) in rows.into_iter().chain(self.cheats.iter().flat_map(cheat_rows)) {
            table.add_row([name, value]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }
}

/// What somebody tried, and in units what that would have paid it and what it was paid.
fn cheat_rows(attempt: &Attempt) -> [(String, String); 4] {
    let Attempt { who, tried, would_have_got, was_due, got } = attempt;
    [
        (format!("a {who} {tried}"), String::new()),
        ("  would have got".to_owned(), would_have_got.to_string()),
        ("  was due".to_owned(), was_due.to_string()),
        ("  got".to_owned(), got.to_string()),
    ]
}

/// To thousandths: more would only look exact.
fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use settlement::types::Amount;

    use super::*;

    fn audit(wrong: Vec<String>) -> Audit {
        Audit { supply_before: 700, supply_after: 700, wrong }
    }

    fn attempt(who: &'static str, got: u64) -> Attempt {
        let (would_have_got, was_due) = (Amount(100), Amount(60));
        Attempt { who, tried: "did what it must not", would_have_got, was_due, got: Amount(got) }
    }

    fn measured(lost: u64) -> Measured {
        let mut latency_us = Histogram::new(3).expect("three digits are allowed");
        for value in [1_000, 2_000, 3_000] {
            latency_us.record(value).expect("an auto-sizing histogram takes any value");
        }
        Measured {
            wallets: 2,
            paying: Duration::from_millis(2_500),
            completed: 12,
            completed_in_time: 10,
            failed: 1,
            failures: BTreeMap::from([("unknown_payee".to_owned(), 1)]),
            lost,
            latency_us,
            fsyncs: 7,
            blocks: 9,
            closes: Closes { cooperative: 1, unilateral: 1 },
            windows: Duration::from_secs(4),
            cheats: vec![attempt("wallet", 60), attempt("hub", 60)],
            total: Duration::from_secs(8),
        }
    }

    #[test]
    fn the_object_has_the_fields_that_scripts_rely_on() {
        let report = Report::of(&measured(0), &audit(Vec::new()));
        let object = serde_json::to_value(&report).expect("it is plain");
        let expected = [
            ("payments_completed", serde_json::json!(12)),
            ("payments_failed", serde_json::json!(1)),
            ("payments_per_second", serde_json::json!(4.0)),
            ("latency_ms_p99", serde_json::json!(3.001)),
            ("supply_before", serde_json::json!("700")),
            ("supply_after", serde_json::json!("700")),
            ("conserved", serde_json::json!(true)),
            ("gained_by_cheating", serde_json::json!("0")),
        ];
        for (name, value) in expected {
            assert_eq!(object[name], value, "{name}");
        }
        let cheat = serde_json::json!({
            "who": "hub", "tried": "did what it must not",
            "would_have_got": "100", "was_due": "60", "got": "60",
        });
        assert_eq!(object["cheats"][1], cheat);
        assert!(object["latency_ms_p50"].as_f64().is_some_and(|ms| (1.9..2.1).contains(&ms)));
    }

    #[test]
    fn a_lost_payment_or_a_wrong_account_is_not_good() {
        assert!(Report::of(&measured(0), &audit(Vec::new())).is_good());
        assert!(!Report::of(&measured(1), &audit(Vec::new())).is_good());
        assert!(!Report::of(&measured(0), &audit(vec!["the hub".to_owned()])).is_good());
    }

    #[test]
    fn a_cheat_that_got_something_is_not_good_whatever_another_lost() {
        let mut paid = measured(0);
        paid.cheats = vec![attempt("wallet", 61), attempt("hub", 0)];
        let report = Report::of(&paid, &audit(Vec::new()));
        assert!(!report.is_good());
        let table = report.table();
        for part in ["a wallet did what it must not", "would have got", "61"] {
            assert!(table.contains(part), "no {part} in {table}");
        }
    }

    #[test]
    fn the_table_says_so_when_a_unit_is_missing() {
        let good = Report::of(&measured(0), &audit(Vec::new())).table();
        let bad = Report::of(&measured(0), &audit(vec!["the hub".to_owned()])).table();
        assert!(good.contains("yes") && !good.contains("NO"), "{good}");
        assert!(bad.contains("NO"), "{bad}");
    }
}
