//! The theorems, checked against what was said. Nothing here asks the engine what a side is owed.

use settlement::block::LedgerEvent;
use settlement::ledger::payout::payout;
use settlement::reject::Code;
use settlement::tx::Transaction;
use settlement::types::{Height, PerRole, Role, TxId};

use super::{DEPOSIT, Game};

/// A theorem of protocol section 5 that a game can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Theorem {
    /// 1: no money is made or lost.
    Conservation,
    /// 2: bringing more never lowers a payout; no choice among proofs takes more than is counted.
    Monotone,
    /// 3: an honest side ends with what its newest accepted state says.
    HonestNeverLoses,
    /// 4: a payer is charged only if the payee can claim, and once.
    Atomic,
    /// 5: every closed channel pays out.
    Live,
}

/// A theorem that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub theorem: Theorem,
    /// In numbers.
    pub how: String,
}

/// What the ledger has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct OnLedger {
    /// Paid out of the open channel, by role.
    withdrawn: PerRole<u64>,
    /// At the end.
    pub(super) paid: Option<PerRole<u64>>,
    closing: bool,
    /// The block that started the window.
    closed_at: Option<Height>,
    /// The newest proof of the honest side's that the thief has brought.
    brought: u64,
    /// What of the thief's direction is recorded or anchored.
    recorded_paid: u64,
    /// The newest acknowledgment of the thief's in it.
    recorded_ack: u64,
}

impl Game {
    pub(super) fn judge_block(
        &mut self,
        height: Height,
        txs: &[Transaction],
        outcomes: &[(TxId, Result<(), Code>)],
        events: &[LedgerEvent],
    ) {
        let done = txs.iter().zip(outcomes).filter(|(_, (_, outcome))| outcome.is_ok());
        for (tx, _) in done {
            if let Transaction::Submit { body, .. } = tx {
                self.ledgered.closing |= body.close;
                if body.close {
                    self.ledgered.closed_at.get_or_insert(height);
                }
                if body.by == self.thief() && self.ledgered.closing {
                    for (id, secret) in &body.claims {
                        self.ours.claimed.show(*id, secret, height);
                    }
                }
            }
        }
        for event in events {
            self.judge_event(event);
        }
        if !self.ledger.is_conserved() {
            self.break_theorem(Theorem::Conservation, format!("in block {height}"));
        }
    }

    fn judge_event(&mut self, event: &LedgerEvent) {
        let seen = &mut self.ledgered;
        match event {
            LedgerEvent::Withdrawn { role, total, .. } => *seen.withdrawn.of_mut(*role) = total.0,
            LedgerEvent::ProofRecorded { proof, .. } if proof.from == self.stage.honest => {
                seen.brought = seen.brought.max(proof.seq);
            }
            LedgerEvent::ProofRecorded { proof, .. } => {
                let paid = self.theirs.state(proof.seq).paid;
                seen.recorded_paid = seen.recorded_paid.max(paid);
                seen.recorded_ack = seen.recorded_ack.max(proof.peer_seq);
            }
            LedgerEvent::Anchored { hub_transferred, .. } if self.stage.honest == Role::Wallet => {
                seen.recorded_paid = seen.recorded_paid.max(hub_transferred.0);
            }
            LedgerEvent::Settled { wallet, hub, .. } => {
                seen.paid = Some(PerRole { wallet: wallet.0, hub: hub.0 });
                self.judge_payout();
            }
            _ => {}
        }
    }

    /// Theorem 3, and 2's second half: what the honest side got, against what was agreed. The thief
    /// is granted the best of all proofs that its own acknowledgments have not retired, with every
    /// secret that it brought in time.
    fn judge_payout(&mut self) {
        let Some(paid) = self.ledgered.paid else { return };
        let (honest, seen) = (self.stage.honest, &self.ledgered);
        let got = paid.of(honest) + seen.withdrawn.of(honest);
        let (received, retired) = if self.asleep {
            (seen.recorded_paid, seen.recorded_ack)
        } else {
            (self.theirs.owed(), self.ours.retired_below)
        };
        let spent = self.ours.most_paid(retired);
        let should = i128::from(DEPOSIT) + i128::from(received) - i128::from(spent);
        let sum = paid.wallet + paid.hub + seen.withdrawn.wallet + seen.withdrawn.hub;
        if sum != 2 * DEPOSIT {
            self.break_theorem(Theorem::Conservation, format!("{sum} came out of the channel"));
        }
        if i128::from(got) < should {
            let how = format!(
                "the honest {honest:?} got {got}: it had received {received}, and paid {spent} \
                 at most"
            );
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
    }

    /// What must hold at every moment.
    pub(super) fn judge(&mut self) {
        self.judge_delay();
        let height = self.height();
        if let Some(id) = self.ours.back_too_early(height) {
            let how = format!("lock {id} is back, and can be claimed after block {height}");
            self.break_theorem(Theorem::Monotone, how);
        }
        let committed = self.ours.most_committed(height);
        let has = DEPOSIT + self.theirs.taken_state().paid;
        if committed > has {
            let how = format!("the honest side has committed {committed}, and has {has}");
            self.break_theorem(Theorem::HonestNeverLoses, how);
        }
    }

    /// Theorem 5: no channel stays closed and unpaid past its window and the expiry of every lock.
    fn judge_delay(&mut self) {
        let bounds = self.bounds();
        let longest = bounds.window() + bounds.life() + bounds.lag + 1;
        let due = self.ledgered.closed_at.map(|closed| closed.after(longest));
        if !self.is_over() && due.is_some_and(|due| self.height() > due) {
            let how = format!("closed, and not paid out at height {}", self.height());
            self.break_theorem(Theorem::Live, how);
        }
    }

    /// Theorem 2, first half: once the thief has brought the honest side's newest proof, what the
    /// honest side brings in a block never lowers its payout.
    pub(super) fn judge_monotone(&mut self, theirs: &[Transaction], ours: &[Transaction]) {
        let newest_is_in = self.ledgered.closing && self.ledgered.brought >= self.ours.taken;
        if ours.is_empty() || !newest_is_in {
            return;
        }
        let both = [theirs, ours].concat();
        let paid = [theirs, &both].map(|txs| {
            let mut ledger = self.ledger.clone();
            let verified = txs.iter().filter_map(|tx| ledger.verify_tx(tx.clone()).ok());
            let verified: Vec<_> = verified.collect();
            let time = ledger.tip().time_ms + 1_000;
            ledger.apply(verified, time).ok()?;
            let channel = ledger.channel(&self.me.id())?;
            Some(payout(channel).of(self.stage.honest).0)
        });
        if let [Some(without), Some(with)] = paid
            && with < without
        {
            let how = format!("bringing more lowered {without} to {with}");
            self.break_theorem(Theorem::Monotone, how);
        }
    }
}
