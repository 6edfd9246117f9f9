//! What liars say in the place of what they should.

use rand::RngExt;
use settlement::channel::Taken;
use settlement::crypto::{Signed, SigningKey};
use settlement::lock::locks_root;
use settlement::proof::{BalanceProof, SnapshotRef};
use settlement::reject::Code;
use settlement::types::{Amount, Height, Salt, Secret, Signature};
use settlement::update::{Memo, OPS_MAX, Op, Update};
use settlement::wire::Message;

use super::breakage::name;
use super::counts::Kind;
use super::liar::HUB;
use super::{DEPOSIT, World};

impl World {
    /// A process says something to the other side of this wallet's connection.
    pub(super) fn says(&mut self, process: usize, link: usize, message: Message) {
        self.note_signed(process, &message);
        for message in self.meant(process, link, message) {
            self.net.send(link, process != HUB, &message);
        }
    }

    /// What it says instead, if it lies.
    fn meant(&mut self, process: usize, link: usize, message: Message) -> Vec<Message> {
        if self.faults_over {
            return vec![message];
        }
        let now = self.height_at(process);
        let Some(liar) = self.liars[process].as_mut() else { return vec![message] };
        liar.remembers(link, &message);
        if now < liar.mute_until {
            liar.lied = true;
            self.count(Kind::Stalled);
            return Vec::new();
        }
        if !self.rng.random_bool(0.15) {
            return vec![message];
        }
        let Some((kind, said)) = self.instead(process, link, message.clone()) else {
            return vec![message];
        };
        self.lies(process, kind);
        said
    }

    fn lies(&mut self, process: usize, kind: Kind) {
        self.story.tell(self.now_ms, || format!("{} lies: {kind:?}", name(process)));
        if let Some(liar) = self.liars[process].as_mut() {
            liar.lied = true;
        }
        if let Some(who) = process.checked_sub(1) {
            self.facts.lied(who);
        }
        self.count(kind);
    }

    fn instead(
        &mut self,
        process: usize,
        link: usize,
        message: Message,
    ) -> Option<(Kind, Vec<Message>)> {
        let which = self.rng.random_range(0..6);
        let lie = match message {
            Message::Reveal { channel, id, .. } if which < 2 => {
                let code = Code::InvoiceExpired;
                (Kind::FalseFail, vec![Message::Fail { channel, id, code }])
            }
            Message::Reveal { .. } if which < 4 => {
                self.holds(process, link, message);
                (Kind::LateReveal, Vec::new())
            }
            Message::Reveal { channel, id, .. } if which == 4 => {
                let secret = Secret(self.rng.fresh());
                (Kind::FalseSecret, vec![Message::Reveal { channel, id, secret }])
            }
            Message::Ack { channel, seq } if which < 4 => {
                let code = if which < 2 { Code::StaleView } else { Code::BaseMismatch };
                (Kind::FalseReject, vec![Message::Reject { channel, seq, code }])
            }
            Message::Reject { channel, seq, .. } if which < 4 => {
                (Kind::FalseAck, vec![Message::Ack { channel, seq }])
            }
            Message::Update(update) if which < 3 => self.conflicting(process, update)?,
            Message::Update(update) if which < 4 && self.rng.random_bool(0.6) => {
                (Kind::FalseUpdate, vec![self.crafted(process, link, update)?])
            }
            Message::Update(mut update) if which < 4 => {
                let Signature(bytes) = &mut update.proof.signature;
                bytes[40] ^= 1;
                (Kind::BadSignature, vec![Message::Update(update)])
            }
            Message::Sync { channel, own, yours, tip } if which < 5 => {
                let (own, yours) = self.twisted(own, yours);
                (Kind::FalseSync, vec![Message::Sync { channel, own, yours, tip }])
            }
            Message::Snapshot { .. } if which < 4 => (Kind::FalseSnapshot, self.older(message)?),
            _ if which == 5 => (Kind::Withheld, Vec::new()),
            _ => return None,
        };
        Some(lie)
    }

    /// Two proofs with one seq, in either order.
    fn conflicting(&mut self, process: usize, update: Update) -> Option<(Kind, Vec<Message>)> {
        let amount = Amount(self.rng.random_range(1..40));
        let value = &update.proof.value;
        let transferred = Amount(value.transferred.0.checked_add(amount.0)?);
        let value = BalanceProof { transferred, ..*value };
        let mut other = update.clone();
        if other.ops.len() >= OPS_MAX {
            return None;
        }
        other.ops.push(Op::Pay { amount, memo: Memo::default() });
        let salt = Salt(self.rng.fresh());
        other.proof = Signed::alone(self.key_of(process), value, salt);
        let mut both = vec![Message::Update(update), Message::Update(other)];
        if self.rng.random_bool(0.5) {
            both.reverse();
        }
        Some((Kind::ConflictingProofs, both))
    }

    /// An update that its own side's engine would never make: it pays what it has not, says that it
    /// got what it did not, or takes back a lock that stands.
    fn crafted(&mut self, process: usize, link: usize, mut update: Update) -> Option<Message> {
        let value = &mut update.proof.value;
        match self.rng.random_range(0..3) {
            0 => {
                let amount = Amount(self.rng.random_range(DEPOSIT.0 / 4..DEPOSIT.0 * 3));
                value.transferred = Amount(value.transferred.0.checked_add(amount.0)?);
                update.ops.push(Op::Pay { amount, memo: Memo::default() });
            }
            1 => {
                value.peer_seq += self.rng.random_range(0..2);
                value.peer_transferred.0 += self.rng.random_range(1..DEPOSIT.0);
            }
            _ => {
                let tip = self.channel_at(process, link)?.outgoing().tip();
                let first = tip.locks.first().filter(|_| tip.seq == value.seq)?;
                value.locked = Amount(value.locked.0.checked_sub(first.value()?.0)?);
                value.locks_root = locks_root(tip.locks.get(1..)?);
                update.ops.push(Op::Drop { id: first.id });
            }
        }
        let (value, salt) = (*value, Salt(self.rng.fresh()));
        update.proof = Signed::alone(self.key_of(process), value, salt);
        (update.ops.len() <= OPS_MAX).then_some(Message::Update(update))
    }

    pub(super) fn key_of(&self, process: usize) -> &SigningKey {
        match process {
            HUB => self.hub.signing_key(),
            other => self.wallets[other - 1].signing_key(),
        }
    }

    /// It has less of the other's than it has, or other things of its own.
    fn twisted(&mut self, own: SnapshotRef, yours: SnapshotRef) -> (SnapshotRef, SnapshotRef) {
        let other = |of: SnapshotRef, seq| SnapshotRef { seq, ..of };
        match self.rng.random_range(0..4) {
            0 => (own, SnapshotRef::NONE),
            1 => (own, other(yours, yours.seq.saturating_sub(1))),
            2 => (SnapshotRef::NONE, yours),
            _ => (other(own, own.seq.saturating_add(1)), yours),
        }
    }

    /// The direction as it once was: the proof of that time without its locks.
    fn older(&mut self, message: Message) -> Option<Vec<Message>> {
        let (_, taken) = message.into_taken()?;
        Some(vec![Message::snapshot(Taken { locks: Vec::new(), ..taken })])
    }

    /// A secret is kept until the last blocks in which it is worth anything, or shortly after.
    fn holds(&mut self, process: usize, link: usize, message: Message) {
        let Message::Reveal { id, .. } = &message else { return };
        let locks = self.channel_at(process, link).map(|channel| &channel.incoming().tally.locks);
        let lock = locks.and_then(|locks| locks.iter().find(|lock| lock.id == *id));
        let Some(expiry) = lock.map(|lock| lock.expiry) else { return };
        let at = Height(expiry.0.saturating_sub(self.rng.random_range(0..4)));
        if let Some(liar) = self.liars[process].as_mut() {
            liar.held.push((at, link, message));
        }
    }

    /// What was held back until now is said.
    pub(super) fn held_back_is_said(&mut self) {
        for process in 0..3 {
            let now = self.height_at(process);
            let Some(liar) = self.liars[process].as_mut() else { continue };
            let due = |(at, ..): &mut (Height, usize, Message)| *at <= now;
            let due: Vec<_> = liar.held.extract_if(.., due).collect();
            for (_, link, message) in due {
                self.net.send(link, process != HUB, &message);
            }
        }
    }

    /// A liar says again what it said before, on any of its connections.
    pub(super) fn replay_one(&mut self) {
        let Some(process) = self.some_liar() else { return };
        let links = self.links_of(process);
        let (choice, any) = (self.rng.random_range(0..60usize), self.rng.random_range(links));
        let Some(liar) = self.liars[process].as_ref() else { return };
        let Some((link, message)) = liar.said.get(choice % liar.said.len().max(1)).cloned() else {
            return;
        };
        let link = if self.rng.random_bool(0.8) { link } else { any };
        self.lies(process, Kind::Replayed);
        self.net.send(link, process != HUB, &message);
    }

    /// A liar says nothing for some blocks.
    pub(super) fn mute_one(&mut self) {
        let Some(process) = self.some_liar() else { return };
        let until = self.height_at(process).after(self.rng.random_range(1..100));
        if let Some(liar) = self.liars[process].as_mut() {
            liar.mute_until = until;
        }
    }
}
