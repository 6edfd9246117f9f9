//! What the hub is entitled to, worked out from what was said alone.

use settlement::block::LedgerEvent;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::tx::Transaction;
use settlement::types::{Height, PerRole, Role, Secret, TxId};
use settlement::update::Op;

use super::super::game::{Fault, Theorem};
use super::{DELAY, DEPOSIT, FEE, Pair};

/// What was seen to happen, so that a search in which nothing does is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Locks that the hub passed on.
    pub passed_on: u64,
    /// Secrets that the wallets said.
    pub reveals: u64,
    /// Updates that were refused and kept.
    pub kept: u64,
    /// Claims of the wallets' that counted.
    pub claims: u64,
    /// Claims of the hub's that counted.
    pub hub_claims: u64,
    /// Closes with a proof that was not the newest.
    pub old_closes: u64,
    /// Withdrawals and closes that the hub has signed.
    pub cosigned: u64,
    /// Channels that were anchored.
    pub anchored: u64,
    /// Steps that were settled for both.
    pub settled: u64,
}

impl Seen {
    /// The sum of two.
    pub fn add(&mut self, other: Seen) {
        self.passed_on += other.passed_on;
        self.reveals += other.reveals;
        self.kept += other.kept;
        self.claims += other.claims;
        self.hub_claims += other.hub_claims;
        self.old_closes += other.old_closes;
        self.cosigned += other.cosigned;
        self.anchored += other.anchored;
        self.settled += other.settled;
    }
}

impl Pair {
    pub(super) fn break_theorem(&mut self, theorem: Theorem, how: String) {
        self.tell(format!("{theorem:?} is broken: {how}"));
        self.fault.get_or_insert(Fault { theorem, how });
    }

    /// The hub's totals must be what its operations make; a lock that it adds is one passed on.
    pub(super) fn judge_update(&mut self, who: usize, base: u64, ops: &[Op], proof: &BalanceProof) {
        let state = self.wallets[who].ours.state(base).with(ops);
        if (proof.transferred.0, proof.locked.0) != (state.paid, state.pending()) {
            let how = format!("{proof:?} was signed for {state:?}");
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
        for op in ops {
            let Op::Add { lock, .. } = op else { continue };
            let payer = &mut self.wallets[1 - who];
            let locks = payer.theirs.taken_state().locks;
            let free = |id: &u64| !payer.passed_on.contains_key(id) && !payer.failed.contains(id);
            let same = locks.iter().filter(|of_payer| of_payer.anchor == lock.anchor);
            let incoming = same.map(|lock| lock.id).find(free);
            match incoming {
                Some(id) => drop(payer.passed_on.insert(id, lock.id)),
                None => {
                    let how = format!("the hub's lock {} is for nobody's", lock.id);
                    self.break_theorem(Theorem::HonestNeverLoses, how);
                }
            }
            self.seen.passed_on += 1;
        }
    }

    /// What the hub shows a payer it is owed, unless it is too late to claim: then nobody can have
    /// been paid for it. (Who claims late makes a secret public, and gets nothing.)
    pub(super) fn hear_secret(&mut self, who: usize, id: u64, secret: &Secret) {
        let height = self.height();
        let payer = &mut self.wallets[who];
        let name = payer.name;
        let locks = payer.theirs.taken_state().locks;
        let lock = locks.iter().find(|lock| lock.id == id);
        if lock.is_some_and(|lock| height.after(DELAY) < lock.expiry) {
            payer.theirs.shown.show(id, secret, height);
        }
        self.tell(format!("the hub shows {name} a secret of its lock {id}"));
    }

    /// A payer's lock is given up only when the hub's own is gone: its money counts as back.
    pub(super) fn hear_failure(&mut self, who: usize, id: u64, code: Code) {
        let payer = &mut self.wallets[who];
        payer.failed.insert(id);
        let (name, own) = (payer.name, payer.passed_on.get(&id).copied());
        if let Some(own) = own {
            self.wallets[1 - who].ours.back.insert(own);
        }
        self.tell(format!("the hub gives up {name}'s lock {id}: {code}"));
    }

    pub(super) fn judge_block(
        &mut self,
        height: Height,
        txs: &[Transaction],
        outcomes: &[(TxId, Result<(), Code>)],
        events: &[LedgerEvent],
    ) {
        let done = txs.iter().zip(outcomes).filter(|(_, (_, outcome))| outcome.is_ok());
        for (tx, _) in done {
            let Transaction::Submit { body, .. } = tx else { continue };
            let Some(who) = self.who(&body.channel) else { continue };
            let wallet = &mut self.wallets[who];
            let newest = wallet.ours.signed.last_key_value().map_or(0, |(seq, _)| *seq);
            let seq = body.proof.as_ref().map_or(0, |proof| proof.value.seq);
            if body.by == Role::Wallet && body.close && !wallet.closing && seq < newest {
                self.seen.old_closes += 1;
            }
            wallet.closing |= body.close;
            if body.by == Role::Wallet && wallet.closing {
                for (id, secret) in &body.claims {
                    wallet.ours.claimed.show(*id, secret, height);
                }
            }
        }
        events.iter().for_each(|event| self.judge_event(event));
        if !self.ledger.is_conserved() {
            self.break_theorem(Theorem::Conservation, format!("in block {height}"));
        }
    }

    fn judge_event(&mut self, event: &LedgerEvent) {
        let Some(who) = self.whose(event) else { return };
        let wallet = &mut self.wallets[who];
        match event {
            LedgerEvent::Withdrawn { role, total, .. } => *wallet.withdrawn.of_mut(*role) = total.0,
            LedgerEvent::ClaimShown { from: Role::Hub, steps: 1.., .. } => self.seen.claims += 1,
            LedgerEvent::ClaimShown { from: Role::Wallet, steps: 1.., .. } => {
                self.seen.hub_claims += 1;
            }
            LedgerEvent::Settled { wallet: of_wallet, hub, .. } => {
                wallet.closing = true;
                wallet.paid = Some(PerRole { wallet: of_wallet.0, hub: hub.0 });
                self.judge_payout(who);
            }
            _ => {}
        }
    }

    /// Of one channel: what was agreed, against what the hub got. The wallet is granted the best of
    /// all proofs that its own acknowledgments have not retired, with every secret that it brought
    /// in time.
    fn judge_payout(&mut self, who: usize) {
        let wallet = &self.wallets[who];
        let (name, Some(paid)) = (wallet.name, wallet.paid) else { return };
        let out = wallet.withdrawn;
        let got = paid.hub + out.hub;
        let (received, spent) =
            (wallet.theirs.owed(), wallet.ours.most_paid(wallet.ours.retired_below));
        let should = i128::from(DEPOSIT) + i128::from(received) - i128::from(spent);
        self.tell(format!("{name}'s channel is paid out, {got} to the hub in all, {should} due"));
        if paid.wallet + paid.hub + out.wallet + out.hub != 2 * DEPOSIT {
            self.break_theorem(Theorem::Conservation, format!("{paid:?} and {out:?} of {name}'s"));
        }
        if i128::from(got) < should {
            let how = format!(
                "the hub got {got} of {name}'s channel: it had received {received}, and paid \
                 {spent} at most"
            );
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
    }

    /// What must hold at every moment.
    pub(super) fn judge(&mut self) {
        let height = self.height();
        for who in 0..2 {
            let wallet = &self.wallets[who];
            let (name, early) = (wallet.name, wallet.ours.back_too_early(height));
            if let Some(id) = early {
                let how = format!(
                    "the payer's lock was given up, and {name} can claim the hub's lock {id} after \
                     block {height}"
                );
                self.break_theorem(Theorem::Atomic, how);
            }
            let wallet = &self.wallets[who];
            let committed = wallet.ours.most_committed(height);
            let has = DEPOSIT + wallet.theirs.taken_state().paid;
            if committed > has {
                let how = format!("the hub has committed {committed} in {name}'s, and has {has}");
                self.break_theorem(Theorem::HonestNeverLoses, how);
            }
        }
    }

    /// Of both channels together: the hub is paid for every payment that it has paid on. So it ends
    /// with no less than it had, with what it was paid directly, and with its fee for every step
    /// that a payee has acknowledged in writing.
    pub(super) fn judge_end(&mut self) {
        let (mut got, mut should) = (0, 0);
        for wallet in &self.wallets {
            let Some(paid) = wallet.paid else { return };
            got += paid.hub + wallet.withdrawn.hub;
            should += DEPOSIT + wallet.direct + FEE * wallet.settled_steps();
            self.seen.settled += wallet.settled_steps();
        }
        if got < should {
            let how = format!("the hub ends with {got} in all, and should have {should}");
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
    }
}
