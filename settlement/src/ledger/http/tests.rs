//! The routes over a real socket.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, watch};

use super::super::fixture::*;
use super::super::producer::{Producer, ProducerConfig};
use super::super::service::{Pace, Service, WAIT_MAX, tests::start};
use super::super::store::StoreConfig;
use super::*;
use crate::api::{ChannelPhase, ChannelView, EventsPage, LedgerInfo};
use crate::crypto::VerifyingKey;
use crate::index::{MemoryIndex, Shelf};
use crate::journal::{Disk, FileJournal, Journal, JournalConfig, Kind, MemoryJournal};
use crate::params::Policy;
use crate::state_proof::StateProof;
use crate::types::{ChannelId, Role};

struct Server {
    service: Service,
    address: std::net::SocketAddr,
}

async fn server() -> Server {
    serve(start(&Disk::new(), Pace::ByHand)).await
}

async fn serve(service: Service) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = routes(service.handle()).fallback(no_route);
    tokio::spawn(axum::serve(listener, router).into_future());
    Server { service, address }
}

impl Server {
    /// Status, media type, body.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, Vec<u8>) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        // A server that refuses a body by its length may close before it has read all of it.
        let _ = socket.write_all(request.as_bytes()).await;
        let mut answer = vec![];
        let _ = socket.read_to_end(&mut answer).await;
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let media = head.lines().find_map(|line| line.strip_prefix("content-type: "));
        (status, media.unwrap_or("").to_owned(), answer[end + 4..].to_vec())
    }

    async fn json(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, media, body) = self.ask(method, path, &body).await;
        let expected = if status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(media, expected);
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.json("GET", path, Value::Null).await
    }

    async fn block(&self) {
        self.service.handle().produce_now().await.unwrap().unwrap();
    }
}

fn hex_of(tx: &Transaction) -> Value {
    json!({ "transaction": hex::encode(encode(tx)) })
}

#[tokio::test]
async fn a_transaction_goes_in_and_its_events_come_out() {
    let (server, world) = (server().await, World::new());
    let (id, open) = (world.terms().channel_id(), world.open_tx(10));
    let (status, answer) = server.json("POST", "/v1/ledger/transactions", hex_of(&open)).await;
    assert_eq!((status, answer), (200, json!({ "tx": open.id() })));
    server.block().await;

    let (_, page) = server.get("/v1/ledger/events?from=1&max=5").await;
    let page: EventsPage = serde_json::from_value(page).unwrap();
    let raw = server.ask("GET", "/v1/ledger/events?from=1&format=postcard", "").await;
    assert_eq!((raw.0, raw.1.as_str()), (200, POSTCARD));
    assert_eq!(decode::<Vec<BlockEvents>>(&raw.2).unwrap(), page.blocks);
    assert_eq!(page.blocks[0].events[0].channel(), Some(id));

    let (_, channel) = server.get(&format!("/v1/ledger/channels/{id}")).await;
    let channel: ChannelView = serde_json::from_value(channel).unwrap();
    assert_eq!((channel.terms, channel.phase), (world.terms(), ChannelPhase::Open));
    let (_, shown) = server.get(&format!("/v1/ledger/proofs/{id}")).await;
    let shown: StateProof = serde_json::from_value(shown).unwrap();
    let key = VerifyingKey::parse(&ledger_key().public()).unwrap();
    let leaf = shown.verify(&world.ledger.id(), &key, &id).unwrap();
    assert_eq!((leaf.deposited.wallet.0, leaf.payout().wallet.0), (10, 10));
    let (_, account) = server.get(&format!("/v1/ledger/accounts/{}", world.wallet.public())).await;
    assert_eq!((&account["nonce"], &account["balances"][0]["amount"]), (&json!(1), &json!("990")));
    let (_, block) = server.get("/v1/ledger/blocks/1").await;
    let block: crate::block::Block = serde_json::from_value(block).unwrap();
    assert_eq!(block.transactions, [open]);
    let (_, info) = server.get("/v1/ledger/info").await;
    let info: LedgerInfo = serde_json::from_value(info).unwrap();
    assert_eq!((info.genesis, info.tip), (genesis(), Some(block.header)));
    server.service.stop().await;
}

#[tokio::test]
async fn the_faucet_pays() {
    let server = server().await;
    let to = key(5).public();
    let body = json!({ "account": to, "asset": 0, "amount": "25" });
    assert_eq!(server.json("POST", "/v1/ledger/faucet", body).await.0, 200);
    server.block().await;
    let (_, account) = server.get(&format!("/v1/ledger/accounts/{to}")).await;
    assert_eq!(account["balances"], json!([{ "asset": 0, "amount": "25" }]));
    server.service.stop().await;
}

#[tokio::test]
async fn refusals_are_problems_with_their_number() {
    let (server, world) = (server().await, World::new());
    let transactions = "/v1/ledger/transactions";
    let nowhere = world.close(ChannelId([1; 32]), Role::Hub);
    let nowhere_path = format!("/v1/ledger/channels/{}", ChannelId([1; 32]));
    let zero = json!({ "account": key(5).public(), "asset": 0, "amount": "0" });
    let huge = json!({ "transaction": "0".repeat(BODY_BYTES_MAX) });
    let table = [
        ("POST", transactions, hex_of(&nowhere), 404, Code::NoSuchChannel),
        ("POST", transactions, json!({ "transaction": "zz" }), 400, Code::MalformedTransaction),
        ("POST", transactions, json!({ "transaction": "00" }), 400, Code::MalformedTransaction),
        ("POST", transactions, json!({ "tx": "00" }), 400, Code::MalformedRequest),
        ("POST", transactions, huge, 413, Code::TxTooLarge),
        ("POST", "/v1/ledger/faucet", zero, 422, Code::TxZeroAmount),
        ("GET", "/v1/ledger/blocks/1", Value::Null, 404, Code::NotFound),
        ("GET", "/v1/ledger/blocks/x", Value::Null, 400, Code::MalformedRequest),
        ("GET", &nowhere_path, Value::Null, 404, Code::NoSuchChannel),
        ("GET", "/v1/ledger/accounts/00", Value::Null, 400, Code::MalformedRequest),
        ("GET", "/v1/ledger/events", Value::Null, 400, Code::MalformedRequest),
        ("GET", "/v1/ledger/events?from=1&size=1", Value::Null, 400, Code::MalformedRequest),
        ("GET", "/v1/ledger/nothing", Value::Null, 404, Code::NotFound),
    ];
    for (method, path, body, status, code) in table {
        let (found, problem) = server.json(method, path, body).await;
        assert_eq!(found, status, "{path}: {problem}");
        let problem: Problem = serde_json::from_value(problem).unwrap();
        let expected = Problem::new(code, problem.detail.clone());
        assert_eq!(problem, expected, "{path}");
    }
    server.service.stop().await;
}

/// A ledger in files whose clock runs, with more blocks than it keeps in memory.
async fn old_ledger(dir: &std::path::Path) -> Server {
    let (disk, shelf) = (Disk::new(), Shelf::new());
    let store = StoreConfig { recent_blocks: 16, ..StoreConfig::default() };
    let config = ProducerConfig { store, ..ProducerConfig::default() };
    let open = |journal: Box<dyn Journal>| {
        let index = Box::new(MemoryIndex::open(&shelf));
        Producer::open(genesis(), ledger_key(), journal, index, config).unwrap()
    };
    let mut producer = open(Box::new(MemoryJournal::open(&disk).unwrap()));
    for _ in 0..20_000 {
        let time = producer.next_time_ms();
        producer.produce(time).unwrap().unwrap();
    }
    producer.checkpoint();
    drop(producer);
    // Into files, with a sync for every 64 blocks only: the disk is not what is tested.
    let mut files = FileJournal::open(dir, JournalConfig::new(Kind::new("ledger"))).unwrap();
    let blocks = MemoryJournal::open(&disk).unwrap();
    let copied = blocks.replay(0, &mut |lsn, record| {
        files.append(record).unwrap();
        if lsn % 64 == 0 {
            files.sync().unwrap();
        }
        Ok(())
    });
    copied.unwrap();
    files.sync().unwrap();
    serve(Service::start(open(Box::new(files)), Pace::Clock).unwrap()).await
}

/// Asks for old blocks again and again over one connection, until it is told to stop.
async fn flood(
    address: std::net::SocketAddr,
    path: &str,
    under_way: Arc<Barrier>,
    stop: watch::Receiver<bool>,
) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut answer = vec![0; 256 << 10];
    under_way.wait().await;
    while !*stop.borrow() {
        socket.write_all(request.as_bytes()).await.unwrap();
        assert!(socket.read(&mut answer).await.unwrap() > 0);
    }
}

/// As many connections that ask for old blocks without a pause, and a transaction among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_in_a_block_in_time_while_history_is_flooded() {
    const CONNECTIONS: usize = 256;
    let dir = tempfile::tempdir().unwrap();
    let server = old_ledger(dir.path()).await;
    let (stop, stopped) = watch::channel(false);
    let paths = ["/v1/ledger/blocks/19000", "/v1/ledger/events?from=18000&max=16"];
    let floods = paths.into_iter().cycle().take(CONNECTIONS);
    let under_way = Arc::new(Barrier::new(CONNECTIONS + 1));
    let flood = |path| flood(server.address, path, Arc::clone(&under_way), stopped.clone());
    let floods: Vec<_> = floods.map(|path| tokio::spawn(flood(path))).collect();
    under_way.wait().await;
    // As many questions again as there are connections have been asked.
    server.get("/v1/ledger/blocks/19500").await;
    let (world, ledger) = (World::new(), server.service.handle());
    let id = world.terms().channel_id();
    let before = *ledger.height().borrow();
    let submit = server.json("POST", "/v1/ledger/transactions", hex_of(&world.open_tx(10)));
    let (status, answer) = submit.await;
    assert_eq!(status, 200, "{answer}");
    let mut next = before.after(1);
    let opened = 'found: loop {
        for block in ledger.events_from(next, 64, WAIT_MAX).await.unwrap() {
            if block.events.iter().any(|event| event.channel() == Some(id)) {
                break 'found next;
            }
            next = next.after(1);
        }
    };
    stop.send(true).unwrap();
    let (taken, delay) = (opened.0 - before.0, Policy::for_genesis(&genesis()).inclusion_delay);
    assert!(taken <= delay, "it took {taken} blocks, and {delay} are allowed for");
    for flood in floods {
        flood.await.unwrap();
    }
    server.service.stop().await;
}
