//! How a ledger and a hub listen: which addresses they take, and the accept loop with its bounds on
//! connections, on how long the head of a request may take, and on answers that nobody reads.
//!
//! A socket that sends its request byte by byte is closed when the time for it is over. When there
//! are too many all the same, the one that has been here longest makes room for the next, whatever
//! it is doing: sockets that cost nothing keep nobody out. A socket that does not read its answer is
//! closed as [`Impatient`] says, and when the answers that wait take too much memory together, the
//! one that has waited longest goes with its connection. WebSockets are not counted here any more
//! once they are one, and nothing of this bounds them: their own protocol does.

mod answers;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tower::Service;

use crate::socket::{Control, Impatient};
use answers::Answers;

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
    /// How long the head of a request may take, how long a connection may idle between two, and
    /// how long it may take no [`TAKEN_MIN`](crate::socket::TAKEN_MIN) bytes of an answer.
    pub head: Duration,
    /// The most bytes that answers may take together until they are read.
    pub answers: usize,
}

/// For [`Bounds::answers`]: 256 MiB.
pub const ANSWERS_BYTES: usize = 256 << 20;

/// What all connections of a listener share.
#[derive(Clone)]
struct Shared {
    routes: Router,
    head: Duration,
    answers: Arc<Answers>,
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
    let shared = Shared { routes, head: bounds.head, answers: Answers::new(bounds.answers) };
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
                let connection = connection(socket, shared.clone(), stop.clone());
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
    shared: Shared,
    mut stop: watch::Receiver<bool>,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    no_delay(&socket)?;
    let (control, close) = (Control::default(), Arc::new(Notify::new()));
    let socket = Impatient::new(socket, shared.head, control.clone());
    let (room, holder) = (shared.answers.clone(), close.clone());
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let (mut routes, control) = (shared.routes.clone(), control.clone());
        let (room, holder) = (room.clone(), holder.clone());
        async move {
            let answer = routes.call(request.map(Body::new)).await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                control.release();
            } else if answer.status() >= StatusCode::BAD_REQUEST {
                control.linger();
            }
            Ok::<_, std::convert::Infallible>(room.hold(answer, &holder).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.head)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(service))
        .with_upgrades();
    let served = async move {
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return ended,
            _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    tokio::select! {
        served = served => Ok(served?),
        () = close.notified() => Err("others need the memory that its answer takes".into()),
    }
}

/// Frames are written together already: waiting for more would only delay them.
fn no_delay(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)
}

#[cfg(test)]
mod tests;
