//! Wallets and a hub over real sockets, with real files and a real ledger.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has to stop"
)]

mod common;
mod connections;
mod http;
mod streams;

use std::sync::atomic::Ordering::Relaxed;

use common::{Line, Wallet, config_in, event, hub_in, soon};
use settlement::block::LedgerEvent;
use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, Height, Role, Secret};
use settlement::wire::Message;

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
