//! One channel with what the hub knows beside it.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use settlement::channel::{Answer, Channel, Now, Phase};
use settlement::lock::{ByLock, Lock};
use settlement::rare::{AtRest, Rare};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, ChannelId, Height, PublicKey, Secret};

use super::capacity::Load;
use super::lost::Lost;
use super::{Forward, ME};
use crate::by_channel::OfChannel;

/// The payer of a lock of the hub's own that was taken back from its wallet, until it is found.
pub(super) const NOBODY: (ChannelId, u64) = (ChannelId([0; 32]), 0);

/// For whom a lock of the hub's own was added, and what has come of it. Kept until the payer's
/// channel has recorded that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    /// The payer's channel and lock.
    pub(super) incoming: (ChannelId, u64),
    /// What both were locked to.
    pub(super) anchor: Anchor,
    /// The deepest secret that is known.
    pub(super) secret: Option<Secret>,
    /// Why the hub's money is back.
    pub(super) gone: Option<Code>,
}

/// Where a payer's lock was passed on to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Route {
    /// What it was locked to then.
    pub(super) anchor: Anchor,
    /// Who shall get it.
    pub(super) payee: PublicKey,
    /// The hub's lock, once there is one and it is known here.
    pub(super) outgoing: Option<(ChannelId, u64)>,
    /// Why the payee's side is over, when what the payer has not settled is known beside.
    pub(super) gone: Option<Code>,
}

/// A payment that waits for its payee's channel to take it.
#[derive(Debug, PartialEq)]
pub(super) struct Queued {
    pub(super) forward: Forward,
    pub(super) until_ms: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    // What records make.
    pub(super) channel: Channel,
    /// By the hub's lock in this channel.
    pub(super) pairs: Rare<ByLock<Pair>>,
    /// What the ledger says that the hub has certainly paid: anchored, or acknowledged in a proof
    /// that is recorded.
    pub(super) floor: Amount,

    // What is made anew after a start.
    /// By the payer's lock in this channel: passed on, and neither failed nor out of the tally.
    routes: Rare<ByLock<Route>>,
    pub(super) queue: Rare<Queue>,
    /// Whether the shard will look at the queue's oldest.
    pub(super) watched: bool,
    pub(super) connected: bool,
    /// Whether the wallet has met the hub about this channel on its connection.
    pub(super) synced: bool,
    /// Whether it has since this process started, and holds what the hub holds. Until then the hub
    /// may have forgotten what it did here.
    pub(super) met: bool,
    /// The newest number that the wallet had used when it first met the hub since this process started.
    pub(super) first_shown: Option<u64>,
    /// What is needed while state is taken back, or may have to be.
    pub(super) lost: Option<Box<Lost>>,
    /// An update is wanted even if nothing new goes with it.
    pub(super) flush: bool,
    /// When settlements that wait go out by themselves.
    pub(super) due_ms: Option<u64>,
    /// The height at which the channel is looked at next.
    pub(super) wake: Option<Height>,
    /// When something was last brought before the ledger.
    pub(super) submitted: Option<Height>,
    /// Since when a deposit of the hub's is on its way.
    pub(super) depositing: Option<Height>,
    pub(super) load_in: Rare<Load>,
    pub(super) load_out: Rare<Load>,
    /// Whether payers are to be told of what was redeemed here.
    pub(super) rippling: bool,
    /// Whether it is on the list of those that moved.
    pub(super) moved: bool,
    /// Whether its rows are older than it is.
    pub(super) dirty: bool,
    /// How many rows it has in the index.
    pub(super) rows: u16,
}

/// Payments that wait, the oldest first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Queue(VecDeque<Queued>);

impl AtRest for Queue {
    const AT_REST: &'static Queue = &Queue(VecDeque::new());
}

impl Deref for Queue {
    type Target = VecDeque<Queued>;

    fn deref(&self) -> &VecDeque<Queued> {
        &self.0
    }
}

impl DerefMut for Queue {
    fn deref_mut(&mut self) -> &mut VecDeque<Queued> {
        &mut self.0
    }
}

impl OfChannel for Box<Slot> {
    fn channel(&self) -> ChannelId {
        self.channel.id()
    }
}

impl Slot {
    pub(super) fn new(channel: Channel) -> Slot {
        Slot {
            channel,
            pairs: Rare::default(),
            floor: Amount::ZERO,
            routes: Rare::default(),
            queue: Rare::default(),
            watched: false,
            connected: false,
            synced: false,
            met: false,
            first_shown: None,
            lost: None,
            flush: false,
            due_ms: None,
            wake: None,
            submitted: None,
            depositing: None,
            load_in: Rare::default(),
            load_out: Rare::default(),
            rippling: false,
            moved: false,
            dirty: false,
            rows: 0,
        }
    }

    pub(super) fn add_route(&mut self, id: u64, route: Route) {
        self.routes.insert(id, route);
    }

    pub(super) fn route(&self, id: u64) -> Option<&Route> {
        self.routes.get(&id)
    }

    /// Remembers which lock of the hub's a payer's lock was passed on with. Makes the route anew
    /// when the shard is being restarted.
    pub(super) fn paired(&mut self, id: u64, anchor: Anchor, outgoing: (ChannelId, u64)) {
        if let Some(route) = self.routes.get_mut(&id) {
            (route.anchor, route.outgoing) = (anchor, Some(outgoing));
            return;
        }
        let Some(known) = self.channel.incoming().locks.get(&id) else { return };
        if matches!(known.answer, Some(Answer::Failed(_))) {
            return;
        }
        let payee = known.to.wallet;
        self.add_route(id, Route { anchor, payee, outgoing: Some(outgoing), gone: None });
    }

    /// The rest of a payer's lock is to be given up once the payer has settled what is known of it.
    pub(super) fn note_gone(&mut self, id: u64, code: Code) {
        if let Some(route) = self.routes.get_mut(&id) {
            route.gone = Some(code);
        }
    }

    pub(super) fn remove_route(&mut self, id: u64) -> Option<Route> {
        self.routes.remove(&id)
    }

    /// The hub's own locks that payers' locks in this channel were passed on with.
    pub(super) fn passed_on(&self) -> impl Iterator<Item = (ChannelId, u64)> {
        self.routes.values().filter_map(|route| route.outgoing)
    }

    /// Takes out the routes of locks that do not stand any more: the hub's own locks of them.
    pub(super) fn take_stale_routes(&mut self) -> Vec<(ChannelId, u64)> {
        let stands = |id: &u64| self.channel.incoming().locks.contains_key(id);
        let stale: Vec<u64> = self.routes.keys().filter(|id| !stands(id)).copied().collect();
        stale.iter().filter_map(|id| self.remove_route(*id)?.outgoing).collect()
    }

    /// Whether such a payment is on its way: anchor and payee make two payments one. There are at
    /// most [`settlement::lock::LOCKS_MAX`] to look at.
    pub(super) fn is_pending(&self, anchor: Anchor, payee: PublicKey) -> bool {
        self.routes.values().any(|route| (route.anchor, route.payee) == (anchor, payee))
    }

    /// How many of this payer's locks of many steps are on their way to a payee, or stand there. One
    /// of which a single step is left is still one: its anchor has moved.
    pub(super) fn streams_to(&self, payee: PublicKey) -> usize {
        let tally = &self.channel.incoming().tally;
        let is_stream = |(id, route): &(&u64, &Route)| {
            let moved = |lock: &Lock| lock.steps > 1 || lock.anchor != route.anchor;
            route.payee == payee && tally.lock(**id).is_some_and(moved)
        };
        self.routes.iter().filter(is_stream).count()
    }

    /// Whether nothing more can come of a payer's lock in this channel: it is out of the tally, was
    /// failed, or all its steps are known.
    pub(super) fn is_final(&self, id: u64) -> bool {
        let incoming = self.channel.incoming();
        let (Some(lock), Some(known)) = (incoming.tally.lock(id), incoming.locks.get(&id)) else {
            return true;
        };
        match known.answer {
            Some(Answer::Known { steps, .. }) => steps >= lock.steps,
            Some(Answer::Failed(_)) => true,
            Some(Answer::Expired | Answer::Held) | None => false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.channel.phase(), Phase::Closed { .. })
    }

    /// The next height at which this channel needs a look: something expires, lapses, must be
    /// brought before the ledger or is waited for there. `None` for a channel at rest, which costs
    /// nothing however many blocks come.
    pub(super) fn next_wake(&self, now: &Now<'_>, deposit_wait: u64) -> Option<Height> {
        let next = now.view.height.after(1);
        let channel = &self.channel;
        let expiries = channel.outgoing().standing.iter().filter_map(|(id, standing)| {
            let expiry = standing.lock.expiry;
            match standing.answer {
                None | Some(Answer::Failed(_) | Answer::Held) => Some(expiry.max(next)),
                Some(Answer::Expired) => {
                    let droppable = channel.dropped_from(&standing.lock, now.lag);
                    let stands = channel.outgoing().tip().lock(*id).is_some();
                    (stands && droppable >= next).then_some(droppable)
                }
                Some(Answer::Known { .. }) => None,
            }
        });
        let first = expiries.min();
        let by_phase = match channel.phase() {
            Phase::Open => channel.claim_by(now).map(|at| at.max(next)),
            Phase::Agreed { valid_until } => Some(valid_until.after(1).max(next)),
            Phase::ClosingSoon | Phase::Closing { .. } => Some(self.next_in_dispute(now)),
            Phase::Closed { .. } => None,
        };
        let roles = [ME, ME.other()];
        let agreed = roles.iter().filter_map(|role| channel.escrow(*role).agreed);
        let lapses = agreed.map(|(_, valid_until)| valid_until.after(1).max(next)).min();
        let deposit = self.depositing.map(|since| since.after(deposit_wait).max(next));
        [first, by_phase, lapses, deposit].into_iter().flatten().min()
    }

    /// While the channel is closing: when what the hub has to bring is brought again; if there is
    /// nothing, an `inclusion_delay` from now. Whatever makes it bring something sooner (an event about
    /// the channel, a secret) has it looked at by itself, so that the windows of thousands of channels
    /// don't cost each block.
    fn next_in_dispute(&self, now: &Now<'_>) -> Height {
        let (height, delay) = (now.view.height, now.policy.inclusion_delay);
        let since = match self.channel.duty(now) {
            Some(_) => self.submitted,
            None => Some(height),
        };
        since.map_or(height, |at| at.after(delay)).max(height.after(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_at_rest_is_small() {
        assert_eq!(*Load::AT_REST, Load::default());
        assert_eq!(*Queue::AT_REST, Queue::default());
        let bytes = size_of::<Slot>();
        assert!(bytes <= 480, "{bytes} bytes");
    }
}
