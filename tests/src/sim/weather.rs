//! What happens to what is said on the way, and to what the ledger says.
//!
//! A connection is one of TCP, which loses, repeats and reorders nothing; the rules must not rest on
//! that. Whoever is cut off from the ledger hears of its blocks late, and is heard late, but within
//! what the margins allow: `lag` and `inclusion_delay`.

use rand::RngExt;
use settlement::reject::Code;
use settlement::tx::Transaction;

use super::World;
use super::breakage::name;
use super::counts::Kind;

/// The most blocks for which somebody hears nothing of the ledger: fewer than `lag`.
const DEAF_MAX: u64 = 12;
/// Fewer blocks than this pass before somebody who starts hears of the ledger.
const DEAF_AT_START: u64 = 4;
/// The most blocks for which a transaction is on its way: fewer than `inclusion_delay`.
const UNDER_WAY_MAX: u64 = 4;

/// Who hears nothing of the ledger, and what is on its way to it.
#[derive(Default)]
pub(super) struct Sky {
    /// For so many more blocks, by process.
    deaf: [u64; 3],
    /// Whether a connection has lost, repeated or reordered something.
    disturbed: bool,
    /// After so many more blocks.
    under_way: Vec<(u64, usize, Transaction)>,
}

impl World {
    /// One message on its way is lost, repeated, or overtakes others.
    pub(super) fn disturb(&mut self) {
        let busy = self.net.busy();
        if busy.is_empty() {
            return;
        }
        let (who, up, waiting) = busy[self.rng.random_range(0..busy.len())];
        let at = self.rng.random_range(0..waiting);
        let (kind, done) = match self.rng.random_range(0..3) {
            0 => (Kind::Lost, self.net.lose(who, up, at)),
            1 => (Kind::Repeated, self.net.repeat(who, up, at)),
            _ => (Kind::Reordered, self.net.reorder(who, up, at)),
        };
        if done {
            self.sky.disturbed = true;
            self.story.tell(self.now_ms, || {
                format!("{kind:?}: message {at} {} wallet {who}", if up { "of" } else { "to" })
            });
            self.count(kind);
        }
    }

    /// A connection stands still, or goes on.
    pub(super) fn hold_one(&mut self) {
        let who = self.rng.random_range(0..2);
        let still = !self.net.is_still(who);
        if still && self.net.is_connected(who) {
            self.story.tell(self.now_ms, || format!("nothing passes to or from wallet {who}"));
            self.count(Kind::Delayed);
        }
        self.net.hold(who, still);
    }

    /// Both wallets are out of the hub's reach for a while, and none of them notices.
    pub(super) fn partition(&mut self) {
        let blocks = self.rng.random_range(1..40);
        self.story.tell(self.now_ms, || format!("the hub is cut off for {blocks} blocks"));
        self.count(Kind::Partition);
        self.hold_all(true);
        for _ in 0..blocks {
            self.wake_all();
            self.beat();
        }
        self.hold_all(false);
    }

    pub(super) fn hold_all(&mut self, still: bool) {
        (0..2).for_each(|who| self.net.hold(who, still));
    }

    /// Somebody hears nothing of the ledger for some blocks.
    pub(super) fn deafen(&mut self) {
        let (who, blocks) = (self.rng.random_range(0..3), self.rng.random_range(1..=DEAF_MAX));
        if self.sky.deaf[who] == 0 {
            self.story.tell(self.now_ms, || format!("{} is deaf for {blocks} blocks", name(who)));
            self.count(Kind::Deaf);
            self.sky.deaf[who] = blocks;
        }
    }

    /// Where it starts, the ledger may be out of reach for a while.
    pub(super) fn starts_late(&mut self, who: usize) {
        if self.late && self.faults && !self.faults_over && self.sky.deaf[who] == 0 {
            self.sky.deaf[who] = self.rng.random_range(0..DEAF_AT_START);
        }
    }

    /// Whether a secret may have come before what it is for: then the sides agree to nothing more
    /// until they have met again, as after something false.
    pub(super) fn is_disturbed(&self) -> bool {
        self.sky.disturbed
    }

    pub(super) fn is_deaf(&self, who: usize) -> bool {
        self.sky.deaf[who] > 0
    }

    /// Everybody hears from now on, and what was under way arrives with the next block.
    pub(super) fn clear_sky(&mut self) {
        self.sky.deaf = [0; 3];
        self.sky.under_way.iter_mut().for_each(|(blocks, ..)| *blocks = 0);
    }

    /// Brings a transaction to the ledger, now or a few blocks later.
    pub(super) fn submit(&mut self, who: usize, tx: Transaction) -> Result<(), Code> {
        let late = self.faults && !self.faults_over && self.rng.random_bool(0.3);
        let blocks = if late { self.rng.random_range(1..=UNDER_WAY_MAX) } else { 0 };
        let blocks = blocks.max(self.sky.deaf[who]);
        if blocks == 0 {
            return self.arrives(who, tx);
        }
        self.count(Kind::LateTransaction);
        self.sky.under_way.push((blocks, who, tx));
        Ok(())
    }

    fn arrives(&mut self, who: usize, tx: Transaction) -> Result<(), Code> {
        let answer = self.ledger.submit(tx);
        self.story.tell(self.now_ms, || format!("{} submits: {answer:?}", name(who)));
        answer
    }

    /// A block's time has passed.
    pub(super) fn sky_moves(&mut self) {
        self.sky.deaf.iter_mut().for_each(|blocks| *blocks = blocks.saturating_sub(1));
        for (blocks, who, tx) in std::mem::take(&mut self.sky.under_way) {
            if blocks == 0 {
                // What the ledger says to it was for whoever sent it, and may be gone by now.
                let _ = self.arrives(who, tx);
            } else {
                self.sky.under_way.push((blocks - 1, who, tx));
            }
        }
    }
}
