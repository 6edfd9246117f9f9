//! Over HTTP/2: many requests share a connection, and one answer of them is given up alone.

use std::cell::Cell;

use axum::http::Version;
use axum::http::header::AUTHORIZATION;
use client_sdk::http402::{Action, PayingClient};
use client_sdk::payload::StreamId;
use client_sdk::relay::StepToken;
use futures_util::future::join_all;
use reqwest::Response;
use tests::shop::{FEW, REQUEST_STEPS};

use super::stage::{Shop, Stage, key, limits, plain, until};
use super::thief::{Forged, Forger, stream_to};

/// About how many bytes of an answer are sent before any of them is read.
const WINDOW: u32 = 128;

fn client() -> reqwest::Client {
    drop(plain());
    let client = reqwest::Client::builder().http2_prior_knowledge();
    client.http2_initial_stream_window_size(WINDOW).build().unwrap()
}

fn all_over_http2(shop: &Shop) -> bool {
    let seen = shop.seen.lock().unwrap();
    !seen.is_empty() && seen.iter().all(|seen| seen.version == Version::HTTP_2)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_events_are_paid_as_over_any_other_connection() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let shop = Shop::open(&bob).await;
    let paying = PayingClient::with(client(), alice.wallet.clone(), limits());
    for answer in join_all((0..5).map(|_| paying.get(shop.url("/answer")))).await {
        let receipt = answer.unwrap().receipt.unwrap();
        assert_eq!(receipt.body.steps, u64::from(REQUEST_STEPS));
    }
    let mut events = paying.events(shop.url("/few")).await.unwrap();
    for _ in 0..FEW {
        events.next().await.unwrap().unwrap();
    }
    let receipt = events.finish().await.unwrap().unwrap();
    assert_eq!(receipt.body.steps, FEW);
    assert_eq!(shop.served_and_paid().0, 5 * u64::from(REQUEST_STEPS) + FEW);
    assert!(all_over_http2(&shop));
}

/// Words in what has come of an answer so far.
fn words(read: &[u8]) -> usize {
    String::from_utf8_lossy(read).matches("data: word-").count()
}

async fn read_on(answer: &mut Response, read: &mut Vec<u8>) {
    read.extend(answer.chunk().await.unwrap().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_reset_in_the_middle_costs_what_was_sent_and_ends_no_other() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let shop = Shop::open(&bob).await;
    let forger = Forger::at(&stage, &shop, &bob, "/words").await;
    let (to_bob, stream) = stream_to(&alice, &bob).await;
    let tokens = to_bob.advance(100).await.unwrap();
    let client = client();
    let ask = |tokens: &[StepToken], steps, number| {
        let forged = forged(stream, tokens, steps, number);
        let header = forger.header(&forged, Action::Open, "GET");
        client.get(shop.url("/words")).header(AUTHORIZATION, header).send()
    };
    let mut first = ask(&tokens, 60, 1).await.unwrap();
    let mut second = ask(&[], 40, 2).await.unwrap();
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    read_on(&mut first, &mut of_first).await;
    drop(first);
    while words(&of_second) < 40 {
        read_on(&mut second, &mut of_second).await;
    }
    // What the first had not used is the payer's again, for a third.
    let left = || {
        let (served, paid) = shop.served_and_paid();
        assert!(served < paid, "some of the first is left: {served} of {paid}");
        u32::try_from(paid - served).unwrap()
    };
    let (number, third) = (Cell::new(2), Cell::new(None));
    until("what the first had to be back", async || {
        number.set(number.get() + 1);
        let answer = ask(&[], left(), number.get()).await.unwrap();
        let served = answer.status().is_success();
        third.set(Some(answer));
        served
    })
    .await;
    let (mut third, mut of_third) = (third.into_inner().unwrap(), Vec::new());
    while words(&of_third) == 0 {
        read_on(&mut third, &mut of_third).await;
    }
    drop((second, third));
    let served = || u64::try_from(words(&of_first) + 40 + words(&of_third)).unwrap();
    let made = shop.made();
    let (charged, paid) = shop.served_and_paid();
    assert!(served() <= charged && charged <= paid && paid == 100, "{charged} of {paid}");
    assert!(made <= charged + 3, "an answer is one word ahead of what is paid");
    assert!(all_over_http2(&shop));
}

fn forged(stream: StreamId, tokens: &[StepToken], steps: u32, number: u8) -> Forged {
    let (payer, tokens) = (key(1).public(), tokens.to_vec());
    Forged { stream, payer, tokens, steps, nonce: number, session: number }
}
