//! Updates made by hand, to break one rule at a time.

use super::pair::{LAG, Pair, START, Side, chain};
use crate::crypto::Signed;
use crate::lock::{Lock, locked_total, locks_root};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Anchor, Height, PublicKey, Role, Salt};
use crate::update::{Destination, Memo, Op, Payload, Update};

/// An update before it is signed. As [`draft`] makes it, it is what the operations say.
pub(super) struct Draft {
    pub(super) base: u64,
    pub(super) ops: Vec<Op>,
    pub(super) proof: BalanceProof,
}

impl Draft {
    pub(super) fn sign(self, by: &Side) -> Update {
        let proof = Signed::alone(&by.key, self.proof, Salt([1; 16]));
        Update { channel: by.channel.id(), base: self.base, ops: self.ops, proof }
    }
}

/// What `ops` make of the direction of `from`, as its receiver holds it. Nothing is checked.
pub(super) fn draft(pair: &mut Pair, from: Role, ops: Vec<Op>) -> Draft {
    let incoming = pair.of(from.other()).channel.incoming().clone();
    let mut locks = incoming.tally.locks;
    let mut transferred = incoming.tally.transferred.wide();
    for op in &ops {
        match op {
            Op::Pay { amount, .. } => transferred += amount.wide(),
            Op::Add { lock, .. } => locks.push(*lock),
            Op::Drop { id } => locks.retain(|lock| lock.id != *id),
            Op::Settle { id, secret } => {
                let at = locks.iter().position(|lock| lock.id == *id);
                if let Some((at, redeemed)) =
                    at.and_then(|at| Some((at, locks[at].redeem(secret)?)))
                {
                    transferred += redeemed.amount.wide();
                    locks.remove(at);
                    redeemed.rest.into_iter().for_each(|rest| locks.insert(at, rest));
                }
            }
        }
    }
    let mine = pair.of(from).channel.incoming().tally.clone();
    let proof = BalanceProof {
        channel: pair.id(),
        from,
        seq: incoming.tally.seq + 1,
        transferred: Amount(transferred as u64),
        locked: locked_total(&locks).unwrap_or(Amount(u64::MAX)),
        locks_root: locks_root(&locks),
        peer_seq: mine.seq,
        peer_transferred: mine.transferred,
    };
    Draft { base: incoming.tally.seq, ops, proof }
}

/// How the receiver answers the draft.
pub(super) fn answer(pair: &mut Pair, from: Role, draft: Draft) -> Result<(), Code> {
    let update = draft.sign(pair.of(from));
    pair.of(from.other()).receive(update)
}

/// How the receiver answers an update of these operations that is right in all else.
pub(super) fn try_ops(pair: &mut Pair, from: Role, ops: Vec<Op>) -> Result<(), Code> {
    let draft = draft(pair, from, ops);
    answer(pair, from, draft)
}

/// The same, after a change to the proof.
pub(super) fn try_proof(
    pair: &mut Pair,
    from: Role,
    change: impl FnOnce(&mut Draft),
) -> Result<(), Code> {
    let mut draft = draft(pair, from, vec![pay_op(1)]);
    change(&mut draft);
    answer(pair, from, draft)
}

pub(super) fn pay_op(amount: u64) -> Op {
    Op::Pay { amount: Amount(amount), memo: Memo::default() }
}

/// A lock on a chain of one step that is as good as any.
pub(super) fn lock(id: u64) -> Lock {
    let anchor = Anchor(chain(id as u8, 1, 0));
    Lock { id, anchor, unit: Amount(10), steps: 1, expiry: Height(START + 450 + LAG) }
}

pub(super) fn add_op(lock: Lock) -> Op {
    let to = Destination { hub: None, wallet: PublicKey([2; 33]) };
    Op::Add { lock, to, payload: Payload::default() }
}
