//! What wallets and operators ask over HTTP, and cooperative closes.

use crate::common::{Line, Wallet, event, http, hub_in, open_request, opening, post, soon};
use settlement::block::LedgerEvent;
use settlement::crypto::{Signable, SigningKey};
use settlement::encoding::encode;
use settlement::proof::{Net, OpenTerms};
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, ChannelId, Height, LedgerId};
use settlement::wire::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_refusals_are_problems_with_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let key = SigningKey::from_bytes([61; 32]).unwrap();
    let url = hub.url();
    let channels = format!("{url}/v1/channels");
    let (terms, _) = opening(&hub, &key, Amount(10));
    let refused = |terms: OpenTerms, deposit| open_request(&key, terms, Amount(deposit));
    let cases = [
        (refused(OpenTerms { hub: key.public(), ..terms }, 10), Code::PolicyRefused),
        (refused(OpenTerms { challenge_blocks: 49, ..terms }, 10), Code::PolicyRefused),
        (refused(terms, 0), Code::PolicyRefused),
        (refused(OpenTerms { asset: AssetId(9), ..terms }, 10), Code::UnknownAsset),
        (refused(OpenTerms { ledger: LedgerId([1; 32]), ..terms }, 10), Code::TxWrongLedger),
        (refused(terms, 10), Code::InsufficientFunds),
    ];
    for (request, code) in cases {
        let (status, problem) = post(&channels, &request).await;
        assert!(status >= 400, "{problem}");
        assert_eq!(problem["code"], code.number(), "{problem}");
    }
    let client = http();
    let raw = async |method: &str, path: &str, body: String| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = client.request(method, format!("{url}{path}")).body(body).send();
        let answer = answer.await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind, "application/problem+json", "{path}");
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().await.unwrap()["code"].as_u64().unwrap())
    };
    let nobody = format!("/v1/channels/{}/close", ChannelId([9; 32]));
    let close = settlement::proof::CooperativeClose {
        channel: ChannelId([9; 32]),
        wallet_amount: Amount(0),
        hub_amount: Amount(0),
        wallet_net: Net::new(0).unwrap(),
        hub_net: Net::new(0).unwrap(),
        valid_until: Height(9),
    };
    let body = serde_json::json!({
        "body": hex::encode(encode(&close)),
        "signature": key.sign(&close.digest()),
    });
    assert_eq!(raw("POST", "/v1/channels", "{garbage".into()).await, (400, 501));
    assert_eq!(raw("POST", "/v1/channels", "x".repeat(1 << 20)).await, (413, 420));
    assert_eq!(raw("GET", "/v1/nothing", String::new()).await, (404, 506));
    assert_eq!(raw("GET", "/v1/connect", String::new()).await, (400, 501));
    assert_eq!(raw("DELETE", "/v1/info", String::new()).await, (405, 506));
    assert_eq!(raw("POST", "/v1/channels/zz/close", body.to_string()).await, (400, 501));
    assert_eq!(raw("POST", &nobody, body.to_string()).await, (404, 101));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cooperative_close_is_signed_by_both_and_pays_out() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallet = Wallet::open(&hub, 71, 1_000).await;
    let id = wallet.channel.id();
    let inbound = event(
        &hub,
        |event| matches!(event, LedgerEvent::Deposited { channel, .. } if *channel == id),
    )
    .await;
    for step in wallet.channel.follow(&inbound, Height(0)) {
        wallet.channel.commit(&step);
    }
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    let update = wallet.pay(300);
    line.say(&Message::Update(update)).await;
    wallet.until_acked(&mut line).await;
    let url = format!("{}/v1/channels/{id}/close", hub.url());
    let terms = wallet.channel.close_terms(hub.height().after(100)).unwrap();
    let ask = |terms: &settlement::proof::CooperativeClose, signer: &SigningKey| {
        serde_json::json!({
            "body": hex::encode(encode(terms)),
            "signature": signer.sign(&terms.digest()),
        })
    };
    // Not by somebody else, and not with other amounts.
    let stranger = SigningKey::from_bytes([72; 32]).unwrap();
    let (_, problem) = post(&url, &ask(&terms, &stranger)).await;
    assert_eq!(problem["code"], Code::Unauthorized.number());
    let greedy = settlement::proof::CooperativeClose {
        wallet_amount: Amount(1_000),
        hub_amount: Amount(1_000),
        ..terms
    };
    let (_, problem) = post(&url, &ask(&greedy, &wallet.key)).await;
    assert_eq!(problem["code"], Code::NotAgreed.number());
    let (status, answer) = post(&url, &ask(&terms, &wallet.key)).await;
    assert_eq!(status, 200, "{answer}");
    let settled = event(
        &hub,
        |event| matches!(event, LedgerEvent::Settled { channel, .. } if *channel == id),
    );
    let (paid, rest) = (Amount(700), Amount(1_300));
    let expected = LedgerEvent::Settled { channel: id, wallet: paid, hub: rest, cooperative: true };
    assert_eq!(settled.await, expected);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_health_readiness_and_figures() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let get = async |path: &str| {
        let answer = http().get(format!("{}{path}", hub.admin_url())).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/healthz").await.0, 200);
    // Once its lease is in a block.
    let mut heights = hub.heights();
    let ready = soon(async {
        loop {
            match get("/readyz").await {
                (200, text) => return text,
                _ => heights.changed().await.unwrap(),
            }
        }
    });
    assert_eq!(ready.await, "ready\n");
    let (_, text) = get("/metrics").await;
    for name in [
        "hub_payments_completed_total 0",
        "hub_redemptions_total 0",
        "hub_steps_redeemed_total 0",
        "# TYPE hub_fsyncs_total counter",
        "hub_connections 0",
        "hub_channels 0",
        "hub_ledger_height ",
        "hub_shard_queue{shard=\"0\"} ",
    ] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
    hub.stop().await;
}
