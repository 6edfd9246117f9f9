//! Every boundary between "in time" and "too late", in one place.
//!
//! *Block* is the height of the block that carries a transaction; *applied* is the height of the
//! newest block whose transactions have all been applied.
//!
//! | question | answer |
//! | --- | --- |
//! | does a claim count? | block < expiry |
//! | has a lock expired? | applied ≥ expiry |
//! | does a proof count? | block ≤ close + window |
//! | is the window over? | applied > close + window |
//! | may a co-signed transaction be carried? | block ≤ valid_until |
//! | is a channel under an anchor? | opened ≤ as_of |
//!
//! The first two and the next two never both say yes for one height, so nothing is paid out in a
//! block that could still carry what changes the payout.

use crate::bugs::{Bug, nudged};
use crate::rules::{Rule, rule_is_on};
use crate::types::Height;

/// Whether a claim in a block of height `block` counts for a lock that expires at `expiry`.
pub fn claim_counts(block: Height, expiry: Height) -> bool {
    let expiry = nudged(expiry, Bug::ClaimCountsShort, Bug::ClaimCountsLong);
    block < expiry || !rule_is_on(Rule::ClaimBeforeExpiry)
}

/// The first applied height at which a lock is over.
pub fn lock_expired_from(expiry: Height) -> Height {
    nudged(expiry, Bug::LockExpiresEarly, Bug::LockExpiresLate)
}

/// The last height of a block in which proofs count.
pub fn proofs_until(closed_at: Height, window_blocks: u32) -> Height {
    closed_at.after(u64::from(window_blocks))
}

/// Whether a proof in a block of height `block` counts.
pub fn proof_counts(block: Height, closed_at: Height, window_blocks: u32) -> bool {
    let until = proofs_until(closed_at, window_blocks);
    block <= nudged(until, Bug::ProofCountsShort, Bug::ProofCountsLong)
}

/// The first applied height at which no proof can count any more.
pub fn window_over_from(closed_at: Height, window_blocks: u32) -> Height {
    let from = proofs_until(closed_at, window_blocks).after(1);
    nudged(from, Bug::WindowOverEarly, Bug::WindowOverLate)
}

/// Whether a block of height `block` may carry something that is valid until `valid_until`.
pub fn still_valid(block: Height, valid_until: Height) -> bool {
    block <= nudged(valid_until, Bug::ValidShort, Bug::ValidLong)
}

/// Whether an anchor made as of this height may speak of a channel opened in this block.
pub fn anchored(opened: Height, as_of: Height) -> bool {
    opened <= nudged(as_of, Bug::AnchorShort, Bug::AnchorLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row per question: the answers just before, at and just after the named height.
    #[test]
    fn before_at_and_after() {
        let at = 100;
        let around = |question: &dyn Fn(Height) -> bool| {
            [at - 1, at, at + 1].map(|height| question(Height(height)))
        };
        let (closed_at, window) = (Height(60), 40);
        let table: [(&str, [bool; 3], [bool; 3]); 6] = [
            ("claim", around(&|h| claim_counts(h, Height(at))), [true, false, false]),
            ("lock", around(&|h| h >= lock_expired_from(Height(at))), [false, true, true]),
            ("proof", around(&|h| proof_counts(h, closed_at, window)), [true, true, false]),
            ("window", around(&|h| h >= window_over_from(closed_at, window)), [false, false, true]),
            ("anchored", around(&|h| anchored(h, Height(at))), [true, true, false]),
            ("valid_until", around(&|h| still_valid(h, Height(at))), [true, true, false]),
        ];
        for (name, found, expected) in table {
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn the_end_of_all_heights_does_not_wrap() {
        let last = Height(u64::MAX);
        assert!(proof_counts(last, last, u32::MAX));
        assert_eq!(window_over_from(last, u32::MAX), last);
    }
}
