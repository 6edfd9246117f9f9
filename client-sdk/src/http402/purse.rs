//! What a client has handed to one payee, and what it got for it: in steps.
//!
//! The server may claim what it likes. Of what it was handed a client counts only what it was served
//! itself, and hands out no more than `ahead` beyond that, ever. What came to nothing, or whose answer
//! was lost, is used for the next request; what the server then denies to hold is not handed over a
//! second time as if it were new, but stays handed out.

use settlement::types::Anchor;

use super::credential::TOKENS_MAX;
use crate::relay::StepToken;

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    /// The most that is handed out and not served.
    ahead: u64,
    /// The most that is handed out in all.
    most: u64,
    handed: u64,
    served: u64,
    /// Handed out, and for no response.
    spare: u64,
    /// The newest step of each lock of which the server may not have heard.
    loose: Vec<StepToken>,
}

/// Why no more is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server has to serve first.
    Ahead,
    /// The budget is spent.
    Spent,
}

/// Steps for a response: so many in all, and so many of them new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) steps: u64,
    pub(super) fresh: u64,
}

impl Book {
    pub(super) fn new(ahead: u64, most: u64) -> Book {
        Book { ahead, most, handed: 0, served: 0, spare: 0, loose: Vec::new() }
    }

    /// Steps handed out, served, and for no response.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (self.handed, self.served, self.spare)
    }

    /// How many steps a response can get now.
    pub(super) fn room(&self) -> u64 {
        let out = self.handed.saturating_sub(self.served);
        let more = self.ahead.saturating_sub(out).min(self.most.saturating_sub(self.handed));
        self.spare.saturating_add(more)
    }

    /// Sets so many steps aside for a response: spare ones first.
    pub(super) fn reserve(&mut self, steps: u64) -> Result<Reserved, Stop> {
        if steps > self.room() {
            let left = self.most.saturating_sub(self.handed).saturating_add(self.spare);
            return Err(if steps > left { Stop::Spent } else { Stop::Ahead });
        }
        let fresh = steps.saturating_sub(self.spare);
        self.spare = self.spare.saturating_sub(steps);
        self.handed = self.handed.saturating_add(fresh);
        Ok(Reserved { steps, fresh })
    }

    /// Nothing came of it: the new ones were not handed out after all.
    pub(super) fn cancel(&mut self, reserved: Reserved) {
        self.handed = self.handed.saturating_sub(reserved.fresh);
        self.give_back(reserved.steps.saturating_sub(reserved.fresh));
    }

    /// A response did not need so many.
    pub(super) fn give_back(&mut self, steps: u64) {
        self.spare = self.spare.saturating_add(steps);
    }

    /// The server says that it lacks so many of these, or holds none but the new ones where it does
    /// not say how many.
    pub(super) fn denied(&mut self, reserved: Reserved, missing: Option<u64>) {
        let held = missing.map(|missing| reserved.steps.saturating_sub(missing));
        self.spare = held.unwrap_or(reserved.fresh);
    }

    /// So many steps' worth was served.
    pub(super) fn serve(&mut self, steps: u64) {
        self.served = self.served.saturating_add(steps).min(self.handed);
    }

    /// New steps: the newest of each lock is what counts.
    pub(super) fn keep(&mut self, tokens: &[StepToken]) {
        for token in tokens {
            match self.loose.iter_mut().find(|loose| loose.anchor == token.anchor) {
                Some(loose) if loose.steps < token.steps => *loose = *token,
                Some(_) => {}
                None => self.loose.push(*token),
            }
        }
    }

    /// What a credential carries.
    pub(super) fn loose(&self) -> Vec<StepToken> {
        self.loose.iter().rev().take(TOKENS_MAX).rev().copied().collect()
    }

    /// The server has taken these.
    pub(super) fn taken(&mut self, tokens: &[StepToken]) {
        let newest = |anchor: &Anchor| {
            let of_lock = tokens.iter().filter(|token| token.anchor == *anchor);
            of_lock.map(|token| token.steps).max()
        };
        self.loose.retain(|loose| newest(&loose.anchor).is_none_or(|steps| steps < loose.steps));
    }
}

#[cfg(test)]
mod tests {
    use settlement::types::Secret;

    use super::*;

    #[test]
    fn no_more_is_handed_out_than_was_served_and_may_be_ahead() {
        let mut book = Book::new(10, u64::MAX);
        assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 10 }));
        assert_eq!(book.reserve(1), Err(Stop::Ahead));
        book.serve(4);
        assert_eq!((book.room(), book.reserve(5)), (4, Err(Stop::Ahead)));
        assert_eq!(book.reserve(4), Ok(Reserved { steps: 4, fresh: 4 }));
        book.serve(1_000);
        assert_eq!(book.figures(), (14, 14, 0), "nobody serves more than it was handed");
        assert_eq!(book.room(), 10);
    }

    #[test]
    fn what_was_not_needed_pays_for_the_next() {
        let mut book = Book::new(10, u64::MAX);
        let all = book.reserve(10).unwrap();
        book.serve(3);
        book.give_back(7);
        assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 3 }));
        assert_eq!(book.figures(), (13, 3, 0));
        book.serve(10);
        let again = book.reserve(5).unwrap();
        book.cancel(again);
        assert_eq!(book.figures(), (13, 13, 0), "it never left");
        assert_eq!(all.steps, 10);
    }

    #[test]
    fn what_a_server_denies_to_hold_stays_handed_out() {
        let mut book = Book::new(10, u64::MAX);
        book.reserve(6).unwrap();
        book.give_back(6);
        let mixed = book.reserve(8).unwrap();
        assert_eq!(mixed, Reserved { steps: 8, fresh: 2 });
        book.denied(mixed, None);
        assert_eq!((book.figures(), book.room()), ((8, 0, 2), 4));
        let again = book.reserve(4).unwrap();
        book.denied(again, Some(3));
        assert_eq!((book.figures(), book.room()), ((10, 0, 1), 1), "it says that it holds 1");
        let mut rounds = 0;
        while let Ok(reserved) = book.reserve(1) {
            book.denied(Reserved { fresh: 0, ..reserved }, None);
            rounds += 1;
        }
        assert!(rounds <= 4, "a server that denies everything gets no more than what may be ahead");
    }

    #[test]
    fn a_budget_is_kept() {
        let mut book = Book::new(10, 12);
        book.reserve(10).unwrap();
        book.serve(10);
        assert_eq!((book.room(), book.reserve(3)), (2, Err(Stop::Spent)));
        book.reserve(2).unwrap();
        book.give_back(2);
        assert_eq!(book.reserve(2), Ok(Reserved { steps: 2, fresh: 0 }));
    }

    #[test]
    fn a_step_is_shown_until_it_is_known_to_have_arrived() {
        let token = |lock, steps| StepToken {
            anchor: Anchor([lock; 32]),
            steps,
            secret: Secret([lock; 32]),
        };
        let mut book = Book::new(10, 10);
        book.keep(&[token(1, 5)]);
        let first = book.loose();
        book.keep(&[token(1, 8), token(2, 3)]);
        book.keep(&[token(2, 2)]);
        assert_eq!(book.loose(), [token(1, 8), token(2, 3)]);
        book.taken(&first);
        assert_eq!(book.loose(), [token(1, 8), token(2, 3)], "a newer one may be lost yet");
        book.taken(&[token(1, 8)]);
        assert_eq!(book.loose(), [token(2, 3)]);
        for lock in 10..30 {
            book.keep(&[token(lock, 1)]);
        }
        assert_eq!(book.loose().len(), TOKENS_MAX);
    }
}
