//! A server that charges for what it answers: what tests ask, in their own process or in one that
//! they kill.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Extension;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use client_sdk::http402::{BadPrice, Payment, Per, Price, Till};
use futures_util::stream::{StreamExt, iter};
use settlement::types::{Amount, AssetId};

/// What a step is worth.
pub const UNIT: Amount = Amount(2);
/// How many steps a request costs.
pub const REQUEST_STEPS: u32 = 3;
/// How many bytes a step pays.
pub const BYTES: u32 = 10;
/// How long the file is: the last block is begun.
pub const FILE_BYTES: usize = 1_005;
/// How many words there are where there are few.
pub const FEW: u64 = 5;

/// The most bytes of a request's body.
const BODY_MAX: usize = 1_000;

/// The word with this number.
pub fn word(number: u64) -> String {
    format!("word-{number}")
}

/// A price in steps.
///
/// # Errors
/// [`BadPrice`].
pub fn price(steps: u32, per: Per) -> Result<Price, BadPrice> {
    Price::new(AssetId(0), UNIT, steps, per)
}

/// What it answers: `/answer`, `/broken` and `/never` by the request, `/words` without end and `/few` by the
/// event, `/file` by the byte, `/free` for nothing. `POST /answer` says what it was sent when it has all
/// of it; `/never` is at work for ever. `made` counts the words that were made, and answers of these two
/// that were begun.
///
/// # Errors
/// [`BadPrice`].
pub fn routes(till: &Till, made: &Arc<AtomicU64>) -> Result<Router, BadPrice> {
    let answer = async |Extension(payment): Extension<Payment>| format!("for {}", payment.payer);
    let broken = async || (StatusCode::INTERNAL_SERVER_ERROR, "broken");
    let begun = made.clone();
    let echo = async move |request: Request| {
        begun.fetch_add(1, Relaxed);
        let body = to_bytes(request.into_body(), BODY_MAX).await;
        body.map_err(|_| StatusCode::BAD_REQUEST)
    };
    let at_work = made.clone();
    let never = async move || {
        at_work.fetch_add(1, Relaxed);
        pending::<&str>().await
    };
    let by_request = Router::new()
        .route("/answer", get(answer).post(echo))
        .route("/broken", get(broken))
        .route("/never", get(never));
    let (all, few) = (made.clone(), made.clone());
    let by_event = Router::new()
        .route("/words", get(async move || words(all, u64::MAX)))
        .route("/few", get(async move || words(few, FEW)));
    let by_byte = Router::new().route("/file", get(async || vec![b'x'; FILE_BYTES]));
    Ok(Router::new()
        .route("/free", get(async || "free"))
        .merge(by_request.layer(till.charge(price(REQUEST_STEPS, Per::Request)?)?))
        .merge(by_event.layer(till.charge(price(1, Per::Event)?)?))
        .merge(by_byte.layer(till.charge(price(1, Per::Bytes(BYTES))?)?)))
}

/// So many words, each made when it is asked for.
fn words(
    made: Arc<AtomicU64>,
    count: u64,
) -> Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>> {
    Sse::new(iter(0..count).map(move |number| {
        made.fetch_add(1, Relaxed);
        Ok(Event::default().data(word(number)))
    }))
}
