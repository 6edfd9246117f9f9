//! The client against a hub whose every word is in the test, over a real socket, and a ledger whose
//! blocks the test makes.

mod ending;
pub(crate) mod world;

use std::time::Duration;

use settlement::channel::Phase;
use settlement::crypto::{BatchCache, Signable, VerifyingKey};
use settlement::proof::SnapshotRef;
use settlement::types::{Amount, LedgerId, Role};
use settlement::wire::{Message, SignIn};

use super::*;
use crate::trust::Trust;
use world::{World, key, opened};

/// A hub that nobody connects to.
pub(super) fn peer() -> Arc<Peer> {
    Arc::new(peer_at(String::new(), LedgerId([0; 32])))
}

fn peer_at(url: String, ledger: LedgerId) -> Peer {
    let hub = key(99).public();
    let hub_key = VerifyingKey::parse(&hub).unwrap();
    Peer { url, trust: Trust::default(), ledger, hub, hub_key }
}

/// The wallet's direct payment, as the hub sees it after having met.
async fn update_of(hub: &mut world::Session) -> settlement::update::Update {
    match hub.hear().await {
        Message::Update(update) => update,
        other => panic!("{other:?} where an update was expected"),
    }
}

#[tokio::test]
async fn a_wallet_signs_in_meets_and_comes_back_after_a_break() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    let hello = hub.sign_in().await;
    let (wallet, signature) = hello.keys[0];
    let expected = SignIn {
        ledger: world.ledger_id(),
        hub: key(99).public(),
        challenge: hub.challenge,
        key: key(1).public(),
        role: Role::Wallet,
    };
    assert_eq!(wallet, key(1).public());
    VerifyingKey::parse(&wallet).unwrap().verify(&expected.digest(), &signature).unwrap();

    let terms = world.terms(&key(1), 0);
    world.block(vec![opened(terms, 100)]);
    assert_eq!(hub.hear_sync().await, terms.channel_id());
    hub.say_sync(terms.channel_id(), SnapshotRef::NONE, SnapshotRef::NONE).await;
    client.wallets()[0].synced().await.unwrap();
    drop(hub);

    let mut again = world.accept().await;
    let anew = again.sign_in().await;
    assert_ne!(anew.keys[0].1, signature, "each connection has a challenge of its own");
    assert_eq!(again.hear_sync().await, terms.channel_id());
}

#[tokio::test]
async fn wallets_that_join_later_sign_in_on_the_same_connection() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.sign_in().await;
    client.add_wallet(key(2)).await.unwrap();
    let hello = hub.hear_hello().await;
    assert_eq!(hello.keys.len(), 1);
    assert_eq!(hello.keys[0].0, key(2).public());
    hub.prove().await;
    let same = client.add_wallet(key(2)).await.unwrap();
    assert_eq!((same.index, client.wallets().len()), (1, 2));
}

#[tokio::test]
async fn a_hub_that_does_not_prove_its_key_is_left() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.hello().await;
    hub.hear_hello().await;
    hub.prove_with(&key(66)).await;
    let error = client.wallets()[0].synced().await.unwrap_err();
    assert_eq!(error.code, Code::BadSignIn);
    assert_eq!(hub.hear().await, Message::Goodbye { code: Code::BadSignIn });
}

#[tokio::test]
async fn a_frame_that_is_no_message_ends_the_connection_alone() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.sign_in().await;
    hub.say_bytes(vec![0xff; 9]).await;
    assert_eq!(hub.hear().await, Message::Goodbye { code: Code::MalformedFrame });
    let mut again = world.accept().await;
    again.sign_in().await;
    client.wallets()[0].synced().await.unwrap();
}

/// A crash after a payment was made, before the hub has answered: the very same proof goes out
/// again, for the store had it before the hub did.
#[tokio::test]
async fn what_the_hub_has_seen_is_there_after_a_crash() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.sign_in().await;
    let terms = world.terms(&key(1), 0);
    let id = terms.channel_id();
    world.block(vec![opened(terms, 100)]);
    hub.hear_sync().await;
    hub.say_sync(id, SnapshotRef::NONE, SnapshotRef::NONE).await;
    let wallet = client.wallets().remove(0);
    wallet.synced().await.unwrap();
    wallet.pay_hub(id, Amount(30), "tea").await.unwrap();
    let first = update_of(&mut hub).await;
    assert_eq!((first.proof.value.seq, first.proof.value.transferred), (1, Amount(30)));
    drop((client, hub));

    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.sign_in().await;
    hub.hear_sync().await;
    hub.say_sync(id, SnapshotRef::NONE, SnapshotRef::NONE).await;
    let second = update_of(&mut hub).await;
    assert_eq!(second.proof.value, first.proof.value);
    let mut cache = BatchCache::new(0);
    let wallet_key = VerifyingKey::parse(&key(1).public()).unwrap();
    second.proof.verify(&wallet_key, &mut cache).unwrap();
    hub.say(Message::Ack { channel: id, seq: 1 }).await;
    client.wallets()[0].quiet(world::PATIENCE).await.unwrap();
    let channel = client.wallets()[0].status().await.unwrap().channels[0];
    assert_eq!((channel.wallet_amount, channel.seq), (Amount(70), 1));
}

#[tokio::test]
async fn a_shutdown_leaves_a_store_that_opens_to_the_same() {
    let world = World::new().await;
    let client = world.open(vec![key(1), key(2)]).await.unwrap();
    let terms = world.terms(&key(2), 0);
    world.block(vec![opened(terms, 100)]);
    let wallet = client.wallets().remove(1);
    wallet.until(move |wallet| wallet.channel(&terms.channel_id()).map(|_| ())).await.unwrap();
    let before = wallet.status().await.unwrap();
    client.shutdown().await;
    let client = world.open(vec![key(2), key(1)]).await.unwrap();
    let after = client.wallets()[1].status().await.unwrap();
    assert_eq!((after.public_key, &after.channels), (key(2).public(), &before.channels));
}

#[tokio::test]
async fn a_store_with_a_wallet_whose_key_is_missing_is_not_opened() {
    let world = World::new().await;
    drop(world.open(vec![key(1), key(2)]).await.unwrap());
    let refused = world.open(vec![key(1)]).await.err().unwrap();
    assert_eq!(refused.code, Code::BadArgument);
    assert!(refused.detail.contains(&key(2).public().to_string()));
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let world = World::new().await;
    let _client = world.open(vec![key(1)]).await.unwrap();
    let refused = world.open(vec![key(1)]).await.err().unwrap();
    assert_eq!(refused.code, Code::HomeLocked);
}

#[tokio::test]
async fn a_wallet_that_comes_late_gets_the_blocks_that_it_lacks() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let terms = world.terms(&key(2), 0);
    world.block(vec![opened(terms, 5)]);
    world.block(Vec::new());
    let first = client.wallets().remove(0);
    first.caught_up(world::PATIENCE).await.unwrap();
    let late = client.add_wallet(key(2)).await.unwrap();
    late.caught_up(world::PATIENCE).await.unwrap();
    assert_eq!(late.status().await.unwrap().channels.len(), 1);
    // A key that is new has no past to look for.
    let new = client.add_new_wallet(key(3)).await.unwrap();
    assert_eq!(new.status().await.unwrap().height, settlement::types::Height(2));
}

#[tokio::test]
async fn a_close_without_the_hub_reaches_the_ledger() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let terms = world.terms(&key(1), 0);
    let id = terms.channel_id();
    world.block(vec![opened(terms, 100)]);
    let wallet = client.wallets().remove(0);
    wallet.until(move |wallet| wallet.channel(&id).map(|_| ())).await.unwrap();
    world.refuse_submissions(2);
    wallet.close_alone(id).await.unwrap();
    let submission = world.submitted().await;
    assert!(submission.close);
    assert_eq!((submission.channel, submission.by), (id, Role::Wallet));
    wallet.handed_in(world::PATIENCE).await.unwrap();
    world.block(vec![world::paid_out(id, 100, 0)]);
    let closed = wallet.closed(id).await.unwrap();
    assert_eq!((closed.wallet_amount, closed.hub_amount), (Amount(100), Amount(0)));
    let phase = wallet.until(move |wallet| Some(wallet.channel(&id)?.phase())).await.unwrap();
    assert!(matches!(phase, Phase::Closed { .. }));
}

/// What a command that is about to end waits for: not only that the submission was made.
#[tokio::test]
async fn what_is_handed_in_is_with_the_ledger_and_not_only_on_its_way() {
    let world = World::new().await;
    let client = world.open(vec![key(1)]).await.unwrap();
    let terms = world.terms(&key(1), 0);
    let id = terms.channel_id();
    world.block(vec![opened(terms, 100)]);
    let wallet = client.wallets().remove(0);
    wallet.until(move |wallet| wallet.channel(&id).map(|_| ())).await.unwrap();
    world.refuse_submissions(u32::MAX);
    wallet.close_alone(id).await.unwrap();
    let late = wallet.handed_in(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(late.code, Code::LedgerUnavailable);
    world.refuse_submissions(0);
    wallet.handed_in(world::PATIENCE).await.unwrap();
    assert!(world.submitted_now().is_some_and(|submission| submission.close));
}
