//! What may happen next, and its happening.

use settlement::lock::Lock;
use settlement::types::{Amount, Anchor};
use settlement::update::{Destination, Memo, Op, Payload};

use super::super::game::{Claims, Fault, Theorem};
use super::super::history::distance;
use super::wallet::Chain;
use super::{Pair, policy};

/// How long a payer lets its lock live, by the hub's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As long as it is taken.
    Long,
    /// Just long enough to be passed on.
    Least,
    /// Too short for that.
    Short,
}

/// One thing that happens. Wallet 0 is A, wallet 1 is B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// A wallet locks so many steps for the other one.
    Lock {
        /// Which wallet.
        who: usize,
        /// How many steps.
        steps: u8,
        /// For how long.
        life: Life,
        /// To what its newest lock was locked to.
        again: bool,
    },
    /// It pays the hub directly.
    Pay(usize),
    /// It says nothing but what it acknowledges: the newest, or no more than before.
    Plain {
        /// Which wallet.
        who: usize,
        /// The newest that it did not say it refused.
        newest: bool,
    },
    /// It settles what the hub has shown of its oldest lock.
    Settle(usize),
    /// It drops its oldest lock.
    Drop(usize),
    /// It answers the hub's update.
    Answer {
        /// Which wallet.
        who: usize,
        /// With an `Ack`, or by saying that it refused what it keeps.
        ack: bool,
    },
    /// It reveals a secret of a lock of the hub's.
    Reveal {
        /// Which wallet.
        who: usize,
        /// All steps, or one.
        all: bool,
        /// Of the newest lock, or of the oldest.
        newest: bool,
    },
    /// It gives up the hub's oldest lock.
    GiveUp(usize),
    /// It connects anew, and shows one of the hub's proofs as the newest.
    Meet {
        /// Which wallet.
        who: usize,
        /// So many before the newest.
        back: u8,
    },
    /// It brings something before the ledger.
    Bring {
        /// Which wallet.
        who: usize,
        /// Whether it closes.
        close: bool,
        /// Which of the proofs that it ever took, the newest being 0.
        back: u8,
        /// With how many of its secrets.
        claims: Claims,
    },
    /// It asks the hub to co-sign.
    Ask {
        /// Which wallet.
        who: usize,
        /// A close, or a withdrawal.
        close: bool,
    },
    /// It brings what was co-signed.
    Carry(usize),
    /// The hub anchors.
    Anchor,
    /// The hub closes on that wallet.
    HubCloses(usize),
    /// A block.
    Block {
        /// Whether it carries what the hub has handed in before it must.
        ours: bool,
        /// Whether the hub sees it at once.
        seen: bool,
    },
    /// So many blocks, all seen.
    Blocks(u8),
    /// Blocks until the next one is the last that takes a claim on a lock of the hub's, or of a
    /// wallet's.
    Edge {
        /// Whether of the hub's.
        hubs: bool,
    },
    /// The hub is shown no block for a while.
    Dark,
}

impl Pair {
    /// Lets it happen. Whether anything did.
    pub fn act(&mut self, action: Move) -> bool {
        if self.is_over() || self.fault().is_some() {
            return false;
        }
        let done = match action {
            Move::Lock { who, steps, life, again } => self.lock(who, steps, life, again),
            Move::Pay(who) => {
                let amount = Amount(super::FEE);
                self.draft(who, vec![Op::Pay { amount, memo: Memo::default() }], true)
            }
            Move::Plain { who, newest } => self.draft(who, Vec::new(), newest),
            Move::Settle(who) => self.settle(who),
            Move::Drop(who) => {
                let oldest = self.wallets[who].theirs.taken_state().locks.first().copied();
                oldest.is_some_and(|lock| self.draft(who, vec![Op::Drop { id: lock.id }], true))
            }
            Move::Answer { who, ack } => self.answer(who, ack),
            Move::Reveal { who, all, newest } => self.reveal(who, all, newest),
            Move::GiveUp(who) => self.give_up(who),
            Move::Meet { who, back } => self.meet(who, back),
            Move::Bring { who, close, back, claims } => self.bring(who, close, back, claims),
            Move::Ask { who, close } => self.ask(who, close),
            Move::Carry(who) => self.carry(who),
            Move::Anchor => self.ask_to_anchor(),
            Move::HubCloses(who) => self.hub_closes(who),
            Move::Block { ours, seen } => self.block(ours, seen),
            Move::Blocks(count) => (0..count).all(|_| self.block(true, true)),
            Move::Edge { hubs } => self.wait_for_edge(hubs),
            Move::Dark => self.go_dark(),
        };
        self.judge();
        done
    }

    fn lock(&mut self, who: usize, steps: u8, life: Life, again: bool) -> bool {
        let steps = u32::from(steps);
        let policy = policy();
        let least = policy.expiry_delta + policy.claim_margin + policy.settle_grace + super::LAG;
        let life = match life {
            Life::Long => policy.lock_life_max,
            Life::Least => least,
            Life::Short => least - 1,
        };
        let seed = u8::try_from(self.chains.len() + 1).unwrap_or(u8::MAX);
        let before = self.chains.last().copied().filter(|_| again);
        let chain = before.unwrap_or_else(|| Chain::new(seed, steps));
        let lock = self.new_lock(who, Anchor(chain.value(0)), steps, life);
        let to = Destination { hub: None, wallet: self.wallets[1 - who].key.public() };
        self.chains.push(chain);
        let taken = self.draft(who, vec![Op::Add { lock, to, payload: Payload::default() }], true);
        self.wallets[who].last_lock += u64::from(taken);
        taken
    }

    fn settle(&mut self, who: usize) -> bool {
        let wallet = &self.wallets[who];
        let shown = |lock: &Lock| {
            let secrets = wallet.theirs.shown.of(lock.id).map(|(secret, _)| secret);
            let best = secrets.max_by_key(|secret| distance(secret, lock))?;
            (distance(&best, lock) > 0).then_some(Op::Settle { id: lock.id, secret: best })
        };
        let op = wallet.theirs.taken_state().locks.iter().find_map(shown);
        op.is_some_and(|op| self.draft(who, vec![op], true))
    }

    /// Everybody takes what is to be had: each wallet closes with the proof that is worth most to it
    /// and all its claims; then blocks come until both channels are paid out.
    pub fn finish(&mut self) {
        for who in 0..2 {
            if !self.wallets[who].closing {
                self.bring_best(who);
            }
        }
        let policy = policy();
        let longest = u64::from(policy.challenge_blocks) + policy.lock_life_max + super::NIGHT;
        let end = self.height().after(2 * longest);
        while !self.is_over() && self.fault().is_none() && self.height() < end {
            self.block(false, false);
            let open = (0..2).find(|who| !self.wallets[*who].closing);
            if let Some(who) = open {
                self.hub_closes(who);
            }
            self.judge();
        }
        if !self.is_over() && self.fault().is_none() {
            let how = format!("not paid out at height {}", self.height());
            self.fault = Some(Fault { theorem: Theorem::Live, how });
        }
        self.judge_end();
    }
}

/// Operations, for the story.
pub(super) fn said(ops: &[Op]) -> String {
    let word = |op: &Op| match op {
        Op::Pay { amount, .. } => format!("pays {amount}"),
        Op::Add { lock, .. } => {
            let Lock { id, unit, steps, expiry, .. } = lock;
            format!("adds lock {id} of {steps} x {unit} until {expiry}")
        }
        Op::Settle { id, .. } => format!("settles lock {id}"),
        Op::Drop { id } => format!("drops lock {id}"),
    };
    let words: Vec<String> = ops.iter().map(word).collect();
    if words.is_empty() { "nothing new".to_owned() } else { words.join(", ") }
}
