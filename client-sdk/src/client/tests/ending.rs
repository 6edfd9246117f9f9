//! What a client still says before it ends.

use settlement::block::LedgerEvent;
use settlement::crypto::Signed;
use settlement::proof::BalanceProof;
use settlement::types::{ChannelId, Hash, Salt};
use settlement::update::{Memo, Op, Update};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::connection::{Connection, Outgoing, Outlet};
use super::super::core;
use super::*;

/// The hub pays so much, in its first update.
fn hub_pays(channel: ChannelId, amount: u64) -> Message {
    let amount = Amount(amount);
    let proof = BalanceProof {
        channel,
        from: Role::Hub,
        seq: 1,
        transferred: amount,
        locked: Amount(0),
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount(0),
    };
    let memo = Memo::new(Vec::new()).unwrap();
    let proof = Signed::alone(&key(99), proof, Salt([7; 16]));
    Message::Update(Update { channel, base: 0, ops: vec![Op::Pay { amount, memo }], proof })
}

/// A client whose wallet has just paid its hub 30, which has not answered.
async fn unanswered(world: &World) -> (Client, world::Session, ChannelId) {
    let client = world.open(vec![key(1)]).await.unwrap();
    let mut hub = world.accept().await;
    hub.sign_in().await;
    let terms = world.terms(&key(1), 0);
    let (channel, role, total) = (terms.channel_id(), Role::Hub, Amount(100));
    world.block(vec![opened(terms, 100), LedgerEvent::Deposited { channel, role, total }]);
    hub.hear_sync().await;
    hub.say_sync(channel, SnapshotRef::NONE, SnapshotRef::NONE).await;
    let wallet = client.wallets().remove(0);
    wallet.synced().await.unwrap();
    wallet.caught_up(world::PATIENCE).await.unwrap();
    wallet.pay_hub(channel, Amount(30), "tea").await.unwrap();
    update_of(&mut hub).await;
    (client, hub, channel)
}

const GOODBYE: Message = Message::Goodbye { code: Code::ShuttingDown };

/// What a hub can't anchor is what the wallet has not acknowledged: it must not be left in a queue.
#[tokio::test]
async fn a_client_that_ends_answers_what_is_under_way_and_says_goodbye() {
    let world = World::new().await;
    let (client, mut hub, channel) = unanswered(&world).await;
    let ending = tokio::spawn(client.shutdown());
    hub.say(hub_pays(channel, 5)).await;
    assert_eq!(hub.hear().await, Message::Ack { channel, seq: 1 });
    hub.say(Message::Ack { channel, seq: 1 }).await;
    assert_eq!(hub.hear().await, GOODBYE);
    drop(hub);
    timeout(world::PATIENCE, ending).await.unwrap().unwrap();
    let client = world.open(vec![key(1)]).await.unwrap();
    let held = client.wallets()[0].status().await.unwrap().channels[0];
    assert_eq!((held.wallet_amount, held.hub_amount), (Amount(75), Amount(125)));
}

#[tokio::test]
async fn a_hub_that_answers_nothing_does_not_keep_a_client_from_ending() {
    let world = World::new().await;
    let (client, mut hub, _) = unanswered(&world).await;
    let link = client.shared.links[0].clone();
    timeout(world::PATIENCE, client.shutdown()).await.unwrap();
    // Its connection has ended by itself, and was not cut off.
    assert!(matches!(&*link.borrow(), Link::Down { code: Code::ShuttingDown, .. }));
    assert_eq!(hub.hear().await, GOODBYE);
}

/// A connection of one wallet's, without a core: what is put out on it, what comes in, and its end.
fn connecting(world: &World) -> (Outlet, mpsc::Receiver<CoreInput>, JoinHandle<()>) {
    let members = Arc::new(Members::new(1));
    members.add(Arc::new(key(1)));
    let (core, inputs) = core::queue();
    let (connection, outlet, _link) = Connection::new(0, Arc::new(world.peer()), members, core);
    (outlet, inputs, tokio::spawn(connection.run()))
}

/// The core is gone, and the hub says something that nobody takes any more: what the committer only
/// then puts out is said all the same.
#[tokio::test]
async fn a_connection_says_all_that_was_durable_before_it_ends() {
    let world = World::new().await;
    let (outlet, mut inputs, running) = connecting(&world);
    let mut hub = world.accept().await;
    hub.sign_in().await;
    let connected = inputs.recv().await;
    assert!(matches!(connected, Some(CoreInput::Connected { connection: 0, session: 1, .. })));
    drop(inputs);
    let (channel, seq) = (ChannelId([1; 32]), 1);
    hub.say(Message::Ack { channel, seq }).await;
    // The connection's own task has its turn, more often than it needs.
    for _ in 0..100_000 {
        tokio::task::yield_now().await;
    }
    outlet.send(vec![Outgoing::Met(1), Outgoing::Message(Message::Ack { channel, seq })]);
    drop(outlet);
    assert_eq!(hub.hear().await, Message::Ack { channel, seq });
    assert_eq!(hub.hear().await, GOODBYE);
    drop(hub);
    timeout(world::PATIENCE, running).await.unwrap().unwrap();
}

/// What a wallet said waited for its disk, and the connection was made anew meanwhile: a hub that was
/// restored in between would take it for what the wallet has now.
#[tokio::test]
async fn what_was_said_on_an_earlier_connection_is_not_said_on_the_next() {
    let world = World::new().await;
    let (outlet, mut inputs, running) = connecting(&world);
    for session in 1..=2 {
        let mut hub = world.accept().await;
        hub.sign_in().await;
        let connected = inputs.recv().await;
        assert!(matches!(connected, Some(CoreInput::Connected { session: s, .. }) if s == session));
        let ack = |seq| Outgoing::Message(Message::Ack { channel: ChannelId([1; 32]), seq });
        // As the committer puts it out: in the order in which it was said.
        outlet.send(vec![Outgoing::Met(session - 1), ack(session - 1)]);
        outlet.send(vec![Outgoing::Met(session), ack(session)]);
        assert_eq!(hub.hear().await, Message::Ack { channel: ChannelId([1; 32]), seq: session });
        drop(hub);
        assert!(matches!(inputs.recv().await, Some(CoreInput::Disconnected(0))));
    }
    drop((outlet, inputs));
    timeout(world::PATIENCE, running).await.unwrap().unwrap();
}
