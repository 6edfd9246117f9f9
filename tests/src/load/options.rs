//! What a load is made of.

use std::num::NonZero;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use settlement::channel::HASHES_PER_MESSAGE;
use settlement::lock::{LOCKS_MAX, STEPS_MAX};
use settlement::types::Amount;

use super::fleet::StreamPace;

/// The longest time: eleven days.
const SECONDS_MAX: f64 = 1e6;
/// What may fall due in a second.
const RATE_MIN: f64 = 0.001;
const RATE_MAX: f64 = 1e7;

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// One payment per signature, from each wallet again as soon as the last one is completed.
    Spread,
    /// Many payments per signature.
    Batch,
    /// Single payments, batches of 16 and payments that are meant to fail, 70 : 20 : 5, while
    /// channels close and open and streams are redeemed.
    Mixed,
    /// Streams alone: each is redeemed as often as the hub takes it.
    Stream,
}

impl Profile {
    /// Its name, as it is given and printed.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Spread => "spread",
            Profile::Batch => "batch",
            Profile::Mixed => "mixed",
            Profile::Stream => "stream",
        }
    }
}

/// Loads a hub in a process of its own, over real sockets, and measures what that costs. Then the
/// hub is killed with SIGKILL and started again, and everything that it had acknowledged must be
/// there: a lost payment is exit code 1.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", version)]
pub struct Options {
    /// What kind of load.
    #[arg(long, value_enum)]
    pub profile: Profile,
    /// Connections that the wallets share.
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Wallets that pay, each with a channel of its own.
    #[arg(long, default_value_t = 1_000)]
    pub wallets: usize,
    /// Payments under one signature of their payer [default: 1; for `batch` 16; `mixed` has its own].
    #[arg(long)]
    pub per_signature: Option<usize>,
    /// Signatures' worth of payments that a wallet has pending at once, in closed loop.
    #[arg(long, default_value_t = 1)]
    pub rounds: usize,
    /// How long is measured.
    #[arg(long, default_value_t = 60.0)]
    pub seconds: f64,
    /// How long the load runs before that.
    #[arg(long, default_value_t = 5.0)]
    pub warm_up: f64,
    /// Payments that fall due in a second, whether the hub keeps up or not (open loop); without,
    /// each wallet goes on as soon as its payments are completed (closed loop).
    #[arg(long)]
    pub rate: Option<f64>,
    /// Channels that are closed in a second, by both sides, and opened anew by their wallets, in a
    /// mixed load.
    #[arg(long, default_value_t = 20.0)]
    pub churn: f64,
    /// Wallets that pay a stream each, to the one after them [default: all of them in a mixed load
    /// and in one of streams, at most 1,000; no others have any].
    #[arg(long)]
    pub streams: Option<usize>,
    /// Steps that are redeemed at once [default: 100; in a mixed load 10].
    #[arg(long)]
    pub steps_per_redemption: Option<u32>,
    /// Steps of a stream's lock [default: 2048; in a mixed load 256].
    #[arg(long)]
    pub steps_per_lock: Option<u32>,
    /// Redemptions that fall due in a second over all streams [default: one for each stream in a mixed
    /// load; without, a stream is redeemed again and again].
    #[arg(long)]
    pub redemptions: Option<f64>,
    /// Redemptions of a stream of which its payer was not told yet, at most [default: those of 1,600
    /// steps, at most 128].
    #[arg(long)]
    pub ahead: Option<u32>,
    /// The hub's threads that check signatures; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    pub verify_workers: usize,
    /// The hub's threads that keep channels.
    #[arg(long, default_value_t = 1)]
    pub shards: u16,
    /// Threads that the wallets live on. The payees of a wallet are the others of its thread
    /// [default: one for each core, as far as there are connections and wallets].
    #[arg(long)]
    pub generator_threads: Option<usize>,
    /// What each wallet puts into its channel; the hub puts in as much.
    #[arg(long, default_value = "1000000")]
    pub deposit: Amount,
    /// Channels besides, whose wallets never sign in. They show what an idle channel costs.
    #[arg(long, default_value_t = 0)]
    pub idle_channels: usize,
    /// Hold the hub to a fifth of a core, and offer it ten times what it carries there for
    /// `--seconds`. A bound that is broken is exit code 1.
    #[arg(long, conflicts_with = "rate")]
    pub overload: bool,
    /// Run the ledger in a process of its own, and not in the hub's.
    #[arg(long)]
    pub separate_ledger: bool,
    /// Where the hub keeps its data, on a real disk [default: a directory beside this program,
    /// which goes again].
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// The `hub` program [default: the one beside this program].
    #[arg(long)]
    pub hub: Option<PathBuf>,
    /// Have each fdatasync of the hub's journal take so many milliseconds more: a slow disk, by the
    /// program `slow-hub` beside this one. The embedded ledger's own journal is as fast as it is.
    #[arg(long, value_name = "MS")]
    pub fsync_delay_ms: Option<u64>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub json: bool,
    /// Write a report with latency and throughput over time into this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl Options {
    /// Payments under one signature.
    pub fn per_signature(&self) -> usize {
        self.per_signature.unwrap_or(if self.profile == Profile::Batch { 16 } else { 1 })
    }

    /// Threads that the wallets live on. One alone would have less of the machine than it needs for
    /// all the wallets that a hub of several threads carries.
    pub fn generator_threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        let room = self.connections.min(self.wallets / 2);
        self.generator_threads.unwrap_or_else(|| cores().min(room).max(1))
    }

    /// Channels closed and opened a second, if any.
    pub fn churn(&self) -> Option<f64> {
        (self.profile == Profile::Mixed && self.churn > 0.0).then_some(self.churn)
    }

    /// How all streams together go, if there are any.
    pub fn streams(&self) -> StreamPace {
        let mixed = self.profile == Profile::Mixed;
        let any = mixed || self.profile == Profile::Stream;
        let streams = if any { self.wallets.min(1_000) } else { 0 };
        let each = self.steps_per_redemption.unwrap_or(if mixed { 10 } else { 100 });
        StreamPace {
            streams: self.streams.filter(|_| any).unwrap_or(streams),
            steps_per_redemption: each,
            steps_per_lock: self.steps_per_lock.unwrap_or(if mixed { 256 } else { 2_048 }),
            ahead: self.ahead.unwrap_or((1_600 / each.max(1)).clamp(2, 128)),
            open_loop: self.redemptions().is_some(),
        }
    }

    /// Redemptions that fall due in a second, if that is said.
    pub fn redemptions(&self) -> Option<f64> {
        let mixed = self.profile == Profile::Mixed;
        let streams = self.streams.unwrap_or(self.wallets.min(1_000));
        self.redemptions.or(mixed.then_some(streams as f64)).filter(|rate| *rate > 0.0)
    }

    /// What the hub puts into a channel at most. In a mixed load that is less than a wallet has: some
    /// payments are to fail because it is not enough.
    pub fn inbound(&self) -> Amount {
        let part = if self.profile == Profile::Mixed { 4 } else { 1 };
        Amount(self.deposit.0 / part)
    }

    /// Refuses what can't be run.
    ///
    /// # Errors
    /// The sentence says what to change.
    pub fn check(&self) -> Result<()> {
        let threads = self.generator_threads();
        if threads == 0 || self.connections < threads || self.wallets < threads.saturating_mul(2) {
            bail!("each of the --generator-threads needs a connection and two wallets");
        }
        if self.overload && matches!(self.profile, Profile::Mixed | Profile::Stream) {
            bail!("--overload goes with --profile spread or batch");
        }
        self.check_streams()?;
        if self.connections > self.wallets {
            bail!("a connection without a wallet is none: at most {} of them", self.wallets);
        }
        let pending = self.per_signature().saturating_mul(self.rounds);
        if pending == 0 || pending > LOCKS_MAX {
            bail!(
                "--per-signature times --rounds must be 1 to {LOCKS_MAX}, the locks of a channel"
            );
        }
        if self.profile == Profile::Mixed && self.per_signature.is_some() {
            bail!("--profile mixed makes single payments and batches of 16: no --per-signature");
        }
        if self.profile == Profile::Stream && self.rate.is_some() {
            bail!("--profile stream makes no payments: --redemptions in place of --rate");
        }
        self.check_numbers()
    }

    /// What is no number compares with nothing, and what is endless never ends.
    fn check_numbers(&self) -> Result<()> {
        let given = [
            ("--seconds", Some(self.seconds), 1.0..=SECONDS_MAX),
            ("--warm-up", Some(self.warm_up), 0.0..=SECONDS_MAX),
            ("--rate", self.rate, RATE_MIN..=RATE_MAX),
            ("--redemptions", self.redemptions, 0.0..=RATE_MAX),
            ("--churn", Some(self.churn), 0.0..=RATE_MAX),
        ];
        for (name, value, range) in given {
            if value.is_some_and(|value| !range.contains(&value)) {
                bail!("{name} must be from {} to {}", range.start(), range.end());
            }
        }
        Ok(())
    }

    fn check_streams(&self) -> Result<()> {
        let StreamPace { streams, steps_per_redemption, steps_per_lock, ahead, .. } =
            self.streams();
        if streams > self.wallets {
            bail!("a wallet pays one stream: at most {} of them", self.wallets);
        }
        if !(2..=STEPS_MAX).contains(&steps_per_lock) {
            bail!("--steps-per-lock must be 2 to {STEPS_MAX}");
        }
        let most = HASHES_PER_MESSAGE;
        let redeems = (1..=most).contains(&steps_per_redemption);
        if !redeems || ahead == 0 || ahead.saturating_mul(steps_per_redemption) > most {
            bail!("--steps-per-redemption times --ahead must be 1 to {most}, what the hub walks");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_end_no_run_are_refused() {
        let cases = [
            ("--rate=1000", true),
            ("--rate=0", false),
            ("--rate=-1", false),
            ("--rate=NaN", false),
            ("--rate=inf", false),
            ("--seconds=0.5", false),
            ("--seconds=NaN", false),
            ("--seconds=1e30", false),
            ("--warm-up=0", true),
            ("--warm-up=inf", false),
            ("--churn=0", true),
            ("--churn=NaN", false),
            ("--churn=inf", false),
            ("--redemptions=0", true),
            ("--redemptions=inf", false),
        ];
        for (flag, fine) in cases {
            let options = Options::try_parse_from(["load", "--profile=mixed", flag]).unwrap();
            let said = options.check().err().map(|error| error.to_string());
            let name = flag.split('=').next().unwrap();
            assert_eq!(said.is_none(), fine, "{flag}: {said:?}");
            assert!(said.is_none_or(|said| said.starts_with(name)), "{flag}");
        }
    }
}
