//! The numbers that a ledger is born with and that each side of a channel keeps to, and the
//! inequalities that make them safe together.

use serde::{Deserialize, Serialize};

use crate::bugs::{Bug, planted};
use crate::crypto::{Tag, digest};
use crate::lock::STEPS_MAX;
use crate::types::{Amount, AssetId, Height, LedgerId, PublicKey};

/// An asset of the ledger. Its id is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Its short name, such as `EUR`.
    pub code: String,
    /// Decimals that people write, 0 to 9.
    pub scale: u8,
}

/// What an account holds from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    /// Whose.
    pub account: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
}

/// What a transaction costs, in base units of one asset; the ledger's own account gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// Which asset.
    pub asset: AssetId,
    /// For any transaction.
    pub flat: Amount,
    /// For each begun kilobyte (1,024 bytes) of it.
    pub per_kilobyte: Amount,
    /// For each begun 1,000 chain hashes that its claims may cost.
    pub per_kilohash: Amount,
}

/// More bytes than a transaction has that brings one claim: envelope, proof, lock and secret.
const CLAIM_BYTES: usize = 1_024;

/// More than a transaction has that answers a close: envelope, proof, and eight locks with claims.
const ANSWER_BYTES: usize = 2_048;

impl Fees {
    /// Whether everything is free. Then transactions on channels need no envelope either.
    pub fn is_free(&self) -> bool {
        [self.flat, self.per_kilobyte, self.per_kilohash] == [Amount::ZERO; 3]
    }

    /// What a transaction of so many bytes and hashes costs.
    pub fn of(&self, bytes: usize, hashes: u64) -> Amount {
        let kilobytes = u64::try_from(bytes.div_ceil(1_024)).unwrap_or(u64::MAX);
        let bytes = self.per_kilobyte.0.saturating_mul(kilobytes);
        let hashes = self.per_kilohash.0.saturating_mul(hashes.div_ceil(1_000));
        Amount(self.flat.0.saturating_add(bytes).saturating_add(hashes))
    }

    /// What a claim of all steps of a lock may cost at most: a lock worth less is not worth
    /// claiming.
    pub fn of_claim(&self) -> Amount {
        self.of(CLAIM_BYTES, u64::from(STEPS_MAX))
    }

    /// What bringing a close, or the answer to one, costs: what a side has to have on its account for
    /// each of its channels, or it can't defend what is in there.
    pub fn of_answer(&self) -> Amount {
        self.of(ANSWER_BYTES, 1_000)
    }
}

/// Everything that a ledger starts from. Its digest is the ledger's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Any name; two ledgers of the same name and key are the same ledger.
    pub name: String,
    /// Whether there is a faucet, and short challenge periods are allowed. Never for real money.
    pub development: bool,
    /// Signs every block.
    pub ledger_key: PublicKey,
    /// Randomness or a date, so that two ledgers of one operator differ.
    pub salt: u64,
    /// By id.
    pub assets: Vec<Asset>,
    /// Who holds what at the start.
    pub allocations: Vec<Allocation>,
    /// Milliseconds between blocks, as the producer aims for.
    pub block_interval_ms: u64,
    /// Milliseconds that lie between the times of two blocks at least.
    pub least_interval_ms: u64,
    /// The shortest challenge period that a channel may have, in blocks.
    pub challenge_blocks_min: u32,
    /// The longest.
    pub challenge_blocks_max: u32,
    /// The most bytes of transactions in a block.
    pub block_bytes: u32,
    /// The most chain hashes that a block's claims may cost.
    pub block_hashes: u32,
    /// What transactions cost.
    #[serde(default)]
    pub fees: Fees,
}

impl Genesis {
    /// A ledger with the default numbers and one asset, `EUR` in cents.
    pub fn standard(name: &str, ledger_key: PublicKey, salt: u64) -> Genesis {
        Genesis {
            name: name.to_owned(),
            development: false,
            ledger_key,
            salt,
            assets: vec![Asset { code: "EUR".to_owned(), scale: 2 }],
            allocations: Vec::new(),
            block_interval_ms: 1_000,
            least_interval_ms: 500,
            challenge_blocks_min: 140,
            challenge_blocks_max: 1_209_600,
            block_bytes: 4 << 20,
            block_hashes: 8_000_000,
            fees: Fees::default(),
        }
    }

    /// A ledger for development: a faucet, fast blocks, short challenge periods.
    pub fn development(name: &str, ledger_key: PublicKey, salt: u64) -> Genesis {
        Genesis {
            development: true,
            block_interval_ms: 200,
            least_interval_ms: 150,
            challenge_blocks_min: 40,
            challenge_blocks_max: 10_000,
            ..Genesis::standard(name, ledger_key, salt)
        }
    }

    /// `H("ledger", genesis)`.
    pub fn ledger_id(&self) -> LedgerId {
        LedgerId(digest(Tag::Ledger, self).0)
    }

    /// Checks the genesis against itself.
    ///
    /// # Errors
    /// The sentence names the number that is out of range.
    pub fn check(&self) -> Result<(), BadParameters> {
        let sums_fit = (0u32..).zip(&self.assets).all(|(id, _)| {
            let of_asset = self.allocations.iter().filter(|a| a.asset == AssetId(id));
            of_asset.map(|a| a.amount.wide()).sum::<i128>() <= i128::from(u64::MAX)
        });
        let known = |a: &Allocation| (a.asset.0 as usize) < self.assets.len();
        let rules = [
            (!self.assets.is_empty(), "a ledger has at least one asset"),
            (self.assets.iter().all(|a| a.scale <= 9), "an asset's scale is 0 to 9"),
            (
                self.assets.iter().all(|a| (1..=16).contains(&a.code.len())),
                "an asset's code has 1 to 16 letters",
            ),
            (self.allocations.iter().all(known), "an allocation names an asset of the ledger"),
            (sums_fit, "the allocations of an asset add up to at most 2^64 - 1"),
            (self.least_interval_ms >= 1, "least_interval_ms >= 1"),
            (
                self.block_interval_ms >= self.least_interval_ms,
                "block_interval_ms >= least_interval_ms",
            ),
            (
                self.challenge_blocks_min <= self.challenge_blocks_max,
                "challenge_blocks_min <= challenge_blocks_max",
            ),
            (
                self.development || self.challenge_blocks_min >= 140,
                "challenge_blocks_min >= 140 outside development",
            ),
            (self.block_bytes >= 256 << 10, "block_bytes >= 262144"),
            // Half of them is for claims on streams, and the dearest submission costs 2^21.
            (self.block_hashes >= 4 << 20, "block_hashes >= 4194304"),
            (
                (self.fees.asset.0 as usize) < self.assets.len(),
                "fees are in an asset of the ledger",
            ),
            (!self.development || self.fees.is_free(), "a development ledger takes no fees"),
        ];
        first_broken(&rules)
    }
}

/// For how many blocks what both sides sign for the ledger is valid, where that is enough.
const AGREED_BLOCKS: u64 = 100;

/// The margins that one side of a channel keeps, in blocks unless the name says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// A view of the ledger is fresh while its newest block is at most this old, in milliseconds.
    pub stale_view_ms: u64,
    /// The worst time that a transaction takes into a block.
    pub inclusion_delay: u64,
    /// Slack in every margin, at least 5.
    pub margin: u64,
    /// A claim goes to the ledger at the latest this long before its lock's expiry.
    pub claim_margin: u64,
    /// What a payee asks to be left, beyond `claim_margin`, before it reveals.
    pub settle_grace: u64,
    /// How much lower the expiry of a lock is that a hub passes on.
    pub expiry_delta: u64,
    /// The challenge period of new channels.
    pub challenge_blocks: u32,
    /// The life of a payment's lock, as a payer sets it.
    pub lock_life: u64,
    /// The longest life of a lock of one step that is taken.
    pub lock_life_max: u64,
    /// The longest life of a lock of many steps that is taken.
    pub stream_life_max: u64,
    /// The least that a lock may be worth.
    pub min_lock: Amount,
}

impl Policy {
    /// The defaults, for blocks each second.
    pub fn standard() -> Policy {
        Policy {
            stale_view_ms: 10_000,
            inclusion_delay: 30,
            margin: 5,
            claim_margin: 90,
            settle_grace: 40,
            expiry_delta: 200,
            challenge_blocks: 3_600,
            lock_life: 450,
            lock_life_max: 3_600,
            stream_life_max: 86_400,
            min_lock: Amount(1),
        }
    }

    /// The defaults of development ledgers, for blocks every 200 ms.
    pub fn development() -> Policy {
        Policy {
            stale_view_ms: 3_000,
            inclusion_delay: 5,
            margin: 5,
            claim_margin: 30,
            settle_grace: 40,
            expiry_delta: 80,
            challenge_blocks: 50,
            lock_life: 250,
            lock_life_max: 1_500,
            stream_life_max: 15_000,
            min_lock: Amount(1),
        }
    }

    /// The defaults that go with a genesis.
    pub fn for_genesis(genesis: &Genesis) -> Policy {
        if genesis.development { Policy::development() } else { Policy::standard() }
    }

    /// How many blocks old a fresh view may be: `⌈stale_view / least_interval⌉`.
    pub fn lag(&self, genesis: &Genesis) -> u64 {
        self.stale_view_ms.div_ceil(genesis.least_interval_ms.max(1))
    }

    /// For how many blocks what both sides sign for the ledger is valid at most, and as long as is
    /// asked for: never too short for a block to take it in, and no longer than a side can wait that
    /// may have forgotten it.
    pub fn agreed_blocks(&self, lag: u64) -> u64 {
        lag.saturating_add(self.inclusion_delay.saturating_mul(2)).max(AGREED_BLOCKS)
    }

    /// Checks the margins against the ledger's genesis and each other.
    ///
    /// # Errors
    /// The sentence names the inequality that does not hold.
    pub fn check(&self, genesis: &Genesis) -> Result<(), BadParameters> {
        let lag = self.lag(genesis);
        let sum = |parts: &[u64]| parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
        let delay = self.inclusion_delay;
        let challenge = u64::from(self.challenge_blocks);
        let two_seconds = 2_000u64.div_ceil(genesis.block_interval_ms.max(1));
        let bounds = genesis.challenge_blocks_min..=genesis.challenge_blocks_max;
        let passable = sum(&[self.expiry_delta, self.claim_margin, self.settle_grace]);
        let rules = [
            (self.margin >= 5, "margin >= 5"),
            (
                self.stale_view_ms >= genesis.block_interval_ms.saturating_mul(2),
                "stale_view_ms >= 2 x block_interval_ms",
            ),
            (
                self.claim_margin >= sum(&[lag, delay, self.margin]),
                "claim_margin >= lag + inclusion_delay + margin",
            ),
            (
                self.expiry_delta >= sum(&[lag, delay, delay, self.claim_margin]),
                "expiry_delta >= lag + 2 x inclusion_delay + claim_margin",
            ),
            (
                self.settle_grace >= sum(&[lag, two_seconds]),
                "settle_grace >= lag + 2 seconds of blocks",
            ),
            (
                challenge >= sum(&[lag, delay, delay, delay, delay]),
                "challenge_blocks >= lag + 4 x inclusion_delay",
            ),
            (bounds.contains(&self.challenge_blocks), "challenge_blocks within genesis' bounds"),
            (self.lock_life > passable, "lock_life > expiry_delta + claim_margin + settle_grace"),
            (self.lock_life <= self.lock_life_max, "lock_life <= lock_life_max"),
            (self.lock_life_max <= self.stream_life_max, "lock_life_max <= stream_life_max"),
            (self.min_lock >= Amount(1), "min_lock >= 1"),
            (
                self.min_lock >= genesis.fees.of_claim(),
                "min_lock >= the fee of a claim of all its steps",
            ),
        ];
        first_broken(&rules)
    }
}

/// Parameters that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these parameters are not safe together: it must hold that {0}")]
pub struct BadParameters(pub &'static str);

fn first_broken(rules: &[(bool, &'static str)]) -> Result<(), BadParameters> {
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(BadParameters(rule)),
        None => Ok(()),
    }
}

/// One side's view of the ledger, as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The height of the newest block that has been applied.
    pub height: Height,
    /// Whether that block's time is within `stale_view` of the own clock. Without a fresh view no
    /// lock is added, taken or refunded, and no payee reveals.
    pub fresh: bool,
}

impl View {
    /// The view of whoever has applied the block of this height and time, at `now_ms` of the own
    /// clock. The times may be apart on either side: a clock that was set back, or a block from the
    /// future, proves nothing about what the ledger holds now.
    pub fn at(height: Height, time_ms: u64, now_ms: u64, policy: &Policy) -> View {
        let most = policy.stale_view_ms.saturating_add(u64::from(planted(Bug::StaleLate)));
        let most = most.saturating_sub(u64::from(planted(Bug::StaleEarly)));
        let near = time_ms.abs_diff(now_ms) <= most;
        View { height, fresh: height > Height(0) && near }
    }
}

#[cfg(test)]
mod tests;
