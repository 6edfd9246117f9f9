//! `GET /v1/connect`: the WebSocket on which wallets and hub talk.
//!
//! One task serves a connection. Reading: frames are let in by [`crate::admission`], and those about
//! channels go to the verifiers, in order per channel; a full lane stops the reading, and so the wallet. Writing: everything that waits is put
//! into one write. A connection that does not read is closed, and so is one that sends what can't be
//! decoded; what was said before on it stays as it is. When a wallet ends a connection, all that it has
//! said is handed on first.

mod sign_in;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use settlement::ledger::http::Refusal;
use settlement::reject::Code;
use settlement::wire::{FRAME_MAX, Message};

use crate::admission::{Admitted, ops_of};
use crate::api::refusal;
use crate::counters::add;
use crate::hub::Hub;
use crate::peer::{Peer, Scheduling};
use crate::verify::lane_of;
use sign_in::SigningIn;

/// How long a write may take before the connection is given up.
const WRITE: Duration = Duration::from_secs(20);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long the verifiers may take for what was said on a connection that its wallet has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Bytes of a frame beyond the allowed that are still read, so that its sender can be told why.
const SLACK: usize = 1_024;

/// Takes a connection on.
pub(crate) async fn connect(
    State(hub): State<Arc<Hub>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(error) => {
            return refusal(Code::MalformedRequest, error.body_text()).into_response();
        }
    };
    if hub.is_draining() {
        return Refusal::from(Code::ShuttingDown).into_response();
    }
    let peer = hub.peers().join(&hub.config);
    add(&hub.counters.connections, 1);
    let leave = Leave { hub: hub.clone(), peer };
    let limits = upgrade.max_message_size(FRAME_MAX + SLACK).max_frame_size(FRAME_MAX + SLACK);
    limits.read_buffer_size(32 << 10).on_upgrade(move |socket| async move {
        serve(&leave.hub, &leave.peer, socket).await;
    })
}

/// Lets go of the connection however its task ends, or if the upgrade fails.
struct Leave {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.peer.close(Code::HubUnavailable);
        self.hub.shared.router.sign_out(&self.peer);
        self.hub.peers().leave(&self.peer);
        self.hub.counters.connections.fetch_sub(1, Relaxed);
    }
}

async fn serve(hub: &Arc<Hub>, peer: &Arc<Peer>, socket: WebSocket) {
    let (sink, stream) = socket.split();
    let mut reading = std::pin::pin!(read(hub, peer, stream));
    let mut writing = std::pin::pin!(write(peer, sink));
    tokio::select! {
        // The wallet went away, or was told to.
        () = &mut writing => hear_all(peer).await,
        () = &mut reading => {
            hear_all(peer).await;
            // What waits for it, a goodbye above all, is still written.
            peer.close(Code::HubUnavailable);
            let _ = tokio::time::timeout(GOODBYE, writing).await;
        }
        // Told to go, and does not read it: it keeps no socket for that.
        () = given_up(peer) => {}
    }
}

/// What a wallet has said counts, though it has gone since: its last acknowledgment above all, without
/// which nothing is anchored of what it got last. Of one that was told to go nothing more counts.
async fn hear_all(peer: &Peer) {
    let _ = tokio::time::timeout(LAST_WORDS, peer.handed_on()).await;
}

async fn given_up(peer: &Peer) {
    peer.closing().await;
    tokio::time::sleep(GOODBYE.saturating_mul(2)).await;
}

/// What a connection is asked for when the time for it is over.
#[derive(Clone, Copy)]
enum Limit {
    /// That some wallet has signed in.
    SignIn,
    /// That some of its wallets has a channel.
    Channel,
}

/// What counts as work is what a wallet says; of all else there is little.
fn ops_of_item(item: &Result<Frame, axum::Error>) -> u64 {
    match item {
        Ok(Frame::Binary(frame)) => ops_of(frame),
        _ => 1,
    }
}

/// Reads until the connection ends; then the peer is closing, with the reason if there is one.
async fn read(hub: &Arc<Hub>, peer: &Arc<Peer>, mut stream: SplitStream<WebSocket>) {
    let mut signing_in = SigningIn::start(hub, peer);
    let mut reader = hub.pool.gate.reader();
    let connections = &hub.config.connections;
    let time = Duration::from_millis(connections.sign_in_ms);
    let mut deadline = std::pin::pin!(tokio::time::sleep(time));
    let mut limit = Limit::SignIn;
    loop {
        let next = reader.next(&mut stream, ops_of_item, || peer.is_stranger());
        let (frame, admitted) = tokio::select! {
            read = next => match read {
                Some(read) => read,
                None => return,
            },
            () = &mut deadline => {
                match limit {
                    Limit::SignIn if !signing_in.done() => return peer.close(Code::SignInTimeout),
                    Limit::Channel if peer.is_stranger() => return peer.close(Code::OpenTimeout),
                    _ => limit = Limit::Channel,
                }
                let time = Duration::from_millis(connections.stranger_ms);
                deadline.set(tokio::time::sleep(time));
                continue;
            }
        };
        let frame = match frame {
            Ok(Frame::Binary(frame)) => frame,
            Ok(Frame::Ping(_) | Frame::Pong(_)) => continue,
            Ok(Frame::Text(_)) => return peer.close(Code::MalformedFrame),
            Ok(Frame::Close(_)) => return,
            Err(error) => {
                hear_all(peer).await;
                return broken(peer, &error);
            }
        };
        add(&hub.counters.frames_in, 1);
        if peer.is_closing() {
            return;
        }
        let handled = match lane_of(&frame, peer.lane_count()) {
            Some(lane) if signing_in.done() => verify_later(hub, peer, lane, frame, admitted).await,
            _ => about_the_connection(hub, &mut signing_in, peer, &frame).await,
        };
        if let Err(code) = handled {
            return peer.close(code);
        }
    }
}

async fn verify_later(
    hub: &Arc<Hub>,
    peer: &Arc<Peer>,
    lane: usize,
    frame: Bytes,
    admitted: Admitted<'_>,
) -> Result<(), Code> {
    if frame.len() > FRAME_MAX {
        return Err(Code::FrameTooLarge);
    }
    let scheduling = peer.accept(lane, frame).await;
    admitted.handed_on();
    if scheduling == Scheduling::Needed {
        hub.pool.schedule(peer, lane);
    }
    Ok(())
}

/// Messages about no channel, and whatever comes before a wallet is signed in.
async fn about_the_connection(
    hub: &Hub,
    signing_in: &mut SigningIn,
    peer: &Arc<Peer>,
    frame: &Bytes,
) -> Result<(), Code> {
    match Message::from_frame(frame).map_err(|error| error.code())? {
        Message::Hello(hello) => signing_in.hello(hello).await,
        Message::Ping { number, pong: false } => {
            peer.send(&Message::Ping { number, pong: true });
            Ok(())
        }
        Message::Goodbye { .. } => {
            hear_all(peer).await;
            Err(Code::HubUnavailable)
        }
        Message::Ping { .. } => Ok(()),
        message @ Message::Relay { .. } => {
            hub.relay.take(peer, &message);
            Ok(())
        }
        _ => Err(Code::NotSignedIn),
    }
}

fn broken(peer: &Peer, error: &axum::Error) {
    tracing::debug!(peer = peer.id, %error, "a connection broke");
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // The library says it in words alone.
    let large = source.contains("too long") || source.contains("too large");
    peer.close(if large { Code::FrameTooLarge } else { Code::MalformedFrame });
}

/// Writes what is queued until the connection is closed.
async fn write(peer: &Peer, mut sink: SplitSink<WebSocket, Frame>) {
    loop {
        let out = peer.next_out().await;
        let bytes = Bytes::from(out.bytes);
        let written = tokio::time::timeout(WRITE, send(&mut sink, &bytes, &out.ends)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
        if let Some(code) = out.closing {
            let _ = tokio::time::timeout(GOODBYE, goodbye(&mut sink, code)).await;
            return;
        }
    }
}

/// All frames with one flush.
async fn send(
    sink: &mut SplitSink<WebSocket, Frame>,
    bytes: &Bytes,
    ends: &[usize],
) -> Result<(), axum::Error> {
    let mut from = 0;
    for end in ends {
        sink.feed(Frame::Binary(bytes.slice(from..*end))).await?;
        from = *end;
    }
    sink.flush().await
}

async fn goodbye(sink: &mut SplitSink<WebSocket, Frame>, code: Code) -> Result<(), axum::Error> {
    let frame = Message::Goodbye { code }.to_frame();
    sink.send(Frame::Binary(frame.into())).await?;
    sink.close().await
}
