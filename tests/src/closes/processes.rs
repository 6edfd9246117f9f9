//! With the programs: a ledger that makes a block each second, a hub on it, and real sockets.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_sdk::ledger_client::{LedgerClient, LedgerError};
use client_sdk::ledger_http::HttpLedger;
use serde_json::Value;
use settlement::block::BlockEvents;
use settlement::crypto::{Signable, SigningKey};
use settlement::ledger::home::Home;
use settlement::params::Genesis;
use settlement::tx::Transaction;
use settlement::types::{ChannelId, Hash, Height, LedgerId, PublicKey, Role};
use settlement::wire::{HELLO_KEYS_MAX, Hello, Message, SignIn, VERSION};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{self, Error, WebSocket};

use super::wallet::Wallet;
use super::{HUB_KEY, LEDGER_KEY, Place, key};
use crate::process::child::Child;
use crate::process::http::Http;
use crate::process::{PATIENCE, Programs};

/// How many wallets share a connection: fewer than a hub allows by default.
const PER_CONNECTION: usize = 2_500;
/// How many transactions are handed to the ledger at once.
const AT_ONCE: usize = 64;
/// How long one look at a socket, or at the ledger, takes while nothing comes.
const LOOK: Duration = Duration::from_millis(2);

/// See the module.
pub(super) struct Processes {
    runtime: Runtime,
    ledger: HttpLedger,
    id: LedgerId,
    hub: Http,
    hub_key: PublicKey,
    sockets: Vec<WebSocket<TcpStream>>,
    socket_of: HashMap<ChannelId, usize>,
    heard: VecDeque<Message>,
    blocks: VecDeque<BlockEvents>,
    next: Height,
    /// Killed when this is dropped.
    _processes: [Child; 2],
}

impl Processes {
    /// Starts both in this directory.
    pub(super) fn start(programs: &Programs, dir: &Path, genesis: &Genesis) -> Processes {
        let (ledger_dir, hub_dir) = (dir.join("ledger"), dir.join("hub"));
        let ledger_key = write_key(&ledger_dir, "ledger.key", LEDGER_KEY);
        let hub_key = write_key(&hub_dir, "hub.key", HUB_KEY).public();
        let home = Home::at(&ledger_dir).expect("a directory");
        home.genesis(Some(genesis.clone()), false, &ledger_key).expect("a genesis");
        let any = "127.0.0.1:0";
        let at = ledger_dir.display().to_string();
        let args = ["run", "--data-dir", &at, "--listen", any];
        let (ledger, url) = serving("ledger", &programs.ledger, &args);
        let at = hub_dir.display().to_string();
        let own = ["run", "--data-dir", &at, "--listen", any, "--admin-listen", any];
        let (hub, hub_url) =
            serving("hub", &programs.hub, &[own.as_slice(), &["--ledger", &url]].concat());
        Processes {
            runtime: Runtime::new().expect("a runtime"),
            ledger: HttpLedger::new(&url).expect("an address"),
            id: genesis.ledger_id(),
            hub: Http::new(&hub_url),
            hub_key,
            sockets: Vec::new(),
            socket_of: HashMap::new(),
            heard: VecDeque::new(),
            blocks: VecDeque::new(),
            next: Height(1),
            _processes: [ledger, hub],
        }
    }

    /// A connection on which these wallets are signed in.
    fn sign_in(&self, wallets: &[Wallet]) -> WebSocket<TcpStream> {
        let stream = TcpStream::connect(self.hub.host()).expect("the hub listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        let url = format!("ws://{}/v1/connect", self.hub.host());
        let (mut socket, _) = tungstenite::client(url, stream).expect("a WebSocket");
        let theirs = hear_hello(&mut socket).challenge;
        for together in wallets.chunks(HELLO_KEYS_MAX) {
            let keys = together.iter().map(|wallet| self.prove(&wallet.key, theirs)).collect();
            let hello = Hello {
                version_min: VERSION,
                version_max: VERSION,
                features: 0,
                ledger: self.id,
                challenge: Hash([7; 32]),
                keys,
            };
            send(&mut socket, &Message::Hello(hello));
            hear_hello(&mut socket);
        }
        socket.get_ref().set_read_timeout(Some(LOOK)).expect("a timeout");
        socket
    }

    fn prove(&self, by: &SigningKey, challenge: Hash) -> (PublicKey, settlement::types::Signature) {
        let (ledger, hub, key) = (self.id, self.hub_key, by.public());
        let body = SignIn { ledger, hub, challenge, key, role: Role::Wallet };
        (key, by.sign(&body.digest()))
    }

    /// Looks at every socket once.
    fn look(&mut self) {
        for socket in &mut self.sockets {
            while let Some(message) = read(socket) {
                if let Message::Ping { number, pong: false } = message {
                    send(socket, &Message::Ping { number, pong: true });
                } else {
                    self.heard.push_back(message);
                }
            }
        }
    }
}

impl Place for Processes {
    fn connect(&mut self, wallets: &[Wallet]) {
        for (at, together) in wallets.chunks(PER_CONNECTION).enumerate() {
            let socket = self.sign_in(together);
            self.sockets.push(socket);
            let ids = together.iter().map(|wallet| (wallet.channel.id(), at));
            self.socket_of.extend(ids);
        }
    }

    fn submit(&mut self, txs: Vec<Transaction>) {
        let waiting = Arc::new(Mutex::new(txs.into_iter()));
        self.runtime.block_on(async {
            let mut clerks = JoinSet::new();
            for _ in 0..AT_ONCE {
                let (waiting, ledger) = (waiting.clone(), self.ledger.clone());
                clerks.spawn(async move {
                    loop {
                        let next = waiting.lock().expect("nobody panics").next();
                        let Some(tx) = next else { return };
                        hand_in(&ledger, &tx).await;
                    }
                });
            }
            while let Some(done) = clerks.join_next().await {
                done.expect("it was taken");
            }
        });
    }

    fn block(&mut self) -> Option<Arc<BlockEvents>> {
        if self.blocks.is_empty() {
            let asked = self.ledger.events_from(self.next, LOOK);
            self.blocks.extend(self.runtime.block_on(asked).expect("the ledger answers"));
        }
        let block = self.blocks.pop_front()?;
        self.next = block.header.header.height.after(1);
        Some(Arc::new(block))
    }

    fn say(&mut self, wallet: &Wallet, message: Message) {
        let socket = self.socket_of[&wallet.channel.id()];
        send(&mut self.sockets[socket], &message);
    }

    fn hear(&mut self) -> Option<Message> {
        if self.heard.is_empty() {
            self.look();
        }
        self.heard.pop_front()
    }
}

/// Tries until the ledger takes it, as the SDK does.
async fn hand_in(ledger: &HttpLedger, tx: &Transaction) {
    loop {
        match ledger.submit(tx).await {
            Ok(_) => return,
            Err(LedgerError::Refused(problem)) if problem.retryable => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("the ledger refuses {tx:?}: {error}"),
        }
    }
}

fn write_key(dir: &Path, name: &str, number: u64) -> SigningKey {
    let key = key(number);
    let path = dir.join(name);
    fs::create_dir_all(dir).expect("a directory");
    fs::write(&path, hex::encode(*key.to_bytes())).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its owner's alone");
    key
}

/// A process that serves, and where.
fn serving(name: &str, program: &Path, args: &[&str]) -> (Child, String) {
    let process = Child::start(name, program, args);
    let serves = |line: &Value| line["listening"].is_string();
    let (line, _) = process.wait_for("its address", 0, PATIENCE, serves);
    let url = line["listening"].as_str().expect("an address").to_owned();
    (process, url)
}

fn send(socket: &mut WebSocket<TcpStream>, message: &Message) {
    let frame = tungstenite::Message::Binary(message.to_frame().into());
    socket.send(frame).expect("the hub is there");
}

/// The next message, if it comes before the socket's timeout.
fn read(socket: &mut WebSocket<TcpStream>) -> Option<Message> {
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Binary(bytes)) => {
                return Some(Message::from_frame(&bytes).expect("the hub's frames decode"));
            }
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                return None;
            }
            Err(error) => panic!("the hub hung up: {error}"),
        }
    }
}

fn hear_hello(socket: &mut WebSocket<TcpStream>) -> Hello {
    match read(socket) {
        Some(Message::Hello(hello)) => hello,
        other => panic!("{other:?} instead of the hub's greeting"),
    }
}
