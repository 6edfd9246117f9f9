use super::*;
use client_sdk::api::FeePolicy;
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy};
use settlement::reject::Code;
use settlement::types::Amount;
use settlement::wire::Message;

use crate::config::Config;
use crate::peers::{Bounds, Peers};
use crate::queue::Queue;
use crate::shard::{InboundPolicy, Limits, ShardConfig, Slice};

const CHANNEL: ChannelId = ChannelId([7; 32]);

fn shared() -> (ShardConfig, Shared) {
    let key = |byte: u8| SigningKey::from_bytes([byte; 32]).unwrap().public();
    let config = ShardConfig {
        hub: key(99),
        genesis: Genesis::development("test", key(98), 0),
        policy: Policy::development(),
        fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
        inbound: InboundPolicy { ppm: 0, max: Amount(0), low_water_ppm: 0 },
        limits: Limits::default(),
        slice: Slice::ALL,
    };
    let queues: ShardQueues = Arc::new([Queue::new(64)]);
    let peers = Peers::new(Bounds::of(&Config::default()));
    let router = Arc::new(Router::new(config.clone(), queues.clone(), peers));
    let log = Log::new(settlement::journal::Lsn::default());
    let pending = [AtomicU64::new(0)].into();
    (config, Shared { queues, log, router, pending })
}

/// An update that the shard refuses with the number that it has.
fn said(on: u64, seq: u64) -> Job {
    let code = Code::BadSignature;
    Job::Said(on, CHANNEL, Input::BadUpdate { channel: CHANNEL, seq, code })
}

/// Which of them it has answered since the last call.
fn answered(thread: &mut ShardThread<'_>) -> Vec<u64> {
    let answers = thread.releases.drain(..).filter_map(|release| match release {
        Release::Do(Action::Send(Message::Reject { seq, .. })) => Some(seq),
        _ => None,
    });
    answers.collect()
}

#[test]
fn what_was_said_on_a_connection_that_is_not_the_channels_any_more_is_dropped() {
    let (config, shared) = shared();
    let mut thread = ShardThread::new(0, Shard::new(config), &shared);
    let peer = |id| Arc::new(Peer::new(id, 1, 1 << 20));
    thread.job(said(1, 1));
    assert_eq!(answered(&mut thread), [0; 0], "nobody is attached yet");
    thread.job(Job::Attach(CHANNEL, peer(1)));
    thread.job(said(1, 2));
    assert_eq!(answered(&mut thread), [2]);
    thread.job(Job::Attach(CHANNEL, peer(2)));
    thread.job(said(1, 3));
    thread.job(said(2, 4));
    assert_eq!(answered(&mut thread), [4], "the wallet speaks on the newer one");
    // The older one's end does not touch the newer one.
    thread.job(Job::Detach(CHANNEL, 1));
    thread.job(said(2, 5));
    thread.job(Job::Detach(CHANNEL, 2));
    thread.job(said(2, 6));
    assert_eq!(answered(&mut thread), [5]);
}
