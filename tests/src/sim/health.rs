//! Whether what has healed works: honest wallets pay each other again through their honest hub.
//!
//! Without this a world in which everything is refused would be as good as one that works: no unit is
//! in a wrong place where none moves.

use client_sdk::wallet::{Payment, PaymentState, Way};
use settlement::channel::Channel;
use settlement::types::{Amount, Anchor};

use super::World;
use super::liar::HUB;

/// What such a payment is of.
const AMOUNT: Amount = Amount(3);
/// What it needs at least, fee included.
const NEEDED: Amount = Amount(10);
/// Blocks that a payment takes at most, when nothing breaks. Much less than a lock lives: what ends only
/// with its lock has kept somebody from their money.
const BLOCKS: u32 = 20;
/// Blocks until all has healed, at most: what has just expired is dropped when both sides must have seen
/// it, which is `lag` (20) blocks later, and with the next idle second (5 blocks).
const HEALED_IN: u32 = 30;
/// Blocks until a side that has forgotten something spends again, at most: 140 with this policy (twice
/// `lag`, and what an agreed close lives), after the newest of its starts and meetings.
const WAITED_OUT_IN: u32 = 200;
/// Blocks until the last invoice has ended: they live for 300.
const INVOICES_END_IN: u32 = 302;

impl World {
    /// Each wallet pays the other, as far as each has money where it needs it.
    pub(super) fn works_again(&mut self) -> Result<(), String> {
        if self.liars.iter().any(Option::is_some) {
            return Ok(());
        }
        let forgot = self.loss.happened();
        if !forgot {
            self.report.honest += 1;
            self.report.healed_in = self.healed_in;
        }
        if self.closed_early.contains(&true) {
            return Ok(());
        }
        if forgot {
            self.wait_out()?;
        } else if self.healed_in > HEALED_IN {
            let blocks = self.healed_in;
            return Err(format!("it took {blocks} blocks until nothing was under way any more"));
        }
        let mut again = 0;
        for payer in 0..2 {
            if self.has_to_pay_with(payer) {
                self.pays_again(payer)?;
                again += 1;
            }
        }
        if forgot {
            self.report.again_after_loss += again;
        } else {
            self.report.open += 1;
            self.report.again += again;
        }
        Ok(())
    }

    /// Who has forgotten something spends nothing until what it may have signed can't be carried to the
    /// ledger any more.
    fn wait_out(&mut self) -> Result<(), String> {
        for _ in 0..WAITED_OUT_IN {
            if !self.channels().any(Channel::waits_out) {
                return Ok(());
            }
            self.everybody_up(None);
            self.beat();
            self.nothing_wrong()?;
        }
        Err(format!("a channel waits for more than {WAITED_OUT_IN} blocks after a loss"))
    }

    /// Its own money in its channel, and the hub's in the payee's.
    fn has_to_pay_with(&self, payer: usize) -> bool {
        let spendable = |process, who| {
            self.channel_at(process, who).is_some_and(|channel| channel.spendable() >= NEEDED)
        };
        spendable(payer + 1, payer) && spendable(HUB, 1 - payer)
    }

    fn pays_again(&mut self, payer: usize) -> Result<(), String> {
        let anchor = self.send(payer, AMOUNT);
        for _ in 0..BLOCKS {
            self.everybody_up(None);
            self.beat();
            self.nothing_wrong()?;
            let state = |who: usize| self.state_of(who, &anchor);
            if [payer, 1 - payer].map(state) == [Some(PaymentState::Settled); 2] {
                return Ok(());
            }
        }
        let states = [payer, 1 - payer].map(|who| self.state_of(who, &anchor));
        Err(format!("wallet {payer} can't pay though all has healed: {states:?}"))
    }

    fn state_of(&self, who: usize, anchor: &Anchor) -> Option<PaymentState> {
        Some(self.wallets[who].core()?.payment(anchor)?.state)
    }

    /// Invoices that nobody has paid end with their time, and what a wallet is being paid ends with its
    /// channel.
    pub(super) fn nothing_awaited(&mut self) -> Result<(), String> {
        for _ in 0..INVOICES_END_IN {
            if self.awaited().is_none() {
                return Ok(());
            }
            self.everybody_up(None);
            self.beat();
            self.nothing_wrong()?;
        }
        self.awaited()
            .map_or(Ok(()), |awaited| Err(format!("a wallet still waits for {awaited:?}")))
    }

    fn awaited(&self) -> Option<Payment> {
        let honest = (0..2).filter(|who| !self.is_liar(who + 1));
        let mut payments = honest.flat_map(|who| self.payments(who));
        payments.find(|it| it.way == Way::In && it.state == PaymentState::Pending)
    }

    /// Every payment of which a wallet spoke is there, and has ended.
    pub(super) fn every_payment_ended(&self) -> Result<(), String> {
        for who in (0..2).filter(|who| !self.is_liar(who + 1)) {
            self.facts.ended(who, &self.payments(who))?;
        }
        Ok(())
    }
}
