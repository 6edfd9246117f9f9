//! State is lost: a process is stopped, and an old copy of its disk takes the place of the one it
//! had. In a world it is either the hub that this happens to, as often as it likes, or the wallets,
//! so that whatever one side has forgotten another still has: two sides that forget the same are not
//! helped by any protocol.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::journal::JournalError;

use super::counts::Kind;
use super::liar::{HUB, Liar, WALLET};
use super::{Plan, World};

/// A hub takes a channel back when its wallet shows it, or says so again after ten seconds. One that it
/// can't take back for longer waits for a lock to end.
const BLOCKS_TO_TAKE_BACK: u32 = 60;

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
    /// When it last happened.
    at_ms: Option<u64>,
    /// For how many blocks since then the hub has not had each wallet's channel back, as long as it has not.
    missing: [Option<u32>; 2],
    /// What had begun by then may have ended before a hub had a channel back.
    excused_until_ms: Option<u64>,
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
        Loss { whose, ..Loss::default() }
    }

    pub(super) fn happened(&self) -> bool {
        self.at_ms.is_some()
    }

    pub(super) fn of_hub(&self) -> bool {
        self.happened() && self.whose == Some(Whose::Hub)
    }

    /// Whether what began at this time may have ended before a hub that had forgotten it could take a
    /// channel back.
    pub(super) fn excuses(&self, begun_ms: u64) -> bool {
        self.of_hub() && self.excused_until_ms.is_some_and(|until| begun_ms <= until)
    }

    fn happens(&mut self, now_ms: u64) {
        self.at_ms = Some(now_ms);
        self.missing = [Some(0); 2];
    }

    /// The hub has this wallet's channel back: both sides hold the same again.
    pub(super) fn is_back(&mut self, who: usize) {
        self.missing[who] = None;
    }

    /// A block has passed.
    pub(super) fn note_block(&mut self) {
        for blocks in self.missing.iter_mut().flatten() {
            *blocks += 1;
            if *blocks > BLOCKS_TO_TAKE_BACK {
                self.excused_until_ms = self.at_ms;
            }
        }
    }

    /// Whether wallets forget in this world.
    pub(super) fn may_be_of_wallets(&self) -> bool {
        matches!(self.whose, Some(Whose::Wallets(_)))
    }

    pub(super) fn of_wallets(&self) -> bool {
        self.happened() && matches!(self.whose, Some(Whose::Wallets(_)))
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
                self.loss.happens(self.now_ms);
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
                self.loss.happens(self.now_ms);
                self.start_wallet(who);
            }
            Whose::Wallets(_) => return,
        }
        self.count(Kind::OldCopy);
    }

    fn copied(&mut self, copied: Result<(), JournalError>) {
        if let Err(error) = copied {
            self.wrong(format!("a journal can't be copied: {error}"));
        }
    }
}
