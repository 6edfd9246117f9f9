//! What operators see: health, readiness and figures. On a loopback address by default.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use settlement::ledger::http::Refusal;
use settlement::reject::Code;
use tokio::sync::oneshot;

use crate::anchor::AnchorReport;
use crate::api::{as_problems, refusal};
use crate::hub::Hub;

/// How long a round of anchors may take.
const ROUND: Duration = Duration::from_secs(60);

/// All routes for operators.
pub(crate) fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/v1/anchor", post(anchor))
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

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (content_type, text(&hub)).into_response()
}

fn text(hub: &Hub) -> String {
    let mut text = String::new();
    let mut figures = hub.counters.named();
    let router = &hub.shared.router;
    figures.push(("channels", "Channels not paid out.", false, router.channel_count() as u64));
    figures.push(("verify_queue", "Lanes to verify.", false, hub.pool.waiting() as u64));
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
    text
}
