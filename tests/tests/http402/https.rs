//! A shop behind TLS, with a certificate of a private authority.

use client_sdk::http402::{PayError, PayingClient, TillOptions};
use client_sdk::trust::Trust;
use reqwest::Url;
use tests::shop::{FEW, REQUEST_STEPS};
use tokio::net::TcpListener;

use super::authority::Authority;
use super::stage::{Shop, Stage, limits};

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_behind_tls_is_paid_as_any_other() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let authority = tokio::task::block_in_place(|| Authority::new(stage.dir.path()));
    let (outer, address) = authority.listen();
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let within = inner.local_addr().unwrap();
    authority.forward(outer, within);
    let shop = Shop::open_at(&bob, TillOptions::default(), inner, address.to_string());
    let url = |path: &str| format!("https://{address}{path}").parse::<Url>().unwrap();
    // Nobody is believed to be that server, and nothing is paid.
    let stranger = alice.paying().get(url("/answer")).await;
    assert!(matches!(stranger, Err(PayError::Http(_))), "{stranger:?}");
    assert_eq!(shop.seen.lock().unwrap().len(), 0);

    let trust = Trust::with_authority(&authority.file).unwrap();
    let paying = PayingClient::trusting(alice.wallet.clone(), limits(), &trust).unwrap();
    let receipt = paying.get(url("/answer")).await.unwrap().receipt.unwrap();
    assert_eq!(receipt.body.steps, u64::from(REQUEST_STEPS));
    let mut events = paying.events(url("/few")).await.unwrap();
    let mut read = 0;
    while events.next().await.unwrap().is_some() {
        read += 1;
    }
    assert_eq!((read, events.finish().await.unwrap().unwrap().body.steps), (FEW, FEW));
    let served = u64::from(REQUEST_STEPS) + FEW;
    assert_eq!(shop.served_and_paid().0, served);
    // Its demand is for that server, and not for the one behind it, which nobody can be sure of.
    let inside = format!("http://{within}/answer").parse().unwrap();
    let refused = paying.get(inside).await;
    assert!(matches!(refused, Err(PayError::Demand(_))), "{refused:?}");
    tokio::task::block_in_place(|| drop(authority));
}
