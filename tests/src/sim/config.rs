//! The hub of the world, as its operator would set it up.

use hub::shard::{InboundPolicy, Limits, ShardConfig, Slice};
use settlement::params::{Genesis, Policy};
use settlement::types::{Amount, PublicKey};

use super::wallet_node::FEES;

pub(super) fn shard(genesis: &Genesis, policy: Policy, hub: PublicKey) -> ShardConfig {
    ShardConfig {
        hub,
        genesis: genesis.clone(),
        policy,
        fees: FEES,
        inbound: InboundPolicy { ppm: 1_000_000, max: Amount(1 << 40), low_water_ppm: 250_000 },
        limits: Limits::default(),
        slice: Slice::ALL,
    }
}
