//! What both sides sign for the ledger: withdrawals and cooperative closes.

use super::{Answer, Channel, Now, Phase, Step};
use crate::bugs::{Bug, nudged};
use crate::proof::{CooperativeClose, Net, Withdrawal};
use crate::reject::Code;
use crate::rules::{Rule, rule_is_on};
use crate::types::{Height, Role};

impl Channel {
    /// Whether this side may sign a withdrawal: rule 5 holds with it counted, for the newest proof
    /// of either direction and every own one that is not retired.
    ///
    /// # Errors
    /// Why the channel is not usable; [`Code::Recovering`] while one may be forgotten;
    /// [`Code::NotRising`], [`Code::TooLate`], [`Code::Overdraft`]; [`Code::NotAgreed`] while another
    /// withdrawal is pending.
    pub fn agree_withdrawal(&self, wanted: &Withdrawal, now: &Now<'_>) -> Result<Step, Code> {
        self.usable()?;
        self.check_nothing_forgotten()?;
        check_valid_until(wanted.valid_until, now)?;
        let Withdrawal { channel, role, total_withdrawn: total, valid_until } = *wanted;
        let escrow = self.escrow.of(role);
        if channel != self.id || escrow.agreed.is_some_and(|agreed| agreed != (total, valid_until))
        {
            return Err(Code::NotAgreed);
        }
        if total <= escrow.withdrawn {
            return Err(Code::NotRising);
        }
        let net = escrow.deposited.wide().saturating_sub(total.wide());
        let covered = net.saturating_add(self.received_by(role)) >= self.committed_by(role);
        if !covered && rule_is_on(Rule::CosignCountsAll) {
            return Err(Code::Overdraft);
        }
        Ok(Step::AgreedWithdrawal { role, total, valid_until })
    }

    /// What a side has received, as far as its own newest proof acknowledges it.
    fn received_by(&self, role: Role) -> i128 {
        if role == self.me {
            return self.inc.tally.transferred.wide();
        }
        self.inc.proof.as_ref().map_or(0, |signed| signed.value.peer_transferred.wide())
    }

    /// The most that any unretired proof of a side's direction commits.
    fn committed_by(&self, role: Role) -> i128 {
        if role != self.me {
            return self.inc.tally.committed();
        }
        let sent = self.out.sent.iter();
        let most = sent.map(|p| p.transferred.wide().saturating_add(p.locked.wide())).max();
        most.unwrap_or(0).max(self.out.tip().committed())
    }

    /// The cooperative close that the newest state of both directions makes.
    ///
    /// # Errors
    /// Why the channel is not usable; [`Code::Recovering`] while something that was agreed may be
    /// forgotten; [`Code::NotAgreed`] while an update is unanswered, a lock is not gone, or a
    /// withdrawal is pending.
    pub fn close_terms(&self, valid_until: Height) -> Result<CooperativeClose, Code> {
        self.usable()?;
        self.check_nothing_forgotten()?;
        // Paid, or expired: either way nothing of it is to come. A lock that was given up is not
        // gone before the proofs in which it stands are retired.
        let over = |(id, standing): (&u64, &super::Standing)| {
            matches!(standing.answer, Some(Answer::Known { .. } | Answer::Expired))
                && self.out.tip().lock(*id).is_none()
        };
        let pending = !self.out.standing.iter().all(over)
            || !self.inc.tally.locks.is_empty()
            || self.out.in_flight.is_some();
        let withdrawing = [Role::Wallet, Role::Hub].map(|role| self.escrow.of(role).agreed);
        let pending = pending && rule_is_on(Rule::CloseWithoutLocks);
        if pending || withdrawing != [None, None] {
            return Err(Code::NotAgreed);
        }
        let net = |role| Net::new(self.escrow.of(role).on_ledger());
        let (wallet_net, hub_net) = (net(Role::Wallet), net(Role::Hub));
        Ok(CooperativeClose {
            channel: self.id,
            wallet_amount: self.balance(Role::Wallet),
            hub_amount: self.balance(Role::Hub),
            wallet_net: wallet_net.ok_or(Code::NotAgreed)?,
            hub_net: hub_net.ok_or(Code::NotAgreed)?,
            valid_until,
        })
    }

    /// Whether this side may sign a cooperative close: it is the one that its own state makes.
    ///
    /// # Errors
    /// Those of [`Channel::close_terms`]; [`Code::TooLate`]; [`Code::NotAgreed`] when the amounts
    /// are others.
    pub fn agree_close(&self, wanted: &CooperativeClose, now: &Now<'_>) -> Result<Step, Code> {
        check_valid_until(wanted.valid_until, now)?;
        let valid_until = wanted.valid_until;
        // Asking for the same close again gets the same signature again.
        let again = self.phase == Phase::Agreed { valid_until };
        let own = if again {
            Channel { phase: Phase::Open, ..self.clone() }.close_terms(valid_until)?
        } else {
            self.close_terms(valid_until)?
        };
        if own != *wanted {
            return Err(Code::NotAgreed);
        }
        Ok(Step::AgreedClose { valid_until })
    }

    /// What was agreed and can't happen any more, in a fresh view: it counts no longer.
    pub fn lapse(&self, now: &Now<'_>) -> Option<Step> {
        let passed = |valid_until: Height| {
            let last = nudged(valid_until, Bug::LapsesEarly, Bug::LapsesLate);
            now.view.fresh && now.view.height > last
        };
        let withdrawal = [Role::Wallet, Role::Hub].into_iter().any(|role| {
            self.escrow.of(role).agreed.is_some_and(|(_, valid_until)| passed(valid_until))
        });
        let close = matches!(self.phase, Phase::Agreed { valid_until } if passed(valid_until));
        (withdrawal || close).then_some(Step::Lapsed { height: now.view.height })
    }
}

/// The asker's fresh view may be `lag` blocks ahead of this one.
fn check_valid_until(valid_until: Height, now: &Now<'_>) -> Result<(), Code> {
    let ahead = now.view.height.after(now.policy.agreed_blocks(now.lag)).after(now.lag);
    let ahead = nudged(ahead, Bug::AgreesShort, Bug::AgreesLong);
    let within = valid_until > now.view.height && valid_until <= ahead;
    if within { Ok(()) } else { Err(Code::TooLate) }
}
