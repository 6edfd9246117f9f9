//! Rules that a test may switch off, one at a time, to see that its search then finds a thief.
//!
//! No program that is shipped can do that: without the feature `sabotage` the question is a constant
//! and compiles to nothing, and `.ci/run` holds that no shipped program has the feature. What a rule
//! says stands where it is kept; this is only the list of the switches.

/// A rule that money rests on. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// A side never uses the id of a lock twice, not after a refusal either.
    LockIdsOnce,
    /// What a settlement leaves of a stream stays locked.
    SettleKeepsRest,
    /// A lock whose secret is known is never given up.
    NoFailAfterSecret,
    /// The money of a lock that was given up is back once the proofs in which it stands are retired.
    GoneWhenRetired,
    /// The money of a lock that was not given up is back at its expiry.
    RefundAtExpiry,
    /// Without a fresh view no lock is added or taken, nothing refunded and nothing revealed.
    FreshView,
    /// A side pays and locks no more than it has.
    Funded,
    /// An update acknowledges what its receiver really signed.
    KnownAcknowledgment,
    /// Once a close is sent off nothing more is agreed.
    NothingAfterClose,
    /// Who knows a secret closes and claims a margin before the expiry.
    ClaimInTime,
    /// A payee reveals only with enough blocks left to claim.
    RevealMargin,
    /// A lock is dropped only once it has expired or was given up.
    DropOnlyWhenOver,
    /// A withdrawal is co-signed only if every unretired proof stays covered.
    CosignCountsAll,
    /// A cooperative close is signed only with no lock pending.
    CloseWithoutLocks,
    /// A proof that its receiver has acknowledged past is void.
    Void,
    /// What a side acknowledges to have got stays a floor under it.
    Floor,
    /// What a hub anchors stays a floor under what it has paid.
    AnchorFloor,
    /// A side's proof counts only if the other side brings it.
    Submitter,
    /// Claims count only while the channel is closing.
    ClaimsOnlyWhileClosing,
    /// A claim is measured again against the proof that stands.
    ClaimsMeasuredAgain,
    /// The deepest claim on a lock is kept.
    DeepestClaimKept,
    /// A close of a channel that is closing already does all else that it would.
    CloseTwice,
    /// A claim counts below the lock's expiry only.
    ClaimBeforeExpiry,
    /// A secret that is said at or past the lock's expiry is ignored.
    LateSecret,
    /// One that is shown on the ledger so late, for nothing, is too.
    LateClaim,
    /// What a hub passes on expires `expiry_delta` before what it was paid with.
    ExpiryDelta,
    /// A hub passes on no more for a step than it gets, less its fee.
    UnitLessFee,
    /// A hub passes on as many steps as it gets.
    SameSteps,
    /// A side that has lost state takes nothing and signs nothing for the ledger while something that
    /// it has signed for it and forgotten could still be carried.
    WaitOut,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 29] = [
        Rule::LockIdsOnce,
        Rule::SettleKeepsRest,
        Rule::NoFailAfterSecret,
        Rule::GoneWhenRetired,
        Rule::RefundAtExpiry,
        Rule::FreshView,
        Rule::Funded,
        Rule::KnownAcknowledgment,
        Rule::NothingAfterClose,
        Rule::ClaimInTime,
        Rule::RevealMargin,
        Rule::DropOnlyWhenOver,
        Rule::CosignCountsAll,
        Rule::CloseWithoutLocks,
        Rule::Void,
        Rule::Floor,
        Rule::AnchorFloor,
        Rule::Submitter,
        Rule::ClaimsOnlyWhileClosing,
        Rule::ClaimsMeasuredAgain,
        Rule::DeepestClaimKept,
        Rule::CloseTwice,
        Rule::ClaimBeforeExpiry,
        Rule::LateSecret,
        Rule::LateClaim,
        Rule::ExpiryDelta,
        Rule::UnitLessFee,
        Rule::SameSteps,
        Rule::WaitOut,
    ];
}

/// Whether the rule is kept: always.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn rule_is_on(_rule: Rule) -> bool {
    true
}

#[cfg(feature = "sabotage")]
pub use switch::{rule_is_on, switch_off};

#[cfg(feature = "sabotage")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Rule;

    /// No rule is off.
    const NONE: u8 = u8::MAX;
    static OFF: AtomicU8 = AtomicU8::new(NONE);

    /// Whether the rule is kept.
    pub fn rule_is_on(rule: Rule) -> bool {
        OFF.load(Ordering::Relaxed) != rule as u8
    }

    /// Switches this rule off in the whole process, and every other one on.
    pub fn switch_off(rule: Option<Rule>) {
        OFF.store(rule.map_or(NONE, |rule| rule as u8), Ordering::Relaxed);
    }
}
