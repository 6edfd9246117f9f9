//! The figures that the hub keeps about itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Figures since the start of the process.
#[derive(Debug, Default)]
pub struct Counters {
    /// Payments completed: the payer has a right to the secret, and both legs are durable.
    pub completed: AtomicU64,
    /// Payments that failed for good.
    pub failed: AtomicU64,
    /// Redemptions of streams: a payee has shown a deeper secret of a lock, and that is durable.
    pub redemptions: AtomicU64,
    /// How many steps deeper they were in all.
    pub steps_redeemed: AtomicU64,
    /// Groups made durable, each with one fdatasync of the hub's journal.
    pub fsyncs: AtomicU64,
    /// Microseconds that those took, written and synced.
    pub commit_us: AtomicU64,
    /// Microseconds that the fastest took since somebody asked, and one more; 0 for none.
    fastest_commit_us: AtomicU64,
    /// Records made durable.
    pub records: AtomicU64,
    /// Bytes of those records.
    pub record_bytes: AtomicU64,
    /// Checkpoints of the index.
    pub checkpoints: AtomicU64,
    /// Blocks followed.
    pub blocks: AtomicU64,
    /// Height of the newest block followed.
    pub height: AtomicU64,
    /// That block's time, in milliseconds since 1970.
    pub block_time_ms: AtomicU64,
    /// Channels that are not paid out.
    pub channels: AtomicU64,
    /// Connections that stand.
    pub connections: AtomicU64,
    /// Frames from wallets.
    pub frames_in: AtomicU64,
    /// Frames to wallets.
    pub frames_out: AtomicU64,
    /// Updates whose signature was checked.
    pub verified: AtomicU64,
    /// Updates refused before they reached the rules.
    pub refused: AtomicU64,
    /// Batch signatures made.
    pub signatures: AtomicU64,
    /// Messages between wallets that were carried, or kept for a moment.
    pub relayed: AtomicU64,
    /// Messages between wallets that were not.
    pub relay_dropped: AtomicU64,
    /// Transactions that the ledger took from this hub.
    pub submitted: AtomicU64,
    /// Transactions of this hub that the ledger refused, at once or in a block.
    pub refused_by_ledger: AtomicU64,
    /// Rounds of anchors that came into a block.
    pub anchors: AtomicU64,
    /// Rounds of which a part or all did not.
    pub anchors_failed: AtomicU64,
    /// Channels anchored, each as often as it was.
    pub channels_anchored: AtomicU64,
    /// Height of the newest block with an anchor of this process.
    pub anchored_height: AtomicU64,
}

/// Adds to a figure.
pub(crate) fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Relaxed);
}

impl Counters {
    /// A group is durable; writing and syncing it took so long.
    pub(crate) fn committed(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.fsyncs.fetch_add(1, Relaxed);
        self.commit_us.fetch_add(us, Relaxed);
        let us = us.saturating_add(1);
        let faster = |fastest| (fastest == 0 || us < fastest).then_some(us);
        // Slower than the fastest is no failure.
        let _ = self.fastest_commit_us.try_update(Relaxed, Relaxed, faster);
    }

    /// How long the fastest group took since this was asked last; nothing, if there was none.
    pub(crate) fn fastest_commit(&self) -> Duration {
        Duration::from_micros(self.fastest_commit_us.swap(0, Relaxed).saturating_sub(1))
    }

    /// Each figure with its name and what it counts, as `/metrics` prints it; the flag says that
    /// it only grows.
    pub(crate) fn named(&self) -> Vec<(&'static str, &'static str, bool, u64)> {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        vec![
            ("payments_completed_total", "Payments completed.", true, of(&self.completed)),
            ("payments_failed_total", "Payments that failed for good.", true, of(&self.failed)),
            ("redemptions_total", "Redemptions of streams.", true, of(&self.redemptions)),
            (
                "steps_redeemed_total",
                "Steps of streams that were redeemed.",
                true,
                of(&self.steps_redeemed),
            ),
            ("commits_total", "Groups made durable.", true, of(&self.fsyncs)),
            ("fsyncs_total", "fdatasync calls on the journal.", true, of(&self.fsyncs)),
            ("commit_us_total", "Microseconds that commits took.", true, of(&self.commit_us)),
            ("records_total", "Records made durable.", true, of(&self.records)),
            ("record_bytes_total", "Bytes of those records.", true, of(&self.record_bytes)),
            ("checkpoints_total", "Checkpoints of the index.", true, of(&self.checkpoints)),
            ("blocks_total", "Blocks followed.", true, of(&self.blocks)),
            ("ledger_height", "Height of the newest block followed.", false, of(&self.height)),
            ("connections", "Connections that stand.", false, of(&self.connections)),
            ("frames_in_total", "Frames from wallets.", true, of(&self.frames_in)),
            ("frames_out_total", "Frames to wallets.", true, of(&self.frames_out)),
            ("updates_verified_total", "Updates verified.", true, of(&self.verified)),
            ("updates_refused_total", "Updates refused unverified.", true, of(&self.refused)),
            ("batch_signatures_total", "Batch signatures made.", true, of(&self.signatures)),
            ("relayed_total", "Messages between wallets carried.", true, of(&self.relayed)),
            (
                "relay_dropped_total",
                "Messages between wallets dropped.",
                true,
                of(&self.relay_dropped),
            ),
            ("transactions_total", "Transactions the ledger took.", true, of(&self.submitted)),
            (
                "transactions_refused_total",
                "Transactions the ledger refused.",
                true,
                of(&self.refused_by_ledger),
            ),
            ("anchors_total", "Rounds of anchors in a block.", true, of(&self.anchors)),
            (
                "anchors_failed_total",
                "Rounds of anchors of which a part or all is in no block.",
                true,
                of(&self.anchors_failed),
            ),
            ("channels_anchored_total", "Channels anchored.", true, of(&self.channels_anchored)),
            (
                "anchored_height",
                "Height of the newest block with an anchor.",
                false,
                of(&self.anchored_height),
            ),
        ]
    }
}
