//! The ledger's HTTP routes, for its own program and for a hub that embeds it.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v1/ledger/info` | [`LedgerInfo`](crate::api::LedgerInfo) |
//! | `GET /v1/ledger/blocks/{height}` | the block |
//! | `GET /v1/ledger/accounts/{key}` | [`AccountView`](crate::api::AccountView) |
//! | `GET /v1/ledger/channels/{id}` | [`ChannelView`](crate::api::ChannelView) |
//! | `GET /v1/ledger/proofs/{id}` | [`StateProof`](crate::state_proof::StateProof) |
//! | `POST /v1/ledger/transactions` | `{"transaction": "<hex of postcard>"}` → `{"tx": "<id>"}` |
//! | `GET /v1/ledger/events?from=H&max=N&wait_ms=M&format=json` | `{"blocks": […]}`, or postcard |
//! | `POST /v1/ledger/faucet` | `{"account", "asset", "amount"}` → `{"tx": "<id>"}` |
//!
//! A refusal is an RFC 9457 problem with the numbered code. Bodies are bounded, and so are the
//! blocks of one answer and the time that it may wait.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::TX_BYTES_MAX;
use super::service::LedgerHandle;
use crate::api::{FaucetRequest, Problem, SubmitAnswer, SubmitRequest};
use crate::block::{Block, BlockEvents};
use crate::encoding::{decode, encode};
use crate::reject::Code;
use crate::tx::Transaction;
use crate::types::Height;

/// The most bytes of a request's body: the largest transaction in hex, and room around it.
pub const BODY_BYTES_MAX: usize = 2 * TX_BYTES_MAX + 1_024;

/// The media type of postcard bytes.
const POSTCARD: &str = "application/octet-stream";

/// The routes, to be merged into a router or served as they are.
pub fn routes(handle: LedgerHandle) -> Router {
    Router::new()
        .route("/v1/ledger/info", get(info))
        .route("/v1/ledger/blocks/{height}", get(block))
        .route("/v1/ledger/accounts/{key}", get(account))
        .route("/v1/ledger/channels/{id}", get(channel))
        .route("/v1/ledger/proofs/{id}", get(proof))
        .route("/v1/ledger/transactions", post(submit))
        .route("/v1/ledger/events", get(events))
        .route("/v1/ledger/faucet", post(faucet))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(handle)
}

/// A refusal on its way out.
pub struct Refusal(pub Problem);

impl Refusal {
    fn new(code: Code, detail: impl Into<String>) -> Refusal {
        Refusal(Problem::new(code, detail))
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal::new(code, code.title())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, media, Json(self.0).into_response().into_body()).into_response()
    }
}

/// How `GET events` answers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// [`EventsPage`](crate::api::EventsPage) in JSON.
    #[default]
    Json,
    /// The postcard bytes of a `Vec<BlockEvents>`.
    Postcard,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    from: u64,
    #[serde(default = "all")]
    max: usize,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default)]
    format: Format,
}

fn all() -> usize {
    usize::MAX
}

async fn info(State(ledger): State<LedgerHandle>) -> Result<Response, Refusal> {
    Ok(Json(ledger.info().await?).into_response())
}

async fn block(
    State(ledger): State<LedgerHandle>,
    Path(height): Path<String>,
) -> Result<Response, Refusal> {
    let height: u64 = parse(&height, "a height")?;
    let answer = |block: Option<Block>| block.map(|block| Json(block).into_response());
    let missing = || Refusal::new(Code::NotFound, format!("there is no block {height} yet"));
    ledger.block_as(Height(height), answer).await?.ok_or_else(missing)
}

async fn account(
    State(ledger): State<LedgerHandle>,
    Path(key): Path<String>,
) -> Result<Response, Refusal> {
    let key = parse(&key, "a public key")?;
    Ok(Json(ledger.account(key).await?).into_response())
}

async fn channel(
    State(ledger): State<LedgerHandle>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let channel = ledger.channel(parse(&id, "a channel id")?).await?;
    Ok(Json(channel).into_response())
}

async fn proof(
    State(ledger): State<LedgerHandle>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let proof = ledger.state_proof(parse(&id, "a channel id")?).await?;
    Ok(Json(proof).into_response())
}

async fn submit(
    State(ledger): State<LedgerHandle>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: SubmitRequest = read(body)?;
    let malformed = |why: String| Refusal::new(Code::MalformedTransaction, why);
    let bytes = hex::decode(&request.transaction).map_err(|error| malformed(error.to_string()))?;
    let tx: Transaction = decode(&bytes).map_err(|error| malformed(error.to_string()))?;
    let tx = ledger.submit(tx).await?;
    Ok(Json(SubmitAnswer { tx }).into_response())
}

async fn faucet(
    State(ledger): State<LedgerHandle>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: FaucetRequest = read(body)?;
    let (account, asset) = (request.account, request.asset);
    let tx = ledger.faucet(account, asset, request.amount).await?;
    Ok(Json(SubmitAnswer { tx }).into_response())
}

async fn events(
    State(ledger): State<LedgerHandle>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let malformed = |error: QueryRejection| Refusal::new(Code::MalformedRequest, error.body_text());
    let Query(query) = query.map_err(malformed)?;
    let wait = Duration::from_millis(query.wait_ms);
    let wanted = (Height(query.from), query.max, wait);
    Ok(ledger.events_as(wanted, move |blocks| page(blocks, query.format)).await?)
}

fn page(blocks: &[Arc<BlockEvents>], format: Format) -> Response {
    let blocks: Vec<&BlockEvents> = blocks.iter().map(Arc::as_ref).collect();
    match format {
        Format::Json => Json(serde_json::json!({ "blocks": blocks })).into_response(),
        Format::Postcard => ([(header::CONTENT_TYPE, POSTCARD)], encode(&blocks)).into_response(),
    }
}

fn parse<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refusal> {
    let wrong = |_| Refusal::new(Code::MalformedRequest, format!("`{text}` is not {what}"));
    text.parse().map_err(wrong)
}

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Refusal> {
    let body = body.map_err(|error| {
        let too_large = error.status() == StatusCode::PAYLOAD_TOO_LARGE;
        let code = if too_large { Code::TxTooLarge } else { Code::MalformedRequest };
        Refusal::new(code, error.body_text())
    })?;
    let read = serde_json::from_slice(&body);
    read.map_err(|error| Refusal::new(Code::MalformedRequest, error.to_string()))
}

/// The answer where there is no route.
pub async fn no_route() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such route")
}

#[cfg(test)]
mod tests;
