//! What the hub's HTTP interface says to wallets, as types that hub and client share.

use serde::{Deserialize, Serialize};
use settlement::liabilities::{Liabilities, LiabilityProof};
use settlement::params::{Asset, Policy};
use settlement::types::{Amount, Anchor, ChannelId, Height, LedgerId, PublicKey, Signature, TxId};
use settlement::update::Memo;

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

/// How the fee of a lock of many steps is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFee {
    /// On top of each step's unit: what is not streamed costs nothing.
    PerStep(Amount),
    /// In one direct payment to the hub, in the update that adds the lock. Its memo is
    /// [`upfront_memo`], and the lock's unit goes to the payee whole.
    Upfront(Amount),
}

impl FeePolicy {
    /// The fee for passing a lock of so many steps on, and how it is paid: per step where rounding
    /// up `steps` times makes it dearer by a tenth at most than for the whole amount at once, else
    /// upfront. A base that is not zero is so paid once for a lock, not once for each step. `None`
    /// when it overflows.
    pub fn stream(&self, unit: Amount, steps: u32) -> Option<StreamFee> {
        let whole = self.fee(unit.checked_mul(steps)?)?;
        let per_step = self.fee(unit)?;
        let sum = per_step.wide().checked_mul(i128::from(steps))?;
        let sensible = sum.checked_mul(10)? <= whole.wide().checked_mul(11)?;
        Some(if sensible { StreamFee::PerStep(per_step) } else { StreamFee::Upfront(whole) })
    }
}

const UPFRONT: &[u8] = b"stream-fee";

/// The memo of a direct payment that pays the fee for the lock with this anchor.
pub fn upfront_memo(anchor: &Anchor) -> Memo {
    Memo::new([UPFRONT, anchor.as_slice()].concat()).unwrap_or_default()
}

/// The lock that a direct payment with this memo pays the fee for.
pub fn upfront_anchor(memo: &Memo) -> Option<Anchor> {
    memo.as_slice().strip_prefix(UPFRONT)?.try_into().ok().map(Anchor)
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

    #[test]
    fn a_stream_pays_per_step_where_that_rounds_sensibly() {
        use StreamFee::{PerStep, Upfront};
        let fees = |base, ppm| FeePolicy { id: 1, base: Amount(base), ppm };
        let cases = [
            (fees(0, 0), 1, 65_536, Some(PerStep(Amount(0)))),
            (fees(0, 1_000), 1_000, 100, Some(PerStep(Amount(1)))),
            // 2 a step, which is 200 for 100 steps; at once it is 101.
            (fees(0, 1_000), 1_001, 100, Some(Upfront(Amount(101)))),
            (fees(0, 1_000), 10_001, 100, Some(PerStep(Amount(11)))),
            (fees(0, 1_000), 1, 1_000, Some(Upfront(Amount(1)))),
            (fees(1, 0), 1_000, 100, Some(Upfront(Amount(1)))),
            (fees(1, 0), 1_000, 1, Some(PerStep(Amount(1)))),
            (fees(0, 0), u64::MAX, 2, None),
        ];
        for (fees, unit, steps, expected) in cases {
            assert_eq!(fees.stream(Amount(unit), steps), expected, "{fees:?}, {unit} x {steps}");
        }
    }

    #[test]
    fn the_memo_of_an_upfront_fee_names_its_lock() {
        let memo = upfront_memo(&Anchor([7; 32]));
        assert_eq!(memo.as_slice(), [b"stream-fee".as_slice(), &[7; 32]].concat());
        assert_eq!(upfront_anchor(&memo), Some(Anchor([7; 32])));
        let other = |bytes: &[u8]| upfront_anchor(&Memo::new(bytes.to_vec()).unwrap());
        assert_eq!((other(b""), other(b"stream-fee"), other(&[7; 42])), (None, None, None));
    }
}
