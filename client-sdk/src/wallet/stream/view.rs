//! A stream as a whole: what its locks come to.

use serde::{Deserialize, Serialize};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, PublicKey};

use super::super::{Wallet, Way};
use super::{Live, StreamId, StreamLock, StreamState};

/// Names a stream within a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamKey {
    /// Whether this wallet pays or is paid.
    pub way: Way,
    /// The other wallet.
    pub peer: PublicKey,
    /// The payer's name for it.
    pub stream: StreamId,
}

/// How a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamPhase {
    /// No lock of it stands yet.
    Opening,
    /// Steps can go.
    Open,
    /// What is left of its locks is being given back.
    Closing,
    /// Nothing more comes of it, for the reason that ended its last lock.
    Ended(Option<Code>),
}

/// A stream as a whole, in steps unless the name says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamView {
    /// Which.
    pub key: StreamKey,
    /// Of which asset.
    pub asset: AssetId,
    /// What the payee gets for a step.
    pub unit: Amount,
    /// What for.
    pub memo: String,
    /// Handed to the payee (payer), or durable here (payee); of locks that a payer knows the end of,
    /// what was redeemed. The payee gets no more than this, so a payer's may become less
    /// ([`StreamView::returned`]).
    pub paid: u64,
    /// Of these, what the payee has said that it holds (payer, since its process started), and what
    /// counts of locks that have ended.
    pub taken: u64,
    /// Handed to the payee, and not among those: their locks ended before they were redeemed, they are
    /// the payer's again, and may be paid again. Never becomes less (payer).
    pub returned: u64,
    /// Of these, what the hub knows of, as far as this side knows.
    pub redeemed: u64,
    /// Of these, what is settled in this wallet's channel.
    pub settled: u64,
    /// In locks that stand, and not handed out yet.
    pub left: u64,
    /// Of these, what can be handed out now: of locks that the payee has said that it has (payer).
    pub usable: u64,
    /// In locks that are asked for, and do not stand yet (payer).
    pub wanted: u64,
    /// How many of the locks that stand the payee has said that it has (payer: since its process
    /// started, or by then if steps were handed out).
    pub ready: u32,
    /// The steps of its newest lock.
    pub lock_steps: u32,
    /// How many locks of it stand.
    pub locks: u32,
    /// Why the newest lock has ended of which nothing was handed out; `None` if that is not so.
    pub refused: Option<Code>,
    /// Fees of the hub for what counts as paid, and upfront, in base units (payer).
    pub fees: Amount,
    /// How it stands.
    pub phase: StreamPhase,
    /// When its first lock was made that is remembered, in milliseconds since 1970.
    pub created_ms: u64,
}

impl StreamView {
    /// What was paid, in base units.
    pub fn amount(&self) -> Amount {
        Amount(self.unit.0.saturating_mul(self.paid))
    }

    /// One that is paid and has no lock with steps left, for tests.
    #[cfg(test)]
    pub(crate) fn sample() -> StreamView {
        let peer = settlement::crypto::SigningKey::from_bytes([3; 32]).unwrap().public();
        StreamView {
            key: StreamKey { way: Way::Out, peer, stream: StreamId([7; 16]) },
            asset: AssetId(0),
            unit: Amount(1),
            memo: String::new(),
            paid: 20,
            taken: 20,
            returned: 0,
            redeemed: 20,
            settled: 20,
            left: 0,
            usable: 0,
            wanted: 0,
            ready: 0,
            lock_steps: 10,
            locks: 2,
            refused: None,
            fees: Amount::ZERO,
            phase: StreamPhase::Open,
            created_ms: 0,
        }
    }

    /// Whether nothing more comes of it.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, StreamPhase::Ended(_))
    }

    fn of(key: StreamKey, newest: &StreamLock) -> StreamView {
        StreamView {
            key,
            asset: newest.asset,
            unit: newest.unit,
            memo: newest.memo.clone(),
            paid: 0,
            taken: 0,
            returned: 0,
            redeemed: 0,
            settled: 0,
            left: 0,
            usable: 0,
            wanted: 0,
            ready: 0,
            lock_steps: newest.steps,
            locks: 0,
            refused: match newest.state {
                StreamState::Ended(code) if newest.shown == 0 => code,
                _ => None,
            },
            fees: Amount::ZERO,
            phase: StreamPhase::Ended(None),
            created_ms: newest.created_ms,
        }
    }

    fn add(&mut self, lock: &StreamLock, live: Option<&Live>, left: u32) {
        let paid = lock.paid();
        let taken = if lock.has_ended() { paid } else { live.map_or(0, |live| live.taken) };
        let count = |total: &mut u64, steps: u32| *total = total.saturating_add(steps.into());
        count(&mut self.paid, paid);
        count(&mut self.taken, taken.max(lock.redeemed).min(paid));
        count(&mut self.returned, lock.shown.saturating_sub(paid));
        count(&mut self.redeemed, lock.redeemed);
        count(&mut self.settled, lock.settled);
        self.created_ms = self.created_ms.min(lock.created_ms);
        let per_steps = lock.fee_per_step.0.saturating_mul(paid.into());
        let upfront = if lock.paid_upfront() { lock.fee_upfront.0 } else { 0 };
        let fees = upfront.saturating_add(per_steps);
        self.fees = Amount(self.fees.0.saturating_add(fees));
        let closing = live.is_some_and(|live| live.closing);
        match lock.state {
            StreamState::Open => {
                self.locks = self.locks.saturating_add(1);
                let left = if closing { 0 } else { left };
                let ready = lock.way == Way::Out && lock.is_at_payee(live);
                count(&mut self.left, left);
                count(&mut self.usable, if ready { left } else { 0 });
                self.ready = self.ready.saturating_add(u32::from(ready));
            }
            StreamState::Wanted => count(&mut self.wanted, if closing { 0 } else { lock.steps }),
            StreamState::Ended(_) => {}
        }
        // Whatever can still be paid with counts first, then what is still to come back.
        self.phase = match (self.phase, lock.state) {
            (StreamPhase::Open, _) => StreamPhase::Open,
            (_, StreamState::Open) if !closing => StreamPhase::Open,
            (StreamPhase::Closing, _) | (_, StreamState::Open) => StreamPhase::Closing,
            (StreamPhase::Opening, _) | (_, StreamState::Wanted) => StreamPhase::Opening,
            (StreamPhase::Ended(_), StreamState::Ended(code)) => StreamPhase::Ended(code),
        };
    }
}

impl Wallet {
    /// A stream as a whole, if the wallet has it.
    pub fn stream(&self, key: &StreamKey) -> Option<StreamView> {
        let newest = self.state.streams.locks_of(key).last()?;
        let mut view = StreamView::of(*key, newest);
        for lock in self.state.streams.locks_of(key) {
            view.add(lock, self.live.get(&lock.anchor), self.steps_left(lock));
        }
        Some(view)
    }

    /// How many steps of a stream the payee was paid for, once nothing more can come of it (payer). Of
    /// a lock whose end is forgotten, or that ended with its channel, all that were handed out.
    pub fn redeemed_at_the_end(&self, key: &StreamKey) -> Option<u64> {
        let mut locks = self.state.streams.locks_of(key);
        locks.try_fold(0u64, |redeemed, lock| {
            lock.has_ended().then(|| redeemed.saturating_add(lock.paid().into()))
        })
    }

    /// The stream that the lock with this anchor is of.
    pub fn stream_of(&self, anchor: &Anchor) -> Option<StreamView> {
        self.stream(&self.state.streams.get(anchor)?.key())
    }

    /// All streams of this way, ended ones included.
    pub fn streams(&self, way: Way) -> impl Iterator<Item = StreamView> {
        self.state.streams.keys(way).filter_map(|key| self.stream(key))
    }

    /// The locks of a stream, in the order of adding.
    pub fn stream_locks(&self, key: &StreamKey) -> impl Iterator<Item = &StreamLock> {
        self.state.streams.locks_of(key)
    }
}
