//! What each number may be. Bounds are wide: they keep out what would not start, would stand still,
//! or would ask for more than any machine has.

use std::ops::RangeInclusive;

use anyhow::{Result, bail};
use settlement::ledger::store::CHECKPOINT_BLOCKS;

use super::Config;

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY_MS: u64 = 86_400_000;
/// Settings are signed numbers in TOML.
const ANY: RangeInclusive<u64> = 0..=i64::MAX as u64;

impl Config {
    /// # Errors
    /// The sentence names the setting and its range.
    pub(super) fn check_ranges(&self) -> Result<()> {
        for (key, value, range) in self.numbers() {
            if !range.contains(&value) {
                bail!("{key} must be {} to {}, not {value}", range.start(), range.end());
            }
        }
        Ok(())
    }

    fn numbers(&self) -> [(&'static str, u64, RangeInclusive<u64>); 25] {
        let Config { fees, channels, payments, connections, storage, .. } = self;
        [
            ("shards", self.shards.into(), 1..=64),
            ("verify_workers", self.verify_workers as u64, 0..=256),
            ("fees.id", fees.id, ANY),
            ("fees.base", fees.base, ANY),
            ("fees.ppm", fees.ppm.into(), 0..=1_000_000),
            ("channels.deposit_min", channels.deposit_min, 1..=*ANY.end()),
            ("channels.inbound_ppm", channels.inbound_ppm.into(), 0..=1_000_000_000),
            ("channels.inbound_max", channels.inbound_max, ANY),
            ("channels.low_water_ppm", channels.low_water_ppm.into(), 0..=1_000_000),
            ("payments.queue_max", payments.queue_max as u64, 1..=65_536),
            ("payments.queue_wait_ms", payments.queue_wait_ms, 1..=3_600_000),
            ("payments.idle_ms", payments.idle_ms, 1..=60_000),
            (
                "payments.hashes_per_second",
                payments.hashes_per_second.into(),
                4_096..=u32::MAX.into(),
            ),
            ("connections.most", connections.most as u64, 1..=1_000_000),
            ("connections.strangers", connections.strangers as u64, 1..=1_000_000),
            ("connections.stranger_ms", connections.stranger_ms, 100..=DAY_MS),
            ("connections.keys", connections.keys as u64, 1..=65_536),
            // One frame may have 256 KiB.
            ("connections.out_bytes", connections.out_bytes as u64, MIB..=1024 * MIB),
            ("connections.sign_in_ms", connections.sign_in_ms, 100..=600_000),
            ("storage.segment_bytes", storage.segment_bytes, MIB..=4096 * MIB),
            ("storage.archive_bytes", storage.archive_bytes, ANY),
            ("storage.checkpoint_records", storage.checkpoint_records, 1_000..=1_000_000_000),
            (
                "storage.ledger_checkpoint_blocks",
                storage.ledger_checkpoint_blocks,
                CHECKPOINT_BLOCKS,
            ),
            ("storage.cache_bytes", storage.cache_bytes, MIB..=TIB),
            ("anchor_interval_ms", self.anchor_interval_ms.unwrap_or(1), 1..=DAY_MS),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number that can be set has a range.
    #[test]
    fn no_setting_is_without_a_range() {
        let all = toml::Table::try_from(Config::default()).unwrap();
        let mut keys: Vec<String> = Vec::new();
        for (outer, value) in &all {
            match value {
                toml::Value::Integer(_) => keys.push(outer.clone()),
                toml::Value::Table(table) => {
                    keys.extend(table.keys().map(|inner| format!("{outer}.{inner}")));
                }
                _ => {}
            }
        }
        let config = Config::default();
        let mut ranged: Vec<&str> = config.numbers().iter().map(|(key, ..)| *key).collect();
        // Without a default.
        ranged.retain(|key| *key != "anchor_interval_ms");
        keys.sort();
        ranged.sort();
        assert_eq!(keys, ranged);
    }
}
