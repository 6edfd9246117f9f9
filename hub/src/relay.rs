//! Messages from wallet to wallet, which the hub carries and can't read.
//!
//! The hub holds no more of them than a moment's worth: what is for a wallet that is away waits in a
//! small mailbox in memory, and is gone when the process is, when the mailbox is full, or after
//! [`KEPT_MS`]. Nothing is acknowledged: wallets say again what matters.
//!
//! Whoever sends has signed in with the key that the message names, on this very connection, and has
//! a channel, and so has whoever it is for: a flood costs a deposit for each key. Past its share of a
//! second a sender's messages are dropped, and so are those for a wallet that gets more than it can
//! be expected to read, or does not read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use settlement::types::PublicKey;
use settlement::wire::Message;

use crate::counters::{Counters, add};
use crate::peer::Peer;
use crate::router::Router;
use crate::shards::now_ms;

/// What one wallet may send within a second: messages, and bytes of ciphertext.
const SENDER: Share = Share { messages: 2_000, bytes: 1 << 20 };
/// What one wallet may be sent.
const RECIPIENT: Share = Share { messages: 20_000, bytes: 4 << 20 };
/// What waits for one wallet that is away.
const MAILBOX: Share = Share { messages: 16, bytes: 32 << 10 };
/// What waits for all of them.
const MAILBOXES_BYTES: usize = 16 << 20;
/// How long it waits.
const KEPT_MS: u64 = 30_000;
/// Wallets whose use of the last second is remembered, before those that are over are forgotten.
const REMEMBERED: usize = 4_096;

#[derive(Clone, Copy)]
struct Share {
    messages: usize,
    bytes: usize,
}

impl Share {
    fn takes(&self, used: &Used, bytes: usize) -> bool {
        used.messages < self.messages && used.bytes.saturating_add(bytes) <= self.bytes
    }
}

/// What was used within one second of the own clock.
#[derive(Clone, Copy, Default)]
struct Used {
    second: u64,
    messages: usize,
    bytes: usize,
}

impl Used {
    fn add(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

struct Kept {
    message: Message,
    bytes: usize,
    until_ms: u64,
}

/// What is done with a message.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It goes to its recipient.
    Sent,
    /// It waits for it.
    Kept,
    /// It is forgotten.
    Dropped,
}

/// The rules, without a clock or a connection.
#[derive(Default)]
struct Post {
    sent: HashMap<PublicKey, Used>,
    got: HashMap<PublicKey, Used>,
    mailboxes: HashMap<PublicKey, VecDeque<Kept>>,
    kept_bytes: usize,
}

impl Post {
    /// Judges a message of so many bytes, and keeps it if its recipient is away.
    fn take(&mut self, message: &Message, is_here: bool, now_ms: u64) -> Fate {
        let Message::Relay { to, from, ciphertext } = message else { return Fate::Dropped };
        let bytes = ciphertext.as_slice().len();
        let second = now_ms / 1_000;
        let (sent, got) = (used(&mut self.sent, from, second), used(&mut self.got, to, second));
        if !SENDER.takes(sent, bytes) || !RECIPIENT.takes(got, bytes) {
            return Fate::Dropped;
        }
        sent.add(bytes);
        got.add(bytes);
        if is_here { Fate::Sent } else { self.keep(*to, message, bytes, now_ms) }
    }

    fn keep(&mut self, to: PublicKey, message: &Message, bytes: usize, now_ms: u64) -> Fate {
        if self.kept_bytes.saturating_add(bytes) > MAILBOXES_BYTES {
            self.forget_old(now_ms);
        }
        let mailbox = self.mailboxes.entry(to).or_default();
        let mut held = Used::default();
        mailbox.iter().for_each(|kept| held.add(kept.bytes));
        // The newest says most: the oldest makes room.
        while !MAILBOX.takes(&held, bytes) {
            let Some(oldest) = mailbox.pop_front() else { return Fate::Dropped };
            self.kept_bytes = self.kept_bytes.saturating_sub(oldest.bytes);
            held.messages = held.messages.saturating_sub(1);
            held.bytes = held.bytes.saturating_sub(oldest.bytes);
        }
        if self.kept_bytes.saturating_add(bytes) > MAILBOXES_BYTES {
            return Fate::Dropped;
        }
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        let until_ms = now_ms.saturating_add(KEPT_MS);
        mailbox.push_back(Kept { message: message.clone(), bytes, until_ms });
        Fate::Kept
    }

    fn forget_old(&mut self, now_ms: u64) {
        self.mailboxes.retain(|_, mailbox| {
            mailbox.retain(|kept| kept.until_ms > now_ms);
            !mailbox.is_empty()
        });
        let kept = self.mailboxes.values().flatten();
        self.kept_bytes = kept.map(|kept| kept.bytes).sum();
    }

    /// What has waited for a wallet, oldest first.
    fn collect(&mut self, wallet: &PublicKey, now_ms: u64) -> Vec<Message> {
        let kept = self.mailboxes.remove(wallet).unwrap_or_default();
        let bytes: usize = kept.iter().map(|kept| kept.bytes).sum();
        self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
        let fresh = kept.into_iter().filter(|kept| kept.until_ms > now_ms);
        fresh.map(|kept| kept.message).collect()
    }
}

/// What this wallet has used of this second.
fn used<'a>(
    all: &'a mut HashMap<PublicKey, Used>,
    wallet: &PublicKey,
    second: u64,
) -> &'a mut Used {
    if all.len() >= REMEMBERED && !all.contains_key(wallet) {
        all.retain(|_, used| used.second == second);
    }
    let used = all.entry(*wallet).or_default();
    if used.second != second {
        *used = Used { second, ..Used::default() };
    }
    used
}

/// See the module.
pub(crate) struct Relay {
    router: Arc<Router>,
    counters: Arc<Counters>,
    post: Mutex<Post>,
}

impl Relay {
    /// One that carries between the wallets of this router.
    pub(crate) fn new(router: Arc<Router>, counters: Arc<Counters>) -> Relay {
        Relay { router, counters, post: Mutex::default() }
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message that came on a connection.
    pub(crate) fn take(&self, peer: &Peer, message: &Message) {
        let Message::Relay { to, from, .. } = message else { return };
        if self.carry(peer, from, to, message) == Fate::Dropped {
            add(&self.counters.relay_dropped, 1);
        } else {
            add(&self.counters.relayed, 1);
        }
    }

    fn carry(&self, peer: &Peer, from: &PublicKey, to: &PublicKey, message: &Message) -> Fate {
        if !peer.has_signed_in(from) || self.router.wallet(from).is_none() {
            return Fate::Dropped;
        }
        // Looked up under the lock: who comes meanwhile collects after this is kept.
        let mut post = self.post();
        let Some(there) = self.router.wallet(to) else { return Fate::Dropped };
        let fate = post.take(message, there.is_some(), now_ms());
        drop(post);
        match (fate, there) {
            (Fate::Sent, Some(there)) if there.has_room() => {
                there.send(message);
                Fate::Sent
            }
            (Fate::Sent, _) => Fate::Dropped,
            (fate, _) => fate,
        }
    }

    /// These wallets have signed in on this connection: they get what has waited for them.
    pub(crate) fn deliver(&self, peer: &Peer, wallets: impl Iterator<Item = PublicKey>) {
        let now_ms = now_ms();
        let mut post = self.post();
        if post.mailboxes.is_empty() {
            return;
        }
        let waited: Vec<Message> =
            wallets.flat_map(|wallet| post.collect(&wallet, now_ms)).collect();
        drop(post);
        waited.iter().for_each(|message| peer.send(message));
    }
}

#[cfg(test)]
mod tests;
