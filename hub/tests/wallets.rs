//! Wallets and a hub over real sockets, with real files and a real ledger.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has to stop"
)]

mod common;

use std::sync::atomic::Ordering::Relaxed;

use common::{Line, Wallet, config_in, event, http, hub_in, open_request, opening, post, soon};
use settlement::block::LedgerEvent;
use settlement::crypto::{Signable, SigningKey};
use settlement::encoding::encode;
use settlement::proof::{Net, OpenTerms};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Hash, Height, LedgerId, Role, Secret};
use settlement::wire::{FRAME_MAX, Hello, Message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wallet_opens_pays_and_finds_its_channel_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallet = Wallet::open(&hub, 11, 1_000).await;
    let id = wallet.channel.id();
    // The hub puts its own money in, as its policy says.
    let inbound = event(
        &hub,
        |event| matches!(event, LedgerEvent::Deposited { channel, role: Role::Hub, .. } if *channel == id),
    );
    let expected = LedgerEvent::Deposited { channel: id, role: Role::Hub, total: Amount(1_000) };
    assert_eq!(inbound.await, expected);

    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    for _ in 0..3 {
        let update = wallet.pay(100);
        line.say(&Message::Update(update.clone())).await;
        wallet.until_acked(&mut line).await;
        // The very same update again gets its answer again.
        line.say(&Message::Update(update.clone())).await;
        let seq = update.proof.value.seq;
        assert_eq!(line.hear().await, Some(Message::Ack { channel: id, seq }));
    }
    assert_eq!(wallet.channel.balance(Role::Wallet), Amount(700));
    assert!(hub.counters().fsyncs.load(Relaxed) >= 3, "one commit for each acknowledged update");
    let before = hub.height();
    let (ledger, key) = (hub.ledger_id(), hub.key());
    let stopped = tokio::spawn(hub.stop());
    assert_eq!(line.goodbye().await, Code::ShuttingDown);
    soon(stopped).await.unwrap();

    let hub = hub_in(dir.path()).await;
    assert_eq!((hub.ledger_id(), hub.key()), (ledger, key));
    assert!(hub.height() >= before, "it goes on where it was");
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    let update = wallet.pay(50);
    line.say(&Message::Update(update)).await;
    wallet.until_acked(&mut line).await;
    // And it follows the ledger on.
    let mut heights = hub.heights();
    let next = hub.height().after(2);
    soon(heights.wait_for(|height| *height >= next)).await.unwrap();
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_shards_after_a_restart_keep_every_channel() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallets = Vec::new();
    for seed in 21..25 {
        wallets.push(Wallet::open(&hub, seed, 500).await);
    }
    hub.stop().await;
    let config = hub::config::Config { shards: 3, ..config_in(dir.path()) };
    let hub = hub::start(config).await.unwrap();
    let mut line = Line::open(&hub).await;
    let keys: Vec<&SigningKey> = wallets.iter().map(|wallet| &wallet.key).collect();
    line.sign_in(&hub, &keys).await;
    for wallet in &mut wallets {
        wallet.sync(&mut line).await;
        let update = wallet.pay(10);
        line.say(&Message::Update(update)).await;
        wallet.until_acked(&mut line).await;
    }
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_cannot_be_decoded_closes_its_connection_alone() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallet = Wallet::open(&hub, 31, 1_000).await;
    let other = SigningKey::from_bytes([32; 32]).unwrap();
    let mut bystander = Line::open(&hub).await;
    bystander.sign_in(&hub, &[&other]).await;
    let sync = {
        let (own, yours) = wallet.channel.snapshot_refs();
        Message::Sync { channel: wallet.channel.id(), own, yours, tip: None }.to_frame()
    };
    let mut trailing = sync.clone();
    trailing.push(0);
    let mut oversized = sync.clone();
    oversized.resize(FRAME_MAX + 1, 0);
    let cases = [
        ("over 256 KiB", oversized, Code::FrameTooLarge),
        ("far over 256 KiB, not about a channel", vec![0xff; FRAME_MAX + 1], Code::FrameTooLarge),
        ("truncated", sync[..sync.len() - 1].to_vec(), Code::MalformedFrame),
        ("cut inside the channel's id", sync[..20].to_vec(), Code::MalformedFrame),
        ("trailing byte", trailing, Code::MalformedFrame),
        ("garbage", vec![0xff; 100], Code::MalformedFrame),
        ("empty", Vec::new(), Code::MalformedFrame),
    ];
    for (name, frame, code) in cases {
        let mut line = Line::open(&hub).await;
        line.sign_in(&hub, &[&wallet.key]).await;
        line.send(frame).await;
        assert_eq!(line.goodbye().await, code, "{name}");
    }
    // The channel is as it was, and so is the other connection.
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    let update = wallet.pay(1);
    line.say(&Message::Update(update)).await;
    wallet.until_acked(&mut line).await;
    bystander.say(&Message::Ping { number: 9, pong: false }).await;
    assert_eq!(bystander.hear().await, Some(Message::Ping { number: 9, pong: true }));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_sign_in_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallet = Wallet::open(&hub, 41, 1_000).await;
    // Somebody else's key.
    let mut line = Line::open(&hub).await;
    let Some(Message::Hello(hello)) = line.hear().await else { panic!("the hub speaks first") };
    let forged = wallet.key.sign(&Hash([1; 32]));
    let keys = vec![(wallet.key.public(), forged)];
    line.say(&Message::Hello(Hello { keys, ..hello })).await;
    assert_eq!(line.goodbye().await, Code::BadSignIn);
    // Another ledger.
    let mut line = Line::open(&hub).await;
    let Some(Message::Hello(hello)) = line.hear().await else { panic!("the hub speaks first") };
    line.say(&Message::Hello(Hello { ledger: LedgerId([1; 32]), ..hello })).await;
    assert_eq!(line.goodbye().await, Code::WrongLedger);
    // A channel of a wallet that is not signed in here, and one that nobody knows.
    let stranger = SigningKey::from_bytes([42; 32]).unwrap();
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&stranger]).await;
    let update = wallet.pay(5);
    let (channel, seq) = (update.channel, update.proof.value.seq);
    line.say(&Message::Update(update)).await;
    let refused = Message::Reject { channel, seq, code: Code::NotSignedIn };
    assert_eq!(line.hear().await, Some(refused));
    let (own, yours) = wallet.channel.snapshot_refs();
    let channel = ChannelId([9; 32]);
    line.say(&Message::Sync { channel, own, yours, tip: None }).await;
    let refused = Message::Reject { channel, seq: 0, code: Code::UnknownChannel };
    assert_eq!(line.hear().await, Some(refused));
    // Nobody signs in.
    let late = hub::config::Config {
        connections: hub::config::Connections { sign_in_ms: 100, ..Default::default() },
        ..config_in(&dir.path().join("late"))
    };
    let late = hub::start(late).await.unwrap();
    assert_eq!(Line::open(&late).await.goodbye().await, Code::SignInTimeout);
    late.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sign_in_replaces_the_first_and_a_forged_update_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let mut wallet = Wallet::open(&hub, 51, 1_000).await;
    let mut first = Line::open(&hub).await;
    first.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut first).await;
    let mut second = Line::open(&hub).await;
    second.sign_in(&hub, &[&wallet.key]).await;
    assert_eq!(first.goodbye().await, Code::Replaced);
    wallet.sync(&mut second).await;
    let good = wallet.pay(7);
    let mut forged = good.clone();
    forged.proof.value.transferred = Amount(1);
    let (channel, seq) = (good.channel, good.proof.value.seq);
    second.say(&Message::Update(forged)).await;
    let rejected = Message::Reject { channel, seq, code: Code::BadSignature };
    assert_eq!(second.hear().await, Some(rejected));
    second.say(&Message::Update(good)).await;
    wallet.until_acked(&mut second).await;
    hub.stop().await;
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_goes_through_the_hub_to_a_wallet_on_another_shard() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub::start(hub::config::Config { shards: 4, ..config_in(dir.path()) }).await.unwrap();
    let mut payer = Wallet::open(&hub, 81, 1_000).await;
    let mut payee = Wallet::open(&hub, 82, 1_000).await;
    for wallet in [&mut payer, &mut payee] {
        let id = wallet.channel.id();
        let funded = event(
            &hub,
            |event| matches!(event, LedgerEvent::Deposited { channel, .. } if *channel == id),
        );
        for step in wallet.channel.follow(&funded.await, Height(0)) {
            wallet.channel.commit(&step);
        }
    }
    let (mut from, mut to) = (Line::open(&hub).await, Line::open(&hub).await);
    from.sign_in(&hub, &[&payer.key]).await;
    to.sign_in(&hub, &[&payee.key]).await;
    payer.sync(&mut from).await;
    payee.sync(&mut to).await;

    let secret = Secret([9; 32]);
    let anchor = Anchor(settlement::crypto::chain_step(&secret.0));
    // 100 units and the fee: 1 and 0.1 %, rounded up.
    let update = payer.lock(payee.key.public(), 102, anchor, hub.height());
    from.say(&Message::Update(update)).await;
    payee.until_updated(&mut to).await;
    let locks = &payee.channel.incoming().tally.locks;
    assert_eq!((locks.len(), locks[0].unit, locks[0].anchor), (1, Amount(100), anchor));
    let reveal = Message::Reveal { channel: payee.channel.id(), id: locks[0].id, secret };
    to.say(&reveal).await;
    assert_eq!(payer.until_revealed(&mut from).await, secret);
    let completed = || hub.counters().completed.load(Relaxed);
    soon(async {
        while completed() == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    assert_eq!(completed(), 1);
    // After an idle second the hub settles with the payee.
    payee.until_updated(&mut to).await;
    assert_eq!(payee.channel.balance(Role::Wallet), Amount(1_100));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_throw_each_other_out_and_keep_no_wallet_from_its_channel() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    (config.connections.most, config.connections.strangers) = (2, 3);
    let hub = hub::start(config).await.unwrap();
    let mut wallet = Wallet::open(&hub, 91, 1_000).await;
    let id = wallet.channel.id();
    let funded = |event: &LedgerEvent| matches!(event, LedgerEvent::Deposited { channel, .. } if *channel == id);
    for step in wallet.channel.follow(&event(&hub, funded).await, Height(0)) {
        wallet.channel.commit(&step);
    }
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    let strangers = async |from: u8| {
        let mut lines = Vec::new();
        for byte in from..from + 12 {
            let stranger = SigningKey::from_bytes([byte; 32]).unwrap();
            let mut line = Line::open(&hub).await;
            line.sign_in(&hub, &[&stranger]).await;
            lines.push(line);
        }
        lines
    };
    let mut lines = strangers(100).await;
    for line in &mut lines[..9] {
        assert_eq!(line.goodbye().await, Code::TooManyConnections);
    }
    // Paying goes on, here and on a new connection.
    let update = wallet.pay(100);
    line.say(&Message::Update(update)).await;
    wallet.until_acked(&mut line).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(Line::open(&hub).await);
    }
    let _more = strangers(120).await;
    let mut again = Line::open(&hub).await;
    again.sign_in(&hub, &[&wallet.key]).await;
    assert_eq!(line.goodbye().await, Code::Replaced);
    wallet.sync(&mut again).await;
    let update = wallet.pay(200);
    again.say(&Message::Update(update)).await;
    wallet.until_acked(&mut again).await;
    // And so does leaving together.
    let terms = wallet.channel.close_terms(hub.height().after(100)).unwrap();
    let (body, signature) = (hex::encode(encode(&terms)), wallet.key.sign(&terms.digest()));
    let ask = serde_json::json!({ "body": body, "signature": signature });
    let (status, answer) = post(&format!("{}/v1/channels/{id}/close", hub.url()), &ask).await;
    assert_eq!(status, 200, "{answer}");
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_channel_is_closed_after_a_while_and_one_with_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    (config.connections.sign_in_ms, config.connections.stranger_ms) = (5_000, 100);
    let hub = hub::start(config).await.unwrap();
    let mut wallet = Wallet::open(&hub, 92, 1_000).await;
    let mut line = Line::open(&hub).await;
    line.sign_in(&hub, &[&wallet.key]).await;
    wallet.sync(&mut line).await;
    let mut stranger = Line::open(&hub).await;
    stranger.sign_in(&hub, &[&SigningKey::from_bytes([93; 32]).unwrap()]).await;
    assert_eq!(stranger.goodbye().await, Code::OpenTimeout);
    // The wallet came before the stranger, so its time was over first.
    let update = wallet.pay(1);
    line.say(&Message::Update(update)).await;
    wallet.until_acked(&mut line).await;
    hub.stop().await;
}
