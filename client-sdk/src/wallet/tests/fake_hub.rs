//! The hub's side of the wallet's one channel: the same engine with a key of its own, doing what a
//! test tells it to.

use std::collections::{BTreeMap, VecDeque};

use settlement::block::LedgerEvent;
use settlement::channel::{Change, Channel, Effect, NewOp, Now, Received, Step, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signed, VerifyingKey};
use settlement::params::{Policy, View};
use settlement::reject::Code;
use settlement::types::*;
use settlement::update::{Payload, Update};
use settlement::wire::Message;

use super::harness::{HUB_DEPOSIT, WALLET_DEPOSIT, anchor_of, key, terms};

/// What the hub does about things, until a test says otherwise.
#[derive(Clone, Default)]
pub(super) struct Script {
    /// Refuse the next update with this code.
    pub(super) reject_next: Option<Code>,
    /// Say nothing to updates.
    pub(super) mute: bool,
    /// Settle and drop nothing by itself.
    pub(super) keep_due: bool,
    /// Secrets that the payees behind the hub will show.
    pub(super) secrets: BTreeMap<Anchor, Secret>,
    /// Give up every lock whose secret is not known, with this code.
    pub(super) fail_others: Option<Code>,
}

#[derive(Clone)]
pub(super) struct Hub {
    pub(super) channel: Channel,
    pub(super) script: Script,
    pub(super) height: u64,
    pub(super) wanted: VecDeque<NewOp>,
    pub(super) synced: bool,
    pub(super) out: VecDeque<FromHub>,
    /// Secrets that it has learned from the wallet.
    pub(super) learned: Vec<Secret>,
    /// Codes with which its locks or updates were refused.
    pub(super) failures: Vec<(u64, Code)>,
}

#[derive(Clone)]
pub(super) enum FromHub {
    Say(Message),
    Update(Update),
}

impl Hub {
    /// The side of a channel that the ledger has just opened.
    pub(super) fn new() -> Hub {
        Hub {
            channel: Channel::open(terms(), Role::Hub, Amount(WALLET_DEPOSIT)),
            script: Script::default(),
            height: 0,
            wanted: VecDeque::new(),
            synced: false,
            out: VecDeque::new(),
            learned: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn now<'a>(&self, policy: &'a Policy) -> Now<'a> {
        Now { view: View { height: Height(self.height), fresh: true }, policy, lag: 20 }
    }

    pub(super) fn commit(&mut self, step: &Step) {
        let id = self.channel.id();
        for effect in self.channel.commit(step) {
            self.perform(id, effect);
        }
    }

    fn perform(&mut self, channel: ChannelId, effect: Effect) {
        match effect {
            Effect::SendUpdate => {
                let flight = self.channel.outgoing().in_flight.clone().unwrap();
                let proof = Signed::alone(&key(2), flight.proof, Salt([0; 16]));
                let (base, ops) = (flight.base, flight.ops());
                self.out.push_back(FromHub::Update(Update { channel, base, ops, proof }));
            }
            Effect::SendAck { seq } => self.say(Message::Ack { channel, seq }),
            Effect::SendReveal { id, secret } => {
                self.say(Message::Reveal { channel, id, secret });
            }
            Effect::SendFail { id, code } => self.say(Message::Fail { channel, id, code }),
            Effect::Received(Change::Added { lock, .. }) => self.route(lock.id, &lock.anchor),
            Effect::SecretLearned { secret, .. } => self.learned.push(secret),
            _ => {}
        }
    }

    /// What a payee behind the hub says to a lock.
    fn route(&mut self, id: u64, anchor: &Anchor) {
        if let Some(secret) = self.script.secrets.get(anchor).copied() {
            self.reveal(id, secret);
        } else if let Some(code) = self.script.fail_others {
            self.fail(id, code);
        }
    }

    pub(super) fn reveal(&mut self, id: u64, secret: Secret) {
        let step = self.channel.reveal(id, &secret).unwrap().unwrap();
        self.commit(&step);
    }

    pub(super) fn fail(&mut self, id: u64, code: Code) {
        let step = self.channel.fail(id, code).unwrap();
        self.commit(&step);
    }

    pub(super) fn say(&mut self, message: Message) {
        self.out.push_back(FromHub::Say(message));
    }

    /// It forgets that the channel closes.
    pub(super) fn reopen(&mut self) {
        self.channel = Channel::open(terms(), Role::Hub, Amount(WALLET_DEPOSIT));
        let (channel, total) = (self.channel.id(), Amount(HUB_DEPOSIT));
        let deposited = LedgerEvent::Deposited { channel, role: Role::Hub, total };
        for step in self.channel.follow(&deposited, Height(self.height)) {
            self.commit(&step);
        }
    }

    /// It learns the secret of a lock of its own from the ledger.
    pub(super) fn learn(&mut self, id: u64, secret: Secret) {
        let channel = self.channel.id();
        let shown = LedgerEvent::ClaimShown { channel, from: Role::Hub, id, secret, steps: 0 };
        for step in self.channel.follow(&shown, Height(self.height)) {
            self.commit(&step);
        }
    }

    /// The id of the only lock that the wallet has pending.
    pub(super) fn only_lock(&self) -> u64 {
        let locks = &self.channel.incoming().tally.locks;
        assert_eq!(locks.len(), 1, "{locks:?}");
        locks[0].id
    }

    pub(super) fn hear(&mut self, message: Message) {
        let policy = Policy::development();
        match message {
            Message::Sync { own, yours, channel, .. } => {
                self.out.clear();
                self.synced = true;
                for step in self.channel.check_sync(&own, &yours).steps {
                    self.commit(&step);
                }
                self.out.clear();
                let (own, yours) = self.channel.snapshot_refs();
                self.say(Message::Sync { channel, own, yours, tip: None });
                for effect in self.channel.to_resend() {
                    self.perform(channel, effect);
                }
            }
            _ if !self.synced => panic!("the wallet spoke before it had met: {message:?}"),
            Message::Ack { seq, .. } => self.commit(&Step::Acked { seq }),
            Message::Reject { seq, code, .. } => {
                self.failures.push((seq, code));
                self.commit(&Step::Rejected { seq, code });
            }
            Message::Reveal { id, secret, .. } => {
                let now = self.now(&policy);
                if let Some(step) = self.channel.check_reveal(id, &secret, &now).unwrap() {
                    self.commit(&step);
                }
            }
            Message::Fail { id, code, .. } => {
                self.failures.push((id, code));
                if let Some(step) = self.channel.check_fail(id, code) {
                    self.commit(&step);
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    pub(super) fn hear_update(&mut self, update: Update) {
        assert!(self.synced, "the wallet sent an update before it had met");
        if self.script.mute {
            return;
        }
        let (channel, seq) = (update.channel, update.proof.value.seq);
        if let Some(code) = self.script.reject_next.take() {
            return self.say(Message::Reject { channel, seq, code });
        }
        let wallet = VerifyingKey::parse(&key(1).public()).unwrap();
        let update = VerifiedUpdate::check(update, &wallet, &mut BatchCache::new(0)).unwrap();
        let policy = Policy::development();
        match self.channel.check_update(&update, &self.now(&policy)) {
            Ok(Received::New(step)) => self.commit(&step),
            Ok(Received::Again) => self.say(Message::Ack { channel, seq }),
            Err(code) => self.say(Message::Reject { channel, seq, code }),
        }
    }

    /// What it can still pay or lock, with what waits counted.
    pub(super) fn room(&self) -> u64 {
        let waits = self.wanted.iter().map(|op| match op {
            NewOp::Pay { amount, .. } => amount.0,
            NewOp::Add { unit, steps, .. } => unit.0.saturating_mul(u64::from(*steps)),
        });
        self.channel.spendable().0.saturating_sub(waits.sum())
    }

    pub(super) fn pump(&mut self) {
        let policy = Policy::development();
        let now = self.now(&policy);
        let due = self.channel.has_due_changes(&now) && !self.script.keep_due;
        let wants = due || !self.wanted.is_empty() || self.channel.owes_plain_update();
        if !wants || !self.synced || self.channel.outgoing().in_flight.is_some() {
            return;
        }
        let wanted: Vec<NewOp> = self.wanted.drain(..).collect();
        let proposal = self.channel.propose(&wanted, &now);
        // What has to wait for an answer is wanted again, as a hub's shard does it.
        for (op, outcome) in wanted.into_iter().zip(&proposal.outcomes) {
            match outcome {
                Ok(_) => {}
                Err(Code::TooManyUnacknowledged) => self.wanted.push_back(op),
                Err(code) => panic!("a lock was refused: {code}"),
            }
        }
        if let Some(step) = proposal.step {
            self.commit(&step);
        }
    }
}

/// A lock of the hub's for the wallet.
pub(super) struct NewLock {
    pub(super) anchor: Anchor,
    pub(super) unit: u64,
    pub(super) steps: u32,
    pub(super) life: u64,
    pub(super) to: PublicKey,
    pub(super) payload: Payload,
}

impl NewLock {
    pub(super) fn of(secret: u8, unit: u64) -> NewLock {
        NewLock {
            anchor: anchor_of(secret),
            unit,
            steps: 1,
            life: 170,
            to: key(1).public(),
            payload: Payload::default(),
        }
    }
}
