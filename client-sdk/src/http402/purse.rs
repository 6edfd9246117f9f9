//! What a client has handed to one payee, and what it got for it: in steps over each stream, in base
//! units of the asset over all of them.
//!
//! The server may claim what it likes. Of what it was handed a client counts only what it was served
//! itself, and hands out no more than `ahead` beyond that, ever. What came to nothing, or whose answer
//! was lost, is used for the next request; what the server then denies to hold is not handed over a
//! second time as if it were new, but stays handed out. It is claimed again when the server has served
//! something since: it may have held those for a response that it did not yet know to be over.
//!
//! A payee can end streams and change the unit that it asks for, and begins nothing anew by that: what
//! it redeemed and did not serve stays handed out when the stream has ended. What it did not redeem by
//! then it never gets, and that counts no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use settlement::types::Anchor;

use super::credential::TOKENS_MAX;
use crate::relay::StepToken;

/// What a payee was handed of an asset over all streams and in all units, in base units.
#[derive(Debug)]
pub(super) struct Sums {
    /// The most that is handed out in all.
    budget: u64,
    /// The most that a step of any stream is worth.
    unit_max: u64,
    handed: u64,
    served: u64,
    /// What the hub took for streams to it. A payee that ends each stream at once has a client pay
    /// the next one's fee, and may share it with its hub.
    fees: u64,
}

impl Sums {
    pub(super) fn new(budget: u64) -> Sums {
        Sums { budget, unit_max: 0, handed: 0, served: 0, fees: 0 }
    }

    /// What is left of the budget.
    pub(super) fn left(&self) -> u64 {
        self.budget.saturating_sub(self.handed).saturating_sub(self.fees)
    }

    /// How many steps of `unit` more the budget buys.
    fn affordable(&self, unit: u64) -> u64 {
        self.left().checked_div(unit).unwrap_or(0)
    }

    /// How many of them may be handed out now, if `ahead` steps of the largest unit may be beyond what
    /// was served. Were it of their own unit, a dear step that is spare would hold up all cheap ones.
    fn room(&self, unit: u64, ahead: u64) -> u64 {
        let out = self.handed.saturating_sub(self.served);
        let more = ahead.saturating_mul(self.unit_max).saturating_sub(out);
        more.checked_div(unit).unwrap_or(0).min(self.affordable(unit))
    }
}

/// The sums that all books of a payee count in.
pub(super) type SharedSums = Arc<Mutex<Sums>>;

/// What was handed out over one stream.
#[derive(Debug)]
pub(super) struct Book {
    /// The most that the payee is handed beyond what it has served, over whatever stream.
    ahead: u64,
    /// What a step is worth.
    unit: u64,
    /// What the payee was handed over all streams. Locked after the book, never before it.
    sums: SharedSums,
    handed: u64,
    served: u64,
    /// What the hub took for this stream.
    fees: u64,
    /// Handed out, and for no response.
    spare: u64,
    /// Handed out, and the server says that it does not hold them.
    denied: u64,
    /// It has served something since, and may be asked for those again.
    ask_again: bool,
    /// It was asked for them again, and is not asked once more while there is another way.
    asked: bool,
    /// Nothing more comes of the stream.
    over: bool,
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
    /// The stream has ended.
    Over,
}

/// Steps for a response: so many in all, so many of them new, and so many that were denied before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) steps: u64,
    pub(super) fresh: u64,
    pub(super) again: u64,
}

impl Book {
    pub(super) fn new(ahead: u64, unit: u64, sums: SharedSums) -> Book {
        let (handed, served, fees, spare, denied) = Default::default();
        let (ask_again, asked, over, loose) = Default::default();
        let book = Book {
            ahead,
            unit,
            sums,
            handed,
            served,
            fees,
            spare,
            denied,
            ask_again,
            asked,
            over,
            loose,
        };
        let mut sums = book.sums();
        sums.unit_max = sums.unit_max.max(unit);
        drop(sums);
        book
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the payee was handed over all streams and what it has served, in base units.
    pub(super) fn totals(&self) -> (u64, u64) {
        let sums = self.sums();
        (sums.handed, sums.served)
    }

    /// Steps handed out over this stream, served, and for no response.
    pub(super) fn figures(&self) -> (u64, u64, u64) {
        (self.handed, self.served, self.spare)
    }

    /// The hub has taken so much for this stream.
    pub(super) fn fees_are(&mut self, fees: u64) {
        let more = fees.saturating_sub(self.fees);
        self.fees = self.fees.max(fees);
        let mut sums = self.sums();
        sums.fees = sums.fees.saturating_add(more);
    }

    /// How many steps a response can get now.
    pub(super) fn room(&self) -> u64 {
        self.spare.saturating_add(self.fresh(&self.sums()))
    }

    /// How many new ones.
    fn fresh(&self, sums: &Sums) -> u64 {
        let out = self.handed.saturating_sub(self.served);
        self.ahead.saturating_sub(out).min(sums.room(self.unit, self.ahead))
    }

    /// Sets so many steps aside for a response: spare ones first; then those that the server did not
    /// hold when it was asked first, or, if it did not the second time either, new ones; and when there
    /// may be no more of those, whatever the server denies.
    pub(super) fn reserve(&mut self, steps: u64) -> Result<Reserved, Stop> {
        if self.over {
            return Err(Stop::Over);
        }
        let mut fresh = steps.saturating_sub(self.spare);
        let mut sums = self.sums();
        let is_too_much = fresh > self.fresh(&sums).min(sums.affordable(self.unit));
        let asks_again = self.ask_again && (is_too_much || !self.asked);
        let again = if asks_again { self.denied.min(fresh) } else { 0 };
        fresh = fresh.saturating_sub(again);
        if fresh > sums.affordable(self.unit) {
            return Err(Stop::Spent);
        }
        if fresh > self.fresh(&sums) {
            return Err(Stop::Ahead);
        }
        sums.handed = sums.handed.saturating_add(fresh.saturating_mul(self.unit));
        drop(sums);
        self.denied = self.denied.saturating_sub(again);
        self.ask_again &= again == 0;
        self.asked |= again > 0;
        self.spare = self.spare.saturating_sub(steps);
        self.handed = self.handed.saturating_add(fresh);
        Ok(Reserved { steps, fresh, again })
    }

    /// Nothing came of it: the new ones were not handed out after all.
    pub(super) fn cancel(&mut self, reserved: Reserved) {
        if self.over {
            return;
        }
        self.handed = self.handed.saturating_sub(reserved.fresh);
        let amount = reserved.fresh.saturating_mul(self.unit);
        let mut sums = self.sums();
        sums.handed = sums.handed.saturating_sub(amount);
        drop(sums);
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
        let held = held.unwrap_or(reserved.fresh);
        let claimed = self.spare.saturating_add(reserved.steps);
        self.denied = self.denied.saturating_add(claimed.saturating_sub(held));
        self.spare = held;
        self.asked &= reserved.again > 0;
    }

    /// The stream has ended, and the payee was paid for so many of the steps that were handed out here.
    /// The rest is the payer's again for good.
    pub(super) fn ended(&mut self, redeemed: u64) {
        let lost = redeemed.clamp(self.served, self.handed);
        let back = self.handed.saturating_sub(lost).saturating_mul(self.unit);
        let mut sums = self.sums();
        sums.handed = sums.handed.saturating_sub(back);
        drop(sums);
        (self.handed, self.spare, self.denied, self.over) = (lost, 0, 0, true);
        self.loose.clear();
    }

    /// So many steps' worth was served.
    pub(super) fn serve(&mut self, steps: u64) {
        let before = self.served;
        self.ask_again |= steps > 0 && self.denied > 0;
        self.served = self.served.saturating_add(steps).min(self.handed);
        let amount = self.served.saturating_sub(before).saturating_mul(self.unit);
        let mut sums = self.sums();
        sums.served = sums.served.saturating_add(amount);
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

    fn sums(budget: u64) -> SharedSums {
        Arc::new(Mutex::new(Sums::new(budget)))
    }

    /// A payee's only book, of steps that are worth 1.
    fn only(ahead: u64, budget: u64) -> Book {
        Book::new(ahead, 1, sums(budget))
    }

    #[test]
    fn a_payee_begins_nothing_anew_with_another_stream_or_unit() {
        // Units of streams one after the other, ahead, budget; steps that each gets when nothing is
        // served, and when all of it is.
        type Case = ([u64; 3], u64, u64, [u64; 3], [u64; 3]);
        let cases: [Case; 7] = [
            ([2, 2, 2], 10, 1_000, [10, 0, 0], [10, 10, 10]),
            ([2, 2, 2], 10, 50, [10, 0, 0], [10, 10, 5]),
            ([2, 1, 3], 10, 1_000, [10, 0, 3], [10, 10, 10]),
            ([1, 2, 3], 10, 40, [10, 5, 3], [10, 10, 3]),
            ([3, 2, 1], 10, 35, [10, 0, 0], [10, 2, 1]),
            ([7, 7, 5], 10, 20, [2, 0, 1], [2, 0, 1]),
            ([100, 1, 1], 10, 510, [5, 10, 0], [5, 10, 0]),
        ];
        for (units, ahead, budget, unserved, served) in cases {
            for (serves, expected) in [(false, unserved), (true, served)] {
                let sums = sums(budget);
                let got = units.map(|unit| {
                    let mut book = Book::new(ahead, unit, sums.clone());
                    let room = book.room();
                    assert!(book.reserve(room + 1).is_err());
                    assert_eq!(book.reserve(room).map(|reserved| reserved.fresh), Ok(room));
                    if serves {
                        book.serve(room);
                    } else {
                        // It is this stream's, and gone with it.
                        book.give_back(room);
                    }
                    room
                });
                assert_eq!(got, expected, "{units:?}, {ahead} ahead of {budget}, serves: {serves}");
            }
        }
    }

    #[test]
    fn what_did_not_leave_over_one_stream_is_there_for_another() {
        let sums = sums(u64::MAX);
        let (mut one, mut other) = (Book::new(10, 2, sums.clone()), Book::new(10, 4, sums.clone()));
        let never = one.reserve(10).unwrap();
        assert_eq!(other.room(), 5);
        one.cancel(never);
        assert_eq!((other.room(), other.totals()), (10, (0, 0)));
        other.reserve(3).unwrap();
        other.serve(5);
        assert_eq!(one.totals(), (12, 12), "nobody serves more than it was handed");
    }

    #[test]
    fn no_more_is_handed_out_than_was_served_and_may_be_ahead() {
        let mut book = only(10, u64::MAX);
        assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 10, again: 0 }));
        assert_eq!(book.reserve(1), Err(Stop::Ahead));
        book.serve(4);
        assert_eq!((book.room(), book.reserve(5)), (4, Err(Stop::Ahead)));
        assert_eq!(book.reserve(4), Ok(Reserved { steps: 4, fresh: 4, again: 0 }));
        book.serve(1_000);
        assert_eq!(book.figures(), (14, 14, 0), "nobody serves more than it was handed");
        assert_eq!(book.room(), 10);
    }

    #[test]
    fn what_was_not_needed_pays_for_the_next() {
        let mut book = only(10, u64::MAX);
        let all = book.reserve(10).unwrap();
        book.serve(3);
        book.give_back(7);
        assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 3, again: 0 }));
        assert_eq!(book.figures(), (13, 3, 0));
        book.serve(10);
        let again = book.reserve(5).unwrap();
        book.cancel(again);
        assert_eq!(book.figures(), (13, 13, 0), "it never left");
        assert_eq!(all.steps, 10);
    }

    #[test]
    fn what_a_server_denies_to_hold_stays_handed_out() {
        let mut book = only(10, u64::MAX);
        book.reserve(6).unwrap();
        book.give_back(6);
        let mixed = book.reserve(8).unwrap();
        assert_eq!(mixed, Reserved { steps: 8, fresh: 2, again: 0 });
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
    fn what_a_server_denied_is_claimed_again_once_it_has_served_something() {
        let mut book = only(10, u64::MAX);
        let first = book.reserve(8).unwrap();
        book.denied(first, Some(8));
        assert_eq!((book.figures(), book.room()), ((8, 0, 0), 2));
        assert_eq!(book.reserve(3), Err(Stop::Ahead), "it has served nothing");
        book.reserve(2).unwrap();
        book.serve(2);
        let again = book.reserve(2).unwrap();
        assert_eq!(again, Reserved { steps: 2, fresh: 0, again: 2 });
        book.denied(again, Some(2));
        book.serve(0);
        assert_eq!(book.reserve(2).unwrap().fresh, 2, "it is asked once");
        book.serve(1);
        assert_eq!(book.reserve(1).unwrap().fresh, 1, "new ones come first by now");
        book.serve(1);
        let again = book.reserve(8).unwrap();
        assert_eq!(again, Reserved { steps: 8, fresh: 0, again: 8 }, "there is no other way");
        book.denied(again, Some(8));
        assert_eq!(book.reserve(8), Err(Stop::Ahead));
        book.serve(1);
        assert_eq!(book.reserve(8), Ok(again));
        book.serve(8);
        assert_eq!((book.figures(), book.room()), ((13, 13, 0), 10), "it had held them");
    }

    #[test]
    fn of_a_stream_that_has_ended_counts_what_was_redeemed_and_not_served() {
        // Handed out, served, redeemed; what may be ahead of another stream then, of 10.
        for (handed, served, redeemed, room) in
            [(10, 0, 0, 10), (10, 0, 4, 6), (10, 3, 3, 10), (10, 3, 5, 8), (10, 3, 99, 3)]
        {
            let sums = sums(u64::MAX);
            let mut over = Book::new(10, 2, sums.clone());
            over.reserve(handed).unwrap();
            over.serve(served);
            over.give_back(handed - served);
            let never = over.reserve(0).unwrap();
            over.ended(redeemed);
            over.cancel(Reserved { fresh: handed, ..never });
            assert_eq!(over.reserve(1), Err(Stop::Over));
            let next = Book::new(10, 2, sums);
            assert_eq!(next.room(), room, "{handed} {served} {redeemed}");
            assert_eq!(over.figures().2, 0);
        }
    }

    #[test]
    fn a_budget_is_kept() {
        let mut book = only(10, 12);
        book.reserve(10).unwrap();
        book.serve(10);
        assert_eq!((book.room(), book.reserve(3)), (2, Err(Stop::Spent)));
        book.reserve(2).unwrap();
        book.give_back(2);
        assert_eq!(book.reserve(2), Ok(Reserved { steps: 2, fresh: 0, again: 0 }));
    }

    #[test]
    fn a_step_is_shown_until_it_is_known_to_have_arrived() {
        let token = |lock, steps| StepToken {
            anchor: Anchor([lock; 32]),
            steps,
            secret: Secret([lock; 32]),
        };
        let mut book = only(10, 10);
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
