//! What falls due by the clock.

use std::time::Duration;

use super::TURN;
use crate::load::fleet::Fleet;
use crate::load::schedule::Schedule;

/// The shortest wait.
const NAP: Duration = Duration::from_millis(1);

/// Payments that fall due by a schedule, each group at the next wallet of a shuffled round.
pub(super) struct Payments {
    schedule: Schedule,
    next: usize,
}

impl Payments {
    pub(super) fn new(now_ns: u64, rate: f64, each: f64) -> Payments {
        Payments { schedule: Schedule::new(now_ns, rate, each), next: 0 }
    }

    pub(super) fn fall_due(&mut self, fleet: &mut Fleet, now_ns: u64) {
        while let Some(due_ns) = self.schedule.take(now_ns) {
            let all = fleet.wallets.len().max(1);
            // One that is about to close its channel is passed over.
            let next = (0..all).map(|nth| (self.next + nth) % all).find(|at| fleet.pays(*at));
            let at = next.unwrap_or(self.next % all);
            self.next = at + 1;
            fleet.fall_due(at, due_ns);
        }
    }

    pub(super) fn wait(&self, now_ns: u64) -> Duration {
        let left = Duration::from_nanos(self.schedule.next_ns().saturating_sub(now_ns));
        // The system waits whole milliseconds. What is nearer is waited for as long: awake, a generator
        // takes a core that the hub shares with it. Latencies count from when a payment was due, so
        // they have that wait in them.
        if left.is_zero() { left } else { left.clamp(NAP, TURN) }
    }
}

/// Wallets that are to close their channel and open another, one after the other.
pub(super) struct Leaving(Schedule);

impl Leaving {
    pub(super) fn new(now_ns: u64, rate: f64) -> Leaving {
        Leaving(Schedule::new(now_ns, rate, 1.0))
    }

    pub(super) fn fall_due(&mut self, fleet: &mut Fleet, now_ns: u64) {
        while self.0.take(now_ns).is_some() {
            fleet.leave_next(now_ns);
        }
    }
}

/// Redemptions of streams, one stream after the other.
pub(super) struct Redemptions(Schedule);

impl Redemptions {
    pub(super) fn new(now_ns: u64, rate: f64) -> Redemptions {
        Redemptions(Schedule::new(now_ns, rate, 1.0))
    }

    pub(super) fn fall_due(&mut self, fleet: &mut Fleet, now_ns: u64) {
        while self.0.take(now_ns).is_some() {
            fleet.redemption_falls_due();
        }
    }
}
