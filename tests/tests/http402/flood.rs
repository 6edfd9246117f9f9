//! Payers that come in numbers, to keep others out.

use client_sdk::http402::{PayError, TillOptions};
use tests::shop::REQUEST_STEPS;

use super::stage::{Shop, Stage};

/// Streams that are opened for a request each, and closed: who pays over one that stands is served on,
/// and so is who comes after them.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_have_ended_keep_nobody_out() {
    let stage = Stage::new();
    let (alice, bob, carol) = (stage.member(1).await, stage.member(2).await, stage.member(3).await);
    let options = TillOptions { streams: 3, ..TillOptions::default() };
    let shop = Shop::open_with(&bob, options).await;
    let (customer, flood) = (carol.paying(), alice.paying());
    customer.get(shop.url("/answer")).await.unwrap();
    for _ in 0..6 {
        flood.get(shop.url("/answer")).await.unwrap();
        flood.close().await.unwrap();
        customer.get(shop.url("/answer")).await.unwrap();
    }
    let charged = shop.till.charged();
    assert!(charged.len() <= 3, "{charged:?}");
    let own = charged.iter().find(|it| it.key.peer == carol.wallet.public_key()).unwrap();
    let steps = u64::from(REQUEST_STEPS);
    assert_eq!((own.served, own.paid), (7 * steps, 7 * steps));
    // Streams that stand are not forgotten for one more.
    let (dora, eve) = (stage.member(4).await, stage.member(5).await);
    for member in [&alice, &dora] {
        member.paying().get(shop.url("/answer")).await.unwrap();
    }
    let refused = eve.paying().get(shop.url("/answer")).await;
    let is_busy = matches!(&refused, Err(PayError::Refused { kind, .. }) if kind == "busy");
    assert!(is_busy, "{refused:?}");
    customer.get(shop.url("/answer")).await.unwrap();
    customer.close().await.unwrap();
}
