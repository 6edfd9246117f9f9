//! Where what is random in a world comes from: a seed, or bytes that say what happens.

use std::convert::Infallible;

use rand::{Rng, RngExt, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// Decides what happens.
pub(super) enum Dice {
    /// By a seed.
    Seeded(ChaCha8Rng),
    /// By bytes, the first first. After the last all is 0.
    Given {
        /// All of them.
        bytes: Vec<u8>,
        /// How many were used.
        at: usize,
        /// What is random for those who take part, too: secrets and salts. Nobody chooses these, and
        /// a world in which two are alike says nothing.
        fresh: ChaCha8Rng,
    },
}

impl Dice {
    pub(super) fn given(bytes: &[u8]) -> Dice {
        Dice::Given { bytes: bytes.to_vec(), at: 0, fresh: ChaCha8Rng::seed_from_u64(0) }
    }

    /// Whether no byte is left that says what happens.
    pub(super) fn are_spent(&self) -> bool {
        matches!(self, Dice::Given { bytes, at, .. } if *at >= bytes.len())
    }

    /// Bytes that were never drawn before.
    pub(super) fn fresh<const N: usize>(&mut self) -> [u8; N] {
        match self {
            Dice::Seeded(rng) => rng.random(),
            Dice::Given { fresh, .. } => fresh.random(),
        }
    }

    /// So many bytes as the uppermost of a number: a range is drawn from these.
    fn upper(&mut self, count: u32) -> u64 {
        let Dice::Given { bytes, at, .. } = self else { return 0 };
        (0..count).fold(0, |number, place| {
            let byte = bytes.get(*at).copied().unwrap_or(0);
            *at += 1;
            number | u64::from(byte) << (56 - 8 * place)
        })
    }
}

impl TryRng for Dice {
    type Error = Infallible;

    /// 65,536 numbers: what one is drawn for has a thousand ways to go on.
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        match self {
            Dice::Seeded(rng) => Ok(rng.next_u32()),
            Dice::Given { .. } => Ok((self.upper(2) >> 32) as u32),
        }
    }

    /// 256 numbers: these are for chances, and for how much.
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match self {
            Dice::Seeded(rng) => Ok(rng.next_u64()),
            Dice::Given { .. } => Ok(self.upper(1)),
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        match self {
            Dice::Seeded(rng) | Dice::Given { fresh: rng, .. } => rng.fill_bytes(bytes),
        }
        Ok(())
    }
}
