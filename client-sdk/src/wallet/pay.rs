//! Paying an invoice, or somebody who has not asked.
//!
//! A wallet that has lost state pays no invoice before its hub has signed that it holds what came after,
//! in every channel: a lock for the same anchor may stand in what is forgotten.
//!
//! A payment is recorded before its lock is asked for, and ends only when the lock is gone: until
//! then its anchor can't be paid again, whatever the hub says.

use std::collections::VecDeque;

use settlement::channel::{Channel, NewOp, Phase, REFUSED_WAIT};
use settlement::crypto::chain_step;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Secret};
use settlement::update::{Destination, Memo, Payload};

use super::core::Turn;
use super::stream::{StreamLock, StreamState};
use super::unsent::is_lockless;
use super::{Command, Payment, PaymentState, Record, Wallet, Way};
use crate::invoice::{CheckedInvoice, Invoice};
use crate::payload::{Content, ContentKey, seal};

/// The most payments that wait for one channel's next update.
pub const WANTED_MAX: usize = 4_096;

/// Something that waits for a channel's next update. Its lock's expiry is counted from then.
#[derive(Debug)]
pub(super) enum Wanted {
    Lock {
        anchor: Anchor,
        unit: Amount,
        payee: PublicKey,
        payload: Payload,
    },
    Direct {
        amount: Amount,
        memo: Memo,
    },
    /// A lock of a stream, with the fee that is paid upfront for it: both in one update, or neither.
    Stream {
        anchor: Anchor,
        unit: Amount,
        steps: u32,
        life: u64,
        payee: PublicKey,
        payload: Payload,
        upfront: Option<(Amount, Memo)>,
    },
}

impl Wanted {
    /// What is asked of the channel at this height, one operation or two.
    pub(super) fn to_ops(&self, height: Height, lock_life: u64) -> Vec<NewOp> {
        match self {
            Wanted::Lock { anchor, unit, payee, payload } => vec![NewOp::Add {
                anchor: *anchor,
                unit: *unit,
                steps: 1,
                expiry: height.after(lock_life),
                to: Destination { hub: None, wallet: *payee },
                payload: payload.clone(),
            }],
            Wanted::Direct { amount, memo } => {
                vec![NewOp::Pay { amount: *amount, memo: memo.clone() }]
            }
            Wanted::Stream { anchor, unit, steps, life, payee, payload, upfront } => {
                let fee = upfront.iter();
                let fee =
                    fee.map(|(amount, memo)| NewOp::Pay { amount: *amount, memo: memo.clone() });
                let add = NewOp::Add {
                    anchor: *anchor,
                    unit: *unit,
                    steps: *steps,
                    expiry: height.after(*life),
                    to: Destination { hub: None, wallet: *payee },
                    payload: payload.clone(),
                };
                fee.chain([add]).collect()
            }
        }
    }

    fn cost(&self) -> i128 {
        match self {
            Wanted::Lock { unit, .. } => unit.wide(),
            Wanted::Direct { amount, .. } => amount.wide(),
            Wanted::Stream { unit, steps, upfront, .. } => {
                let fee = upfront.as_ref().map_or(0, |(amount, _)| amount.wide());
                unit.wide().saturating_mul(i128::from(*steps)).saturating_add(fee)
            }
        }
    }
}

/// Why a command was refused: the code, and what is wrong in this case.
pub(super) type Refusal = (Code, String);

pub(super) fn refusal<T>(code: Code, detail: impl Into<String>) -> Result<T, Refusal> {
    Err((code, detail.into()))
}

/// A payment to be made, before it is known whether it can.
pub(super) struct Order {
    pub(super) payee: PublicKey,
    pub(super) asset: AssetId,
    pub(super) amount: Amount,
    pub(super) anchor: Anchor,
    pub(super) memo: String,
    pub(super) expires: Height,
}

impl Wallet {
    pub(super) fn pay(
        &mut self,
        turn: &mut Turn,
        text: &str,
        about: &mut Option<Anchor>,
    ) -> Result<(), Refusal> {
        let invoice = CheckedInvoice::parse(text);
        let invoice = invoice.map_err(|error| (Code::BadInvoice, error.to_string()))?;
        self.pay_checked(turn, invoice, about)
    }

    pub(super) fn pay_checked(
        &mut self,
        turn: &mut Turn,
        invoice: CheckedInvoice,
        about: &mut Option<Anchor>,
    ) -> Result<(), Refusal> {
        let invoice = invoice.into_inner();
        *about = Some(invoice.anchor);
        let Invoice { ledger, payee, asset, amount, anchor, expires, memo, hub } = invoice;
        if ledger != self.ledger {
            let detail = format!("it is for ledger {ledger}, this wallet is on {}", self.ledger);
            return refusal(Code::InvoiceForAnotherLedger, detail);
        }
        if hub.is_some_and(|hub| hub != self.config.hub) {
            return refusal(Code::ForeignHub, "the invoice is from a wallet of another hub");
        }
        if self.seen.height > expires {
            let detail = format!("it could be paid until height {expires}");
            return refusal(Code::InvoiceExpired, detail);
        }
        self.check_nothing_hidden()?;
        let order = Order { payee, asset, amount, anchor, memo, expires };
        self.order(turn, order, |_| Ok(Payload::default()))?;
        self.note_asked(asset, anchor);
        Ok(())
    }

    /// A wallet that has lost state may have locked money for this invoice before, in a proof that its
    /// hub keeps back, and would lock it a second time in another channel.
    fn check_nothing_hidden(&self) -> Result<(), Refusal> {
        let paid_out = |channel: &Channel| matches!(channel.phase(), Phase::Closed { .. });
        let mut channels = self.channels().filter(|channel| !paid_out(channel));
        let Some(channel) = channels.find(|channel| !channel.is_certain()) else { return Ok(()) };
        let detail = format!(
            "this wallet has lost state, and its hub has not signed yet that it holds what came after \
             on channel {}: the invoice may be paid from there already",
            channel.id()
        );
        refusal(Code::Recovering, detail)
    }

    pub(super) fn send(
        &mut self,
        turn: &mut Turn,
        command: Command,
        about: &mut Option<Anchor>,
    ) -> Result<(), Refusal> {
        let Command::Send { secret, nonce, payee, asset, amount, memo } = command else {
            return Ok(());
        };
        let anchor = Anchor(chain_step(&secret.0));
        *about = Some(anchor);
        if amount == Amount::ZERO {
            return refusal(Code::ZeroAmount, "a payment moves at least 1");
        }
        if self.state.payments.contains_key(&anchor) {
            return refusal(Code::BadArgument, "this secret has been used before");
        }
        let expires = self.seen.height.after(self.config.policy.lock_life);
        let content = content(secret, asset, amount, &memo);
        let order = Order { payee, asset, amount, anchor, memo, expires };
        self.order(turn, order, |wallet| {
            let sealed = seal(&content, &wallet.config.key, &payee, &wallet.ledger, &nonce);
            sealed.map_err(|error| (Code::BadArgument, error.to_string()))
        })
    }

    /// Checks a payment, remembers it, and asks for its lock.
    fn order(
        &mut self,
        turn: &mut Turn,
        order: Order,
        payload: impl FnOnce(&Wallet) -> Result<Payload, Refusal>,
    ) -> Result<(), Refusal> {
        if order.payee == self.me {
            return refusal(Code::PaymentToSelf, "the payee is this wallet itself");
        }
        self.check_asset(order.asset)?;
        self.check_unpaid(&order.anchor)?;
        let fee = self.config.fees.fee(order.amount);
        let unit = fee.and_then(|fee| order.amount.checked_add(fee));
        let (Some(fee), Some(unit)) = (fee, unit) else {
            return refusal(Code::AmountOverflow, "amount and fee go over 2^64 - 1");
        };
        let id = self.channel_for(order.asset, unit)?;
        self.check_fresh(turn)?;
        if !self.connected {
            return refusal(Code::HubUnavailable, "this wallet is not connected to its hub");
        }
        let payload = payload(self)?;
        let wanted = Wanted::Lock { anchor: order.anchor, unit, payee: order.payee, payload };
        let payment = order.payment(Way::Out, fee, turn.now_ms);
        self.commit(turn, Record::Payment(payment));
        self.want(turn, id, wanted);
        Ok(())
    }

    pub(super) fn check_asset(&self, asset: AssetId) -> Result<(), Refusal> {
        if (asset.0 as usize) < self.config.genesis.assets.len() {
            return Ok(());
        }
        refusal(Code::UnknownAsset, format!("this ledger has no asset {asset}"))
    }

    /// The money of an anchor is never locked twice while it could be claimed, nor paid twice.
    pub(super) fn check_unpaid(&self, anchor: &Anchor) -> Result<(), Refusal> {
        if self.state.streams.get(anchor).is_some() {
            return refusal(Code::AlreadyPaid, "a stream of this wallet has, or had, this anchor");
        }
        let Some(payment) = self.state.payments.get(anchor) else { return Ok(()) };
        match (payment.way, payment.state) {
            (Way::Out, PaymentState::Failed(_)) => Ok(()),
            (Way::Out, PaymentState::Pending) => {
                refusal(Code::AlreadyPaid, "it is being paid: wait for what comes of it")
            }
            _ => refusal(Code::AlreadyPaid, "it has been paid"),
        }
    }

    pub(super) fn check_fresh(&self, turn: &Turn) -> Result<(), Refusal> {
        if self.view(turn.now_ms).fresh {
            return Ok(());
        }
        let detail = format!("the newest block seen is {}, and too old", self.seen.height);
        refusal(Code::LedgerStalled, detail)
    }

    /// The open channel of an asset with the most left to spend.
    pub(super) fn channel_for(&self, asset: AssetId, unit: Amount) -> Result<ChannelId, Refusal> {
        let usable =
            |channel: &&Channel| channel.terms().asset == asset && channel.usable().is_ok();
        let channels = self.state.channels.values().filter(usable);
        let best = channels.map(|c| (self.left(c), c.id())).max();
        let Some((left, id)) = best else {
            let mut others = self.channels().filter(|channel| channel.terms().asset == asset);
            let code = others.find_map(Channel::suspended).unwrap_or(Code::NoChannel);
            return refusal(code, format!("no channel in asset {asset} can be used"));
        };
        if left >= unit.wide() {
            return Ok(id);
        }
        let detail = format!("{unit} is needed with the fee, and {left} is free");
        refusal(Code::InsufficientBalance, detail)
    }

    /// What a channel can spend beyond what waits for its next update.
    pub(super) fn left(&self, channel: &Channel) -> i128 {
        let waiting = self.wanted.get(&channel.id()).into_iter().flatten();
        channel.spendable().wide().saturating_sub(waiting.map(Wanted::cost).sum())
    }

    pub(super) fn want(&mut self, turn: &mut Turn, id: ChannelId, wanted: Wanted) {
        let queue = self.wanted.entry(id).or_default();
        if queue.len() >= WANTED_MAX {
            return self.fail_one(turn, wanted, Code::Overloaded);
        }
        queue.push_back(wanted);
        self.attend(turn, id);
    }

    /// Nothing that waits for this channel will get into an update.
    pub(super) fn fail_wanted(&mut self, turn: &mut Turn, id: ChannelId, code: Code) {
        for wanted in self.wanted.remove(&id).unwrap_or_default() {
            self.fail_one(turn, wanted, code);
        }
    }

    /// Something that was wanted never got into an update: it fails, unless a lock of it is known after all.
    pub(super) fn fail_one(&mut self, turn: &mut Turn, wanted: Wanted, code: Code) {
        let code = match code {
            Code::StaleView => Code::LedgerStalled,
            Code::Overdraft => Code::InsufficientBalance,
            other => other,
        };
        match wanted {
            Wanted::Direct { amount, .. } => {
                turn.refuse(code, format!("the hub was not paid {amount}"), None);
            }
            Wanted::Lock { anchor, .. } => {
                // A lock of it that an old copy had forgotten may have been shown since: then that says
                // what comes of it.
                let payment = self.state.payments.get(&anchor).filter(|it| is_lockless(it));
                let Some(payment) = payment.cloned() else { return };
                if code != Code::Recovering && self.puts_off(&payment) {
                    return;
                }
                // That the hub has lost state says nothing of what was not sent.
                let of_hub = code == Code::StateLost && !self.has_lost_since_start(payment.asset);
                let code = if of_hub { Code::HubUnavailable } else { code };
                let state = PaymentState::Failed(code);
                self.commit(turn, Record::Payment(Payment { state, ..payment }));
            }
            Wanted::Stream { anchor, .. } => {
                let Some(lock) = self.state.streams.get(&anchor) else { return };
                let state = StreamState::Ended(Some(code));
                let lock = StreamLock { state, ..lock.clone() };
                self.commit(turn, Record::Stream(Box::new(lock)));
            }
        }
    }

    /// Gives up what has waited for an update past its invoice's end; and what has none, where the hub takes nothing
    /// and signs nothing either.
    pub(super) fn drop_stale_wanted(&mut self, turn: &mut Turn, id: ChannelId) {
        let refused = self.channel(&id).map_or(0, |channel| channel.outgoing().refused.len());
        let Some(queue) = self.wanted.get_mut(&id) else { return };
        let (height, payments) = (self.seen.height, &self.state.payments);
        let stale = |wanted: &Wanted| match wanted {
            Wanted::Lock { anchor, .. } => {
                payments.get(anchor).is_none_or(|payment| height > payment.expires)
            }
            Wanted::Direct { .. } | Wanted::Stream { .. } => refused >= REFUSED_WAIT,
        };
        let (stale, kept): (VecDeque<_>, _) = queue.drain(..).partition(stale);
        *queue = kept;
        for wanted in stale {
            self.fail_one(turn, wanted, Code::Unanswered);
        }
    }
}

impl Order {
    pub(super) fn payment(self, way: Way, fee: Amount, now_ms: u64) -> Payment {
        Payment {
            anchor: self.anchor,
            way,
            state: PaymentState::Pending,
            asset: self.asset,
            amount: self.amount,
            fee,
            peer: Some(self.payee),
            memo: self.memo,
            secret: None,
            lock: None,
            expires: self.expires,
            created_ms: now_ms,
        }
    }
}

fn content(secret: Secret, asset: AssetId, unit: Amount, memo: &str) -> Content {
    let anchor = Anchor(chain_step(&secret.0));
    let key = ContentKey::Secret(secret);
    Content { key, unit, steps: 1, asset, anchor, memo: memo.to_owned() }
}
