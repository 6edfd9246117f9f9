//! The hub of the world, as its operator would set it up.

use hub::shard::ShardConfig;
use settlement::params::{Genesis, Policy};
use settlement::types::PublicKey;

use super::wallet_node::FEES;

pub(super) fn shard(genesis: &Genesis, policy: Policy, hub: PublicKey) -> ShardConfig {
    ShardConfig::new(hub, genesis.clone(), policy, FEES)
}
