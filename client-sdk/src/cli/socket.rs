//! `wallet listen`, and how other commands on the same home go through it.
//!
//! A command goes over a Unix socket in the home, which its owner alone can open, as one line of
//! JSON; back come the lines that it says, and how it ended.

use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::json;
use settlement::reject::Code;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::LINES_MAX;
use super::args::Command;
use super::home::Home;
use super::lines::{Line, Lines};
use super::session::Session;
use super::watchtower::Keeper;
use super::{run, show, stream};
use crate::client::ClientError;
use crate::wallet::AnswerTerms;

/// The most bytes of a command.
const COMMAND_BYTES_MAX: u64 = 64 * 1024;

/// What comes back over the socket, a line each.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    /// Something that the command says.
    Line(Line),
    /// It has ended; with a refusal, unless both are empty.
    End { code: Option<Code>, detail: String },
}

/// The socket's path, by way of the open directory: a socket's path has at most 108 bytes, a home's
/// may have more.
struct Place {
    dir: File,
}

impl Place {
    fn of(home: &Home) -> Result<Place, ClientError> {
        let dir = File::open(home.dir()).map_err(|error| failed(&error))?;
        Ok(Place { dir })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/listen.sock", self.dir.as_raw_fd()))
    }
}

fn failed(error: &std::io::Error) -> ClientError {
    ClientError::new(Code::Internal, format!("the home's socket: {error}"))
}

/// Has the process that owns the home run a command.
pub(super) async fn forward(
    home: &Home,
    command: &Command,
    lines: Lines,
) -> Result<(), ClientError> {
    let place = Place::of(home)?;
    let Ok(mut stream) = UnixStream::connect(place.path()).await else {
        let dir = home.dir().display();
        let detail = format!("another `wallet` command is using {dir}; wait until it has ended");
        return Err(ClientError::new(Code::HomeLocked, detail));
    };
    let mut text = serde_json::to_vec(command)
        .map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
    text.push(b'\n');
    stream.write_all(&text).await.map_err(|error| failed(&error))?;
    let mut replies = BufReader::new(stream).lines();
    while let Some(text) = replies.next_line().await.map_err(|error| failed(&error))? {
        let reply = serde_json::from_str(&text)
            .map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
        match reply {
            Reply::Line(line) => lines.say(line).await,
            Reply::End { code: None, .. } => return Ok(()),
            Reply::End { code: Some(code), detail } => return Err(ClientError::new(code, detail)),
        }
    }
    let detail = "`wallet listen` ended before the command; look at the status";
    Err(ClientError::new(Code::Internal, detail))
}

/// Stays connected and prints what happens, until it is told to end.
pub(super) async fn listen(
    home: &Home,
    session: &Session,
    (tower, terms): (Option<&str>, Option<AnswerTerms>),
    lines: Lines,
) -> Result<(), ClientError> {
    session.wallet.answer_requests(terms).await?;
    let mut keeper = tower.map(|url| Keeper::new(session, url, lines.clone())).transpose()?;
    let mut events = session
        .wallet
        .events()
        .ok_or_else(|| ClientError::new(Code::Internal, "the wallet has no events"))?;
    let place = Place::of(home)?;
    let listener = bind(&place)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut terminated = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let connected = session.ready().await.is_ok();
    let public_key = session.wallet.public_key();
    let json = json!({ "event": "listening", "public_key": public_key, "connected": connected });
    let state = if connected { "connected" } else { "the hub can't be reached yet" };
    lines.say(Line::new(json, format!("listening as {public_key}; {state}"))).await;
    let telling = async {
        let mut streams = stream::Told::default();
        while let Some(event) = events.next().await {
            if streams.is_news(&event) {
                let (json, human) = show::event(&event);
                lines.say(Line::new(json, human)).await;
            }
        }
    };
    let keeping = async {
        match &mut keeper {
            Some(keeper) => keeper.keep().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = telling => {}
        () = serve(&listener, session) => {}
        () = keeping => {}
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    if let Some(keeper) = &mut keeper {
        // It is about to sleep: what is covered is what it ends with.
        session.settle().await;
        keeper.last().await;
    }
    // The next owner removes it too, if this does not.
    let _ = fs::remove_file(place.path());
    Ok(())
}

/// Binds the socket; whoever owns the home owns what a crash left there.
fn bind(place: &Place) -> Result<UnixListener, ClientError> {
    let path = place.path();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&error)),
        _ => {}
    }
    let listener = UnixListener::bind(&path).map_err(|error| failed(&error))?;
    // The directory lets nobody else in either.
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(|error| failed(&error))?;
    Ok(listener)
}

/// Runs the commands that come, any number at a time.
async fn serve(listener: &UnixListener, session: &Session) {
    let mut running = futures_util::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => running.push(answer(stream, session)),
                Err(error) => return tracing::error!(%error, "the home's socket is gone"),
            },
            Some(()) = futures_util::StreamExt::next(&mut running) => {}
        }
    }
}

/// Runs one command; whoever asked may go away, and what was begun goes on.
async fn answer(stream: UnixStream, session: &Session) {
    let (read, mut write) = stream.into_split();
    let mut text = String::new();
    let mut bounded = BufReader::new(read.take(COMMAND_BYTES_MAX));
    let read = bounded.read_line(&mut text).await;
    let command = read.map_err(|error| failed(&error)).and_then(|_| {
        let parsed = serde_json::from_str::<Command>(&text);
        parsed.map_err(|error| ClientError::new(Code::MalformedRequest, error.to_string()))
    });
    let (lines, mut waiting) = mpsc::channel(LINES_MAX);
    let lines = Lines::new(lines);
    let gone = lines.gone().clone();
    let running = async {
        // Dropped at its end: then there is nothing more to forward.
        let lines = lines;
        run::run(session, &command?, &lines).await
    };
    let forwarding = async {
        while let Some(line) = waiting.recv().await {
            if send(&mut write, &Reply::Line(line)).await.is_err() {
                gone.store(true, Ordering::Relaxed);
                break;
            }
        }
        // Taken even if nobody reads it: the command must not wait for that.
        while waiting.recv().await.is_some() {}
    };
    let (ended, ()) = tokio::join!(running, forwarding);
    let (code, detail) = match ended {
        Ok(()) => (None, String::new()),
        Err(error) => (Some(error.code), error.detail),
    };
    // Whoever asked may have gone.
    let _ = send(&mut write, &Reply::End { code, detail }).await;
}

async fn send<W: tokio::io::AsyncWrite + Unpin>(
    write: &mut W,
    reply: &Reply,
) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(reply)?;
    text.push(b'\n');
    write.write_all(&text).await
}
