//! A hub and a ledger that do and say what the test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::{BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::crypto::{Signable, SigningKey};
use settlement::params::{Genesis, Policy};
use settlement::proof::{OpenTerms, SnapshotRef};
use settlement::reject::Code;
use settlement::state_proof::StateProof;
use settlement::tx::{Submission, Transaction};
use settlement::types::{
    AccountId, Amount, AssetId, ChannelId, Hash, Height, LedgerId, Role, TxId,
};
use settlement::wire::{Hello, Message, SignIn, VERSION};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use crate::api::{FeePolicy, HubInfo};
use crate::client::connection::Peer;
use crate::client::core::clock_ms;
use crate::client::store::{Setup, write_setup};
use crate::client::{Client, ClientConfig, ClientError};
use crate::ledger_client::{Answer, LedgerClient, LedgerError};

/// A test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

pub(crate) fn opened(terms: OpenTerms, deposit: u64) -> LedgerEvent {
    LedgerEvent::Opened { terms, deposit: Amount(deposit) }
}

pub(crate) fn paid_out(channel: ChannelId, wallet: u64, hub: u64) -> LedgerEvent {
    let (wallet, hub) = (Amount(wallet), Amount(hub));
    LedgerEvent::Settled { channel, wallet, hub, cooperative: false }
}

fn genesis() -> Genesis {
    Genesis::development("test", key(77).public(), 1)
}

/// Hub and ledger, and the directory of the client's store.
pub(crate) struct World {
    address: std::net::SocketAddr,
    sockets: tokio::sync::Mutex<mpsc::UnboundedReceiver<WebSocketStream<TcpStream>>>,
    ledger: Arc<TestLedger>,
    submissions: tokio::sync::Mutex<mpsc::UnboundedReceiver<Submission>>,
    dir: tempfile::TempDir,
}

/// The ledger: blocks that the test made.
struct TestLedger {
    blocks: Mutex<Vec<BlockEvents>>,
    height: watch::Sender<usize>,
    refusals: Mutex<u32>,
    submitted: mpsc::UnboundedSender<Submission>,
}

impl LedgerClient for TestLedger {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        let tip = self.blocks.lock().unwrap().last().map(|block| block.header);
        let genesis = genesis();
        let info = LedgerInfo { ledger: genesis.ledger_id(), genesis, tip };
        Box::pin(async move { Ok(info) })
    }

    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let tx = transaction.id();
        let mut refusals = self.refusals.lock().unwrap();
        let answer = match (*refusals, transaction) {
            (1.., _) => {
                *refusals -= 1;
                // Both kinds of trouble that pass: no answer, and a full queue.
                Err(match *refusals % 2 {
                    0 => LedgerError::Unreachable("the test says so".to_owned()),
                    _ => LedgerError::Refused(Box::new(Problem::new(Code::QueueFull, ""))),
                })
            }
            (0, Transaction::Submit { body, .. }) => {
                self.submitted.send(body.clone()).unwrap();
                Ok(tx)
            }
            (0, _) => Ok(tx),
        };
        Box::pin(async move { answer })
    }

    fn events_from(&self, height: Height, wait: Duration) -> Answer<'_, Vec<BlockEvents>> {
        let from = usize::try_from(height.0).unwrap() - 1;
        let mut newest = self.height.subscribe();
        Box::pin(async move {
            let there = newest.wait_for(|count| *count > from);
            let _ = tokio::time::timeout(wait, there).await;
            Ok(self.blocks.lock().unwrap().iter().skip(from).cloned().collect())
        })
    }

    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        let view = AccountView { account: *account, nonce: 0, balances: Vec::new(), lease: None };
        Box::pin(async move { Ok(view) })
    }

    fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
        let problem = Problem::new(Code::NoSuchChannel, "");
        Box::pin(async move { Err(LedgerError::Refused(Box::new(problem))) })
    }

    fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
        let problem = Problem::new(Code::NoSuchChannel, "");
        Box::pin(async move { Err(LedgerError::Refused(Box::new(problem))) })
    }
}

impl World {
    pub(crate) async fn new() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (submitted, submissions) = mpsc::unbounded_channel();
        let (height, _) = watch::channel(0);
        let (blocks, refusals) = (Mutex::default(), Mutex::default());
        let ledger = Arc::new(TestLedger { blocks, height, refusals, submitted });
        let submissions = tokio::sync::Mutex::new(submissions);
        let address = listener.local_addr().unwrap();
        let (accepted, sockets) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // What is no WebSocket is a question over HTTP, which this hub does not answer.
                if let Ok(socket) = accept_async(stream).await {
                    let _ = accepted.send(socket);
                }
            }
        });
        let sockets = tokio::sync::Mutex::new(sockets);
        World { address, sockets, ledger, submissions, dir: tempfile::tempdir().unwrap() }
    }

    /// Opens the client; hub and ledger were seen before, and the hub's HTTP does not answer.
    pub(crate) async fn open(&self, keys: Vec<SigningKey>) -> Result<Client, ClientError> {
        let genesis = genesis();
        let hub = HubInfo {
            version: "test".to_owned(),
            hub: key(99).public(),
            ledger: genesis.ledger_id(),
            ledger_url: None,
            assets: genesis.assets.clone(),
            policy: Policy::development(),
            fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
            deposit_min: Amount(1),
            inbound_ppm: 0,
            inbound_max: Amount(0),
        };
        write_setup(self.dir.path(), &Setup { hub, genesis })?;
        let url = format!("http://{}", self.address);
        let ledger: Arc<dyn LedgerClient> = self.ledger.clone();
        let config =
            ClientConfig { ledger: Some(ledger), ..ClientConfig::new(url, self.dir.path()) };
        Client::open(config, keys.into_iter().map(Arc::new).collect()).await
    }

    /// The hub, for a connection without a client.
    pub(crate) fn peer(&self) -> Peer {
        super::peer_at(format!("ws://{}/v1/connect", self.address), self.ledger_id())
    }

    pub(crate) fn ledger_id(&self) -> LedgerId {
        genesis().ledger_id()
    }

    pub(crate) fn terms(&self, wallet: &SigningKey, nonce: u64) -> OpenTerms {
        OpenTerms {
            ledger: self.ledger_id(),
            asset: AssetId(0),
            wallet: wallet.public(),
            hub: key(99).public(),
            challenge_blocks: 50,
            nonce,
        }
    }

    /// Makes the next block.
    pub(crate) fn block(&self, events: Vec<LedgerEvent>) {
        let mut blocks = self.ledger.blocks.lock().unwrap();
        let before = blocks.last().map(|block| block.header.header);
        let header = Header {
            ledger: self.ledger_id(),
            height: Height(blocks.len() as u64 + 1),
            parent: before.map_or(Hash(self.ledger_id().0), |header| header.digest()),
            time_ms: before.map_or(clock_ms(), |header| clock_ms().max(header.time_ms + 150)),
            tx_root: Hash::ZERO,
            tx_count: 0,
            writes: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        blocks.push(BlockEvents { header: SignedHeader::sign(&key(77), header), events });
        self.ledger.height.send_replace(blocks.len());
    }

    pub(crate) fn refuse_submissions(&self, times: u32) {
        *self.ledger.refusals.lock().unwrap() = times;
    }

    /// A submission that the ledger has taken already.
    pub(crate) fn submitted_now(&self) -> Option<Submission> {
        self.submissions.try_lock().ok()?.try_recv().ok()
    }

    pub(crate) async fn submitted(&self) -> Submission {
        let mut submissions = self.submissions.lock().await;
        patient(submissions.recv()).await.unwrap()
    }

    /// The next connection of the client's that is a WebSocket.
    pub(crate) async fn accept(&self) -> Session {
        let mut sockets = self.sockets.lock().await;
        let socket = patient(sockets.recv()).await.unwrap();
        Session { socket, challenge: Hash([3; 32]), theirs: None }
    }
}

async fn patient<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("the client does nothing")
}

/// The hub's end of a connection.
pub(crate) struct Session {
    socket: WebSocketStream<TcpStream>,
    pub(crate) challenge: Hash,
    theirs: Option<Hash>,
}

impl Session {
    pub(crate) async fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Frame::Binary(bytes.into())).await.unwrap();
    }

    pub(crate) async fn say(&mut self, message: Message) {
        self.say_bytes(message.to_frame()).await;
    }

    pub(crate) async fn hear(&mut self) -> Message {
        patient(async {
            loop {
                if let Frame::Binary(bytes) = self.socket.next().await.unwrap().unwrap() {
                    return Message::from_frame(&bytes).unwrap();
                }
            }
        })
        .await
    }

    pub(crate) async fn hello(&mut self) {
        let mut random = [0; 32];
        getrandom::fill(&mut random).unwrap();
        self.challenge = Hash(random);
        let keys = Vec::new();
        self.say(self.hello_with(keys)).await;
    }

    fn hello_with(
        &self,
        keys: Vec<(settlement::types::PublicKey, settlement::types::Signature)>,
    ) -> Message {
        Message::Hello(Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger: genesis().ledger_id(),
            challenge: self.challenge,
            keys,
        })
    }

    pub(crate) async fn hear_hello(&mut self) -> Hello {
        match self.hear().await {
            Message::Hello(hello) => {
                self.theirs = Some(hello.challenge);
                hello
            }
            other => panic!("{other:?} where a hello was expected"),
        }
    }

    /// Answers a sign-in.
    pub(crate) async fn prove(&mut self) {
        self.prove_with(&key(99)).await;
    }

    pub(crate) async fn prove_with(&mut self, signer: &SigningKey) {
        let (ledger, challenge) = (genesis().ledger_id(), self.theirs.unwrap());
        let hub = key(99).public();
        let sign_in = SignIn { ledger, hub, challenge, key: hub, role: Role::Hub };
        let keys = vec![(hub, signer.sign(&sign_in.digest()))];
        self.say(self.hello_with(keys)).await;
    }

    /// The whole sign-in.
    pub(crate) async fn sign_in(&mut self) -> Hello {
        self.hello().await;
        let hello = self.hear_hello().await;
        self.prove().await;
        hello
    }

    pub(crate) async fn hear_sync(&mut self) -> ChannelId {
        match self.hear().await {
            Message::Sync { channel, .. } => channel,
            other => panic!("{other:?} where a sync was expected"),
        }
    }

    pub(crate) async fn say_sync(
        &mut self,
        channel: ChannelId,
        own: SnapshotRef,
        yours: SnapshotRef,
    ) {
        self.say(Message::Sync { channel, own, yours, tip: None }).await;
    }
}
