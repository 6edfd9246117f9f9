//! Where wallets hand in over HTTP.
//!
//! | route | answer |
//! | --- | --- |
//! | `POST /v1/answers` | an [`Export`] of at most 16 answers → [`HandedIn`](super::HandedIn) |
//! | `GET /v1/tower` | `{"ledger": "<id>"}` |
//!
//! A refusal is an RFC 9457 problem with the numbered code. What a tower holds is shown to nobody.
//! Connections, the time for a request, its size, and the time in which an answer is taken are
//! bounded. Whoever holds an answer may hand it in: it carries the wallet's signature.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::json;
use settlement::api::Problem;
use settlement::reject::Code;
use settlement::socket::{Control, Impatient};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{ANSWERS_PER_REQUEST, BODY_BYTES_MAX, Ground, HandIn};
use crate::watchtower::{Export, NoAnswer};

/// The most connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request, and then its body, may take, and how long nobody reads an answer.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is stopped.
pub(super) async fn serve(listener: TcpListener, ground: Ground, desk: mpsc::Sender<HandIn>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((socket, _)) => {
                let connection = connection(socket, ground.clone(), desk.clone());
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken on");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

pub(super) async fn connection<S>(
    socket: S,
    ground: Ground,
    desk: mpsc::Sender<HandIn>,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let control = Control::default();
    let socket = Impatient::new(socket, REQUEST_TIME, control.clone());
    let service = service_fn(|request| {
        let (ground, desk, control) = (ground.clone(), desk.clone(), control.clone());
        async move {
            let answer = answer(request, ground, desk).await;
            if answer.status() >= StatusCode::BAD_REQUEST {
                control.linger();
            }
            Ok::<_, Infallible>(answer)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, ground: Ground, desk: mpsc::Sender<HandIn>) -> Answer {
    let answered = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/answers") => hand_in(request, &ground, &desk).await,
        (&Method::GET, "/v1/tower") => Ok(json_of(&json!({ "ledger": ground.id }))),
        _ => Err(NoAnswer::new(Code::NotFound, "there is no such route")),
    };
    answered.unwrap_or_else(|refused| problem(&refused))
}

async fn hand_in(
    request: Request<Incoming>,
    ground: &Ground,
    desk: &mpsc::Sender<HandIn>,
) -> Result<Answer, NoAnswer> {
    let export = Export::read(&body(request).await?)?;
    if export.answers.len() > ANSWERS_PER_REQUEST {
        let detail = format!("at most {ANSWERS_PER_REQUEST} answers go into one request");
        return Err(NoAnswer::new(Code::BadAnswer, detail));
    }
    Ok(json_of(&HandIn::give(export, ground.id, desk).await?))
}

/// The request's body, within bounds of size and time.
async fn body(request: Request<Incoming>) -> Result<Bytes, NoAnswer> {
    let limited = Limited::new(request.into_body(), BODY_BYTES_MAX);
    let late = |_| NoAnswer::new(Code::MalformedRequest, "the request did not come in time");
    let collected = tokio::time::timeout(REQUEST_TIME, limited.collect()).await.map_err(late)?;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            NoAnswer::new(Code::FrameTooLarge, "a request has at most 2 MiB")
        } else {
            NoAnswer::new(Code::MalformedRequest, error.to_string())
        }
    })?;
    Ok(collected.to_bytes())
}

fn json_of<T: Serialize>(value: &T) -> Answer {
    let text = serde_json::to_vec(value).unwrap_or_default();
    respond(StatusCode::OK, "application/json", text)
}

fn problem(refused: &NoAnswer) -> Answer {
    let problem = Problem::new(refused.code, refused.detail.clone());
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, "application/problem+json", serde_json::to_vec(&problem).unwrap_or_default())
}

fn respond(status: StatusCode, media: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
