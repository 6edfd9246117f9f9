mod speed;

use super::*;
use crate::config::Config;
use crate::peers::{Bounds, Peers};
use crate::shard::{InboundPolicy, Limits, ShardConfig, Slice};
use client_sdk::api::FeePolicy;
use settlement::channel::Taken;
use settlement::crypto::{Signed, SigningKey};
use settlement::params::{Genesis, Policy};
use settlement::proof::{BalanceProof, OpenTerms, SnapshotRef};
use settlement::types::{Amount, AssetId, Hash, Role, Salt};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

fn key(byte: u8) -> settlement::types::PublicKey {
    SigningKey::from_bytes([byte; 32]).unwrap().public()
}

fn world(wallets: u8) -> (Arc<Pool>, ShardQueues, Vec<ChannelId>) {
    let genesis = Genesis::development("test", key(98), 0);
    let queues: ShardQueues = Arc::new([Queue::new(1 << 20)]);
    let config = ShardConfig {
        hub: key(99),
        genesis: genesis.clone(),
        policy: Policy::development(),
        fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
        inbound: InboundPolicy { ppm: 0, max: Amount(0), low_water_ppm: 0 },
        limits: Limits::default(),
        slice: Slice::ALL,
    };
    let peers = Peers::new(Bounds::of(&Config::default()));
    let router = Arc::new(Router::new(config, queues.clone(), peers));
    let open = |wallet| {
        let terms = OpenTerms {
            ledger: genesis.ledger_id(),
            asset: AssetId(0),
            wallet: key(wallet),
            hub: key(99),
            challenge_blocks: 50,
            nonce: 0,
        };
        router.open(terms);
        terms.channel_id()
    };
    let channels = (1..=wallets).map(open).collect();
    let counters = Arc::new(Counters::default());
    let gate = Arc::new(Gate::new(counters.clone()));
    let pool = Pool::new(router, queues.clone(), counters, gate);
    (pool, queues, channels)
}

fn ack(channel: ChannelId, seq: u64) -> Bytes {
    Message::Ack { channel, seq }.to_frame().into()
}

async fn feed(pool: &Pool, peer: &Arc<Peer>, frame: Bytes) {
    let lane = lane_of(&frame, peer.lane_count()).unwrap();
    if peer.accept(lane, frame).await == Scheduling::Needed {
        pool.schedule(peer, lane);
    }
}

/// What came through for the shard: channel and seq, until `count` have.
fn through(queues: &ShardQueues, count: usize) -> Vec<(ChannelId, u64)> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut got, mut jobs) = (Vec::new(), VecDeque::new());
    while got.len() < count && Instant::now() < deadline {
        queues[0].take_all(&mut jobs, deadline);
        got.extend(jobs.drain(..).filter_map(|job| match job {
            Job::Said(_, channel, Input::Message(message)) => match *message {
                Message::Ack { seq, .. } => Some((channel, seq)),
                _ => None,
            },
            _ => None,
        }));
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_keep_the_order_of_each_channel() {
    let (pool, queues, channels) = world(8);
    let peer = Arc::new(Peer::new(1, 4, 1 << 20));
    pool.router.sign_in(&peer, (1..=8).map(key), 8).unwrap();
    let workers = pool.start(4).unwrap();
    for seq in 0..200 {
        for channel in &channels {
            feed(&pool, &peer, ack(*channel, seq)).await;
        }
    }
    let got = tokio::task::spawn_blocking(move || through(&queues, 1_600)).await.unwrap();
    let mut seen: HashMap<ChannelId, Vec<u64>> = HashMap::new();
    got.into_iter().for_each(|(channel, seq)| seen.entry(channel).or_default().push(seq));
    assert_eq!(seen.len(), 8);
    assert!(seen.values().all(|seqs| *seqs == (0..200).collect::<Vec<_>>()));
    pool.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[tokio::test]
async fn a_connection_that_floods_gets_one_turn_at_a_time() {
    let (pool, queues, channels) = world(2);
    let [flood, modest] = [1, 2].map(|id| Arc::new(Peer::new(id, 1, 1 << 20)));
    pool.router.sign_in(&flood, std::iter::once(key(1)), 8).unwrap();
    pool.router.sign_in(&modest, std::iter::once(key(2)), 8).unwrap();
    for seq in 0..400 {
        feed(&pool, &flood, ack(channels[0], seq)).await;
    }
    feed(&pool, &modest, ack(channels[1], 7)).await;
    // All of that waited before the one worker came.
    let workers = pool.start(1).unwrap();
    let got = through(&queues, 401);
    let at = got.iter().position(|(channel, _)| *channel == channels[1]).unwrap();
    assert_eq!((got.len(), at), (401, FRAMES_PER_TURN), "after one turn of the other");
    pool.close();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn a_channels_messages_share_a_lane_and_others_have_none() {
    let channel = ChannelId(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    let none = SnapshotRef::NONE;
    let snapshot = |from| {
        let value = BalanceProof {
            channel,
            from,
            seq: 1,
            transferred: Amount(1),
            locked: Amount::ZERO,
            locks_root: Hash::ZERO,
            peer_seq: 0,
            peer_transferred: Amount::ZERO,
        };
        let signer = SigningKey::from_bytes([1; 32]).unwrap();
        let proof = Signed::alone(&signer, value, Salt([3; 16]));
        Message::snapshot(Taken { proof, locks: Vec::new() })
    };
    let messages = [
        snapshot(Role::Wallet),
        snapshot(Role::Hub),
        Message::Sync { channel, own: none, yours: none, tip: None },
        Message::Ack { channel, seq: 1 },
        Message::Reject { channel, seq: 1, code: Code::Overdraft },
        Message::Fail { channel, id: 1, code: Code::Expired },
    ];
    let lanes = messages.map(|message| lane_of(&message.to_frame().into(), 7));
    assert_eq!(lanes, [Some(16 % 7); 6]);
    for message in
        [Message::Ping { number: 1, pong: false }, Message::Goodbye { code: Code::Internal }]
    {
        assert_eq!(lane_of(&message.to_frame().into(), 7), None);
    }
    assert_eq!(lane_of(&Bytes::from_static(&[3, 1, 2]), 7), None, "cut short");
}
