//! Transactions that wait for a block, the most urgent first: in the order of the nearest expiry or
//! end of a window that each protects, or of its arrival and the inclusion delay, whichever is
//! earlier. So a flood of transfers delays no claim, and a flood of claims delays no transfer by
//! more than the delay that everybody's margins allow for. What an account sent before an urgent
//! transaction moves forward with it, as nonces keep their order.
//!
//! Bounded in number and bytes. When it is full, what protects a deadline takes the room of what
//! protects none, or a later one: on a ledger without fees anybody can fill it for nothing, and a
//! claim that is put off until its lock has expired is money lost. Sending the same transaction again repeats the answer: while it
//! waits, and after it was applied (at least the newest [`REMEMBERED`] are known). One that was refused in a
//! block is forgotten, so that it can be sent again when it may work: a `Settle` that came too
//! early is the very same transaction later on.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::Ledger;
use super::apply::Ahead;
use super::verified::{TX_BYTES_MAX, VerifiedTx};
use crate::encoding::encode;
use crate::params::{Genesis, Policy};
use crate::reject::Code;
use crate::tx::Transaction;
use crate::types::{Height, PublicKey, TxId};

/// How many applied transactions are remembered at least, and half of how many at most.
pub const REMEMBERED: usize = 32_768;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct MempoolConfig {
    /// The most transactions.
    pub count: usize,
    /// The most bytes of them.
    pub bytes: usize,
}

impl Default for MempoolConfig {
    fn default() -> MempoolConfig {
        MempoolConfig { count: 65_536, bytes: 64 << 20 }
    }
}

impl MempoolConfig {
    /// The same, but with no more bytes than a ledger of this genesis has room for in time: what was
    /// let in is in a block within the inclusion delay, which everybody's margins count on, also
    /// behind a queue full of what came before it.
    #[must_use]
    pub fn within_delay(self, genesis: &Genesis) -> MempoolConfig {
        let blocks = Policy::for_genesis(genesis).inclusion_delay.saturating_sub(1);
        // A transaction that does not fit any more leaves at most its own size of a block unused.
        let each = u64::from(genesis.block_bytes).saturating_sub(TX_BYTES_MAX as u64);
        let room = usize::try_from(blocks.saturating_mul(each)).unwrap_or(usize::MAX);
        MempoolConfig { bytes: self.bytes.min(room), ..self }
    }
}

/// The most that are looked at for one to take the room of others.
const DISPLACED_MAX: usize = 4_096;

/// A transaction that waits, with how many hashes on locks of many steps it declared when it came,
/// and the nearest deadline that it protected then.
#[derive(Debug)]
struct Waiting {
    tx: VerifiedTx,
    streams: u64,
    protects: Option<Height>,
}

impl Waiting {
    fn gives_way_to(&self, protects: Height) -> bool {
        self.protects.is_none_or(|own| own > protects)
    }
}

/// The height that a transaction should be in a block by, and the order of arrival.
type Place = (Height, u64);

/// The queue.
#[derive(Debug, Default)]
pub struct Mempool {
    config: MempoolConfig,
    queue: BTreeMap<Place, Waiting>,
    bytes: usize,
    /// How many were ever taken in.
    arrived: u64,
    /// Where those are that wait, those taken for the block being made included.
    places: HashMap<TxId, Place>,
    /// Those that spend a nonce of this account, in the order of nonces; `None` for mints.
    lines: HashMap<Option<PublicKey>, VecDeque<TxId>>,
    applied: Applied,
}

/// The newest applied transactions, and up to as many before them. They have their room from the
/// start, so that they do not grow while a ledger is busy.
#[derive(Debug)]
struct Applied {
    newest: HashSet<TxId>,
    before: HashSet<TxId>,
}

impl Default for Applied {
    fn default() -> Applied {
        let room = || HashSet::with_capacity(REMEMBERED);
        Applied { newest: room(), before: room() }
    }
}

impl Applied {
    fn contains(&self, id: &TxId) -> bool {
        self.newest.contains(id) || self.before.contains(id)
    }

    fn remember(&mut self, id: TxId) {
        if self.newest.len() >= REMEMBERED {
            std::mem::swap(&mut self.newest, &mut self.before);
            self.newest.clear();
        }
        self.newest.insert(id);
    }
}

impl Mempool {
    /// An empty queue.
    pub fn new(config: MempoolConfig) -> Mempool {
        Mempool { config, ..Mempool::default() }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many of them spend a nonce of this account.
    pub fn spending(&self, account: &PublicKey) -> u64 {
        self.ahead(&Some(*account))
    }

    /// How many mints wait.
    pub fn minting(&self) -> u64 {
        self.ahead(&None)
    }

    fn ahead(&self, by: &Option<PublicKey>) -> u64 {
        let line = self.lines.get(by).map_or(0, VecDeque::len);
        u64::try_from(line).unwrap_or(u64::MAX)
    }

    /// Takes a transaction in, if it would be taken in the next block behind what waits of the
    /// same account.
    ///
    /// # Errors
    /// The code that it is refused with.
    pub fn submit(&mut self, ledger: &Ledger, tx: Transaction) -> Result<TxId, Code> {
        let id = tx.id();
        if self.places.contains_key(&id) {
            return Ok(id);
        }
        match self.admit(ledger, tx) {
            Err(_) if self.applied.contains(&id) => Ok(id),
            other => other.map(|()| id),
        }
    }

    fn admit(&mut self, ledger: &Ledger, tx: Transaction) -> Result<(), Code> {
        let spends = tx.spends();
        let ahead = spends.map_or(0, |by| self.ahead(&by));
        // Cheap refusals come before signatures are checked: whoever is put off tries again.
        let bytes = encode(&tx).len();
        let next = ledger.tip().height.after(1);
        let protects = ledger.protects(&tx, next);
        let displaced = self.displaced_by(bytes, spends, protects).ok_or(Code::QueueFull)?;
        let verified = ledger.verify_tx(tx)?;
        ledger.check_behind(&verified, Ahead(ahead))?;
        displaced.iter().for_each(|place| self.displace(place));
        self.bytes = self.bytes.saturating_add(bytes);
        self.arrived = self.arrived.saturating_add(1);
        let patient = next.after(Policy::for_genesis(ledger.parameters()).inclusion_delay);
        let urgent = protects.map_or(patient, |protects| protects.min(patient));
        let place = (urgent, self.arrived);
        self.places.insert(verified.id(), place);
        if let Some(by) = spends {
            self.move_forward(&by, urgent);
            self.lines.entry(by).or_default().push_back(verified.id());
        }
        let streams = ledger.cost(&verified, next).streams;
        self.queue.insert(place, Waiting { tx: verified, streams, protects });
        Ok(())
    }

    /// Whose room one of so many bytes takes: nobody's if there is room. `None` if it has to wait
    /// outside. Only the last of an account's line can go, as nonces keep their order.
    fn displaced_by(
        &self,
        bytes: usize,
        spends: Option<Option<PublicKey>>,
        protects: Option<Height>,
    ) -> Option<Vec<Place>> {
        let (mut count, mut total) = (self.queue.len(), self.bytes.saturating_add(bytes));
        let full = |count, total| count >= self.config.count || total > self.config.bytes;
        let mut displaced = Vec::new();
        let mut staying: HashSet<Option<PublicKey>> = spends.into_iter().collect();
        let mut from_behind = self.queue.iter().rev().take(DISPLACED_MAX);
        while full(count, total) {
            let (protects, (place, waiting)) = (protects?, from_behind.next()?);
            let by = waiting.tx.tx().spends();
            if by.is_some_and(|by| staying.contains(&by)) || !waiting.gives_way_to(protects) {
                staying.extend(by);
                continue;
            }
            (count, total) = (count.saturating_sub(1), total.saturating_sub(waiting.tx.bytes()));
            displaced.push(*place);
        }
        Some(displaced)
    }

    fn displace(&mut self, place: &Place) {
        let Some(Waiting { tx, .. }) = self.queue.remove(place) else { return };
        self.bytes = self.bytes.saturating_sub(tx.bytes());
        self.places.remove(&tx.id());
        self.leave_line(tx.tx(), &tx.id());
    }

    /// Nothing of an account may come after what the account sent later. So the line is in the order
    /// of urgency too, and what is early enough ends it: a long line costs nothing.
    fn move_forward(&mut self, by: &Option<PublicKey>, urgent: Height) {
        for id in self.lines.get(by).into_iter().flatten().rev() {
            let Some(place) = self.places.get_mut(id).filter(|place| place.0 > urgent) else {
                return;
            };
            if let Some(tx) = self.queue.remove(place) {
                place.0 = urgent;
                self.queue.insert(*place, tx);
            }
        }
    }

    /// The most urgent that fit into so many bytes and hashes on streams. What is too dear is left
    /// out with all that its account sent after it, and those behind come in: else a pile of dear
    /// claims would crowd out the payments for which a block keeps room. What is taken still counts
    /// as waiting until [`Mempool::done`].
    pub(super) fn take(&mut self, mut bytes: usize, mut streams: u64) -> Vec<VerifiedTx> {
        let mut places = Vec::new();
        let mut behind: HashSet<Option<PublicKey>> = HashSet::new();
        for (place, waiting) in &self.queue {
            let spends = waiting.tx.tx().spends();
            let Some(left) = bytes.checked_sub(waiting.tx.bytes()) else {
                break;
            };
            let dear = waiting.streams > streams;
            if dear || spends.is_some_and(|by| behind.contains(&by)) {
                behind.extend(spends);
                continue;
            }
            bytes = left;
            streams = streams.saturating_sub(waiting.streams);
            places.push(*place);
        }
        let taken = places.into_iter().filter_map(|place| self.queue.remove(&place));
        taken.map(|waiting| waiting.tx).collect()
    }

    /// Says what became of those that were taken. What is left over goes back to its place.
    pub(super) fn done(
        &mut self,
        applied: &[Transaction],
        outcomes: &[(TxId, Result<(), Code>)],
        left_over: Vec<VerifiedTx>,
    ) {
        for tx in left_over {
            if let Some(place) = self.places.get(&tx.id()) {
                // It was cheap enough by what it declared when it came, so it is looked at again;
                // a block had it already, so it gives way to nothing.
                let protects = Some(Height(0));
                self.queue.insert(*place, Waiting { tx, streams: 0, protects });
            }
        }
        for (tx, (id, outcome)) in applied.iter().zip(outcomes) {
            self.places.remove(id);
            self.leave_line(tx, id);
            if outcome.is_ok() {
                self.applied.remember(*id);
            }
        }
        self.bytes = self.queue.values().map(|waiting| waiting.tx.bytes()).sum();
    }

    fn leave_line(&mut self, tx: &Transaction, id: &TxId) {
        let Some(by) = tx.spends() else { return };
        if let Some(line) = self.lines.get_mut(&by) {
            // Those of one account go into blocks in their order.
            if line.front() == Some(id) {
                line.pop_front();
            } else if line.back() == Some(id) {
                line.pop_back();
            } else {
                line.retain(|waiting| waiting != id);
            }
            if line.is_empty() {
                self.lines.remove(&by);
            }
        }
    }
}

#[cfg(test)]
mod tests;
