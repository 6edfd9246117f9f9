//! Why something was not bought.

use super::blocks::EventTooLong;
use super::receipt::BadReceipt;
use crate::client::ClientError;
use crate::wallet::stream::{StreamKey, StreamView};

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// The wallet or its hub refused: no money, no way to the payee.
    #[error(transparent)]
    Wallet(#[from] ClientError),
    /// The server was not reached, or the connection broke.
    #[error("the server: {0}")]
    Http(#[from] reqwest::Error),
    /// The server wants to be paid in a way that this client can't, or for another server.
    #[error("the server's demand is not to be met: {0}")]
    Demand(String),
    /// It costs more than this client may pay: [`super::Limits`] say how much.
    #[error("too dear: {0}")]
    TooDear(String),
    /// The server owes too much for what it was handed already.
    #[error(
        "the server was handed {handed} steps and has served {served}: no more before it serves"
    )]
    Exposure {
        /// Steps that it was handed.
        handed: u64,
        /// Of these, what it has served.
        served: u64,
    },
    /// The server did not take what it was handed, again and again.
    #[error("the server does not take the payment: {kind} ({detail})")]
    Refused {
        /// The problem's name, such as `verification-failed`.
        kind: String,
        /// What it says of it.
        detail: String,
    },
    /// The response has no receipt, or not one for what was paid.
    #[error("the server gave no good receipt: {0}")]
    Receipt(String),
    /// Not all streams could be closed.
    #[error("{} of {} streams could not be closed: {}", left.len(),
        left.len().saturating_add(ended.len()), reasons(left))]
    Unclosed {
        /// Those that were.
        ended: Vec<StreamView>,
        /// Those that were not, and why.
        left: Vec<(StreamKey, ClientError)>,
    },
    /// A request whose body can't be sent twice.
    #[error("the request can't be sent again: its body is a stream")]
    Once,
}

fn reasons(left: &[(StreamKey, ClientError)]) -> String {
    let reasons = left.iter().map(|(key, error)| format!("to {}: {error}", key.peer));
    reasons.collect::<Vec<_>>().join("; ")
}

impl From<BadReceipt> for PayError {
    fn from(error: BadReceipt) -> PayError {
        PayError::Receipt(error.to_string())
    }
}

impl From<EventTooLong> for PayError {
    fn from(error: EventTooLong) -> PayError {
        PayError::Demand(error.to_string())
    }
}
