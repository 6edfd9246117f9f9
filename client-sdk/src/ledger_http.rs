//! A ledger over HTTP.

use std::time::Duration;

use settlement::api::{
    AccountView, ChannelView, FaucetRequest, LedgerInfo, SubmitAnswer, SubmitRequest,
};
use settlement::block::{Block, BlockEvents};
use settlement::encoding::{decode, encode};
use settlement::state_proof::StateProof;
use settlement::tx::Transaction;
use settlement::types::{AccountId, ChannelId, Height, TxId};

pub use crate::http::BadUrl;
use crate::http::{CallError, Http};
use crate::ledger_client::{Answer, LedgerClient, LedgerError};
use crate::trust::Trust;

/// The ledger whose routes lie under `BASE/v1/ledger`, in a hub or in a process of its own.
#[derive(Clone, Debug)]
pub struct HttpLedger {
    http: Http,
}

impl HttpLedger {
    /// The ledger at this address, such as `http://127.0.0.1:7400`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(base: &str) -> Result<HttpLedger, BadUrl> {
        HttpLedger::trusting(base, &Trust::default())
    }

    /// The same, where it is known whose certificates to believe.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn trusting(base: &str, trust: &Trust) -> Result<HttpLedger, BadUrl> {
        Ok(HttpLedger { http: Http::new(base, trust)? })
    }

    /// Asks a development ledger for new money.
    ///
    /// # Errors
    /// [`LedgerError`]; refused with [`settlement::reject::Code::NoFaucet`] by any other ledger.
    pub async fn faucet(&self, request: &FaucetRequest) -> Result<TxId, LedgerError> {
        let answer: SubmitAnswer = self.http.post("/v1/ledger/faucet", request).await?;
        Ok(answer.tx)
    }
}

impl LedgerClient for HttpLedger {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        Box::pin(async { Ok(self.http.get("/v1/ledger/info").await?) })
    }

    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let body = SubmitRequest { transaction: hex::encode(encode(transaction)) };
        Box::pin(async move {
            let answer: SubmitAnswer = self.http.post("/v1/ledger/transactions", &body).await?;
            Ok(answer.tx)
        })
    }

    fn events_from(&self, height: Height, wait: Duration) -> Answer<'_, Vec<BlockEvents>> {
        let wait_ms = wait.as_millis();
        let path = format!("/v1/ledger/events?from={height}&wait_ms={wait_ms}&format=postcard");
        Box::pin(async move {
            let bytes = self.http.get_bytes(&path, wait).await?;
            let read = decode(&bytes);
            read.map_err(|error| LedgerError::Unreachable(format!("the ledger's blocks: {error}")))
        })
    }

    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        let path = format!("/v1/ledger/accounts/{account}");
        Box::pin(async move { Ok(self.http.get(&path).await?) })
    }

    fn channel(&self, channel: &ChannelId) -> Answer<'_, ChannelView> {
        let path = format!("/v1/ledger/channels/{channel}");
        Box::pin(async move { Ok(self.http.get(&path).await?) })
    }

    fn state_proof(&self, channel: &ChannelId) -> Answer<'_, StateProof> {
        let path = format!("/v1/ledger/proofs/{channel}");
        Box::pin(async move { Ok(self.http.get(&path).await?) })
    }

    fn block(&self, height: Height) -> Answer<'_, Block> {
        let path = format!("/v1/ledger/blocks/{height}");
        Box::pin(async move { Ok(self.http.get(&path).await?) })
    }
}

impl From<CallError> for LedgerError {
    fn from(error: CallError) -> LedgerError {
        match error {
            CallError::Refused(problem) => LedgerError::Refused(problem),
            CallError::Unreachable(why) => LedgerError::Unreachable(why),
        }
    }
}
