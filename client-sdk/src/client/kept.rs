//! What a wallet keeps on its account where the ledger takes fees: a channel that it could not pay to
//! close, or to answer for, is its hub's.

use settlement::api::AccountView;
use settlement::channel::{Channel, Phase};
use settlement::params::Fees;
use settlement::reject::Code;
use settlement::types::{Amount, AssetId};

use super::ClientError;
use crate::wallet::Wallet;

/// For each channel: the close, or the answer to one, and claims on locks after that.
const ANSWERS: i128 = 2;
/// More bytes than what puts money into a channel has.
const MOVE_BYTES: usize = 1_024;

/// How many channels of a wallet are not paid out.
pub(super) fn standing(wallet: &Wallet) -> usize {
    let paid_out = |channel: &&Channel| matches!(channel.phase(), Phase::Closed { .. });
    wallet.channels().filter(|channel| !paid_out(channel)).count()
}

/// Refuses to put so much into a channel if the account could not pay for what `channels` channels
/// may need then.
///
/// # Errors
/// [`Code::InsufficientFunds`], with how much can be put in.
pub(super) fn check_left(
    fees: &Fees,
    view: &AccountView,
    (asset, amount): (AssetId, Amount),
    channels: usize,
) -> Result<(), ClientError> {
    if fees.is_free() {
        return Ok(());
    }
    let held = view.balances.iter().find(|balance| balance.asset == fees.asset);
    let held = held.map_or(0, |balance| balance.amount.wide());
    let channels = i128::try_from(channels).unwrap_or(i128::MAX);
    let kept = fees.of_answer().wide().saturating_mul(ANSWERS).saturating_mul(channels);
    let most = held.saturating_sub(fees.of(MOVE_BYTES, 0).wide()).saturating_sub(kept);
    let moved = if asset == fees.asset { amount.wide() } else { 0 };
    if moved <= most {
        return Ok(());
    }
    let fees_in = fees.asset;
    let detail = format!(
        "this ledger takes fees, and whoever can't pay them can't close: {kept} of asset {fees_in} \
         stays on the account for that. What can be put in now is {}",
        most.max(0)
    );
    Err(ClientError::new(Code::InsufficientFunds, detail))
}

#[cfg(test)]
mod tests {
    use settlement::api::AssetBalance;
    use settlement::types::PublicKey;

    use super::*;

    #[test]
    fn what_closing_costs_stays_on_the_account() {
        let amount = Amount;
        let (flat, per_kilobyte, per_kilohash) = (amount(3), amount(2), amount(1));
        let fees = Fees { asset: AssetId(1), flat, per_kilobyte, per_kilohash };
        let holds = |asset, amount| AssetBalance { asset: AssetId(asset), amount: Amount(amount) };
        let balances = vec![holds(0, 1_000), holds(1, 100)];
        let view = AccountView { account: PublicKey([2; 33]), nonce: 0, balances, lease: None };
        let check = |fees, asset, amount, channels| {
            check_left(fees, &view, (AssetId(asset), Amount(amount)), channels).is_ok()
        };
        // Five for the deposit, and twice eight for each channel.
        let table = [
            (1, 79, 1, true),
            (1, 80, 1, false),
            (1, 63, 2, true),
            (1, 64, 2, false),
            (0, 1_000, 5, true),
            (0, 1, 6, false),
        ];
        for (asset, amount, channels, fits) in table {
            assert_eq!(check(&fees, asset, amount, channels), fits, "{asset} {amount} {channels}");
        }
        assert!(check(&Fees::default(), 1, 100, 6), "nothing costs anything");
    }
}
