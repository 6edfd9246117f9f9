//! Streams between the wallets of a thread: wallet `n` pays the one after it, each over locks of its
//! own, the next one added before the last is used up.
//!
//! The two wallets of a stream hand steps over within this process, where others would use the relay or
//! an answer of HTTP; each step is hashed by the payee before it counts. Everything else goes over the
//! sockets: the locks, each redemption, what the payer is told of it, the settlements of both legs, and
//! the rest that is given back.

mod flow;

use std::collections::VecDeque;

use client_sdk::api::{FeePolicy, StreamFee, upfront_memo};
use client_sdk::wallet::stream::Chain;
use rand::Rng;
use settlement::channel::{Answer, Change, NewOp};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Amount, Height, PublicKey, Secret};
use settlement::update::{Destination, Payload};

use super::Fleet;

/// What a step is worth to the payee.
const UNIT: Amount = Amount(1);
/// After a lock was refused the next one is tried so much later.
const PAUSE_NS: u64 = 500_000_000;

/// How streams go.
#[derive(Clone, Copy, Debug)]
pub struct StreamPace {
    /// How many wallets pay one.
    pub streams: usize,
    /// Steps that are redeemed at once.
    pub steps_per_redemption: u32,
    /// Steps of a lock.
    pub steps_per_lock: u32,
    /// Redemptions of a stream of which its payer was not told yet, at most.
    pub ahead: u32,
    /// Whether redemptions fall due by a schedule.
    pub open_loop: bool,
}

/// What one wallet pays the next.
#[derive(Default)]
pub(super) struct Stream {
    /// Oldest first.
    locks: VecDeque<StreamLock>,
    /// The next one, until an update takes it.
    next: Option<StreamLock>,
    /// When the next one may be tried.
    not_before_ns: u64,
    /// Redemptions that fell due.
    due: u32,
    /// Whether it is on the list of those that may redeem.
    listed: bool,
    /// What the payee has shown is to be shown again, and since when that waits for the payer to hear
    /// again what it was told.
    resend: bool,
    waits_since_ns: Option<u64>,
}

/// One of its locks, as both sides know it.
pub(super) struct StreamLock {
    chain: Chain,
    fee: StreamFee,
    /// In the payer's channel.
    outgoing: u64,
    /// In the payee's, once it is there.
    incoming: Option<u64>,
    /// Steps that the payee has redeemed, and the secret of the newest.
    shown: u32,
    newest: [u8; 32],
    /// Steps that the payer was told of.
    told: u32,
    /// Nothing more comes of it in the payer's channel, in the payee's.
    payer_done: bool,
    payee_done: bool,
    /// A redemption, by its steps, and when it was made: until the payer is told.
    mark: Option<(u32, u64)>,
    /// Whether the hub has shown the payer on this connection what it had been told.
    told_again: bool,
}

impl StreamLock {
    /// One of fresh randomness.
    fn new(rng: &mut impl Rng, steps: u32, fees: &FeePolicy) -> Option<StreamLock> {
        let mut seed = Secret([0; 32]);
        rng.fill_bytes(&mut seed.0);
        let (chain, fee) = (Chain::new(seed, steps), fees.stream(UNIT, steps)?);
        Some(StreamLock {
            newest: chain.anchor().0,
            chain,
            fee,
            outgoing: 0,
            incoming: None,
            shown: 0,
            told: 0,
            payer_done: false,
            payee_done: false,
            mark: None,
            told_again: false,
        })
    }

    fn fee_per_step(&self) -> Amount {
        if let StreamFee::PerStep(fee) = self.fee { fee } else { Amount::ZERO }
    }

    fn ops(&self, to: PublicKey, expiry: Height) -> Vec<NewOp> {
        let anchor = self.chain.anchor();
        let mut ops = Vec::new();
        if let StreamFee::Upfront(amount) = self.fee {
            ops.push(NewOp::Pay { amount, memo: upfront_memo(&anchor) });
        }
        ops.push(NewOp::Add {
            anchor,
            unit: Amount(UNIT.0.saturating_add(self.fee_per_step().0)),
            steps: self.chain.steps(),
            expiry,
            to: Destination { hub: None, wallet: to },
            payload: Payload::default(),
        });
        ops
    }

    fn left(&self) -> u32 {
        let over = self.payer_done || self.payee_done;
        if over { 0 } else { self.chain.steps() - self.shown }
    }

    fn is_over(&self) -> bool {
        self.payer_done && (self.payee_done || self.incoming.is_none())
    }

    /// How many redemptions come to so many of its steps.
    fn redemptions(steps: u32, each: u32) -> u32 {
        steps.div_ceil(each)
    }
}

impl Stream {
    fn left(&self) -> u32 {
        self.locks.iter().map(StreamLock::left).sum()
    }

    /// Redemptions of which the payer was not told.
    fn ahead(&self, each: u32) -> u32 {
        let redemptions = |steps| StreamLock::redemptions(steps, each);
        let ahead = |lock: &StreamLock| redemptions(lock.shown) - redemptions(lock.told);
        self.locks.iter().map(ahead).sum()
    }

    fn forget_over(&mut self) {
        self.locks.retain(|lock| !lock.is_over());
    }
}

impl Fleet {
    fn payee_of(&self, at: usize) -> usize {
        (at + 1) % self.wallets.len().max(1)
    }

    /// Who pays this wallet a stream.
    fn payer_of(&self, at: usize) -> Option<usize> {
        let all = self.wallets.len().max(1);
        let payer = (at + all - 1) % all;
        (payer < self.streams.len()).then_some(payer)
    }

    fn outgoing(&mut self, at: usize, id: u64) -> Option<&mut StreamLock> {
        self.streams.get_mut(at)?.locks.iter_mut().find(|lock| lock.outgoing == id)
    }

    fn incoming(&mut self, at: usize, id: u64) -> Option<&mut StreamLock> {
        let payer = self.payer_of(at)?;
        self.streams.get_mut(payer)?.locks.iter_mut().find(|lock| lock.incoming == Some(id))
    }

    /// Whether this lock of the hub's is of a stream.
    pub(super) fn is_of_stream(&mut self, at: usize, id: u64) -> bool {
        self.incoming(at, id).is_some()
    }

    /// The hub has accepted what this wallet's update does.
    pub(super) fn accepted(&mut self, at: usize, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Settled { id, steps, .. } => {
                    if !self.stream_settled(at, *id, *steps) {
                        self.wallets[at].books.settled += 1;
                    }
                }
                // What wallets pay the hub directly is the fees of streams.
                Change::Paid { amount, .. } => {
                    let books = &mut self.wallets[at].books;
                    books.paid += amount.0;
                    books.fees += amount.0;
                }
                Change::Added { .. } | Change::Dropped { .. } => {}
            }
        }
    }

    fn stream_settled(&mut self, at: usize, id: u64, steps: u32) -> bool {
        if self.outgoing(at, id).is_none() {
            return false;
        }
        let wallet = &mut self.wallets[at];
        wallet.books.steps_settled += u64::from(steps);
        if wallet.channel.outgoing().accepted.lock(id).is_none() {
            self.payer_is_done(at, id);
        }
        true
    }

    fn payer_is_done(&mut self, at: usize, id: u64) {
        if let Some(lock) = self.outgoing(at, id) {
            lock.payer_done = true;
            let payee = self.payee_of(at);
            let coming = &mut self.wallets[payee].coming;
            *coming = coming.saturating_sub(1);
            self.streams[at].forget_over();
        }
    }

    /// The hub has shown a payer how far its payee is. Whether this lock is of a stream.
    pub(super) fn stream_told(&mut self, at: usize, id: u64, now_ns: u64) -> bool {
        let each = self.pace.streams.steps_per_redemption;
        let standing = self.wallets[at].channel.outgoing().standing.get(&id).copied();
        let Some(lock) = self.outgoing(at, id) else { return false };
        let known = standing.and_then(|standing| match standing.answer {
            Some(Answer::Known { steps, .. }) => {
                Some((lock.chain.steps() - standing.lock.steps) + steps)
            }
            _ => None,
        });
        let told = known.unwrap_or(lock.told).max(lock.told);
        let redemptions = |steps| StreamLock::redemptions(steps, each);
        let (more, made) = (told - lock.told, redemptions(told) - redemptions(lock.told));
        (lock.told, lock.told_again) = (told, true);
        let mark = lock.mark.take_if(|(steps, _)| *steps <= told);
        let fee = lock.fee_per_step().0;
        let books = &mut self.wallets[at].books;
        books.steps_told += u64::from(more);
        books.paid += (UNIT.0 + fee) * u64::from(more);
        books.fees += fee * u64::from(more);
        self.stats.redeemed(made, more, mark.map(|(_, since_ns)| since_ns), now_ns);
        self.list_stream(at);
        true
    }

    /// The hub has shown a payer a secret once more.
    pub(super) fn stream_told_again(&mut self, at: usize, id: u64, secret: &Secret) {
        let standing = self.wallets[at].channel.outgoing().standing.get(&id);
        let same = matches!(standing.and_then(|standing| standing.answer),
            Some(Answer::Known { secret: known, .. }) if known == *secret);
        if let (true, Some(lock)) = (same, self.outgoing(at, id)) {
            lock.told_again = true;
        }
    }

    /// What is left of a payer's lock is its own again. Whether this lock is of a stream.
    pub(super) fn stream_gone(&mut self, at: usize, id: u64, code: Code, now_ns: u64) -> bool {
        if self.outgoing(at, id).is_none() {
            return false;
        }
        self.payer_is_done(at, id);
        if code != Code::StreamClosed {
            self.stats.refused(format!("a stream's lock came back: {code}"));
            self.streams[at].not_before_ns = now_ns.saturating_add(PAUSE_NS);
        }
        true
    }

    /// A stream's lock has reached its payee, which takes it for just what its payer meant.
    pub(super) fn stream_added(&mut self, at: usize, lock: &Lock) -> bool {
        let Some(payer) = self.payer_of(at) else { return false };
        let meant = |own: &&mut StreamLock| {
            let same = own.chain.anchor() == lock.anchor && own.chain.steps() == lock.steps;
            same && lock.unit == UNIT
        };
        let Some(own) = self.streams[payer].locks.iter_mut().find(meant) else { return false };
        own.incoming = Some(lock.id);
        self.list_stream(payer);
        true
    }

    /// The hub has settled a part of a stream with its payee, by its signature. Whether this lock is
    /// of a stream.
    pub(super) fn stream_collected(&mut self, at: usize, id: u64, steps: u32) -> bool {
        if self.incoming(at, id).is_none() {
            return false;
        }
        let wallet = &mut self.wallets[at];
        wallet.books.steps_collected += u64::from(steps);
        if !wallet.channel.incoming().locks.contains_key(&id) {
            self.stream_dropped(at, id);
        }
        true
    }

    /// A stream's lock is out of its payee's channel.
    pub(super) fn stream_dropped(&mut self, at: usize, id: u64) {
        let Some(payer) = self.payer_of(at) else { return };
        if let Some(lock) = self.incoming(at, id) {
            lock.payee_done = true;
            self.streams[payer].forget_over();
        }
    }
}
