//! Two honest sides on a bad network, with a ledger that each sees with a delay of its own, against
//! the model.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::model::Direction;
use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, chain, pay, stream};
use crate::channel::{Answer, Channel, Duty, Effect, Phase, Step};
use crate::reject::Code;
use crate::types::{Amount, Height, Role, Secret};
use crate::update::Update;

/// One thing that happens. Numbers pick among what is there.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pay(Role, u16),
    Add { by: Role, unit: u8, steps: u8, life: u8 },
    Propose(Role),
    Acknowledge(Role),
    Reveal { by: Role, which: u8, depth: u8 },
    Fail { by: Role, which: u8 },
    Expire(Role),
    Blocks(u8),
    See(Role),
    Deliver(Role),
    Twice(Role),
    Reconnect,
}

/// What is on its way to the other side, in order.
#[derive(Clone, Debug)]
enum Said {
    Update(Box<Update>),
    Ack(u64),
    Reject(u64, Code),
    Reveal(u64, Secret),
    Fail(u64, Code),
}

struct World {
    pair: Pair,
    /// What each role has said and the other has not heard.
    wire: [VecDeque<Said>; 2],
    /// The direction of each role.
    model: [Direction; 2],
    height: u64,
    seeds: u8,
}

fn at(role: Role) -> usize {
    usize::from(role == HUB)
}

impl World {
    fn new() -> World {
        World {
            pair: Pair::new(),
            wire: Default::default(),
            model: Default::default(),
            height: START,
            seeds: 0,
        }
    }

    /// Commits a step and says what follows from it.
    fn commit(&mut self, role: Role, step: Step) {
        for effect in self.pair.of(role).commit(step) {
            self.perform(role, effect);
        }
    }

    fn perform(&mut self, role: Role, effect: Effect) {
        let said = match effect {
            Effect::SendUpdate => {
                let update = self.pair.of(role).update();
                self.model[at(role)].sign(&update);
                Said::Update(Box::new(update))
            }
            Effect::SendAck { seq } => Said::Ack(seq),
            Effect::SendReveal { id, secret } => {
                self.model[at(role.other())].shown.insert(id, secret);
                Said::Reveal(id, secret)
            }
            Effect::SendFail { id, code } => Said::Fail(id, code),
            Effect::LockGone { id, .. } => {
                self.model[at(role)].back.push(id);
                return;
            }
            _ => return,
        };
        self.wire[at(role)].push_back(said);
    }

    /// `role` hears what the other side said.
    fn hear(&mut self, role: Role, said: Said) {
        let side = self.pair.of(role);
        match said {
            Said::Update(update) => self.hear_update(role, *update),
            Said::Ack(seq) => self.commit(role, Step::Acked { seq }),
            Said::Reject(seq, code) => self.commit(role, Step::Rejected { seq, code }),
            Said::Reveal(id, secret) => {
                let step = side.channel.check_reveal(id, &secret, &side.now());
                if let Some(step) = step.expect("an honest side's secrets fit") {
                    self.commit(role, step);
                }
            }
            Said::Fail(id, code) => {
                if let Some(step) = side.channel.check_fail(id, code) {
                    self.commit(role, step);
                }
            }
        }
    }

    fn hear_update(&mut self, role: Role, update: Update) {
        let seq = update.proof.value.seq;
        let before = self.pair.of(role).effects.len();
        match self.pair.of(role).receive(update.clone()) {
            Err(code) => {
                let retryable = code.retryable();
                // Copies of what was answered, and what an overtaking acknowledgment withdrew.
                let stale = matches!(code, Code::SeqNotRising | Code::BaseMismatch);
                assert!(retryable || stale, "an honest update is refused: {code:?}");
                self.wire[at(role)].push_back(Said::Reject(seq, code));
            }
            Ok(()) => {
                self.model[at(role.other())].accept(&update);
                let direction = &mut self.model[at(role)];
                let acknowledged = update.proof.value.peer_seq;
                direction.retired_below = direction.retired_below.max(acknowledged);
                let effects = self.pair.of(role).effects.split_off(before);
                // An update that was accepted before says nothing new and is acknowledged again.
                if effects.is_empty() {
                    self.wire[at(role)].push_back(Said::Ack(seq));
                }
                effects.into_iter().for_each(|effect| self.perform(role, effect));
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pay(by, amount) => self.propose(by, &[pay(u64::from(amount))]),
            Event::Add { by, unit, steps, life } => {
                let expiry = self.height + u64::from(life);
                self.seeds = self.seeds.wrapping_add(1);
                let add = stream(self.seeds, u64::from(unit), u32::from(steps), expiry);
                self.propose(by, &[add]);
            }
            Event::Propose(by) => self.propose(by, &[]),
            Event::Acknowledge(by) => {
                if let Some(step) = self.pair.of(by).channel.acknowledge() {
                    self.commit(by, step);
                }
            }
            Event::Reveal { by, which, depth } => self.reveal(by, which, u32::from(depth)),
            Event::Fail { by, which } => {
                let Some((id, _)) = self.pick(by, which) else { return };
                if let Ok(step) = self.pair.of(by).channel.fail(id, Code::RefusedByPayee) {
                    self.commit(by, step);
                }
            }
            Event::Expire(by) => self.expire(by),
            Event::Blocks(count) => self.blocks(u64::from(count)),
            Event::See(role) => self.see(role),
            Event::Deliver(from) => {
                if let Some(said) = self.wire[at(from)].pop_front() {
                    self.hear(from.other(), said);
                }
            }
            Event::Twice(from) => {
                if let Some(said) = self.wire[at(from)].front().cloned() {
                    self.wire[at(from)].push_front(said);
                }
            }
            Event::Reconnect => self.reconnect(),
        }
    }

    fn propose(&mut self, by: Role, wanted: &[crate::channel::NewOp]) {
        let side = self.pair.of(by);
        if let Some(step) = side.channel.propose(wanted, &side.now()).step {
            self.commit(by, step);
        }
    }

    /// A pending lock of the other side's direction, and how many steps it has left.
    fn pick(&mut self, by: Role, which: u8) -> Option<(u64, u32)> {
        let locks = &self.pair.of(by).channel.incoming().tally.locks;
        let lock = locks.get(usize::from(which) % locks.len().max(1))?;
        Some((lock.id, lock.steps))
    }

    /// The payee shows a value of the chain: it finds it by the seed that ends in the anchor.
    fn reveal(&mut self, by: Role, which: u8, depth: u32) {
        let Some((id, left)) = self.pick(by, which) else { return };
        let side = self.pair.of(by);
        if side.channel.claimable(id, &side.now()).is_err() {
            return;
        }
        let lock = *side.channel.incoming().tally.lock(id).expect("it was picked");
        let chains = (0..=u8::MAX).flat_map(|seed| [1, 8].map(|length| (seed, length)));
        let found = chains
            .filter(|(_, length)| *length >= left)
            .find(|(seed, length)| chain(*seed, *length, length - left) == lock.anchor.0);
        let (seed, length) = found.expect("every chain has a seed");
        let settled = length - left;
        let steps = settled + 1 + depth % left;
        let step = side.channel.reveal(id, &Secret(chain(seed, length, steps))).expect("it fits");
        if let Some(step) = step {
            self.commit(by, step);
        }
    }

    fn expire(&mut self, by: Role) {
        let side = self.pair.of(by);
        for step in side.channel.expire(&side.now()) {
            self.commit(by, step);
        }
    }

    fn blocks(&mut self, count: u64) {
        self.height += count;
        let height = self.height;
        for role in [WALLET, HUB] {
            let view = &mut self.pair.of(role).view;
            view.fresh &= view.height.0 + LAG >= height;
        }
    }

    fn see(&mut self, role: Role) {
        let height = Height(self.height);
        self.pair.of(role).view = crate::params::View { height, fresh: true };
    }

    /// What is on its way is lost; both show what they hold, and say again what is unanswered.
    fn reconnect(&mut self) {
        self.wire = Default::default();
        for outcome in self.pair.meet() {
            assert_eq!(outcome.lost, None);
        }
        for role in [WALLET, HUB] {
            for effect in self.pair.of(role).channel.to_resend() {
                self.perform(role, effect);
            }
        }
    }

    /// Lets the sides talk until nothing is left to say.
    fn quiet(&mut self) {
        self.reconnect();
        for _ in 0..400 {
            let mut moved = false;
            for role in [WALLET, HUB] {
                self.expire(role);
                self.propose(role, &[]);
                while let Some(said) = self.wire[at(role)].pop_front() {
                    moved = true;
                    self.hear(role.other(), said);
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the sides never come to rest");
    }

    /// What must hold at every moment.
    fn check(&mut self) {
        for role in [WALLET, HUB] {
            let (own, theirs) = (&self.model[at(role)], &self.model[at(role.other())]);
            own.assert_back_is_back(self.height);
            let side = if role == WALLET { &self.pair.wallet } else { &self.pair.hub };
            assert_eq!((side.channel.phase(), side.channel.suspended()), (Phase::Open, None));
            let claims = side.channel.submission(true, side.view.height).claims;
            theirs.assert_shown_is_claimed(&claims, side.view.height.0);
            assert_duty(side, &claims);
            // Nobody has pledged more than it has, even if all that it received last is all it gets.
            let received = theirs.accepted_state().paid;
            assert!(own.most(self.height) <= DEPOSIT + received, "{role:?} is overdrawn");
            // The receiver's tally is the model's.
            let tally = &side.channel.incoming().tally;
            assert_eq!((tally.seq, tally.transferred.0), (theirs.accepted, received));
        }
    }

    /// When all is said, both agree, and nothing was made or lost.
    fn check_quiet(&mut self) {
        let totals = |channel: &Channel| {
            [WALLET, HUB].map(|role| channel.balance(role).0).map(|balance| balance as u128)
        };
        let [wallet, hub] = [&self.pair.wallet, &self.pair.hub].map(|side| totals(&side.channel));
        assert_eq!(wallet, hub, "the sides do not agree");
        assert_eq!(wallet.iter().sum::<u128>(), 2 * u128::from(DEPOSIT), "money was made or lost");
        for role in [WALLET, HUB] {
            let tally = self.pair.of(role.other()).channel.incoming().tally.clone();
            assert_eq!(self.pair.of(role).channel.outgoing().accepted, tally);
            assert_eq!(self.pair.of(role).channel.outgoing().refused, []);
            // No money waits for ever: what has no answer stands in the newest state.
            for (id, standing) in self.pair.of(role).channel.outgoing().standing.iter() {
                let known = matches!(standing.answer, Some(Answer::Known { .. } | Answer::Expired));
                assert!(known || tally.lock(*id).is_some(), "lock {id} waits for ever");
            }
            self.pair.of(role).assert_replays();
        }
    }
}

/// Who has shown a secret that is not settled goes to the ledger in time.
fn assert_duty(side: &super::pair::Side, claims: &[(u64, Secret)]) {
    let margin = side.policy.claim_margin;
    let late = |id| {
        let lock = side.channel.incoming().tally.lock(id).expect("a claim is on a pending lock");
        side.view.height.0 + margin >= lock.expiry.0
    };
    let due = claims.iter().any(|(id, _)| late(*id));
    let duty = side.channel.duty(&side.now());
    assert_eq!(duty, due.then_some(Duty::CloseAndClaim));
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(WALLET), Just(HUB)]
}

fn event() -> impl Strategy<Value = Event> {
    let which = 0..4u8;
    prop_oneof![
        3 => (role(), 1..2_000u16).prop_map(|(by, amount)| Event::Pay(by, amount)),
        4 => (role(), 1..200u8, prop_oneof![Just(1u8), Just(8)], 1..=255u8)
            .prop_map(|(by, unit, steps, life)| Event::Add { by, unit, steps, life }),
        4 => role().prop_map(Event::Propose),
        1 => role().prop_map(Event::Acknowledge),
        4 => (role(), which.clone(), 0..8u8)
            .prop_map(|(by, which, depth)| Event::Reveal { by, which, depth }),
        2 => (role(), which).prop_map(|(by, which)| Event::Fail { by, which }),
        1 => role().prop_map(Event::Expire),
        2 => (1..40u8).prop_map(Event::Blocks),
        3 => role().prop_map(Event::See),
        16 => role().prop_map(Event::Deliver),
        1 => role().prop_map(Event::Twice),
        1 => Just(Event::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn two_honest_sides_agree_and_nobody_loses(
        events in proptest::collection::vec(event(), 1..150),
    ) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            world.check();
        }
        world.see(WALLET);
        world.see(HUB);
        world.quiet();
        world.check_quiet();
        // Past every expiry nothing is pending any more.
        world.blocks(400 + LAG);
        world.see(WALLET);
        world.see(HUB);
        world.quiet();
        world.check_quiet();
        let locked = world.pair.wallet.channel.locked();
        prop_assert_eq!(locked, Amount(0));
    }
}
