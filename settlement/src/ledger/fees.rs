//! Fees, and the envelopes that pay them.
//!
//! Account transactions pay from their account. Transactions on channels carry no nonce and name no
//! payer, so that they can lie ready-signed with anybody; whoever carries one in wraps it in an
//! envelope with the next nonce of the own account, which pays. What can be seen to change nothing
//! without hashing is refused and costs nothing. Anything else pays for its bytes and the hashes
//! that it declares (measuring known claims again counts), before one of them is made, and whatever
//! comes of it: so nobody makes the ledger hash for nothing.

use super::Ledger;
use super::dispute::{Cost, Plan};
use super::verified::VerifiedTx;
use crate::reject::Code;
use crate::tx::{OnChannel, Transaction};
use crate::types::{Amount, AssetId, Height, PublicKey};

impl Ledger {
    /// How many hashes a transaction may cost, known before a single one is made.
    pub(super) fn cost(&self, tx: &VerifiedTx, block: Height) -> Cost {
        self.submits(tx.tx(), block).map_or(Cost::default(), |plan| plan.cost)
    }

    /// The nearest expiry or end of a window that a transaction protects.
    pub(super) fn protects(&self, tx: &Transaction, block: Height) -> Option<Height> {
        self.submits(tx, block)?.protects
    }

    fn submits(&self, tx: &Transaction, block: Height) -> Option<Plan> {
        match tx.on_channel()? {
            OnChannel::Submit(body, _) => self.plan_submit(body, block).ok(),
            _ => None,
        }
    }

    /// What its account pays for it.
    pub(super) fn fee(&self, tx: &VerifiedTx, block: Height) -> Amount {
        let fees = &self.parameters().fees;
        match tx.tx() {
            Transaction::Account { .. } if !fees.is_free() => {
                fees.of(tx.bytes(), self.cost(tx, block).hashes)
            }
            _ => Amount::ZERO,
        }
    }

    /// Whether the account can spend this much and pay the fee as well.
    pub(super) fn affords(
        &self,
        account: PublicKey,
        asset: AssetId,
        amount: Amount,
        fee: Amount,
    ) -> Result<(), Code> {
        let fees_asset = self.parameters().fees.asset;
        let same = if asset == fees_asset { fee.wide() } else { 0 };
        let enough = self.state.balance(account, asset).wide() >= amount.wide() + same;
        enough.then_some(()).ok_or(Code::InsufficientFunds)?;
        self.affords_fee(account, fee)
    }

    pub(super) fn affords_fee(&self, account: PublicKey, fee: Amount) -> Result<(), Code> {
        let enough = self.state.balance(account, self.parameters().fees.asset) >= fee;
        enough.then_some(()).ok_or(Code::InsufficientFunds)
    }

    /// Takes the fee, which the plan has found affordable, to the ledger's own account.
    pub(super) fn charge(&mut self, payer: PublicKey, fee: Amount) {
        if fee > Amount::ZERO {
            let genesis = self.parameters();
            let (asset, ledger) = (genesis.fees.asset, genesis.ledger_key);
            self.state.debit(payer, asset, fee);
            self.state.credit(ledger, asset, fee);
        }
    }
}

#[cfg(test)]
mod tests;
