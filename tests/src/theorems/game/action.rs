//! What may happen next, and its happening.

use settlement::types::{Height, Role};

use super::Game;

/// An update that the thief drafts on top of its newest state that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Draft {
    /// No operation: it acknowledges.
    Plain,
    /// A direct payment.
    Pay,
    /// A direct payment of more than it has.
    Overspend,
    /// A lock whose secret the honest side has, of the most steps.
    Lock,
    /// A lock under an id that was used.
    LockAgain,
    /// Settles what the honest side has shown of its oldest lock.
    Settle,
    /// Settles a part, and says that nothing is left of the lock.
    SettleAndLose,
    /// Drops its oldest lock.
    Drop,
    /// Says that it has paid less than before.
    FallBack,
    /// Acknowledges a proof that it said it refused.
    AcknowledgeRefused,
    /// Acknowledges more than it was paid, and pays with it.
    AcknowledgeMore,
}

impl Draft {
    /// All of them.
    pub const ALL: [Draft; 11] = [
        Draft::Plain,
        Draft::Pay,
        Draft::Overspend,
        Draft::Lock,
        Draft::LockAgain,
        Draft::Settle,
        Draft::SettleAndLose,
        Draft::Drop,
        Draft::FallBack,
        Draft::AcknowledgeRefused,
        Draft::AcknowledgeMore,
    ];
}

/// How much the thief claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Claims {
    /// Nothing.
    None,
    /// One step of each lock.
    One,
    /// All steps of each lock.
    All,
}

/// Something that the thief asks the honest side to sign for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cosign {
    /// A withdrawal of all that the thief has beyond what it has paid and locked, by the honest
    /// side's own count.
    Withdraw,
    /// A withdrawal of a good part of its deposit.
    WithdrawHalf,
    /// The cooperative close that the honest side itself makes of its state.
    Close,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// The honest side pays directly.
    Pay,
    /// The honest side adds a lock of so many steps, whose secret the thief has.
    Lock(u8),
    /// The honest side shows a secret of its oldest unanswered lock: one step, or all.
    Show {
        /// All steps that are left.
        all: bool,
    },
    /// The honest side gives its oldest unanswered lock up.
    GiveUp,
    /// The honest side closes.
    Close,
    /// The honest side records what it holds on the open channel; a hub by an anchor.
    Record,
    /// The thief answers the honest side's update.
    Answer {
        /// With an `Ack`, or by saying that it refused what it keeps.
        ack: bool,
    },
    /// The thief reveals a secret of the honest side's oldest pending lock: one step, or all.
    Reveal {
        /// All steps that are left.
        all: bool,
    },
    /// The thief gives that lock up.
    Fail,
    /// The thief sends an update.
    Draft {
        /// Which.
        draft: Draft,
        /// Whether it acknowledges the newest proof that it took, or what it did before.
        newest: bool,
    },
    /// The thief brings something before the ledger.
    Bring {
        /// Whether it closes.
        close: bool,
        /// Which of the proofs that it ever took, the newest being 0; none beyond the oldest.
        back: u8,
        /// With how many of its secrets.
        claims: Claims,
    },
    /// The thief brings a proof of its own as if it were the honest side's to bring.
    BringOwn,
    /// The thief as a hub anchors a floor of its own, and an old proof of the wallet's.
    Anchor {
        /// Which of the proofs that it took.
        back: u8,
    },
    /// The thief asks for a signature.
    Cosign(Cosign),
    /// The thief hands what was co-signed to the ledger.
    Carry,
    /// A block.
    Block {
        /// Whether it carries what the honest side has handed in before it must.
        ours: bool,
        /// Whether the honest side sees it at once.
        seen: bool,
    },
    /// Blocks until the next height that makes a difference.
    Wait,
    /// The honest side is shown no block for a while, in which its view is stale.
    Dark,
    /// The honest side sleeps through all that follows.
    Sleep,
}

impl Action {
    /// Whether the honest side does it, or hears of it.
    fn needs_honest(self) -> bool {
        !matches!(
            self,
            Action::Bring { .. }
                | Action::BringOwn
                | Action::Anchor { .. }
                | Action::Carry
                | Action::Block { .. }
                | Action::Wait
        )
    }
}

impl Game {
    /// Everything that can happen. Of time only what can make a difference: single blocks while a
    /// transaction waits, else the way to the next height at which somebody's deadline lies.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over() || self.height().0 >= self.bounds().horizon {
            return actions;
        }
        match (self.brought.is_empty(), self.waiting.is_empty()) {
            (true, true) => actions.extend(self.next_deadline().map(|_| Action::Wait)),
            (_, none) => {
                let ours: &[bool] = if none { &[true] } else { &[true, false] };
                let both = ours.iter().flat_map(|ours| [(*ours, true), (*ours, false)]);
                actions.extend(both.map(|(ours, seen)| Action::Block { ours, seen }));
            }
        }
        self.honest_actions(&mut actions);
        self.talk_actions(&mut actions);
        self.ledger_actions(&mut actions);
        actions
    }

    fn honest_actions(&self, actions: &mut Vec<Action>) {
        let (bounds, spent) = (self.bounds(), &self.spent);
        if self.asleep {
            return;
        }
        if spent.payments < bounds.payments {
            actions.push(Action::Pay);
        }
        if spent.locks < bounds.locks {
            actions.push(Action::Lock(bounds.steps));
        }
        if let Some(lock) = self.me.incoming().tally.locks.first() {
            actions.extend([Action::Show { all: true }, Action::GiveUp]);
            actions.extend((lock.steps > 1).then_some(Action::Show { all: false }));
        }
        if spent.records < bounds.records {
            actions.push(Action::Record);
        }
        if bounds.nights {
            actions.extend([Action::Dark, Action::Close]);
        }
        if bounds.sleep {
            actions.push(Action::Sleep);
        }
    }

    fn talk_actions(&self, actions: &mut Vec<Action>) {
        if self.asleep {
            return;
        }
        let refusable = self.spent.refusals < self.bounds().refusals;
        if self.me.outgoing().in_flight.is_some() && refusable {
            actions.push(Action::Answer { ack: false });
        }
        if self.unanswered().is_some() {
            actions.push(Action::Answer { ack: true });
        }
        if let Some(lock) = self.me.outgoing().tip().locks.first() {
            actions.extend([Action::Reveal { all: true }, Action::Fail]);
            actions.extend((lock.steps > 1).then_some(Action::Reveal { all: false }));
        }
        if self.spent.drafts < self.bounds().drafts {
            for draft in self.bounds().kinds.iter().copied() {
                actions.push(Action::Draft { draft, newest: true });
                let plain = matches!(draft, Draft::Pay | Draft::Lock);
                actions.extend(plain.then_some(Action::Draft { draft, newest: false }));
            }
        }
        if self.spent.cosigns < self.bounds().cosigns {
            let all = [Cosign::Withdraw, Cosign::WithdrawHalf, Cosign::Close];
            actions.extend(all.map(Action::Cosign));
        }
    }

    fn ledger_actions(&self, actions: &mut Vec<Action>) {
        if !self.kept.is_empty() {
            actions.push(Action::Carry);
        }
        if self.spent.brings >= self.bounds().brings {
            return;
        }
        let proofs = u8::try_from(self.taken.len()).unwrap_or(u8::MAX);
        let claims: &[Claims] = match self.claims(Claims::All).is_empty() {
            true => &[Claims::None],
            false if self.bounds().steps > 1 => &[Claims::None, Claims::One, Claims::All],
            false => &[Claims::None, Claims::All],
        };
        for back in 0..=proofs {
            for close in [true, false] {
                let all =
                    claims.iter().map(|claims| Action::Bring { close, back, claims: *claims });
                actions.extend(all);
            }
        }
        if self.thief_seq > 0 {
            actions.push(Action::BringOwn);
        }
        if self.thief() == Role::Hub && self.spent.records < self.bounds().records {
            actions.extend((0..=proofs).map(|back| Action::Anchor { back }));
        }
    }

    /// The next height after which somebody's answer to "in time?" may be another one.
    fn next_deadline(&self) -> Option<Height> {
        let policy = &self.stage.policy;
        let (out, incoming) = (self.me.outgoing(), self.me.incoming());
        let locks = out.standing.values().map(|standing| standing.lock.expiry);
        let locks = locks.chain(incoming.tally.locks.iter().map(|lock| lock.expiry));
        let around = |expiry: Height| {
            let reveal = policy.claim_margin + policy.settle_grace;
            [reveal, policy.claim_margin, 1, 0].map(|before| expiry.before(before))
        };
        let channel = self.ledger.channel(&self.me.id());
        let window = channel.and_then(|channel| channel.closing).map(|c| c.proofs_until);
        let window = window.into_iter().flat_map(|until| [until.before(1), until]);
        let due = channel.and_then(|channel| channel.due());
        let dark = self.dark_until;
        let all = locks.flat_map(around).chain(window).chain(due).chain(dark);
        all.filter(|height| *height > self.height()).min()
    }

    /// Blocks until the next deadline, each seen at once.
    fn wait(&mut self) -> bool {
        let Some(until) = self.next_deadline() else { return false };
        while self.height() < until && self.waiting.is_empty() && !self.is_over() {
            self.block(true, true);
            self.attend();
        }
        true
    }

    /// What follows when this happens; `None` when nothing does.
    pub fn after(&self, action: Action) -> Option<Game> {
        let mut next = self.clone();
        next.act(action).then_some(next)
    }

    /// Lets it happen. Whether anything did.
    pub fn act(&mut self, action: Action) -> bool {
        if self.is_over() || (self.asleep && action.needs_honest()) {
            return false;
        }
        let done = match action {
            Action::Pay => self.pay(),
            Action::Lock(steps) => self.lock(steps),
            Action::Show { all } => self.show(all),
            Action::GiveUp => self.give_up(),
            Action::Close => self.close(),
            Action::Record => self.record(),
            Action::Answer { ack } => self.answer(ack),
            Action::Reveal { all } => self.hear_secret(all),
            Action::Fail => self.hear_failure(),
            Action::Draft { draft, newest } => self.hear_draft(draft, newest),
            Action::Bring { close, back, claims } => self.bring(close, back, claims),
            Action::BringOwn => self.bring_own(),
            Action::Anchor { back } => self.anchor(back),
            Action::Cosign(what) => self.cosign(what),
            Action::Carry => self.carry(),
            Action::Block { ours, seen } => self.block(ours, seen),
            Action::Wait => self.wait(),
            Action::Dark => self.go_dark(),
            Action::Sleep => self.fall_asleep(),
        };
        if done {
            self.attend();
            self.judge();
        }
        done
    }

    /// Somebody closes if nobody has, the thief if the honest side is asleep; blocks come until the
    /// channel is paid out.
    pub fn finish(&mut self) {
        let closing = self.ledger.channel(&self.me.id()).is_none_or(|c| c.closing.is_some());
        if !closing && self.asleep {
            self.bring(true, u8::MAX, Claims::None);
        } else if !closing {
            self.close();
        }
        let end = self.height().after(10 * (self.bounds().window() + self.bounds().life()));
        while !self.is_over() && self.height() < end {
            self.act(Action::Block { ours: false, seen: false });
        }
        if !self.is_over() {
            let how = format!("not paid out at height {}", self.height());
            self.break_theorem(super::Theorem::Live, how);
        }
    }
}
