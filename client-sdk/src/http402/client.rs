//! A client that pays for what it is asked to pay for, within limits.

mod linger;
mod open;
mod payee;
mod send;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use reqwest::{Method, Request, Url};
use settlement::types::{Amount, AssetId, PublicKey};

use super::challenge::Challenge;
use super::error::PayError;
use super::price::Price;
use super::reader::{PaidBytes, PaidEvents, PaidResponse};
use crate::client::WalletHandle;
use crate::trust::Trust;
use crate::wallet::stream::{StreamKey, StreamView};
use payee::Payee;

pub(super) use payee::{Ending, LINGER};

pub(super) use send::{Answered, Paid, TRIES, Tried, check_receipt, is_short, receipt_of, whole};

/// Demands that are kept, so that who asks again need not be refused first.
const KNOWN_MAX: usize = 1_024;

/// What a client may pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of which asset.
    pub asset: AssetId,
    /// The most for one request, event or block of bytes, in base units.
    pub amount_max: Amount,
    /// The most for one payee in all, in base units, over all streams of a client, with what the hub
    /// takes for them; the fee of the lock that reaches it may go beyond.
    pub budget: Amount,
    /// The most that one lock of a stream takes out of the wallet's channel, in base units, fees
    /// apart, but two steps at least; the next one is added before it is used up. A payee that asks for several units has a
    /// stream of each, with a lock of its own, and four at a time at most.
    pub lock_max: Amount,
    /// For how many blocks a lock stands at most.
    pub life_blocks: u64,
    /// How many steps a payee is handed at most beyond what it has served, at most 4,096: what a client
    /// may lose to it, over all streams together. Where a payee has asked for several units, all that it
    /// was handed and has not served is worth no more than so many of the largest.
    pub ahead: u32,
    /// How many of those one response is handed at most.
    pub window: u32,
    /// Who alone is paid, if that is known.
    pub payee: Option<PublicKey>,
}

impl Limits {
    /// At most `amount_max` at a time and `budget` in all for each payee: locks of a tenth of the
    /// budget, 256 steps ahead, 64 for a response.
    pub fn new(asset: AssetId, amount_max: Amount, budget: Amount) -> Limits {
        Limits {
            asset,
            amount_max,
            budget,
            lock_max: Amount((budget.0 / 10).max(amount_max.0)),
            life_blocks: 1_500,
            ahead: 256,
            window: 64,
            payee: None,
        }
    }
}

/// What a client has handed to a payee over one stream, in steps of `unit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurseView {
    /// Over which stream.
    pub key: StreamKey,
    /// What a step is worth.
    pub unit: Amount,
    /// Handed over by this client.
    pub handed: u64,
    /// Of these, what was served.
    pub served: u64,
    /// Of these, what is for no response, and pays for the next.
    pub spare: u64,
}

/// See the module. Clones are the same client.
#[derive(Clone)]
pub struct PayingClient {
    pub(super) inner: Arc<ClientInner>,
}

pub(super) struct ClientInner {
    pub(super) http: reqwest::Client,
    wallet: WalletHandle,
    pub(super) limits: Limits,
    /// By who is paid of what asset.
    payees: Mutex<HashMap<(PublicKey, AssetId), Arc<Payee>>>,
    known: Mutex<HashMap<String, Arc<Known>>>,
}

/// A demand that was found good.
pub(super) struct Known {
    pub(super) challenge: Challenge,
    pub(super) payee: PublicKey,
    pub(super) price: Price,
}

impl PayingClient {
    /// A client of this wallet that believes the public authorities and follows no redirects.
    ///
    /// # Errors
    /// [`PayError::Http`].
    pub fn new(wallet: WalletHandle, limits: Limits) -> Result<PayingClient, PayError> {
        PayingClient::trusting(wallet, limits, &Trust::default())
    }

    /// The same with other authorities.
    ///
    /// # Errors
    /// [`PayError::Http`].
    pub fn trusting(
        wallet: WalletHandle,
        limits: Limits,
        trust: &Trust,
    ) -> Result<PayingClient, PayError> {
        Ok(PayingClient::with(crate::http::client(trust)?, wallet, limits))
    }

    /// The same, asking with `http` as that is set up.
    pub fn with(http: reqwest::Client, wallet: WalletHandle, limits: Limits) -> PayingClient {
        let (payees, known) = Default::default();
        let inner = ClientInner { http, wallet, limits, payees, known };
        PayingClient { inner: Arc::new(inner) }
    }

    /// Gets what costs nothing or is paid by the request.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn get(&self, url: Url) -> Result<PaidResponse, PayError> {
        self.execute(Request::new(Method::GET, url)).await
    }

    /// The same for any request. An answer of the server's that is an error costs nothing and is no
    /// error here.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn execute(&self, request: Request) -> Result<PaidResponse, PayError> {
        PaidResponse::of(self.inner.clone(), request).await
    }

    /// Gets server-sent events, and pays for each as it is read.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn events(&self, url: Url) -> Result<PaidEvents, PayError> {
        PaidEvents::of(self.inner.clone(), Request::new(Method::GET, url)).await
    }

    /// The same for any request.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn execute_events(&self, request: Request) -> Result<PaidEvents, PayError> {
        PaidEvents::of(self.inner.clone(), request).await
    }

    /// Gets a body, and pays for its bytes as they are read.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn bytes(&self, url: Url) -> Result<PaidBytes, PayError> {
        PaidBytes::of(self.inner.clone(), Request::new(Method::GET, url)).await
    }

    /// The same for any request.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn execute_bytes(&self, request: Request) -> Result<PaidBytes, PayError> {
        PaidBytes::of(self.inner.clone(), request).await
    }

    /// What was handed to each payee.
    pub async fn purses(&self) -> Vec<PurseView> {
        let payees = self.inner.payees();
        payees.iter().flat_map(|payee| payee.purses()).map(|purse| purse.view()).collect()
    }

    /// Closes the streams to all payees: what is locked and was not handed over is the wallet's again
    /// when this returns, in a moment if the payees answer. Those that another call could not close are
    /// tried again.
    ///
    /// # Errors
    /// [`PayError::Unclosed`] when some could not be closed, and which were: of a payee that does not
    /// answer the rest comes back when it does, or when the locks end.
    pub async fn close(&self) -> Result<Vec<StreamView>, PayError> {
        let open = self.inner.payees().into_iter().flat_map(|payee| payee.pay_no_more());
        // A payee that does not answer keeps the others' money from nobody.
        let closing = open.map(|purse| async move {
            let key = purse.stream.key();
            self.inner.wallet.end_stream(key).await.map_err(|error| (key, error))
        });
        let (mut ended, mut left) = (Vec::new(), Vec::new());
        for closed in join_all(closing).await {
            match closed {
                Ok(stream) => ended.push(stream),
                Err(why) => left.push(why),
            }
        }
        for payee in self.inner.payees() {
            payee.look_back().await;
        }
        if left.is_empty() { Ok(ended) } else { Err(PayError::Unclosed { ended, left }) }
    }
}

impl ClientInner {
    /// All who were paid, or are about to be.
    fn payees(&self) -> Vec<Arc<Payee>> {
        let payees = self.payees.lock().unwrap_or_else(PoisonError::into_inner);
        payees.values().cloned().collect()
    }

    fn known_demands(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The demand that was last met for requests like this one.
    pub(super) fn known(&self, name: &str) -> Option<Arc<Known>> {
        self.known_demands().get(name).cloned()
    }

    fn remember(&self, name: String, known: Known) {
        let mut demands = self.known_demands();
        if demands.len() >= KNOWN_MAX {
            demands.clear();
        }
        demands.insert(name, Arc::new(known));
    }
}
