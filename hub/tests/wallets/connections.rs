//! Who may connect and stay, and what a connection is closed for.

use crate::common::{Line, Wallet, config_in, event, hub_in, post};
use settlement::block::LedgerEvent;
use settlement::crypto::{Signable, SigningKey};
use settlement::encoding::encode;
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Hash, Height, LedgerId};
use settlement::wire::{FRAME_MAX, Hello, Message};

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
