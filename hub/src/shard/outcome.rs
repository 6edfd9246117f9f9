//! What came of the hub's own lock, in the payer's channel.

use settlement::reject::Code;
use settlement::types::{ChannelId, Secret};

use super::state::Cx;
use super::{Action, Shard};

impl Shard {
    /// The hub's lock for a payer's came to this. Hearing it twice changes nothing.
    pub(super) fn on_outcome(
        &mut self,
        incoming: (ChannelId, u64),
        outgoing: (ChannelId, u64),
        outcome: Result<Secret, Code>,
        cx: &mut Cx<'_>,
    ) {
        match outcome {
            Ok(secret) => self.pass_on(incoming, &secret, cx),
            Err(code) => self.give_up_or_wait(incoming, code, cx),
        }
        let slot = self.slots.get(&incoming.0);
        let is_final = slot.is_none_or(|slot| slot.is_final(incoming.1));
        // The pair has done its work; 0 says that there never was one.
        if outgoing.1 != 0 && is_final {
            let pass = self.conclude(outgoing);
            cx.out.passes.extend(pass);
        }
    }

    /// A payer's lock is given up, or what is left of it once what is known of it is settled.
    fn give_up_or_wait(&mut self, (id, lock): (ChannelId, u64), code: Code, cx: &mut Cx<'_>) {
        self.give_up(id, lock, code, cx);
        if let Some(slot) = self.slots.get_mut(&id)
            && !slot.is_final(lock)
        {
            slot.note_gone(lock, code);
        }
    }

    /// Shows a payer the secret of the one lock that was paired, and claims it at once if the
    /// ledger has to settle it.
    fn pass_on(&mut self, (id, lock): (ChannelId, u64), secret: &Secret, cx: &mut Cx<'_>) {
        let strides = self.channel(&id).map(|channel| channel.strides_to(lock, secret));
        let before = cx.out.records.len();
        for secret in strides.unwrap_or_default() {
            let step = self.channel(&id).map(|channel| channel.reveal(lock, &secret));
            // `Ok(None)` is known already; an error is a lock that the payer has settled or dropped.
            if let Some(Ok(Some(step))) = step {
                self.commit(id, step, cx);
            }
        }
        if cx.out.records.len() > before {
            cx.out.actions.push(Action::Count { completed: true });
            self.protect(id, lock, cx);
        }
    }

    /// Sees to it that a lock whose secret is known is claimed in time.
    pub(super) fn protect(&mut self, id: ChannelId, lock: u64, cx: &mut Cx<'_>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(lock) = slot.channel.incoming().tally.lock(lock) else { return };
        let claim_by = lock.expiry.before(self.config.policy.claim_margin);
        let open = slot.channel.usable() != Err(Code::ChannelNotOpen);
        if open && claim_by > self.followed().0 {
            return self.wake_at(id, claim_by);
        }
        // The submission before this one did not have the claim.
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.submitted = None;
        }
        self.answer_ledger(id, cx);
        self.wake_at(id, self.followed().0.after(1));
    }
}

/// What the payer hears of a lock that came back from the payee's channel.
pub(super) fn upstream(code: Code) -> Code {
    match code {
        // The payee's side refused the update that carried it.
        Code::RefusedByHub => Code::RefusedByPayee,
        code if (100..200).contains(&code.number()) => Code::RefusedByPayee,
        code => code,
    }
}
