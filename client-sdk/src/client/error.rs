//! What a user of the client is told when something was not done.

use settlement::index::IndexError;
use settlement::journal::JournalError;
use settlement::reject::Code;
use settlement::types::Anchor;

use crate::ledger_client::LedgerError;

/// A refusal or failure: the numbered code, and what was wrong in this case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [{code}]")]
pub struct ClientError {
    /// Why.
    pub code: Code,
    /// What was wrong, and what to do.
    pub detail: String,
    /// The payment that it was about, if any.
    pub payment: Option<Anchor>,
}

impl ClientError {
    /// A refusal that is about no payment.
    pub fn new(code: Code, detail: impl Into<String>) -> ClientError {
        ClientError { code, detail: detail.into(), payment: None }
    }

    /// The client has been shut down, or is being dropped.
    pub(crate) fn stopped() -> ClientError {
        ClientError::new(Code::Internal, "the client has been shut down")
    }

    /// Whether the hub or the ledger did not answer: nothing was refused.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.code, Code::HubUnavailable | Code::LedgerUnavailable)
    }
}

impl From<LedgerError> for ClientError {
    fn from(error: LedgerError) -> ClientError {
        match error {
            LedgerError::Refused(problem) => ClientError::new(problem.code, problem.detail),
            LedgerError::Unreachable(why) => ClientError::new(Code::LedgerUnavailable, why),
        }
    }
}

impl From<JournalError> for ClientError {
    fn from(error: JournalError) -> ClientError {
        let locked = matches!(error, JournalError::Locked { .. });
        let code = if locked { Code::HomeLocked } else { Code::StoreDamaged };
        ClientError::new(code, error.to_string())
    }
}

impl From<IndexError> for ClientError {
    fn from(error: IndexError) -> ClientError {
        let locked = matches!(error, IndexError::Locked(_));
        let code = if locked { Code::HomeLocked } else { Code::StoreDamaged };
        ClientError::new(code, error.to_string())
    }
}

impl From<crate::http::BadUrl> for ClientError {
    fn from(error: crate::http::BadUrl) -> ClientError {
        ClientError::new(Code::BadArgument, error.to_string())
    }
}
