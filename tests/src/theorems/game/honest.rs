//! The honest side: the engine of production, and a shell that does what section 3 says.

use settlement::channel::{Duty, Effect, NewOp, Now, Phase, Step};
use settlement::crypto::Signed;
use settlement::liabilities::Liabilities;
use settlement::lock::Lock;
use settlement::params::View;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AnchorEntry, Anchoring, Submission, Transaction};
use settlement::types::{Amount, Anchor, Hash, Role, Salt};
use settlement::update::{Destination, Memo, Payload};

use super::{Chain, DEPOSIT, EUR, Game, Taken, Theorem, count};
use crate::theorems::take_waiting;

/// What a direct payment is worth.
pub const PAYMENT: u64 = 7;
/// What a step of a lock is worth.
pub const UNIT: u64 = 20;

impl Game {
    pub(super) fn commit(&mut self, step: &Step) {
        for effect in self.me.commit(step) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SendUpdate => self.send_update(),
            Effect::SendReveal { id, secret } => {
                let height = self.height();
                self.theirs.shown.show(id, &secret, height);
            }
            Effect::LockGone { id, .. } if self.ours.back.contains(&id) => {
                self.break_theorem(Theorem::Atomic, format!("lock {id} is back twice"));
            }
            Effect::LockGone { id, .. } => drop(self.ours.back.insert(id)),
            _ => {}
        }
    }

    /// The thief has it from now on.
    fn send_update(&mut self) {
        let Some(flight) = self.me.outgoing().in_flight.clone() else { return };
        self.ours.sign(flight.base, &flight.ops(), flight.proof.seq);
        let state = self.ours.state(flight.proof.seq);
        let said = (flight.proof.transferred.0, flight.proof.locked.0);
        if said != (state.paid, state.pending()) {
            let how = format!("{:?} was signed for {state:?}", flight.proof);
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
        let proof = Signed::alone(self.key(self.stage.honest), flight.proof, Salt([7; 16]));
        self.taken.push(Taken { proof, locks: flight.after.locks.clone(), refused: false });
    }

    pub(super) fn now(&self) -> (View, u64) {
        (self.view, self.bounds().lag)
    }

    /// Runs something of the engine's that needs the view.
    pub(super) fn with<T>(
        &self,
        f: impl FnOnce(&settlement::channel::Channel, &Now<'_>) -> T,
    ) -> T {
        let (view, lag) = self.now();
        f(&self.me, &Now { view, policy: &self.stage.policy, lag })
    }

    /// What the shell does whenever something has happened.
    pub(super) fn attend(&mut self) {
        if self.asleep {
            return;
        }
        let steps = self.with(|me, now| {
            let lapsed = me.lapse(now).into_iter();
            lapsed.chain(me.expire(now)).collect::<Vec<_>>()
        });
        steps.iter().for_each(|step| self.commit(step));
        let due = self.with(|me, now| me.owes_plain_update() || me.has_due_changes(now));
        if due && self.me.outgoing().in_flight.is_none() {
            self.propose(&[]);
        }
        match self.with(|me, now| me.duty(now)) {
            Some(duty) if self.waiting.is_empty() => {
                let close = duty == Duty::CloseAndClaim;
                if close && self.me.phase() != Phase::ClosingSoon {
                    self.commit(&Step::Closing);
                }
                self.submit(close);
            }
            _ => {}
        }
    }

    fn submit(&mut self, close: bool) {
        let body = self.me.submission(close, self.view.height);
        self.hand_in(body);
    }

    fn hand_in(&mut self, body: Submission) {
        let tx = Transaction::submit(self.key(self.stage.honest), body);
        self.waiting.push((tx, self.height().after(self.bounds().delay)));
    }

    fn propose(&mut self, wanted: &[NewOp]) -> bool {
        let proposal = self.with(|me, now| me.propose(wanted, now));
        let done = proposal.step.is_some() && proposal.outcomes.iter().all(Result::is_ok);
        if let Some(step) = proposal.step.filter(|_| done) {
            self.commit(&step);
        }
        done
    }

    pub(super) fn pay(&mut self) -> bool {
        count(&mut self.spent.payments);
        self.propose(&[NewOp::Pay { amount: Amount(PAYMENT), memo: Memo::default() }])
    }

    pub(super) fn lock(&mut self, steps: u8) -> bool {
        count(&mut self.spent.locks);
        let steps = u32::from(steps);
        let seed = self.fresh_seed();
        let chain = Chain { from: self.stage.honest, id: 0, seed, steps };
        let add = NewOp::Add {
            anchor: Anchor(chain.value(0).0),
            unit: Amount(UNIT),
            steps,
            expiry: self.view.height.after(self.bounds().life()),
            to: Destination { hub: None, wallet: self.key(self.thief()).public() },
            payload: Payload::default(),
        };
        let done = self.propose(&[add]);
        if done {
            let id = self.me.outgoing().last_lock_id;
            self.chains.push(Chain { id, ..chain });
        }
        done
    }

    pub(super) fn fresh_seed(&self) -> u8 {
        u8::try_from(self.chains.len() + 1).unwrap_or(u8::MAX)
    }

    /// The oldest lock of the thief's that has no full answer.
    fn pending_lock(&self) -> Option<Lock> {
        let incoming = self.me.incoming();
        let open = |lock: &&Lock| {
            let shown = self.theirs.shown.of(lock.id);
            let steps = shown.map(|(secret, _)| super::super::history::distance(&secret, lock));
            steps.max().unwrap_or(0) < lock.steps
        };
        incoming.tally.locks.iter().find(open).copied()
    }

    pub(super) fn show(&mut self, all: bool) -> bool {
        let Some(lock) = self.pending_lock() else { return false };
        if self.with(|me, now| me.claimable(lock.id, now)).is_err() {
            return false;
        }
        let steps = if all { lock.steps } else { 1 };
        let Some(secret) = self.secret(&lock, steps) else { return false };
        let Ok(Some(step)) = self.me.reveal(lock.id, &secret) else { return false };
        self.commit(&step);
        self.dark_until = None;
        true
    }

    pub(super) fn give_up(&mut self) -> bool {
        let Some(lock) = self.me.incoming().tally.locks.first().copied() else { return false };
        let Ok(step) = self.me.fail(lock.id, Code::RefusedByPayee) else { return false };
        self.commit(&step);
        true
    }

    pub(super) fn close(&mut self) -> bool {
        if !matches!(self.me.phase(), Phase::Open | Phase::Agreed { .. }) {
            return false;
        }
        self.commit(&Step::Closing);
        self.submit(true);
        true
    }

    /// On the open channel: a wallet by a submission, a hub by an anchor.
    pub(super) fn record(&mut self) -> bool {
        count(&mut self.spent.records);
        if self.me.phase() != Phase::Open || !self.waiting.is_empty() {
            return false;
        }
        if self.stage.honest == Role::Wallet {
            let body = self.me.submission(false, self.view.height);
            let worth = body.proof.is_some();
            if worth {
                self.hand_in(Submission { claims: Vec::new(), ..body });
            }
            return worth;
        }
        let entry = AnchorEntry {
            channel: self.me.id(),
            wallet_proof: self.me.incoming().proof.clone(),
            hub_transferred: self.me.outgoing().accepted.transferred,
        };
        let tx = self.anchoring(entry);
        self.waiting.push((tx, self.height().after(self.bounds().delay)));
        true
    }

    pub(super) fn anchoring(&self, entry: AnchorEntry) -> Transaction {
        let as_of = self.height();
        let liabilities =
            Liabilities { as_of, asset: EUR, root: Hash::ZERO, total: Amount(DEPOSIT) };
        let anchor = Anchoring { epoch: 0, entries: vec![entry], liabilities };
        self.account_tx(Role::Hub, AccountAction::Anchor(anchor))
    }

    /// The honest side sees every block that there is.
    pub(super) fn see(&mut self) {
        self.view = View { height: self.height(), fresh: true };
        for (block, event) in std::mem::take(&mut self.unseen) {
            for step in self.me.follow(&event, block) {
                self.commit(&step);
            }
        }
    }

    /// A block: all that the thief has brought first, then what the honest side has handed in, if
    /// the ledger is willing or has to.
    pub(super) fn block(&mut self, ours: bool, seen: bool) -> bool {
        let height = self.height().after(1);
        let mut txs = std::mem::take(&mut self.brought);
        let now = take_waiting(&mut self.waiting, ours, height);
        self.judge_monotone(&txs, &now);
        txs.extend(now);
        self.block_of(txs);
        self.look(seen);
        true
    }

    fn look(&mut self, seen: bool) {
        let height = self.height();
        let behind = height.0 - self.view.height.0;
        self.view.fresh = behind <= self.bounds().lag;
        let dark = self.dark_until.is_some_and(|until| height < until);
        if self.asleep || dark {
            return;
        }
        if seen || behind > self.bounds().lag || self.dark_until.take().is_some() {
            self.see();
        }
    }

    /// Whoever has shown a secret and is kept from seeing blocks until the lock expires loses: the
    /// rules ask it to see them. So nights fall on sides with nothing of that kind, and end when
    /// they show something.
    pub(super) fn go_dark(&mut self) -> bool {
        let exposed = self.with(|me, now| me.claim_by(now)).is_some();
        let open = self.me.phase() == Phase::Open;
        if self.dark_until.is_some() || exposed || !open || !self.unseen.is_empty() {
            return false;
        }
        self.dark_until = Some(self.height().after(self.bounds().night()));
        true
    }

    pub(super) fn fall_asleep(&mut self) -> bool {
        self.waiting.clear();
        self.asleep = true;
        true
    }
}
