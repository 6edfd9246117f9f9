//! The smallest HTTP client that does: one request, one connection. It can also say things that no
//! well-behaved client would.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::types::{Amount, AssetId, ChannelId, Height, PublicKey};

use super::{PATIENCE, eventually};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Panics
    /// When it was refused, or the body is no such thing.
    pub fn ok<T: DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..300).contains(&self.status), "refused with {}: {text}", self.status);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The problem of a refusal.
    ///
    /// # Panics
    /// When it succeeded, or is no well-formed problem whose status is the answer's own.
    pub fn problem(&self) -> Problem {
        let text = String::from_utf8_lossy(&self.body);
        assert!(self.status >= 400, "not refused: {text}");
        assert_eq!(self.content_type, "application/problem+json", "{text}");
        let read = serde_json::from_slice(&self.body);
        let problem: Problem = read.unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(problem.status, self.status, "{text}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{text}");
        problem
    }
}

/// A server at an address, such as `http://127.0.0.1:7400`.
#[derive(Clone, Debug)]
pub struct Http {
    host: String,
}

impl Http {
    /// The server there.
    ///
    /// # Panics
    /// When the address does not start with `http://`.
    pub fn new(url: &str) -> Http {
        let host = url.strip_prefix("http://").unwrap_or_else(|| panic!("`{url}` is no address"));
        Http { host: host.trim_end_matches('/').to_owned() }
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// One request, if there is anybody to answer it.
    pub fn try_request(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // A server that refuses a body unread may close before all of it is written.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        if bytes.is_empty() {
            read?;
        }
        parse(&bytes).ok_or_else(|| std::io::Error::other("no HTTP answer"))
    }

    /// One request.
    ///
    /// # Panics
    /// When nobody answers.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let answer = self.try_request(method, path, body);
        answer.unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.host))
    }

    /// The answer to a `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    /// The answer to a `POST` of this body in JSON.
    ///
    /// # Panics
    /// When the body can't be written as JSON.
    pub fn post<T: Serialize>(&self, path: &str, body: &T) -> Answer {
        self.request("POST", path, &serde_json::to_vec(body).unwrap())
    }

    /// `GET /v1/ledger/info`.
    pub fn ledger_info(&self) -> LedgerInfo {
        self.get("/v1/ledger/info").ok()
    }

    /// The ledger's newest height.
    pub fn height(&self) -> Height {
        self.ledger_info().tip.map_or(Height(0), |tip| tip.header.height)
    }

    /// Waits until the ledger has come this far.
    pub fn wait_height(&self, height: Height) {
        let what = format!("block {height}");
        eventually(&what, super::BLOCKS_PATIENCE, || (self.height() >= height).then_some(()));
    }

    /// `GET /v1/ledger/accounts/{key}`.
    pub fn account(&self, key: &PublicKey) -> AccountView {
        self.get(&format!("/v1/ledger/accounts/{key}")).ok()
    }

    /// What an account holds of the first asset.
    pub fn balance(&self, key: &PublicKey) -> Amount {
        let balances = self.account(key).balances;
        let held = balances.iter().find(|held| held.asset == AssetId(0));
        held.map_or(Amount::ZERO, |held| held.amount)
    }

    /// `GET /v1/ledger/channels/{id}`.
    pub fn channel(&self, id: &ChannelId) -> ChannelView {
        self.get(&format!("/v1/ledger/channels/{id}")).ok()
    }

    /// Every block so far, as its followers see it.
    pub fn blocks(&self) -> Vec<BlockEvents> {
        let mut blocks: Vec<BlockEvents> = Vec::new();
        loop {
            let from = blocks.len() + 1;
            let page: Value = self.get(&format!("/v1/ledger/events?from={from}")).ok();
            let more: Vec<BlockEvents> = serde_json::from_value(page["blocks"].clone()).unwrap();
            if more.is_empty() {
                return blocks;
            }
            blocks.extend(more);
        }
    }

    /// All money of the first asset that ever came into being for this account.
    pub fn issued_to(&self, key: &PublicKey) -> Amount {
        let genesis = self.ledger_info().genesis;
        let allocated = genesis.allocations.iter().filter(|a| a.account == *key);
        let allocated: u64 = allocated.map(|a| a.amount.0).sum();
        let blocks = self.blocks();
        let minted = blocks.iter().flat_map(|block| &block.events).map(|event| match event {
            LedgerEvent::Minted { to, amount, .. } if to == key => amount.0,
            _ => 0,
        });
        Amount(allocated + minted.sum::<u64>())
    }

    /// Has the faucet give and waits until the account holds it.
    pub fn faucet(&self, account: &PublicKey, amount: Amount) {
        let before = self.balance(account);
        let body = serde_json::json!({ "account": account, "asset": 0, "amount": amount });
        let _: Value = self.post("/v1/ledger/faucet", &body).ok();
        let there = || (self.balance(account).0 >= before.0 + amount.0).then_some(());
        eventually("the faucet", PATIENCE, there);
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|at| at == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
    let body = &bytes[end + 4..];
    let chunked = header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
    let body = if chunked { unchunk(body)? } else { body.to_vec() };
    let content_type = header("content-type").unwrap_or_default().to_owned();
    Some(Answer { status, content_type, body })
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|at| at == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + length)?);
        body = body.get(end + 4 + length..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_a_length_and_in_chunks() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\nContent-Type: a/b\r\n\r\nhi").unwrap();
        assert_eq!((plain.status, plain.content_type.as_str()), (404, "a/b"));
        assert_eq!(plain.body, b"hi");
        let chunks = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        assert_eq!(parse(chunks).unwrap().body, b"hi");
    }
}
