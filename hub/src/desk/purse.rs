//! What the hub's account keeps back on a ledger that takes fees: without it the hub could not bring
//! what defends it, and whoever has all its money put into channels could then close with an old
//! proof. So nothing but a defence is paid for with what the answers to closes of all channels cost.
//!
//! What has been handed in and is in no block yet has left the account already, as far as this counts.

use std::collections::BTreeMap;

use settlement::api::AccountView;
use settlement::encoding::encode;
use settlement::params::Fees;
use settlement::tx::{AccountAction, ChannelTx, Transaction};
use settlement::types::{Amount, AssetId};

/// What is handed in, by nonce: what it takes of the asset that fees are in.
#[derive(Debug, Default)]
pub(super) struct Purse(BTreeMap<u64, i128>);

impl Purse {
    /// What is left of the account once all that is handed in is in blocks. What the ledger has
    /// counted by now is forgotten.
    pub(super) fn left(&mut self, view: &AccountView, asset: AssetId) -> i128 {
        self.0 = self.0.split_off(&view.nonce);
        let held = view.balances.iter().find(|balance| balance.asset == asset);
        let held = held.map_or(0, |balance| balance.amount.wide());
        self.0.values().fold(held, |left, taken| left.saturating_sub(*taken))
    }

    /// Something that takes so much is handed in with this nonce.
    pub(super) fn take(&mut self, nonce: u64, taken: i128) {
        self.0.insert(nonce, taken);
    }
}

/// What the account must have left after doing this, with so many channels that are not paid out;
/// none where it has to be done in any case.
pub(super) fn kept_back(fees: &Fees, action: &AccountAction, channels: u64) -> Option<i128> {
    let to_defend = match action {
        AccountAction::Lease(_) => return None,
        AccountAction::Carry(carried) => match **carried {
            ChannelTx::Submit { .. } | ChannelTx::Settle { .. } => return None,
            ChannelTx::CooperativeClose { .. } => channels.saturating_sub(1),
            ChannelTx::Withdraw { .. } => channels,
        },
        _ => channels,
    };
    Some(fees.of_answer().wide().saturating_mul(i128::from(to_defend)))
}

/// What the ledger takes for a transaction at most.
pub(super) fn fee(fees: &Fees, transaction: &Transaction) -> Amount {
    let submission = match transaction {
        Transaction::Account { body, .. } => match &body.action {
            AccountAction::Carry(carried) => match carried.as_ref() {
                ChannelTx::Submit { body, .. } => Some(body),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let steps = submission.map_or(0, |it| it.locks.iter().map(|lock| u64::from(lock.steps)).sum());
    fees.of(encode(transaction).len(), steps)
}

#[cfg(test)]
mod tests {
    use settlement::api::AssetBalance;
    use settlement::proof::{CooperativeClose, Net, Withdrawal};
    use settlement::tx::{Lease, Submission};
    use settlement::types::{ChannelId, Height, Holder, PublicKey, Role, Signature};

    use super::*;

    const EUR: AssetId = AssetId(0);
    const FEES: Fees =
        Fees { asset: EUR, flat: Amount(3), per_kilobyte: Amount(2), per_kilohash: Amount(1) };

    fn account(nonce: u64, amount: u64) -> AccountView {
        let balances = vec![AssetBalance { asset: EUR, amount: Amount(amount) }];
        AccountView { account: PublicKey([2; 33]), nonce, balances, lease: None }
    }

    #[test]
    fn what_is_handed_in_counts_until_a_block_has_it() {
        let mut purse = Purse::default();
        purse.take(4, 30);
        purse.take(5, 50);
        assert_eq!(purse.left(&account(4, 100), EUR), 20);
        assert_eq!(purse.left(&account(5, 70), EUR), 20, "the first is in a block");
        purse.take(5, 10);
        assert_eq!(purse.left(&account(5, 70), EUR), 60, "made anew");
        assert_eq!(purse.left(&account(6, 60), EUR), 60);
        assert_eq!(purse.left(&account(6, 60), AssetId(1)), 0);
    }

    #[test]
    fn a_defence_is_never_held_back_and_a_close_needs_none_any_more() {
        let (channel, hub, wallet) = (ChannelId([1; 32]), Signature([0; 64]), Signature([0; 64]));
        let carry = |tx| AccountAction::carry(tx).unwrap();
        let net = || Net::new(0).unwrap();
        let close = CooperativeClose {
            channel,
            wallet_amount: Amount(0),
            hub_amount: Amount(0),
            wallet_net: net(),
            hub_net: net(),
            valid_until: Height(1),
        };
        let role = Role::Wallet;
        let withdrawal =
            Withdrawal { channel, role, total_withdrawn: Amount(1), valid_until: Height(1) };
        let body = Submission::nothing(channel, Role::Hub);
        let one = 3 + 2 * 2 + 1;
        let table = [
            (AccountAction::Deposit { channel, role: Role::Hub, amount: Amount(1) }, Some(5 * one)),
            (carry(Transaction::Withdraw { body: withdrawal, wallet, hub }), Some(5 * one)),
            (carry(Transaction::CooperativeClose { body: close, wallet, hub }), Some(4 * one)),
            (carry(Transaction::Submit { body, signature: hub }), None),
            (carry(Transaction::Settle { channel }), None),
            (AccountAction::Lease(Lease { epoch: 1, holder: Holder([0; 16]) }), None),
        ];
        for (action, expected) in table {
            assert_eq!(kept_back(&FEES, &action, 5), expected, "{action:?}");
        }
    }
}
