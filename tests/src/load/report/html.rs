//! A report as a page that needs nothing from elsewhere: no script, no style sheet, no font.

use std::fmt::Write;

use super::svg::{Line, chart};
use super::{Report, Sample};

const STYLE: &str = "\
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em;\
      color: #1c2733 }\
    table { border-collapse: collapse; width: 100% } td { padding: 2px 8px;\
      border-bottom: 1px solid #e4e9ee } td + td { text-align: right;\
      font-variant-numeric: tabular-nums }\
    svg { width: 100%; margin: 1em 0 } svg text { font-size: 11px; fill: #5a6b7b }\
    svg .title { font-weight: bold; fill: #1c2733 } .grid { stroke: #e4e9ee }\
    polyline { fill: none; stroke-width: 1.5 } .good { color: #0a7a3f } .bad { color: #b3261e }";

impl Report {
    /// As a page.
    pub fn html(&self) -> String {
        let (class, verdict) = if self.lost > 0 || !self.conserved {
            ("bad", "Payments were lost, or the books do not add up.")
        } else if self.is_good() {
            ("good", "Nothing was lost, and the books add up.")
        } else {
            ("bad", "Nothing was lost, and the books add up; a bound is broken.")
        };
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>Load: {0}</title><style>{STYLE}</style></head><body>\n<h1>Load: {0}</h1>\n\
             <p class=\"{class}\">{verdict}</p>\n",
            escape(&self.profile)
        );
        page.push_str(&self.charts());
        page.push_str("<table>\n");
        for (what, figure) in self.rows() {
            // Writing into a string can't fail.
            let _ = writeln!(page, "<tr><td>{}<td>{}", escape(&what), escape(&figure));
        }
        page.push_str("</table>\n<h2>Conditions</h2>\n<ul>\n");
        for condition in &self.conditions {
            let _ = writeln!(page, "<li>{}", escape(condition));
        }
        page.push_str("</ul>\n</body></html>\n");
        page
    }

    fn charts(&self) -> String {
        let of = |value: fn(&Sample) -> f64| self.over_time.iter().map(value).collect();
        let line = |name, colour, value| Line { name, colour, values: of(value) };
        let streams = (self.streams > 0).then(|| {
            let redemptions = line("told", "#1565c0", |it: &Sample| it.redemptions as f64);
            chart("Redemptions a second", &[redemptions])
        });
        [
            streams.unwrap_or_default(),
            chart("Payments a second", &[line("completed", "#1565c0", |it| it.payments as f64)]),
            chart(
                "Latency, ms",
                &[
                    line("p50", "#1565c0", |it| it.latency_ms.p50),
                    line("p99", "#c77700", |it| it.latency_ms.p99),
                    line("p99.9", "#b3261e", |it| it.latency_ms.p999),
                ],
            ),
            chart(
                "Resident memory, MiB",
                &[line("hub", "#1565c0", |it| it.hub_rss_bytes as f64 / f64::from(1u32 << 20))],
            ),
            chart(
                "Waiting",
                &[
                    line("lanes", "#1565c0", |it| it.verify_queue),
                    line("shard inputs", "#c77700", |it| it.shard_queue),
                ],
            ),
        ]
        .concat()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
