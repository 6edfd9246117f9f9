//! Two wallets that pay each other at once, over two shards.

use std::sync::Arc as Shareable;

use futures_util::FutureExt;
use settlement::channel::{Answer, Channel, Now};
use settlement::journal::Past;
use settlement::params::{Policy, View};
use settlement::types::Height;
use settlement::wire::Message;

use super::{Found, Hub, shard_of, spread};
use crate::interleavings::try_orders;
use crate::peer::{Out, Peer};
use crate::shard::tests::wallet::Wallet;
use crate::shard::tests::world::{World, secret};
use crate::shard::*;
use crate::shards::{Job, Shared};
use crate::sync::Arc;
use crate::sync::thread::{spawn, yield_now};

pub(super) const SHARDS: u16 = 2;

/// A wallet's side of its connection.
pub(super) struct Caller {
    peer: Arc<Peer>,
    wallet: Wallet,
    shared: Arc<Shared>,
    past: Shareable<dyn Past>,
    found: Found,
    policy: Policy,
    lag: u64,
    height: Height,
}

impl Caller {
    fn new(hub: &mut Hub, at: usize) -> Caller {
        let (peer, wallet) = hub.connect(at);
        let World { config, .. } = &hub.world;
        let (policy, lag) = (config.policy, config.policy.lag(&config.genesis));
        Caller {
            peer,
            wallet,
            shared: hub.shared.clone(),
            past: hub.past.clone(),
            found: Found::nothing(&hub.world, SHARDS),
            policy,
            lag,
            height: hub.world.height(),
        }
    }

    fn say(&self, input: Input) {
        let channel = self.wallet.channel.id();
        let queue = &self.shared.queues[shard_of(&channel, SHARDS.into())];
        queue.push_all(&mut vec![Job::Said(self.peer.id, channel, input)]);
    }

    /// Meets the hub, pays, and answers until it was paid and has paid.
    pub(super) fn pay(mut self) {
        self.say(self.wallet.sync());
        while !self.is_done() {
            let Some(out) = self.peer.next_out().now_or_never() else {
                yield_now();
                continue;
            };
            for message in messages(&out) {
                self.found.go_on(&*self.past, |_, _| {});
                let kept = self.found.channel(self.wallet.channel.id());
                assert!(stands(&message, kept), "said before it is durable: {message:?}");
                let view = View { height: self.height, fresh: true };
                let now = Now { view, policy: &self.policy, lag: self.lag };
                self.wallet.hear(message, &now).into_iter().for_each(|input| self.say(input));
            }
        }
        assert_eq!((self.wallet.rejected.len(), self.wallet.failed.len()), (0, 0));
    }

    fn is_done(&self) -> bool {
        let channel = &self.wallet.channel;
        let told = channel.incoming().tally.locks.iter().any(|lock| is_known(channel, lock.id));
        told && self.wallet.secrets.len() == 1
    }
}

fn is_known(channel: &Channel, lock: u64) -> bool {
    let lock = channel.incoming().locks.get(&lock);
    lock.is_some_and(|lock| matches!(lock.answer, Some(Answer::Known { .. })))
}

pub(super) fn messages(out: &Out) -> Vec<Message> {
    let starts = std::iter::once(&0).chain(&out.ends);
    let frames = starts.zip(&out.ends).map(|(from, to)| &out.bytes[*from..*to]);
    frames.map(|frame| Message::from_frame(frame).unwrap()).collect()
}

/// Whether a hub that starts on what is durable knows that it has said this.
fn stands(message: &Message, kept: &Channel) -> bool {
    match message {
        Message::Ack { seq, .. } => {
            kept.incoming().proof.as_ref().is_some_and(|proof| proof.value.seq >= *seq)
        }
        Message::Update(update) => kept.outgoing().last_seq >= update.proof.value.seq,
        Message::Reveal { id, .. } => is_known(kept, *id),
        _ => true,
    }
}

/// Every lock that the hub makes is for one that it has got before.
fn has_reason(record: &Record, shards: &[Shard]) -> bool {
    let Record::Forwarded { pairs, .. } = record else { return true };
    let has = |(id, lock): (_, u64)| {
        let channel = shards.iter().find_map(|shard| shard.channel(&id));
        channel.is_some_and(|channel| channel.incoming().locks.get(&lock).is_some())
    };
    pairs.iter().all(|pair| has(pair.incoming))
}

/// Two wallets whose channels are on different shards, each with a payment for the other.
pub(super) fn callers(hub: &mut Hub) -> [Caller; 2] {
    let apart = |at: &usize| {
        let channels = [0, *at].map(|at| hub.world.id(at));
        spread(channels.into_iter(), SHARDS.into()).len() == 2
    };
    let other = (1..hub.world.wallets.len()).find(apart).expect("all channels are on one shard");
    for (seed, (from, to)) in (1..).zip([(0, other), (other, 0)]) {
        let (secret, anchor) = secret(seed);
        hub.world.wallets[to].known.insert(anchor, secret);
        let op = hub.world.pay_op(to, 1_000, anchor);
        hub.world.wallets[from].wanted.push(op);
    }
    [0, other].map(|at| Caller::new(hub, at))
}

fn scene() {
    let mut hub = Hub::start(SHARDS, 3);
    let begun = hub.past.durable();
    let callers = callers(&mut hub).map(|caller| spawn(move || caller.pay()));
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let _journal = hub.threads.stop(&hub.shared);
    let mut found = Found::nothing(&hub.world, SHARDS);
    found.go_on(&*hub.past, |record, before| {
        assert!(has_reason(record, before), "recorded before its reason");
    });
    assert!(found.records > begun);
}

#[test]
fn nothing_is_said_before_it_is_durable_and_nothing_recorded_before_what_led_to_it() {
    try_orders(200, scene);
}
