use super::*;
use std::collections::VecDeque;

const STEP: Duration = Duration::from_millis(1);

/// A hub in simulated time: it works off so many operations a second, in order, and everything waits
/// for a commit, each of which starts when the one before it has ended.
struct Plant {
    budget: Budget,
    now: Duration,
    per_second: f64,
    commit: Duration,
    /// What the hub measures of it.
    measured: Duration,
    /// Frames, and when each was read.
    queue: VecDeque<(u64, Duration)>,
    done: f64,
    filling: Vec<(u64, Duration)>,
    committing: Vec<(u64, Duration)>,
    ends: Duration,
    /// How long each frame took that was answered, and how many operations.
    answered: Vec<(Duration, u64)>,
}

impl Plant {
    fn new(per_second: f64, commit: Duration) -> Plant {
        Plant {
            budget: Budget::new(),
            now: Duration::ZERO,
            per_second,
            commit,
            measured: commit,
            queue: VecDeque::new(),
            done: 0.0,
            filling: Vec::new(),
            committing: Vec::new(),
            ends: Duration::ZERO,
            answered: Vec::new(),
        }
    }

    /// Frames of this size wait in the sockets, up to `offered` operations a second.
    fn run(&mut self, time: Duration, frame: u64, offered: f64) {
        let (until, mut due) = (self.now + time, 0.0);
        self.answered.clear();
        while self.now < until {
            self.now += STEP;
            due += offered * STEP.as_secs_f64();
            while due >= frame as f64 && self.budget.room(0) > 0 {
                due -= frame as f64;
                self.budget.admit(frame);
                self.queue.push_back((frame, self.now));
            }
            self.budget.press(due >= frame as f64, self.now);
            self.work();
        }
    }

    fn work(&mut self) {
        let capacity = self.per_second * STEP.as_secs_f64();
        self.done = if self.queue.is_empty() { 0.0 } else { self.done + capacity };
        while let Some((ops, _)) = self.queue.front()
            && *ops as f64 <= self.done
        {
            self.done -= *ops as f64;
            self.filling.extend(self.queue.pop_front());
        }
        if self.now < self.ends {
            return;
        }
        for (ops, read) in self.committing.drain(..) {
            self.budget.finish(ops, self.now, || self.measured);
            self.answered.push((self.now - read, ops));
        }
        if !self.filling.is_empty() {
            self.committing = std::mem::take(&mut self.filling);
            self.ends = self.now + self.commit;
        }
    }

    fn p99(&self) -> Duration {
        let mut took: Vec<Duration> = self.answered.iter().map(|(took, _)| *took).collect();
        took.sort();
        took[took.len() * 99 / 100]
    }

    fn carried(&self, time: Duration) -> f64 {
        self.answered.iter().map(|(_, ops)| *ops).sum::<u64>() as f64 / time.as_secs_f64()
    }
}

const LONG: Duration = Duration::from_secs(5);
const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_flooded_hub_answers_in_time_and_loses_none_of_what_it_carries() {
    // Operations a second, operations of a frame, milliseconds of a commit, most of an answer's p99.
    let table = [
        (5_000.0, 1, 1, 250),
        (35_000.0, 6, 1, 80),
        (35_000.0, 516, 1, 100),
        (35_000.0, 516, 8, 120),
        (300_000.0, 36, 1, 80),
        (300_000.0, 36, 10, 110),
        (300_000.0, 36, 50, 250),
        (1_000_000.0, 36, 3, 80),
    ];
    for (per_second, frame, commit, most) in table {
        let mut plant = Plant::new(per_second, MS(commit));
        plant.run(MS(2_000), frame, per_second * 10.0);
        plant.run(LONG, frame, per_second * 10.0);
        let (p99, carried) = (plant.p99(), plant.carried(LONG));
        let what = format!("{per_second} {frame} {commit}: {p99:?}, {carried}, {:?}", plant.budget);
        assert!(p99 <= MS(most) && carried >= 0.95 * per_second, "{what}");
        assert!(plant.budget.under_way() <= plant.budget.limit().max(FLOOR) * 2, "{what}");
    }
}

#[test]
fn threads_that_wait_for_a_core_do_not_make_the_hub_wait_for_itself() {
    let mut plant = Plant::new(264_000.0, MS(10));
    plant.measured = MS(1);
    plant.run(LONG, 36, 3e6);
    plant.run(LONG, 36, 3e6);
    let carried = plant.carried(LONG);
    assert!(carried >= 0.95 * 264_000.0, "{carried} {:?}", plant.budget);
}

#[test]
fn a_hub_that_gets_slower_or_faster_is_followed_within_a_second() {
    let mut plant = Plant::new(300_000.0, MS(2));
    plant.run(LONG, 36, 3e6);
    let fast = plant.budget.limit();
    plant.per_second /= 10.0;
    plant.run(MS(1_000), 36, 3e6);
    plant.run(LONG, 36, 3e6);
    assert!(plant.p99() <= MS(100), "{:?} {:?}", plant.p99(), plant.budget);
    plant.per_second *= 10.0;
    plant.run(MS(1_000), 36, 3e6);
    plant.run(LONG, 36, 3e6);
    let (carried, again) = (plant.carried(LONG), plant.budget.limit());
    assert!(carried >= 285_000.0 && again >= fast * 3 / 4, "{carried} {fast} {again}");
}

#[test]
fn what_is_not_used_is_given_up_so_that_a_flood_finds_little_room() {
    let mut plant = Plant::new(300_000.0, MS(2));
    plant.run(LONG, 36, 3e6);
    let before = plant.budget.limit();
    plant.run(LONG, 6, 20_000.0);
    let (after, p99) = (plant.budget.limit(), plant.p99());
    assert!(before > 3 * FLOOR && after < 2 * FLOOR && p99 < MS(50), "{before} {after} {p99:?}");
    // The flood comes while the hub has a tenth of its cores left: nobody waits long even then.
    plant.per_second /= 10.0;
    plant.run(MS(500), 36, 3e6);
    assert!(plant.p99() <= MS(120), "{:?}", plant.p99());
}

#[test]
fn bursts_that_are_over_at_once_do_not_hold_up_what_is_carried() {
    let mut plant = Plant::new(100_000.0, MS(2));
    for _ in 0..100 {
        plant.run(MS(1), 36, 5_000_000.0);
        plant.run(MS(99), 36, 0.0);
        // All of what came at once is done before the next comes.
        let left = plant.budget.under_way();
        assert_eq!(left, 0);
    }
}

#[test]
fn the_limit_stays_between_a_whole_turn_and_what_memory_bears() {
    let mut slow = Plant::new(50.0, MS(1));
    slow.run(Duration::from_secs(100), 10, 1e4);
    assert_eq!(slow.budget.limit(), FLOOR);
    let mut fast = Plant::new(1e9, MS(1));
    fast.run(LONG, 516, 1e10);
    assert_eq!(fast.budget.limit(), CEILING);
    assert!(fast.budget.under_way() < CEILING + 516);
}

#[test]
fn time_counts_as_paused_while_somebody_waits() {
    let mut budget = Budget::new();
    budget.press(true, MS(10));
    budget.finish(0, MS(30), || Duration::ZERO);
    budget.press(false, MS(35));
    budget.press(true, MS(50));
    budget.press(true, MS(51));
    assert_eq!(budget.paused(), MS(26));
}

#[test]
fn a_whole_turn_is_let_in_whatever_the_limit_and_a_full_frame_in_it() {
    let mut budget = Budget::new();
    budget.limit = FLOOR;
    assert!(budget.room(0) >= QUANTUM && budget.room(FLOOR) == 0);
    budget.admit(FLOOR - 1);
    assert_eq!((budget.room(0), budget.room(1)), (1, 0));
    budget.admit(MOST);
    assert_eq!((budget.room(0), budget.under_way()), (0, FLOOR - 1 + MOST));
}
