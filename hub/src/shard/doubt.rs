//! Updates that an earlier life of this hub may have taken, and forgotten.
//!
//! What a wallet had unanswered when it first met the hub since this process started, it had sent to
//! an earlier one. That one may have taken it and passed its locks on, and all of that may be forgotten: the
//! disk may be an old copy, which shows only when the payees come back. Refusing such an update, or failing
//! its locks, would give the payer back what a payee was paid. So
//!
//! - it is answered only when it can be taken: before the view is fresh, and while the channel rests, nothing
//!   is said, and the wallet is asked to meet again once there is a fresh view;
//! - it is taken also while the hub waits out what it has forgotten
//!   ([`Channel::check_update_to_hold`](settlement::channel::Channel::check_update_to_hold));
//! - its locks are held and sought in their payees' channels (module `lost`). Where the payee has met and
//!   nothing was forgotten, a lock was not passed on before, and is now ([`Pass::Untouched`]).
//!
//! So a payee that is away keeps such a lock pending until it is back, or the lock expires. What a payer
//! signs after it has met, no earlier life can have taken: it goes its way at once.

use settlement::channel::{Answer, Channel, IncomingLock, VerifiedUpdate};
use settlement::lock::Lock;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, ChannelId};
use settlement::update::Destination;
use settlement::wire::Message;

use super::slot::Slot;
use super::state::Cx;
use super::{Action, Directory, Pass, Seek, Shard};

/// A payer's lock that an earlier life may have passed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct InDoubt {
    /// Whether it was made after all that is known to have been forgotten.
    knows_losses: bool,
    /// The lock's anchor, and what was paid upfront for it.
    prepaid: Option<(Anchor, Amount)>,
}

impl Slot {
    /// Whether an earlier life may have taken this update. One that moves no money forward may well be
    /// refused: all that it says is said again.
    pub(super) fn is_in_doubt(&self, update: &VerifiedUpdate) -> bool {
        let seq = update.proof().seq;
        let sent_before = self.first_shown.is_some_and(|shown| seq <= shown);
        sent_before && seq > self.channel.incoming().tally.seq && update.spends()
    }

    /// A payer's lock of which more may come to be known, if it is neither known what was made of it nor on
    /// its way: it is held; or a part is known, by the payee's word from before its channel was taken back.
    fn unresolved(&self, lock: u64) -> Option<(&Lock, &IncomingLock)> {
        let incoming = self.channel.incoming();
        let (stands, known) = (incoming.tally.lock(lock)?, incoming.locks.get(&lock)?);
        let open = match known.answer? {
            Answer::Held => true,
            Answer::Known { steps, .. } => steps < stands.steps,
            Answer::Failed(_) | Answer::Expired => false,
        };
        Some((stands, known)).filter(|_| open && self.route(lock).is_none())
    }
}

impl Shard {
    /// Whether an update in doubt can be taken now, as far as that does not depend on what it says. If
    /// not, the wallet is asked to meet again.
    pub(super) fn can_take_in_doubt(&mut self, id: ChannelId, cx: &Cx<'_>) -> bool {
        let fresh = self.now(cx.now_ms).is_fresh();
        let rests = self.channel(&id).is_none_or(|channel| channel.suspended().is_some());
        let can = fresh && !rests;
        if !can {
            self.answer_later(id);
        }
        can
    }

    pub(super) fn answer_later(&mut self, id: ChannelId) {
        self.unanswered.insert(id);
    }

    /// Wallets of which something was not answered say it again.
    pub(super) fn ask_again(&mut self, cx: &mut Cx<'_>) {
        if self.unanswered.is_empty() || !self.now(cx.now_ms).is_fresh() {
            return;
        }
        for id in std::mem::take(&mut self.unanswered) {
            self.meet_again(id, cx);
        }
    }

    /// Has a wallet that has met the hub say anew what it holds.
    pub(super) fn meet_again(&mut self, id: ChannelId, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if std::mem::replace(&mut slot.synced, false) {
            let refusal = Message::Reject { channel: id, seq: 0, code: Code::Recovering };
            cx.out.actions.push(Action::Send(refusal));
        }
    }

    /// Whether an earlier life can have passed a lock on that is meant for this. While nothing is known to be
    /// forgotten, a payee that has no channel had none: what the ledger had when this process started is
    /// known by the time that it signs, and so is what the hub signed for a channel that is paid out by now.
    pub(super) fn may_have_passed_on(
        &self,
        id: ChannelId,
        to: &Destination,
        directory: &dyn Directory,
    ) -> bool {
        let Some(terms) = self.channel(&id).map(Channel::terms) else { return false };
        let ours = to.hub.is_none_or(|hub| hub == self.config.hub) && to.wallet != terms.wallet;
        ours && (self.lost || !directory.all(&to.wallet, terms.asset).is_empty())
    }

    /// Holds a lock of an update in doubt, and seeks what an earlier life may have made of it.
    pub(super) fn hold_back(
        &mut self,
        id: ChannelId,
        lock: &Lock,
        (proof, prepaid): (&BalanceProof, &[(Anchor, Amount)]),
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let Some(step) = self.channel(&id).and_then(|channel| channel.hold(lock.id)) else {
            return;
        };
        self.commit(id, step, cx);
        let none_since = !self.lost;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let knows_losses = none_since && slot.channel.knows_leap(proof);
        let prepaid = prepaid.iter().find(|(anchor, _)| *anchor == lock.anchor).copied();
        let lost = slot.lost.get_or_insert_default();
        lost.in_doubt.retain(|id, _| slot.channel.incoming().locks.contains_key(id));
        lost.in_doubt.insert(lock.id, InDoubt { knows_losses, prepaid });
        cx.out.passes.extend(self.seek(id, lock.id, directory));
    }

    /// Asks the payee's channels about a payer's lock of which it is not known yet what was made. Where
    /// there are several, each may be the one that it was passed on to: none can say that it was not.
    pub(super) fn seek(&self, id: ChannelId, lock: u64, directory: &dyn Directory) -> Vec<Pass> {
        let Some(slot) = self.slots.get(&id) else { return Vec::new() };
        let Some((stands, known)) = slot.unresolved(lock) else { return Vec::new() };
        let payee = directory.all(&known.to.wallet, slot.channel.terms().asset);
        let in_doubt = slot.lost.as_ref().and_then(|lost| lost.in_doubt.get(&lock));
        let newer = slot.met && !self.lost && in_doubt.is_some_and(|doubt| doubt.knows_losses);
        let whole = payee.len() == 1 && (slot.is_whole() || newer);
        let seek = |outgoing| Seek { incoming: (id, lock), outgoing, lock: *stands, whole };
        let others = payee.into_iter().filter(|outgoing| *outgoing != id);
        others.map(|outgoing| Pass::Seek(Box::new(seek(outgoing)))).collect()
    }

    /// Asks about all of them, as soon as all payees are known. What payers have locked that stay away may
    /// have been passed on, too: what is paid of it is claimed from them on the ledger.
    pub(super) fn seek_all(&self, directory: &dyn Directory, cx: &mut Cx<'_>) {
        let of_slot = |slot: &Slot| {
            let id = slot.channel.id();
            let locks: Vec<u64> = slot.channel.incoming().locks.keys().copied().collect();
            locks.into_iter().map(move |lock| (id, lock))
        };
        let mut locks: Vec<_> = self.slots.iter().map(Box::as_ref).flat_map(of_slot).collect();
        locks.sort_unstable();
        let seeks = locks.into_iter().flat_map(|(id, lock)| self.seek(id, lock, directory));
        cx.out.passes.extend(seeks);
    }

    /// Whether the channel was met, and nothing of it was forgotten since this lock was made: what is
    /// asked for by a payer's channel that says the same of itself.
    pub(super) fn has_forgotten_nothing(&self, slot: &Slot) -> bool {
        slot.is_whole() || slot.met && !self.lost
    }

    /// No earlier life has passed this lock on. One that came in this life goes its way now; of one
    /// that came before, more is forgotten than where it should go.
    pub(super) fn on_untouched(
        &mut self,
        (id, lock): (ChannelId, u64),
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some((stands, known)) = slot.unresolved(lock) else { return };
        let (stands, to, payload) = (*stands, known.to, known.payload.clone());
        let doubt = slot.lost.as_mut().and_then(|lost| lost.in_doubt.remove(&lock));
        match doubt {
            Some(InDoubt { prepaid, .. }) => {
                self.route(id, (&stands, &to, &payload), prepaid.as_slice(), directory, cx);
            }
            None => self.give_up(id, lock, Code::PayeeOffline, cx),
        }
    }
}
