//! A wallet that follows the rules, apart from what a test tells it to leave out.

use std::collections::{BTreeMap, VecDeque};

use settlement::channel::{
    Answer, Change, Channel, Effect, NewOp, Now, Received, Step, Taken, TakenLock,
    VerifiedSnapshot, VerifiedUpdate,
};
use settlement::crypto::{BatchCache, Signed, SigningKey, VerifyingKey};
use settlement::lock::Lock;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, Role, Salt, Secret};
use settlement::update::{Destination, Payload, Update};
use settlement::wire::Message;

use crate::shard::Input;

/// What a payee does with a lock whose secret it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Reveals,
    Fails(Code),
    StaysSilent,
}

pub(super) struct Wallet {
    pub(super) key: SigningKey,
    pub(super) channel: Channel,
    pub(super) manner: Manner,
    /// Whether it makes updates for what it owes by itself.
    pub(super) settles: bool,
    /// Whether it answers updates.
    pub(super) answers: bool,
    pub(super) known: BTreeMap<Anchor, Secret>,
    pub(super) inbox: VecDeque<Message>,
    pub(super) wanted: Vec<NewOp>,
    pub(super) online: bool,
    pub(super) met: bool,
    /// Locks that the hub failed, and why; secrets that it showed.
    pub(super) failed: Vec<(u64, Code)>,
    pub(super) secrets: Vec<(u64, Secret)>,
    pub(super) rejected: Vec<Code>,
    /// Money of own locks that is back.
    pub(super) back: Vec<(u64, Code)>,
    /// Whom each own lock goes to, and the secrets that it has said: to show and say them again.
    to: BTreeMap<u64, Destination>,
    told: Vec<(u64, Secret)>,
    /// Whether the hub has lost state and was shown it.
    pub(super) showing: bool,
    hub: VerifyingKey,
}

impl Wallet {
    pub(super) fn new(key: SigningKey, terms: OpenTerms, deposit: Amount) -> Wallet {
        Wallet {
            hub: VerifyingKey::parse(&terms.hub).unwrap(),
            channel: Channel::open(terms, Role::Wallet, deposit),
            key,
            manner: Manner::Reveals,
            settles: true,
            answers: true,
            known: BTreeMap::new(),
            inbox: VecDeque::new(),
            wanted: Vec::new(),
            online: false,
            met: false,
            failed: Vec::new(),
            secrets: Vec::new(),
            rejected: Vec::new(),
            back: Vec::new(),
            to: BTreeMap::new(),
            told: Vec::new(),
            showing: false,
        }
    }

    /// What it says first on a connection.
    pub(super) fn sync(&self) -> Input {
        let (own, yours) = self.channel.snapshot_refs();
        let channel = self.channel.id();
        Input::Message(Box::new(Message::Sync { channel, own, yours, tip: None }))
    }

    pub(super) fn hear(&mut self, message: Message, now: &Now<'_>) -> Vec<Input> {
        let mut said = Vec::new();
        match message {
            Message::Sync { own, yours, .. } => {
                let outcome = self.channel.check_sync(&own, &yours);
                self.met = outcome.lost.is_none();
                outcome.steps.into_iter().for_each(|step| self.commit(step, &mut said, now));
                if !self.met {
                    assert!(outcome.show, "this side has lost nothing");
                    return self.show();
                }
                for effect in self.channel.to_resend() {
                    self.say(&effect, &mut said);
                }
                self.act_on_locks(&mut said, now);
                if std::mem::take(&mut self.showing) {
                    said.extend(self.tell_again());
                }
            }
            Message::Update(update) if self.answers => self.hear_update(update, &mut said, now),
            Message::Ack { seq, .. } => self.commit(Step::Acked { seq }, &mut said, now),
            Message::Reject { seq: 0, code: Code::Recovering, .. } => {
                self.met = false;
                return vec![self.sync()];
            }
            Message::Reject { seq, code, .. } => {
                self.rejected.push(code);
                self.commit(Step::Rejected { seq, code }, &mut said, now);
            }
            // Before the sides have met it may be of a state that the hub has lost.
            Message::Reveal { id, secret, .. } if self.met => {
                if let Some(step) = self.channel.check_reveal(id, &secret, now).unwrap() {
                    self.commit(step, &mut said, now);
                }
            }
            Message::Fail { id, code, .. } => {
                self.failed.push((id, code));
                if let Some(step) = self.channel.check_fail(id, code) {
                    self.commit(step, &mut said, now);
                }
            }
            _ => {}
        }
        said.extend(self.update(now));
        said
    }

    /// Shows the hub both directions in full, once.
    pub(super) fn show(&mut self) -> Vec<Input> {
        if std::mem::replace(&mut self.showing, true) {
            return Vec::new();
        }
        let own = self.channel.own_snapshot().map(|(proof, locks)| {
            let taken = |lock: &Lock| {
                let payload = Payload::default();
                TakenLock { lock: *lock, to: self.to[&lock.id], payload }
            };
            let locks = locks.iter().map(taken).collect();
            Taken { proof: Signed::alone(&self.key, proof, Salt([3; 16])), locks }
        });
        let own_key = VerifyingKey::parse(&self.key.public()).unwrap();
        let theirs = self.channel.their_snapshot();
        let shown = own.into_iter().map(|own| (Role::Wallet, own, &own_key));
        let shown = shown.chain(theirs.into_iter().map(|theirs| (Role::Hub, theirs, &self.hub)));
        let check = |(role, taken, key)| VerifiedSnapshot::check(role, taken, key).unwrap();
        let shown = shown.map(check).map(|shown| Input::Snapshot(Box::new(shown)));
        let told = self.told.iter().copied().map(|told| self.tell(told));
        shown.chain(told).chain([self.sync()]).collect()
    }

    /// What stands is said in meeting, the newest of it.
    fn tell_again(&self) -> Vec<Input> {
        let stands = |id: u64| self.channel.incoming().tally.lock(id).is_some();
        let over = self.told.iter().copied().filter(|(id, _)| !stands(*id));
        over.map(|told| self.tell(told)).collect()
    }

    fn tell(&self, (id, secret): (u64, Secret)) -> Input {
        Input::Message(Box::new(Message::Reveal { channel: self.channel.id(), id, secret }))
    }

    fn hear_update(&mut self, update: Update, said: &mut Vec<Input>, now: &Now<'_>) {
        let (channel, seq) = (update.channel, update.proof.value.seq);
        let update = VerifiedUpdate::check(update, &self.hub, &mut BatchCache::new(4)).unwrap();
        match self.channel.check_update(&update, now) {
            Ok(Received::New(step)) => {
                self.commit(step, said, now);
                self.act_on_locks(said, now);
            }
            Ok(Received::Again) => {
                said.push(Input::Message(Box::new(Message::Ack { channel, seq })));
            }
            Err(code) => {
                said.push(Input::Message(Box::new(Message::Reject { channel, seq, code })));
            }
        }
    }

    /// Shows or fails what is pending and unanswered.
    pub(super) fn act_on_locks(&mut self, said: &mut Vec<Input>, now: &Now<'_>) {
        let locks = self.channel.incoming().tally.locks.clone();
        for lock in locks {
            let answered = self.channel.incoming().locks.get(&lock.id).unwrap().answer.is_some();
            let secret = self.known.get(&lock.anchor).copied();
            let step = match (self.manner, secret) {
                _ if answered => None,
                (Manner::Reveals, Some(secret)) if self.channel.claimable(lock.id, now).is_ok() => {
                    self.channel.reveal(lock.id, &secret).unwrap()
                }
                (Manner::Fails(code), _) => self.channel.fail(lock.id, code).ok(),
                _ => None,
            };
            step.into_iter().for_each(|step| self.commit(step, said, now));
        }
    }

    pub(super) fn commit(&mut self, step: Step, said: &mut Vec<Input>, _now: &Now<'_>) {
        if let Step::Sent(flight) = &step {
            self.to.extend(flight.changes.iter().filter_map(|change| match change {
                Change::Added { lock, to, .. } => Some((lock.id, *to)),
                _ => None,
            }));
        }
        if let Step::Answered { id, answer: Answer::Known { secret, .. } } = step {
            self.told.push((id, secret));
        }
        for effect in self.channel.commit(&step) {
            match effect {
                Effect::SecretLearned { id, secret } => self.secrets.push((id, secret)),
                Effect::LockGone { id, code } => self.back.push((id, code)),
                effect => self.say(&effect, said),
            }
        }
    }

    fn say(&self, effect: &Effect, said: &mut Vec<Input>) {
        let channel = self.channel.id();
        let message = match *effect {
            Effect::SendAck { seq } => Message::Ack { channel, seq },
            Effect::SendReveal { id, secret } => Message::Reveal { channel, id, secret },
            Effect::SendFail { id, code } => Message::Fail { channel, id, code },
            Effect::SendUpdate => return said.push(self.signed()),
            _ => return,
        };
        said.push(Input::Message(Box::new(message)));
    }

    /// The update in flight, signed.
    pub(super) fn signed(&self) -> Input {
        let flight = self.channel.outgoing().in_flight.as_ref().unwrap();
        let proof = Signed::alone(&self.key, flight.proof, Salt([7; 16]));
        let update =
            Update { channel: self.channel.id(), base: flight.base, ops: flight.ops(), proof };
        let key = VerifyingKey::parse(&self.key.public()).unwrap();
        let verified = VerifiedUpdate::check(update, &key, &mut BatchCache::new(4)).unwrap();
        Input::Update(Box::new(verified))
    }

    /// Its next update, if one is wanted and none is unanswered.
    pub(super) fn update(&mut self, now: &Now<'_>) -> Vec<Input> {
        let free = self.met && self.channel.outgoing().in_flight.is_none();
        let due = self.settles && self.channel.has_due_changes(now);
        let wanted = !self.wanted.is_empty() || self.channel.owes_plain_update() || due;
        if !free || !wanted || (!self.settles && self.wanted.is_empty()) {
            return Vec::new();
        }
        let proposal = self.channel.propose(&self.wanted, now);
        let mut outcomes = proposal.outcomes.into_iter();
        self.wanted.retain(|_| outcomes.next() == Some(Err(Code::TooManyUnacknowledged)));
        let mut said = Vec::new();
        if let Some(step) = proposal.step {
            self.commit(step, &mut said, now);
        }
        said
    }

    /// The newest lock that it added.
    pub(super) fn last_lock(&self) -> u64 {
        self.channel.outgoing().last_lock_id
    }

    /// How many locks the last accepted update of the hub added in all.
    pub(super) fn added(step: &Step) -> usize {
        let Step::Sent(flight) = step else { return 0 };
        flight.changes.iter().filter(|change| matches!(change, Change::Added { .. })).count()
    }
}
