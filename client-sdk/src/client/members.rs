//! The wallets of a client, as its tasks and threads share them: their keys and their listeners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use settlement::crypto::SigningKey;
use tokio::sync::{broadcast, watch};

use super::streams::Paying;
use crate::wallet::Event;
use crate::wallet::stream::{StreamKey, StreamView};

/// How many events a slow listener may lie behind before it misses some.
const EVENTS_KEPT: usize = 4_096;

/// One wallet.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) key: Arc<SigningKey>,
    /// Held from reading the account's nonce until the transaction that spends it is in a block.
    pub(crate) account: Arc<tokio::sync::Mutex<()>>,
    /// Held by whoever counts what the wallet's streams are spent on.
    #[cfg(feature = "http402")]
    pub(crate) till: Arc<tokio::sync::Mutex<()>>,
    events: Arc<OnceLock<broadcast::Sender<Event>>>,
    streams: Arc<Mutex<Watched>>,
    paying: Arc<Mutex<HashMap<StreamKey, Weak<tokio::sync::Mutex<Paying>>>>>,
}

/// The streams that somebody looks at: how each stands, once that is known.
type Watched = HashMap<StreamKey, watch::Sender<Option<StreamView>>>;
/// How many streams are looked at before those are forgotten that nobody looks at any more.
const WATCHED_KEPT: usize = 64;

/// All of them, by number.
pub(crate) struct Members {
    connections: usize,
    all: RwLock<Vec<Member>>,
    count: watch::Sender<usize>,
}

impl Members {
    pub(crate) fn new(connections: usize) -> Members {
        let (count, _) = watch::channel(0);
        Members { connections: connections.max(1), all: RwLock::new(Vec::new()), count }
    }

    /// Adds the next wallet and returns its number.
    pub(crate) fn add(&self, key: Arc<SigningKey>) -> u32 {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let index = all.len();
        all.push(Member {
            key,
            account: Arc::default(),
            #[cfg(feature = "http402")]
            till: Arc::default(),
            events: Arc::default(),
            streams: Arc::default(),
            paying: Arc::default(),
        });
        self.count.send_replace(all.len());
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// The wallet with this number.
    pub(crate) fn get(&self, index: u32) -> Option<Member> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.get(index as usize).cloned()
    }

    /// Says when wallets were added.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Which connection a wallet uses. It is the same for good, so that order is kept.
    pub(crate) fn connection_of(&self, index: u32) -> usize {
        (index as usize).checked_rem(self.connections).unwrap_or(0)
    }

    /// The wallets of a connection from number `from` on.
    pub(crate) fn of_connection(
        &self,
        connection: usize,
        from: u32,
    ) -> Vec<(u32, Arc<SigningKey>)> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let numbered = (0u32..).zip(all.iter()).skip(from as usize);
        let own = numbered.filter(|(index, _)| self.connection_of(*index) == connection);
        own.map(|(index, member)| (index, member.key.clone())).collect()
    }

    /// What a wallet's user is told from now on.
    pub(crate) fn listen(&self, index: u32) -> Option<broadcast::Receiver<Event>> {
        let member = self.get(index)?;
        let sender = member.events.get_or_init(|| broadcast::channel(EVENTS_KEPT).0);
        Some(sender.subscribe())
    }

    /// How a stream of a wallet's stands, whenever that changes from now on.
    pub(crate) fn watch_stream(
        &self,
        index: u32,
        key: StreamKey,
    ) -> Option<watch::Receiver<Option<StreamView>>> {
        let member = self.get(index)?;
        let mut streams = member.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= WATCHED_KEPT && streams.len().is_power_of_two() {
            streams.retain(|_, sender| sender.receiver_count() > 0);
        }
        Some(streams.entry(key).or_insert_with(|| watch::channel(None).0).subscribe())
    }

    /// What all who pay a stream have in hand together, so that what came back is paid again once; `first`
    /// is it where nobody pays it yet.
    pub(crate) fn paying(
        &self,
        index: u32,
        key: StreamKey,
        first: Paying,
    ) -> Arc<tokio::sync::Mutex<Paying>> {
        let first = Arc::new(tokio::sync::Mutex::new(first));
        let Some(member) = self.get(index) else { return first };
        let mut paying = member.paying.lock().unwrap_or_else(PoisonError::into_inner);
        paying.retain(|_, paying| paying.strong_count() > 0);
        if let Some(known) = paying.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        paying.insert(key, Arc::downgrade(&first));
        first
    }

    /// Whether somebody in this process has a stream in hand to pay it.
    #[cfg(any(test, feature = "cli"))]
    pub(crate) fn is_paid(&self, index: u32, key: &StreamKey) -> bool {
        let Some(member) = self.get(index) else { return false };
        let paying = member.paying.lock().unwrap_or_else(PoisonError::into_inner);
        paying.get(key).is_some_and(|paying| paying.strong_count() > 0)
    }

    /// Says how a stream stands to who has looked at it before anything happened.
    pub(crate) fn show_stream(&self, index: u32, view: StreamView) {
        let Some(member) = self.get(index) else { return };
        let streams = member.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = streams.get(&view.key) {
            sender.send_if_modified(|shown| {
                let news = shown.is_none();
                *shown = Some(shown.take().unwrap_or(view));
                news
            });
        }
    }

    /// Tells a wallet's listeners, if it has any.
    pub(crate) fn tell(&self, index: u32, event: Event) {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        match (&event, all.get(index as usize)) {
            (Event::Stream(view), Some(member)) => {
                let streams = member.streams.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = streams.get(&view.key) {
                    sender.send_replace(Some((**view).clone()));
                }
            }
            // The secrets are for who asked for them.
            (Event::Steps(_), _) => return,
            _ => {}
        }
        if let Some(sender) = all.get(index as usize).and_then(|member| member.events.get()) {
            // Nobody listens any more.
            let _ = sender.send(event);
        }
    }
}
