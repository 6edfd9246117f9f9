//! What the wallets say of their own accord: their next updates.

use rand::{Rng, RngExt};
use settlement::channel::{Effect, NewOp, Now, Proposal, Step};
use settlement::crypto::{Signed, chain_step};
use settlement::lock::LOCKS_MAX;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, Role, Salt, Secret};
use settlement::update::{Destination, Payload, Update};
use settlement::wire::Message;

use super::pending::Payment;
use super::{Due, Fleet, Invoice, Stage};
use crate::load::mix::Meant;
use crate::load::socket::Socket;

/// Payments are worth 1 to so many units.
const AMOUNT_MAX: u64 = 100;
/// By how much a payment is above what the hub has that is meant to have too little.
const MARGIN: u64 = AMOUNT_MAX * LOCKS_MAX as u64;

/// How often a payee is drawn that is not about to close its channel; so many that do are never away.
const TRIES: usize = 16;

/// A payment that is wanted.
struct Wanted {
    op: NewOp,
    payment: Payment,
    anchor: Anchor,
}

impl Fleet {
    /// Has every wallet that is on the list say what it wants to. `sockets` are the connections,
    /// `said` is told which of them have something to write.
    pub fn pump(&mut self, sockets: &mut [Socket], now_ns: u64, said: &mut impl FnMut(usize)) {
        while let Some(at) = self.list.pop() {
            let Some(wallet) = self.wallets.get_mut(at) else { continue };
            wallet.listed = false;
            let connection = wallet.connection;
            let Some(socket) = sockets.get_mut(connection) else { continue };
            if self.pump_one(at, socket, now_ns) {
                said(connection);
            }
        }
    }

    fn pump_one(&mut self, at: usize, socket: &mut Socket, now_ns: u64) -> bool {
        let (wallet, channel) = (&self.wallets[at], &self.wallets[at].channel);
        if !wallet.met || channel.outgoing().in_flight.is_some() || channel.usable().is_err() {
            return false;
        }
        if self.waits_to_be_told(at) {
            return false;
        }
        self.fill(at, now_ns);
        let wallet = &self.wallets[at];
        let channel = &wallet.channel;
        let count = self.count(at);
        let now = Now { view: self.view, policy: self.terms.policy(), lag: self.terms.lag };
        let flush = wallet.flush || !self.paying || wallet.stage != Stage::Pays;
        let due = || flush && channel.has_due_changes(&now);
        let lock = self.needs_lock(at, now_ns);
        if count == 0 && !lock && !channel.owes_plain_update() && !due() {
            return false;
        }
        let wanted: Vec<Wanted> = (0..count).map(|nth| self.want(at, nth)).collect();
        let lock = if lock { self.lock_ops(at) } else { Vec::new() };
        self.make(at, wanted, &lock, socket, now_ns)
    }

    /// In closed loop the next payments fall due when the last ones are completed.
    fn fill(&mut self, at: usize, now_ns: u64) {
        let wallet = &self.wallets[at];
        let pays = self.paying && wallet.stage == Stage::Pays;
        if self.pace.open_loop || !pays || !self.view.fresh || !wallet.due.is_empty() {
            return;
        }
        let (each, rounds) = (self.pace.per_signature, self.pace.rounds);
        let pending = wallet.pending.len();
        if pending <= each.saturating_mul(rounds.saturating_sub(1)) {
            let signed = self.draw(now_ns);
            self.wallets[at].due.extend(signed);
        }
    }

    /// How many payments this wallet makes now.
    fn count(&self, at: usize) -> usize {
        let wallet = &self.wallets[at];
        let room = LOCKS_MAX.saturating_sub(wallet.channel.outgoing().accepted.locks.len());
        let due = if self.paying && self.view.fresh { wallet.due.len() } else { 0 };
        // In closed loop what goes under one signature stays together.
        if self.pace.open_loop || due <= room { due.min(room) } else { 0 }
    }

    /// The next payment that is due, to somebody whose invoice is made now.
    fn want(&mut self, at: usize, nth: usize) -> Wanted {
        let due = self.wallets[at].due.get(nth).copied();
        let Due { since_ns, meant } = due.unwrap_or(Due { since_ns: 0, meant: None });
        let payee = self.payee(at);
        let mut amount = Amount(self.rng.random_range(1..=AMOUNT_MAX));
        if meant == Some(Meant::NoFunds) {
            // What the payee has earned may come back to the hub until then.
            let hub = self.wallets[payee].channel.balance(Role::Hub);
            amount = Amount(hub.0.saturating_add(MARGIN));
        }
        let mut secret = Secret([0; 32]);
        self.rng.fill_bytes(&mut secret.0);
        let anchor = Anchor(chain_step(&secret.0));
        let fee = self.terms.fees().fee(amount).unwrap_or_default();
        let unit = Amount(amount.0.saturating_add(fee.0));
        let (mut asked, mut to) = (amount, self.payees[payee]);
        match meant {
            Some(Meant::Refused) => asked = Amount(amount.0.saturating_add(1)),
            Some(Meant::UnknownPayee) => to = self.nobody,
            _ => {}
        }
        if matches!(meant, None | Some(Meant::Refused)) {
            self.invoices.insert(anchor, Invoice { secret, amount: asked, payee: payee as u32 });
        }
        let to = Destination { hub: None, wallet: to };
        let expiry = self.view.height.after(self.terms.policy().lock_life);
        let payload = Payload::default();
        let whom = (meant != Some(Meant::UnknownPayee)).then_some(payee as u32);
        Wanted {
            op: NewOp::Add { anchor, unit, steps: 1, expiry, to, payload },
            payment: Payment { since_ns, unit: unit.0, fee: fee.0, payee: whom, meant },
            anchor,
        }
    }

    /// Another wallet of this thread.
    fn payee(&mut self, at: usize) -> usize {
        let others = self.wallets.len().saturating_sub(1);
        let mut payee = at;
        for _ in 0..TRIES {
            payee = (at + 1 + self.rng.random_range(0..others)) % self.wallets.len();
            if self.pays(payee) {
                break;
            }
        }
        payee
    }

    /// Makes an update of these payments and what adds a stream's lock: all of that, or none of it.
    fn make(
        &mut self,
        at: usize,
        wanted: Vec<Wanted>,
        lock: &[NewOp],
        socket: &mut Socket,
        now_ns: u64,
    ) -> bool {
        let (ops, payments): (Vec<NewOp>, Vec<(Payment, Anchor)>) =
            wanted.into_iter().map(|it| (it.op, (it.payment, it.anchor))).unzip();
        let proposal = self.propose(at, &ops, lock);
        let wallet = &mut self.wallets[at];
        (wallet.flush, wallet.updated_ns) = (false, now_ns);
        let (mut later, mut coming) = (Vec::new(), Vec::new());
        for ((payment, anchor), outcome) in payments.into_iter().zip(proposal.outcomes) {
            let due = wallet.due.pop_front();
            match outcome {
                Ok(id) => {
                    wallet.pending.push(id, payment);
                    self.stats.started += 1;
                    coming.extend(payment.payee);
                }
                Err(code) => {
                    self.invoices.remove(&anchor);
                    // It has to wait, in front of what fell due after it.
                    if matches!(code, Code::TooManyUnacknowledged | Code::TooManyLocks) {
                        later.extend(due);
                    } else {
                        self.stats.failed("not sent", payment.meant, code);
                    }
                }
            }
        }
        later.into_iter().rev().for_each(|due| wallet.due.push_front(due));
        coming.into_iter().for_each(|payee| self.wallets[payee as usize].coming += 1);
        let Some(step) = proposal.step else { return false };
        self.send_update(at, &step, socket);
        true
    }

    fn propose(&mut self, at: usize, ops: &[NewOp], lock: &[NewOp]) -> Proposal {
        let now = Now { view: self.view, policy: self.terms.policy(), lag: self.terms.lag };
        let channel = &self.wallets[at].channel;
        if lock.is_empty() {
            return channel.propose(ops, &now);
        }
        let mut proposal = channel.propose(&[lock, ops].concat(), &now);
        let outcomes: Vec<Result<u64, Code>> = proposal.outcomes.drain(..lock.len()).collect();
        match outcomes.into_iter().collect::<Result<Vec<u64>, Code>>() {
            Ok(ids) => self.lock_is_sent(at, ids.last().copied().unwrap_or_default()),
            Err(code) => {
                proposal = channel.propose(ops, &now);
                self.lock_is_not_sent(code);
            }
        }
        proposal
    }

    pub(super) fn send_update(&mut self, at: usize, step: &Step, socket: &mut Socket) {
        let effects = self.wallets[at].channel.commit(step);
        for effect in effects {
            if effect == Effect::SendUpdate {
                self.sign_and_queue(at, socket);
            }
        }
    }

    /// Signs the update in flight and puts it behind what is to be written.
    pub(super) fn sign_and_queue(&mut self, at: usize, socket: &mut Socket) {
        let wallet = &self.wallets[at];
        let Some(flight) = &wallet.channel.outgoing().in_flight else { return };
        let mut salt = Salt([0; 16]);
        self.rng.fill_bytes(&mut salt.0);
        let proof = Signed::alone(&wallet.key, flight.proof, salt);
        let channel = wallet.channel.id();
        let update = Update { channel, base: flight.base, ops: flight.ops(), proof };
        socket.queue(&Message::Update(update));
        self.stats.signatures += 1;
    }
}
