//! A payee that is there, as far as the hub can see, and says nothing.

use std::time::Duration;

use client_sdk::client::StreamOptions;
use client_sdk::http402::{Limits, PayError, PayingClient};
use serde_json::json;
use settlement::reject::Code;
use settlement::types::Amount;
use tests::process::PATIENCE;
use tests::shop::UNIT;

use super::killed::Shop as Apart;
use super::limits::{Manner, greedy};
use super::stage::{ASSET, DEPOSIT, Shop, Stage, key, limits, until};

/// What the payee's key is made of.
const SILENT: u8 = 2;

/// A shop in a process of its own that stands still from now on.
fn frozen(stage: &Stage) -> Apart {
    let shop = running(stage);
    shop.process.freeze();
    shop
}

fn running(stage: &Stage) -> Apart {
    tokio::task::block_in_place(|| {
        stage.hub.http.faucet(&key(SILENT).public(), Amount(DEPOSIT));
        Apart::start(stage, "127.0.0.1:0")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_does_not_answer_keeps_nobody_else_waiting() {
    let stage = Stage::new();
    let (alice, carol) = (stage.member(1).await, stage.member(3).await);
    let (_silent, shop) = (frozen(&stage), Shop::open(&carol).await);
    let url = greedy(&stage, key(SILENT).public(), Manner::Denies, |_, _| {}).await;
    let paying = alice.paying();
    let other = async {
        until("money to be locked for who is silent", async || alice.locked().await > 0).await;
        for _ in 0..3 {
            paying.get(shop.url("/answer")).await.unwrap();
        }
        assert_eq!(paying.purses().await.len(), 1);
    };
    tokio::select! {
        biased;
        refused = paying.get(url) => panic!("it was not waited for: {refused:?}"),
        () = other => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_two_locks_are_kept_by_a_payee_that_does_not_answer() {
    let stage = Stage::new();
    let alice = stage.member(1).await;
    let silent = frozen(&stage);
    let payee = key(SILENT).public();
    for _ in 0..2 {
        let options = StreamOptions::new(payee, ASSET, UNIT);
        let patience = Duration::from_millis(100);
        let options = StreamOptions { steps: 200, patience, ..options };
        let opened = alice.wallet.open_stream_with(options).await.map(|stream| stream.key());
        assert_eq!(opened.map_err(|error| error.code), Err(Code::Unanswered));
    }
    let locked = alice.locked().await;
    let url = greedy(&stage, payee, Manner::Denies, |_, _| {}).await;
    let refused = alice.paying().get(url.clone()).await;
    let is_silent =
        matches!(&refused, Err(PayError::Wallet(error)) if error.code == Code::Unanswered);
    assert!(is_silent, "{refused:?}");
    assert_eq!(alice.locked().await, locked);
    // It is back, and gives back what it was asked for: money can be locked for it again.
    silent.process.thaw();
    until("the locks to come back", async || alice.locked().await == 0).await;
    let answer = alice.paying().get(url).await;
    assert!(matches!(answer, Err(PayError::Refused { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_streams_are_closed_but_those_to_who_does_not_answer() {
    let stage = Stage::new();
    let (alice, carol, dora) =
        (stage.member(1).await, stage.member(3).await, stage.member(4).await);
    let (shops, mut silent) =
        ([Shop::open(&carol).await, Shop::open(&dora).await], running(&stage));
    let paying = PayingClient::new(alice.wallet.clone(), Limits { window: 3, ..limits() }).unwrap();
    let apart = format!("http://{}/answer", silent.address);
    paying.get(apart.parse().unwrap()).await.unwrap();
    for shop in &shops {
        paying.get(shop.url("/answer")).await.unwrap();
    }
    silent.process.freeze();
    let Err(PayError::Unclosed { ended, left }) = paying.close().await else {
        panic!("it did not answer");
    };
    let mut to: Vec<_> = ended.iter().map(|stream| stream.key.peer).collect();
    to.sort();
    let mut others = [key(3).public(), key(4).public()];
    others.sort();
    assert_eq!(to, others);
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].0.peer, left[0].1.code), (key(SILENT).public(), Code::Unanswered));
    // What can't be closed yet can be later.
    silent.process.thaw();
    let closed = paying.close().await.unwrap();
    assert_eq!(closed.iter().map(|stream| stream.key.peer).collect::<Vec<_>>(), [left[0].0.peer]);
    assert_eq!(alice.locked().await, 0);
    silent.process.tell(&json!("report"));
    let said = |line: &serde_json::Value| line["streams"].is_array();
    let report =
        tokio::task::block_in_place(|| silent.process.wait_for("its streams", 0, PATIENCE, said).0);
    assert_eq!(report["streams"][0]["paid"], 3);
    assert!(paying.close().await.unwrap().is_empty());
}
