//! The crash lab: real processes on a real disk, struck again and again under load.
//!
//! A *town* is a hub with its embedded ledger and two wallets that pay each other without end. In each
//! round a few payments complete and then something is done to it (see [`blow::Blow`]): processes are
//! killed, hang, are killed while they recover from the kill before; the index is deleted, torn or
//! replaced by an older one; the journal gets a torn tail or a hole; the disk is full. After each blow
//! the hub must start, or refuse with an error that names the file and says what to do, and start once
//! that is done; and nothing that was ever acknowledged may be missing. Now and then, and at the end,
//! everything comes to rest and is compared to the unit; at the end the ledger pays it out.
//!
//! [`tail`] does the rest in one process: the journal that a town has left is cut and flipped at every
//! byte of its last 64 KiB.

pub mod blow;
mod disk;
pub mod index;
pub mod tail;
mod town;
mod wallet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use settlement::journal::Kind;

use crate::process::Programs;
use blow::Blow;
use index::Part;
use town::Town;

/// Rounds that a town lives through, at most: what it has to say of itself grows with each.
const ROUNDS_EACH: u64 = 60;
/// After so many rounds a town comes to rest and is compared to the unit.
const REST_EVERY: u64 = 12;

/// What the lab is to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many rounds in all.
    pub rounds: u64,
    /// What is drawn follows from it, when the processes are where they were.
    pub seed: u64,
    /// Towns that live side by side: much of a round is waiting.
    pub towns: u64,
}

/// What the lab has done.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rounds that were lived through.
    pub rounds: u64,
    /// Towns that found something wrong: what.
    pub failed: Vec<String>,
    /// Payments that were acknowledged, all of which are there.
    pub payments: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// How often each blow fell.
    pub blows: BTreeMap<Blow, u64>,
    /// How many of those to an index changed a file that a start may use.
    pub changed: BTreeMap<(Part, Blow), u64>,
    /// Hangs that were longer than what is known of the ledger stays fresh.
    pub long_hangs: u64,
    /// How often a hub refused to start, each time with an error that says what to do.
    pub refused: u64,
}

impl Report {
    fn add(&mut self, other: Report) {
        self.rounds += other.rounds;
        self.payments += other.payments;
        self.kills += other.kills;
        self.refused += other.refused;
        self.long_hangs += other.long_hangs;
        self.failed.extend(other.failed);
        for (blow, count) in other.blows {
            *self.blows.entry(blow).or_default() += count;
        }
        for (blow, count) in other.changed {
            *self.changed.entry(blow).or_default() += count;
        }
    }

    /// How many blows of each kind have changed something: processes that ran were killed or hung, and
    /// files of an index that a start may use became others.
    pub fn changes(&self) -> String {
        let fell =
            |blows: &[Blow]| blows.iter().filter_map(|blow| self.blows.get(blow)).sum::<u64>();
        let killed = fell(&[
            Blow::KillHub,
            Blow::KillWallet,
            Blow::KillAll,
            Blow::KillHanging,
            Blow::KillRecovering,
        ]);
        let index = |part| {
            let [gone, torn, flipped, old] = Blow::ON_INDEX
                .map(|blow| self.changed.get(&(part, blow)).copied().unwrap_or_default());
            format!("deleted {gone}, torn {torn}, flipped {flipped}, old copy {old}")
        };
        let nothing = fell(&Blow::ON_INDEX).saturating_sub(self.changed.values().sum());
        format!(
            "blows: kill {killed}, hang {} (long ones, with kills {}), index of the hub: {}, of the ledger: {}, \
             of either without a change {nothing}, torn tail {}, hole {}, full disk {}",
            fell(&[Blow::HangHub, Blow::HangWallet]),
            self.long_hangs,
            index(Part::Hub),
            index(Part::Ledger),
            fell(&[Blow::TornTail]),
            fell(&[Blow::Hole]),
            fell(&[Blow::FullDisk]),
        )
    }
}

/// Runs the lab; `say` is told how it goes.
pub fn run(programs: &Programs, plan: Plan, say: &(dyn Fn(&str) + Sync)) -> Report {
    let lives = plan.rounds.div_ceil(ROUNDS_EACH);
    let next = Mutex::new(0..lives);
    let sum = Mutex::new(Report::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.towns.clamp(1, lives.max(1)) {
            scope.spawn(|| {
                while let Some(life) = next.lock().ok().and_then(|mut next| next.next()) {
                    let rounds = ROUNDS_EACH.min(plan.rounds - life * ROUNDS_EACH);
                    let report = live(programs, plan.seed.wrapping_add(life), rounds, say);
                    if let Ok(mut sum) = sum.lock() {
                        sum.add(report);
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_default()
}

/// One town, from its founding to the end of its channels. A panic is what it found wrong.
fn live(programs: &Programs, seed: u64, rounds: u64, say: &(dyn Fn(&str) + Sync)) -> Report {
    let report = Mutex::new(Report::default());
    let dir = tempfile::tempdir().unwrap();
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut town = Town::found(programs, dir.path(), &report);
        for round in 1..=rounds {
            let blow = town.round(&mut dice);
            say(&format!("seed {seed}, round {round}: {blow:?}"));
            if round % REST_EVERY == 0 {
                town.rest();
            }
        }
        town.close();
    }));
    let mut report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Err(panic) = lived {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let last = report.blows.keys().map(|blow| format!("{blow:?}")).collect::<Vec<_>>();
        let kept = dir.keep();
        let (last, kept) = (last.join(", "), kept.display());
        report.failed.push(format!("seed {seed}, after {last}: {text} (its files: {kept})"));
    }
    report
}

/// Lets a town pay for a while, kills it, and says where it has left the journals of the hub and of its
/// ledger, more than [`tail::DAMAGED_BYTES`] each.
///
/// # Panics
/// When the town does not pay.
pub fn leave_journals(programs: &Programs, dir: &Path) -> [(PathBuf, Kind); 2] {
    let report = Mutex::new(Report::default());
    let mut town = Town::found(programs, dir, &report);
    let journals = disk::journals(&dir.join("hub"));
    while !journals.iter().all(|journal| disk::newest_bytes(journal) > tail::DAMAGED_BYTES as u64) {
        town.pay(50);
    }
    town.kill_hub();
    let [hub, ledger] = journals;
    [(hub, Kind::new("hub")), (ledger, Kind::new("ledger"))]
}
