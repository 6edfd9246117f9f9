//! The thief: it keeps every proof that it ever took, knows all its secrets, and signs what it likes.

use settlement::channel::{Received, Step, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signable, Signed};
use settlement::lock::{Lock, locked_total, locks_root};
use settlement::proof::{BalanceProof, CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::tx::{AnchorEntry, Submission, Transaction};
use settlement::types::{Amount, Anchor, Height, Role, Salt, Secret};
use settlement::update::{Destination, Memo, Op, Payload, Update};

use super::super::history::State;
use super::honest::{PAYMENT, UNIT};
use super::{Chain, Claims, Cosign, DEPOSIT, Draft, Game, Taken, count};

/// How long what was co-signed stays valid, in blocks.
const VALID: u64 = 3;

impl Game {
    /// The honest side's update that an `Ack` would be for: the one in flight, or else the newest
    /// that was refused.
    pub(super) fn unanswered(&self) -> Option<u64> {
        let out = self.me.outgoing();
        let refused = out.refused.iter().map(|refused| refused.flight.proof.seq);
        let flying = out.in_flight.as_ref().map(|flight| flight.proof.seq);
        flying.or(refused.max())
    }

    pub(super) fn answer(&mut self, ack: bool) -> bool {
        let Some(seq) = self.unanswered() else { return false };
        if ack {
            self.commit(&Step::Acked { seq });
        } else {
            count(&mut self.spent.refusals);
            self.commit(&Step::Rejected { seq, code: Code::StaleView });
        }
        let wins = self.me.outgoing().accepted.seq == seq;
        self.mark(seq, ack && wins);
        wins || !ack
    }

    fn mark(&mut self, seq: u64, accepted: bool) {
        if let Some(taken) = self.taken.iter_mut().find(|taken| taken.proof.value.seq == seq) {
            taken.refused = !accepted;
        }
        if accepted {
            self.ours.take(seq);
        }
    }

    fn oldest_of_ours(&self) -> Option<Lock> {
        self.me.outgoing().tip().locks.first().copied()
    }

    pub(super) fn hear_secret(&mut self, all: bool) -> bool {
        let Some(lock) = self.oldest_of_ours() else { return false };
        let Some(secret) = self.secret(&lock, if all { lock.steps } else { 1 }) else {
            return false;
        };
        let step = self.with(|me, now| me.check_reveal(lock.id, &secret, now));
        let Ok(Some(step)) = step else { return false };
        self.commit(&step);
        true
    }

    pub(super) fn hear_failure(&mut self) -> bool {
        let Some(lock) = self.oldest_of_ours() else { return false };
        let Some(step) = self.me.check_fail(lock.id, Code::RefusedByPayee) else { return false };
        self.commit(&step);
        true
    }

    /// The honest side hears an update. One that it refuses changes nothing.
    pub(super) fn hear_draft(&mut self, draft: Draft, newest: bool) -> bool {
        count(&mut self.spent.drafts);
        let before = self.theirs.taken_state();
        let Some((ops, chain)) = self.ops(draft, &before) else { return false };
        let mut after = before.with(&ops);
        match draft {
            Draft::SettleAndLose => after.locks.clear(),
            Draft::FallBack => after.paid = before.paid.saturating_sub(1),
            _ => {}
        }
        let Some(acknowledged) = self.acknowledged(draft, newest) else { return false };
        let update = self.signed(ops, &after, acknowledged);
        let (base, seq) = (update.base, update.proof.value.seq);
        let verified =
            VerifiedUpdate::check(update.clone(), &self.stage.thief_key, &mut BatchCache::new(0));
        let Ok(verified) = verified else { return false };
        let Ok(Received::New(step)) = self.with(|me, now| me.check_update(&verified, now)) else {
            return false;
        };
        self.thief_seq = seq;
        self.theirs.drop_shown(base, &update.ops);
        self.theirs.sign(base, &update.ops, seq);
        self.theirs.take(seq);
        self.chains.extend(chain);
        let retired = update.proof.value.peer_seq;
        self.ours.retired_below = self.ours.retired_below.max(retired);
        if retired > self.ours.taken && self.taken.iter().any(|t| t.proof.value.seq == retired) {
            self.mark(retired, true);
        }
        self.commit(&step);
        true
    }

    fn ops(&self, draft: Draft, before: &State) -> Option<(Vec<Op>, Option<Chain>)> {
        let pay = |amount| vec![Op::Pay { amount: Amount(amount), memo: Memo::default() }];
        let oldest = before.locks.first();
        let settle = |lock: &Lock| {
            let shown = self.theirs.shown.of(lock.id).map(|(secret, _)| secret);
            let best = shown.max_by_key(|secret| super::super::history::distance(secret, lock))?;
            Some(vec![Op::Settle { id: lock.id, secret: best }])
        };
        let ops = match draft {
            Draft::Plain | Draft::AcknowledgeRefused | Draft::FallBack => Vec::new(),
            Draft::AcknowledgeMore => pay(DEPOSIT + PAYMENT),
            Draft::Pay => pay(PAYMENT),
            Draft::Overspend => pay(DEPOSIT + 2 * PAYMENT),
            Draft::Settle | Draft::SettleAndLose => settle(oldest?)?,
            Draft::Drop => vec![Op::Drop { id: oldest?.id }],
            Draft::Lock | Draft::LockAgain => {
                let again = draft == Draft::LockAgain;
                let last = self.me.incoming().last_lock_id;
                let id = if again { Some(last).filter(|id| *id > 0)? } else { last + 1 };
                let steps = u32::from(self.bounds().steps);
                let chain = Chain { from: self.thief(), id, seed: self.fresh_seed(), steps };
                return Some((vec![self.add(&chain)], Some(chain)));
            }
        };
        Some((ops, None))
    }

    fn add(&self, chain: &Chain) -> Op {
        let lock = Lock {
            id: chain.id,
            anchor: Anchor(chain.value(0).0),
            unit: Amount(UNIT),
            steps: chain.steps,
            expiry: self.height().after(self.bounds().life()),
        };
        let to = Destination { hub: None, wallet: self.key(self.stage.honest).public() };
        Op::Add { lock, to, payload: Payload::default() }
    }

    /// What the thief says that it holds of the honest side's direction.
    fn acknowledged(&self, draft: Draft, newest: bool) -> Option<(u64, Amount)> {
        let said = |taken: &Taken| (taken.proof.value.seq, taken.proof.value.transferred);
        if draft == Draft::AcknowledgeRefused {
            return self.taken.iter().rev().find(|taken| taken.refused).map(said);
        }
        if draft == Draft::AcknowledgeMore {
            return Some((self.taken.last()?.proof.value.seq, Amount(DEPOSIT)));
        }
        if newest {
            let held = self.taken.iter().rev().find(|taken| !taken.refused);
            return Some(held.map_or((0, Amount(0)), said));
        }
        let before = self.me.incoming().proof.as_ref().map(|proof| proof.value);
        Some(before.map_or((0, Amount(0)), |proof| (proof.peer_seq, proof.peer_transferred)))
    }

    fn signed(&self, ops: Vec<Op>, after: &State, acknowledged: (u64, Amount)) -> Update {
        let proof = BalanceProof {
            channel: self.me.id(),
            from: self.thief(),
            seq: self.thief_seq + 1,
            transferred: Amount(after.paid),
            locked: locked_total(&after.locks).unwrap_or_default(),
            locks_root: locks_root(&after.locks),
            peer_seq: acknowledged.0,
            peer_transferred: acknowledged.1,
        };
        let proof = Signed::alone(self.key(self.thief()), proof, Salt([8; 16]));
        Update { channel: self.me.id(), base: self.theirs.taken, ops, proof }
    }

    fn taken_back(&self, back: u8) -> Option<&Taken> {
        self.taken.iter().rev().nth(usize::from(back))
    }

    /// Secrets of the thief's, one for each lock that was ever added for it.
    pub(super) fn claims(&self, claims: Claims) -> Vec<(u64, Secret)> {
        let depth = |chain: &Chain| match claims {
            Claims::None => None,
            Claims::One => Some(1),
            Claims::All => Some(chain.steps),
        };
        let of_ours = self.chains.iter().filter(|chain| chain.from == self.stage.honest);
        let secret = |chain: &Chain| Some((chain.id, chain.value(depth(chain)?)));
        let newest: std::collections::BTreeMap<_, _> = of_ours.filter_map(secret).collect();
        newest.into_iter().collect()
    }

    pub(super) fn bring(&mut self, close: bool, back: u8, claims: Claims) -> bool {
        count(&mut self.spent.brings);
        let (proof, locks) = match self.taken_back(back) {
            Some(taken) => (Some(taken.proof.clone()), taken.locks.clone()),
            None => (None, Vec::new()),
        };
        let claims = self.claims(claims);
        let (channel, by) = (self.me.id(), self.thief());
        self.hand_in_for_thief(Submission { channel, by, close, proof, locks, claims })
    }

    fn hand_in_for_thief(&mut self, body: Submission) -> bool {
        let tx = Transaction::submit(self.key(self.thief()), body);
        self.queue(tx)
    }

    /// What no block would take is not worth a fork.
    fn queue(&mut self, tx: Transaction) -> bool {
        let verified = self.ledger.verify_tx(tx.clone());
        let good = verified.is_ok_and(|tx| self.ledger.check(&tx).is_ok());
        if good && !self.brought.contains(&tx) {
            self.brought.push(tx);
            return true;
        }
        false
    }

    /// "I have paid nothing, and this is my newest": of its own direction, which is not its to bring.
    pub(super) fn bring_own(&mut self) -> bool {
        count(&mut self.spent.brings);
        let nothing = self.signed(Vec::new(), &State::default(), (0, Amount(0)));
        let value = BalanceProof { seq: 1 << 40, ..nothing.proof.value };
        let proof = Some(Signed::alone(self.key(self.thief()), value, Salt([8; 16])));
        let (channel, by) = (self.me.id(), self.thief());
        let body = Submission { proof, ..Submission::close_with_nothing(channel, by) };
        self.hand_in_for_thief(body)
    }

    pub(super) fn anchor(&mut self, back: u8) -> bool {
        count(&mut self.spent.records);
        if self.thief() != Role::Hub {
            return false;
        }
        let wallet_proof = self.taken_back(back).map(|taken| taken.proof.clone());
        let hub_transferred = Amount(self.theirs.taken_state().paid);
        let entry = AnchorEntry { channel: self.me.id(), wallet_proof, hub_transferred };
        let tx = self.anchoring(entry);
        self.queue(tx)
    }

    pub(super) fn cosign(&mut self, what: Cosign) -> bool {
        count(&mut self.spent.cosigns);
        let valid_until = self.view.height.after(VALID);
        match what {
            Cosign::Close => self.cosign_close(valid_until),
            Cosign::Withdraw => {
                let locked = self.me.incoming().tally.locked().0;
                let free = self.me.balance(self.thief()).0.saturating_sub(locked);
                self.cosign_withdrawal(free, valid_until)
            }
            Cosign::WithdrawHalf => self.cosign_withdrawal(DEPOSIT / 2, valid_until),
        }
    }

    fn cosign_withdrawal(&mut self, amount: u64, valid_until: Height) -> bool {
        let role = self.thief();
        let total = Amount(self.me.escrow(role).withdrawn.0 + amount);
        let channel = self.me.id();
        let body = Withdrawal { channel, role, total_withdrawn: total, valid_until };
        let Ok(step) = self.with(|me, now| me.agree_withdrawal(&body, now)) else { return false };
        self.commit(&step);
        let [wallet, hub] = [Role::Wallet, Role::Hub].map(|r| self.key(r).sign(&body.digest()));
        self.kept.push(Transaction::Withdraw { body, wallet, hub });
        true
    }

    /// The close that the thief would like: what the honest side's tallies make, locks or none.
    fn cosign_close(&mut self, valid_until: Height) -> bool {
        let Ok(body) = self.me.close_terms(valid_until) else { return false };
        self.agree_close(body)
    }

    fn agree_close(&mut self, body: CooperativeClose) -> bool {
        let Ok(step) = self.with(|me, now| me.agree_close(&body, now)) else { return false };
        self.commit(&step);
        let [wallet, hub] = [Role::Wallet, Role::Hub].map(|r| self.key(r).sign(&body.digest()));
        self.kept.push(Transaction::CooperativeClose { body, wallet, hub });
        true
    }

    pub(super) fn carry(&mut self) -> bool {
        let Some(tx) = self.kept.first().cloned() else { return false };
        self.kept.remove(0);
        self.queue(tx)
    }
}
