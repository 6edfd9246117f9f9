//! Signing withdrawals and cooperative closes.

use settlement::channel::Step;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::ChannelId;

use super::state::Cx;
use super::{Action, Shard};

impl Shard {
    pub(super) fn on_withdraw(&mut self, wanted: &Withdrawal, ticket: u64, cx: &mut Cx<'_>) {
        let agreed = self.check_signing().and_then(|()| self.quiet(wanted.channel, cx));
        let agreed = agreed.and_then(|()| {
            let channel = self.channel(&wanted.channel).ok_or(Code::UnknownChannel)?;
            channel.agree_withdrawal(wanted, &self.now(cx.now_ms))
        });
        self.answer_request(wanted.channel, agreed, ticket, cx);
    }

    /// An acknowledgment that is owed does not stand in the way of the last agreement of all; and
    /// the wallet, which has signed the close, would not take it any more.
    pub(super) fn on_close(&mut self, wanted: &CooperativeClose, ticket: u64, cx: &mut Cx<'_>) {
        self.settle_if_due(wanted.channel, cx);
        let met = self.check_signing().and_then(|()| self.check_met(wanted.channel));
        let slot = self.slots.get(&wanted.channel).ok_or(Code::UnknownChannel);
        let agreed = met.and(slot).and_then(|slot| {
            let due = slot.flush.then_some(Code::NotAgreed);
            due.map_or(Ok(()), Err)?;
            slot.channel.agree_close(wanted, &self.now(cx.now_ms))
        });
        if agreed.is_err() {
            self.pump(wanted.channel, cx);
        }
        self.answer_request(wanted.channel, agreed, ticket, cx);
    }

    /// Before this process may sign it is not known whether its journal is an old one.
    fn check_signing(&self) -> Result<(), Code> {
        if self.signing { Ok(()) } else { Err(Code::LedgerStalled) }
    }

    /// Nothing is signed for the ledger on the ground of a state that may be an old one.
    fn check_met(&self, id: ChannelId) -> Result<(), Code> {
        let met = self.slots.get(&id).is_none_or(|slot| slot.is_certain());
        if met { Ok(()) } else { Err(Code::NotAgreed) }
    }

    /// Settles what is still due before anything is signed on top: the wallet asks again.
    fn quiet(&mut self, id: ChannelId, cx: &mut Cx<'_>) -> Result<(), Code> {
        self.check_met(id)?;
        self.settle_if_due(id, cx);
        let slot = self.slots.get(&id).ok_or(Code::UnknownChannel)?;
        if !slot.flush && !slot.channel.owes_plain_update() {
            return Ok(());
        }
        self.pump(id, cx);
        Err(Code::NotAgreed)
    }

    fn answer_request(
        &mut self,
        id: ChannelId,
        agreed: Result<Step, Code>,
        ticket: u64,
        cx: &mut Cx<'_>,
    ) {
        match agreed {
            Ok(step) => {
                self.commit(id, step, cx);
                cx.out.actions.push(Action::Cosign { ticket });
                self.refuse_queue(id, cx);
                self.wake_again(id, cx);
            }
            Err(code) => cx.out.actions.push(Action::Refuse { ticket, code }),
        }
    }
}
