//! What a stream's steps have been spent on: pure arithmetic, in steps.
//!
//! # Why no step is spent twice
//! - `paid` is what the payee's wallet holds, durably; it only grows.
//! - A response gets its steps out of `paid − assigned`, all that it asks for or none, in one go under
//!   one lock. So two requests at the same time never get the same step.
//! - A response spends what it was given. Beyond that it may take what the payee lends, and all
//!   responses to a payer together, over all its streams, are never lent more than `credit`. What was
//!   lent is taken out of the next steps that come in, before anything else.
//! - What a response needs at the least it has before its handler runs, so that nothing is made that
//!   is not paid for. One that is paid by the request keeps it until it is answered: its payer can't
//!   end it, or it would have its steps back while the handler is at work.
//! - What a response did not use is the payer's again, for its next request. It is the payer's
//!   business to say how many steps a response may use: none is taken from what is left over.
//! - A credential is taken once: its nonce is remembered until the demand that it answers has expired.
//!   After a restart all that was held by then counts as spent, and the old demands are void.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use super::credential::Nonce;
use super::credit::Owed;
use super::session::SessionId;

/// Responses of one stream at a time.
const SESSIONS_MAX: usize = 1_024;
/// Credentials of one stream within the life of a demand, besides those that it pays for.
pub(super) const NONCES_FREE: usize = 65_536;
/// How many for each step that it brought.
const NONCES_PER_STEP: u64 = 4;
/// Responses that are over and still have a receipt.
const PAST_KEPT: usize = 64;

/// Why an account does not go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// The credential was taken before.
    Replayed,
    /// Too many at a time.
    Busy,
    /// So many steps more are needed.
    Short(u64),
    /// No such response is under way.
    Unknown,
    /// The response is paid as a whole, and ends when it is answered.
    Whole,
}

/// How a response stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    /// What was asked for.
    pub(super) resource: Arc<str>,
    /// What it has cost.
    pub(super) used: u64,
    /// What all responses of the stream have cost.
    pub(super) served: u64,
    /// What the payee holds.
    pub(super) paid: u64,
}

/// Whether a response may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Yes,
    /// Not now: so many steps more are needed.
    Wait(u64),
    /// Never: the payer has ended it.
    Over,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    credit: u64,
    /// What was held when it was made.
    before: u64,
    paid: u64,
    assigned: u64,
    /// Steps that are the payer's again here, and that another of its streams has paid.
    given: u64,
    owed: Owed,
    served: u64,
    sessions: HashMap<SessionId, Session>,
    past: VecDeque<(SessionId, Arc<str>, u64)>,
    seen: Seen,
}

/// A response under way.
#[derive(Debug)]
struct Session {
    resource: Arc<str>,
    allowance: u64,
    /// What it was lent of that before it began.
    lent: u64,
    used: u64,
    /// It is paid as a whole: its payer can't end it.
    whole: bool,
    over: bool,
    waiting: Option<Waker>,
}

/// The credentials of the last two lives of a demand.
#[derive(Debug, Default)]
struct Seen {
    since_ms: u64,
    now: HashSet<Nonce>,
    before: HashSet<Nonce>,
}

impl Seen {
    fn take(
        &mut self,
        nonce: Nonce,
        now_ms: u64,
        life_ms: u64,
        most: usize,
    ) -> Result<(), Declined> {
        let age = now_ms.saturating_sub(self.since_ms);
        if age >= life_ms {
            let newest = std::mem::take(&mut self.now);
            self.before = if age < life_ms.saturating_mul(2) { newest } else { HashSet::new() };
            self.since_ms = now_ms;
        }
        if self.before.contains(&nonce) {
            return Err(Declined::Replayed);
        }
        if self.now.len() >= most {
            return Err(Declined::Busy);
        }
        if self.now.insert(nonce) { Ok(()) } else { Err(Declined::Replayed) }
    }
}

impl Account {
    /// The account of a stream of which `paid` steps are held, and count as spent, and whose payer owes
    /// this.
    pub(super) fn new(paid: u64, credit: u64, owed: Owed) -> Account {
        Account {
            credit,
            before: paid,
            paid,
            assigned: paid,
            given: 0,
            owed,
            served: 0,
            sessions: HashMap::new(),
            past: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    /// Takes a credential, once. `free` are remembered for nothing, and some for each step: else whoever
    /// has a stream could fill the memory.
    pub(super) fn admit(
        &mut self,
        nonce: Nonce,
        now_ms: u64,
        life_ms: u64,
        free: usize,
    ) -> Result<(), Declined> {
        let paid_for = self.paid.saturating_sub(self.before).saturating_mul(NONCES_PER_STEP);
        let most = usize::try_from(paid_for).unwrap_or(usize::MAX).saturating_add(free);
        self.seen.take(nonce, now_ms, life_ms, most)
    }

    /// So many steps are held by now.
    pub(super) fn hold(&mut self, paid: u64) {
        self.paid = self.paid.max(paid);
    }

    /// Begins a response with so many steps. It has `least` of them from the beginning, lent ones if
    /// need be.
    pub(super) fn open(
        &mut self,
        session: SessionId,
        resource: Arc<str>,
        steps: u64,
        least: u64,
    ) -> Result<(), Declined> {
        if self.sessions.len() >= SESSIONS_MAX {
            return Err(Declined::Busy);
        }
        let was = self.past.iter().any(|(past, ..)| *past == session);
        if was || self.sessions.contains_key(&session) {
            return Err(Declined::Replayed);
        }
        let owed = self.owed.clone();
        let mut owed = owed.steps();
        let (own, still_owed) = self.assignable(steps, *owed)?;
        let lent = least.saturating_sub(own);
        let lendable = self.credit.saturating_sub(still_owed);
        if lent > lendable {
            return Err(Declined::Short(lent.saturating_sub(lendable)));
        }
        self.assigned = self.assigned.saturating_add(steps);
        *owed = still_owed.saturating_add(lent);
        let allowance = own.saturating_add(lent);
        let (used, whole, over, waiting) = Default::default();
        let begun = Session { resource, allowance, lent, used, whole, over, waiting };
        self.sessions.insert(session, begun);
        Ok(())
    }

    /// The same for a response that is paid as a whole, with `least`, when it is answered.
    pub(super) fn open_whole(
        &mut self,
        session: SessionId,
        resource: Arc<str>,
        steps: u64,
        least: u64,
    ) -> Result<(), Declined> {
        self.open(session, resource, steps, least)?;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.whole = true;
        }
        Ok(())
    }

    /// More steps for a response that is under way.
    pub(super) fn add(&mut self, session: SessionId, steps: u64) -> Result<(), Declined> {
        if self.sessions.get(&session).is_none_or(|session| session.over) {
            return Err(Declined::Unknown);
        }
        let owed = self.owed.clone();
        let mut owed = owed.steps();
        let (allowance, still_owed) = self.assignable(steps, *owed)?;
        self.assigned = self.assigned.saturating_add(steps);
        *owed = still_owed;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.allowance = session.allowance.saturating_add(allowance);
            if let Some(waker) = session.waiting.take() {
                waker.wake();
            }
        }
        Ok(())
    }

    /// How many of so many steps are left when what is owed is taken out, and what is owed then.
    fn assignable(&self, steps: u64, owed: u64) -> Result<(u64, u64), Declined> {
        let there = self.left();
        if steps > there {
            return Err(Declined::Short(steps.saturating_sub(there)));
        }
        let back = steps.min(owed);
        Ok((steps.saturating_sub(back), owed.saturating_sub(back)))
    }

    /// Spends so many steps of a response, all or none; else `waker` is woken when more have come.
    pub(super) fn spend(&mut self, session: SessionId, steps: u64, waker: Option<&Waker>) -> Spent {
        let (credit, mut owed) = (self.credit, self.owed.steps());
        let Some(session) = self.sessions.get_mut(&session).filter(|session| !session.over) else {
            return Spent::Over;
        };
        let beyond = steps.saturating_sub(session.allowance);
        let lending = owed.checked_add(beyond).filter(|owed| beyond == 0 || *owed <= credit);
        let Some(lending) = lending else {
            session.waiting = waker.cloned();
            return Spent::Wait(beyond);
        };
        session.allowance = session.allowance.saturating_sub(steps);
        session.used = session.used.saturating_add(steps);
        *owed = lending;
        self.served = self.served.saturating_add(steps);
        Spent::Yes
    }

    /// How a response stands, or stood when it was over.
    pub(super) fn figures(&self, session: SessionId) -> Option<Figures> {
        let under_way = self.sessions.get(&session).map(|it| (&it.resource, it.used));
        let past = || {
            let past = self.past.iter().find(|(past, ..)| *past == session);
            past.map(|(_, resource, used)| (resource, *used))
        };
        let (resource, used) = under_way.or_else(past)?;
        let resource = resource.clone();
        Some(Figures { resource, used, served: self.served, paid: self.paid })
    }

    /// A response's payer ends it; see [`Account::stop`].
    pub(super) fn close(&mut self, session: SessionId) -> Result<(), Declined> {
        if self.sessions.get(&session).is_some_and(|session| session.whole) {
            return Err(Declined::Whole);
        }
        self.stop(session);
        Ok(())
    }

    /// Nothing more is spent on a response, and what it did not use is the payer's again, or the
    /// payee's if it was lent and nobody has given it back.
    pub(super) fn stop(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        session.over = true;
        let unused = std::mem::take(&mut session.allowance);
        let mut owed = self.owed.steps();
        let back = unused.min(session.lent).min(*owed);
        *owed = owed.saturating_sub(back);
        let again = unused.saturating_sub(back);
        self.given = self.given.saturating_add(again.saturating_sub(self.assigned));
        self.assigned = self.assigned.saturating_sub(again);
        if let Some(waker) = session.waiting.take() {
            waker.wake();
        }
    }

    /// The response is over.
    pub(super) fn end(&mut self, session: SessionId) {
        self.stop(session);
        if let Some(over) = self.sessions.remove(&session) {
            if self.past.len() >= PAST_KEPT {
                self.past.pop_front();
            }
            self.past.push_back((session, over.resource, over.used));
        }
    }

    /// What all responses have cost, and what is held.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.served, self.paid)
    }

    /// Steps that are for no response.
    pub(super) fn left(&self) -> u64 {
        self.paid.saturating_add(self.given).saturating_sub(self.assigned)
    }

    /// Whether no response is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests;
