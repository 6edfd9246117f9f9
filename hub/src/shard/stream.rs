//! Locks of many steps: what is redeemed of them, step by step.
//!
//! A payee that redeems costs one record of its own channel, and as many hashes as its secret is
//! deeper than the last one. The payer's channel is not touched for each: with the next tick it
//! hears of the newest secret of each lock that was redeemed meanwhile, measured already, so it costs
//! no hash a second time. Until then a crash loses nothing: the pair has the secret, and passes it
//! again after the start. Both legs settle the newest a second later, however many redemptions came
//! in between.
//!
//! | what ends a lock of the hub's own | what the payer's channel is told, in this order |
//! | --- | --- |
//! | all steps redeemed | the last secret, at once |
//! | given up by the payee, or expired | the newest secret that is known, then that the rest is back |
//!
//! A payer's lock of which something is known can't be given up before that is settled: so the rest
//! waits in the route until the payer has settled, and is given up then. The wallet that closes a
//! stream has the hub settle at once, with an update without operations.
//!
//! Hashing is bounded per wallet, all its channels together: beyond
//! [`super::Limits::hashes_per_second`] a secret, or an update that settles with one that is not known,
//! is refused with [`Code::HashBudget`] before anything is hashed, and changes nothing. Where a wallet's
//! channels are kept by several shards, each has its share of that for them.

use foldhash::HashMap;
use settlement::channel::{Answer, Change, HASHES_PER_MESSAGE, Step, VerifiedUpdate};
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{ChannelId, PublicKey, Secret};
use settlement::update::Op;

use super::slot::{NOBODY, Slot};
use super::state::Cx;
use super::{Directory, Pass, Shard};

/// How many hashes the messages of wallets have cost in a second of the own clock. Only of wallets
/// that had something hashed in it.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    second: u64,
    of: HashMap<PublicKey, u32>,
}

impl Slot {
    /// How many steps of the chain lie beyond the newest secret that is known of an own lock: `None`
    /// when that is not to be told from the channel any more.
    fn left_beyond(&self, own: u64, secret: &Secret) -> Option<u32> {
        let standing = self.channel.outgoing().standing.get(&own)?;
        match standing.answer {
            Some(Answer::Known { secret: known, steps }) if known == *secret => {
                standing.lock.steps.checked_sub(steps)
            }
            _ if standing.lock.anchor.0 == secret.0 => Some(standing.lock.steps),
            _ => None,
        }
    }

    /// Whether a part of an own lock is known, and the rest is not.
    pub(super) fn is_streaming(&self, own: u64) -> bool {
        let standing = self.channel.outgoing().standing.get(&own);
        standing.is_some_and(|standing| match standing.answer {
            Some(Answer::Known { steps, .. }) => steps < standing.lock.steps,
            _ => false,
        })
    }

    /// What the payer's channel is told of an own lock, of which something is redeemed.
    pub(super) fn redeemed(&self, id: ChannelId, own: u64) -> Option<Pass> {
        let pair = self.pairs.get(&own).filter(|pair| pair.incoming != NOBODY)?;
        let (incoming, outgoing, secret) = (pair.incoming, (id, own), pair.secret?);
        Some(match self.left_beyond(own, &secret).filter(|left| *left > 0) {
            Some(left) => Pass::Streamed { incoming, outgoing, secret, left },
            None => Pass::Outcome { incoming, outgoing, outcome: Ok(secret) },
        })
    }
}

impl Shard {
    /// What a payee has shown is so many steps deeper than what it had shown before, if the lock is of a
    /// stream: one that has, or had, more than one step.
    pub(super) fn count_redeemed(
        &self,
        id: ChannelId,
        lock: u64,
        step: &Step,
        steps: u32,
        cx: &mut Cx<'_>,
    ) {
        let Step::PeerAnswered { answer: Answer::Known { .. }, .. } = step else { return };
        let slot = self.slots.get(&id);
        let standing = slot.and_then(|slot| slot.channel.outgoing().standing.get(&lock));
        let first = slot.and_then(|slot| Some(slot.pairs.get(&lock)?.anchor));
        let streams = standing
            .is_some_and(|standing| standing.lock.steps > 1 || first != Some(standing.lock.anchor));
        if streams {
            let redeemed = &mut cx.out.redeemed;
            redeemed.redemptions = redeemed.redemptions.saturating_add(1);
            redeemed.steps = redeemed.steps.saturating_add(u64::from(steps));
        }
    }

    /// A part of an own lock was redeemed: its payer hears of it with the next tick.
    pub(super) fn ripple(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && !std::mem::replace(&mut slot.rippling, true)
        {
            self.ripples.push(id);
        }
    }

    /// Tells the payers of all that was redeemed since the last time.
    pub(super) fn pass_ripples(&mut self, cx: &mut Cx<'_>) {
        for id in std::mem::take(&mut self.ripples) {
            self.pass_streams(id, cx);
        }
    }

    /// Tells the payers of what was redeemed in this channel.
    pub(super) fn pass_streams(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if !std::mem::replace(&mut slot.rippling, false) {
            return;
        }
        // Also what an update has settled since, so that nothing of it is known any more.
        let redeemed = slot.pairs.keys().filter_map(|own| slot.redeemed(id, *own));
        let parts = |pass: &Pass| matches!(pass, Pass::Streamed { left, .. } if *left > 0);
        cx.out.passes.extend(redeemed.filter(parts));
    }

    /// Before anything else is said of an own lock: what is known of it.
    pub(super) fn pass_redeemed(&self, id: ChannelId, own: u64, cx: &mut Cx<'_>) {
        let pass = self.slots.get(&id).and_then(|slot| slot.redeemed(id, own));
        cx.out.passes.extend(pass);
    }

    /// The payee of a payer's lock has redeemed a part of it.
    pub(super) fn on_streamed(
        &mut self,
        (id, lock): (ChannelId, u64),
        secret: &Secret,
        left: u32,
        cx: &mut Cx<'_>,
    ) {
        let beyond = self.channel(&id).map(|channel| channel.steps_beyond_known(lock, left));
        let way = Lock::strides(secret, beyond.unwrap_or(0), HASHES_PER_MESSAGE);
        let strides = (0u32..).map(|stride| stride.saturating_mul(HASHES_PER_MESSAGE));
        let strides: Vec<u32> = strides.take(way.len()).collect();
        for (secret, stride) in way.iter().zip(strides.into_iter().rev()) {
            let left = left.saturating_add(stride);
            let step = self.channel(&id).map(|it| it.reveal_measured(lock, secret, left));
            // Known already, or an error: a lock that the payer has settled or dropped.
            let Some(Ok(Some(step))) = step else { return };
            self.commit(id, step, cx);
            self.protect(id, lock, cx);
        }
    }

    /// The payer has settled what was known of its lock. If the rest was given up by the payee, it is
    /// given up here now.
    pub(super) fn give_up_rest(&mut self, id: ChannelId, lock: u64, cx: &mut Cx<'_>) {
        let code = self.slots.get(&id).and_then(|slot| slot.route(lock)?.gone);
        if let Some(code) = code {
            self.give_up(id, lock, code, cx);
        }
    }

    /// A part of own locks was settled: nothing of the rest is known any more, so that it may expire.
    pub(super) fn watch_rests(&mut self, id: ChannelId, changes: &[Change]) {
        let next = self.followed().0.after(1);
        for change in changes {
            let Change::Settled { id: own, .. } = change else { continue };
            let standing = self.channel(&id).and_then(|it| it.outgoing().standing.get(own));
            if let Some(expiry) = standing.map(|standing| standing.lock.expiry) {
                self.wake_at(id, expiry.max(next));
            }
        }
    }

    /// Whether the wallet of this channel may have something hashed in this second.
    pub(super) fn may_hash(&self, id: ChannelId, directory: &dyn Directory) -> bool {
        let Some(channel) = self.channel(&id) else { return true };
        let made = self.hashed.of.get(channel.peer_key()).copied().unwrap_or(0);
        let made = if self.hashed.second == self.second() { made } else { 0 };
        let most = self.config.limits.hashes_per_second;
        let share = |shards: u32| most.checked_div(shards).unwrap_or(most).max(1);
        // Nobody has to be asked about what is little.
        made < share(self.config.slice.count.into())
            || made < share(directory.spread(channel.peer_key()))
    }

    /// So many hashes were made for the wallet of this channel.
    pub(super) fn count_hashes(&mut self, id: ChannelId, hashes: u32) {
        let second = self.second();
        if std::mem::replace(&mut self.hashed.second, second) != second {
            self.hashed.of.clear();
        }
        let Some(wallet) = self.channel(&id).map(|channel| *channel.peer_key()) else { return };
        if hashes > 0 {
            let made = self.hashed.of.entry(wallet).or_default();
            *made = made.saturating_add(hashes);
        }
    }

    fn second(&self) -> u64 {
        self.clock_ms / 1_000
    }

    /// Whether an update makes the hub hash: it settles with a secret that is not known here.
    pub(super) fn makes_hash(&self, id: ChannelId, update: &VerifiedUpdate) -> bool {
        let Some(channel) = self.channel(&id) else { return false };
        update.ops().iter().any(|op| match op {
            Op::Settle { id, secret } => {
                let known = channel.incoming().locks.get(id).and_then(|known| known.answer);
                !matches!(known, Some(Answer::Known { secret: known, .. }) if known == *secret)
            }
            _ => false,
        })
    }

    /// What an update cost at most that made the hub hash.
    pub(super) fn hashes_of(step: Option<&Step>) -> u32 {
        let Some(Step::Received(update)) = step else { return HASHES_PER_MESSAGE };
        let steps = update.changes.iter().map(|change| match change {
            Change::Settled { steps, .. } => *steps,
            _ => 0,
        });
        steps.fold(0, u32::saturating_add)
    }
}

/// The refusal of whoever asks for too much hashing.
pub(super) const TOO_MUCH: Code = Code::HashBudget;
