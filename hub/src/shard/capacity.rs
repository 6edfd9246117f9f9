//! How many pending locks the hub takes on: no more than the ledger can take claims for in time.
//!
//! If everybody closes at once, each pending lock of a leg must get its claim into a block within
//! `inclusion_delay` blocks. A channel's claims travel in one submission, so the cost of a leg is
//! [`SUBMISSION_BYTES`] for each channel with a pending lock and [`CLAIM_BYTES`] for each lock, and
//! one hash for each step. Locks of many steps get half of the room at most, and half of the places in
//! a direction, which they may take for long: the other halves are kept for payments, and of those
//! places the locks of one payer's channel get half. A channel gets a [`CHANNEL_SHARE`]th at most,
//! so that a few hostile wallets can't take it all; the shards of a hub divide the rest evenly.
//!
//! A ledger has three things to take in the same moment: claims on payers' locks, claims on the hub's
//! own, and what is not on locks (answers to the closes of channels without any, anchors). The locks of
//! one payment expire `expiry_delta` apart, but those of two payments may expire together, and the
//! ledger's queue is in the order of arrival where deadlines are far. So each leg gets one part of
//! three ([`LEG_SHARE`]), and the rest is for what competes with them. What other hubs of the same
//! ledger do is not counted.

use settlement::lock::{LOCKS_MAX, Lock};
use settlement::params::{Genesis, Policy};
use settlement::rare::AtRest;

use super::Slice;

/// A submission apart from locks and claims: envelope, proof, two signatures and a full batch path
/// come to about 560 bytes.
pub(super) const SUBMISSION_BYTES: u64 = 640;
/// A lock opened (at most 75 bytes) and its claim (at most 42).
pub(super) const CLAIM_BYTES: u64 = 128;
/// The part of what the ledger takes that one leg may need: one in so many.
pub(super) const LEG_SHARE: u64 = 3;
/// The part of a leg's room that one channel may take: one in so many.
pub(super) const CHANNEL_SHARE: u64 = 16;
/// The most locks of many steps in one direction of a channel: half of all its places. Whoever opens
/// streams to somebody and never pays a step would shut out all payments to it otherwise.
const STREAM_LOCKS_MAX: u64 = LOCKS_MAX as u64 / 2;
/// The most of those that one payer's channel has in one payee's: half. Who shuts out all other
/// streams to somebody has to fund two channels; fewer would stop a stream whose locks are used up
/// faster than its payee redeems them.
pub(super) const STREAM_LOCKS_OF_ONE_PAYER: usize = LOCKS_MAX / 4;

/// What pending locks would cost the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) channels: u64,
    pub(super) locks: u64,
    pub(super) steps: u64,
    stream_locks: u64,
    stream_steps: u64,
}

impl AtRest for Load {
    const AT_REST: &'static Load =
        &Load { channels: 0, locks: 0, steps: 0, stream_locks: 0, stream_steps: 0 };
}

impl Load {
    /// What the locks of one channel's direction cost.
    pub(super) fn of(locks: &[Lock]) -> Load {
        let mut load = Load { channels: u64::from(!locks.is_empty()), ..Load::default() };
        locks.iter().for_each(|lock| load.add_lock(lock.steps));
        load
    }

    fn add_lock(&mut self, steps: u32) {
        self.locks = self.locks.saturating_add(1);
        self.steps = self.steps.saturating_add(u64::from(steps));
        if steps > 1 {
            self.stream_locks = self.stream_locks.saturating_add(1);
            self.stream_steps = self.stream_steps.saturating_add(u64::from(steps));
        }
    }

    /// The same with one lock more.
    pub(super) fn with(mut self, steps: u32) -> Load {
        self.channels = self.channels.max(1);
        self.add_lock(steps);
        self
    }

    fn bytes(&self) -> u64 {
        let submissions = self.channels.saturating_mul(SUBMISSION_BYTES);
        submissions.saturating_add(self.locks.saturating_mul(CLAIM_BYTES))
    }

    fn each(self, other: Load, f: fn(u64, u64) -> u64) -> Load {
        Load {
            channels: f(self.channels, other.channels),
            locks: f(self.locks, other.locks),
            steps: f(self.steps, other.steps),
            stream_locks: f(self.stream_locks, other.stream_locks),
            stream_steps: f(self.stream_steps, other.stream_steps),
        }
    }

    /// The total once one part of it has changed.
    pub(super) fn replaced(self, before: Load, after: Load) -> Load {
        self.each(before, u64::saturating_sub).each(after, u64::saturating_add)
    }
}

/// The room of one leg.
#[derive(Clone, Copy, Debug)]
pub(super) struct Capacity {
    bytes: u64,
    steps: u64,
    channel_bytes: u64,
    channel_steps: u64,
}

impl Capacity {
    /// This shard's part of a leg's part of what the ledger takes within `inclusion_delay`.
    pub(super) fn new(genesis: &Genesis, policy: &Policy, slice: Slice) -> Capacity {
        let room = |per_block: u32| u64::from(per_block).saturating_mul(policy.inclusion_delay);
        let leg = |per_block: u32| room(per_block) / LEG_SHARE;
        let (bytes, steps) = (leg(genesis.block_bytes), leg(genesis.block_hashes));
        let shards = u64::from(slice.count.max(1));
        Capacity {
            bytes: bytes / shards,
            steps: steps / shards,
            channel_bytes: bytes / CHANNEL_SHARE,
            channel_steps: steps / CHANNEL_SHARE,
        }
    }

    /// Whether a leg may stand so, in all and in the channel that a lock of so many steps was just
    /// added to.
    pub(super) fn takes(&self, steps: u32, total: &Load, channel: &Load) -> bool {
        let within = |load: &Load, bytes, hashes| load.bytes() <= bytes && load.steps <= hashes;
        let all = within(total, self.bytes, self.steps)
            && within(channel, self.channel_bytes, self.channel_steps);
        // A payment is never refused because of streams that were let in: they are bounded first.
        let placed = channel.stream_locks <= STREAM_LOCKS_MAX;
        all && (steps == 1 || placed && self.takes_streams(total))
    }

    fn takes_streams(&self, total: &Load) -> bool {
        total.stream_locks.saturating_mul(CLAIM_BYTES) <= self.bytes / 2
            && total.stream_steps <= self.steps / 2
    }
}

#[cfg(test)]
mod tests {
    use settlement::types::PublicKey;

    use super::*;

    fn capacity(count: u16) -> Capacity {
        let genesis = Genesis::development("test", PublicKey([2; 33]), 0);
        Capacity::new(&genesis, &Policy::development(), Slice { index: 0, count })
    }

    fn load(channels: u64, locks: u64, streams: u64, steps: u64) -> Load {
        let stream_steps = streams * steps;
        let (locks, steps) = (locks + streams, locks + stream_steps);
        Load { channels, locks, steps, stream_locks: streams, stream_steps }
    }

    #[test]
    fn bytes_steps_and_shares_are_bounded_and_half_is_kept_for_payments() {
        let small = load(1, 1, 0, 0);
        // A third of 5 blocks of 4 MiB and 8 million hashes.
        let most = (5 * (4u64 << 20) / 3 - 640) / 128;
        assert!(capacity(1).takes(1, &load(1, most, 0, 0), &small));
        assert!(!capacity(1).takes(1, &load(1, most + 1, 0, 0), &small), "bytes");
        assert!(!capacity(1).takes(1, &load(most, most, 0, 0), &small), "bytes of submissions");
        assert!(!capacity(2).takes(1, &load(1, most, 0, 0), &small), "a shard has its part");
        let half = load(1, 1, 133, 50_000);
        assert!(capacity(1).takes(50_000, &half, &small));
        assert!(!capacity(1).takes(50_000, &load(1, 1, 134, 50_000), &small), "half");
        assert!(capacity(1).takes(1, &load(1, 1_000, 134, 50_000), &small), "the other half");
        assert!(!capacity(1).takes(1, &load(1, 1, 267, 50_000), &small), "steps");
        assert!(capacity(1).takes(50_000, &half, &load(1, 0, 16, 50_000)));
        assert!(!capacity(1).takes(50_000, &half, &load(1, 0, 17, 50_000)), "a channel's share");
        assert!(capacity(1).takes(2, &small, &load(1, 0, 128, 2)));
        assert!(!capacity(1).takes(2, &small, &load(1, 0, 129, 2)), "half of a channel's places");
        assert!(capacity(1).takes(1, &small, &load(1, 0, 129, 2)), "the other half");
    }

    /// Everybody closes in one moment: claims on both legs, an answer to each of ten thousand closes of
    /// channels without a lock, and the anchors of all those in every tenth block.
    #[test]
    fn both_legs_and_what_competes_with_them_fit_into_the_delay() {
        let genesis = Genesis::standard("test", PublicKey([2; 33]), 0);
        let policy = Policy::standard();
        let leg = Capacity::new(&genesis, &policy, Slice::ALL);
        // A proof in a full batch, a channel's id and an amount.
        let anchor_entry = 512;
        let rounds = policy.inclusion_delay / 10;
        let others = 10_000 * (SUBMISSION_BYTES + rounds * anchor_entry);
        let room = u64::from(genesis.block_bytes) * policy.inclusion_delay;
        assert!(2 * leg.bytes + others <= room, "{} of {room}", 2 * leg.bytes + others);
        let hashes = u64::from(genesis.block_hashes) * policy.inclusion_delay;
        assert!(2 * leg.steps <= hashes);
        // And ten thousand channels with a lock in each direction are within it.
        assert!(leg.takes(1, &load(10_000, 10_000, 0, 0), &load(1, 1, 0, 0)));
    }

    #[test]
    fn a_total_follows_its_parts() {
        let (one, two) = (load(1, 2, 0, 0), load(1, 0, 3, 7));
        let total = Load::default().replaced(Load::default(), one);
        assert_eq!(total.replaced(one, two), two);
        assert_eq!(Load::default().with(1), load(1, 1, 0, 0));
    }
}
