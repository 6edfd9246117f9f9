//! One session on a connection: from the socket's opening to its end.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use settlement::reject::Code;
use settlement::types::Hash;
use settlement::wire::{FRAME_MAX, Hello, Message, VERSION};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::reader::Reader;
use super::writer::Writer;
use super::{Broken, Connection, Peer};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pongs that wait to be written; more of them are not answered.
const CONTROL_MAX: usize = 64;

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Wallets whose sign-in the hub has not answered yet, in the order of asking.
pub(super) type Asked = Arc<Mutex<VecDeque<Vec<u32>>>>;

/// What both sides have said first.
#[derive(Clone, Copy)]
pub(super) struct Challenges {
    pub(super) theirs: Hash,
    pub(super) ours: Hash,
}

impl Connection {
    /// Connects, signs in and serves until it breaks; says why it did.
    pub(super) async fn session(&mut self) -> Broken {
        let opened = timeout(CONNECT_TIMEOUT, self.open()).await;
        let (socket, theirs) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(broken)) => return broken,
            Err(_) => return Broken::socket("the hub does not answer"),
        };
        let mut ours = Hash::ZERO;
        if getrandom::fill(&mut ours.0).is_err() {
            return Broken::new(Code::Internal, "the system gives no randomness");
        }
        self.forget_queued();
        self.session = self.session.wrapping_add(1);
        let (sink, mut stream) = socket.split();
        let asked = Asked::default();
        let (control, replies) = mpsc::channel(CONTROL_MAX);
        let mut reader = Reader::new(self, asked.clone(), control, ours);
        let mut writer = Writer::new(self, sink, asked, Challenges { theirs, ours });
        let broken = tokio::select! {
            broken = reader.run(&mut stream) => broken,
            broken = writer.run(&mut self.batches, replies) => broken,
            () = self.overrun.wait() => {
                Broken::new(Code::SlowConsumer, "the hub does not read what is sent to it")
            }
        };
        let goodbye = Message::Goodbye { code: broken.code };
        let last = async {
            writer.last_words(goodbye).await?;
            // Only a socket of which all is read ends without cutting off what the hub has not read.
            while broken.code == Code::ShuttingDown
                && stream.next().await.is_some_and(|f| f.is_ok())
            {}
            Ok::<(), Broken>(())
        };
        // Whether it is heard or not, the connection ends.
        let _ = timeout(Duration::from_secs(1), last).await;
        broken
    }

    /// Opens the socket and reads the hub's challenge.
    async fn open(&self) -> Result<(Socket, Hash), Broken> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(FRAME_MAX))
            .max_frame_size(Some(FRAME_MAX));
        let connecting = connect(&self.peer, config);
        let (mut socket, _) = connecting.await.map_err(Broken::socket)?;
        loop {
            let frame = socket.next().await;
            let frame = frame.ok_or_else(|| Broken::socket("the hub hung up"))?;
            match decode(frame.map_err(Broken::socket)?)? {
                Some(Message::Hello(hello)) => {
                    check_hello(&hello, &self.peer)?;
                    return Ok((socket, hello.challenge));
                }
                Some(Message::Goodbye { code }) => return Err(said_goodbye(code)),
                Some(_) => {
                    return Err(Broken::new(Code::MalformedFrame, "the hub did not say hello"));
                }
                None => {}
            }
        }
    }
}

#[cfg(feature = "tls")]
async fn connect(peer: &Peer, config: WebSocketConfig) -> Result<(Socket, Response), Error> {
    let tls = tokio_tungstenite::Connector::Rustls(peer.trust.config());
    let url = peer.url.as_str();
    tokio_tungstenite::connect_async_tls_with_config(url, Some(config), true, Some(tls)).await
}

#[cfg(not(feature = "tls"))]
async fn connect(peer: &Peer, config: WebSocketConfig) -> Result<(Socket, Response), Error> {
    tokio_tungstenite::connect_async_with_config(peer.url.as_str(), Some(config), true).await
}

fn check_hello(hello: &Hello, peer: &Peer) -> Result<(), Broken> {
    if !(hello.version_min..=hello.version_max).contains(&VERSION) {
        return Err(Broken::new(Code::UnsupportedVersion, Code::UnsupportedVersion.title()));
    }
    if hello.ledger != peer.ledger {
        return Err(Broken::new(Code::WrongLedger, Code::WrongLedger.title()));
    }
    Ok(())
}

pub(super) fn said_goodbye(code: Code) -> Broken {
    Broken::new(code, format!("the hub said goodbye: {}", code.title()))
}

/// The message in a frame; `None` for frames that only keep the socket alive.
pub(super) fn decode(frame: Frame) -> Result<Option<Message>, Broken> {
    let bytes = match frame {
        Frame::Binary(bytes) => bytes,
        Frame::Ping(_) | Frame::Pong(_) => return Ok(None),
        Frame::Close(_) => return Err(Broken::socket("the hub closed the connection")),
        Frame::Text(_) | Frame::Frame(_) => {
            return Err(Broken::new(Code::MalformedFrame, "the hub sent text"));
        }
    };
    let message = Message::from_frame(&bytes);
    message.map(Some).map_err(|error| Broken::new(error.code(), error.to_string()))
}
