//! A run from the hub's start to the books at the end.

mod books;
mod carried;
mod conditions;
mod measure;
mod open;
mod overload;
mod soak;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result};
use client_sdk::api::HubInfo;
use rand::SeedableRng;
use rand::rngs::StdRng;
use settlement::crypto::VerifyingKey;

use super::chain::{Chain, Tip};
use super::churn::{Churn, Churning, Counts};
use super::fleet::{Door, Fleet, Pace, StreamPace, Terms, Wallet};
use super::generator::{self, Generator, Shared};
use super::http::Http;
use super::hub::Hub;
use super::mix::Deed;
use super::options::{Options, Profile};
use super::raw::Rounds;
use super::report::{Check, LatencyMs, Report};
use super::stats::{Span, Stats};
use super::usage::Usage;
use open::{Opened, Opener};

/// How long the hub may take to see what the wallets have seen.
const FOLLOW: Duration = Duration::from_secs(60);

/// So many idle channels have to be served again within [`RESTART_S`]; of a tenth of them or more each
/// may take [`CHANNEL_BYTES`].
const MANY: usize = 100_000;
const RESTART_S: f64 = 3.0;
const CHANNEL_BYTES: f64 = 2_048.0;

/// Runs it all. `say` is told what goes on.
///
/// # Errors
/// When something can't be measured, or the hub breaks a rule. What it lost is in the report.
pub fn run(options: &Options, say: &mut dyn FnMut(&str)) -> Result<Report> {
    options.check()?;
    let beside = std::env::current_exe()?;
    let beside = beside.parent().context("a program in no directory")?;
    let made = match &options.dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("load-").tempdir_in(beside)?),
    };
    let dir = options.dir.as_deref().or(made.as_ref().map(tempfile::TempDir::path));
    let dir = dir.context("no directory")?;
    Run {
        options,
        dir,
        say,
        raw: Rounds::default(),
        churned: Arc::default(),
        report: Report::default(),
    }
    .go()
}

struct Run<'a> {
    options: &'a Options,
    dir: &'a Path,
    say: &'a mut dyn FnMut(&str),
    raw: Rounds,
    churned: Arc<Counts>,
    report: Report,
}

impl Run<'_> {
    fn say(&mut self, what: &str) {
        (self.say)(what);
    }

    fn go(mut self) -> Result<Report> {
        self.say("starting the hub");
        let mut hub = Hub::start(self.options, self.dir)?;
        let info: HubInfo = Http::connect(&hub.url)?.get_json("/v1/info")?;
        let without_channels = Usage::of(hub.id())?.rss;
        let mut chain = Chain::at(hub.ledger_url(), &info.ledger)?;
        self.raw.measure(self.dir)?;
        let opened = self.open(&hub, &info, &mut chain)?;
        self.conditions(&hub, &chain.genesis)?;
        let mut fleets = self.fleets(&info, &chain, opened)?;
        let churn = self.churn(&info, &mut chain, &mut fleets);
        let following = chain.follow_along();
        let churning = churn.map(|churn| churn.along(&hub.url, hub.ledger_url()));
        let mut fleets = self.load(&mut hub, fleets)?;
        let churn = churning.map(Churning::stop).transpose()?;
        self.take_latencies(&mut fleets);
        self.say("the hub was killed; starting it again");
        let (hub, took) = match hub.start_again() {
            Ok(again) => again,
            Err(error) => return Ok(self.all_is_lost(&error)),
        };
        self.report.restart_seconds = took.as_secs_f64();
        let mut chain = following.stop()?;
        chain.move_to(hub.ledger_url())?;
        let following = chain.follow_along();
        let churning = churn.map(|churn| churn.along(&hub.url, hub.ledger_url()));
        let fleets = self.bring_to_an_end(&hub, fleets)?;
        churning.map(Churning::stop).transpose()?;
        let chain = following.stop()?;
        self.check(&hub, &chain, &fleets)?;
        self.check_channels(&hub)?;
        self.weigh(&hub, without_channels)?;
        self.raw.measure(self.dir)?;
        self.finish(&hub.log());
        Ok(self.report)
    }

    fn open(&mut self, hub: &Hub, info: &HubInfo, chain: &mut Chain) -> Result<Opened> {
        let mut opener = Opener::new(self.options, hub, info, chain)?;
        self.report.rss_bytes_per_channel = opener.idle(&mut self.say)?;
        let opened = opener.paying(&mut self.say)?;
        Ok(opened)
    }

    /// Deals wallets and connections out to the threads.
    fn fleets(&self, info: &HubInfo, chain: &Chain, opened: Opened) -> Result<Vec<Fleet>> {
        let options = self.options;
        let hub = VerifyingKey::parse(&info.hub)?;
        let lag = info.policy.lag(&chain.genesis);
        let terms = Terms { info: Arc::new(info.clone()), hub, lag };
        let pace = Pace {
            per_signature: options.per_signature(),
            rounds: options.rounds,
            mixed: options.profile == Profile::Mixed,
            // A load of streams alone has no payments that could fall due.
            open_loop: options.rate.is_some() || options.profile == Profile::Stream,
            streams: options.streams(),
        };
        let threads = options.generator_threads();
        let mut dealt: Vec<Vec<Wallet>> = (0..threads).map(|_| Vec::new()).collect();
        for (nth, (key, channel)) in opened.into_iter().enumerate() {
            let of_thread = &mut dealt[nth % threads];
            let connections = share(options.connections, threads, nth % threads);
            let connection = of_thread.len() % connections;
            of_thread.push(Wallet::new(key, channel, connection));
        }
        let tip: Arc<Tip> = chain.tip();
        let fleet = |(nth, wallets)| {
            let rng = StdRng::from_rng(&mut rand::rng());
            let streams = share(pace.streams.streams, threads, nth);
            let pace = Pace { streams: StreamPace { streams, ..pace.streams }, ..pace };
            Fleet::new(terms.clone(), pace, tip.clone(), wallets, rng)
        };
        Ok(dealt.into_iter().enumerate().map(fleet).collect())
    }

    /// Has channels close and open all along, if that is wanted.
    fn churn(&mut self, info: &HubInfo, chain: &mut Chain, fleets: &mut [Fleet]) -> Option<Churn> {
        self.options.churn()?;
        let (tell, events) = channel();
        chain.tell(tell);
        let (leave, departures) = channel();
        let mut back = Vec::with_capacity(fleets.len());
        for (thread, fleet) in fleets.iter_mut().enumerate() {
            let (arrive, arrivals) = channel();
            back.push(arrive);
            fleet.set_door(Door { thread, departures: leave.clone(), arrivals });
        }
        let churn = Churn::new(Arc::new(info.clone()), departures, events, back);
        self.churned = churn.counts();
        Some(churn)
    }

    fn start(&self, hub: &Hub, fleets: Vec<Fleet>, shared: &Arc<Shared>) -> Vec<Generator> {
        let options = self.options;
        let threads = options.generator_threads();
        let each = match options.profile {
            Profile::Mixed => Deed::payments_mean(),
            _ => options.per_signature() as f64,
        };
        let start = |(nth, fleet): (usize, Fleet)| {
            let connections = share(options.connections, threads, nth);
            let pace = generator::Pace {
                share: 1.0 / threads as f64,
                per_signature: each,
                leaving: options.churn().map(|rate| rate / threads as f64),
                redemptions: options.redemptions().map(|rate| rate / threads as f64),
                rate: options.rate.map(|rate| (rate / threads as f64, each)),
            };
            Generator::start(fleet, hub.host(), connections, pace, shared.clone())
        };
        fleets.into_iter().enumerate().map(start).collect()
    }

    /// The load, up to the moment when the hub is killed, which is in the middle of it.
    fn load(&mut self, hub: &mut Hub, mut fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        let span = Arc::<Span>::default();
        for fleet in &mut fleets {
            fleet.stats.span = span.clone();
        }
        if self.options.overload {
            return self.overload(hub, fleets);
        }
        let shared = Shared::new(true);
        let generators = self.start(hub, fleets, &shared);
        self.measure(hub, &generators, &shared, &span)?;
        self.check_carried();
        self.check_queues(hub)?;
        shared.expect_the_end();
        hub.kill();
        generators.into_iter().map(Generator::join).collect()
    }

    /// What the wallets counted under load; what comes after that is the end's.
    fn take_latencies(&mut self, fleets: &mut [Fleet]) {
        let mut all = Stats::default();
        for fleet in fleets {
            all.merge(&std::mem::take(&mut fleet.stats));
        }
        self.check_minutes(&all);
        let ms = |share| all.latencies.ms(share);
        let report = &mut self.report;
        report.latency_ms = LatencyMs { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999) };
        let ms = |share| all.redemption_latencies.ms(share);
        report.redemption_latency_ms = LatencyMs { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999) };
        report.stream_locks = all.stream_locks;
        report.failures = all.refusals.into_iter().collect();
        let stayed = ("channels that could not be closed in time".to_owned(), all.stayed);
        report.failures.extend((all.stayed > 0).then_some(stayed));
        for (sample, second) in report.over_time.iter_mut().zip(&all.seconds) {
            let latencies = &second.latencies;
            sample.payments = latencies.count();
            sample.redemptions = second.redemptions;
            let ms = |share| latencies.ms(share);
            sample.latency_ms = LatencyMs { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999) };
        }
    }

    /// All wallets meet the hub again, and what is pending comes to its end.
    fn bring_to_an_end(&mut self, hub: &Hub, fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        self.say("bringing what is pending to an end");
        let shared = Shared::new(false);
        let generators = self.start(hub, fleets, &shared);
        let fleets = generators.into_iter().map(Generator::join).collect::<Result<Vec<Fleet>>>()?;
        let mut after = BTreeMap::<String, u64>::new();
        for (why, count) in fleets.iter().flat_map(|fleet| &fleet.stats.refusals) {
            *after.entry(format!("after the restart: {why}")).or_default() += count;
        }
        self.report.failures.extend(after);
        Ok(fleets)
    }

    /// What channels take in a hub that did not open them itself.
    fn weigh(&mut self, hub: &Hub, without_channels: u64) -> Result<()> {
        let Options { idle_channels, wallets, .. } = self.options;
        if *idle_channels > 0 {
            let with = Usage::of(hub.id())?.rss.saturating_sub(without_channels);
            let channels = idle_channels.saturating_add(*wallets).max(1);
            self.report.rss_bytes_per_channel_restarted = with as f64 / channels as f64;
        }
        Ok(())
    }

    /// A hub that does not come back has kept nothing of what it acknowledged.
    fn all_is_lost(mut self, error: &anyhow::Error) -> Report {
        self.report.lost = self.report.payments_completed.max(1);
        self.finish(&format!("{error:#}"));
        self.report
    }

    fn finish(&mut self, log: &str) {
        let options = self.options;
        let report = &mut self.report;
        report.profile = options.profile.name().to_owned();
        report.wallets = options.wallets;
        report.connections = options.connections;
        report.per_signature = options.per_signature();
        let streams = options.streams();
        report.streams = streams.streams;
        report.steps_per_redemption = streams.steps_per_redemption;
        report.fsync_delay_ms = options.fsync_delay_ms;
        report.rate = options.rate;
        report.raw = self.raw.median();
        let idle = options.idle_channels;
        if idle >= MANY / 10 {
            let each = report.rss_bytes_per_channel;
            report.checks.push(Check::at_most(
                "resident bytes an idle channel",
                each,
                CHANNEL_BYTES,
            ));
        }
        if idle >= MANY {
            let took = report.restart_seconds;
            report.checks.push(Check::at_most("restart, s", took, RESTART_S));
        }
        if report.raw.verify_us > 0.0 {
            report.hub_cpu_in_verifications = report.hub_cpu_us_per_payment / report.raw.verify_us;
        }
        report.conditions.extend((!log.is_empty()).then(|| format!("the hub logged: {log}")));
    }
}

/// How many of `all` are one's of `threads`.
fn share(all: usize, threads: usize, nth: usize) -> usize {
    all / threads + usize::from(nth < all % threads)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        for (all, threads) in [(32, 1), (32, 3), (5, 5), (1_000, 7)] {
            let shares: Vec<usize> = (0..threads).map(|nth| share(all, threads, nth)).collect();
            assert_eq!(shares.iter().sum::<usize>(), all);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
