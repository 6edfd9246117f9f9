//! Servers that take steps and sign something else for them, or nothing.

use axum::Router;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use client_sdk::http402::{
    Action, Bound, Challenge, Credential, Details, INTENT, METHOD, PayError, PaymentKey,
    RECEIPT_HEADER, Receipt, ReceiptBody, SessionId, Terms, resource,
};
use reqwest::Url;
use settlement::types::{Amount, LedgerId};
use tests::shop::UNIT;
use tokio::net::TcpListener;

use super::stage::{ASSET, Stage, key};

/// The payee, which is also the server.
const PAYEE: u8 = 2;

/// What a server makes of the good receipt.
type Lie = fn(Receipt) -> Option<Receipt>;

fn signed(receipt: &Receipt, change: impl Fn(&mut ReceiptBody)) -> Option<Receipt> {
    let mut body = receipt.body.clone();
    change(&mut body);
    Some(Receipt::sign(body, &key(PAYEE)))
}

const LIES: [(&str, Lie); 9] = [
    ("none", |_| None),
    ("by another", |good| Some(Receipt::sign(good.body, &key(9)))),
    ("changed", |mut good| {
        good.body.steps = 1;
        Some(good)
    }),
    ("for more", |good| signed(&good, |body| body.steps = 4)),
    ("for another response", |good| signed(&good, |body| body.session = SessionId([1; 16]))),
    ("for another resource", |good| signed(&good, |body| body.resource.push('x'))),
    ("for another payer", |good| signed(&good, |body| body.payer = key(9).public())),
    ("for another stream", |good| signed(&good, |body| body.stream.0[0] ^= 1)),
    ("for another unit", |good| signed(&good, |body| body.unit = Amount(1))),
];

/// A server that takes steps for `/0`, `/1`, … and answers each with the lie of that number, and with
/// the truth beyond.
async fn liar(ledger: LedgerId, hub: settlement::types::PublicKey) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let realm = listener.local_addr().unwrap().to_string();
    let (asset, unit) = (ASSET, UNIT);
    let details = Details { asset, bytes: None, credit: 0, hub, ledger, steps: 3, unit };
    let terms = Terms {
        amount: Amount(UNIT.0 * 3),
        currency: "EUR".to_owned(),
        details,
        recipient: key(PAYEE).public(),
        unit_type: "request".to_owned(),
    };
    let challenge = Challenge {
        id: "id".to_owned(),
        realm: realm.clone(),
        method: METHOD.to_owned(),
        intent: INTENT.to_owned(),
        request: URL_SAFE_NO_PAD.encode(serde_json::to_vec(&terms).unwrap()),
        expires: "2999-01-01T00:00:00Z".to_owned(),
    };
    let answer = move |uri: axum::http::Uri, headers: HeaderMap| {
        let challenge = challenge.clone();
        async move {
            let Some(credential) = headers.get(AUTHORIZATION) else {
                let demand = [(WWW_AUTHENTICATE, challenge.to_header())];
                return (StatusCode::PAYMENT_REQUIRED, demand).into_response();
            };
            let credential = Credential::from_header(credential.to_str().unwrap());
            answered(uri.path(), &challenge, &credential.unwrap().unwrap(), ledger)
        }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{realm}/").parse().unwrap()
}

fn answered(
    path: &str,
    challenge: &Challenge,
    credential: &Credential,
    ledger: LedgerId,
) -> Response {
    let (payer, stream) = (credential.payload.payer, credential.payload.stream);
    let bound = Bound {
        challenge: &challenge.id,
        action: Action::Open,
        method: "GET",
        realm: &challenge.realm,
        target: path,
        payer,
        stream,
    };
    let sealed = URL_SAFE_NO_PAD.decode(&credential.payload.sealed).unwrap();
    let opening = PaymentKey::of_payee(&key(PAYEE), &payer, &ledger).unwrap();
    let (_, handing) = opening.open(&sealed, &bound).unwrap();
    let body = ReceiptBody {
        ledger,
        payee: key(PAYEE).public(),
        payer,
        stream,
        asset: ASSET,
        unit: UNIT,
        session: handing.session,
        resource: resource("GET", &challenge.realm, path),
        steps: 3,
        served: 3,
        paid: 3,
        time_ms: 1_795_737_599_000,
    };
    let good = Receipt::sign(body, &key(PAYEE));
    let lie = path.trim_start_matches('/').parse().ok().and_then(|at: usize| LIES.get(at));
    let shown = lie.map_or(Some(good.clone()), |(_, lie)| lie(good));
    let mut response = "served".into_response();
    if let Some(shown) = shown {
        let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&shown).unwrap());
        let name = HeaderName::from_static(RECEIPT_HEADER);
        response.headers_mut().insert(name, text.parse().unwrap());
    }
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_not_for_what_was_paid_is_none() {
    let stage = Stage::new();
    let (alice, _bob) = (stage.member(1).await, stage.member(PAYEE).await);
    let ledger = tokio::task::block_in_place(|| stage.hub.info().ledger);
    let server = liar(ledger, stage.hub.key).await;
    let paying = alice.paying();
    let good = paying.get(server.join("/good").unwrap()).await.unwrap();
    assert_eq!(good.receipt.unwrap().body.steps, 3);
    for (number, (what, _)) in LIES.iter().enumerate() {
        let answered = paying.get(server.join(&format!("/{number}")).unwrap()).await;
        assert!(matches!(answered, Err(PayError::Receipt(_))), "{what}: {answered:?}");
    }
    let purse = paying.purses().await[0];
    assert_eq!(purse.served, 3, "nothing else counts as served");
}
