//! How much the hub takes on at once: as many operations as it finishes in [`SOJOURN`].
//!
//! What is under way runs from the read of a frame to the moment at which its answer is handed to the
//! socket. By Little's law that takes as long as there are operations under way, divided by how many
//! are finished in a second. So each [`WINDOW`] in which somebody had to wait says what the hub
//! carries, and the limit moves half of the way to what it carries in the time that is wanted.
//!
//! - **It does not starve itself.** A limit that is too low is one under which work is finished faster
//!   than wanted, and rises. What is waited for whatever the load is has to have room in the time that
//!   is wanted: the disk's is measured and added. One whole turn is always let in.
//! - **A limit that nobody runs into says nothing** about what the hub carries: it shrinks to twice
//!   what is used, so that a flood finds no room that was earned by a faster hub long ago.
//! - **Memory is bounded** by [`CEILING`].
//!
//! Pure: time comes in with each call.

use std::time::Duration;

use super::turns::QUANTUM;
use super::weight::MOST;

/// How long an operation is to be under way at most, beside its commits. It is handed from thread to
/// thread, and on a machine that does other work as well each of them waits for a core: with a time
/// below what that takes the hub would wait for itself, and the less it carried the less it would let in.
const SOJOURN: Duration = Duration::from_millis(20);
/// An operation waits for the commit that is going on and for its own; with one more the next can fill.
const COMMITS: u32 = 3;
/// A disk that takes longer counts as this: it is what is overloaded.
const COMMIT_MAX: Duration = Duration::from_millis(50);
/// How often the limit moves.
const WINDOW: Duration = Duration::from_millis(100);
/// Somebody had to wait for this part of a window, or it says nothing.
const PRESSED_PART: u32 = 4;
/// One whole turn, so that somebody is let in when nothing is under way. A frame that is larger is read
/// all the same, and its reader owes the rest.
pub(super) const FLOOR: u64 = QUANTUM;
/// Some 90 MB, if each operation brings the longest payload.
pub(super) const CEILING: u64 = 1 << 17;
/// Before anything is known.
const FIRST: u64 = 8 * MOST;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u64,
    under_way: u64,
    /// Operations that were finished.
    finished: u64,
    pressed: bool,
    /// Up to when the time that somebody had to wait is counted.
    counted_to: Duration,
    /// That time.
    paused: Duration,
    window: Window,
}

/// What the figures were when the window began, and the most that was under way in it.
#[derive(Debug, Default)]
struct Window {
    began: Duration,
    finished: u64,
    paused: Duration,
    most: u64,
}

impl Budget {
    /// One with nothing under way.
    pub(super) fn new() -> Budget {
        Budget {
            limit: FIRST,
            under_way: 0,
            finished: 0,
            pressed: false,
            counted_to: Duration::ZERO,
            paused: Duration::ZERO,
            window: Window::default(),
        }
    }

    /// Operations that may be under way before reading stops.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Operations that are under way: at most the limit and a frame for each reader at work.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way
    }

    /// Operations that were finished.
    pub(super) fn finished(&self) -> u64 {
        self.finished
    }

    /// For how long somebody had to wait, as of the last call.
    pub(super) fn paused(&self) -> Duration {
        self.paused
    }

    /// How many more may be let in, beside `reserved`.
    pub(super) fn room(&self, reserved: u64) -> u64 {
        self.limit.saturating_sub(self.under_way.saturating_add(reserved))
    }

    /// So many were read, room or not.
    pub(super) fn admit(&mut self, ops: u64) {
        self.under_way = self.under_way.saturating_add(ops);
        self.window.most = self.window.most.max(self.under_way);
    }

    /// Whether somebody has to wait from now on.
    pub(super) fn press(&mut self, pressed: bool, now: Duration) {
        self.count_to(now);
        self.pressed = pressed;
    }

    /// So many are answered, or came to nothing. `commit` is asked once a window for how long the
    /// fastest commit took since it was asked last: a slower one may have waited for a core.
    pub(super) fn finish(&mut self, ops: u64, now: Duration, commit: impl FnOnce() -> Duration) {
        self.count_to(now);
        self.under_way = self.under_way.saturating_sub(ops);
        self.finished = self.finished.saturating_add(ops);
        let took = now.saturating_sub(self.window.began);
        if took >= WINDOW {
            self.adapt(took, commit());
            self.window = Window {
                began: now,
                finished: self.finished,
                paused: self.paused,
                most: self.under_way,
            };
        }
    }

    fn count_to(&mut self, now: Duration) {
        if self.pressed {
            self.paused = self.paused.saturating_add(now.saturating_sub(self.counted_to));
        }
        self.counted_to = now;
    }

    fn adapt(&mut self, took: Duration, commit: Duration) {
        let paused = self.paused.saturating_sub(self.window.paused);
        let wanted = if paused.saturating_mul(PRESSED_PART) >= took {
            let commits = commit.min(COMMIT_MAX).saturating_mul(COMMITS);
            let time = SOJOURN.saturating_add(commits);
            let finished = self.finished.saturating_sub(self.window.finished);
            let carried = carries(finished, took, time);
            midway(self.limit, carried).clamp(self.limit / 2, self.limit.saturating_mul(2))
        } else if paused.is_zero() {
            let used = self.window.most.saturating_mul(2);
            self.limit.saturating_sub(self.limit.saturating_sub(used) / 8)
        } else {
            self.limit
        };
        self.limit = wanted.clamp(FLOOR, CEILING);
    }
}

fn midway(one: u64, other: u64) -> u64 {
    (one / 2).saturating_add(other / 2)
}

/// What is finished in `time` by whoever finishes `ops` in `took`.
fn carries(ops: u64, took: Duration, time: Duration) -> u64 {
    let product = u128::from(ops).saturating_mul(time.as_nanos());
    let carried = product.checked_div(took.as_nanos()).unwrap_or(0);
    u64::try_from(carried).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
