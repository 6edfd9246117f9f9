//! When payments fall due in open loop: at a steady rate, whether or not the hub keeps up. A latency
//! counts from here, so that a hub that stalls is charged for everything that had to wait.

/// Payments due in groups, as many as go under one signature.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    began_ns: u64,
    interval_ns: f64,
    /// Groups handed out so far.
    count: u64,
}

impl Schedule {
    /// `rate` payments a second in groups of `each`, the first of them now.
    pub fn new(now_ns: u64, rate: f64, each: f64) -> Schedule {
        Schedule { began_ns: now_ns, interval_ns: each * 1e9 / rate, count: 0 }
    }

    /// When the next group falls due.
    pub fn next_ns(&self) -> u64 {
        // From the beginning and not from the last one: no rounding adds up.
        self.began_ns.saturating_add((self.count as f64 * self.interval_ns) as u64)
    }

    /// When the next group fell due, if it has; it is then handed out.
    pub fn take(&mut self, now_ns: u64) -> Option<u64> {
        let due = self.next_ns();
        if due > now_ns {
            return None;
        }
        self.count += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_a_stall_is_caught_up_with_the_due_times_kept() {
        // 3 payments a second one by one: no interval is a whole number of nanoseconds.
        let mut schedule = Schedule::new(7, 3.0, 1.0);
        let minute = 60_000_000_000;
        let due: Vec<u64> = std::iter::from_fn(|| schedule.take(7 + minute - 1)).collect();
        assert_eq!(due.len(), 180);
        assert_eq!(due[..3], [7, 333_333_340, 666_666_673]);
        assert_eq!(schedule.next_ns(), 7 + minute);
    }

    #[test]
    fn groups_fall_due_together() {
        let mut schedule = Schedule::new(0, 1_600.0, 16.0);
        assert_eq!(schedule.take(0), Some(0));
        assert_eq!((schedule.take(9_999_999), schedule.take(10_000_000)), (None, Some(10_000_000)));
    }
}
