//! Paying by the request, the event and the byte.

use std::time::{Duration, Instant};

use client_sdk::http402::{NEED_VOUCHER, PayError, TillOptions};
use futures_util::future::join_all;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use serde_json::Value;
use tests::shop::{BYTES, FEW, FILE_BYTES, REQUEST_STEPS, UNIT, word};

use super::stage::{Shop, Stage, key, plain, until};

const STEPS: u64 = REQUEST_STEPS as u64;

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_pay_is_told_what_it_costs() {
    let stage = Stage::new();
    let bob = stage.member(2).await;
    let shop = Shop::open(&bob).await;
    let kinds =
        [("/answer", "request", 3, "6"), ("/words", "event", 1, "2"), ("/file", "bytes", 1, "2")];
    for (path, unit, steps, amount) in kinds {
        let answer = plain().get(shop.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 402, "{path}");
        let headers = answer.headers();
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        let demand = headers[WWW_AUTHENTICATE].to_str().unwrap();
        for part in ["Payment id=", &shop.realm, "method=\"payhub\"", "intent=\"session\""] {
            assert!(demand.contains(part), "{part} in {demand}");
        }
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["type"].as_str().unwrap().ends_with("/payment-required"), "{problem}");
        let terms = &problem["terms"];
        assert_eq!(terms["recipient"], key(2).public().to_string());
        assert_eq!((&terms["amount"], &terms["unitType"]), (&amount.into(), &unit.into()));
        let details = &terms["methodDetails"];
        assert_eq!((&details["steps"], &details["unit"]), (&steps.into(), &"2".into()));
        assert_eq!(details["hub"], stage.hub.key.to_string());
    }
    let free = plain().get(shop.url("/free")).send().await.unwrap();
    assert_eq!(free.text().await.unwrap(), "free");
    assert_eq!(shop.made(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_paid_once_each_and_errors_are_not() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    for number in 1..=3 {
        let paid = paying.get(shop.url("/answer?x=1")).await.unwrap();
        let receipt = paid.receipt.unwrap();
        assert_eq!(paid.response.text().await.unwrap(), format!("for {}", key(1).public()));
        receipt.verify().unwrap();
        let body = &receipt.body;
        assert_eq!((body.steps, body.served, body.paid), (STEPS, number * STEPS, number * STEPS));
        assert_eq!((body.payer, body.payee), (key(1).public(), key(2).public()));
        assert_eq!(body.resource, format!("GET {}/answer?x=1", shop.realm));
        assert_eq!(receipt.amount().0, STEPS * UNIT.0);
    }
    // An error costs nothing: what was handed over for it pays for the next.
    let broken = paying.get(shop.url("/broken")).await.unwrap();
    assert_eq!((broken.response.status().as_u16(), broken.receipt), (500, None));
    paying.get(shop.url("/answer")).await.unwrap();
    assert_eq!(shop.served_and_paid(), (4 * STEPS, 4 * STEPS));
    assert!(paying.get(shop.url("/free")).await.unwrap().receipt.is_none());
    // Twenty at the same time, over the same stream.
    let many = (0..20).map(|_| paying.get(shop.url("/answer")));
    for paid in join_all(many).await {
        assert_eq!(paid.unwrap().receipt.unwrap().body.steps, STEPS);
    }
    assert_eq!(shop.served_and_paid(), (24 * STEPS, 24 * STEPS));
    let purse = paying.purses().await[0];
    assert_eq!((purse.handed, purse.served, purse.spare), (24 * STEPS, 24 * STEPS, 0));
    assert_eq!(bob.wallet.streams().await.unwrap().len(), 1, "one stream for all of it");
}

/// The line that all of this is for.
#[tokio::test(flavor = "multi_thread")]
async fn when_the_reader_stops_all_three_agree_and_the_rest_is_free_within_a_second() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    let mut events = paying.events(shop.url("/words")).await.unwrap();
    let mut read = 0;
    // More than one lock has.
    while let Some(event) = events.next().await.unwrap() {
        assert_eq!(event.data, word(read));
        read += 1;
        if read == 250 {
            events.stop();
        }
    }
    let receipt = events.finish().await.unwrap().unwrap();
    assert!((250..250 + 16).contains(&read), "{read}: what was ahead still comes");
    assert_eq!((receipt.body.steps, receipt.body.paid), (read, read), "the server");
    let purse = paying.purses().await[0];
    assert_eq!((purse.handed, purse.served, purse.spare), (read, read, 0), "the client");
    assert!(alice.locked().await > 0);
    let stopped = Instant::now();
    let ended = paying.close().await.unwrap();
    let free = stopped.elapsed();
    assert_eq!(alice.locked().await, 0);
    assert!(free < Duration::from_secs(1), "the rest came back after {free:?}");
    assert_eq!((ended[0].paid, ended[0].settled), (read, read));
    until("that Bob has all", async || bob.holds().await == bob.begins + read * UNIT.0).await;
    let fees = ended[0].fees.0;
    assert_eq!(alice.holds().await, alice.begins - read * UNIT.0 - fees);
    assert_eq!(stage.owed(&bob.channel), bob.begins + read * UNIT.0, "the hub, to Bob");
    assert_eq!(stage.owed(&alice.channel), alice.begins - read * UNIT.0 - fees, "and to Alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_gives_back_what_it_did_not_use() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    let mut events = paying.events(shop.url("/few")).await.unwrap();
    let mut words = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        words.push(event.data);
    }
    assert_eq!(words, (0..FEW).map(word).collect::<Vec<_>>());
    let receipt = events.finish().await.unwrap().unwrap();
    assert_eq!(receipt.body.steps, FEW);
    let before = paying.purses().await[0];
    assert_eq!(before.spare, before.handed - FEW);
    // Three more steps are wanted, and there already.
    paying.get(shop.url("/answer")).await.unwrap();
    let after = paying.purses().await[0];
    assert_eq!((after.handed, after.served), (before.handed, FEW + STEPS));
    assert_eq!(shop.served_and_paid(), (FEW + STEPS, before.handed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_paid_for_by_the_block_of_bytes() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    let mut body = paying.bytes(shop.url("/file")).await.unwrap();
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    let receipt = body.finish().await.unwrap().unwrap();
    let blocks = FILE_BYTES.div_ceil(BYTES as usize) as u64;
    assert_eq!((bytes, receipt.body.steps), (FILE_BYTES, blocks), "a block that is begun counts");
    assert_eq!(shop.served_and_paid().0, blocks);
    // One that has enough gets what it has paid for.
    let mut body = paying.bytes(shop.url("/file")).await.unwrap();
    let mut bytes = body.chunk().await.unwrap().unwrap().len();
    body.stop();
    while let Some(chunk) = body.chunk().await.unwrap() {
        bytes += chunk.len();
    }
    assert!(bytes < FILE_BYTES, "{bytes}");
    let receipt = body.finish().await.unwrap().unwrap();
    assert_eq!(receipt.body.steps, bytes.div_ceil(BYTES as usize) as u64);
    let wrong = paying.get(shop.url("/file")).await;
    assert!(matches!(wrong, Err(PayError::Demand(_))), "{wrong:?}");
}

/// Who pays slowly is served slowly, and the handler waits; who pays no more is sent away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_makes_no_more_than_is_paid_for() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let options = TillOptions { patience: Duration::from_millis(300), ..TillOptions::default() };
    let (shop, paying) = (Shop::open_with(&bob, options).await, alice.paying());
    let mut events = paying.events(shop.url("/words")).await.unwrap();
    for number in 0..40 {
        events.next().await.unwrap().unwrap();
        let (served, paid) = shop.served_and_paid();
        assert!(served <= paid, "{served} of {paid}");
        assert!(paid <= number + 1 + 16, "{paid}: no more than a window ahead of {number}");
        assert!(shop.made() <= paid + 1, "{} of {paid}: one waits", shop.made());
    }
    events.stop();
    let mut read = 40;
    while events.next().await.unwrap().is_some() {
        read += 1;
    }
    until("the server's patience to end", async || shop.made() > read).await;
    let receipt = events.finish().await.unwrap().unwrap();
    assert_eq!((receipt.body.steps, shop.made()), (read, read + 1));
    assert!(shop.seen.lock().unwrap().iter().any(|seen| seen.method == "HEAD"));
    assert_eq!(NEED_VOUCHER, "payment-need-voucher");
}

/// Credit: so many steps' worth before the first, and never more.
#[tokio::test(flavor = "multi_thread")]
async fn credit_is_given_as_far_as_it_goes() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let options = TillOptions { credit: 4, ..TillOptions::default() };
    let (shop, paying) = (Shop::open_with(&bob, options).await, alice.paying());
    let mut events = paying.events(shop.url("/words")).await.unwrap();
    for _ in 0..30 {
        events.next().await.unwrap().unwrap();
        let (served, paid) = shop.served_and_paid();
        assert!(served <= paid + 4, "{served} of {paid}");
    }
    events.stop();
    while events.next().await.unwrap().is_some() {}
    until("the credit to be used", async || {
        let (served, paid) = shop.served_and_paid();
        served == paid + 4
    })
    .await;
    events.finish().await.unwrap();
    // What was lent is paid with the next.
    paying.get(shop.url("/answer")).await.unwrap();
    let (served, paid) = shop.served_and_paid();
    assert!(served <= paid + 4, "{served} of {paid}");
}
