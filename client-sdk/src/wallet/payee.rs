//! Being paid: which of the hub's locks this wallet shows its secret for.
//!
//! Showing a secret is the one thing that can't be taken back: from then on the hub has it, and this
//! side must be able to get the money from the ledger alone. So a lock is judged anew, with
//! everything in hand, until it is answered: it must be exactly what was asked for or what its
//! payer's sealed payload says, and [`settlement::channel::Channel::claimable`].

use settlement::bugs::{Bug, planted};
use settlement::channel::{Answer, IncomingLock, Step};
use settlement::crypto::chain_step;
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, ChannelId, PublicKey, Secret};

use super::core::Turn;
use super::stream::{StreamId, StreamLock, StreamState};
use super::{Payment, PaymentState, Record, Wallet, Way};
use crate::payload::{Content, ContentKey, open};

/// What a lock is for.
enum Deal {
    /// A payment that is known: this is its secret.
    Known(Secret),
    /// One that nobody asked for.
    New(Box<Payment>, Secret),
    /// A stream's lock: it is taken, and its steps come later.
    Stream(Box<StreamLock>),
}

/// What is done about a lock.
enum Verdict {
    Reveal(Deal),
    Fail(Code),
    /// Nothing can be said yet.
    Wait,
}

impl Wallet {
    /// Answers the hub's locks, as far as they can be judged now. Only while the sides are in touch:
    /// a secret shown to nobody binds this side to go to the ledger for it.
    pub(super) fn judge_locks(&mut self, turn: &mut Turn, id: ChannelId) {
        if !self.is_synced(&id) {
            return;
        }
        let Some(channel) = self.channel(&id) else { return };
        let unanswered = channel.incoming().locks.iter().filter_map(|(id, lock)| {
            let held = lock.answer == Some(Answer::Held);
            (held || lock.answer.is_none()).then_some((*id, held))
        });
        let locks: Vec<(u64, bool)> = unanswered.collect();
        // One at a time: what one of them uses up the next one must see.
        for (lock, held) in locks {
            match self.judge(turn, id, lock) {
                Verdict::Reveal(deal) => self.accept(turn, id, lock, deal),
                // Its secret may have been shown before that was forgotten.
                Verdict::Fail(_) if held => {}
                Verdict::Fail(code) => self.give_up(turn, id, lock, code),
                Verdict::Wait => {}
            }
        }
    }

    fn judge(&self, turn: &Turn, id: ChannelId, lock_id: u64) -> Verdict {
        let Some(channel) = self.channel(&id) else { return Verdict::Wait };
        let lock = channel.incoming().tally.lock(lock_id);
        let (Some(lock), Some(known)) = (lock, channel.incoming().locks.get(&lock_id)) else {
            return Verdict::Wait;
        };
        if self.state.streams.at(id, Way::In, lock_id).is_some() {
            return Verdict::Wait;
        }
        let asset = channel.terms().asset;
        let deal = match self.deal(turn, id, asset, lock, known) {
            Ok(deal) => deal,
            Err(code) => return Verdict::Fail(code),
        };
        let now = self.now(turn.now_ms);
        let needed = now.view.height.after(now.policy.claim_margin).after(now.policy.settle_grace);
        match channel.claimable(lock_id, &now) {
            Ok(_) => Verdict::Reveal(deal),
            // Blocks only come: what is too late in an old view is too late.
            Err(code @ Code::LedgerStalled) if lock.expiry < needed => Verdict::Fail(code),
            Err(
                Code::LedgerStalled | Code::ChannelClosing | Code::Recovering | Code::UnknownLock,
            ) => Verdict::Wait,
            Err(code) => Verdict::Fail(code),
        }
    }

    /// What the lock is for, if it is what it should be.
    fn deal(
        &self,
        turn: &Turn,
        id: ChannelId,
        asset: AssetId,
        lock: &Lock,
        known: &IncomingLock,
    ) -> Result<Deal, Code> {
        let here = known.to.wallet == self.me && known.to.hub.is_none_or(|h| h == self.config.hub);
        if !here {
            return Err(Code::UnknownPayee);
        }
        // A chain that was used before gets nothing, however the other lock ended.
        if self.state.streams.get(&lock.anchor).is_some() {
            return Err(Code::DuplicatePayment);
        }
        match self.state.payments.get(&lock.anchor) {
            Some(payment) => self.deal_known(payment, asset, lock),
            None if known.payload.as_slice().is_empty() => Err(Code::UnknownInvoice),
            None => self.deal_new(turn, (id, lock.id), asset, lock, known),
        }
    }

    fn deal_known(&self, payment: &Payment, asset: AssetId, lock: &Lock) -> Result<Deal, Code> {
        if payment.way == Way::Out {
            return Err(Code::DuplicatePayment);
        }
        match payment.state {
            PaymentState::Settled if planted(Bug::InvoiceTwice) => {}
            PaymentState::Settled => return Err(Code::InvoiceUsed),
            PaymentState::Failed(code) => return Err(code),
            PaymentState::Pending => {}
        }
        let right = asset == payment.asset && lock.steps == 1 && lock.unit == payment.amount;
        if !right {
            return Err(Code::WrongAmount);
        }
        if payment.lock.is_none() && self.seen.height > payment.expires {
            return Err(Code::InvoiceExpired);
        }
        payment.secret.map(Deal::Known).ok_or(Code::UnknownInvoice)
    }

    fn deal_new(
        &self,
        turn: &Turn,
        place: (ChannelId, u64),
        asset: AssetId,
        lock: &Lock,
        known: &IncomingLock,
    ) -> Result<Deal, Code> {
        let opened = open(&known.payload, &self.config.key, &self.ledger);
        let (payer, content) = opened.map_err(|_| Code::BadPayload)?;
        let Content { key, unit, steps, asset: named, anchor, memo } = content;
        let secret = match key {
            ContentKey::Secret(secret) => secret,
            ContentKey::Stream { stream, number } => {
                // All of it is as its payer says, or no step of it is worth anything.
                let same = (named, unit, steps) == (asset, lock.unit, lock.steps);
                return match (anchor == lock.anchor, same) {
                    (false, _) => Err(Code::BadPayload),
                    (true, false) => Err(Code::WrongAmount),
                    (true, true) => {
                        self.check_places(place.0, &payer, steps)?;
                        let made = (stream, number, payer, memo);
                        Ok(Deal::Stream(Box::new(stream_of(turn, place, asset, lock, made))))
                    }
                };
            }
        };
        if anchor != lock.anchor || chain_step(&secret.0) != anchor.0 {
            return Err(Code::BadPayload);
        }
        let right = asset == named && lock.steps == 1 && steps == 1 && lock.unit == unit;
        if !right {
            return Err(Code::WrongAmount);
        }
        let payment = Payment {
            anchor,
            way: Way::In,
            state: PaymentState::Pending,
            asset,
            amount: unit,
            fee: Amount::ZERO,
            peer: Some(payer),
            memo,
            secret: Some(secret),
            lock: Some(place),
            expires: lock.expiry,
            created_ms: turn.now_ms,
        };
        Ok(Deal::New(Box::new(payment), secret))
    }

    /// Shows the secret. The update that holds the lock was recorded before.
    fn accept(&mut self, turn: &mut Turn, id: ChannelId, lock: u64, deal: Deal) {
        let (secret, new) = match deal {
            Deal::Stream(stream) => return self.accept_stream(turn, *stream),
            Deal::Known(secret) => (secret, None),
            Deal::New(payment, secret) => (secret, Some(payment)),
        };
        let Some(Ok(Some(step))) = self.channel(&id).map(|c| c.reveal(lock, &secret)) else {
            return;
        };
        if let Some(payment) = new {
            // Not told yet: it is about to stand differently.
            let record = Record::Payment(*payment);
            self.state.apply(&record);
            turn.out.records.push(record);
        }
        self.step(turn, id, step);
    }

    pub(super) fn give_up(&mut self, turn: &mut Turn, id: ChannelId, lock: u64, code: Code) {
        let step: Option<Step> = self.channel(&id).and_then(|c| c.fail(lock, code).ok());
        if let Some(step) = step {
            self.step(turn, id, step);
        }
    }
}

/// A lock that is what its payer's payload says.
fn stream_of(
    turn: &Turn,
    place: (ChannelId, u64),
    asset: AssetId,
    lock: &Lock,
    (stream, number, peer, memo): (StreamId, u32, PublicKey, String),
) -> StreamLock {
    StreamLock {
        anchor: lock.anchor,
        stream,
        number,
        way: Way::In,
        peer,
        asset,
        unit: lock.unit,
        fee_per_step: Amount::ZERO,
        fee_upfront: Amount::ZERO,
        steps: lock.steps,
        seed: None,
        memo,
        lock: Some(place),
        expiry: lock.expiry,
        shown: 0,
        secret: None,
        redeemed: 0,
        settled: 0,
        state: StreamState::Open,
        created_ms: turn.now_ms,
    }
}
