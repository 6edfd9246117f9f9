//! A run from the hub's start to the books at the end.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client_sdk::api::HubInfo;
use rand::SeedableRng;
use rand::rngs::StdRng;
use settlement::channel::Channel;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::types::Amount;

use super::chain::{Chain, Tip};
use super::fleet::{Fleet, Pace, Terms, Wallet};
use super::generator::{Generator, Live, Shared, refusals, sum};
use super::http::Http;
use super::hub::Hub;
use super::options::Options;
use super::raw::Rounds;
use super::report::{LatencyMs, Report};
use super::setup::{Purse, fresh_key, open_channels};
use super::stats::{Span, Stats};
use super::usage::Usage;

/// How long the wallets may take to sign in and meet the hub.
const SIGN_IN: Duration = Duration::from_secs(60);

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
    Run::new(options, dir.context("no directory")?, say).go()
}

struct Run<'a> {
    options: &'a Options,
    dir: &'a Path,
    say: &'a mut dyn FnMut(&str),
    raw: Rounds,
    report: Report,
}

/// Everything that grows, at one moment.
struct Moment {
    at_ns: u64,
    hub: Usage,
    own: Usage,
    metrics: std::collections::HashMap<String, f64>,
    live: Counted,
}

struct Counted {
    completed: u64,
    failed: u64,
    signatures: u64,
    updates_heard: u64,
    checked: u64,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, dir: &'a Path, say: &'a mut dyn FnMut(&str)) -> Run<'a> {
        Run { options, dir, say, raw: Rounds::default(), report: Report::default() }
    }

    fn say(&mut self, what: &str) {
        (self.say)(what);
    }

    fn go(mut self) -> Result<Report> {
        self.say("starting the hub");
        let mut hub = Hub::start(self.options, self.dir)?;
        let info: HubInfo = Http::connect(&hub.url)?.get_json("/v1/info")?;
        let mut chain = Chain::at(&hub.url, &info.ledger)?;
        self.raw.measure(self.dir)?;
        let before = Usage::of(hub.id())?;
        self.say("opening channels");
        let wallets = self.open(&hub, &info, &mut chain)?;
        let grown = Usage::of(hub.id())?.rss.saturating_sub(before.rss);
        self.report.rss_bytes_per_channel = grown as f64 / wallets.len() as f64;
        let tip = chain.tip();
        let following = chain.follow_along();
        let fleets = self.fleets(&info, &tip, following_lag(&info, &hub)?, wallets)?;
        let fleets = self.load(&mut hub, fleets)?;
        self.say("killed the hub; starting it again");
        let (hub, took) = hub.start_again()?;
        self.report.restart_seconds = took.as_secs_f64();
        let mut chain = following.stop()?;
        chain.move_to(&hub.url)?;
        let following = chain.follow_along();
        let fleets = self.bring_to_an_end(&hub, fleets)?;
        self.check(&fleets);
        following.stop()?;
        self.raw.measure(self.dir)?;
        self.finish(&hub, &fleets);
        Ok(self.report)
    }

    fn open(
        &mut self,
        hub: &Hub,
        info: &HubInfo,
        chain: &mut Chain,
    ) -> Result<Vec<(SigningKey, Channel)>> {
        let began = Instant::now();
        let count = self.options.wallets;
        let deposit = self.options.deposit;
        let total = deposit.0.checked_mul(count as u64).context("--deposit is too much")?;
        let mut purse = Purse::fill(&hub.url, chain, Amount(total))?;
        let keys = (0..count).map(|_| fresh_key()).collect::<Result<Vec<SigningKey>>>()?;
        let channels = open_channels(&hub.url, info, chain, &mut purse, &keys, deposit)?;
        if channels.len() != count {
            bail!("{} of {count} channels opened", channels.len());
        }
        self.wait_followed(hub, chain.tip().height().0)?;
        let took = began.elapsed().as_secs_f64();
        self.say(&format!("{count} channels are open after {took:.1} s"));
        Ok(keys.into_iter().zip(channels).collect())
    }

    /// Until the hub has seen what the wallets have seen.
    fn wait_followed(&self, hub: &Hub, height: u64) -> Result<()> {
        let until = Instant::now() + SIGN_IN;
        while hub.metrics()?.get("hub_ledger_height").is_none_or(|at| *at < height as f64) {
            if Instant::now() > until {
                bail!("the hub does not follow the ledger");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Deals wallets and connections out to the threads.
    fn fleets(
        &self,
        info: &HubInfo,
        tip: &Arc<Tip>,
        lag: u64,
        wallets: Vec<(SigningKey, Channel)>,
    ) -> Result<Vec<Fleet>> {
        let options = self.options;
        let hub = VerifyingKey::parse(&info.hub)?;
        let terms = Terms { info: Arc::new(info.clone()), hub, lag };
        let pace = Pace {
            per_signature: options.per_signature(),
            rounds: options.rounds,
            open_loop: options.rate.is_some(),
        };
        let threads = options.generator_threads;
        let mut dealt: Vec<Vec<Wallet>> = (0..threads).map(|_| Vec::new()).collect();
        for (nth, (key, channel)) in wallets.into_iter().enumerate() {
            let of_thread = &mut dealt[nth % threads];
            let connections = share(options.connections, threads, nth % threads);
            let connection = of_thread.len() % connections;
            of_thread.push(Wallet::new(key, channel, connection));
        }
        let fleet = |wallets| {
            let rng = StdRng::from_rng(&mut rand::rng());
            Fleet::new(terms.clone(), pace, tip.clone(), wallets, rng)
        };
        Ok(dealt.into_iter().map(fleet).collect())
    }

    fn start(&self, hub: &Hub, fleets: Vec<Fleet>, shared: &Arc<Shared>) -> Vec<Generator> {
        let options = self.options;
        let threads = options.generator_threads;
        let start = |(nth, fleet): (usize, Fleet)| {
            let connections = share(options.connections, threads, nth);
            let rate = options.rate.map(|rate| (rate / threads as f64, options.per_signature()));
            Generator::start(fleet, hub.host(), connections, rate, shared.clone())
        };
        fleets.into_iter().enumerate().map(start).collect()
    }

    /// The load, up to the moment when the hub is killed, which is in the middle of it.
    fn load(&mut self, hub: &mut Hub, mut fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        let span = Arc::<Span>::default();
        for fleet in &mut fleets {
            fleet.stats.span = span.clone();
        }
        let shared = Shared::new(true);
        let generators = self.start(hub, fleets, &shared);
        self.say("warming up");
        let generators = pause(self.options.warm_up, generators)?;
        let from = moment(hub, &shared, &generators)?;
        span.begin(from.at_ns);
        self.say("measuring");
        let generators = pause(self.options.seconds, generators)?;
        let to = moment(hub, &shared, &generators)?;
        span.end(to.at_ns);
        self.measured(&from, &to);
        shared.expect_the_end();
        hub.kill();
        generators.into_iter().map(Generator::join).collect()
    }

    fn measured(&mut self, from: &Moment, to: &Moment) {
        let seconds = (to.at_ns - from.at_ns) as f64 / 1e9;
        let completed = to.live.completed - from.live.completed;
        let each = |value: f64| if completed == 0 { 0.0 } else { value / completed as f64 };
        let grown = |name: &str| {
            let of = |moment: &Moment| moment.metrics.get(name).copied().unwrap_or(0.0);
            of(to) - of(from)
        };
        let (hub, own) = (to.hub.since(&from.hub), to.own.since(&from.own));
        let report = &mut self.report;
        report.seconds = seconds;
        report.payments_completed = completed;
        report.payments_failed = to.live.failed - from.live.failed;
        report.payments_per_second = completed as f64 / seconds;
        report.hub_cpu_us_per_payment = each(hub.cpu_s * 1e6);
        let threads = hub.threads.iter().map(|(name, s)| (name.clone(), each(s * 1e6)));
        report.hub_cpu_us_by_thread = threads.filter(|(_, us)| *us >= 0.005).collect();
        report.generator_cpu_us_per_payment = each(own.cpu_s * 1e6);
        report.verifications_per_payment = each(grown("hub_updates_verified_total"));
        report.signatures_per_payment = each(grown("hub_batch_signatures_total"));
        let signatures = to.live.signatures - from.live.signatures;
        report.wallet_signatures_per_payment = each(signatures as f64);
        let updates = to.live.updates_heard - from.live.updates_heard;
        report.hub_updates_per_payment = each(updates as f64);
        report.hub_signatures_checked = to.live.checked - from.live.checked;
        report.journal_bytes_per_payment = each(grown("hub_record_bytes_total"));
        let fsyncs = grown("hub_fsyncs_total");
        report.fsyncs_per_second = fsyncs / seconds;
        report.payments_per_fsync = if fsyncs > 0.0 { completed as f64 / fsyncs } else { 0.0 };
        report.hub_rss_bytes = hub.rss;
    }

    /// All wallets meet the hub again, and what is pending comes to its end.
    fn bring_to_an_end(&mut self, hub: &Hub, fleets: Vec<Fleet>) -> Result<Vec<Fleet>> {
        self.say("bringing what is pending to an end");
        let shared = Shared::new(false);
        let generators = self.start(hub, fleets, &shared);
        generators.into_iter().map(Generator::join).collect()
    }

    /// The books: what wallets were told is what both sides have signed.
    fn check(&mut self, fleets: &[Fleet]) {
        let (mut lost, mut paid, mut earned, mut fees) = (0u64, 0i128, 0i128, 0i128);
        let mut conserved = fleets.iter().all(Fleet::all_agree);
        for wallet in fleets.iter().flat_map(|fleet| &fleet.wallets) {
            let books = wallet.books;
            let (out, inc) = (wallet.channel.outgoing(), wallet.channel.incoming());
            lost += books.completed.saturating_sub(books.settled);
            lost += books.revealed.saturating_sub(books.collected);
            conserved &= out.accepted.transferred.0 == books.paid;
            conserved &= inc.tally.transferred.0 == books.earned;
            paid += out.accepted.transferred.wide();
            earned += inc.tally.transferred.wide();
            fees += i128::from(books.fees);
        }
        lost += fleets.iter().map(|fleet| fleet.stats.lost_state).sum::<u64>();
        self.report.lost = lost;
        self.report.conserved = conserved && paid - earned == fees;
    }

    fn finish(&mut self, hub: &Hub, fleets: &[Fleet]) {
        let mut all = Stats::default();
        fleets.iter().for_each(|fleet| all.merge(&fleet.stats));
        let options = self.options;
        let report = &mut self.report;
        report.profile = options.profile.name().to_owned();
        report.wallets = options.wallets;
        report.connections = options.connections;
        report.per_signature = options.per_signature();
        report.rate = options.rate;
        let ms = |share| all.latencies.ms(share);
        report.latency_ms = LatencyMs { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999) };
        report.raw = self.raw.median();
        if report.raw.verify_us > 0.0 {
            report.hub_cpu_in_verifications = report.hub_cpu_us_per_payment / report.raw.verify_us;
        }
        report.failures = refusals(fleets);
        let log = hub.log();
        report.conditions.extend((!log.is_empty()).then(|| format!("the hub logged: {log}")));
    }
}

/// How many of `all` are one's of `threads`.
fn share(all: usize, threads: usize, nth: usize) -> usize {
    all / threads + usize::from(nth < all % threads)
}

fn following_lag(info: &HubInfo, hub: &Hub) -> Result<u64> {
    let ledger: settlement::api::LedgerInfo =
        Http::connect(&hub.url)?.get_json("/v1/ledger/info")?;
    Ok(info.policy.lag(&ledger.genesis))
}

/// Lets time pass, unless a thread ends before it should.
fn pause(seconds: f64, generators: Vec<Generator>) -> Result<Vec<Generator>> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        if generators.iter().any(Generator::has_ended) {
            for generator in generators {
                generator.join()?;
            }
            bail!("the wallets ended before they should");
        }
        let left = until.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
    Ok(generators)
}

fn moment(hub: &Hub, shared: &Shared, generators: &[Generator]) -> Result<Moment> {
    let of = |figure: fn(&Live) -> &std::sync::atomic::AtomicU64| sum(generators, figure);
    let metrics = hub.metrics()?;
    Ok(Moment {
        at_ns: shared.now_ns(),
        live: Counted {
            completed: of(|live| &live.completed),
            failed: of(|live| &live.failed),
            signatures: of(|live| &live.signatures),
            updates_heard: of(|live| &live.updates_heard),
            checked: of(|live| &live.checked),
        },
        hub: Usage::of(hub.id())?,
        own: Usage::of(std::process::id())?,
        metrics,
    })
}
