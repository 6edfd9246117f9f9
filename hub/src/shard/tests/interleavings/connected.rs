//! A wallet that comes on one connection and on another at once, and leaves one of them again.

use futures_util::FutureExt;
use settlement::wire::Message;

use super::Hub;
use super::paid::messages;
use crate::interleavings::try_orders;
use crate::peer::Peer;
use crate::shards::Job;
use crate::sync::Arc;
use crate::sync::thread::spawn;

#[test]
fn a_channels_messages_come_and_go_where_the_router_says_that_its_wallet_is() {
    try_orders(400, || {
        let hub = Hub::start(1, 1);
        let channel = hub.world.id(0);
        let wallet = hub.world.wallets[0].key.public();
        let peers = [1, 2].map(|id| Arc::new(Peer::new(id, 1, 1 << 20)));
        let comings = peers.each_ref().map(|peer| {
            let (peer, shared) = (peer.clone(), hub.shared.clone());
            spawn(move || {
                shared.router.sign_in(&peer, std::iter::once(wallet), 8).unwrap();
                if peer.id == 1 {
                    shared.router.sign_out(&peer);
                }
            })
        });
        comings.into_iter().for_each(|thread| thread.join().unwrap());
        // The shard answers where it takes the wallet to be, and the outbox says so where it does.
        for peer in &peers {
            let input = hub.world.wallets[0].sync();
            hub.shared.queues[0].push(Job::Said(peer.id, channel, input));
        }
        let _journal = hub.threads.stop(&hub.shared);
        let route = hub.shared.router.route(&channel).unwrap();
        for peer in &peers {
            let heard = peer.next_out().now_or_never().map(|out| messages(&out));
            let is_answer = |said: &Message| matches!(said, Message::Sync { .. });
            let answered = heard.unwrap_or_default().iter().any(is_answer);
            assert_eq!(answered, route.is_with(peer), "on connection {}", peer.id);
        }
    });
}
