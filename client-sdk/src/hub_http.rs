//! What is asked of a hub over HTTP: its terms, and what it has to sign for the ledger.

use settlement::api::SubmitRequest;
use settlement::crypto::{Signable, SigningKey};
use settlement::encoding::encode;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::tx::Transaction;
use settlement::types::{ChannelId, TxId};

use crate::api::{ChannelOpened, CosignRequest, Cosigned, HubInfo, LiabilityAnswer};
use crate::client::ClientError;
pub use crate::http::BadUrl;
use crate::http::{CallError, Http};
use crate::trust::Trust;

/// A hub's HTTP interface.
#[derive(Clone, Debug)]
pub struct HttpHub {
    http: Http,
}

impl HttpHub {
    /// The hub at this address, such as `http://127.0.0.1:7400`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(base: &str) -> Result<HttpHub, BadUrl> {
        HttpHub::trusting(base, &Trust::default())
    }

    /// The same, where it is known whose certificates to believe.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn trusting(base: &str, trust: &Trust) -> Result<HttpHub, BadUrl> {
        Ok(HttpHub { http: Http::new(base, trust)? })
    }

    /// Where its WebSocket is.
    pub(crate) fn connect_url(&self) -> String {
        let base = self.http.base();
        // http:// becomes ws://, https:// wss://.
        format!("ws{}/v1/connect", base.strip_prefix("http").unwrap_or(base))
    }

    /// Its key, ledger, margins and fees.
    ///
    /// # Errors
    /// As all of its requests: the hub's own code, or [`Code::HubUnavailable`].
    pub async fn info(&self) -> Result<HubInfo, ClientError> {
        Ok(self.http.get("/v1/info").await?)
    }

    /// Opens a channel: the hub hands the signed opening to the ledger and answers once the channel
    /// is in a block. Asking again with the same transaction does no harm.
    ///
    /// # Errors
    /// [`Code::PolicyRefused`], what the ledger says, or [`Code::HubUnavailable`].
    pub async fn open(&self, opening: &Transaction) -> Result<ChannelOpened, ClientError> {
        let body = SubmitRequest { transaction: hex::encode(encode(opening)) };
        Ok(self.http.post("/v1/channels", &body).await?)
    }

    /// Has the hub sign a withdrawal and bring it to the ledger.
    ///
    /// # Errors
    /// [`Code::NotAgreed`], [`Code::Overdraft`] and others of the channel's rules.
    pub async fn withdraw(
        &self,
        key: &SigningKey,
        body: &Withdrawal,
    ) -> Result<Cosigned, ClientError> {
        self.cosign(key, body.channel, "withdraw", body).await
    }

    /// Has the hub sign a cooperative close and bring it to the ledger.
    ///
    /// # Errors
    /// [`Code::NotAgreed`] and others of the channel's rules.
    pub async fn close(
        &self,
        key: &SigningKey,
        body: &CooperativeClose,
    ) -> Result<Cosigned, ClientError> {
        self.cosign(key, body.channel, "close", body).await
    }

    async fn cosign<T: Signable>(
        &self,
        key: &SigningKey,
        channel: ChannelId,
        what: &str,
        body: &T,
    ) -> Result<Cosigned, ClientError> {
        let signature = key.sign(&body.digest());
        let request = CosignRequest { body: hex::encode(encode(body)), signature };
        Ok(self.http.post(&format!("/v1/channels/{channel}/{what}"), &request).await?)
    }

    /// Has the hub bring a signed deposit to the ledger, for wallets that see no ledger themselves.
    ///
    /// # Errors
    /// What the ledger says, or [`Code::HubUnavailable`].
    pub async fn deposit(
        &self,
        channel: ChannelId,
        deposit: &Transaction,
    ) -> Result<TxId, ClientError> {
        let body = SubmitRequest { transaction: hex::encode(encode(deposit)) };
        let path = format!("/v1/channels/{channel}/deposit");
        let answer: settlement::api::SubmitAnswer = self.http.post(&path, &body).await?;
        Ok(answer.tx)
    }

    /// A channel's leaf in what the hub has signed that it owes. Nothing in it is checked.
    ///
    /// # Errors
    /// [`Code::NotFound`] before the hub has said anything of the channel, [`Code::Overloaded`] while
    /// it is about to, [`Code::HubUnavailable`].
    pub async fn liability(&self, channel: ChannelId) -> Result<LiabilityAnswer, ClientError> {
        Ok(self.http.get(&format!("/v1/channels/{channel}/liability")).await?)
    }
}

impl From<CallError> for ClientError {
    fn from(error: CallError) -> ClientError {
        match error {
            CallError::Refused(problem) => ClientError::new(problem.code, problem.detail),
            CallError::Unreachable(why) => ClientError::new(Code::HubUnavailable, why),
        }
    }
}
