//! What both sides sign for the ledger: withdrawals and cooperative closes.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use client_sdk::api::{CosignRequest, Cosigned};
use settlement::crypto::Signable;
use settlement::ledger::http::Refusal;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::{ChannelId, Signature};
use tokio::sync::oneshot;

use super::{channel_id, decode_hex, read, refusal};
use crate::hub::Hub;
use crate::shard::Input;
use crate::shards::Job;
use crate::tickets::{Body, Request};

/// How long a shard and the ledger may take to answer.
const ANSWER: Duration = Duration::from_secs(20);

type Raw = Result<Bytes, BytesRejection>;

/// `POST /v1/channels/{id}/withdraw`.
pub(super) async fn withdraw(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<Json<Cosigned>, Refusal> {
    let (withdrawal, signature) = wanted::<Withdrawal>(&hub, &id, raw, |body| body.channel)?;
    let input = |ticket| Input::Withdraw { withdrawal, signature, ticket };
    ask(&hub, withdrawal.channel, Body::Withdraw(withdrawal), signature, input).await
}

/// `POST /v1/channels/{id}/close`.
pub(super) async fn close(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<Json<Cosigned>, Refusal> {
    let (close, signature) = wanted::<CooperativeClose>(&hub, &id, raw, |body| body.channel)?;
    let input = |ticket| Input::Close { close, signature, ticket };
    ask(&hub, close.channel, Body::Close(close), signature, input).await
}

/// What is to be signed, about this very channel and signed by its wallet.
fn wanted<T: Signable + serde::de::DeserializeOwned>(
    hub: &Hub,
    id: &str,
    raw: Raw,
    channel_of: fn(&T) -> ChannelId,
) -> Result<(T, Signature), Refusal> {
    let id = channel_id(id)?;
    let request: CosignRequest = read(raw)?;
    let body: T = decode_hex(&request.body, Code::MalformedRequest)?;
    if channel_of(&body) != id {
        return Err(refusal(Code::MalformedRequest, "the body names another channel"));
    }
    let route = hub.shared.router.route(&id).ok_or(Code::UnknownChannel)?;
    let key = route.key().ok_or(Code::UnknownChannel)?;
    let checked = key.verify(&body.digest(), &request.signature);
    checked.map_err(|_| refusal(Code::Unauthorized, "the wallet's signature does not fit"))?;
    Ok((body, request.signature))
}

async fn ask(
    hub: &Hub,
    channel: ChannelId,
    body: Body,
    wallet: Signature,
    input: impl FnOnce(u64) -> Input,
) -> Result<Json<Cosigned>, Refusal> {
    if hub.is_draining() {
        return Err(Code::ShuttingDown.into());
    }
    let route = hub.shared.router.route(&channel).ok_or(Code::UnknownChannel)?;
    let queue = hub.shared.queues.get(route.shard).ok_or(Code::Internal)?;
    let (answer, answered) = oneshot::channel();
    let ticket = hub.tickets.keep(Request { body, wallet, answer });
    queue.push(Job::Input(input(ticket)));
    match tokio::time::timeout(ANSWER, answered).await {
        Ok(Ok(answer)) => answer.map(Json).map_err(Refusal),
        Ok(Err(_)) => Err(Code::ShuttingDown.into()),
        Err(_) => Err(refusal(
            Code::LedgerUnavailable,
            "the hub has not answered in time; ask again with the same body",
        )),
    }
}
