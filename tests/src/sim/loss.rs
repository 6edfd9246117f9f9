//! State is lost: a process is stopped, and an old copy of its disk takes the place of the one it
//! had. In a world it is either the hub that this happens to, as often as it likes, or the wallets,
//! so that whatever one side has forgotten another still has: two sides that forget the same are not
//! helped by any protocol.

use client_sdk::wallet::{Payment, PaymentState, Way};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::channel::Channel;
use settlement::journal::JournalError;
use settlement::reject::Code;

use super::counts::Kind;
use super::liar::{HUB, Liar, WALLET};
use super::{Plan, World, check};

/// A hub takes a channel back when its wallet shows it, or says so again after ten seconds. One that it
/// can't take back for longer waits for a lock to end.
const RESTS: u32 = 60;

/// Who is restored from old copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Hub,
    /// These of them.
    Wallets([bool; 2]),
}

/// What is lost in a world.
#[derive(Default)]
pub(super) struct Loss {
    whose: Option<Whose>,
    happened: bool,
    /// Whether a wallet was out of reach for long.
    nights: bool,
    /// For how many blocks, after faults had stopped, the hub could not take a channel back.
    rests: u32,
}

impl Loss {
    /// A hub that has forgotten something can be cheated by a thief, and a wallet by its hub; a wallet
    /// can't be by another.
    pub(super) fn plan(plan: &Plan, liars: &[Option<Liar>; 3]) -> Loss {
        let (hub, thief) = (liars[HUB].is_some(), liars[WALLET].is_some());
        let mut dice = ChaCha8Rng::seed_from_u64(!plan.seed);
        let whose = match dice.random_range(0..4) {
            _ if !plan.faults => None,
            _ if hub => None,
            0 if !thief => Some(Whose::Hub),
            1 => Some(Whose::Wallets([true, !thief])),
            _ => None,
        };
        Loss { whose, happened: false, nights: false, rests: 0 }
    }

    pub(super) fn night(&mut self) {
        self.nights = true;
    }

    /// Whether what a hub has forgotten may have ended before it could take it back.
    fn of_hub_for_long(&self) -> bool {
        self.of_hub() && (self.nights || self.rests > RESTS)
    }

    pub(super) fn happened(&self) -> bool {
        self.happened
    }

    pub(super) fn of_hub(&self) -> bool {
        self.happened && self.whose == Some(Whose::Hub)
    }

    /// Whether wallets forget in this world.
    pub(super) fn may_be_of_wallets(&self) -> bool {
        matches!(self.whose, Some(Whose::Wallets(_)))
    }

    pub(super) fn of_wallets(&self) -> bool {
        self.happened && matches!(self.whose, Some(Whose::Wallets(_)))
    }
}

impl World {
    /// Now and then.
    pub(super) fn lose_state(&mut self) {
        let Some(whose) = self.loss.whose else { return };
        let dice = &mut self.rng;
        if !dice.random_bool(0.012) {
            return;
        }
        let (who, recent) = (dice.random_range(0..2), dice.random_bool(0.6));
        let (back, permille) = (dice.random_range(0..60), dice.random_range(0..=1000));
        let seed = dice.random();
        let at = |durable: u64| {
            // Most often of a moment ago, sometimes of any time since the beginning.
            if recent { durable.saturating_sub(back) } else { durable * permille / 1000 }
        };
        match whose {
            Whose::Hub => {
                let to = at(self.hub.durable());
                self.story.tell(self.now_ms, || format!("the hub is restored to record {to}"));
                let copied = self.hub.restore(to, seed);
                self.copied(copied);
                self.notice_deaths();
                self.start_hub();
            }
            Whose::Wallets(these) if these[who] => {
                let to = at(self.wallets[who].durable());
                self.story.tell(self.now_ms, || format!("wallet {who} is restored to record {to}"));
                // Also what it settled and died before it told of.
                let copied = self.wallets[who].restore(to, seed).map(|before| {
                    before.payments().for_each(|payment| self.facts.note(who, payment));
                });
                self.copied(copied);
                self.facts.forget(who);
                self.notice_deaths();
                self.start_wallet(who);
            }
            Whose::Wallets(_) => return,
        }
        self.loss.happened = true;
        self.count(Kind::OldCopy);
    }

    fn copied(&mut self, copied: Result<(), JournalError>) {
        if let Err(error) = copied {
            self.wrong(format!("a journal can't be copied: {error}"));
        }
    }

    /// A wallet that died before it told of a payment has it in its records.
    pub(super) fn note_all(&mut self, payments: &[Vec<Payment>; 2]) {
        for (who, payments) in payments.iter().enumerate() {
            payments.iter().for_each(|payment| self.facts.note(who, payment));
        }
    }

    /// Whether a wallet may have so much more than payments say, or less, because a channel was
    /// closed on the ledger before its sides had met again. A hub that has forgotten proofs can't
    /// bring them, so the wallet may gain. A wallet that is restored, and then out of reach until its
    /// or the hub's deadlines, has nothing but its copy to bring, and what it has forgotten to claim
    /// it can't claim: it may lose what it dealt in, and no more. (Here nobody anchors.)
    pub(super) fn may_differ(&self, who: usize, given: i128) -> bool {
        if self.loss.of_wallets() {
            let early = self.closed_early.contains(&true);
            return early && given != 0 && given.abs() <= self.facts.dealt(who);
        }
        self.loss.of_hub() && self.closed_early[who] && given > 0
    }

    /// What settled payments and streams moved for a wallet. One that has forgotten some is told by others.
    pub(super) fn moved(&self, who: usize, payments: &[Payment]) -> (i128, i128) {
        if self.loss.of_wallets() {
            return self.facts.moved(who);
        }
        let (payments, streams) = (check::moved(payments), self.streamed(who));
        (payments.0 + streams.0, payments.1 + streams.1)
    }

    /// A block has passed since faults stopped.
    pub(super) fn note_rest(&mut self) {
        let rests = |channel: &Channel| channel.suspended() == Some(Code::StateLost);
        // A hub that lacks updates alone does not see it: its wallet does.
        let rests = self.channels().any(rests);
        self.loss.rests += u32::from(rests);
    }

    /// Payer and payee agree about each payment that neither has forgotten. Where a hub has forgotten some,
    /// and a wallet was away for long, or a channel could not be taken back for long, the payer may
    /// have its money again: the hub has paid it then.
    pub(super) fn check_agreement(&mut self, payments: &[Vec<Payment>; 2]) -> Result<(), String> {
        if self.loss.of_wallets() {
            return Ok(());
        }
        for payer in 0..2 {
            let (out, received) = (&payments[payer], &payments[1 - payer]);
            let forgotten = |paid: &&Payment| {
                let arrived = |p: &&Payment| p.way == Way::In && p.anchor == paid.anchor;
                let arrived = received.iter().find(arrived);
                paid.way == Way::Out
                    && matches!(paid.state, PaymentState::Failed(_))
                    && arrived.is_some_and(|p| p.state == PaymentState::Settled)
            };
            let gone = out.iter().filter(forgotten).count();
            if self.loss.of_hub_for_long() && gone > 0 {
                self.report.forgotten += gone as u64;
                let kept: Vec<Payment> =
                    out.iter().filter(|paid| !forgotten(paid)).cloned().collect();
                check::agree(&kept, received)?;
            } else {
                check::agree(out, received)?;
            }
            check::arrived(out, received)?;
        }
        Ok(())
    }
}
