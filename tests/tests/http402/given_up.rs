//! Requests and answers that nobody waits for to the end, at a server that is honest: what was served is
//! known in the end, what was not comes back, and nothing of it stays ahead.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use client_sdk::http402::{PayingClient, PurseView};
use tests::shop::REQUEST_STEPS;

use super::stage::{Shop, Stage, until};

/// More than what may be ahead, a window at a time.
const ROUNDS: usize = 12;

/// What is neither served nor there for the next.
fn ahead(purse: &PurseView) -> u64 {
    purse.handed - purse.served - purse.spare
}

/// Server and client know of the same, and it can go on.
async fn agree(shop: &Shop, paying: &PayingClient) {
    // A server may not have noticed yet that nobody is there for an answer, and hold its steps for that.
    until("that nothing is ahead", async || {
        paying.get(shop.url("/answer")).await.unwrap();
        paying.purses().await.iter().all(|it| ahead(it) == 0)
    })
    .await;
    for _ in 0..30 {
        paying.get(shop.url("/answer")).await.unwrap();
    }
    let purse = paying.purses().await[0];
    assert_eq!(ahead(&purse), 0);
    assert_eq!(shop.served_and_paid(), (purse.served, purse.handed));
}

/// Gives up where it would be polled once more than this.
async fn polled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| {
        let Some(less) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = less;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_given_up_wear_nothing_out() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    paying.get(shop.url("/answer")).await.unwrap();
    let mut given_up = 0;
    for round in 0..10 * ROUNDS {
        let paid = polled(paying.get(shop.url("/answer")), round % ROUNDS).await;
        given_up += u64::from(paid.is_none());
        assert!(paid.is_none_or(|paid| paid.is_ok()));
    }
    assert!(given_up * u64::from(REQUEST_STEPS) > 64, "{given_up}");
    agree(&shop, &paying).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_on_wear_nothing_out() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    for _ in 0..ROUNDS {
        let mut events = paying.events(shop.url("/words")).await.unwrap();
        events.next().await.unwrap().unwrap();
        drop(events);
        let mut events = paying.events(shop.url("/words")).await.unwrap();
        events.next().await.unwrap().unwrap();
        events.finish().await.unwrap().unwrap();
        let mut bytes = paying.bytes(shop.url("/file")).await.unwrap();
        bytes.chunk().await.unwrap().unwrap();
        drop(bytes);
    }
    agree(&shop, &paying).await;
}

/// A server that has started again counts all that it held as spent. That ends no answer: steps that it
/// does not know of are found out, and others handed over in their place.
#[tokio::test(flavor = "multi_thread")]
async fn steps_that_a_server_forgot_end_no_answer() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (before, paying) = (Shop::open(&bob).await, alice.paying());
    // An error costs nothing, and leaves three for the next.
    paying.get(before.url("/broken")).await.unwrap();
    assert_eq!(paying.purses().await[0].spare, 3);
    let after = before.begun_again(&bob).await;
    let mut events = paying.events(after.url("/words")).await.unwrap();
    for _ in 0..60 {
        events.next().await.unwrap().unwrap();
    }
    events.finish().await.unwrap().unwrap();
    let purse = paying.purses().await[0];
    assert_eq!(ahead(&purse), 3, "they are lost: {purse:?}");
}

/// A server that is at work for long is cut off, and has its steps for the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_given_up_at_work_charges_nothing() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    // More than may be ahead of it: some wait until others are cut off.
    for round in 1..=25 {
        tokio::select! {
            answered = paying.get(shop.url("/never")) => panic!("{answered:?}"),
            () = until("the handler at work", async || shop.made() >= round) => {}
        }
    }
    assert_eq!(paying.purses().await[0].served, 0);
    agree(&shop, &paying).await;
}
