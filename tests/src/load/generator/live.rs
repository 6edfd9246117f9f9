//! What a thread tells while it goes on.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

/// What one thread has counted so far, for others to read while it goes on.
#[derive(Debug, Default)]
pub struct Live {
    /// Payments completed.
    pub completed: AtomicU64,
    /// Payments failed.
    pub failed: AtomicU64,
    /// Payments that failed or succeeded against what was meant.
    pub unmeant: AtomicU64,
    /// Signatures made.
    pub signatures: AtomicU64,
    /// The hub's updates.
    pub updates_heard: AtomicU64,
    /// Signatures of the hub's that were checked.
    pub checked: AtomicU64,
    /// Payments that fell due and are not sent.
    pub backlog: AtomicU64,
    /// Redemptions of streams that payers were told of.
    pub redemptions: AtomicU64,
    /// Those steps.
    pub steps: AtomicU64,
    /// Why it ended, if it should not have.
    pub(super) wrong: OnceLock<String>,
}
