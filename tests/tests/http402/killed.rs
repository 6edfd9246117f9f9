//! A server that is killed in the middle of an answer, and starts again.

use serde_json::{Value, json};
use settlement::types::Amount;
use tests::process::child::Child;
use tests::process::wallet::amount;
use tests::process::{BLOCKS_PATIENCE, PATIENCE};
use tests::shop::UNIT;

use super::stage::{DEPOSIT, Stage, key, until};

/// The payee's key.
const PAYEE: u8 = 2;

pub(super) struct Shop {
    pub(super) process: Child,
    pub(super) address: String,
}

impl Shop {
    pub(super) fn start(stage: &Stage, listen: &str) -> Shop {
        let store = stage.path("shop").display().to_string();
        let deposit = DEPOSIT.to_string();
        let number = PAYEE.to_string();
        let args = ["--store", &store, "--hub", &stage.hub.url, "--key", &number];
        let args = [&args[..], &["--listen", listen, "--deposit", &deposit]].concat();
        let program = env!("CARGO_BIN_EXE_test-shop").as_ref();
        let process = Child::start_told("shop", program, &args);
        let serving = |line: &Value| line["serving"].is_string();
        let (line, _) = process.wait_for("that it serves", 0, BLOCKS_PATIENCE, serving);
        Shop { process, address: line["serving"].as_str().unwrap().to_owned() }
    }

    fn ask(&mut self, order: &str, field: &str) -> Value {
        let from = self.process.printed();
        self.process.tell(&json!(order));
        let answers = |line: &Value| line.get(field).is_some();
        self.process.wait_for(field, from, PATIENCE, answers).0
    }

    /// Steps that it holds, in all.
    fn paid(&mut self) -> u64 {
        let report = self.ask("report", "streams");
        let streams = report["streams"].as_array().unwrap();
        streams.iter().map(|stream| stream["paid"].as_u64().unwrap()).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_in_mid_stream_has_all_that_it_was_shown() {
    let stage = Stage::new();
    let alice = stage.member(1).await;
    let account = key(PAYEE).public();
    tokio::task::block_in_place(|| stage.hub.http.faucet(&account, Amount(DEPOSIT)));
    let mut shop = tokio::task::block_in_place(|| Shop::start(&stage, "127.0.0.1:0"));
    let url = |shop: &Shop| format!("http://{}/words", shop.address).parse().unwrap();
    let paying = alice.paying();
    let mut events = paying.events(url(&shop)).await.unwrap();
    let mut read = 0;
    let broke = loop {
        match events.next().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the words do not end"),
            Err(error) => break error,
        }
        if read == 100 {
            tokio::task::block_in_place(|| shop.process.kill());
        }
    };
    drop(events);
    let handed = paying.purses().await[0].handed;
    assert!(read >= 100 && handed >= read, "{read} of {handed}: {broke}");

    let address = shop.address.clone();
    let mut shop = tokio::task::block_in_place(|| Shop::start(&stage, &address));
    let held = tokio::task::block_in_place(|| shop.paid());
    assert!(held >= read, "it has served {read}, so it had {read}: {held}");
    assert!(held <= handed, "{held} of {handed}");

    // It goes on, over the same stream. What it was ahead by is the client's loss, within its limits.
    let mut events = paying.events(url(&shop)).await.unwrap();
    for _ in 0..100 {
        events.next().await.unwrap().unwrap();
    }
    events.stop();
    let mut more = 100;
    while events.next().await.unwrap().is_some() {
        more += 1;
    }
    let receipt = events.finish().await.unwrap().unwrap();
    assert_eq!((receipt.body.steps, receipt.body.served), (more, more), "what it sold since");
    let purse = paying.purses().await[0];
    assert_eq!(receipt.body.paid, purse.handed);
    assert_eq!(purse.served, read + more);
    let lost = purse.handed - purse.served - purse.spare;
    assert!(lost <= held - read, "{lost} lost, {held} held, {read} read: {purse:?}");
    assert!(purse.handed - purse.served <= 64, "{purse:?}");

    let ended = paying.close().await.unwrap();
    assert_eq!((ended.len(), ended[0].settled), (1, purse.handed));
    assert_eq!(alice.locked().await, 0);
    let closed = tokio::task::block_in_place(|| shop.ask("close", "closed"));
    assert_eq!(amount(&closed["closed"]).0, DEPOSIT + purse.handed * UNIT.0);
    let fees = ended[0].fees.0;
    alice.wallet.close(alice.channel).await.unwrap();
    let left = DEPOSIT - purse.handed * UNIT.0 - fees;
    let http = stage.hub.http.clone();
    let alices = key(1).public();
    let held = async || {
        let http = http.clone();
        let held = tokio::task::spawn_blocking(move || http.balance(&alices)).await.unwrap();
        held == Amount(left)
    };
    until("the payout", held).await;
}
