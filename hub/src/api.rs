//! What wallets ask over HTTP.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /v1/info` | the hub's key, ledger, margins and fees |
//! | `GET /v1/connect` | the WebSocket of [`crate::connect`] |
//! | `POST /v1/channels` | a signed opening; answered when the hub serves the channel |
//! | `POST /v1/channels/{id}/deposit` | a signed deposit |
//! | `POST /v1/channels/{id}/withdraw`, `…/close` | what the hub shall sign too |
//! | `GET /v1/channels/{id}/liability` | the channel's leaf in what the hub has signed that it owes |
//! | `/v1/ledger/…` | the embedded ledger, if there is one |
//!
//! Refusals are RFC 9457 problems with the numbered code.

mod channels;
mod cosign;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use client_sdk::api::HubInfo;
use client_sdk::ledger_client::LedgerError;
use serde::de::DeserializeOwned;
use settlement::api::Problem;
use settlement::ledger::http::Refusal;
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId};

use crate::connect::connect;
use crate::hub::Hub;

/// The most bytes of a request's body: transactions that wallets sign are far smaller.
const BODY_BYTES_MAX: usize = 16 << 10;

/// All routes for wallets; `ledger` are those of the embedded one.
pub(crate) fn routes(hub: Arc<Hub>, ledger: Option<Router>) -> Router {
    let own = Router::new()
        .route("/v1/info", get(info))
        .route("/v1/connect", get(connect))
        .route("/v1/channels", post(channels::open))
        .route("/v1/channels/{id}/deposit", post(channels::deposit))
        .route("/v1/channels/{id}/withdraw", post(cosign::withdraw))
        .route("/v1/channels/{id}/close", post(cosign::close))
        .route("/v1/channels/{id}/liability", get(channels::liability))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(hub);
    let all = ledger.into_iter().fold(own, Router::merge);
    all.fallback(no_route).layer(from_fn(as_problems))
}

async fn info(State(hub): State<Arc<Hub>>) -> Json<HubInfo> {
    let inbound = hub.config.inbound();
    Json(HubInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hub: hub.key.public(),
        ledger: hub.ledger_id,
        ledger_url: hub.config.ledger_for_wallets(),
        assets: hub.genesis.assets.clone(),
        policy: hub.policy,
        fees: hub.config.fee_policy(),
        deposit_min: Amount(hub.config.channels.deposit_min),
        inbound_ppm: inbound.ppm,
        inbound_max: inbound.max,
    })
}

/// A refusal with what was wrong in this case.
pub(crate) fn refusal(code: Code, detail: impl Into<String>) -> Refusal {
    Refusal(Problem::new(code, detail))
}

/// What the ledger refused, or that it does not answer.
pub(crate) fn from_ledger(error: LedgerError) -> Refusal {
    match error {
        LedgerError::Refused(problem) => Refusal(*problem),
        LedgerError::Unreachable(why) => refusal(Code::LedgerUnavailable, why),
    }
}

async fn no_route() -> Refusal {
    refusal(Code::NotFound, "there is no such route")
}

/// A method that a route does not have is a problem like any other.
pub(crate) async fn as_problems(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let detail = "this route has no such method; the Allow header says which it has";
    let problem = Problem { status: 405, ..Problem::new(Code::NotFound, detail) };
    let mut answer = Refusal(problem).into_response();
    if let Some(allowed) = response.headers().get("allow") {
        answer.headers_mut().insert("allow", allowed.clone());
    }
    answer
}

/// The request's JSON, or the problem that it is.
pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| {
        let too_large = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let code = if too_large { Code::TxTooLarge } else { Code::MalformedRequest };
        refusal(code, error.body_text())
    })?;
    let read = serde_json::from_slice(&body);
    read.map_err(|error| refusal(Code::MalformedRequest, error.to_string()))
}

/// The value that `hex` encodes in postcard.
pub(super) fn decode_hex<T: DeserializeOwned + serde::Serialize>(
    hex: &str,
    code: Code,
) -> Result<T, Refusal> {
    let bytes = hex::decode(hex).map_err(|error| refusal(code, error.to_string()))?;
    settlement::encoding::decode(&bytes).map_err(|error| refusal(code, error.to_string()))
}

/// A channel's id from the path.
pub(crate) fn channel_id(text: &str) -> Result<ChannelId, Refusal> {
    let malformed =
        |_| refusal(Code::MalformedRequest, format!("`{text}` is no channel id: 64 hex digits"));
    text.parse().map_err(malformed)
}
