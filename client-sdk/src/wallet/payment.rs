//! A payment as the wallet remembers it.

use serde::{Deserialize, Serialize};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Secret};

/// How a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// Not final. The money may still be claimed: it must not be tried again elsewhere.
    Pending,
    /// The payee's secret has come back: paid.
    Settled,
    /// The money is back for good, or was never locked. With [`Code::StateLost`] it is not known here, and with
    /// [`Code::Recovering`] not of before this wallet lost state: its balance counts the payment as it
    /// went, and that a later try fails says nothing of an earlier one. A payee takes no second payment of an
    /// invoice that was paid.
    Failed(Code),
}

/// Which way a payment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Paid by this wallet.
    Out,
    /// Paid to this wallet.
    In,
}

/// A payment, in or out, as the wallet remembers it. Its anchor names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// SHA-256 of the secret.
    pub anchor: Anchor,
    /// Which way.
    pub way: Way,
    /// How it stands.
    pub state: PaymentState,
    /// Of which asset.
    pub asset: AssetId,
    /// What the payee gets.
    pub amount: Amount,
    /// What the hub takes on top (0 for payments in).
    pub fee: Amount,
    /// The other wallet, where it is known: of an invoice that was asked for, whoever asked.
    pub peer: Option<PublicKey>,
    /// What for.
    pub memo: String,
    /// The secret: the proof of payment, once it is known.
    pub secret: Option<Secret>,
    /// Through which channel and lock, once there is one.
    pub lock: Option<(ChannelId, u64)>,
    /// The height after which an invoice can't be paid.
    pub expires: Height,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

impl Payment {
    /// Whether it may have been paid, for all that this wallet knows.
    pub(super) fn is_in_doubt(&self) -> bool {
        let lost = match self.state {
            PaymentState::Failed(Code::StateLost) => true,
            // As others say it of a lock, its money is back.
            PaymentState::Failed(Code::Recovering) => self.lock.is_none(),
            _ => false,
        };
        lost && self.way == Way::Out
    }
}
