//! What happens in a world: messages, blocks, payments, and what they come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use settlement::block::{BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::channel::{Answer, Channel, NewOp, Now};
use settlement::encoding::encode;
use settlement::params::View;
use settlement::types::*;
use settlement::update::{Destination, Payload};

use super::wallet::Wallet;
use super::world::{FEES, LIFE, World, secret};
use crate::shard::*;

impl World {
    pub(super) fn with_now<T>(
        &mut self,
        at: usize,
        f: impl FnOnce(&mut Wallet, &Now<'_>) -> T,
    ) -> T {
        let (policy, lag) = (self.config.policy, self.config.policy.lag(&self.config.genesis));
        let fresh = self.now_ms.saturating_sub(self.time_ms()) <= policy.stale_view_ms;
        let view = View { height: self.height(), fresh };
        f(&mut self.wallets[at], &Now { view, policy: &policy, lag })
    }

    /// One message for one wallet, with what it says to it.
    pub(super) fn deliver(&mut self, at: usize) -> bool {
        let Some(message) = self.wallets[at].inbox.pop_front() else { return false };
        let said = self.with_now(at, |wallet, now| wallet.hear(message, now));
        said.into_iter().for_each(|input| self.say(at, input));
        true
    }

    fn say(&mut self, at: usize, input: Input) {
        if self.wallets[at].online {
            self.input(input);
        }
    }

    /// Delivers until nobody has anything to say.
    pub(super) fn run(&mut self) {
        while (0..self.wallets.len()).any(|at| self.deliver(at)) {}
    }

    /// Lets an idle second pass for all.
    pub(super) fn idle(&mut self) {
        self.run();
        self.now_ms += 1_100;
        self.input(Input::Tick);
        self.run();
        for at in 0..self.wallets.len() {
            let said = self.with_now(at, Wallet::update);
            said.into_iter().for_each(|input| self.say(at, input));
        }
        self.run();
    }

    pub(super) fn block(&mut self, events: Vec<LedgerEvent>) {
        self.now_ms += 200;
        let header = Header {
            ledger: self.config.genesis.ledger_id(),
            height: self.height().after(1),
            parent: Hash::ZERO,
            time_ms: self.now_ms,
            tx_root: Hash::ZERO,
            tx_count: 0,
            writes: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        // Its signature is checked before a block comes here.
        let header = SignedHeader { header, signature: Signature([0; 64]) };
        let block = BlockEvents { header, events };
        self.blocks.push(block.clone());
        self.input(Input::Block(Arc::new(block.clone())));
        for at in 0..self.wallets.len() {
            let height = block.header.header.height;
            let said = self.with_now(at, |wallet, now| {
                let mut said = Vec::new();
                let follow = |event| wallet.channel.follow(event, height);
                let steps: Vec<_> = block.events.iter().flat_map(follow).collect();
                steps.into_iter().for_each(|step| wallet.commit(step, &mut said, now));
                let expired = wallet.channel.expire(now);
                expired.into_iter().for_each(|step| wallet.commit(step, &mut said, now));
                said.extend(wallet.update(now));
                said
            });
            said.into_iter().for_each(|input| self.say(at, input));
        }
    }

    /// A wallet that was away meets the hub, and so much time passes that what either has forgotten is
    /// settled between them.
    pub(super) fn come_back(&mut self, at: usize) {
        self.connect(at);
        self.run();
        self.blocks(25);
        self.idle();
    }

    pub(super) fn blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block(Vec::new());
            self.run();
        }
    }

    /// Blocks until no channel is to be looked at for what the opening left behind.
    pub(super) fn rest(&mut self) {
        self.blocks(25);
        assert!(self.shards.iter().all(|shard| shard.wakes.is_empty()));
    }

    pub(super) fn pay_op(&self, to: usize, amount: u64, anchor: Anchor) -> NewOp {
        let fee = FEES.fee(Amount(amount)).unwrap();
        NewOp::Add {
            anchor,
            unit: Amount(amount).checked_add(fee).unwrap(),
            steps: 1,
            expiry: self.height().after(LIFE),
            to: Destination { hub: None, wallet: self.wallets[to].key.public() },
            payload: Payload::default(),
        }
    }

    /// The payee knows the secret; the payer's update is on its way.
    pub(super) fn pay(&mut self, from: usize, to: usize, amount: u64, seed: u8) {
        let (secret, anchor) = secret(seed);
        self.wallets[to].known.insert(anchor, secret);
        let op = self.pay_op(to, amount, anchor);
        self.add(from, op);
    }

    pub(super) fn add(&mut self, from: usize, op: NewOp) {
        self.wallets[from].wanted.push(op);
        let said = self.with_now(from, Wallet::update);
        said.into_iter().for_each(|input| self.say(from, input));
    }

    /// What the hub has won or lost if each lock whose secret is known is paid, and each other one
    /// is not.
    pub(super) fn hub_net(&self) -> i128 {
        self.shards.iter().flat_map(Shard::channels).map(net_of).sum()
    }

    /// Everything durable, to compare.
    pub(super) fn state(shards: &[Shard]) -> BTreeMap<ChannelId, Vec<u8>> {
        let slots = shards.iter().flat_map(|shard| shard.slots.iter());
        slots
            .map(|slot| {
                (
                    slot.channel.id(),
                    encode(&(&slot.channel, &slot.pairs, slot.floor, slot.claims())),
                )
            })
            .collect()
    }

    pub(super) fn pairs(&self) -> usize {
        self.shards.iter().map(|shard| shard.pairs().len()).sum()
    }
}

fn net_of(channel: &Channel) -> i128 {
    let (out, incoming) = (channel.outgoing(), channel.incoming());
    let worth = |unit: Amount, steps: u32| unit.checked_mul(steps).unwrap().wide();
    let owed = incoming.tally.locks.iter().map(|lock| {
        match incoming.locks.get(&lock.id).unwrap().answer {
            Some(Answer::Known { steps, .. }) => worth(lock.unit, steps),
            _ => 0,
        }
    });
    let owed: i128 = owed.sum();
    // What is known of a lock as it was accepted; an update on its way may have settled some of it.
    let due = out.tip().locks.iter().map(|lock| {
        let standing = out.standing.get(&lock.id).unwrap();
        match standing.answer {
            Some(Answer::Known { steps, .. }) => {
                worth(lock.unit, steps.saturating_sub(standing.lock.steps - lock.steps))
            }
            _ => 0,
        }
    });
    let due: i128 = due.sum();
    incoming.tally.transferred.wide() + owed - out.tip().transferred.wide() - due
}
