//! The memory that all answers of a listener may take together until they are read.
//!
//! An answer about blocks has megabytes, and there may be thousands of connections. When a new
//! answer finds no room, the connection that has held one the longest is closed, and the next: who
//! reads what was asked for holds it for milliseconds. Smaller answers than [`SMALL`] are not
//! counted; the number of connections bounds them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, HttpBody, to_bytes};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::Notify;

/// Up to so many bytes are not counted: 16 KiB.
pub(super) const SMALL: usize = 16 << 10;

/// What is held by all connections of a listener.
pub(super) struct Answers {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    next: u64,
    /// The oldest first.
    answers: BTreeMap<u64, (usize, Arc<Notify>)>,
}

/// An answer's bytes. They are given back when they have been written, or the connection is gone.
struct Holding {
    bytes: Bytes,
    id: u64,
    all: Arc<Answers>,
}

impl AsRef<[u8]> for Holding {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut held = self.all.held();
        if let Some((bytes, _)) = held.answers.remove(&self.id) {
            held.bytes = held.bytes.saturating_sub(bytes);
        }
    }
}

impl Answers {
    pub(super) fn new(bytes_max: usize) -> Arc<Answers> {
        Arc::new(Answers { bytes_max, held: Mutex::default() })
    }

    /// Nothing panics while it is held, and each change is whole.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.held().bytes
    }

    /// Counts an answer; `close` is told when others need its room. Bodies that are made while they
    /// are sent hold little, and go as they are.
    pub(super) async fn hold(self: &Arc<Self>, answer: Response, close: &Arc<Notify>) -> Response {
        let whole = answer.body().size_hint().exact();
        let Some(len) = whole.and_then(|len| usize::try_from(len).ok()).filter(|len| *len > SMALL)
        else {
            return answer;
        };
        let (head, body) = answer.into_parts();
        // It is in memory as one piece already: nothing is copied.
        let bytes = to_bytes(body, len).await.unwrap_or_default();
        let id = self.make_room(len, close);
        let holding = Holding { bytes, id, all: Arc::clone(self) };
        Response::from_parts(head, Body::from(Bytes::from_owner(holding)))
    }

    /// An answer that is larger than all room together is held alone.
    fn make_room(&self, len: usize, close: &Arc<Notify>) -> u64 {
        let mut held = self.held();
        while held.bytes.saturating_add(len) > self.bytes_max {
            let Some((_, (bytes, longest))) = held.answers.pop_first() else { break };
            held.bytes = held.bytes.saturating_sub(bytes);
            longest.notify_one();
        }
        let id = held.next;
        held.next = held.next.wrapping_add(1);
        held.bytes = held.bytes.saturating_add(len);
        held.answers.insert(id, (len, Arc::clone(close)));
        id
    }
}
