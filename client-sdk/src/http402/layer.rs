//! The tower layer that charges, for axum and whatever else speaks `http`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH};
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower_layer::Layer;
use tower_service::Service;

use super::account::Spent;
use super::credential::Credential;
use super::denial::{Denial, Kind};
use super::gate::{Admission, Gate, Open, put_receipt};
use super::metered::Metered;
use super::price::{Per, Price};
use super::till::Till;

/// Any error of a body.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response that is charged for, or of a 402.
pub type PaidBody = UnsyncBoxBody<Bytes, BoxError>;

/// Made by [`Till::charge`].
#[derive(Clone)]
pub struct ChargeLayer {
    gate: Arc<Gate>,
}

impl ChargeLayer {
    pub(super) fn new(till: Till, price: Price, request: String) -> ChargeLayer {
        ChargeLayer { gate: Arc::new(Gate::new(till, price, request)) }
    }
}

impl<S> Layer<S> for ChargeLayer {
    type Service = Charge<S>;

    fn layer(&self, inner: S) -> Charge<S> {
        Charge { inner, gate: self.gate.clone() }
    }
}

/// A service whose responses cost something. An answer of 400 and more is free.
#[derive(Clone)]
pub struct Charge<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S, B, R> Service<Request<B>> for Charge<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<PaidBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was asked whether it is ready serves; its clone may not be.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let open = match gate.admit(&head).await {
                Ok(Admission::Serve(open)) => open,
                Ok(Admission::Answer(answer)) => return Ok(answer),
                Err(denial) => return Ok(denial.response(&gate.demand())),
            };
            strip(&mut head.headers);
            head.extensions.insert(open.payment());
            let response = inner.call(Request::from_parts(head, body)).await?;
            Ok(charged(open, response))
        })
    }
}

/// Takes the credential away: it is of no use to a handler, and none is to write it down.
fn strip(headers: &mut HeaderMap) {
    let is_credential =
        |value: &http::HeaderValue| value.to_str().ok().and_then(Credential::from_header).is_some();
    let others = headers.get_all(AUTHORIZATION).iter().filter(|value| !is_credential(value));
    let others: Vec<_> = others.cloned().collect();
    headers.remove(AUTHORIZATION);
    for other in others {
        headers.append(AUTHORIZATION, other);
    }
}

/// Charges for a response, at once or as its body goes out.
fn charged<R>(open: Open, response: Response<R>) -> Response<PaidBody>
where
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let price = open.gate.price;
    if head.status.is_client_error() || head.status.is_server_error() {
        return Response::from_parts(head, free(body));
    }
    if price.per() != Per::Request {
        if let Some(receipt) = open.receipt() {
            put_receipt(&mut head.headers, &receipt);
        }
        // Events of the payment come in between, or the body ends early.
        head.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(head, PaidBody::new(Metered::new(open, price, body)));
    }
    // It has had as many steps since before the handler ran. Were they gone, so would the answer be.
    let steps = price.steps().into();
    let spent = open.stand.account().spend(open.session, steps, None);
    if let Some(denial) = unpaid(spent, steps) {
        return denial.response(&open.gate.demand());
    }
    if let Some(receipt) = open.receipt() {
        put_receipt(&mut head.headers, &receipt);
    }
    Response::from_parts(head, free(body))
}

/// Why an answer that costs so many steps does not go out after all.
fn unpaid(spent: Spent, steps: u64) -> Option<Denial> {
    let missing = match spent {
        Spent::Yes => return None,
        Spent::Wait(missing) => missing,
        Spent::Over => steps,
    };
    Some(Denial::new(Kind::Insufficient(missing), "what was asked for could not be charged"))
}

fn free<R>(body: R) -> PaidBody
where
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    PaidBody::new(body.map_err(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_spent_is_not_served() {
        // What came of spending, steps, what is missing.
        let cases = [
            (Spent::Yes, 3, None),
            (Spent::Wait(1), 3, Some(1)),
            (Spent::Wait(3), 3, Some(3)),
            (Spent::Over, 3, Some(3)),
        ];
        for (spent, steps, missing) in cases {
            let kind = unpaid(spent, steps).map(|denial| denial.kind);
            assert_eq!(kind, missing.map(Kind::Insufficient), "{spent:?}");
        }
    }
}
