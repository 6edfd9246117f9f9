//! A client's limits, against servers that ask for too much or take and do not give.

use std::future::pending;

use axum::Router;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use client_sdk::client::{Exposure, WalletHandle};
use client_sdk::http402::{
    Bound, Challenge, Credential, CredentialPayload, Details, INTENT, Limits, METHOD, PayError,
    PayingClient, PaymentKey, Terms,
};
use futures_util::future::join_all;
use reqwest::Url;
use settlement::types::{Amount, LedgerId, PublicKey};
use tests::shop::UNIT;
use tokio::net::TcpListener;

use super::stage::{ASSET, Member, Shop, Stage, key, limits, until};

const BOB: u8 = 2;

/// Never today.
const LATER: &str = "2999-01-01T00:00:00Z";

/// What a bad server does with what it is shown.
#[derive(Clone)]
pub(super) enum Manner {
    /// It says that that was not enough.
    Denies,
    /// It takes the steps for Bob, whose wallet this is, and says the same.
    Takes(WalletHandle),
    /// It says nothing and cuts the connection.
    Cuts,
    /// It says nothing, and goes on so.
    Hangs,
}

/// A server that makes this demand, whatever it is shown.
pub(super) async fn greedy(
    stage: &Stage,
    payee: PublicKey,
    manner: Manner,
    change: impl Fn(&mut Terms, &mut Challenge),
) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let realm = listener.local_addr().unwrap().to_string();
    let ledger: LedgerId = tokio::task::block_in_place(|| stage.hub.info().ledger);
    let (asset, unit, hub) = (ASSET, UNIT, stage.hub.key);
    let details = Details { asset, bytes: None, credit: 0, hub, ledger, steps: 3, unit };
    let mut terms = Terms {
        amount: Amount(UNIT.0 * 3),
        currency: "EUR".to_owned(),
        details,
        recipient: payee,
        unit_type: "request".to_owned(),
    };
    let mut challenge = Challenge {
        id: "id".to_owned(),
        realm: realm.clone(),
        method: METHOD.to_owned(),
        intent: INTENT.to_owned(),
        request: String::new(),
        expires: LATER.to_owned(),
    };
    change(&mut terms, &mut challenge);
    use base64::Engine;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    challenge.request = engine.encode(serde_json::to_vec(&terms).unwrap());
    let demand = format!("{}, error=\"payment-insufficient\"", challenge.to_header());
    let demand = HeaderValue::from_str(&demand).unwrap();
    let answer = move |headers: HeaderMap| {
        let (demand, manner) = (demand.clone(), manner.clone());
        async move {
            match (headers.get(AUTHORIZATION), manner) {
                (Some(_), Manner::Cuts) => panic!("a connection ends where its handler panics"),
                (Some(_), Manner::Hangs) => pending::<()>().await,
                (Some(paid), Manner::Takes(wallet)) => take(&wallet, &ledger, paid).await,
                _ => {}
            }
            (StatusCode::PAYMENT_REQUIRED, [(WWW_AUTHENTICATE, demand)]).into_response()
        }
    };
    let routes = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{realm}/").parse().unwrap()
}

/// Takes all steps that Bob is shown.
async fn take(wallet: &WalletHandle, ledger: &LedgerId, paid: &HeaderValue) {
    let shown = Credential::from_header(paid.to_str().unwrap()).unwrap().unwrap();
    let CredentialPayload { action, payer, stream, sealed } = shown.payload;
    let Challenge { id, realm, .. } = &shown.challenge;
    let (challenge, method, target) = (id.as_str(), "GET", "/");
    let bound = Bound { challenge, action, method, realm, target, payer, stream };
    use base64::Engine;
    let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(sealed).unwrap();
    let key = PaymentKey::of_payee(&key(BOB), &payer, ledger).unwrap();
    for token in key.open(&sealed, &bound).unwrap().1.tokens {
        wallet.take_step(token).await.unwrap();
    }
}

async fn streams(member: &Member) -> usize {
    member.wallet.streams().await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_that_is_not_to_be_met_opens_no_stream() {
    let stage = Stage::new();
    let alice = stage.member(1).await;
    let payee = key(2).public();
    type Change = fn(&mut Terms, &mut Challenge);
    let demands: [(&str, Change); 10] = [
        ("another server", |_, it| it.realm = "127.0.0.1:1".to_owned()),
        ("expired", |_, it| it.expires = "2020-01-01T00:00:00Z".to_owned()),
        ("another ledger", |it, _| it.details.ledger = LedgerId([1; 32])),
        ("another hub", |it, _| it.details.hub = key(9).public()),
        ("another asset", |it, _| it.details.asset.0 = 1),
        ("another payee", |it, _| it.recipient = key(8).public()),
        ("too dear", |it, _| {
            it.details.unit = Amount(1_000);
            it.amount = Amount(3_000);
        }),
        ("not what it says", |it, _| it.amount = Amount(1)),
        ("overflow", |it, _| it.details.unit = Amount(u64::MAX)),
        ("another method", |_, it| it.method = "card".to_owned()),
    ];
    let limits = Limits { payee: Some(payee), ..limits() };
    for (what, change) in demands {
        let url = greedy(&stage, payee, Manner::Denies, change).await;
        let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
        let refused = paying.get(url).await;
        let expected = matches!(refused, Err(PayError::Demand(_) | PayError::TooDear(_)));
        assert!(expected, "{what}: {refused:?}");
    }
    assert_eq!((streams(&alice).await, alice.locked().await), (0, 0));
}

/// A server that takes steps and never has enough gets what may be ahead, and then no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_and_does_not_serve_gets_no_more_than_what_may_be_ahead() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let url = greedy(&stage, bob.wallet.public_key(), Manner::Denies, |_, _| {}).await;
    let paying = alice.paying();
    let mut stopped = None;
    for _ in 0..40 {
        match paying.get(url.clone()).await {
            Err(PayError::Refused { kind, .. }) => assert_eq!(kind, "payment-insufficient"),
            Err(error) => {
                stopped = Some(error);
                break;
            }
            Ok(paid) => panic!("{paid:?}"),
        }
    }
    assert!(matches!(stopped, Some(PayError::Exposure { served: 0, .. })), "{stopped:?}");
    let purse = paying.purses().await[0];
    assert!(purse.handed <= 64, "{}", purse.handed);
}

/// Asks until the client's limits end it, and says how.
async fn ask_to_the_end(paying: &PayingClient, url: &Url) -> PayError {
    for _ in 0..100 {
        match paying.get(url.clone()).await {
            Err(PayError::Refused { .. }) => {}
            Err(error) => return error,
            Ok(paid) => panic!("{paid:?}"),
        }
    }
    panic!("it pays without end")
}

/// A payee that asks for another unit each time does not have a lock for each: a few, and no more money
/// of the client's is locked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_payee_that_asks_for_unit_after_unit_gets_few_locks() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let payee = bob.wallet.public_key();
    let paying = alice.paying();
    for unit in 1..=6 {
        let url = greedy(&stage, payee, Manner::Denies, |it, _| {
            it.details.unit = Amount(unit);
            it.amount = Amount(3 * unit);
        })
        .await;
        match paying.get(url).await {
            Err(PayError::Refused { .. }) => assert!(unit <= 4, "{unit} units"),
            Err(PayError::TooDear(_)) => assert!(unit > 4, "the unit with number {unit}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(streams(&alice).await, 4);
    assert!(alice.locked().await <= 4 * limits().lock_max.0 * 11 / 10, "locks and their fees");
    // Who gives one back may ask for another.
    paying.close().await.unwrap();
    let url = greedy(&stage, payee, Manner::Denies, |_, _| {}).await;
    assert!(matches!(paying.get(url).await, Err(PayError::Refused { .. })));
}

/// A payee that ends its streams and asks for other units is not handed more for that.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept_over_all_streams_to_a_payee() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let payee = bob.wallet.public_key();
    let small = Limits { budget: Amount(20), ..limits() };
    // What ends it, and the most that is handed out: 64 steps of the largest unit, or the budget.
    for (limits, most) in [(limits(), 64 * 4), (small, 20)] {
        let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
        let mut handed = 0;
        for unit in [2, 2, 2, 1, 4, 4] {
            let url = greedy(&stage, payee, Manner::Takes(bob.wallet.clone()), |it, _| {
                it.details.unit = Amount(unit);
                it.amount = Amount(3 * unit);
            })
            .await;
            let stopped = ask_to_the_end(&paying, &url).await;
            let as_expected = match most {
                20 => matches!(stopped, PayError::TooDear(_)),
                _ => matches!(stopped, PayError::Exposure { served: 0, .. }),
            };
            assert!(as_expected, "unit {unit}: {stopped:?}");
            for purse in paying.purses().await {
                if purse.unit == Amount(unit) {
                    handed += purse.handed * unit;
                    alice.wallet.end_stream(purse.key).await.unwrap();
                }
            }
            assert!(handed <= most, "unit {unit}: {handed} of {most}");
        }
        assert!(handed > 0);
    }
}

/// What a payee did not redeem of a stream that has ended it never gets: that is no loss, and holds up
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_redeemed_when_its_stream_ended_is_not_ahead() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let payee = bob.wallet.public_key();
    let limits = Limits { budget: Amount(200), ..limits() };
    let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
    let url = greedy(&stage, payee, Manner::Denies, |_, _| {}).await;
    for round in 0..3 {
        let stopped = ask_to_the_end(&paying, &url).await;
        assert!(matches!(stopped, PayError::Exposure { served: 0, .. }), "{round}: {stopped:?}");
        assert!(paying.purses().await[0].handed > 60);
        alice.wallet.end_stream(paying.purses().await[0].key).await.unwrap();
    }
    let ended = alice.wallet.streams().await.unwrap();
    let fees: u64 = ended.iter().map(|stream| stream.fees.0).sum();
    assert_eq!((ended.len(), alice.locked().await), (3, 0));
    assert_eq!(alice.holds().await, alice.begins - fees, "it has lost nothing");
}

/// What a server that was not heard of again may have is shown again, not handed over anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_again_and_again_costs_no_more_than_once() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let url = greedy(&stage, bob.wallet.public_key(), Manner::Cuts, |_, _| {}).await;
    let paying = alice.paying();
    for _ in 0..40 {
        let broke = paying.get(url.clone()).await;
        assert!(matches!(broke, Err(PayError::Http(_))), "{broke:?}");
    }
    let purse = paying.purses().await[0];
    assert_eq!((purse.handed, purse.served, purse.spare), (3, 0, 3));
}

/// Patience with who gives up is no credit: a server that never answers is handed what may be ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_gets_no_more_for_each_time_that_it_is_given_up() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let url = greedy(&stage, bob.wallet.public_key(), Manner::Hangs, |_, _| {}).await;
    let limits = Limits { ahead: 12, ..limits() };
    let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
    for _ in 0..2 {
        let all = join_all((0..4).map(|_| paying.get(url.clone())));
        let handed = until("all to be under way", async || {
            let purses = paying.purses().await;
            purses.iter().any(|purse| purse.handed - purse.spare >= 12)
        });
        tokio::select! {
            answered = all => panic!("{answered:?}"),
            () = handed => {}
        }
    }
    let purse = paying.purses().await[0];
    assert!(purse.handed <= 12, "{purse:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_the_most_that_a_payee_gets() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let shop = Shop::open(&bob).await;
    let limits = Limits { budget: Amount(10 * UNIT.0), ..limits() };
    let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
    for _ in 0..3 {
        paying.get(shop.url("/answer")).await.unwrap();
    }
    let refused = paying.get(shop.url("/answer")).await;
    assert!(matches!(refused, Err(PayError::TooDear(_))), "{refused:?}");
    assert_eq!(shop.served_and_paid(), (9, 9));
    // A stream of it ends; the next one does not begin anew.
    alice.wallet.end_stream(paying.purses().await[0].key).await.unwrap();
    let refused = paying.get(shop.url("/answer")).await;
    assert!(matches!(refused, Err(PayError::TooDear(_))), "{refused:?}");
}

/// Each stream that a payee ends has the next one opened, and the hub takes its fee for each.
#[tokio::test(flavor = "multi_thread")]
async fn fees_for_streams_that_a_payee_ends_are_in_the_budget() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(BOB).await);
    let limits = Limits { budget: Amount(20), ..limits() };
    let paying = PayingClient::new(alice.wallet.clone(), limits).unwrap();
    let url = greedy(&stage, bob.wallet.public_key(), Manner::Denies, |_, _| {}).await;
    let mut stopped = None;
    for _ in 0..30 {
        match paying.get(url.clone()).await {
            Err(PayError::Refused { .. }) => {}
            Err(error) => {
                stopped = Some(error);
                break;
            }
            Ok(paid) => panic!("{paid:?}"),
        }
        for view in bob.wallet.streams().await.unwrap() {
            if !view.has_ended() {
                let stream = bob.wallet.incoming_stream(view.key, Exposure::default()).await;
                stream.unwrap().close().await.unwrap();
            }
        }
        until("the lock to come back", async || alice.locked().await == 0).await;
    }
    assert!(matches!(stopped, Some(PayError::TooDear(_))), "{stopped:?}");
    // The last one may still stand.
    let lost = alice.begins - alice.holds().await - alice.locked().await;
    let of_one = alice.wallet.streams().await.unwrap()[0].fees.0;
    assert!(of_one > 0 && lost < 20 + of_one, "{lost} lost, {of_one} for each stream");
}
