use super::*;
use crate::desk::{Clerk, Office};
use settlement::crypto::VerifyingKey;
use settlement::params::Fees;
use settlement::types::{Amount, LedgerId, Role};
use std::sync::Arc;

struct Idle;

impl client_sdk::ledger_client::LedgerClient for Idle {
    fn info(&self) -> client_sdk::ledger_client::Answer<'_, settlement::api::LedgerInfo> {
        Box::pin(std::future::pending())
    }
    fn submit(
        &self,
        _: &settlement::tx::Transaction,
    ) -> client_sdk::ledger_client::Answer<'_, settlement::types::TxId> {
        Box::pin(std::future::pending())
    }
    fn events_from(
        &self,
        _: settlement::types::Height,
        _: std::time::Duration,
    ) -> client_sdk::ledger_client::Answer<'_, Vec<settlement::block::BlockEvents>> {
        Box::pin(std::future::pending())
    }
    fn account(
        &self,
        _: &settlement::types::AccountId,
    ) -> client_sdk::ledger_client::Answer<'_, settlement::api::AccountView> {
        Box::pin(std::future::pending())
    }
    fn channel(
        &self,
        _: &ChannelId,
    ) -> client_sdk::ledger_client::Answer<'_, settlement::api::ChannelView> {
        Box::pin(std::future::pending())
    }
    fn state_proof(
        &self,
        _: &ChannelId,
    ) -> client_sdk::ledger_client::Answer<'_, settlement::state_proof::StateProof> {
        Box::pin(std::future::pending())
    }
}

fn outbox() -> Outbox {
    outbox_under(crate::lease::fixture::held())
}

fn outbox_under(authority: Arc<Authority>) -> Outbox {
    let key = Arc::new(SigningKey::from_bytes([1; 32]).unwrap());
    let counters = Arc::new(Counters::default());
    let ledger = Arc::new(Idle);
    let clerk = Clerk::new(Office {
        ledger,
        id: LedgerId([1; 32]),
        fees: Fees::default(),
        key: key.clone(),
        counters: counters.clone(),
        authority: authority.clone(),
        leases: tokio::sync::mpsc::unbounded_channel().0,
    });
    let desk = Desk::open(clerk, tokio::sync::broadcast::channel(1).1);
    let anchors = tokio::sync::mpsc::unbounded_channel().0;
    let gate = Arc::new(Gate::new(counters.clone()));
    Outbox::new(Tools { key, desk, tickets: Arc::default(), counters, authority, anchors, gate })
}

fn channel(n: u16) -> ChannelId {
    let [a, b] = n.to_le_bytes();
    let mut id = [0; 32];
    (id[0], id[1]) = (a, b);
    ChannelId(id)
}

fn say(n: u16, seq: u64) -> Release {
    Release::Do(Action::Send(Message::Ack { channel: channel(n), seq }))
}

fn send_update(n: u16) -> Release {
    let proof = BalanceProof {
        channel: channel(n),
        from: Role::Hub,
        seq: 1,
        transferred: Amount(u64::from(n)),
        locked: Amount::ZERO,
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount::ZERO,
    };
    Release::Do(Action::SendUpdate { channel: channel(n), base: 0, ops: Vec::new(), proof })
}

async fn heard(peer: &Peer) -> Vec<Message> {
    peer.send(&Message::Ping { number: 0, pong: true });
    let out = peer.next_out().await;
    let mut from = 0;
    let frames = out.ends.iter().map(|end| {
        let frame = &out.bytes[from..*end];
        from = *end;
        Message::from_frame(frame).unwrap()
    });
    let mut messages: Vec<Message> = frames.collect();
    messages.pop();
    messages
}

#[tokio::test]
async fn a_message_goes_to_the_connection_that_stood_when_it_was_decided() {
    let mut outbox = outbox();
    let [one, two] = [1, 2].map(|id| Arc::new(Peer::new(id, 1, 1 << 20)));
    outbox.perform(vec![
        say(1, 1),
        Release::Attach(channel(1), one.clone()),
        say(1, 2),
        say(2, 3),
        Release::Detach(channel(1), 1),
        say(1, 4),
        Release::Attach(channel(1), two.clone()),
        // The end of the old connection is no end of the new one.
        Release::Detach(channel(1), 1),
        say(1, 5),
    ]);
    let ack = |seq| Message::Ack { channel: channel(1), seq };
    assert_eq!(heard(&one).await, [ack(2)]);
    assert_eq!(heard(&two).await, [ack(5)]);
}

/// What is not signed waits, what carries no signature goes, and the newest update counts.
#[tokio::test]
async fn updates_wait_until_this_process_may_sign() {
    use crate::lease::fixture::{block, hub, lease, leased, taken};
    let authority = taken();
    let mut outbox = outbox_under(authority.clone());
    let [one, two] = [1, 2].map(|id| Arc::new(Peer::new(id, 1, 1 << 20)));
    outbox.perform(vec![
        Release::Attach(channel(1), one.clone()),
        Release::Attach(channel(2), one.clone()),
        send_update(1),
        say(1, 9),
        send_update(1),
        send_update(2),
        // Nobody is told of the third; the wallet of the second meets the hub anew.
        send_update(3),
        Release::Attach(channel(2), two.clone()),
    ]);
    assert_eq!(heard(&one).await, [Message::Ack { channel: channel(1), seq: 9 }]);
    assert_eq!(outbox.counters.signatures.load(Relaxed), 0);
    authority.taken_in();
    outbox.perform(vec![say(1, 10)]);
    let [Message::Update(update), Message::Ack { seq: 10, .. }] = &heard(&one).await[..] else {
        panic!("the update comes first, once")
    };
    assert_eq!(update.channel, channel(1));
    assert_eq!(heard(&two).await, []);
    authority.follow(&block(2, vec![leased(hub(), lease(2, 9))]));
    outbox.perform(vec![send_update(1), say(1, 11)]);
    let last = heard(&one).await;
    assert_eq!(last, [Message::Ack { channel: channel(1), seq: 11 }], "fenced: nothing is signed");
}

#[tokio::test]
async fn one_signature_covers_256_updates_and_each_is_good_alone() {
    let mut outbox = outbox();
    let peer = Arc::new(Peer::new(1, 1, 64 << 20));
    let attach = |n| Release::Attach(channel(n), peer.clone());
    outbox.perform((0..300).map(attach).collect());
    outbox.perform((0..300).flat_map(|n| [send_update(n), say(n, 9)]).collect());
    assert_eq!(outbox.counters.signatures.load(Relaxed), 2);
    let key = VerifyingKey::parse(&outbox.key.public()).unwrap();
    let mut salts = std::collections::HashSet::new();
    let messages = heard(&peer).await;
    assert_eq!(messages.len(), 600);
    for (n, pair) in (0..300).zip(messages.chunks(2)) {
        let [Message::Update(update), Message::Ack { seq: 9, .. }] = pair else {
            panic!("{pair:?} is out of order")
        };
        assert_eq!(update.channel, channel(n));
        assert_eq!(update.proof.path.leaf_count, if n < 256 { 256 } else { 44 });
        assert!(salts.insert(update.proof.path.salt), "no salt is used twice");
        update.proof.clone().verify_alone(&key).unwrap();
    }
}

#[tokio::test]
async fn payments_are_counted_when_they_are_durable() {
    let mut outbox = outbox();
    let count = |completed| Release::Do(Action::Count { completed });
    outbox.perform(vec![count(true), count(false), count(true)]);
    let figures = &outbox.counters;
    assert_eq!((figures.completed.load(Relaxed), figures.failed.load(Relaxed)), (2, 1));
}
