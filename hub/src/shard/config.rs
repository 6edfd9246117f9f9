//! What a shard is told when it starts.

use client_sdk::api::FeePolicy;
use serde::{Deserialize, Serialize};
use settlement::channel::UNACKNOWLEDGED_MAX;
use settlement::params::{Genesis, Policy};
use settlement::proof::OpenTerms;
use settlement::types::{Amount, ChannelId, LedgerId, PublicKey};

/// What a shard is told when it starts.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The hub's key.
    pub hub: PublicKey,
    /// The ledger's genesis.
    pub genesis: Genesis,
    /// The margins that the hub keeps; [`Policy::check`] holds.
    pub policy: Policy,
    /// What the hub takes.
    pub fees: FeePolicy,
    /// What it puts into channels.
    pub inbound: InboundPolicy,
    /// Bounds of queues and waits.
    pub limits: Limits,
    /// Which channels are this shard's.
    pub slice: Slice,
}

impl ShardConfig {
    /// Whether the hub serves a channel under these terms: of this ledger and hub, an asset that
    /// exists, and a challenge period that is long enough to answer in (`lag + 4 ×
    /// inclusion_delay`) and binds the hub's money no longer than its own policy says. `ledger` is
    /// the id of the genesis, which costs a hash of all its allocations to find out.
    pub fn serves(&self, ledger: &LedgerId, terms: &OpenTerms) -> bool {
        let least = self.policy.inclusion_delay.saturating_mul(4);
        let least = least.saturating_add(self.policy.lag(&self.genesis));
        let most = u64::from(self.policy.challenge_blocks);
        terms.hub == self.hub
            && terms.wallet != self.hub
            && terms.ledger == *ledger
            && usize::try_from(terms.asset.0).is_ok_and(|id| id < self.genesis.assets.len())
            && (least..=most).contains(&u64::from(terms.challenge_blocks))
    }
}

/// What the hub puts into channels of its own money, so that their wallets can be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InboundPolicy {
    /// Millionths of what the wallet has deposited.
    pub ppm: u32,
    /// At most this, in base units.
    pub max: Amount,
    /// When less than this many millionths of it are left to spend, the hub fills it up again; 0 for
    /// never.
    pub low_water_ppm: u32,
}

impl InboundPolicy {
    /// What the hub wants to have in a channel into which the wallet put `deposit`.
    pub fn target(&self, deposit: Amount) -> Amount {
        millionths(deposit, self.ppm).min(self.max)
    }

    /// Below this it fills up to `target`.
    pub fn low_water(&self, target: Amount) -> Amount {
        millionths(target, self.low_water_ppm).min(target)
    }
}

fn millionths(amount: Amount, ppm: u32) -> Amount {
    let product = amount.wide().saturating_mul(i128::from(ppm));
    Amount::from_wide(product / 1_000_000).unwrap_or(Amount(u64::MAX))
}

/// Bounds of a shard's queues and waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The most payments that wait for one payee's channel to take them.
    pub queue_max: usize,
    /// How long one waits at most, in milliseconds, before it is failed.
    pub queue_wait_ms: u64,
    /// How long a settlement waits for an update that goes anyway, in milliseconds.
    pub idle_ms: u64,
    /// How many hashes one wallet's messages may cost in a second, in all its channels together, before
    /// more of them are refused.
    pub hashes_per_second: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            queue_max: UNACKNOWLEDGED_MAX,
            queue_wait_ms: 10_000,
            idle_ms: 1_000,
            hashes_per_second: 1 << 18,
        }
    }
}

/// Which channels a shard holds: those whose id falls on `index` of `count`. The rows and records of
/// a channel do not depend on it, so a hub may start with another count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slice {
    /// From 0.
    pub index: u16,
    /// At least 1.
    pub count: u16,
}

impl Slice {
    /// Every channel.
    pub const ALL: Slice = Slice { index: 0, count: 1 };

    /// The index of the shard that holds this channel among `count`.
    pub fn index_of(channel: &ChannelId, count: u16) -> u16 {
        let head = channel.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        u16::try_from(head % u64::from(count.max(1))).unwrap_or(0)
    }

    /// Whether this shard holds that channel.
    pub fn holds(self, channel: &ChannelId) -> bool {
        Slice::index_of(channel, self.count) == self.index
    }
}
