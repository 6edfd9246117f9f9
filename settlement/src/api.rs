//! What the ledger's HTTP interface says, as types: the server, the hub and every wallet share them.
//!
//! Amounts are decimal strings, bytes lower-case hex, transactions the hex of their postcard bytes.
//! Errors are RFC 9457 problem details with the numbered code.

use serde::{Deserialize, Serialize};

use crate::block::{BlockEvents, SignedHeader};
use crate::params::Genesis;
use crate::proof::OpenTerms;
use crate::reject::Code;
use crate::tx::Lease;
use crate::types::{Amount, AssetId, ChannelId, Height, LedgerId, PerRole, PublicKey, Role, TxId};

/// `GET /v1/ledger/info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerInfo {
    /// `H("ledger", genesis)`; whoever reads this checks it.
    pub ledger: LedgerId,
    /// All that the ledger started from.
    pub genesis: Genesis,
    /// The newest block's header; `None` before the first block.
    pub tip: Option<SignedHeader>,
}

/// What an account holds of one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetBalance {
    /// Which asset.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
}

/// `GET /v1/ledger/accounts/{key}`. An account that was never used is empty, with nonce 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    /// Whose.
    pub account: PublicKey,
    /// The nonce that its next transaction must have.
    pub nonce: u64,
    /// What it holds, assets with nothing left out.
    pub balances: Vec<AssetBalance>,
    /// The newest lease of a hub; none for others.
    #[serde(default)]
    pub lease: Option<Lease>,
}

/// How far a channel's life on the ledger has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelPhase {
    /// Open.
    Open,
    /// The challenge window runs, or locks are still pending after it.
    Closing,
    /// Paid out.
    Closed,
}

/// `GET /v1/ledger/channels/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its id.
    pub channel: ChannelId,
    /// Its terms.
    pub terms: OpenTerms,
    /// How far its life has come.
    pub phase: ChannelPhase,
    /// All that each side has deposited.
    pub deposited: PerRole<Amount>,
    /// All that each side has withdrawn.
    pub withdrawn: PerRole<Amount>,
    /// Who closed it, while it is closing.
    pub closed_by: Option<Role>,
    /// The last height at which proofs count, while it is closing.
    pub proofs_until: Option<Height>,
    /// What each side was paid, once it is closed.
    pub paid: Option<PerRole<Amount>>,
}

/// The body of `POST /v1/ledger/transactions`, and of the hub's requests that carry one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// Hex of the postcard bytes of a [`crate::tx::Transaction`].
    pub transaction: String,
}

/// The answer to it: the transaction waits for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitAnswer {
    /// Its id.
    pub tx: TxId,
}

/// The answer to `GET /v1/ledger/events?from=H&max=N&wait_ms=M`. With `&format=postcard` it is the
/// postcard bytes of the list instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsPage {
    /// One after the other, from the height that was asked for.
    pub blocks: Vec<BlockEvents>,
}

/// The body of `POST /v1/ledger/faucet`, on development ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaucetRequest {
    /// Who gets it.
    pub account: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
}

/// An RFC 9457 problem: what every error of every HTTP interface here looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:payhub:error:` and the code's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's sentence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong in this case, and what to do.
    pub detail: String,
    /// The code's number.
    pub code: Code,
    /// The code's name.
    pub name: String,
    /// Whether the same request may be taken later.
    pub retryable: bool,
}

impl Problem {
    /// The problem that a code makes, with what was wrong in this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("urn:payhub:error:{}", code.name()),
            title: code.title().to_owned(),
            status: http_status(code),
            detail: detail.into(),
            code,
            name: code.name().to_owned(),
            retryable: code.retryable(),
        }
    }
}

/// The HTTP status that goes with a code.
pub fn http_status(code: Code) -> u16 {
    match code {
        Code::Unauthorized | Code::NotSignedIn | Code::BadSignIn => 401,
        Code::NoFaucet => 403,
        Code::NotFound | Code::NoSuchChannel | Code::UnknownChannel => 404,
        Code::FrameTooLarge | Code::TxTooLarge => 413,
        Code::Internal => 500,
        Code::QueueFull
        | Code::Overloaded
        | Code::TooManyConnections
        | Code::LedgerUnavailable
        | Code::LedgerStalled
        | Code::Draining
        | Code::ShuttingDown
        | Code::TowerFull
        | Code::TowerUnavailable
        | Code::HubUnavailable => 503,
        Code::NotAgreed
        | Code::BadNonce
        | Code::NotOpen
        | Code::ChannelExists
        | Code::ChannelNotOpen
        | Code::OlderAnswer
        | Code::ChannelClosing => 409,
        Code::MalformedRequest | Code::MalformedTransaction => 400,
        _ => 422,
    }
}
