//! What the hub says, and what the wallets say to that.

use anyhow::{Context, Result, anyhow, bail};
use settlement::channel::{Change, Effect, Now, Received, Step, VerifiedUpdate};
use settlement::proof::SnapshotRef;
use settlement::reject::Code;
use settlement::types::{ChannelId, Secret};
use settlement::update::Update;
use settlement::wire::Message;

use super::pending::Payment;
use super::{Fleet, Stage};
use crate::load::socket::Socket;

impl Fleet {
    /// Shows the hub what this wallet holds: the first thing said on a connection. One that has signed
    /// a close says it, too: a hub that has started again signs nothing for whom it has not met.
    pub fn meet(&mut self, at: usize, socket: &mut Socket) {
        let wallet = &mut self.wallets[at];
        wallet.agreed = false;
        let (own, yours) = wallet.channel.snapshot_refs();
        socket.queue(&Message::Sync { channel: wallet.channel.id(), own, yours, tip: None });
    }

    /// Takes in what the hub said; answers go to the same socket.
    ///
    /// # Errors
    /// When the hub breaks a rule, or says goodbye.
    pub fn hear(&mut self, message: Message, socket: &mut Socket, now_ns: u64) -> Result<()> {
        match message {
            Message::Goodbye { code } => bail!("the hub said goodbye: {code}"),
            Message::Ping { number, pong: false } => {
                socket.queue(&Message::Ping { number, pong: true });
                return Ok(());
            }
            Message::Hello(_) | Message::Ping { .. } | Message::Relay { .. } => return Ok(()),
            _ => {}
        }
        let channel = message.channel().context("a message about no channel")?;
        let Some(at) = self.of_channel.get(&channel) else {
            if self.gone.contains(&channel) {
                return Ok(());
            }
            bail!("a message about a channel of nobody here");
        };
        let at = *at as usize;
        if self.wallets[at].lost {
            return Ok(());
        }
        match message {
            Message::Update(update) => self.on_update(at, update, socket, now_ns)?,
            Message::Ack { seq, .. } => self.commit(at, &Step::Acked { seq }, socket, now_ns),
            Message::Reject { seq, code, .. } => self.on_reject(at, seq, code, socket, now_ns)?,
            Message::Reveal { id, secret, .. } => {
                self.on_reveal(at, id, &secret, socket, now_ns)?
            }
            Message::Fail { id, code, .. } => {
                if let Some(step) = self.wallets[at].channel.check_fail(id, code) {
                    self.wallets[at].flush = true;
                    self.commit(at, &step, socket, now_ns);
                }
            }
            Message::Sync { own, yours, .. } => self.on_sync(at, own, yours, socket, now_ns),
            _ => bail!("the hub shows a direction in full, and nobody has lost state"),
        }
        self.list(at);
        Ok(())
    }

    fn now(&self) -> Now<'_> {
        Now { view: self.view, policy: self.terms.policy(), lag: self.terms.lag }
    }

    fn on_update(
        &mut self,
        at: usize,
        update: Update,
        socket: &mut Socket,
        now_ns: u64,
    ) -> Result<()> {
        let seq = update.proof.value.seq;
        let update = VerifiedUpdate::check(update, &self.terms.hub, &mut self.batches)
            .map_err(|code| anyhow!("the hub's signature: {code}"))?;
        self.stats.updates_heard += 1;
        match self.wallets[at].channel.check_update(&update, &self.now()) {
            Ok(Received::New(step)) => self.commit(at, &step, socket, now_ns),
            Ok(Received::Again) => self.acknowledge(at, seq, socket),
            // Nothing more is agreed once the close is.
            Err(code) if code.retryable() || self.wallets[at].stage == Stage::Away => {
                self.stats.refused(format!("hub's update refused: {code}"));
                let channel = self.wallets[at].channel.id();
                socket.queue(&Message::Reject { channel, seq, code });
            }
            Err(code) => bail!("the hub's update breaks a rule: {code}"),
        }
        Ok(())
    }

    fn on_reject(
        &mut self,
        at: usize,
        seq: u64,
        code: Code,
        socket: &mut Socket,
        now_ns: u64,
    ) -> Result<()> {
        if seq == 0 && self.wallets[at].stage == Stage::Away {
            // Paid out by now, which its wallet hears of from the ledger.
            return Ok(());
        }
        if seq == 0 {
            bail!("the hub refuses to meet a wallet: {code}");
        }
        self.stats.refused(format!("update refused: {code}"));
        let flight = &self.wallets[at].channel.outgoing().in_flight;
        if flight.as_ref().is_some_and(|flight| flight.proof.seq == seq) {
            self.commit(at, &Step::Rejected { seq, code }, socket, now_ns);
        }
        Ok(())
    }

    fn on_reveal(
        &mut self,
        at: usize,
        id: u64,
        secret: &Secret,
        socket: &mut Socket,
        now_ns: u64,
    ) -> Result<()> {
        self.stream_told_again(at, id, secret);
        let step = self.wallets[at].channel.check_reveal(id, secret, &self.now());
        let step = step.map_err(|code| anyhow!("the hub's secret: {code}"))?;
        if let Some(step) = step {
            self.commit(at, &step, socket, now_ns);
        }
        Ok(())
    }

    fn on_sync(
        &mut self,
        at: usize,
        own: SnapshotRef,
        yours: SnapshotRef,
        socket: &mut Socket,
        now_ns: u64,
    ) {
        let channel = &self.wallets[at].channel;
        let (mine, theirs) = channel.snapshot_refs();
        let outcome = channel.check_sync(&own, &yours);
        if let Some(code) = outcome.lost {
            self.stats.lost_state += 1;
            self.stats.refused(format!("met the hub: {code}"));
            self.wallets[at].lost = true;
            return;
        }
        for step in &outcome.steps {
            self.commit(at, step, socket, now_ns);
        }
        let wallet = &mut self.wallets[at];
        wallet.agreed = (mine, theirs) == (yours, own);
        wallet.met = true;
        for effect in wallet.channel.to_resend() {
            // Steps are shown again later: see `show_again`.
            if !matches!(effect, Effect::SendReveal { id, .. } if self.is_of_stream(at, id)) {
                self.perform(at, effect, socket, now_ns);
            }
        }
    }

    fn commit(&mut self, at: usize, step: &Step, socket: &mut Socket, now_ns: u64) {
        for effect in self.wallets[at].channel.commit(step) {
            self.perform(at, effect, socket, now_ns);
        }
    }

    pub(super) fn perform(&mut self, at: usize, effect: Effect, socket: &mut Socket, now_ns: u64) {
        let channel = self.wallets[at].channel.id();
        match effect {
            Effect::SendUpdate => self.sign_and_queue(at, socket),
            Effect::SendAck { seq } => self.acknowledge(at, seq, socket),
            Effect::SendReveal { id, secret } => {
                socket.queue(&Message::Reveal { channel, id, secret });
            }
            Effect::SendFail { id, code } => socket.queue(&Message::Fail { channel, id, code }),
            Effect::Received(change) => self.received(at, channel, &change, socket),
            Effect::Accepted { changes } => self.accepted(at, &changes),
            Effect::SecretLearned { id, .. } => {
                if !self.stream_told(at, id, now_ns) {
                    self.completed(at, id, now_ns);
                }
            }
            Effect::LockGone { id, code } => {
                if !self.stream_gone(at, id, code, now_ns) {
                    self.failed(at, id, code);
                }
            }
            Effect::Refused { .. } | Effect::PhaseChanged => {}
        }
    }

    fn acknowledge(&self, at: usize, seq: u64, socket: &mut Socket) {
        socket.queue(&Message::Ack { channel: self.wallets[at].channel.id(), seq });
    }

    fn received(&mut self, at: usize, channel: ChannelId, change: &Change, socket: &mut Socket) {
        match change {
            Change::Added { lock, .. } if self.stream_added(at, lock) => {}
            Change::Added { lock, .. } => self.answer_lock(at, channel, lock.id, socket),
            Change::Settled { id, steps, .. } => {
                if !self.stream_collected(at, *id, *steps) {
                    self.wallets[at].books.collected += 1;
                }
            }
            Change::Dropped { id } => self.stream_dropped(at, *id),
            Change::Paid { .. } => {}
        }
    }

    fn answer_lock(&mut self, at: usize, channel: ChannelId, id: u64, socket: &mut Socket) {
        let step = self.take_payment(at, id).or_else(|code| {
            // What was refused as it was meant to be is counted at the payer.
            if code != Code::RefusedByPayee {
                self.stats.refused(format!("not taken: {code}"));
            }
            self.wallets[at].channel.fail(id, code)
        });
        let Ok(step) = step else { return };
        for effect in self.wallets[at].channel.commit(&step) {
            let answer = match effect {
                Effect::SendReveal { id, secret } => Message::Reveal { channel, id, secret },
                Effect::SendFail { id, code } => Message::Fail { channel, id, code },
                _ => continue,
            };
            socket.queue(&answer);
        }
    }

    /// Shows the secret, if this is what the invoice asks for and the rules allow it.
    fn take_payment(&mut self, at: usize, id: u64) -> Result<Step, Code> {
        let channel = &self.wallets[at].channel;
        let lock = channel.claimable(id, &self.now())?;
        let invoice = self.invoices.get(&lock.anchor).ok_or(Code::UnknownInvoice)?;
        let asked = invoice.payee as usize == at && lock.unit == invoice.amount && lock.steps == 1;
        if !asked {
            let anchor = lock.anchor;
            self.invoices.remove(&anchor);
            return Err(Code::RefusedByPayee);
        }
        let step = channel.reveal(id, &invoice.secret)?.ok_or(Code::NothingToDo)?;
        self.invoices.remove(&lock.anchor);
        let books = &mut self.wallets[at].books;
        books.revealed += 1;
        books.earned += lock.unit.0;
        Ok(step)
    }

    fn completed(&mut self, at: usize, id: u64, now_ns: u64) {
        let wallet = &mut self.wallets[at];
        let Some(payment) = wallet.pending.take(id) else { return };
        wallet.books.completed += 1;
        self.arrived(&payment);
        if payment.meant.is_some() {
            self.stats.unmeant += 1;
            self.stats.refused("completed, and was meant to fail".to_owned());
        }
        let wallet = &mut self.wallets[at];
        wallet.books.paid += payment.unit;
        wallet.books.fees += payment.fee;
        self.stats.completed(payment.since_ns, now_ns);
    }

    fn failed(&mut self, at: usize, id: u64, code: Code) {
        if let Some(payment) = self.wallets[at].pending.take(id) {
            self.arrived(&payment);
            self.stats.failed("failed", payment.meant, code);
        }
    }

    /// This payment is on its way no more.
    fn arrived(&mut self, payment: &Payment) {
        if let Some(payee) = payment.payee {
            let coming = &mut self.wallets[payee as usize].coming;
            *coming = coming.saturating_sub(1);
        }
    }
}
