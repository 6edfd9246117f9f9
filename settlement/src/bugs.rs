//! Bugs that a test may plant, one at a time, to see that the rest of the suite then fails.
//!
//! [`crate::rules`] has the rules whose absence a thief can use; here is what goes wrong beside them:
//! something leaves too early, is not really on the disk, is taken though its bytes are not the ones
//! that were signed, or comes one block too soon or too late.
//!
//! No program that is shipped has any of it: without the feature `sabotage` the question is a constant
//! and compiles to nothing, and `.ci/run` holds that no shipped program has the feature. With it a
//! process has the bug that its environment names in `PLANTED_BUG`. `tests/mutants/` says which part
//! of the suite catches which.

use crate::types::Height;

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A bug. Its name is what `PLANTED_BUG` says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug { $($(#[$doc])* $name,)* }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// The hub tells and signs what a commit will cover before it is synced.
    ReleaseBeforeSync,
    /// The hub tells what a commit was to cover, and wakes who waits for it, though its sync failed.
    FailedSyncTold,
    /// That a record is durable is said without the lock under which somebody looks and falls asleep.
    SaidUnlocked,
    /// A shard tells others what follows from a record before it is handed to the committer.
    PassedBeforeAppended,
    /// A checkpoint is taken though its last record is not durable yet.
    CheckpointUnwaited,
    /// Shards go on before it is known up to where their rows go.
    CheckpointMoves,
    /// Two requests that come at once may get one number.
    TicketTwice,
    /// A wallet tells and signs before its records are synced.
    PerformBeforeSync,
    /// The journal writes a group and does not sync it.
    NoSync,
    /// A write of the journal that was short is taken for a whole one.
    ShortWriteTaken,
    /// A record is read back whatever its checksum says.
    RecordUnchecked,
    /// Damage with a later group behind it is cut off like a torn tail.
    HoleTakenForTail,
    /// What a crash tore is left behind the last whole record.
    TornTailLeft,
    /// A checkpoint of the index is opened though its files are not what was sealed.
    SealUnchecked,
    /// The hub signs without a lease.
    SignsUnleased,
    /// The number of a refused update is used again.
    SeqReused,
    /// A side that starts on what it has kept counts its numbers from the last accepted one.
    SeqForgotten,
    /// A side that lost state goes on where its copy ends.
    LeapSkipped,
    /// A signature with the upper half of `s` is taken.
    HighSTaken,
    /// A submission to the ledger is hashed without its tag.
    TagSkipped,
    /// Bytes behind a value are overlooked.
    TrailingBytesTaken,
    /// A number written longer than it has to be is taken.
    OverlongTaken,
    /// Whatever signature stands beside a known batch is taken.
    KnownBatchTaken,
    /// A way to a batch's root may be longer than the batch is high.
    LongPathTaken,
    /// An account's transaction may come twice.
    NonceUnchecked,
    /// A paid invoice is paid again.
    InvoiceTwice,

    /// On the ledger a claim counts for a block less.
    ClaimCountsShort,
    /// On the ledger a claim counts for a block more.
    ClaimCountsLong,
    /// On the ledger a lock has expired a block too early.
    LockExpiresEarly,
    /// On the ledger a lock has expired a block too late.
    LockExpiresLate,
    /// A proof counts for a block less.
    ProofCountsShort,
    /// A proof counts for a block more.
    ProofCountsLong,
    /// The challenge window is over a block too early.
    WindowOverEarly,
    /// The challenge window is over a block too late.
    WindowOverLate,
    /// What both have signed is valid for a block less.
    ValidShort,
    /// What both have signed is valid for a block more.
    ValidLong,
    /// An anchor may not speak of a channel opened in its own block.
    AnchorShort,
    /// An anchor may speak of a channel opened a block later.
    AnchorLong,
    /// A side holds a lock for expired a block too early.
    SideExpiresEarly,
    /// A side holds a lock for expired a block too late.
    SideExpiresLate,
    /// A side closes and claims a block early.
    ClosesEarly,
    /// A side closes and claims a block late.
    ClosesLate,
    /// A payee reveals with a block too few left.
    RevealsLate,
    /// A payee does not reveal with just enough blocks left.
    RevealsShort,
    /// The hub's own lock expires a block too close to the one that pays for it.
    PassesOnLate,
    /// The hub's own lock expires a block earlier than it has to.
    PassesOnShort,
    /// A side that lost state leaps a block too early.
    LeapsEarly,
    /// A side that lost state leaps a block too late.
    LeapsLate,
    /// A side waits a block too little for what it may have signed and forgotten.
    WaitsOutEarly,
    /// A side waits a block too long for it.
    WaitsOutLate,
    /// What was agreed counts as void while a block may still carry it.
    LapsesEarly,
    /// What was agreed counts for a block after it is void.
    LapsesLate,
    /// A view is stale a millisecond too early.
    StaleEarly,
    /// A view is fresh a millisecond too long.
    StaleLate,
    /// A lock may live a block longer.
    LivesLong,
    /// A lock may live a block less.
    LivesShort,
    /// A side signs what is valid for a block too long.
    AgreesLong,
    /// A side does not sign what is valid just as long as it may be.
    AgreesShort,
    /// A tower brings a proof for a block less.
    TowerProvesShort,
    /// A tower brings a proof for a block more.
    TowerProvesLong,
}

/// Whether the bug is planted: never.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// Whether this process has the bug.
#[cfg(feature = "sabotage")]
pub fn planted(bug: Bug) -> bool {
    static PLANTED: std::sync::LazyLock<Option<Bug>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("PLANTED_BUG").ok()?;
        Bug::ALL.iter().copied().find(|bug| format!("{bug:?}") == name)
    });
    *PLANTED == Some(bug)
}

/// The deadline, unless one of the two bugs puts it a block off.
#[inline(always)]
pub fn nudged(at: Height, early: Bug, late: Bug) -> Height {
    at.before(u64::from(planted(early))).after(u64::from(planted(late)))
}
