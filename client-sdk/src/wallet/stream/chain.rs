//! A payer's chain: any of its values at the cost of a few hashes.
//!
//! Value `n` is what `n` steps turn into the anchor. They are handed out from the anchor's end, so
//! each would cost a walk from the seed. Kept are every 256th value, and the 256 between two of
//! those where the chain was read last: 16 KiB at most for the longest lock, and one hash for each
//! step that is handed out in order.

use settlement::crypto::chain_step;
use settlement::types::{Anchor, Secret};

/// Values between two that are kept.
const STRIDE: u32 = 256;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    steps: u32,
    anchor: Anchor,
    /// Value `steps − n × STRIDE` at `n`: the seed first.
    kept: Vec<Secret>,
    /// Values from the kept one with this number on, towards the anchor.
    near: (u32, Vec<Secret>),
}

impl Chain {
    /// The chain of so many steps that begins with `seed`, which is fresh randomness and never used
    /// for another. Costs `steps` hashes.
    pub fn new(seed: Secret, steps: u32) -> Chain {
        let mut kept = Vec::with_capacity((steps / STRIDE) as usize + 1);
        let mut value = seed.0;
        for at in 0..steps {
            if at.is_multiple_of(STRIDE) {
                kept.push(Secret(value));
            }
            value = chain_step(&value);
        }
        Chain { steps, anchor: Anchor(value), kept, near: (u32::MAX, Vec::new()) }
    }

    /// Where it ends.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// How many steps it has.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Where it begins.
    pub fn seed(&self) -> Secret {
        self.kept.first().copied().unwrap_or(Secret(self.anchor.0))
    }

    /// What so many steps turn into the anchor; `None` for 0 and beyond the chain.
    pub fn secret(&mut self, steps: u32) -> Option<Secret> {
        let from_seed = self.steps.checked_sub(steps).filter(|_| steps > 0)?;
        let (number, within) = (from_seed / STRIDE, from_seed % STRIDE);
        if self.near.0 != number {
            let first = self.kept.get(number as usize)?;
            let next = |value: &Secret| Some(Secret(chain_step(&value.0)));
            let values = std::iter::successors(Some(*first), next);
            self.near = (number, values.take(STRIDE as usize).collect());
        }
        self.near.1.get(within as usize).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_so_many_steps_before_the_anchor() {
        for steps in [1, 2, 255, 256, 257, 700] {
            let mut chain = Chain::new(Secret([9; 32]), steps);
            for at in (1..=steps).chain([steps / 2 + 1, 1]) {
                let secret = chain.secret(at).unwrap();
                let end = (0..at).fold(secret.0, |value, _| chain_step(&value));
                assert_eq!(end, chain.anchor().0, "{at} of {steps}");
            }
            assert_eq!(chain.secret(steps), Some(chain.seed()));
            assert_eq!((chain.secret(0), chain.secret(steps + 1)), (None, None));
        }
    }
}
