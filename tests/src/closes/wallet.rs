//! A wallet that keeps to the rules until it closes: then it brings the hub's proof under which it
//! would get most, and forgets what it has paid since.

use settlement::channel::{Channel, Effect, NewOp, Now, Received, Step, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signed, SigningKey, VerifyingKey};
use settlement::lock::Lock;
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, Anchor, Role, Salt, Secret};
use settlement::update::Update;
use settlement::wire::Message;

/// A proof of the hub's that the wallet was sent, with the locks under it.
struct Held {
    proof: Signed<BalanceProof>,
    locks: Vec<Lock>,
}

/// See the module.
pub(super) struct Wallet {
    pub(super) key: SigningKey,
    pub(super) channel: Channel,
    pub(super) verifying: VerifyingKey,
    held: Vec<Held>,
    /// What opens the locks that it is paid with.
    pub(super) secrets: Vec<(Anchor, Secret)>,
    /// Whether it settles what it owes.
    pub(super) settles: bool,
    /// Whether it hears the hub.
    pub(super) listens: bool,
    /// Whether it has met the hub.
    pub(super) met: bool,
    /// How many secrets of its own locks it was shown.
    pub(super) learned: usize,
}

impl Wallet {
    pub(super) fn new(key: SigningKey, terms: OpenTerms, deposit: Amount) -> Wallet {
        let verifying = VerifyingKey::parse(&key.public()).expect("a key");
        let channel = Channel::open(terms, Role::Wallet, deposit);
        let (held, secrets) = (Vec::new(), Vec::new());
        Wallet {
            key,
            channel,
            verifying,
            held,
            secrets,
            settles: true,
            listens: true,
            met: false,
            learned: 0,
        }
    }

    /// What it says first.
    pub(super) fn sync(&self) -> Message {
        let (own, yours) = self.channel.snapshot_refs();
        let channel = self.channel.id();
        Message::Sync { channel, own, yours, tip: None }
    }

    /// Its next update, if nothing of it is unanswered and something is due or wanted.
    pub(super) fn update(&mut self, wanted: &[NewOp], now: &Now<'_>) -> Vec<Message> {
        let due = self.settles && self.channel.has_due_changes(now);
        let nothing = wanted.is_empty() && !due && !self.channel.owes_plain_update();
        if nothing || self.channel.outgoing().in_flight.is_some() {
            return Vec::new();
        }
        let proposal = self.channel.propose(wanted, now);
        let refused = proposal.outcomes.iter().find_map(|outcome| outcome.err());
        assert_eq!(refused, None, "the wallet's own rules");
        let mut said = Vec::new();
        if let Some(step) = proposal.step {
            self.commit(&step, &mut said);
        }
        said
    }

    /// Takes a message in; what it answers.
    pub(super) fn hear(
        &mut self,
        message: Message,
        hub: &VerifyingKey,
        batches: &mut BatchCache,
        now: &Now<'_>,
    ) -> Vec<Message> {
        let mut said = Vec::new();
        match message {
            Message::Sync { own, yours, .. } => {
                let outcome = self.channel.check_sync(&own, &yours);
                assert_eq!(outcome.lost, None, "nobody has lost state");
                outcome.steps.iter().for_each(|step| self.commit(step, &mut said));
                self.met = true;
            }
            Message::Update(update) => self.take(update, hub, batches, now, &mut said),
            Message::Ack { seq, .. } => self.commit(&Step::Acked { seq }, &mut said),
            Message::Reveal { id, secret, .. } => {
                let step = self.channel.check_reveal(id, &secret, now).expect("it fits");
                step.iter().for_each(|step| self.commit(step, &mut said));
            }
            Message::Reject { .. } | Message::Fail { .. } => panic!("{message:?}"),
            _ => {}
        }
        if self.settles {
            said.extend(self.update(&[], now));
        }
        said
    }

    fn take(
        &mut self,
        update: Update,
        hub: &VerifyingKey,
        batches: &mut BatchCache,
        now: &Now<'_>,
        said: &mut Vec<Message>,
    ) {
        let proof = update.proof.clone();
        let update = VerifiedUpdate::check(update, hub, batches).expect("the hub signs");
        match self.channel.check_update(&update, now).expect("the hub keeps to the rules") {
            Received::New(step) => self.commit(&step, said),
            Received::Again => return,
        }
        let locks = self.channel.incoming().tally.locks.clone();
        self.held.push(Held { proof, locks: locks.clone() });
        for lock in locks {
            let known = self.secrets.iter().find(|(anchor, _)| *anchor == lock.anchor);
            let answered = self
                .channel
                .incoming()
                .locks
                .get(&lock.id)
                .and_then(|known| known.answer)
                .is_some();
            let Some((_, secret)) = known.filter(|_| !answered).copied() else { continue };
            let step = self.channel.reveal(lock.id, &secret).expect("it fits");
            step.iter().for_each(|step| self.commit(step, said));
        }
    }

    fn commit(&mut self, step: &Step, said: &mut Vec<Message>) {
        let channel = self.channel.id();
        for effect in self.channel.commit(step) {
            let message = match effect {
                Effect::SendAck { seq } => Message::Ack { channel, seq },
                Effect::SendReveal { id, secret } => Message::Reveal { channel, id, secret },
                Effect::SendUpdate => self.signed(),
                Effect::SecretLearned { .. } => {
                    self.learned += 1;
                    continue;
                }
                _ => continue,
            };
            said.push(message);
        }
    }

    /// The update in flight.
    fn signed(&self) -> Message {
        let flight = self.channel.outgoing().in_flight.as_ref().expect("an update");
        let proof = Signed::alone(&self.key, flight.proof, Salt([7; 16]));
        let channel = self.channel.id();
        Message::Update(Update { channel, base: flight.base, ops: flight.ops(), proof })
    }

    /// The close that would pay it most if the hub did not answer, and what it says that the hub owes.
    pub(super) fn best_close(&self) -> (Transaction, Amount) {
        let kept = |held: &&Held| {
            let acknowledged = held.proof.value.peer_transferred;
            self.owed(held).wide() - acknowledged.wide()
        };
        self.close_with(self.held.iter().max_by_key(kept))
    }

    /// The close with the hub's newest proof.
    pub(super) fn newest_close(&self) -> (Transaction, Amount) {
        self.close_with(self.held.last())
    }

    fn secret_of(&self, lock: &Lock) -> Option<Secret> {
        let known = self.secrets.iter().find(|(anchor, _)| *anchor == lock.anchor)?;
        Some(known.1)
    }

    /// What the hub owes by this proof and the secrets that the wallet has.
    fn owed(&self, held: &Held) -> Amount {
        let claimable = held.locks.iter().filter(|lock| self.secret_of(lock).is_some());
        let claimed: u64 = claimable.filter_map(Lock::value).map(|value| value.0).sum();
        Amount(held.proof.value.transferred.0 + claimed)
    }

    fn close_with(&self, held: Option<&Held>) -> (Transaction, Amount) {
        let locks = held.map(|held| held.locks.clone()).unwrap_or_default();
        let claim = |lock: &Lock| Some((lock.id, self.secret_of(lock)?));
        let claims = locks.iter().filter_map(claim).collect();
        let proof = held.map(|held| held.proof.clone());
        let (channel, by) = (self.channel.id(), Role::Wallet);
        let body = Submission { channel, by, close: true, proof, locks, claims };
        let owed = held.map_or(Amount::ZERO, |held| self.owed(held));
        (Transaction::submit(&self.key, body), owed)
    }

    /// Whether a close leaves out something that the wallet has signed away.
    pub(super) fn leaves_out(&self, close: &Transaction) -> bool {
        let Transaction::Submit { body, .. } = close else { return false };
        let acknowledged = body.proof.as_ref().map(|proof| proof.value.peer_transferred);
        acknowledged.unwrap_or(Amount::ZERO) < self.channel.outgoing().accepted.transferred
    }

    /// What it must get in the end if the hub owes so much: its deposit and that, less what it has
    /// paid and locked, as the hub knows the secrets.
    pub(super) fn payout(&self, owed: Amount) -> Amount {
        let spent = self.channel.outgoing().accepted.committed();
        let deposited = self.channel.escrow(Role::Wallet).deposited;
        let left = deposited.wide() + owed.wide() - spent;
        Amount::from_wide(left).expect("nobody spends more than it has")
    }
}
