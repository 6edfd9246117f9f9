//! What is left to hold once somebody has lied: liars may have harmed themselves, and nobody else.

use client_sdk::wallet::{Payment, PaymentState, Way};
use settlement::types::Amount;

use super::liar::{HUB, WALLET};
use super::wallet_node::FEES;
use super::{HUB_FUNDS, MINTED, World, check};

impl World {
    pub(super) fn check_after_lies(&mut self, payments: &[Vec<Payment>; 2]) -> Result<(), String> {
        self.note_all(payments);
        for (who, payments) in payments.iter().enumerate() {
            if !self.is_liar(who + 1) {
                self.wallet_is_not_worse_off(who, payments)?;
            }
        }
        self.check_streams()?;
        if !self.is_liar(HUB) {
            self.hub_is_not_worse_off(&payments[0])?;
        } else if !self.is_liar(WALLET) {
            for payer in 0..2 {
                charged_only_if_paid(&payments[payer], &payments[1 - payer])?;
            }
        }
        if !self.ledger.is_conserved() {
            return Err("the ledger is not conserved".to_owned());
        }
        self.count_payments(payments);
        Ok(())
    }

    /// It has what its payments say. A liar who pays need not say so.
    fn wallet_is_not_worse_off(&mut self, who: usize, payments: &[Payment]) -> Result<(), String> {
        self.facts.hold(who, payments)?;
        let (paid, received) = self.moved(who, payments);
        let has = self.ledger.balance(&self.public(who));
        let should = MINTED.wide() - paid + received;
        let given = has.wide() - should;
        if self.may_differ(who, given) {
            self.report.blurred += 1;
            return Ok(());
        }
        let may_gain = self.is_liar(HUB) || self.loss.of_wallets();
        if given > 0 && (may_gain || self.may_be_unpaid(who, given)) {
            return Ok(());
        }
        check::account(&format!("wallet {who}"), has, should)
    }

    /// It has its fee of everything that the honest wallet has paid or got, whatever the other did.
    fn hub_is_not_worse_off(&mut self, honest: &[Payment]) -> Result<(), String> {
        let settled = honest.iter().filter(|payment| payment.state == PaymentState::Settled);
        let fees: i128 = match self.loss.happened() {
            true => 0,
            false => settled.map(|payment| fee_of(payment).wide()).sum(),
        };
        let has = self.ledger.balance(&self.hub.public());
        let least = HUB_FUNDS.wide() + fees;
        if has.wide() < least {
            return Err(format!("the hub has {has}, and should have {least} at least"));
        }
        Ok(())
    }
}

fn fee_of(payment: &Payment) -> Amount {
    match payment.way {
        Way::Out => payment.fee,
        Way::In => FEES.fee(payment.amount).unwrap_or(Amount::ZERO),
    }
}

/// Whatever the hub between two honest wallets does.
fn charged_only_if_paid(payer: &[Payment], payee: &[Payment]) -> Result<(), String> {
    let charged = |paid: &&Payment| paid.way == Way::Out && paid.state == PaymentState::Settled;
    for paid in payer.iter().filter(charged) {
        let received = payee.iter().find(|p| p.way == Way::In && p.anchor == paid.anchor);
        if received.is_none_or(|received| received.state != PaymentState::Settled) {
            return Err(format!("{paid:?} is settled for the payer, but not for the payee"));
        }
    }
    Ok(())
}
