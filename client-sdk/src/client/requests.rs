//! Asking other wallets for invoices, and answering who asks.

use std::time::Duration;

use settlement::reject::Code;
use settlement::types::{Amount, AssetId, PublicKey, Secret};

use super::ClientError;
use super::handle::{WalletHandle, fresh};
use crate::wallet::{AnswerTerms, Ask, Asked, Command};

/// How long the other wallet may take where nothing else is said.
const ANSWERING: Duration = Duration::from_secs(20);

impl WalletHandle {
    /// Asks another wallet of this hub for an invoice, end-to-end encrypted, and returns its text once
    /// it has come: signed by `payee`, for just what was asked. Nothing is paid by that. It is meant to
    /// be paid soon: the payee forgets it when too many wallets ask it at once. Paying it then fails
    /// with [`Code::UnknownInvoice`] and costs nothing.
    ///
    /// # Errors
    /// [`Code::Unanswered`] when the wallet does not answer in 20 seconds: it is away, or answers nobody
    /// ([`WalletHandle::answer_requests`]); [`Code::RefusedByPayee`] when that is more than it takes at
    /// a time, [`Code::Overloaded`] when it waits for too many payments; [`Code::BadInvoice`] for an
    /// answer that is not for what was asked; [`Code::HubUnavailable`] and others of this wallet's.
    pub async fn request_invoice(
        &self,
        payee: PublicKey,
        asset: AssetId,
        amount: Amount,
        memo: impl Into<String>,
    ) -> Result<String, ClientError> {
        self.request_invoice_within(ANSWERING, payee, asset, amount, memo).await
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// As [`WalletHandle::request_invoice`].
    pub async fn request_invoice_within(
        &self,
        patience: Duration,
        payee: PublicKey,
        asset: AssetId,
        amount: Amount,
        memo: impl Into<String>,
    ) -> Result<String, ClientError> {
        let (ask, memo) = (fresh()?, memo.into());
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let question = Ask { ask, payee, asset, amount, memo, patience_ms };
        self.command(Command::Ask(Box::new(question))).await?;
        let ended = self.until(move |wallet| match wallet.asked(&ask) {
            Asked::Waiting => None,
            ended => Some(ended),
        });
        match ended.await? {
            Asked::Answered(Ok(invoice)) => Ok(invoice),
            Asked::Answered(Err(code)) => Err(ClientError::new(code, refused(code))),
            Asked::Waiting | Asked::Unknown => {
                let detail = "the wallet that was asked does not answer: it is away, or gives \
                              invoices to nobody who asks";
                Err(ClientError::new(Code::Unanswered, detail))
            }
        }
    }

    /// From now on this wallet gives an invoice to any wallet of its hub that asks, on these terms; or
    /// answers nobody, as in the beginning. It keeps 64 at a time that were asked for and are not paid,
    /// and 4 for one payer; who asks for more is told to come again later. For a wallet that has none
    /// the oldest of whichever has most makes room, which ends as [`Code::Overloaded`]. Forgotten when
    /// the client ends.
    ///
    /// # Errors
    /// When the client has been shut down, or the system gives no randomness.
    pub async fn answer_requests(&self, terms: Option<AnswerTerms>) -> Result<(), ClientError> {
        self.command(Command::AnswerAsks(Secret(fresh()?), terms)).await.map(|_| ())
    }
}

/// What the other wallet says by a number.
fn refused(code: Code) -> String {
    match code {
        Code::BadInvoice => "the answer is no invoice of that wallet for what was asked".to_owned(),
        Code::RefusedByPayee => "the wallet that was asked takes no such amount or memo".to_owned(),
        Code::Overloaded => {
            "the wallet that was asked waits for too many payments; ask again later".to_owned()
        }
        code => format!("the wallet that was asked: {}", code.title()),
    }
}
