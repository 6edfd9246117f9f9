//! The accept loop: a bound on connections, and on how long the head of a request may take.
//!
//! A socket that sends its request byte by byte is closed when the time for it is over, so that a
//! few thousand of them keep nobody out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// How long to wait when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What a listener may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most sockets at once; more wait in the system's queue.
    pub(crate) sockets: usize,
    /// How long the head of a request may take, and how long a connection may idle between two.
    pub(crate) head: Duration,
}

/// Serves until `stop` changes; then takes no more sockets, and gives requests that are being
/// answered `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(bounds.sockets));
    let mut connections = JoinSet::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(place) = place else { break };
        let socket = tokio::select! {
            socket = listener.accept() => socket,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // What has ended is taken note of, so that the set stays small.
        while connections.try_join_next().is_some() {}
        match socket {
            Ok((socket, _)) => {
                let connection = connection(socket, routes.clone(), bounds.head, stop.clone());
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
    drop(listener);
    let _ = tokio::time::timeout(grace, async { while connections.join_next().await.is_some() {} })
        .await;
}

async fn connection(
    socket: TcpStream,
    routes: Router,
    head: Duration,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    no_delay(&socket)?;
    let service = routes.map_request(|request: Request<Incoming>| request.map(Body::new));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

/// Frames are written together already: waiting for more would only delay them.
fn no_delay(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)
}
