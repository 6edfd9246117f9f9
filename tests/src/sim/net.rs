//! Two connections, each with a queue in either direction. A broken one loses what was on its way.

use std::collections::VecDeque;

use settlement::wire::Message;

/// One wallet's connection to the hub.
#[derive(Default)]
pub(super) struct Link {
    connected: bool,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
}

/// All connections.
#[derive(Default)]
pub(super) struct Net {
    links: [Link; 2],
    /// How many messages have arrived.
    pub(super) delivered: u64,
}

impl Net {
    pub(super) fn is_connected(&self, who: usize) -> bool {
        self.links[who].connected
    }

    pub(super) fn connect(&mut self, who: usize) {
        self.links[who] = Link { connected: true, ..Link::default() };
    }

    pub(super) fn disconnect(&mut self, who: usize) {
        self.links[who] = Link::default();
    }

    /// Sends a message as the bytes that a socket would carry; dropped when not connected.
    pub(super) fn send(&mut self, who: usize, up: bool, message: &Message) {
        let link = &mut self.links[who];
        if link.connected {
            let queue = if up { &mut link.up } else { &mut link.down };
            queue.push_back(message.to_frame());
        }
    }

    /// The next message that arrives, decoded as a socket's reader would.
    pub(super) fn receive(&mut self, who: usize, up: bool) -> Option<Message> {
        let link = &mut self.links[who];
        let frame = if up { link.up.pop_front() } else { link.down.pop_front() }?;
        self.delivered += 1;
        Some(Message::from_frame(&frame).expect("what was sent can be decoded"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.iter().all(|link| link.up.is_empty() && link.down.is_empty())
    }
}
