//! The way into a service that is paid for: one credential, from its header to its steps.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Empty};
use settlement::reject::Code;
use settlement::types::Anchor;

use super::RECEIPT_HEADER;
use super::challenge::{Challenge, base64};
use super::credential::{Action, Credential, Handing};
use super::denial::{Denial, Kind};
use super::layer::PaidBody;
use super::price::{Per, Price};
use super::receipt::{Receipt, resource};
use super::session::SessionId;
use super::till::{Payment, Stand, Till, incoming};
use crate::client::{ClientError, clock_ms};
use crate::relay::StepToken;
use crate::wallet::Wallet;
use crate::wallet::stream::StreamView;

/// How long a payee waits for a lock whose steps it was shown before the hub has passed it on.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// A service's price, and where it is paid.
pub(super) struct Gate {
    pub(super) till: Till,
    pub(super) price: Price,
    /// The terms, as the demand has them.
    request: String,
}

/// What becomes of a request.
pub(super) enum Admission {
    /// It is paid for and to be served.
    Serve(Open),
    /// It was about the payment of another, and this is the answer.
    Answer(Response<PaidBody>),
}

/// A response that is paid for, from before its handler runs until its body is gone. What it has not
/// used then is the payer's again.
pub(super) struct Open {
    pub(super) gate: Arc<Gate>,
    pub(super) stand: Arc<Stand>,
    pub(super) session: SessionId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stand.account().end(self.session);
    }
}

impl Open {
    /// What handlers are told.
    pub(super) fn payment(&self) -> Payment {
        let key = self.stand.opened.key;
        Payment { payer: key.peer, stream: key.stream, session: self.session }
    }

    /// How it stands, signed.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        self.gate.till.inner.receipt(&self.stand, self.session)
    }
}

/// Puts a receipt where clients look for it. What was paid for is nobody else's.
pub(super) fn put_receipt(headers: &mut HeaderMap, receipt: &Receipt) {
    let text = base64(&serde_json::to_vec(receipt).unwrap_or_default());
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(RECEIPT_HEADER, value);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private"));
}

/// The credential in a request's headers.
fn credential(headers: &HeaderMap) -> Result<Credential, Denial> {
    let values = headers.get_all(AUTHORIZATION).iter();
    let found = values.filter_map(|value| Credential::from_header(value.to_str().ok()?)).next();
    match found {
        Some(Some(credential)) => Ok(credential),
        Some(None) => Err(Denial::new(Kind::Malformed, "the credential is no JSON in base64url")),
        None => Err(Denial::new(Kind::Required, "this costs something: see `terms`")),
    }
}

impl Gate {
    pub(super) fn new(till: Till, price: Price, request: String) -> Gate {
        Gate { till, price, request }
    }

    /// A fresh demand.
    pub(super) fn demand(&self) -> Challenge {
        self.till.inner.demand(&self.request)
    }

    /// Takes a request's steps, once, and what they are for. Only what is sealed is believed, and
    /// it is opened only for this demand, method, server and target.
    pub(super) async fn admit(self: &Arc<Gate>, head: &Parts) -> Result<Admission, Denial> {
        let (till, credential) = (&self.till.inner, credential(&head.headers)?);
        let now_ms = clock_ms();
        if !till.made(&credential.challenge, &self.request, now_ms) {
            return Err(Denial::new(
                Kind::Challenge,
                "the demand is not good any more; see the new one",
            ));
        }
        let payload = &credential.payload;
        let stand = till.stand(incoming(payload.payer, payload.stream)).await?;
        if (stand.opened.asset, stand.opened.unit) != (self.price.asset(), self.price.unit()) {
            return Err(Denial::new(Kind::Verification, "the stream is of another asset or unit"));
        }
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let bound = credential.bound(head.method.as_str(), &till.realm, target);
        let sealed = credential.sealed();
        let opened = sealed.and_then(|sealed| stand.key.open(&sealed, &bound));
        let (nonce, handing) = opened.ok_or_else(|| {
            Denial::new(Kind::Verification, "what is sealed is not the payer's for this request")
        })?;
        let free = till.nonces_each();
        stand.account().admit(nonce, now_ms, till.life_ms(), free)?;
        self.take(&stand, &handing.tokens).await?;
        let name = resource(head.method.as_str(), &till.realm, target);
        self.act(payload.action, stand, &handing, name)
    }

    fn act(
        self: &Arc<Gate>,
        action: Action,
        stand: Arc<Stand>,
        handing: &Handing,
        resource: String,
    ) -> Result<Admission, Denial> {
        let (session, steps) = (handing.session, u64::from(handing.steps));
        match action {
            Action::Open => {
                let least = self.price.steps().into();
                let mut account = stand.account();
                match self.price.per() {
                    Per::Request => account.open_whole(session, resource.into(), steps, least)?,
                    Per::Event | Per::Bytes(_) => {
                        account.open(session, resource.into(), steps, least)?;
                    }
                }
                drop(account);
                return Ok(Admission::Serve(Open { gate: self.clone(), stand, session }));
            }
            Action::Voucher => stand.account().add(session, steps)?,
            Action::Close => stand.account().close(session)?,
        }
        let receipt = self.till.inner.receipt(&stand, session);
        let receipt = receipt.ok_or(super::account::Declined::Unknown)?;
        let body = Empty::<Bytes>::new().map_err(|never| match never {});
        let mut answer = Response::new(PaidBody::new(body));
        put_receipt(answer.headers_mut(), &receipt);
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Admission::Answer(answer))
    }

    /// Takes steps; when this returns they are durable at the payee. Those of another stream are
    /// refused: they are not what was agreed on.
    async fn take(&self, stand: &Stand, tokens: &[StepToken]) -> Result<(), Denial> {
        let wallet = &self.till.inner.wallet;
        for token in tokens {
            let (shown, view) = self.lock_of(stand, token.anchor).await?;
            if view.key != stand.opened.key {
                return Err(no_lock());
            }
            // A lock that is used up takes no step any more, and is known to have been.
            let paid = if shown >= token.steps {
                view.paid
            } else {
                wallet.take_step(*token).await.map_err(failed)?.paid
            };
            stand.account().hold(paid);
        }
        Ok(())
    }

    /// How many steps of a lock are held, and its stream. It may be on its way yet: a few requests of
    /// each stream wait for that.
    async fn lock_of(&self, stand: &Stand, anchor: Anchor) -> Result<(u32, StreamView), Denial> {
        let wallet = &self.till.inner.wallet;
        let find = move |wallet: &Wallet| {
            let view = wallet.stream_of(&anchor)?;
            let lock = wallet.stream_locks(&view.key).find(|lock| lock.anchor == anchor)?;
            Some((lock.shown, view))
        };
        if let Some(found) = wallet.look(find).await.map_err(failed)? {
            return Ok(found);
        }
        let _place = stand.waits.try_acquire().map_err(|_| no_lock())?;
        let coming = tokio::time::timeout(LOCK_WAIT, wallet.until(find)).await;
        coming.map_err(|_| no_lock())?.map_err(failed)
    }
}

fn no_lock() -> Denial {
    Denial::new(Kind::Verification, "these steps are of no lock of this stream")
}

fn failed(error: ClientError) -> Denial {
    let kind = match error.code {
        Code::Internal => Kind::Busy,
        _ => Kind::Verification,
    };
    Denial::new(kind, error.to_string())
}
