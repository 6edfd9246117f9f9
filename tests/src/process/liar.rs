//! A hub that lies about what it owes: everything goes to the real one but the question what it
//! counts for a channel, which is answered with what the test wants. Whoever has the hub's key can
//! sign the statement that goes with it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use client_sdk::api::LiabilityAnswer;
use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::liabilities::{Liabilities, LiabilityTree};
use settlement::tx::{AccountAction, AccountTx, Anchoring, Transaction};
use settlement::types::{Amount, AssetId, ChannelId};

use super::PATIENCE;
use super::eventually;
use super::http::Http;

/// An answer, whole: its status, and its body in JSON.
type Lie = Option<(u16, String)>;

/// Where a wallet meets the lying hub.
pub struct Liar {
    /// The address that the wallet is given.
    pub url: String,
    lie: Arc<Mutex<Lie>>,
}

impl Liar {
    /// A hub that is the one at `host` but for its lies; it tells none yet.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn before(host: &str) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (host, lie) = (host.to_owned(), Arc::<Mutex<Lie>>::default());
        let told = lie.clone();
        std::thread::spawn(move || {
            for wallet in listener.incoming().map_while(Result::ok) {
                let Ok(hub) = TcpStream::connect(&host) else { continue };
                let (back, wallet_back) = (hub.try_clone().unwrap(), wallet.try_clone().unwrap());
                let told = told.clone();
                std::thread::spawn(move || ask(wallet, hub, &told));
                std::thread::spawn(move || pass_on(back, wallet_back));
            }
        });
        Liar { url, lie }
    }

    /// What it shows from now on for every channel's leaf.
    pub fn shows(&self, answer: &LiabilityAnswer) {
        *self.lie.lock().unwrap() = Some((200, serde_json::to_string(answer).unwrap()));
    }

    /// It says from now on that there is nothing to show.
    pub fn denies(&self, problem: &settlement::api::Problem) {
        let text = serde_json::to_string(problem).unwrap();
        *self.lie.lock().unwrap() = Some((problem.status, text));
    }

    /// It says from now on what the hub says.
    pub fn is_honest(&self) {
        *self.lie.lock().unwrap() = None;
    }
}

/// Signs on the ledger, with the hub's key, that it owes this in these channels; what it can show of
/// each then.
///
/// # Panics
/// When the ledger does not take it.
pub fn states(
    ledger: &Http,
    key: &SigningKey,
    leaves: &[(ChannelId, Amount)],
) -> impl Fn(&ChannelId) -> LiabilityAnswer + use<> {
    let tree = LiabilityTree::new(leaves.to_vec()).expect("small sums");
    let (root, total) = tree.root();
    let (as_of, asset) = (ledger.height(), AssetId(0));
    let liabilities = Liabilities { as_of, asset, root, total };
    let hub = ledger.account(&key.public());
    let epoch = hub.lease.expect("it is a hub").epoch;
    let action = AccountAction::Anchor(Anchoring { epoch, entries: Vec::new(), liabilities });
    let id = ledger.ledger_info().ledger;
    let body = AccountTx { ledger: id, account: hub.account, nonce: hub.nonce, action };
    let transaction = hex::encode(encode(&Transaction::account(key, body)));
    let _: SubmitAnswer =
        ledger.post("/v1/ledger/transactions", &SubmitRequest { transaction }).ok();
    let event =
        settlement::block::LedgerEvent::LiabilitiesAnchored { hub: hub.account, liabilities };
    let block = eventually("the statement in a block", PATIENCE, || {
        let blocks = ledger.blocks();
        let block = blocks.iter().find(|block| block.events.contains(&event));
        block.map(|block| block.header.header.height)
    });
    move |channel| {
        let proof = tree.proof_of(channel).expect("a leaf of it");
        LiabilityAnswer { liabilities, proof, block: Some(block) }
    }
}

/// From the wallet to the hub. A request is in one piece, and the next comes after its answer.
fn ask(mut wallet: TcpStream, mut hub: TcpStream, lie: &Mutex<Lie>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = wallet.read(&mut bytes) {
        let first_line = bytes[..count].split(|byte| *byte == b'\r').next().unwrap_or_default();
        let asks = first_line.starts_with(b"GET /v1/channels/")
            && first_line.windows(11).any(|at| at == b"/liability ");
        let lie = lie.lock().unwrap().clone().filter(|_| asks);
        let passed = match lie {
            None => hub.write_all(&bytes[..count]),
            Some((status, body)) => {
                let kind = if status == 200 { "json" } else { "problem+json" };
                let head = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-type: application/{kind}\r\n\
                     content-length: {}\r\n\r\n",
                    body.len()
                );
                wallet.write_all((head + &body).as_bytes())
            }
        };
        if passed.is_err() {
            break;
        }
    }
    end(&wallet, &hub);
}

fn pass_on(mut hub: TcpStream, mut wallet: TcpStream) {
    let _ = std::io::copy(&mut hub, &mut wallet);
    end(&wallet, &hub);
}

/// Either may be gone already.
fn end(wallet: &TcpStream, hub: &TcpStream) {
    let _ = (wallet.shutdown(Shutdown::Both), hub.shutdown(Shutdown::Both));
}
