//! How wallet and hub sign in, and the doors at which each checks the other.

use std::net::TcpStream;

use client_sdk::api::HubInfo;
use serde_json::Value;
use settlement::crypto::{Signable, Tag, hash_many};
use settlement::encoding::encode;
use settlement::types::{Hash, LedgerId, Role};
use settlement::wire::{Hello, Message, SignIn, VERSION};
use tests::process::PATIENCE;
use tests::process::hub::Hub;
use tokio_tungstenite::tungstenite::{self, WebSocket};

use super::field::changes;
use super::ledger::key;
use super::rows::Row;

pub(crate) fn rows() -> Vec<Row> {
    vec![at_a_hub(), at_a_wallet()]
}

/// The hub's answer. The message itself is never sent, as the wallet knows all of it: so each change
/// is one of what the wallet asks for.
fn at_a_wallet() -> Row {
    let hub = key(2);
    let good = SignIn {
        ledger: LedgerId([5; 32]),
        hub: hub.public(),
        challenge: Hash([7; 32]),
        key: hub.public(),
        role: Role::Hub,
    };
    Row::signed("a hub's answer to a sign-in", good, hub, move |asked: SignIn, signature| {
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger: asked.ledger,
            challenge: Hash([8; 32]),
            // In the name that is asked for, whoever has signed.
            keys: vec![(asked.key, signature)],
        };
        asked.is_proved_by(&hello).then_some(()).ok_or("not proved")
    })
}

/// A hub in a process of its own; the message itself is never sent, as the hub knows all of it.
fn at_a_hub() -> Row {
    let dir = tempfile::tempdir().expect("a directory");
    let hub = Hub::start(&tests::programs!(), dir.path());
    let info: HubInfo = hub.http.get("/v1/info").ok();
    let (challenge, own) = (Hash([7; 32]), key(1));
    let good = SignIn {
        ledger: info.ledger,
        hub: info.hub,
        challenge,
        key: own.public(),
        role: Role::Wallet,
    };
    let changes = changes(&good);
    let present = move |changed: Option<&Value>, tag: Tag| {
        let _directory_of = (&dir, &hub.process);
        let mut socket = connect(hub.http.host());
        let theirs = hear_hello(&mut socket).expect("the hub greets").challenge;
        let mut body = match changed {
            None => good,
            Some(changed) => serde_json::from_value(changed.clone()).expect("a message"),
        };
        if body.challenge == challenge {
            body.challenge = theirs;
        }
        let keys = vec![(own.public(), own.sign(&hash_many(tag, &[&encode(&body)])))];
        let (version_min, version_max) = (VERSION, VERSION);
        let ledger = info.ledger;
        let hello = Hello { version_min, version_max, features: 0, ledger, challenge, keys };
        let frame = Message::Hello(hello).to_frame();
        socket.send(tungstenite::Message::Binary(frame.into())).expect("it can be sent");
        hear_hello(&mut socket).map(|_| ())
    };
    Row { name: "a sign-in".to_owned(), tag: SignIn::TAG, changes, present: Box::new(present) }
}

fn connect(host: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(host).expect("the hub listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (socket, _) =
        tungstenite::client(format!("ws://{host}/v1/connect"), stream).expect("a WebSocket");
    socket
}

fn hear_hello(socket: &mut WebSocket<TcpStream>) -> Result<Hello, String> {
    loop {
        let frame = socket.read().map_err(|error| error.to_string())?;
        let tungstenite::Message::Binary(bytes) = frame else { continue };
        return match Message::from_frame(&bytes).expect("the hub's frames decode") {
            Message::Hello(hello) => Ok(hello),
            other => Err(format!("{other:?}")),
        };
    }
}
