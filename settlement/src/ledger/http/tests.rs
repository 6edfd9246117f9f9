//! The routes over a real socket.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::fixture::*;
use super::super::service::{Pace, Service, tests::start};
use super::*;
use crate::api::{ChannelPhase, ChannelView, EventsPage, LedgerInfo};
use crate::crypto::VerifyingKey;
use crate::journal::Disk;
use crate::state_proof::StateProof;
use crate::types::{ChannelId, Role};

struct Server {
    service: Service,
    address: std::net::SocketAddr,
}

async fn server() -> Server {
    let service = start(&Disk::new(), Pace::ByHand);
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
