//! Wallets that pay each other at random: each has a few payments under way, and makes the next
//! when one has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client_sdk::client::{ClientError, WalletHandle};
use client_sdk::wallet::{Payment, PaymentState};
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::types::Amount;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::books::Book;
use super::progress::Progress;
use super::scene::{ASSET, MINTED, Scene};

/// The most units that a payment is worth.
const AMOUNT_MAX: u64 = 100;
/// How long an invoice is good for, in blocks: it is paid at once.
const INVOICE_BLOCKS: u64 = 1_000;
/// What a payment may take beyond the life of its lock before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the bar moves.
const BAR_STEP: Duration = Duration::from_millis(200);

/// What came of it.
pub(super) struct Paid {
    /// Of each wallet.
    pub(super) books: Vec<Book>,
    /// Payments whose secret came back to the payer…
    pub(super) completed: u64,
    /// …and those of them that did so before the time was over.
    pub(super) completed_in_time: u64,
    /// Payments that failed, or were refused before they began.
    pub(super) failed: u64,
    /// Why, and how often.
    pub(super) failures: BTreeMap<String, u64>,
    /// Payments that did not end.
    pub(super) lost: u64,
    /// From the call of `pay` to the secret, in microseconds.
    pub(super) latency_us: Histogram<u64>,
    /// How long new payments were made.
    pub(super) took: Duration,
}

/// Lets them pay for `time`, then waits until every payment has ended.
pub(super) async fn run(
    scene: &Scene,
    outstanding: u32,
    time: Duration,
    progress: &Progress,
) -> Result<Paid> {
    let bar = progress.timed("paying", time);
    let stage = Arc::new(Stage {
        wallets: scene.wallets.clone(),
        received: scene.wallets.iter().map(|_| AtomicU64::new(0)).collect(),
        completed: AtomicU64::new(0),
        patience: scene.lock_life().await?.saturating_add(PATIENCE),
    });
    let (stop, stopped) = watch::channel(false);
    let mut payers = JoinSet::new();
    for index in 0..stage.wallets.len() {
        for _ in 0..outstanding {
            payers.spawn(pay_on(stage.clone(), index, seeded()?, stopped.clone()));
        }
    }
    let started = Instant::now();
    watch_clock(&stage, time, &bar).await;
    stop.send_replace(true);
    let took = started.elapsed();
    let completed_in_time = stage.completed.load(Relaxed);
    bar.finish();
    let waiting = progress.counted("waiting for the last payments", payers.len());
    let mut ledgers = Vec::with_capacity(payers.len());
    while let Some(payer) = payers.join_next().await {
        ledgers.push(payer.context("a payer broke off")?);
        waiting.inc(1);
    }
    waiting.finish();
    sum(&stage, ledgers, completed_in_time, took)
}

/// Moves the bar until the time is over, or somebody presses Ctrl-C: then what is under way is still
/// finished, unless it is pressed once more.
async fn watch_clock(stage: &Stage, time: Duration, bar: &ProgressBar) {
    let started = Instant::now();
    let mut steps = tokio::time::interval(BAR_STEP);
    let moving = async {
        loop {
            steps.tick().await;
            let (done, elapsed) = (stage.completed.load(Relaxed), started.elapsed());
            bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
            bar.set_prefix(format!("{done} paid, {rate:.0}/s"));
        }
    };
    tokio::select! {
        () = moving => {}
        () = tokio::time::sleep(time) => {}
        _ = tokio::signal::ctrl_c() => {
            tokio::spawn(async {
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            });
        }
    }
}

/// What all payers share.
struct Stage {
    wallets: Vec<WalletHandle>,
    /// What payers know to have reached each wallet.
    received: Vec<AtomicU64>,
    completed: AtomicU64,
    patience: Duration,
}

/// What one payer saw.
struct Tally {
    index: usize,
    paid: i128,
    fees: i128,
    latencies_us: Vec<u64>,
    failures: BTreeMap<String, u64>,
    lost: u64,
}

/// How a payment ended, as its payer saw it.
enum End {
    Paid {
        amount: Amount,
        fee: Amount,
    },
    Failed(String),
    /// It has not ended, or nobody can say how.
    Lost,
}

async fn pay_on(
    stage: Arc<Stage>,
    index: usize,
    mut rng: ChaCha8Rng,
    stopped: watch::Receiver<bool>,
) -> Tally {
    let mut tally = Tally {
        index,
        paid: 0,
        fees: 0,
        latencies_us: Vec::new(),
        failures: BTreeMap::new(),
        lost: 0,
    };
    while !*stopped.borrow() {
        let payee = other(&mut rng, index, stage.wallets.len());
        let amount = Amount(rng.random_range(1..=AMOUNT_MAX));
        stage.pay_once(&mut tally, payee, amount).await;
    }
    tally
}

/// Any index but this one.
fn other(rng: &mut ChaCha8Rng, index: usize, count: usize) -> usize {
    let drawn = rng.random_range(0..count.saturating_sub(1).max(1));
    if drawn >= index { drawn.saturating_add(1) } else { drawn }
}

impl Stage {
    async fn pay_once(&self, tally: &mut Tally, payee: usize, amount: Amount) {
        let (Some(from), Some(to)) = (self.wallets.get(tally.index), self.wallets.get(payee))
        else {
            return;
        };
        let invoice = match to.invoice(ASSET, amount, INVOICE_BLOCKS, "").await {
            Ok((invoice, _)) => invoice,
            Err(error) => return tally.fail(error.code.name()),
        };
        let called = Instant::now();
        let paid = tokio::time::timeout(self.patience, from.pay(invoice)).await;
        let latency = called.elapsed();
        match end_of(paid) {
            End::Paid { amount, fee } => {
                tally.paid += amount.wide();
                tally.fees += fee.wide();
                tally.latencies_us.push(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
                if let Some(received) = self.received.get(payee) {
                    received.fetch_add(amount.0, Relaxed);
                }
                self.completed.fetch_add(1, Relaxed);
            }
            End::Failed(why) => tally.fail(&why),
            End::Lost => tally.lost += 1,
        }
    }
}

fn end_of(paid: Result<Result<Payment, ClientError>, tokio::time::error::Elapsed>) -> End {
    match paid {
        Ok(Ok(Payment { state: PaymentState::Settled, amount, fee, .. })) => {
            End::Paid { amount, fee }
        }
        Ok(Ok(Payment { state: PaymentState::Failed(code), .. })) => {
            End::Failed(code.name().to_owned())
        }
        // Refused before it began: no money has moved.
        Ok(Err(error)) if error.payment.is_none() => End::Failed(error.code.name().to_owned()),
        _ => End::Lost,
    }
}

impl Tally {
    fn fail(&mut self, why: &str) {
        let count = self.failures.entry(why.to_owned()).or_default();
        *count += 1;
    }
}

fn sum(stage: &Stage, tallies: Vec<Tally>, completed_in_time: u64, took: Duration) -> Result<Paid> {
    let received = stage.received.iter().map(|amount| i128::from(amount.load(Relaxed)));
    let book = |received| Book { minted: MINTED, received, ..Book::default() };
    let mut paid = Paid {
        books: received.map(book).collect(),
        completed: 0,
        completed_in_time,
        failed: 0,
        failures: BTreeMap::new(),
        lost: 0,
        latency_us: Histogram::new(3).context("a histogram of three digits")?,
        took,
    };
    for tally in tallies {
        if let Some(book) = paid.books.get_mut(tally.index) {
            book.paid += tally.paid;
            book.fees += tally.fees;
        }
        paid.completed += tally.latencies_us.len() as u64;
        paid.lost += tally.lost;
        for latency in tally.latencies_us {
            paid.latency_us.record(latency).context("a latency out of range")?;
        }
        for (why, count) in tally.failures {
            paid.failed += count;
            *paid.failures.entry(why).or_default() += count;
        }
    }
    Ok(paid)
}

fn seeded() -> Result<ChaCha8Rng> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).context("the system gives no randomness")?;
    Ok(ChaCha8Rng::from_seed(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payee_is_any_wallet_but_the_payer() {
        let mut rng = ChaCha8Rng::from_seed([7; 32]);
        for index in 0..3 {
            let mut seen = [0; 3];
            for _ in 0..300 {
                seen[other(&mut rng, index, 3)] += 1;
            }
            assert_eq!(seen[index], 0, "a wallet paid itself");
            assert!(seen.iter().enumerate().all(|(who, n)| who == index || *n > 90), "{seen:?}");
        }
        assert_eq!((other(&mut rng, 0, 2), other(&mut rng, 1, 2)), (1, 0));
    }
}
