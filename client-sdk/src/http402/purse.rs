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
mod tests;
