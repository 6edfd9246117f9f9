//! Whether what was measured is what was meant to be: latencies and costs of a load that was not
//! carried, or of payments that failed, say nothing.

use anyhow::Result;

use super::Run;
use crate::load::hub::Hub;
use crate::load::options::Profile;
use crate::load::report::Check;

/// The part of what fell due that may be left unsent at the end of an open loop.
const UNSENT: f64 = 0.05;

impl Run<'_> {
    /// What came of the measured time.
    pub(super) fn check_carried(&mut self) {
        let report = &mut self.report;
        let streams = self.options.profile == Profile::Stream;
        let what = if streams { "redemptions" } else { "payments completed" };
        let unmeant = report.payments_not_as_meant as f64;
        report.checks.extend([
            Check::at_least(what, report.payments_completed as f64, 1.0),
            Check::at_most("payments that went as they were not meant to", unmeant, 0.0),
        ]);
        if let Some(rate) = self.options.rate {
            let (left, due) = (report.payments_not_sent as f64, rate * report.seconds);
            report.checks.push(Check::at_most(
                "payments that had fallen due and were not sent",
                left,
                due * UNSENT,
            ));
        }
    }

    /// Channels whose wallets never sign in are there after the restart as well.
    pub(super) fn check_channels(&mut self, hub: &Hub) -> Result<()> {
        let idle = self.options.idle_channels;
        if idle > 0 && self.options.churn().is_none() {
            let channels = hub.metrics()?.get("hub_channels").copied().unwrap_or(0.0);
            let all = idle.saturating_add(self.options.wallets) as f64;
            self.report.checks.push(Check::at_least("channels after the restart", channels, all));
        }
        Ok(())
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

    #[test]
    fn what_was_not_carried_is_not_good() {
        let report = |completed, unmeant, not_sent| Report {
            payments_completed: completed,
            payments_not_as_meant: unmeant,
            payments_not_sent: not_sent,
            seconds: 10.0,
            conserved: true,
            ..Report::default()
        };
        let open: &[&str] = &["--rate", "100"];
        let cases = [
            ("all is well", open, report(1_000, 0, 50), true),
            ("nothing completed", &[], report(0, 0, 0), false),
            ("a payment failed that was to succeed", open, report(999, 1, 0), false),
            ("most were never sent", open, report(100, 0, 900), false),
            ("and a closed loop leaves none unsent", &[], report(100, 0, 900), true),
        ];
        for (case, flags, report, good) in cases {
            let given = ["load", "--profile", "spread"].iter().chain(flags);
            let options = Options::try_parse_from(given).unwrap();
            let mut run = Run {
                options: &options,
                dir: Path::new("."),
                say: &mut |_: &str| {},
                raw: Rounds::default(),
                churned: Arc::default(),
                report,
            };
            run.check_carried();
            assert_eq!(run.report.is_good(), good, "{case}");
        }
    }
}
