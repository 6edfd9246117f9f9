//! How a hub is configured: flags before `HUB_*` variables before the file before the defaults.
//!
//! A variable is the key in capitals, with two underscores between a table and its key:
//! `HUB_DATA_DIR`, `HUB_FEES__PPM`. A key that nobody knows is an error that names it, wherever it
//! stands.

mod layers;
mod ranges;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use client_sdk::api::FeePolicy;
use client_sdk::ledger_http::HttpLedger;
use client_sdk::trust::Trust;
use serde::{Deserialize, Serialize};
use settlement::ledger::serve::check_address;
use settlement::ledger::store::CHECKPOINT_BLOCKS_DEFAULT;
use settlement::params::{Genesis, Policy};
use settlement::types::Amount;
use tracing_subscriber::EnvFilter;

use crate::shard::{InboundPolicy, Limits};

pub use layers::{Source, load};

/// The longest time from one round of anchors to the next: a day.
const ANCHOR_INTERVAL_MAX_MS: u64 = 86_400_000;

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the hub keeps everything.
    pub data_dir: PathBuf,
    /// Where wallets connect; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where operators look: health and metrics.
    pub admin_listen: SocketAddr,
    /// Listen on an address that others can reach. There is no TLS in the process: put a proxy that
    /// ends TLS in front.
    pub allow_public: bool,
    /// Make a key and a development ledger with a faucet on the first start. Never for real money.
    pub development: bool,
    /// The address of a ledger in a process of its own, such as `http://127.0.0.1:7500`; without,
    /// the hub embeds one.
    pub ledger: Option<String>,
    /// A file with the certificates (PEM) of a private authority to believe beside the public ones,
    /// where that address starts with `https://`.
    pub ledger_ca: Option<PathBuf>,
    /// What wallets are told of where that ledger is, if they reach it under another address.
    pub ledger_public: Option<String>,
    /// Milliseconds from one round of anchors to the next, from one block of the ledger to a day;
    /// without, what goes with the ledger.
    pub anchor_interval_ms: Option<u64>,
    /// Threads that keep channels, 1 to 64. May change from one start to the next.
    pub shards: u16,
    /// Threads that check signatures; 0 is one for each core.
    pub verify_workers: usize,
    /// Ask the system to let each thread finish its turn when another one of the hub wakes up, which
    /// makes a payment cheaper under load.
    pub batch_scheduling: bool,
    /// What is logged, as `tracing` filters write it; `RUST_LOG` wins.
    pub log: String,
    /// What the hub takes for passing payments on.
    pub fees: Fees,
    /// What channels the hub takes, and what it puts into them.
    pub channels: Channels,
    /// Bounds of payments that wait.
    pub payments: Limits,
    /// Bounds of connections.
    pub connections: Connections,
    /// Journal and index.
    pub storage: Storage,
    /// Margins that differ from the defaults that go with the ledger, by name; see
    /// [`settlement::params::Policy`].
    pub policy: toml::Table,
}

/// What the hub takes for passing payments on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fees {
    /// Rises whenever the other numbers change.
    pub id: u64,
    /// Whole units for each payment.
    pub base: u64,
    /// Millionths of the amount, 0 to 1,000,000.
    pub ppm: u32,
}

/// What channels the hub takes, and what it puts into them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Channels {
    /// The least that a wallet puts into a new one that the hub hands on to the ledger.
    pub deposit_min: u64,
    /// What the hub puts in: so many millionths of the wallet's deposit…
    pub inbound_ppm: u32,
    /// …and at most this.
    pub inbound_max: u64,
    /// When less than this many millionths of it are left, the hub fills it up; 0 for never.
    pub low_water_ppm: u32,
}

/// Bounds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Connections {
    /// The most that stand at once with a wallet that has a channel.
    pub most: usize,
    /// The most beside them that are signed in without one. The one that has been here longest
    /// makes room for a new one.
    pub strangers: usize,
    /// How long one may stay whose wallets have no channel, in milliseconds.
    pub stranger_ms: u64,
    /// The most wallets that one signs in.
    pub keys: usize,
    /// Bytes that one may owe its reader before it is closed as too slow.
    pub out_bytes: usize,
    /// How long one may take to sign in, to send the head of a request, or to read 64 KiB of an
    /// answer, in milliseconds.
    pub sign_in_ms: u64,
}

/// Journal and index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Bytes of a segment of the journal.
    pub segment_bytes: u64,
    /// Bytes of archived segments that are kept.
    pub archive_bytes: u64,
    /// Records from one checkpoint of the index to the next.
    pub checkpoint_records: u64,
    /// Blocks from one checkpoint of the embedded ledger's index to the next, at most.
    pub ledger_checkpoint_blocks: u64,
    /// Bytes that the index may cache.
    pub cache_bytes: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: "hub-data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 7400)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 7401)),
            allow_public: false,
            development: false,
            ledger: None,
            ledger_ca: None,
            ledger_public: None,
            anchor_interval_ms: None,
            shards: 1,
            verify_workers: 0,
            batch_scheduling: true,
            log: "info".to_owned(),
            fees: Fees::default(),
            channels: Channels::default(),
            payments: Limits::default(),
            connections: Connections::default(),
            storage: Storage::default(),
            policy: toml::Table::new(),
        }
    }
}

impl Default for Fees {
    /// 1 unit and 0.1 %.
    fn default() -> Fees {
        Fees { id: 1, base: 1, ppm: 1_000 }
    }
}

impl Default for Channels {
    /// As much as the wallet puts in, up to 1,000,000 units.
    fn default() -> Channels {
        Channels {
            deposit_min: 1,
            inbound_ppm: 1_000_000,
            inbound_max: 1_000_000,
            low_water_ppm: 0,
        }
    }
}

impl Default for Connections {
    fn default() -> Connections {
        Connections {
            most: 10_000,
            strangers: 1_000,
            stranger_ms: 600_000,
            keys: 4_096,
            out_bytes: 8 << 20,
            sign_in_ms: 10_000,
        }
    }
}

impl Default for Storage {
    /// Segments of 64 MiB, 4 GiB of archive, a checkpoint every million records, and the ledger's own
    /// default.
    fn default() -> Storage {
        Storage {
            segment_bytes: 64 << 20,
            archive_bytes: 4 << 30,
            checkpoint_records: 1_000_000,
            ledger_checkpoint_blocks: CHECKPOINT_BLOCKS_DEFAULT,
            cache_bytes: 16 << 20,
        }
    }
}

impl Config {
    /// Checks what can be checked without a ledger.
    ///
    /// # Errors
    /// The sentence names the key and says what to do.
    pub fn check(&self) -> Result<()> {
        check_address("listen", self.listen, self.allow_public)?;
        check_address("admin_listen", self.admin_listen, self.allow_public)?;
        self.check_ledger()?;
        self.check_ranges()?;
        self.check_margin_names()?;
        EnvFilter::try_new(&self.log).with_context(|| format!("log = \"{}\"", self.log))?;
        Ok(())
    }

    /// Whose certificates are believed when the ledger is asked.
    ///
    /// # Errors
    /// When the file that is named can't be used.
    pub(crate) fn ledger_trust(&self) -> Result<Trust> {
        let trust = self.ledger_ca.as_deref().map(Trust::with_authority).transpose();
        Ok(trust.context("ledger_ca")?.unwrap_or_default())
    }

    fn check_ledger(&self) -> Result<()> {
        if self.ledger_ca.is_some() && self.ledger.is_none() {
            bail!("ledger_ca says whose certificates to believe at `ledger`: set both");
        }
        for (key, url) in [("ledger", &self.ledger), ("ledger_public", &self.ledger_public)] {
            if let Some(url) = url {
                HttpLedger::trusting(url, &Trust::default()).with_context(|| key.to_owned())?;
            }
        }
        if self.ledger.is_none() && self.ledger_public.is_some() {
            bail!("ledger_public says where wallets find the ledger that `ledger` names: set both");
        }
        Ok(())
    }

    /// Where wallets find the ledger; none if the hub embeds it.
    pub fn ledger_for_wallets(&self) -> Option<String> {
        self.ledger_public.clone().or_else(|| self.ledger.clone())
    }

    /// The margins: the defaults that go with the ledger, with what is set here in their place.
    ///
    /// # Errors
    /// When a name is unknown, a value is none, or an inequality between them does not hold.
    pub fn policy(&self, genesis: &Genesis) -> Result<Policy> {
        let policy = self.policy_over(Policy::for_genesis(genesis))?;
        policy.check(genesis).context("in [policy]")?;
        Ok(policy)
    }

    /// What is set here in the place of defaults, whether it is safe or not.
    fn policy_over(&self, defaults: Policy) -> Result<Policy> {
        let defaults = toml::Table::try_from(PolicyTable::from(defaults));
        let mut table = defaults.context("the default margins can't be written as TOML")?;
        for (key, value) in &self.policy {
            if !table.contains_key(key) {
                let known: Vec<&str> = table.keys().map(String::as_str).collect();
                bail!("policy.{key} is no margin; there are {}", known.join(", "));
            }
            table.insert(key.clone(), value.clone());
        }
        let policy: PolicyTable = table.try_into().context("in [policy]")?;
        Ok(Policy::from(policy))
    }

    /// Every margin has a known name and is a number. Whether they are safe together depends on the
    /// ledger: [`Config::policy`].
    fn check_margin_names(&self) -> Result<()> {
        self.policy_over(Policy::standard()).map(|_| ())
    }

    /// How often what has moved is anchored: 10 s, or 2 s on a development ledger, unless it is set.
    ///
    /// # Errors
    /// When it is below the ledger's block interval or above a day.
    pub fn anchor_interval(&self, genesis: &Genesis) -> Result<Duration> {
        let default = if genesis.development { 2_000 } else { 10_000 };
        let interval = self.anchor_interval_ms.unwrap_or(default.max(genesis.block_interval_ms));
        let least = genesis.block_interval_ms;
        if !(least..=ANCHOR_INTERVAL_MAX_MS).contains(&interval) {
            bail!(
                "anchor_interval_ms must be {least} (one block of this ledger) to \
                 {ANCHOR_INTERVAL_MAX_MS} (a day), and is {interval}"
            );
        }
        Ok(Duration::from_millis(interval))
    }

    /// What the hub takes for passing payments on.
    pub fn fee_policy(&self) -> FeePolicy {
        FeePolicy { id: self.fees.id, base: Amount(self.fees.base), ppm: self.fees.ppm }
    }

    /// What the hub puts into channels.
    pub fn inbound(&self) -> InboundPolicy {
        InboundPolicy {
            ppm: self.channels.inbound_ppm,
            max: Amount(self.channels.inbound_max),
            low_water_ppm: self.channels.low_water_ppm,
        }
    }

    /// Threads that check signatures.
    pub fn workers(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        if self.verify_workers == 0 { cores() } else { self.verify_workers }
    }
}

/// A [`Policy`] as people write it: amounts as numbers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    stale_view_ms: u64,
    inclusion_delay: u64,
    margin: u64,
    claim_margin: u64,
    settle_grace: u64,
    expiry_delta: u64,
    challenge_blocks: u32,
    lock_life: u64,
    lock_life_max: u64,
    stream_life_max: u64,
    min_lock: u64,
}

macro_rules! same_fields {
    ($from:ident => $to:ident, $min_lock:expr, $($field:ident)*) => {
        impl From<$from> for $to {
            fn from(it: $from) -> $to {
                let convert: fn(&$from) -> _ = $min_lock;
                $to { min_lock: convert(&it), $($field: it.$field),* }
            }
        }
    };
}

same_fields!(Policy => PolicyTable, |p| p.min_lock.0,
    stale_view_ms inclusion_delay margin claim_margin settle_grace expiry_delta challenge_blocks
    lock_life lock_life_max stream_life_max);
same_fields!(PolicyTable => Policy, |p| Amount(p.min_lock),
    stale_view_ms inclusion_delay margin claim_margin settle_grace expiry_delta challenge_blocks
    lock_life lock_life_max stream_life_max);

#[cfg(test)]
mod tests;
