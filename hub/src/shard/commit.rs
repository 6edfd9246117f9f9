//! Making a step: in memory, as a record, and what follows for this channel and others.

use settlement::channel::{Change, Effect, Step};
use settlement::types::ChannelId;
use settlement::wire::Message;

use super::capacity::Load;
use super::slot::{NOBODY, Pair, Slot};
use super::state::Cx;
use super::{Action, Pairing, Pass, Record, Shard};

impl Shard {
    /// Makes a checked step and all that follows from it.
    pub(super) fn commit(&mut self, id: ChannelId, step: Step, cx: &mut Cx<'_>) {
        for effect in self.record(id, step, cx) {
            self.perform(id, &effect, cx);
        }
    }

    /// Makes a checked step, without what follows.
    pub(super) fn record(&mut self, id: ChannelId, step: Step, cx: &mut Cx<'_>) -> Vec<Effect> {
        let effects = self.apply(id, &step);
        cx.out.records.push(Record::Step { channel: id, step });
        effects
    }

    /// The part that a replay does, too.
    pub(super) fn apply(&mut self, id: ChannelId, step: &Step) -> Vec<Effect> {
        let Some(slot) = self.slots.get_mut(&id) else { return Vec::new() };
        let effects = slot.channel.commit(step);
        if let Step::Adopted(adopted) = step {
            slot.adopted(adopted);
        }
        let moves_locks = matches!(
            step,
            Step::Received(_)
                | Step::Sent(_)
                | Step::Acked { .. }
                | Step::Rejected { .. }
                | Step::Ledger(_)
                | Step::Adopted(_)
        );
        let owes_more = matches!(step, Step::Ledger(event) if slot.raise_floor(event));
        if moves_locks {
            self.reload(id);
        }
        if owes_more || super::moved::moves(step) {
            self.mark_moved(id);
        }
        self.mark(id);
        effects
    }

    /// Counts what a channel's pending locks would cost the ledger.
    pub(super) fn reload(&mut self, id: ChannelId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let (mut incoming, mut outgoing) = (Load::default(), Load::default());
        if !slot.is_closed() {
            incoming = Load::of(&slot.channel.incoming().tally.locks);
            outgoing = Load::of(&slot.channel.outgoing().tip().locks);
        }
        self.load_in = self.load_in.replaced(*slot.load_in, incoming);
        self.load_out = self.load_out.replaced(*slot.load_out, outgoing);
        slot.load_in.set(incoming);
        slot.load_out.set(outgoing);
    }

    /// Adds the pairs of a step that was just made.
    pub(super) fn add_pairs(&mut self, pairs: &[Pairing]) {
        for Pairing { incoming, outgoing, anchor } in pairs {
            if let Some(slot) = self.slots.get_mut(&outgoing.0) {
                let pair = Pair { incoming: *incoming, anchor: *anchor, secret: None, gone: None };
                slot.pairs.insert(outgoing.1, pair);
            }
            if let Some(payer) = self.slots.get_mut(&incoming.0) {
                payer.paired(incoming.1, *anchor, *outgoing);
            }
        }
    }

    /// What an effect changes in pairs and routes, and what another channel must hear of it. Replays
    /// do this, too.
    pub(super) fn note(&mut self, id: ChannelId, effect: &Effect) -> Option<Pass> {
        let slot = self.slots.get_mut(&id)?;
        match effect {
            Effect::SecretLearned { id: own, secret } => {
                // Never of a lock whose money is back: the engine learns nothing more of it.
                let pair = slot.pairs.get_mut(own)?;
                pair.secret = Some(*secret);
                let (incoming, outgoing) = (pair.incoming, (id, *own));
                if incoming == NOBODY {
                    return None;
                }
                if slot.is_streaming(*own) {
                    self.ripple(id);
                    return None;
                }
                Some(Pass::Outcome { incoming, outgoing, outcome: Ok(*secret) })
            }
            Effect::LockGone { id: own, code } => {
                let pair = slot.pairs.get_mut(own)?;
                // What was paid of it is to be collected, once it is known from whom.
                if pair.incoming == NOBODY && pair.secret.is_none() {
                    slot.pairs.remove(own);
                    return None;
                }
                let code = *pair.gone.get_or_insert(super::outcome::upstream(*code));
                if pair.incoming == NOBODY {
                    return None;
                }
                let (incoming, outgoing) = (pair.incoming, (id, *own));
                // An old lock may have been settled by a life of this hub that is forgotten.
                slot.is_certain().then_some(Pass::Outcome {
                    incoming,
                    outgoing,
                    outcome: Err(code),
                })
            }
            Effect::SendFail { id: theirs, .. } => {
                let route = slot.remove_route(*theirs)?;
                self.conclude(route.outgoing?)
            }
            Effect::SendReveal { id: theirs, .. } if slot.is_final(*theirs) => {
                let outgoing = slot.route(*theirs)?.outgoing?;
                self.conclude(outgoing)
            }
            Effect::Received(
                Change::Settled { id: theirs, .. } | Change::Dropped { id: theirs },
            ) if !slot.channel.incoming().locks.contains_key(theirs) => {
                let route = slot.remove_route(*theirs)?;
                self.conclude(route.outgoing?)
            }
            _ => None,
        }
    }

    /// Forgets the pair of an own lock whose outcome the payer's channel has recorded, or says so to
    /// the shard that holds it.
    pub(super) fn conclude(&mut self, outgoing: (ChannelId, u64)) -> Option<Pass> {
        let Some(slot) = self.slots.get_mut(&outgoing.0) else {
            return Some(Pass::Concluded { outgoing });
        };
        slot.pairs.remove(&outgoing.1);
        self.mark(outgoing.0);
        None
    }

    /// What follows from a step that was recorded.
    pub(super) fn perform(&mut self, id: ChannelId, effect: &Effect, cx: &mut Cx<'_>) {
        if let Effect::LockGone { id: own, .. } = effect {
            self.pass_redeemed(id, *own, cx);
        }
        let pass = self.note(id, effect);
        cx.out.passes.extend(pass);
        match effect {
            Effect::Received(Change::Settled { id: theirs, .. }) => {
                self.give_up_rest(id, *theirs, cx);
            }
            Effect::Accepted { changes } => self.watch_rests(id, changes),
            Effect::SecretLearned { .. } | Effect::Refused { .. } => self.settle_later(id),
            Effect::PhaseChanged => self.refuse_queue(id, cx),
            _ => {
                let action = self.slots.get(&id).and_then(|slot| action(id, slot, effect));
                cx.out.actions.extend(action);
            }
        }
    }

    /// What is due now goes with the next update, or by itself when there is none for a while.
    pub(super) fn settle_later(&mut self, id: ChannelId) {
        let due_ms = self.clock_ms.saturating_add(self.config.limits.idle_ms);
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.due_ms.is_none() {
            slot.due_ms = Some(due_ms);
            self.idle.push_back((due_ms, id));
        }
    }

    pub(super) fn mark(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.dirty = true;
        }
    }
}

/// What the wallet is told. Before it has met the hub on its connection it is told nothing: meeting
/// says everything again.
pub(super) fn action(id: ChannelId, slot: &Slot, effect: &Effect) -> Option<Action> {
    if !slot.synced {
        return None;
    }
    let send = |message| Some(Action::Send(message));
    match *effect {
        Effect::SendAck { seq } => send(Message::Ack { channel: id, seq }),
        Effect::SendReveal { id: lock, secret } => {
            send(Message::Reveal { channel: id, id: lock, secret })
        }
        Effect::SendFail { id: lock, code } => send(Message::Fail { channel: id, id: lock, code }),
        Effect::SendUpdate => {
            let flight = slot.channel.outgoing().in_flight.as_ref()?;
            let (base, ops, proof) = (flight.base, flight.ops(), flight.proof);
            Some(Action::SendUpdate { channel: id, base, ops, proof })
        }
        _ => None,
    }
}
