//! What operators see: health, readiness and figures. On a loopback address by default.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use settlement::api::ChannelPhase;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::ledger::http::Refusal;
use settlement::reject::Code;
use settlement::types::{ChannelId, Height};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use crate::anchor::AnchorReport;
use crate::api::{as_problems, channel_id, from_ledger, refusal};
use crate::hub::Hub;
use crate::queue::Queue;

/// How long a round of anchors may take.
const ROUND: Duration = Duration::from_secs(60);

/// How long a close may take into a block.
const CLOSING: Duration = Duration::from_secs(30);

/// `POST /admin/v1/channels/{id}/close`: the close is in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CloseReport {
    pub(crate) channel: ChannelId,
    /// The last height at which the wallet can answer.
    pub(crate) proofs_until: Height,
}

/// All routes for operators.
pub(crate) fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/v1/anchor", post(anchor))
        .route("/admin/v1/channels/{id}/close", post(close))
        .with_state(hub)
        .fallback(async || refusal(Code::NotFound, "there is no such route"))
        .layer(from_fn(as_problems))
}

/// Ready while new payments are taken on; otherwise the check that failed, and why.
async fn ready(State(hub): State<Arc<Hub>>) -> Response {
    match hub.why_not_ready() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// `POST /admin/v1/anchor`: a round of anchors now, and what it came to. Refused while this process
/// may not sign.
async fn anchor(State(hub): State<Arc<Hub>>) -> Result<Json<AnchorReport>, Refusal> {
    if let Some(why) = hub.why_not_ready() {
        return Err(refusal(Code::LedgerStalled, why));
    }
    let (answer, answered) = oneshot::channel();
    let _ = hub.anchors.send(answer);
    match tokio::time::timeout(ROUND, answered).await {
        Ok(Ok(report)) => Ok(Json(report)),
        Ok(Err(_)) => Err(Code::ShuttingDown.into()),
        Err(_) => Err(refusal(Code::LedgerStalled, "the anchor is in no block yet; it goes on")),
    }
}

/// `POST /admin/v1/channels/{id}/close`: closes a channel without its wallet, with everything that
/// the hub can bring, and answers once that is in a block. Refused while this process may not sign,
/// and for a channel that is closing or paid out.
async fn close(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
) -> Result<Json<CloseReport>, Refusal> {
    let channel = channel_id(&id)?;
    if let Some(why) = hub.why_not_ready() {
        return Err(refusal(Code::LedgerStalled, why));
    }
    let open = hub.shared.router.route(&channel);
    open.ok_or_else(|| refusal(Code::NoSuchChannel, "this hub has no such channel open"))?;
    let view = hub.ledger.channel(&channel).await.map_err(from_ledger)?;
    if view.phase != ChannelPhase::Open {
        return Err(refusal(Code::ChannelClosing, "the channel is being closed already"));
    }
    // Before it is asked for, so that its block is not missed.
    let blocks = hub.blocks.subscribe();
    hub.shared.router.close_alone(&channel);
    let started = tokio::time::timeout(CLOSING, started(blocks, channel)).await;
    let proofs_until = started
        .map_err(|_| refusal(Code::LedgerStalled, "the close is in no block yet; it goes on"))??;
    Ok(Json(CloseReport { channel, proofs_until }))
}

/// Until a block has the close.
async fn started(
    mut blocks: Receiver<Arc<BlockEvents>>,
    closing: ChannelId,
) -> Result<Height, Refusal> {
    loop {
        let block = match blocks.recv().await {
            Ok(block) => block,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return Err(Code::ShuttingDown.into()),
        };
        for event in &block.events {
            if let LedgerEvent::CloseStarted { channel, proofs_until, .. } = event
                && *channel == closing
            {
                return Ok(*proofs_until);
            }
        }
    }
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, text(&hub)).into_response()
}

/// What is let in, and what waits outside.
fn admission(hub: &Hub) -> [(&'static str, &'static str, bool, u64); 5] {
    let now = hub.pool.gate.figures();
    let paused_ms = u64::try_from(now.paused.as_millis()).unwrap_or(u64::MAX);
    let limit = "Operations that may be under way before reading stops.";
    let paused = "Milliseconds in which some connection had to wait to be read.";
    [
        ("ops_under_way", "Operations read and not answered yet.", false, now.under_way),
        ("ops_under_way_limit", limit, false, now.limit),
        ("ops_total", "Operations answered.", true, now.finished),
        ("reads_waiting", "Connections that wait to be read.", false, now.waiting as u64),
        ("reads_paused_ms_total", paused, true, paused_ms),
    ]
}

fn text(hub: &Hub) -> String {
    let mut text = String::new();
    let mut figures = hub.counters.named();
    let router = &hub.shared.router;
    figures.push(("channels", "Channels not paid out.", false, router.channel_count() as u64));
    figures.push(("verify_queue", "Lanes to verify.", false, hub.pool.waiting() as u64));
    let lanes = hub.config.workers() as u64;
    figures.push(("lanes_per_connection", "Lanes of a connection.", false, lanes));
    let queues = &hub.shared.queues;
    figures.push(("shard_queues", "Shards.", false, queues.len() as u64));
    let capacity = queues.first().map_or(0, Queue::capacity) as u64;
    let help = "Inputs of wallets that a shard's queue takes.";
    figures.push(("shard_queue_capacity", help, false, capacity));
    figures.extend(admission(hub));
    figures.push((
        "ready",
        "Whether payments are taken.",
        false,
        u64::from(hub.why_not_ready().is_none()),
    ));
    for (name, help, only_grows, value) in figures {
        let kind = if only_grows { "counter" } else { "gauge" };
        // Writing into a string can't fail.
        let _ = writeln!(text, "# HELP hub_{name} {help}\n# TYPE hub_{name} {kind}");
        let _ = writeln!(text, "hub_{name} {value}");
    }
    let _ = writeln!(text, "# HELP hub_shard_queue Inputs that wait for a shard.");
    let _ = writeln!(text, "# TYPE hub_shard_queue gauge");
    for (index, queue) in hub.shared.queues.iter().enumerate() {
        let _ = writeln!(text, "hub_shard_queue{{shard=\"{index}\"}} {}", queue.len());
    }
    text.push_str(&hub.peers().answers.text());
    text
}
