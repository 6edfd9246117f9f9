use super::*;
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy};
use settlement::types::Amount;

use crate::config::Config;
use crate::peers::Bounds;
use crate::shard::{InboundPolicy, Limits};
use client_sdk::api::FeePolicy;
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

fn key(byte: u8) -> PublicKey {
    SigningKey::from_bytes([byte; 32]).unwrap().public()
}

fn terms(wallet: u8, nonce: u64) -> OpenTerms {
    OpenTerms {
        ledger: genesis().ledger_id(),
        asset: AssetId(0),
        wallet: key(wallet),
        hub: key(99),
        challenge_blocks: 50,
        nonce,
    }
}

fn genesis() -> Genesis {
    Genesis::development("test", key(98), 0)
}

fn router() -> Router {
    router_of(1)
}

fn router_of(shards: usize) -> Router {
    let config = ShardConfig {
        hub: key(99),
        genesis: genesis(),
        policy: Policy::development(),
        fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
        inbound: InboundPolicy { ppm: 0, max: Amount(0), low_water_ppm: 0 },
        limits: Limits::default(),
        slice: Slice::ALL,
    };
    let bounds = Bounds { most: 2, strangers: 3, keys_without: 8 };
    let queues: Vec<_> = (0..shards).map(|_| Queue::new(64)).collect();
    Router::new(config, queues.into(), Peers::new(bounds))
}

/// What the shard was told since the last call, in words.
fn told(router: &Router) -> Vec<String> {
    let mut jobs = VecDeque::new();
    router.queues[0].take_all(&mut jobs, Instant::now());
    let word = |job| match job {
        Job::Attach(_, peer) => format!("attach {}", peer.id),
        Job::Detach(_, peer) => format!("detach {peer}"),
        _ => "other".to_owned(),
    };
    jobs.into_iter().map(word).collect()
}

fn sign_in(router: &Router, peer: &Arc<Peer>, wallets: &[u8]) -> Result<(), Code> {
    router.sign_in(peer, wallets.iter().map(|byte| key(*byte)), 3)
}

fn peer(id: u64) -> Arc<Peer> {
    Arc::new(Peer::new(id, 1, 1 << 20))
}

#[test]
fn a_channel_is_found_while_it_is_open_and_its_wallet_connected_while_signed_in() {
    let router = router();
    let terms = terms(1, 0);
    let channel = terms.channel_id();
    let opened = LedgerEvent::Opened { terms, deposit: Amount(1) };
    router.follow(&opened);
    router.follow(&opened);
    assert_eq!(router.find(&key(1), AssetId(0)), Some((channel, false)));
    assert_eq!(router.find(&key(1), AssetId(1)), None);
    let one = peer(1);
    sign_in(&router, &one, &[1]).unwrap();
    assert_eq!(router.find(&key(1), AssetId(0)), Some((channel, true)));
    router.sign_out(&one);
    assert_eq!(router.find(&key(1), AssetId(0)), Some((channel, false)));
    router.closing(&channel);
    assert_eq!(router.find(&key(1), AssetId(0)), None);
    assert_eq!(router.all(&key(1), AssetId(0)), [channel]);
    assert_eq!(router.all(&key(1), AssetId(1)), []);
    assert!(router.route(&channel).is_some(), "messages about a closing channel still arrive");
    let (wallet, hub) = (Amount(1), Amount(0));
    router.follow(&LedgerEvent::Settled { channel, wallet, hub, cooperative: false });
    assert!(router.route(&channel).is_none());
    assert_eq!((router.channel_count(), router.read().wallets.len()), (0, 0));
    assert_eq!(told(&router), ["attach 1", "detach 1"]);
}

#[test]
fn channels_of_other_hubs_are_not_taken_in() {
    let router = router();
    let terms = OpenTerms { hub: key(98), ..terms(1, 0) };
    router.follow(&LedgerEvent::Opened { terms, deposit: Amount(1) });
    assert_eq!(router.channel_count(), 0);
}

#[test]
fn a_second_sign_in_takes_the_wallet_over() {
    let router = router();
    router.open(terms(1, 0));
    router.open(terms(2, 0));
    let (one, two) = (peer(1), peer(2));
    sign_in(&router, &one, &[1, 2]).unwrap();
    assert_eq!(told(&router), ["attach 1", "attach 1"]);
    sign_in(&router, &two, &[1]).unwrap();
    assert_eq!(told(&router), ["detach 1", "attach 2"]);
    assert!(!one.is_closing(), "it has another key");
    let route = router.route(&terms(1, 0).channel_id()).unwrap();
    assert!(route.is_with(&two) && !route.is_with(&one));
    sign_in(&router, &two, &[2]).unwrap();
    assert!(one.is_closing(), "that was its last key");
    // What the old connection's end says later does not hurt the new one.
    router.sign_out(&one);
    assert!(route.is_with(&two));
    assert_eq!(told(&router), ["detach 1", "attach 2"]);
}

#[test]
fn a_channel_that_opens_while_its_wallet_is_signed_in_is_attached() {
    let router = router();
    let one = peer(1);
    sign_in(&router, &one, &[1]).unwrap();
    router.open(terms(1, 0));
    assert_eq!(told(&router), ["attach 1"]);
    assert!(router.route(&terms(1, 0).channel_id()).unwrap().is_with(&one));
}

#[test]
fn a_connection_signs_in_no_more_keys_than_it_may() {
    let router = router();
    let one = peer(1);
    sign_in(&router, &one, &[1, 2]).unwrap();
    assert_eq!(sign_in(&router, &one, &[3, 4]), Err(Code::TooManyKeys));
    assert_eq!(sign_in(&router, &one, &[1, 2, 3]), Ok(()), "known ones count once");
}

/// A connection that stands.
fn join(router: &Router) -> Arc<Peer> {
    router.peers.join(&Config { verify_workers: 1, ..Config::default() })
}

#[test]
fn strangers_make_room_for_each_other_and_never_throw_out_a_wallet_with_a_channel() {
    let router = router();
    router.open(terms(1, 0));
    router.open(terms(2, 0));
    let (one, two) = (join(&router), join(&router));
    sign_in(&router, &one, &[1]).unwrap();
    sign_in(&router, &two, &[2]).unwrap();
    let strangers: Vec<_> = (10..40)
        .map(|wallet| {
            let stranger = join(&router);
            sign_in(&router, &stranger, &[wallet]).unwrap();
            stranger
        })
        .collect();
    let stay = strangers.iter().filter(|stranger| !stranger.is_closing()).count();
    assert_eq!((stay, router.peers.len()), (3, 5));
    assert!(!one.is_closing() && !two.is_closing());
    // It loses its connection, and gets in again although every place is taken.
    router.sign_out(&one);
    router.peers.leave(&one);
    let again = join(&router);
    sign_in(&router, &again, &[1]).unwrap();
    assert!(!again.is_closing() && !again.is_stranger());
    // The same while the hub still believes that the old one stands.
    let third = join(&router);
    sign_in(&router, &third, &[1]).unwrap();
    assert!(again.is_closing() && !third.is_closing());
    for wallet in 10..40 {
        sign_in(&router, &join(&router), &[wallet]).unwrap();
    }
    assert!(!third.is_closing() && !two.is_closing());
}

#[test]
fn a_connection_is_a_strangers_until_a_channel_opens_and_again_when_the_last_is_paid_out() {
    let router = router();
    let one = join(&router);
    sign_in(&router, &one, &[1, 2]).unwrap();
    assert!(one.is_stranger());
    let settled = |wallet, nonce| {
        let channel = terms(wallet, nonce).channel_id();
        let (wallet, hub) = (Amount(1), Amount(0));
        router.follow(&LedgerEvent::Settled { channel, wallet, hub, cooperative: false });
    };
    router.open(terms(1, 0));
    router.open(terms(1, 1));
    router.open(terms(2, 0));
    assert_eq!(signed(&one).with_channel, 2);
    settled(1, 0);
    assert_eq!(signed(&one).with_channel, 2, "it has another");
    settled(1, 1);
    assert!(!one.is_stranger());
    // What is closing is not paid out yet: its wallet may have much to say.
    router.closing(&terms(2, 0).channel_id());
    assert!(!one.is_stranger());
    let two = join(&router);
    sign_in(&router, &two, &[2]).unwrap();
    assert!(one.is_stranger() && !two.is_stranger());
    settled(2, 0);
    assert!(two.is_stranger());
    router.sign_out(&two);
    assert_eq!(signed(&two).keys.len(), 0);
}

/// Whoever has channels in several shards has a share of what it may have hashed in each of them.
#[test]
fn the_shards_that_keep_a_wallets_channels_are_counted() {
    let router = router_of(4);
    assert_eq!(router.spread(&key(1)), 1);
    let shards: BTreeSet<usize> = (0..8)
        .map(|nonce| {
            router.open(terms(1, nonce));
            router.route(&terms(1, nonce).channel_id()).unwrap().shard
        })
        .collect();
    assert!(shards.len() > 1);
    assert_eq!(router.spread(&key(1)) as usize, shards.len());
    assert_eq!(router.spread(&key(2)), 1);
    assert_eq!(router.all(&key(1), AssetId(0)).len(), 8);
}
