//! What the hub's HTTP interface says to wallets, as types that hub and client share.

use serde::{Deserialize, Serialize};
use settlement::liabilities::{Liabilities, LiabilityProof};
use settlement::params::{Asset, Policy};
use settlement::types::{Amount, ChannelId, Height, LedgerId, PublicKey, Signature, TxId};

/// What a hub takes for passing a payment on: `base + ppm` of the amount, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeePolicy {
    /// Rises whenever the other numbers change.
    pub id: u64,
    /// Whole units for each payment.
    pub base: Amount,
    /// Millionths of the amount, 0 to 1,000,000.
    pub ppm: u32,
}

impl FeePolicy {
    /// The fee for passing `amount` on; `None` when it overflows.
    pub fn fee(&self, amount: Amount) -> Option<Amount> {
        let share = amount.wide().checked_mul(i128::from(self.ppm))?.checked_add(999_999)?;
        let share = Amount::from_wide(share.checked_div(1_000_000)?)?;
        self.base.checked_add(share)
    }
}

/// `GET /v1/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubInfo {
    /// The hub's version.
    pub version: String,
    /// The hub's key: the other side of every channel, and its ledger account.
    pub hub: PublicKey,
    /// Which ledger.
    pub ledger: LedgerId,
    /// Where that ledger is, such as `http://127.0.0.1:7500`; none if the hub's own address serves
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_url: Option<String>,
    /// The ledger's assets, by id.
    pub assets: Vec<Asset>,
    /// The margins that the hub keeps.
    pub policy: Policy,
    /// What it takes.
    pub fees: FeePolicy,
    /// The least that a wallet puts into a new channel.
    pub deposit_min: Amount,
    /// What the hub puts into a new channel: this many millionths of the wallet's deposit…
    pub inbound_ppm: u32,
    /// …and at most this.
    pub inbound_max: Amount,
}

/// The answer to `POST /v1/channels` (body: [`settlement::api::SubmitRequest`] with the signed
/// opening): the channel is in a block and the hub serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelOpened {
    /// Its id.
    pub channel: ChannelId,
    /// What the hub is putting into it.
    pub inbound: Amount,
}

/// The body of `POST /v1/channels/{id}/withdraw` and `…/close`: what the hub shall sign too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosignRequest {
    /// Hex of the postcard bytes of a [`settlement::proof::Withdrawal`] or
    /// [`settlement::proof::CooperativeClose`].
    pub body: String,
    /// The wallet's signature over it.
    pub signature: Signature,
}

/// The answer: the hub has signed too, and handed the transaction to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    /// The hub's signature.
    pub signature: Signature,
    /// The transaction's id.
    pub tx: TxId,
}

/// The answer to `GET /v1/channels/{id}/liability`: the channel's leaf in what the hub has signed
/// that it owes, and the way up. `proof.verify(&liabilities)` says whether it is under the root; the
/// block's [`settlement::block::LedgerEvent::LiabilitiesAnchored`] with the hub's key says whether
/// the hub has signed that root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiabilityAnswer {
    /// What the hub has signed that it owes in the channel's asset.
    pub liabilities: Liabilities,
    /// The channel's leaf, and the way up.
    pub proof: LiabilityProof,
    /// The block with the anchor that says so; none while that is on its way.
    pub block: Option<Height>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_rounded_up() {
        let fees = |base, ppm| FeePolicy { id: 1, base: Amount(base), ppm };
        let cases = [
            (fees(0, 0), 1_000, 0),
            (fees(1, 0), 1_000, 1),
            (fees(0, 1_000), 1_000, 1),
            (fees(0, 1_000), 1_001, 2),
            (fees(2, 1_000_000), 7, 9),
        ];
        for (fees, amount, expected) in cases {
            assert_eq!(fees.fee(Amount(amount)), Some(Amount(expected)), "{fees:?} of {amount}");
        }
        assert_eq!(fees(1, 1_000_000).fee(Amount(u64::MAX)), None);
    }
}
