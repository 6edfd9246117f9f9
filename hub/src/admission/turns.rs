//! Whose turn it is to read, when not everybody may.
//!
//! Readers stand in line, and whoever is let in may read [`QUANTUM`] operations: so a connection with
//! few large frames and one with many small ones get the same. A frame may be larger than what is left
//! of a turn; what it took too much is a debt, and its reader passes until that is paid (deficit round
//! robin). Room is reserved for those that were let in, a whole turn's however much of it they have
//! left, so that not all of them rush into the same.
//!
//! Anybody can connect, and a key costs nothing: connections whose wallets have no channel stand in a
//! line of their own, and get one turn in [`STRANGERS_EVERY`] at most while others wait.
//!
//! Pure.

use std::collections::VecDeque;

/// Operations that one may read in a turn.
pub(super) const QUANTUM: u64 = 512;
/// Strangers get each so many turns one.
const STRANGERS_EVERY: u64 = 8;

/// One who waits.
#[derive(Debug)]
struct Waits<W> {
    id: u64,
    debt: u64,
    whom: W,
}

/// See the module. `W` is whom to tell.
#[derive(Debug)]
pub(super) struct Turns<W> {
    known: VecDeque<Waits<W>>,
    strangers: VecDeque<Waits<W>>,
    /// Turns given while both waited.
    given: u64,
    /// Operations for those who were let in, until their turns end.
    reserved: u64,
}

impl<W> Turns<W> {
    /// Nobody waits.
    pub(super) fn new() -> Turns<W> {
        Turns { known: VecDeque::new(), strangers: VecDeque::new(), given: 0, reserved: 0 }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.known.len().saturating_add(self.strangers.len())
    }

    /// Operations for those who were let in, until their turns end.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Waits behind all others of its kind; a debt is what it read too much in its last turn.
    pub(super) fn line_up(&mut self, id: u64, is_stranger: bool, debt: u64, whom: W) {
        let line = if is_stranger { &mut self.strangers } else { &mut self.known };
        line.push_back(Waits { id, debt, whom });
    }

    /// Lets the next one in, for whom [`QUANTUM`] is reserved: whom, and how much it may read, which is
    /// less if it has a debt.
    pub(super) fn let_in(&mut self) -> Option<(W, u64)> {
        loop {
            let line = self.next_line();
            let mut next = line.pop_front()?;
            if next.debt >= QUANTUM {
                next.debt = next.debt.saturating_sub(QUANTUM);
                line.push_back(next);
                continue;
            }
            let credit = QUANTUM.saturating_sub(next.debt);
            self.reserved = self.reserved.saturating_add(QUANTUM);
            return Some((next.whom, credit));
        }
    }

    fn next_line(&mut self) -> &mut VecDeque<Waits<W>> {
        if self.known.is_empty() {
            return &mut self.strangers;
        }
        if self.strangers.is_empty() {
            return &mut self.known;
        }
        self.given = self.given.wrapping_add(1);
        if self.given.is_multiple_of(STRANGERS_EVERY) {
            &mut self.strangers
        } else {
            &mut self.known
        }
    }

    /// A turn is over.
    pub(super) fn end(&mut self) {
        self.reserved = self.reserved.saturating_sub(QUANTUM);
    }

    /// Goes out of the line; false if it does not stand there (any more).
    pub(super) fn leave(&mut self, id: u64) -> bool {
        let before = self.waiting();
        self.known.retain(|one| one.id != id);
        self.strangers.retain(|one| one.id != id);
        self.waiting() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everybody always has frames of its own size; who gets how much of `ops` in all.
    fn shares(frames: &[(u64, bool)], ops: u64) -> Vec<u64> {
        let mut turns = Turns::new();
        let mut got = vec![0; frames.len()];
        let line_up = |turns: &mut Turns<usize>, nth: usize, debt| {
            turns.line_up(nth as u64, frames[nth].1, debt, nth);
        };
        (0..frames.len()).for_each(|nth| line_up(&mut turns, nth, 0));
        while got.iter().sum::<u64>() < ops {
            let (nth, credit) = turns.let_in().unwrap();
            let mut read = 0;
            while read < credit {
                read += frames[nth].0;
            }
            turns.end();
            got[nth] += read;
            line_up(&mut turns, nth, read - credit);
            assert_eq!((turns.waiting(), turns.reserved()), (frames.len(), 0));
        }
        got
    }

    #[test]
    fn whoever_sends_large_frames_gets_no_more_than_whoever_sends_small_ones() {
        let got = shares(&[(1, false), (20, false), (516, false), (1_028, false)], 400_000);
        for one in &got {
            assert!((98_000..102_500).contains(one), "{got:?}");
        }
    }

    #[test]
    fn strangers_get_an_eighth_however_many_they_are() {
        let mut frames = vec![(1, true); 1_000];
        frames.extend([(516, false), (1, false)]);
        let got = shares(&frames, 2_000_000);
        let known: u64 = got[1_000..].iter().sum();
        assert!((1_700_000..1_800_000).contains(&known), "{known}");
        // Nobody's room is wasted on those who are not there.
        assert!(shares(&[(1, true), (1, true)], 10_000).iter().all(|one| *one > 4_000));
    }

    #[test]
    fn who_leaves_is_let_in_no_more_and_what_was_reserved_is_given_back() {
        let mut turns = Turns::new();
        for id in [1, 2, 3] {
            turns.line_up(id, id == 2, 0, id);
        }
        assert_eq!(turns.let_in(), Some((1, QUANTUM)));
        assert!(turns.leave(2) && !turns.leave(2) && !turns.leave(1));
        assert_eq!((turns.waiting(), turns.reserved()), (1, QUANTUM));
        turns.end();
        assert_eq!(turns.reserved(), 0);
        assert_eq!(turns.let_in(), Some((3, QUANTUM)));
        assert_eq!(turns.let_in(), None);
    }

    #[test]
    fn a_debt_is_paid_with_turns_even_by_one_who_is_alone() {
        let mut turns = Turns::new();
        turns.line_up(1, false, 3 * QUANTUM + 12, 1);
        assert_eq!(turns.let_in(), Some((1, QUANTUM - 12)), "alone, it waits for nobody");
        turns.line_up(1, false, QUANTUM, 1);
        turns.line_up(2, false, 0, 2);
        assert_eq!(turns.let_in(), Some((2, QUANTUM)));
        assert_eq!(turns.let_in(), Some((1, QUANTUM)));
    }
}
