//! Two connections, each with a queue in either direction, on a network that holds back, loses,
//! repeats and reorders. A connection that breaks loses what was on its way; one that stands still
//! holds it back.

use std::collections::VecDeque;

use settlement::wire::Message;

/// One wallet's connection to the hub.
#[derive(Default)]
pub(super) struct Link {
    connected: bool,
    /// Nothing passes.
    still: bool,
    up: VecDeque<Vec<u8>>,
    down: VecDeque<Vec<u8>>,
}

impl Link {
    fn queue(&mut self, up: bool) -> &mut VecDeque<Vec<u8>> {
        if up { &mut self.up } else { &mut self.down }
    }
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

    /// Whether anything passes from now on. What waits is not lost.
    pub(super) fn hold(&mut self, who: usize, still: bool) {
        self.links[who].still = still;
    }

    /// Whether it was told to hold back what it has.
    pub(super) fn is_still(&self, who: usize) -> bool {
        self.links[who].still
    }

    /// Sends a message as the bytes that a socket would carry; dropped when not connected.
    pub(super) fn send(&mut self, who: usize, up: bool, message: &Message) {
        let link = &mut self.links[who];
        if link.connected {
            link.queue(up).push_back(message.to_frame());
        }
    }

    /// Where something is on its way: whose connection, which way, and how many messages.
    pub(super) fn busy(&self) -> Vec<(usize, bool, usize)> {
        let each = self.links.iter().enumerate();
        let both = each
            .flat_map(|(who, link)| [(who, true, link.up.len()), (who, false, link.down.len())]);
        both.filter(|(.., waiting)| *waiting > 0).collect()
    }

    /// Takes one away that is on its way, counted from the oldest. Whether there was one.
    pub(super) fn lose(&mut self, who: usize, up: bool, at: usize) -> bool {
        self.links[who].queue(up).remove(at).is_some()
    }

    /// One that is on its way is there twice.
    pub(super) fn repeat(&mut self, who: usize, up: bool, at: usize) -> bool {
        let queue = self.links[who].queue(up);
        let Some(frame) = queue.get(at).cloned() else { return false };
        queue.push_back(frame);
        true
    }

    /// One overtakes those before it.
    pub(super) fn reorder(&mut self, who: usize, up: bool, at: usize) -> bool {
        let queue = self.links[who].queue(up);
        let overtakes = at > 0 && at < queue.len();
        if overtakes && let Some(frame) = queue.remove(at) {
            queue.push_front(frame);
        }
        overtakes
    }

    /// The next message that arrives, decoded as a socket's reader would.
    pub(super) fn receive(&mut self, who: usize, up: bool) -> Option<Message> {
        let link = &mut self.links[who];
        if link.still {
            return None;
        }
        let frame = link.queue(up).pop_front()?;
        self.delivered += 1;
        Some(Message::from_frame(&frame).expect("what was sent can be decoded"))
    }

    /// Whether nothing is on its way that could arrive.
    pub(super) fn is_empty(&self) -> bool {
        self.links.iter().all(|link| link.still || link.up.is_empty() && link.down.is_empty())
    }
}
