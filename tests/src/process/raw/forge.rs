//! Updates that no rule has looked at.

use settlement::crypto::{Signable, Signed, SigningKey};
use settlement::lock::{Lock, locks_root};
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::types::{Amount, Role, Salt, Signature};
use settlement::update::{Op, Update};
use settlement::wire::Message;

use super::RawWallet;

impl RawWallet {
    /// The next update with these operations, whatever they are, with the totals that they make;
    /// `change` may then change anything before it is signed. The own engine does not hear of it.
    pub fn forge(&self, ops: Vec<Op>, change: impl FnOnce(&mut Update)) -> Update {
        let update = self.unsigned(ops, change);
        let proof = self.sign(&self.key, update.proof.value);
        Update { proof, ..update }
    }

    /// The same, signed by somebody else.
    pub fn forge_signed_by(&self, stranger: &SigningKey, ops: Vec<Op>) -> Update {
        let update = self.unsigned(ops, |_| {});
        let proof = self.sign(stranger, update.proof.value);
        Update { proof, ..update }
    }

    /// Sends a forged update and says why the hub refuses it.
    ///
    /// # Panics
    /// When the hub takes it, or closes the connection.
    pub fn refused(&mut self, update: Update) -> Code {
        let seq = update.proof.value.seq;
        self.say(&Message::Update(update));
        self.answer_to(seq).expect_err("the hub took it")
    }

    /// The wallet's signature under anything.
    pub fn sign_any<T: Signable>(&self, value: &T) -> Signature {
        self.key.sign(&value.digest())
    }

    fn unsigned(&self, ops: Vec<Op>, change: impl FnOnce(&mut Update)) -> Update {
        let (out, inc) = (self.channel.outgoing(), self.channel.incoming());
        let (transferred, locks) = totals(out.accepted.transferred, &out.accepted.locks, &ops);
        let locked = locks.iter().map(value).fold(0, u64::wrapping_add);
        let value = BalanceProof {
            channel: self.channel.id(),
            from: Role::Wallet,
            seq: out.last_seq + 1,
            transferred,
            locked: Amount(locked),
            locks_root: locks_root(&locks),
            peer_seq: inc.tally.seq,
            peer_transferred: inc.tally.transferred,
        };
        let proof = self.sign(&self.key, value);
        let mut update = Update { channel: self.channel.id(), base: out.accepted.seq, ops, proof };
        change(&mut update);
        update
    }

    pub(super) fn sign(&self, key: &SigningKey, proof: BalanceProof) -> Signed<BalanceProof> {
        Signed::alone(key, proof, Salt([proof.seq as u8; 16]))
    }
}

fn value(lock: &Lock) -> u64 {
    lock.unit.0.wrapping_mul(u64::from(lock.steps))
}

/// What the operations make of a direction, with no question asked.
fn totals(transferred: Amount, locks: &[Lock], ops: &[Op]) -> (Amount, Vec<Lock>) {
    let (mut sum, mut locks) = (transferred.0, locks.to_vec());
    for op in ops {
        match op {
            Op::Pay { amount, .. } => sum = sum.wrapping_add(amount.0),
            Op::Add { lock, .. } => locks.push(*lock),
            Op::Settle { id, .. } => {
                let settled = locks.iter().find(|lock| lock.id == *id).map_or(0, value);
                sum = sum.wrapping_add(settled);
                locks.retain(|lock| lock.id != *id);
            }
            Op::Drop { id } => locks.retain(|lock| lock.id != *id),
        }
    }
    (Amount(sum), locks)
}
