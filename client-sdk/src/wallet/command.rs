//! What a user asks for, apart from paying.

use settlement::channel::{Channel, Phase, Step};
use settlement::crypto::chain_step;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, ChannelId, PublicKey};
use settlement::update::Memo;

use super::core::Turn;
use super::pay::{Order, Refusal, Wanted, refusal};
use super::{Command, Event, Payment, Record, Wallet, Way};
use crate::invoice::Invoice;

impl Wallet {
    pub(super) fn obey(&mut self, turn: &mut Turn, command: Command) {
        let mut about = None;
        let done = match command {
            Command::Invoice { .. } => self.invoice(turn, command, None).map(|_| ()),
            Command::Ask(ask) => self.ask(turn, *ask),
            Command::AnswerAsks(seed, terms) => {
                self.answer_asks(seed, terms);
                Ok(())
            }
            Command::Pay { invoice } => self.pay(turn, &invoice, &mut about),
            Command::PayChecked { invoice } => self.pay_checked(turn, *invoice, &mut about),
            Command::Send { .. } => self.send(turn, command, &mut about),
            Command::OpenStream { .. } => self.open_stream(turn, command),
            Command::Advance { stream, steps, by_relay } => {
                self.advance(turn, stream, steps, by_relay)
            }
            Command::TakeStep { token } => self.take_token(turn, &token),
            Command::Redeem { stream } => self.redeem_stream(turn, &stream),
            Command::CloseStream { stream } => self.close_stream(turn, &stream),
            Command::PayHub { channel, amount, memo } => self.pay_hub(turn, channel, amount, memo),
            Command::Acknowledge { channel } => self.nudge(turn, channel, true),
            Command::Flush { channel } => self.nudge(turn, channel, false),
            Command::AgreeClose { close } => self.agree_close(turn, &close),
            Command::AgreeWithdrawal { withdrawal } => self.agree_withdrawal(turn, &withdrawal),
            Command::CloseAlone { channel } => self.close_alone(turn, channel),
        };
        if let Err((code, detail)) = done {
            turn.refuse(code, detail, about);
        }
    }

    /// Expects a payment, and tells the user: the invoice's text, and what names the payment. `asker`
    /// is the wallet that has asked for it, if one has.
    pub(super) fn invoice(
        &mut self,
        turn: &mut Turn,
        command: Command,
        asker: Option<PublicKey>,
    ) -> Result<(String, Anchor), Refusal> {
        let Command::Invoice { secret, asset, amount, life_blocks, memo } = command else {
            return refusal(Code::Internal, "this is no command for an invoice");
        };
        self.check_asset(asset)?;
        self.check_fresh(turn)?;
        let anchor = Anchor(chain_step(&secret.0));
        if self.state.payments.contains_key(&anchor) {
            return refusal(Code::BadArgument, "this secret has been used before");
        }
        if life_blocks == 0 {
            return refusal(Code::BadArgument, "an invoice lives for at least one block");
        }
        let expires = self.seen.height.after(life_blocks);
        let (payee, hub) = (self.me, Some(self.config.hub));
        let ledger = self.ledger;
        let invoice = Invoice { ledger, payee, asset, amount, anchor, expires, memo, hub };
        let text = invoice.to_text(&self.config.key);
        let text = text.map_err(|error| (Code::BadArgument, error.to_string()))?;
        let order = Order { payee, asset, amount, anchor, memo: invoice.memo, expires };
        let payment = Payment {
            secret: Some(secret),
            peer: asker,
            ..order.payment(Way::In, Amount::ZERO, turn.now_ms)
        };
        // Told once, as an invoice.
        let record = Record::Payment(payment.clone());
        self.state.apply(&record);
        turn.out.records.push(record);
        turn.tell(Event::Invoiced { invoice: text.clone(), payment });
        Ok((text, anchor))
    }

    fn pay_hub(
        &mut self,
        turn: &mut Turn,
        id: ChannelId,
        amount: Amount,
        memo: String,
    ) -> Result<(), Refusal> {
        if amount == Amount::ZERO {
            return refusal(Code::ZeroAmount, "a payment moves at least 1");
        }
        let memo = Memo::new(memo.into_bytes()).map_err(|e| (Code::BadArgument, e.to_string()))?;
        let channel = self.known(id)?;
        channel.usable().map_err(|code| (code, format!("channel {id} can't be used")))?;
        let left = self.left(channel);
        if left < amount.wide() {
            return refusal(Code::InsufficientBalance, format!("{left} is free"));
        }
        if !self.connected {
            return refusal(Code::HubUnavailable, "this wallet is not connected to its hub");
        }
        self.want(turn, id, Wanted::Direct { amount, memo });
        Ok(())
    }

    fn known(&self, id: ChannelId) -> Result<&Channel, Refusal> {
        let missing = || (Code::NoChannel, format!("there is no channel {id}"));
        self.channel(&id).ok_or_else(missing)
    }

    /// Sends an update soon: one without operations, or one of what is due.
    fn nudge(&mut self, turn: &mut Turn, id: ChannelId, bare: bool) -> Result<(), Refusal> {
        let channel = self.known(id)?;
        channel.usable().map_err(|code| (code, format!("channel {id} can't be used")))?;
        if !self.connected {
            return refusal(Code::HubUnavailable, "this wallet is not connected to its hub");
        }
        let link = self.link(id);
        link.acknowledge |= bare;
        link.flush |= !bare;
        self.attend(turn, id);
        Ok(())
    }

    fn agree_close(&mut self, turn: &mut Turn, close: &CooperativeClose) -> Result<(), Refusal> {
        let id = close.channel;
        let step = self.known(id)?.agree_close(close, &self.now(turn.now_ms));
        let step = step.map_err(|code| (code, format!("channel {id} can't be closed so")))?;
        self.step(turn, id, step);
        turn.tell(Event::Channel(id));
        self.attend(turn, id);
        Ok(())
    }

    fn agree_withdrawal(
        &mut self,
        turn: &mut Turn,
        withdrawal: &Withdrawal,
    ) -> Result<(), Refusal> {
        let id = withdrawal.channel;
        let step = self.known(id)?.agree_withdrawal(withdrawal, &self.now(turn.now_ms));
        let step = step.map_err(|code| (code, format!("{} can't be withdrawn", id)))?;
        self.step(turn, id, step);
        turn.tell(Event::Channel(id));
        Ok(())
    }

    fn close_alone(&mut self, turn: &mut Turn, id: ChannelId) -> Result<(), Refusal> {
        match self.known(id)?.phase() {
            Phase::Open | Phase::Agreed { .. } => {
                self.redeem_all(turn, id);
                self.step(turn, id, Step::Closing);
            }
            Phase::ClosingSoon => {}
            Phase::Closing { .. } => {
                return refusal(Code::ChannelClosing, format!("channel {id} is closing already"));
            }
            Phase::Closed { .. } => {
                return refusal(Code::NothingToDo, format!("channel {id} is closed"));
            }
        }
        self.submit(turn, id, true);
        self.attend(turn, id);
        Ok(())
    }
}
