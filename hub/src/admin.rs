//! What operators see: health, readiness and figures. On a loopback address by default.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use settlement::reject::Code;

use crate::api::{as_problems, refusal};
use crate::hub::Hub;

/// All routes for operators.
pub(crate) fn routes(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(hub)
        .fallback(async || refusal(Code::NotFound, "there is no such route"))
        .layer(from_fn(as_problems))
}

/// Ready while new payments are taken on; otherwise the check that failed, and why.
async fn ready(State(hub): State<Arc<Hub>>) -> Response {
    let reason = match (hub.is_draining(), hub.is_fresh()) {
        (true, _) => "draining: the hub is stopping\n".to_owned(),
        (false, false) => format!("ledger: the view is not fresh: {}\n", hub.staleness()),
        (false, true) => return "ready\n".into_response(),
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
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
    figures.push(("ready", "Whether payments are taken.", false, u64::from(hub.is_fresh())));
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
