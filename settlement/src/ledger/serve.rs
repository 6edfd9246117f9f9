//! How a ledger and a hub listen: which addresses they take, and the accept loop with its bounds on
//! connections and on how long the head of a request may take.
//!
//! A socket that sends its request byte by byte is closed when the time for it is over. When there
//! are too many all the same, the one that has been here longest makes room for the next, whatever
//! it is doing: sockets that cost nothing keep nobody out. WebSockets are not counted here any more
//! once they are one.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tower::ServiceExt;

/// How long to wait when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Refuses an address that others can reach, unless that is meant. `key` is the setting's name.
///
/// # Errors
/// The sentence names the setting and says what to do.
pub fn check_address(key: &str, address: SocketAddr, allow_public: bool) -> Result<()> {
    if !allow_public && !address.ip().is_loopback() {
        bail!(
            "{key} = \"{address}\" can be reached by others, and there is no TLS in this process: \
             listen on 127.0.0.1 behind a proxy that ends TLS, or say --allow-public if the network \
             is your own"
        );
    }
    Ok(())
}

/// What a listener may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most sockets at once.
    pub sockets: usize,
    /// How long the head of a request may take, and how long a connection may idle between two.
    pub head: Duration,
}

/// Serves until `stop` changes; then takes no more sockets, and gives requests that are being
/// answered `grace`.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    bounds: Bounds,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(bounds.sockets));
    let mut connections = JoinSet::new();
    let mut oldest = VecDeque::new();
    loop {
        let socket = tokio::select! {
            socket = listener.accept() => socket,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        // What has ended is taken note of, so that the set stays small.
        while connections.try_join_next().is_some() {}
        match socket {
            Ok((socket, _)) => {
                if places.available_permits() == 0 {
                    close_first(&mut oldest);
                }
                let Ok(place) = places.clone().acquire_owned().await else { break };
                let connection = connection(socket, routes.clone(), bounds.head, stop.clone());
                let task = connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended");
                    }
                    drop(place);
                });
                oldest.push_back(task);
                forget_ended(&mut oldest, bounds.sockets);
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

/// Closes the socket that has been here longest.
fn close_first(oldest: &mut VecDeque<AbortHandle>) {
    let standing = std::iter::from_fn(|| oldest.pop_front()).find(|task| !task.is_finished());
    if let Some(task) = standing {
        task.abort();
    }
}

/// Keeps the list as short as its sockets are few.
fn forget_ended(oldest: &mut VecDeque<AbortHandle>, sockets: usize) {
    if oldest.len() > sockets.saturating_mul(2) {
        oldest.retain(|task| !task.is_finished());
    }
}

async fn connection(
    socket: TcpStream,
    routes: Router,
    head: Duration,
    mut stop: watch::Receiver<bool>,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
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

#[cfg(test)]
mod tests;
