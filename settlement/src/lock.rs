//! Locks: money that goes to whoever shows a value of a SHA-256 chain.
//!
//! A lock is worth `unit × k` to whoever shows the 32 bytes that `k` applications of SHA-256 turn
//! into `anchor`. One step is the ordinary hash lock; many steps are a stream of payments.

mod by_lock;

use serde::{Deserialize, Serialize};

pub use by_lock::ByLock;

use crate::bugs::{Bug, nudged};
use crate::crypto::{Tag, chain_step, digest};
use crate::types::{Amount, Anchor, Hash, Height, Secret};

/// The most steps of one lock: 2^16.
pub const STEPS_MAX: u32 = 1 << 16;
/// The most pending locks of one direction.
pub const LOCKS_MAX: usize = 256;
/// The most steps of all pending locks of one direction together: 2^20.
pub const LOCK_STEPS_MAX: u64 = 1 << 20;

/// A conditional payment within a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Counts up per direction and is never used twice, not after a rejection either.
    pub id: u64,
    /// Where the chain ends.
    pub anchor: Anchor,
    /// What one step is worth.
    pub unit: Amount,
    /// How many steps are left, 1 to [`STEPS_MAX`].
    pub steps: u32,
    /// Claims count in blocks below this height.
    pub expiry: Height,
}

/// Whether a secret is more likely deeper than the one that is known, or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// As a payee's that redeems on.
    Deeper,
    /// As a sender's that settles what it has heard of, while more is known here already.
    Earlier,
}

/// How deep a secret is in a lock, and what it cost to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Steps from the secret to the anchor, at least 1; `None` when it does not fit.
    pub steps: Option<u32>,
    /// Hashes made.
    pub hashes: u32,
}

/// Counts the hashes that a measurement makes.
struct Walk {
    hashes: u32,
}

impl Walk {
    /// Hashes on from `value`, at most `most` times, until one is met that `found` says: how many
    /// steps it took, and the value.
    fn until(
        &mut self,
        mut value: [u8; 32],
        most: u32,
        found: impl Fn(&[u8; 32]) -> bool,
    ) -> Option<(u32, [u8; 32])> {
        for steps in 1..=most {
            value = chain_step(&value);
            if found(&value) {
                self.hashes = self.hashes.saturating_add(steps);
                return Some((steps, value));
            }
        }
        self.hashes = self.hashes.saturating_add(most);
        None
    }
}

/// What one lock settles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// How many steps the secret is worth, at least 1.
    pub steps: u32,
    /// `unit × steps`.
    pub amount: Amount,
    /// What is left of the lock, under the same id; `None` when all steps are redeemed.
    pub rest: Option<Lock>,
}

impl Lock {
    /// `unit × steps`, or `None` when it overflows.
    pub fn value(&self) -> Option<Amount> {
        self.unit.checked_mul(self.steps)
    }

    /// Whether a claim in a block of this height comes too late.
    pub fn expired_at(&self, height: Height) -> bool {
        height >= nudged(self.expiry, Bug::SideExpiresEarly, Bug::SideExpiresLate)
    }

    /// Whether the steps are in range, the unit is not zero and the value does not overflow.
    pub fn well_formed(&self) -> bool {
        let value = self.value().is_some_and(|value| value > Amount::ZERO);
        (1..=STEPS_MAX).contains(&self.steps) && value
    }

    /// What `secret` redeems; `None` when it does not fit. Hashes at most `steps` times.
    pub fn redeem(&self, secret: &Secret) -> Option<Redeemed> {
        self.redeem_within(secret, self.steps)
    }

    /// The same, looking no further than `limit` steps.
    pub fn redeem_within(&self, secret: &Secret, limit: u32) -> Option<Redeemed> {
        let steps = self.measure(secret, None, limit, Guess::Deeper).steps?;
        self.redeemed(secret, steps)
    }

    /// How deep a secret is. From the deepest one that is `known`, with its depth, no step is walked
    /// a second time towards the anchor: a deeper secret costs what it is deeper by, at most
    /// `beyond`, and an earlier one what it is earlier by. `guess` says which is looked for first. A
    /// secret that does not fit costs `beyond` and the known depth at most.
    pub fn measure(
        &self,
        secret: &Secret,
        known: Option<(Secret, u32)>,
        beyond: u32,
        guess: Guess,
    ) -> Measured {
        let (deepest, depth) = known.map_or((self.anchor.0, 0), |(known, depth)| (known.0, depth));
        let mut walk = Walk { hashes: 0 };
        let most = beyond.min(self.steps.saturating_sub(depth));
        let deeper = |walk: &mut Walk| {
            let anchor = |value: &[u8; 32]| *value == deepest || *value == self.anchor.0;
            let (steps, at) = walk.until(secret.0, most, anchor)?;
            Some(if at == deepest { depth.saturating_add(steps) } else { steps })
        };
        let earlier = |walk: &mut Walk| {
            let back = depth.saturating_sub(1);
            let (steps, _) = walk.until(deepest, back, |value| *value == secret.0)?;
            depth.checked_sub(steps)
        };
        let steps = match guess {
            Guess::Deeper => deeper(&mut walk).or_else(|| earlier(&mut walk)),
            Guess::Earlier => earlier(&mut walk).or_else(|| deeper(&mut walk)),
        };
        Measured { steps, hashes: walk.hashes }
    }

    /// The secrets on the way from the anchor to one that is `steps` before it, in this order and at
    /// most `stride` apart; the last is `secret` itself.
    pub fn strides(secret: &Secret, steps: u32, stride: u32) -> Vec<Secret> {
        let (mut way, mut value) = (vec![*secret], secret.0);
        let mut left = steps.saturating_sub(stride);
        while left > 0 && stride > 0 {
            value = (0..stride).fold(value, |value, _| chain_step(&value));
            way.push(Secret(value));
            left = left.saturating_sub(stride);
        }
        way.reverse();
        way
    }

    /// What `secret` redeems when it is known to be `steps` before the anchor; no hash is made.
    pub fn redeemed(&self, secret: &Secret, steps: u32) -> Option<Redeemed> {
        let amount = self.unit.checked_mul(steps)?;
        let left = self.steps.checked_sub(steps)?;
        let rest = (left > 0).then_some(Lock { anchor: Anchor(secret.0), steps: left, ..*self });
        Some(Redeemed { steps, amount, rest })
    }
}

/// `H("locks", locks)` in the order of adding; all zeros when there is none.
pub fn locks_root(locks: &[Lock]) -> Hash {
    if locks.is_empty() { Hash::ZERO } else { digest(Tag::Locks, locks) }
}

/// The sum of the locks' values, or `None` when one or the sum overflows.
pub fn locked_total(locks: &[Lock]) -> Option<Amount> {
    locks.iter().try_fold(Amount::ZERO, |sum, lock| sum.checked_add(lock.value()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(secret: [u8; 32], steps: u32) -> Lock {
        let anchor = (0..steps).fold(secret, |value, _| chain_step(&value));
        Lock { id: 1, anchor: Anchor(anchor), unit: Amount(3), steps, expiry: Height(9) }
    }

    #[test]
    fn a_part_of_a_stream_leaves_the_rest_under_the_same_id() {
        let seed = [1; 32];
        let lock = lock(seed, 5);
        let second = Secret((0..3).fold(seed, |value, _| chain_step(&value)));
        let redeemed = lock.redeem(&second).unwrap();
        assert_eq!((redeemed.steps, redeemed.amount), (2, Amount(6)));
        let rest = redeemed.rest.unwrap();
        assert_eq!((rest.id, rest.steps, rest.anchor.0), (1, 3, second.0));
        let last = rest.redeem(&Secret(seed)).unwrap();
        assert_eq!((last.steps, last.rest), (3, None));
    }

    #[test]
    fn a_secret_beyond_the_steps_or_the_limit_does_not_fit() {
        let mut short = lock([2; 32], 4);
        assert!(short.redeem_within(&Secret([2; 32]), 3).is_none());
        short.steps = 3;
        assert!(short.redeem(&Secret([2; 32])).is_none());
    }

    #[test]
    fn a_deep_secret_is_reached_in_strides() {
        for (steps, expected) in [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)] {
            let lock = lock([5; 32], steps);
            let way = Lock::strides(&Secret([5; 32]), steps, 4);
            assert_eq!((way.len(), way.last()), (expected, Some(&Secret([5; 32]))));
            let mut known = 0;
            for secret in way {
                let redeemed = lock.redeem_within(&secret, known + 4).unwrap();
                assert!(redeemed.steps > known);
                known = redeemed.steps;
            }
        }
    }

    /// Whatever is known, a secret's depth is the same; and no step between the anchor and what is
    /// known is walked on the way to it.
    #[test]
    fn what_is_known_makes_a_measurement_cheaper_and_changes_nothing() {
        let steps = 40;
        let lock = lock([6; 32], steps);
        let at = |depth: u32| Secret((depth..steps).fold([6; 32], |value, _| chain_step(&value)));
        for known in [0, 1, 10, 39, 40] {
            let before = (known > 0).then(|| (at(known), known));
            for depth in 1..=steps {
                for guess in [Guess::Deeper, Guess::Earlier] {
                    let measured = lock.measure(&at(depth), before, 64, guess);
                    if depth != known {
                        assert_eq!(measured.steps, Some(depth), "{known} {depth} {guess:?}");
                    }
                }
                let deeper = lock.measure(&at(depth), before, 64, Guess::Deeper);
                let earlier = lock.measure(&at(depth), before, 64, Guess::Earlier);
                match depth.cmp(&known) {
                    std::cmp::Ordering::Greater => assert_eq!(deeper.hashes, depth - known),
                    std::cmp::Ordering::Less => assert_eq!(earlier.hashes, known - depth),
                    std::cmp::Ordering::Equal => {}
                }
            }
        }
    }

    #[test]
    fn a_secret_that_does_not_fit_costs_what_is_allowed_and_what_is_known() {
        let lock = lock([7; 32], 40);
        let known = Secret((0..30).fold([7; 32], |value, _| chain_step(&value)));
        for guess in [Guess::Deeper, Guess::Earlier] {
            let junk = lock.measure(&Secret([8; 32]), Some((known, 10)), 5, guess);
            assert_eq!(junk, Measured { steps: None, hashes: 5 + 9 });
            let deep = Secret((0..24).fold([7; 32], |value, _| chain_step(&value)));
            assert_eq!(lock.measure(&deep, Some((known, 10)), 5, guess).steps, None, "too far");
        }
    }

    #[test]
    fn a_way_has_its_last_secret_alone_where_no_step_leads_there() {
        let secret = Secret([7; 32]);
        assert_eq!(Lock::strides(&secret, 5, 0), [secret]);
        assert_eq!(Lock::strides(&secret, 5, 5), [secret]);
        assert_eq!(
            Lock::strides(&secret, 5, 4),
            [Secret((0..4).fold([7; 32], |at, _| chain_step(&at))), secret]
        );
    }

    #[test]
    fn shape_table() {
        let good = lock([3; 32], 1);
        let cases = [
            (good, true),
            (Lock { steps: 0, ..good }, false),
            (Lock { steps: STEPS_MAX, ..good }, true),
            (Lock { steps: STEPS_MAX + 1, ..good }, false),
            (Lock { unit: Amount(0), ..good }, false),
            (Lock { unit: Amount(u64::MAX), steps: 2, ..good }, false),
        ];
        for (lock, expected) in cases {
            assert_eq!(lock.well_formed(), expected, "{lock:?}");
        }
    }

    #[test]
    fn a_lock_has_expired_at_its_expiry_and_not_before() {
        let lock = lock([4; 32], 1);
        let heights = [8, 9, 10].map(|h| lock.expired_at(Height(h)));
        assert_eq!(heights, [false, true, true]);
    }
}
