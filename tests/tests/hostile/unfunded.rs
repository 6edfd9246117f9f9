//! Channels that nobody can pay for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId};
use tests::process::stage::Stage;

use super::{DEPOSIT, all_is_well, median, pay, resident_kib};

/// Requests, unless `PAYHUB_UNFUNDED` says otherwise.
const REQUESTS: usize = 10_000;
/// Different ones among them.
const DIFFERENT: usize = 1_000;
const SOCKETS: usize = 8;
/// Requests that are on their way on one socket.
const AT_ONCE: usize = 25;

/// Openings, each signed by the account that has nothing to open them with.
fn openings(stage: &Stage) -> Vec<String> {
    let info = stage.mallory.info();
    let opening = |number: usize| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let key = SigningKey::from_bytes(secret).unwrap();
        let terms = OpenTerms {
            ledger: info.ledger,
            asset: AssetId(0),
            wallet: key.public(),
            hub: info.hub,
            challenge_blocks: info.policy.challenge_blocks,
            nonce: 0,
        };
        let action = AccountAction::Open { terms, deposit: Amount(1_000_000) };
        let body = AccountTx { ledger: info.ledger, account: key.public(), nonce: 0, action };
        let transaction = hex::encode(encode(&Transaction::account(&key, body)));
        let body = json!({ "transaction": transaction }).to_string();
        let length = body.len();
        format!(
            "POST /v1/channels HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    };
    (0..DIFFERENT).map(opening).collect()
}

/// The code of the next refusal.
fn refusal(reader: &mut BufReader<TcpStream>) -> u64 {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    problem["code"].as_u64().unwrap()
}

/// Asks until all have asked so often, and each is refused for the same reason.
fn ask(host: &str, requests: &[String], asked: &AtomicUsize, count: usize) {
    let mut stream = TcpStream::connect(host).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let first = asked.fetch_add(AT_ONCE, Ordering::Relaxed);
        if first >= count {
            return;
        }
        let text: String =
            (first..first + AT_ONCE).map(|at| requests[at % requests.len()].as_str()).collect();
        stream.write_all(text.as_bytes()).unwrap();
        for _ in 0..AT_ONCE {
            let code = refusal(&mut reader);
            assert_eq!(code, u64::from(Code::InsufficientFunds.number()));
        }
    }
}

#[test]
fn openings_without_money_are_all_refused_and_hold_up_nobody_and_no_memory() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let count = std::env::var("PAYHUB_UNFUNDED").map_or(REQUESTS, |text| text.parse().unwrap());
    let requests = openings(&stage);
    let (host, asked) = (stage.hub.http.host().to_owned(), AtomicUsize::new(0));
    // What it needs for as many connections and a first round is not counted.
    ask(&host, &requests, &asked, DIFFERENT);
    let before = resident_kib(stage.hub.process.id());
    let alone = median((0..15).map(|number| pay(&mut stage, number)).collect());

    asked.store(0, Ordering::Relaxed);
    let mut times = Vec::new();
    std::thread::scope(|scope| {
        let crowd: Vec<_> =
            (0..SOCKETS).map(|_| scope.spawn(|| ask(&host, &requests, &asked, count))).collect();
        let mut number = 100;
        while !crowd.iter().all(|asker| asker.is_finished()) {
            times.push(pay(&mut stage, number));
            number += 1;
        }
    });
    let grown = resident_kib(stage.hub.process.id()).saturating_sub(before);
    let among_them = median(times.clone());
    println!(
        "{count} openings; {} payments meanwhile: median {among_them:?}, alone {alone:?}; the hub has \
         grown by {grown} KiB",
        times.len()
    );
    assert!(among_them < alone * 20 + std::time::Duration::from_millis(200), "{among_them:?}");
    assert!(grown < 64 << 10, "the hub has grown by {grown} KiB");
    all_is_well(&mut stage);
}
