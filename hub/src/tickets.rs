//! Requests that wait for a shard: a withdrawal or a cooperative close that a wallet wants signed.

use std::collections::HashMap;

use client_sdk::api::Cosigned;
use settlement::api::Problem;
use settlement::bugs::{Bug, planted};
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::Signature;
use tokio::sync::oneshot;

use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::{Mutex, PoisonError};

/// What the wallet wants signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    Withdraw(Withdrawal),
    Close(CooperativeClose),
}

/// A request with the way back to the wallet.
pub(crate) struct Request {
    pub(crate) body: Body,
    pub(crate) wallet: Signature,
    pub(crate) answer: oneshot::Sender<Result<Cosigned, Problem>>,
}

impl Request {
    /// Answers it with a refusal. The wallet may have gone away.
    pub(crate) fn refuse(self, code: Code) {
        let _ = self.answer.send(Err(Problem::new(code, code.title())));
    }
}

/// Requests by number.
#[derive(Default)]
pub(crate) struct Tickets {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, Request>>,
}

impl Tickets {
    /// Keeps a request until its shard has answered.
    pub(crate) fn keep(&self, request: Request) -> u64 {
        let ticket = if planted(Bug::TicketTwice) {
            let last = self.last.load(Relaxed);
            self.last.store(last.wrapping_add(1), Relaxed);
            last
        } else {
            self.last.fetch_add(1, Relaxed)
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, request);
        ticket
    }

    /// The request with this number, once.
    pub(crate) fn take(&self, ticket: u64) -> Option<Request> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket)
    }
}
