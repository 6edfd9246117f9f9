//! A wallet's and a hub's side of one channel, with real keys, and the wire between them.

use crate::block::LedgerEvent;
use crate::channel::{
    Channel, Effect, NewOp, Now, Phase, Received, Step, SyncOutcome, VerifiedUpdate,
};
use crate::crypto::{BatchCache, Signed, SigningKey, VerifyingKey, chain_step};
use crate::params::{Policy, View};
use crate::proof::OpenTerms;
use crate::reject::Code;
use crate::types::{Amount, Anchor, AssetId, ChannelId, Height, LedgerId, Role, Salt, Secret};
use crate::update::{Destination, Memo, Payload, Update};

/// What each side has in the escrow at the start.
pub(super) const DEPOSIT: u64 = 1_000_000;
/// The height at which the worlds start.
pub(super) const START: u64 = 1_000;
pub(super) const LAG: u64 = 20;

pub(super) const WALLET: Role = Role::Wallet;
pub(super) const HUB: Role = Role::Hub;

/// One side, with all that a shell would hold for it.
pub(super) struct Side {
    pub(super) key: SigningKey,
    pub(super) channel: Channel,
    pub(super) first: Channel,
    pub(super) journal: Vec<Step>,
    pub(super) effects: Vec<Effect>,
    pub(super) policy: Policy,
    pub(super) view: View,
    peer: VerifyingKey,
}

impl Side {
    pub(super) fn now(&self) -> Now<'_> {
        Now { view: self.view, policy: &self.policy, lag: LAG }
    }

    pub(super) fn commit(&mut self, step: Step) -> Vec<Effect> {
        let effects = self.channel.commit(&step);
        self.journal.push(step);
        self.effects.extend(effects.iter().cloned());
        effects
    }

    /// Makes the next update; it is then in flight.
    pub(super) fn propose(&mut self, wanted: &[NewOp]) -> Vec<Result<u64, Code>> {
        let proposal = self.channel.propose(wanted, &self.now());
        if let Some(step) = proposal.step {
            self.commit(step);
        }
        proposal.outcomes
    }

    /// The update in flight, signed.
    pub(super) fn update(&self) -> Update {
        let flight = self.channel.outgoing().in_flight.as_ref().expect("an update is in flight");
        let proof = Signed::alone(&self.key, flight.proof, Salt([7; 16]));
        Update { channel: self.channel.id(), base: flight.base, ops: flight.ops(), proof }
    }

    /// Checks an update of the other side's, and commits it when it is good.
    pub(super) fn receive(&mut self, update: Update) -> Result<(), Code> {
        let verified = VerifiedUpdate::check(update, &self.peer, &mut BatchCache::new(0))?;
        if let Received::New(step) = self.channel.check_update(&verified, &self.now())? {
            self.commit(step);
        }
        Ok(())
    }

    /// The other side reveals or fails a lock of this side's direction.
    pub(super) fn hear_reveal(&mut self, id: u64, secret: &Secret) -> Result<bool, Code> {
        let step = self.channel.check_reveal(id, secret, &self.now())?;
        Ok(step.map(|step| self.commit(step)).is_some())
    }

    pub(super) fn hear_fail(&mut self, id: u64, code: Code) -> bool {
        let step = self.channel.check_fail(id, code);
        step.map(|step| self.commit(step)).is_some()
    }

    pub(super) fn expire(&mut self) -> usize {
        let steps = self.channel.expire(&self.now());
        steps.into_iter().map(|step| self.commit(step)).count()
    }

    pub(super) fn follow(&mut self, event: &LedgerEvent) {
        for step in self.channel.follow(event, self.view.height) {
            self.commit(step);
        }
    }

    /// Ids of the locks whose money is back, in the order in which it came.
    pub(super) fn gone(&self) -> Vec<u64> {
        let gone = self.effects.iter().filter_map(|effect| match effect {
            Effect::LockGone { id, .. } => Some(*id),
            _ => None,
        });
        gone.collect()
    }

    /// Replays the journal from the start: it must end in this very state.
    pub(super) fn assert_replays(&self) {
        let mut again = self.first.clone();
        for step in &self.journal {
            let bytes = crate::encoding::encode(step);
            again.commit(&crate::encoding::decode(&bytes).expect("a step decodes"));
        }
        assert_eq!(again, self.channel, "replaying the journal ends in another state");
        let bytes = crate::encoding::encode(&self.channel);
        assert_eq!(crate::encoding::decode::<Channel>(&bytes).as_ref(), Ok(&self.channel));
    }
}

/// Both sides.
pub(super) struct Pair {
    pub(super) wallet: Side,
    pub(super) hub: Side,
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

fn side(me: Role, terms: OpenTerms) -> Side {
    let keys = (key(1), key(2));
    let (key, peer) = if me == WALLET { keys } else { (keys.1, keys.0) };
    let mut channel = Channel::open(terms, me, Amount(DEPOSIT));
    let total = Amount(DEPOSIT);
    let deposit = LedgerEvent::Deposited { channel: channel.id(), role: HUB, total };
    for step in channel.follow(&deposit, Height(START)) {
        channel.commit(&step);
    }
    Side {
        key,
        first: channel.clone(),
        channel,
        journal: Vec::new(),
        effects: Vec::new(),
        policy: Policy::standard(),
        view: View { height: Height(START), fresh: true },
        peer: VerifyingKey::parse(&peer.public()).expect("a point"),
    }
}

impl Pair {
    pub(super) fn new() -> Pair {
        let terms = OpenTerms {
            ledger: LedgerId([3; 32]),
            asset: AssetId(0),
            wallet: key(1).public(),
            hub: key(2).public(),
            challenge_blocks: 3_600,
            nonce: 0,
        };
        Pair { wallet: side(WALLET, terms), hub: side(HUB, terms) }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.wallet.channel.id()
    }

    pub(super) fn of(&mut self, role: Role) -> &mut Side {
        if role == WALLET { &mut self.wallet } else { &mut self.hub }
    }

    /// Both views of the ledger at this height.
    pub(super) fn at(&mut self, height: u64) {
        self.wallet.view.height = Height(height);
        self.hub.view.height = Height(height);
    }

    /// Delivers the update in flight, and its answer.
    pub(super) fn deliver(&mut self, from: Role) -> Result<(), Code> {
        let update = self.of(from).update();
        let seq = update.proof.value.seq;
        let answer = self.of(from.other()).receive(update);
        self.of(from).commit(match answer {
            Ok(()) => Step::Acked { seq },
            Err(code) => Step::Rejected { seq, code },
        });
        answer
    }

    /// Makes an update of these operations and delivers it. The id of the last lock comes back.
    pub(super) fn send(&mut self, from: Role, wanted: &[NewOp]) -> u64 {
        let outcomes = self.of(from).propose(wanted);
        let ids: Vec<u64> = outcomes.into_iter().map(|it| it.expect("it is wanted")).collect();
        self.deliver(from).expect("it is accepted");
        ids.last().copied().unwrap_or_default()
    }

    /// An update without operations.
    pub(super) fn acknowledge(&mut self, from: Role) {
        let step = self.of(from).channel.acknowledge().expect("it can acknowledge");
        self.of(from).commit(step);
        self.deliver(from).expect("it is accepted");
    }

    /// The receiver of a lock reveals its secret, and its sender hears it.
    pub(super) fn reveal(&mut self, by: Role, id: u64, secret: &Secret) {
        let step = self.of(by).channel.reveal(id, secret).expect("the secret fits");
        self.of(by).commit(step.expect("it is new"));
        self.of(by.other()).hear_reveal(id, secret).expect("the secret fits");
    }

    /// The receiver of a lock gives it up, and its sender hears it.
    pub(super) fn fail(&mut self, by: Role, id: u64) {
        let step = self.of(by).channel.fail(id, Code::RefusedByPayee).expect("it may fail");
        self.of(by).commit(step);
        assert!(self.of(by.other()).hear_fail(id, Code::RefusedByPayee));
    }

    /// Lets both sides send what they owe until none owes anything. Must come to an end.
    pub(super) fn quiet(&mut self) {
        for _ in 0..64 {
            let mut moved = false;
            for role in [WALLET, HUB] {
                if self.of(role).channel.outgoing().in_flight.is_none() {
                    self.of(role).propose(&[]);
                }
                if self.of(role).channel.outgoing().in_flight.is_some() {
                    moved = true;
                    let _ = self.deliver(role);
                }
            }
            if !moved {
                return;
            }
        }
        panic!("the sides never come to rest");
    }

    /// Both show each other what they hold, and follow what comes of it.
    pub(super) fn meet(&mut self) -> [SyncOutcome; 2] {
        let (wallet, hub) = (self.wallet.channel.snapshot_refs(), self.hub.channel.snapshot_refs());
        let outcomes = [
            self.wallet.channel.check_sync(&hub.0, &hub.1),
            self.hub.channel.check_sync(&wallet.0, &wallet.1),
        ];
        for (role, outcome) in [WALLET, HUB].into_iter().zip(&outcomes) {
            for step in &outcome.steps {
                self.of(role).commit(step.clone());
            }
        }
        outcomes
    }

    pub(super) fn close_seen(&mut self, by: Role) {
        let proofs_until = Height(START + 3_600);
        let event = LedgerEvent::CloseStarted { channel: self.id(), by, proofs_until };
        self.wallet.follow(&event);
        self.hub.follow(&event);
        assert!(matches!(self.hub.channel.phase(), Phase::Closing { .. }));
    }
}

/// The value of a chain with `steps` steps left to its anchor; the chain is told by its seed.
pub(super) fn chain(seed: u8, length: u32, steps: u32) -> [u8; 32] {
    (steps..length).fold([seed; 32], |value, _| chain_step(&value))
}

/// A value `steps` before the anchor of that chain.
pub(super) fn secret(seed: u8, length: u32, steps: u32) -> Secret {
    Secret(chain(seed, length, steps))
}

pub(super) fn pay(amount: u64) -> NewOp {
    NewOp::Pay { amount: Amount(amount), memo: Memo::default() }
}

/// A single payment's lock, of a chain of one step.
pub(super) fn add(seed: u8, amount: u64) -> NewOp {
    stream(seed, amount, 1, START + 450)
}

pub(super) fn stream(seed: u8, unit: u64, steps: u32, expiry: u64) -> NewOp {
    NewOp::Add {
        anchor: Anchor(chain(seed, steps, 0)),
        unit: Amount(unit),
        steps,
        expiry: Height(expiry),
        to: Destination { hub: None, wallet: key(9).public() },
        payload: Payload::default(),
    }
}
