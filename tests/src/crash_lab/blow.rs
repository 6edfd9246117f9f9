//! What is done to a town.

use std::ops::Range;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::disk;
use super::index::{Index, Part};
use super::town::{SEGMENT_KIB, Town};
use crate::process::{BLOCKS_PATIENCE, PATIENCE, eventually};

/// The longest that a process hangs, mostly.
const HANG_MS: u64 = 400;
/// How many of a hundred hangs last longer.
const LONG_HANGS: u32 = 20;
/// How long those are: what wallets and hub know of the ledger is then too old to act on (three
/// seconds). It is far less than what any lock leaves, so that no channel has to be closed for it.
const LONG_HANG_MS: Range<u64> = 4_000..6_000;
/// The longest that a process recovers before it is killed again.
const RECOVERING_MS: u64 = 150;
/// By how much the hub's files may grow on a full disk, in KiB.
const LEFT_KIB: u64 = 24;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// The hub is killed, its ledger with it.
    KillHub,
    /// One wallet is killed.
    KillWallet,
    /// All are killed at once.
    KillAll,
    /// The hub hangs (SIGSTOP) and goes on.
    HangHub,
    /// One wallet hangs and goes on.
    HangWallet,
    /// The hub is killed while it hangs.
    KillHanging,
    /// The hub is killed, and killed again while it recovers, twice.
    KillRecovering,
    /// The index of the hub or its ledger is gone.
    IndexGone,
    /// A file of it is torn.
    IndexTorn,
    /// A bit of it is another.
    IndexFlipped,
    /// It is as it was some rounds ago.
    IndexOld,
    /// What a crash may leave behind the last group of a journal.
    TornTail,
    /// A bit of what was durable long ago is another: the hub must refuse, and say where.
    Hole,
    /// The disk is full: the hub must end by itself, and lose nothing.
    FullDisk,
}

const ALL: [Blow; 14] = [
    Blow::KillHub,
    Blow::KillWallet,
    Blow::KillAll,
    Blow::HangHub,
    Blow::HangWallet,
    Blow::KillHanging,
    Blow::KillRecovering,
    Blow::IndexGone,
    Blow::IndexTorn,
    Blow::IndexFlipped,
    Blow::IndexOld,
    Blow::TornTail,
    Blow::Hole,
    Blow::FullDisk,
];

impl Blow {
    /// How many there are.
    pub const COUNT: u64 = ALL.len() as u64;
    /// Those to an index.
    pub const ON_INDEX: [Blow; 4] =
        [Blow::IndexGone, Blow::IndexTorn, Blow::IndexFlipped, Blow::IndexOld];

    /// Any of those that are left; all are there again once none is.
    pub(super) fn draw(left: &mut Vec<Blow>, dice: &mut ChaCha8Rng) -> Blow {
        if left.is_empty() {
            left.extend(ALL);
        }
        left.swap_remove(dice.random_range(0..left.len()))
    }

    /// Does it; when this returns all three processes run.
    pub(super) fn strike(self, town: &mut Town<'_>, dice: &mut ChaCha8Rng) {
        match self {
            Blow::KillHub => kill_hub(town),
            Blow::KillWallet => {
                let who = dice.random_range(0..2);
                town.kill_wallet(who);
                town.wallets[who].start_again();
            }
            Blow::KillAll => kill_all(town),
            Blow::HangHub => {
                town.hub.process.freeze();
                hang(town, HANG_MS, dice);
                town.hub.process.thaw();
            }
            Blow::HangWallet => {
                let who = dice.random_range(0..2);
                town.wallets[who].driver.process.freeze();
                hang(town, HANG_MS, dice);
                town.wallets[who].driver.process.thaw();
            }
            Blow::KillHanging => {
                town.hub.process.freeze();
                hang(town, HANG_MS / 4, dice);
                kill_hub(town);
            }
            Blow::KillRecovering => {
                for _ in 0..2 {
                    town.kill_hub();
                    town.hub.launch_again();
                    wait(dice.random_range(0..RECOVERING_MS));
                }
                kill_hub(town);
            }
            Blow::IndexGone | Blow::IndexTorn | Blow::IndexFlipped | Blow::IndexOld => {
                self.damage_index(town, dice);
            }
            Blow::TornTail => {
                town.kill_hub();
                let journal = disk::journals(&town.data)[dice.random_range(0..2)].clone();
                disk::tear_tail(&journal, dice);
                town.start_hub();
            }
            Blow::Hole => hole(town, dice),
            Blow::FullDisk => full_disk(town),
        }
    }

    fn damage_index(self, town: &mut Town<'_>, dice: &mut ChaCha8Rng) {
        let part = if dice.random_bool(0.5) { Part::Hub } else { Part::Ledger };
        let index = Index::of(&town.data, part);
        pay_until(town, "a checkpoint", || index.newest().is_some());
        if self == Blow::IndexOld {
            // A copy of it as it is while the hub runs, and what comes after.
            index.keep_copy();
            let kept = index.newest();
            town.pay(dice.random_range(1..400));
            pay_until(town, "the next checkpoint", || index.newest() != kept);
        }
        town.kill_hub();
        let before = index.bytes();
        match self {
            Blow::IndexGone => index.delete(dice),
            Blow::IndexTorn => index.tear(dice),
            Blow::IndexFlipped => index.flip(dice),
            _ => index.put_copy_back(),
        }
        if index.bytes() != before {
            town.note(|report| *report.changed.entry((part, self)).or_default() += 1);
        }
        town.start_hub();
        if matches!(self, Blow::IndexTorn | Blow::IndexFlipped) {
            town.hub.process.wait_log("was set aside", PATIENCE);
        }
    }
}

/// Pays until this is so.
fn pay_until(town: &mut Town<'_>, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + BLOCKS_PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {BLOCKS_PATIENCE:?} for {what}");
        town.pay(20);
    }
}

fn kill_hub(town: &mut Town<'_>) {
    town.kill_hub();
    town.start_hub();
}

fn kill_all(town: &mut Town<'_>) {
    town.kill_hub();
    (0..2).for_each(|who| town.kill_wallet(who));
    town.start_hub();
    town.wallets.iter_mut().for_each(super::wallet::Wallet::start_again);
}

/// Up to `most_ms`, and now and then as long as [`LONG_HANG_MS`].
fn hang(town: &Town<'_>, most_ms: u64, dice: &mut ChaCha8Rng) {
    if dice.random_ratio(LONG_HANGS, 100) {
        town.note(|report| report.long_hangs += 1);
        wait(dice.random_range(LONG_HANG_MS));
    } else {
        wait(dice.random_range(0..most_ms));
    }
}

/// How long a machine hangs is a time; nothing waits for its end.
fn wait(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// The hub must say which byte of which file is wrong, change nothing, and go on once it is right.
fn hole(town: &mut Town<'_>, dice: &mut ChaCha8Rng) {
    let journals = disk::journals(&town.data);
    pay_until(town, "a segment to damage", || {
        disk::newest_bytes(&journals[0]) >= disk::Hole::SEGMENT_BYTES
    });
    town.kill_hub();
    // The ledger of a young town has written little.
    let old = disk::newest_bytes(&journals[1]) >= disk::Hole::SEGMENT_BYTES;
    let journal = &journals[usize::from(old && dice.random_bool(0.5))];
    let hole = disk::Hole::make(journal, dice);
    let file = hole.file().display().to_string();
    town.start_refused(&[&file, "damaged at byte", "Restore this file from a copy"]);
    hole.mend();
    town.start_hub();
}

/// The hub's files can't grow beyond some KiB more than the largest has that is still written to: a
/// write is short, or fails.
fn full_disk(town: &mut Town<'_>) {
    let [journal, _] = disk::journals(&town.data);
    // A limit above what a segment takes is none: the next one begins before it.
    pay_until(town, "the next segment", || {
        disk::newest_bytes(&journal) / 1_024 + 2 * LEFT_KIB <= SEGMENT_KIB
    });
    town.kill_hub();
    let most = disk::largest_kib(&town.data) + LEFT_KIB;
    town.hub.start_again_within(most);
    // More than fits; it ends before they are through.
    eventually("the end of a hub whose disk is full", BLOCKS_PATIENCE, || {
        town.order();
        town.hub.process.has_ended().then_some(())
    });
    let status = town.hub.process.wait(PATIENCE);
    let log = town.hub.process.log();
    assert!(!status.success() && !log.contains("panicked"), "{status}: {log}");
    assert!(log.contains("make room on it"), "it does not say what to do: {log}");
    town.start_hub();
}
