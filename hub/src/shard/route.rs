//! Whether a payer's lock is passed on, and as what.

use settlement::bugs::{Bug, nudged};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::rules::{Rule, rule_is_on};
use settlement::types::{Amount, Anchor, ChannelId};
use settlement::update::{Destination, Payload};

use super::capacity::STREAM_LOCKS_OF_ONE_PAYER;
use super::slot::{Route, Slot};
use super::state::Cx;
use super::{Action, Directory, Forward, Pass, Shard, unit_to_forward};

impl Shard {
    /// Passes a lock on to its payee, or gives it up at once.
    pub(super) fn route(
        &mut self,
        id: ChannelId,
        (lock, to, payload): (&Lock, &Destination, &Payload),
        prepaid: &[(Anchor, Amount)],
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        match self.judge(id, (lock, to, payload), prepaid, directory) {
            Ok(forward) => {
                let (anchor, payee) = (lock.anchor, to.wallet);
                let route = Route { anchor, payee, outgoing: None, gone: None };
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.add_route(lock.id, route);
                }
                cx.out.passes.push(Pass::Forward(Box::new(forward)));
            }
            Err(code) => self.give_up(id, lock.id, code, cx),
        }
    }

    /// What the payee's channel is asked for. The first rule that is broken is the answer.
    fn judge(
        &self,
        id: ChannelId,
        (lock, to, payload): (&Lock, &Destination, &Payload),
        prepaid: &[(Anchor, Amount)],
        directory: &dyn Directory,
    ) -> Result<Forward, Code> {
        let payer = self.slots.get(&id).ok_or(Code::UnknownChannel)?;
        let terms = payer.channel.terms();
        if to.hub.is_some_and(|hub| hub != self.config.hub) {
            return Err(Code::ForeignHub);
        }
        if to.wallet == terms.wallet {
            return Err(Code::PaymentToSelf);
        }
        if self.draining {
            return Err(Code::Draining);
        }
        let found = directory.find(&to.wallet, terms.asset);
        let (outgoing, connected) = found.ok_or(Code::UnknownPayee)?;
        if !connected {
            return Err(Code::PayeeOffline);
        }
        let unit = self.unit_of(lock, prepaid).ok_or(Code::FeeTooLow)?;
        let unit = if rule_is_on(Rule::UnitLessFee) { unit } else { lock.unit };
        assert!(unit <= lock.unit, "the hub passes on no more than it gets");
        let delta = self.config.policy.expiry_delta;
        let expiry = lock.expiry.before(if rule_is_on(Rule::ExpiryDelta) { delta } else { 0 });
        let expiry = nudged(expiry, Bug::PassesOnShort, Bug::PassesOnLate);
        self.check_expiry(expiry)?;
        self.check_pending(payer, lock, to)?;
        Ok(Forward {
            incoming: (id, lock.id),
            outgoing,
            asset: terms.asset,
            unit_in: lock.unit,
            anchor: lock.anchor,
            unit,
            steps: lock.steps.saturating_add(u32::from(!rule_is_on(Rule::SameSteps))),
            expiry,
            to: *to,
            payload: payload.clone(),
        })
    }

    /// What a step is passed on as: whole where the fee for all of them came with the lock, else
    /// less the fee for each.
    fn unit_of(&self, lock: &Lock, prepaid: &[(Anchor, Amount)]) -> Option<Amount> {
        let fees = &self.config.fees;
        let paid = prepaid.iter().find(|(anchor, _)| *anchor == lock.anchor);
        match (paid, lock.value().and_then(|value| fees.fee(value))) {
            (Some((_, paid)), Some(fee)) if *paid >= fee => Some(lock.unit),
            _ => unit_to_forward(fees, lock.unit),
        }
    }

    /// The payee asks for `claim_margin + settle_grace` blocks to be left before it reveals, in a
    /// view that may be `lag` blocks ahead of this one.
    pub(super) fn check_expiry(&self, expiry: settlement::types::Height) -> Result<(), Code> {
        let policy = &self.config.policy;
        let needed = self.followed().0.after(policy.claim_margin).after(policy.settle_grace);
        if expiry < needed.after(self.lag) { Err(Code::ExpiryTooSoon) } else { Ok(()) }
    }

    fn check_pending(&self, payer: &Slot, lock: &Lock, to: &Destination) -> Result<(), Code> {
        if payer.is_pending(lock.anchor, to.wallet) {
            return Err(Code::DuplicatePayment);
        }
        let crowds = lock.steps > 1 && payer.streams_to(to.wallet) >= STREAM_LOCKS_OF_ONE_PAYER;
        let fits = self.capacity.takes(lock.steps, &self.load_in, &payer.load_in);
        if fits && !crowds { Ok(()) } else { Err(Code::NoCapacity) }
    }

    /// Fails a payer's lock. The callers know that no lock of the hub's stands for it.
    pub(super) fn give_up(&mut self, id: ChannelId, lock: u64, code: Code, cx: &mut Cx<'_>) {
        let step = self.channel(&id).map(|channel| channel.fail(lock, code));
        if let Some(Ok(step)) = step {
            self.commit(id, step, cx);
            cx.out.actions.push(Action::Count { completed: false });
        }
    }
}
