//! One refusal for each code that the engine answers an update with. What is sent is right in all
//! but the one rule. (101 and 128 are the shell's: it knows the channels and the order of updates.)

use super::drafts::{add_op, answer, draft, lock, pay_op, try_ops, try_proof};
use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, add, pay, secret};
use crate::channel::{ReceivedUpdate, Step, UNACKNOWLEDGED_MAX};
use crate::crypto::{BatchCache, Signed, VerifyingKey};
use crate::lock::{LOCKS_MAX, Lock, STEPS_MAX};
use crate::reject::Code;
use crate::types::{Amount, ChannelId, Hash, Height, Salt, Secret};
use crate::update::{OPS_MAX, Op, Update};

/// Two sides that have paid each other, with a lock (id 1, seed 1) of the wallet's.
fn busy() -> Pair {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(100), add(1, 10)]);
    pair.send(HUB, &[pay(50)]);
    pair.send(WALLET, &[pay(5)]);
    pair
}

#[test]
fn what_the_other_tests_break_one_rule_of_is_accepted_whole() {
    let mut pair = busy();
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(1), add_op(lock(2))]), Ok(()));
    let settle = Op::Settle { id: 1, secret: secret(1, 1, 1) };
    assert_eq!(try_ops(&mut pair, WALLET, vec![settle]), Ok(()));
    assert_eq!(try_ops(&mut pair, WALLET, vec![]), Ok(()));
}

#[test]
fn wrong_channel() {
    let other = ChannelId([9; 32]);
    let mut pair = busy();
    // The proof alone names another, or update and proof agree on another.
    assert_eq!(
        try_proof(&mut pair, WALLET, |draft| draft.proof.channel = other),
        Err(Code::WrongChannel)
    );
    let mut draft = draft(&mut pair, WALLET, vec![]);
    draft.proof.channel = other;
    let update = Update { channel: other, ..draft.sign(&pair.wallet) };
    assert_eq!(pair.hub.receive(update.clone()), Err(Code::WrongChannel));
    // The update alone names another.
    let good = super::drafts::draft(&mut pair, WALLET, vec![]).sign(&pair.wallet);
    let update = Update { channel: other, ..good };
    assert_eq!(pair.hub.receive(update), Err(Code::WrongChannel));
}

#[test]
fn wrong_direction() {
    let mut pair = busy();
    let refused = try_proof(&mut pair, WALLET, |draft| draft.proof.from = HUB);
    assert_eq!(refused, Err(Code::WrongDirection));
}

#[test]
fn bad_signature() {
    let mut pair = busy();
    let draft = draft(&mut pair, WALLET, vec![pay_op(1)]);
    let proof = Signed::alone(&pair.hub.key, draft.proof, Salt([1; 16]));
    let update = Update { channel: pair.id(), base: draft.base, ops: draft.ops, proof };
    assert_eq!(pair.hub.receive(update), Err(Code::BadSignature));
}

#[test]
fn channel_not_open() {
    let mut pair = busy();
    pair.close_seen(HUB);
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(1)]), Err(Code::ChannelNotOpen));
}

#[test]
fn channel_suspended() {
    let mut pair = busy();
    let step = pair.hub.channel.suspend(Code::SecretMismatch);
    pair.hub.commit(step);
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(1)]), Err(Code::ChannelSuspended));
}

#[test]
fn seq_not_rising() {
    let mut pair = busy();
    let seq = pair.hub.channel.incoming().tally.seq;
    for seq in [seq, seq - 1, 0] {
        let refused = try_proof(&mut pair, WALLET, |draft| draft.proof.seq = seq);
        assert_eq!(refused, Err(Code::SeqNotRising));
    }
}

#[test]
fn base_mismatch() {
    let mut pair = busy();
    for change in [-1, 1] {
        let refused = try_proof(&mut pair, WALLET, |draft| {
            draft.base = draft.base.saturating_add_signed(change)
        });
        assert_eq!(refused, Err(Code::BaseMismatch));
    }
}

#[test]
fn totals_fell() {
    let mut pair = busy();
    let refused = try_proof(&mut pair, WALLET, |d| d.proof.transferred = Amount(104));
    assert_eq!(refused, Err(Code::TotalsFell), "transferred");
    // The hub has sent a second proof, so that the first is one that was really sent.
    pair.send(HUB, &[pay(1)]);
    pair.send(WALLET, &[pay(1)]);
    let back = |seq, total| {
        move |d: &mut super::drafts::Draft| {
            (d.proof.peer_seq, d.proof.peer_transferred) = (seq, Amount(total));
        }
    };
    assert_eq!(try_proof(&mut pair, WALLET, back(1, 50)), Err(Code::TotalsFell));
    assert_eq!(try_proof(&mut pair, WALLET, back(1, 51)), Err(Code::TotalsFell));
    assert_eq!(try_proof(&mut pair, WALLET, back(2, 50)), Err(Code::TotalsFell));
    assert_eq!(try_proof(&mut pair, WALLET, back(2, 51)), Ok(()));
}

#[test]
fn unknown_acknowledgment() {
    let mut pair = busy();
    pair.send(HUB, &[pay(1)]);
    for (seq, total) in [(3, 51), (2, 52), (1, 51)] {
        let refused = try_proof(&mut pair, WALLET, |draft| {
            (draft.proof.peer_seq, draft.proof.peer_transferred) = (seq, Amount(total));
        });
        assert_eq!(refused, Err(Code::UnknownAcknowledgment), "{seq} {total}");
    }
    // One that the wallet said it refused is no proof to acknowledge either.
    pair.hub.propose(&[pay(1)]);
    pair.hub.commit(Step::Rejected { seq: 3, code: Code::StaleView });
    let refused = try_proof(&mut pair, WALLET, |draft| {
        (draft.proof.peer_seq, draft.proof.peer_transferred) = (3, Amount(52));
    });
    assert_eq!(refused, Err(Code::UnknownAcknowledgment));
}

#[test]
fn too_many_unacknowledged() {
    let mut pair = Pair::new();
    for _ in 0..UNACKNOWLEDGED_MAX {
        // The signatures of what the receiver has checked already are no matter here.
        let draft = draft(&mut pair, WALLET, vec![pay_op(1)]);
        let changes = vec![crate::channel::Change::Paid {
            amount: Amount(1),
            memo: crate::update::Memo::default(),
        }];
        let path = crate::crypto::MerklePath {
            salt: Salt([0; 16]),
            index: 0,
            leaf_count: 1,
            siblings: vec![],
        };
        let signature = crate::types::Signature([0; 64]);
        let proof = Signed { value: draft.proof, signature, path };
        pair.hub.commit(Step::Received(Box::new(ReceivedUpdate { changes, proof })));
    }
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(1)]), Err(Code::TooManyUnacknowledged));
    assert_eq!(try_ops(&mut pair, WALLET, vec![]), Ok(()));
}

#[test]
fn too_many_ops() {
    let mut pair = busy();
    let ops = |count: usize| vec![pay_op(1); count];
    assert_eq!(try_ops(&mut pair, WALLET, ops(OPS_MAX + 1)), Err(Code::TooManyOps));
    assert_eq!(try_ops(&mut pair, WALLET, ops(OPS_MAX)), Ok(()));
}

#[test]
fn zero_amount() {
    assert_eq!(try_ops(&mut busy(), WALLET, vec![pay_op(0)]), Err(Code::ZeroAmount));
}

#[test]
fn amount_overflow() {
    let mut pair = busy();
    let refused = try_ops(&mut pair, WALLET, vec![pay_op(u64::MAX), pay_op(1)]);
    assert_eq!(refused, Err(Code::AmountOverflow), "by paying");
    let value = Lock { unit: Amount(u64::MAX), steps: 2, ..lock(2) };
    let refused = try_ops(&mut pair, WALLET, vec![add_op(value)]);
    assert_eq!(refused, Err(Code::AmountOverflow), "in one lock");
    let half = |id| add_op(Lock { unit: Amount(1 << 63), ..lock(id) });
    let refused = try_ops(&mut pair, WALLET, vec![half(2), half(3)]);
    assert_eq!(refused, Err(Code::AmountOverflow), "in the sum of the locks");
}

#[test]
fn lock_id_used() {
    let mut pair = busy();
    pair.send(WALLET, &[add(2, 10)]);
    pair.fail(HUB, 2);
    pair.quiet();
    for id in [0, 1, 2] {
        let refused = try_ops(&mut pair, WALLET, vec![add_op(Lock { id, ..lock(9) })]);
        assert_eq!(refused, Err(Code::LockIdUsed), "{id}");
    }
    let twice = vec![add_op(lock(4)), add_op(lock(4))];
    assert_eq!(try_ops(&mut pair, WALLET, twice), Err(Code::LockIdUsed));
}

#[test]
fn steps_out_of_range() {
    for steps in [0, STEPS_MAX + 1] {
        let refused = try_ops(&mut busy(), WALLET, vec![add_op(Lock { steps, ..lock(2) })]);
        assert_eq!(refused, Err(Code::StepsOutOfRange));
    }
    let most = Lock { steps: STEPS_MAX, unit: Amount(1), ..lock(2) };
    assert_eq!(try_ops(&mut busy(), WALLET, vec![add_op(most)]), Ok(()));
}

#[test]
fn lock_too_small() {
    let mut pair = busy();
    pair.hub.policy.min_lock = Amount(10);
    let worth = |unit| vec![add_op(Lock { unit: Amount(unit), ..lock(2) })];
    assert_eq!(try_ops(&mut pair, WALLET, worth(9)), Err(Code::LockTooSmall));
    assert_eq!(try_ops(&mut pair, WALLET, worth(10)), Ok(()));
    pair.hub.policy.min_lock = Amount(0);
    let nothing = vec![add_op(Lock { unit: Amount(0), ..lock(3) })];
    assert_eq!(try_ops(&mut pair, WALLET, nothing), Err(Code::LockTooSmall));
}

/// ⚔ At most 256 pending locks per direction.
#[test]
fn too_many_locks() {
    let mut pair = Pair::new();
    let ops = |ids: std::ops::RangeInclusive<u64>| ids.map(|id| add_op(lock(id))).collect();
    let most = LOCKS_MAX as u64;
    assert_eq!(try_ops(&mut pair, WALLET, ops(1..=most + 1)), Err(Code::TooManyLocks));
    assert_eq!(try_ops(&mut pair, WALLET, ops(1..=most)), Ok(()));
    assert_eq!(try_ops(&mut pair, WALLET, vec![add_op(lock(999))]), Err(Code::TooManyLocks));
}

/// ⚔ The pending locks of a direction have at most 2^20 steps together.
#[test]
fn too_many_steps() {
    let mut pair = Pair::new();
    let whole = |id| add_op(Lock { steps: STEPS_MAX, unit: Amount(1), ..lock(id) });
    let sixteen: Vec<Op> = (1..=16).map(whole).collect();
    pair.hub.follow(&crate::block::LedgerEvent::Deposited {
        channel: pair.id(),
        role: WALLET,
        total: Amount(1 << 40),
    });
    assert_eq!(try_ops(&mut pair, WALLET, sixteen), Ok(()));
    assert_eq!(try_ops(&mut pair, WALLET, vec![add_op(lock(17))]), Err(Code::TooManySteps));
}

/// ⚔ Without a fresh view no lock is accepted. What is no lock is.
#[test]
fn stale_view() {
    let mut pair = busy();
    pair.hub.view.fresh = false;
    assert_eq!(try_ops(&mut pair, WALLET, vec![add_op(lock(2))]), Err(Code::StaleView));
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(1)]), Ok(()));
}

#[test]
fn expiry_passed() {
    for (expiry, expected) in [
        (START - 1, Err(Code::ExpiryPassed)),
        (START, Err(Code::ExpiryPassed)),
        (START + 1, Ok(())),
    ] {
        let ops = vec![add_op(Lock { expiry: Height(expiry), ..lock(2) })];
        assert_eq!(try_ops(&mut busy(), WALLET, ops), expected, "{expiry}");
    }
}

#[test]
fn expiry_too_far() {
    for (steps, life) in [(1, 3_600), (2, 86_400)] {
        let latest = START + life + LAG;
        for (expiry, expected) in
            [(latest - 1, Ok(())), (latest, Ok(())), (latest + 1, Err(Code::ExpiryTooFar))]
        {
            let ops = vec![add_op(Lock { expiry: Height(expiry), steps, ..lock(2) })];
            assert_eq!(try_ops(&mut busy(), WALLET, ops), expected, "{steps} steps, {expiry}");
        }
    }
}

#[test]
fn unknown_lock() {
    let mut pair = busy();
    let settle = Op::Settle { id: 2, secret: secret(1, 1, 1) };
    for op in [settle, Op::Drop { id: 2 }] {
        assert_eq!(try_ops(&mut pair, WALLET, vec![op]), Err(Code::UnknownLock));
    }
}

#[test]
fn secret_mismatch() {
    let settle = Op::Settle { id: 1, secret: Secret([0; 32]) };
    assert_eq!(try_ops(&mut busy(), WALLET, vec![settle]), Err(Code::SecretMismatch));
}

#[test]
fn drop_not_allowed() {
    let mut pair = busy();
    let drop = || vec![Op::Drop { id: 1 }];
    assert_eq!(try_ops(&mut pair, WALLET, drop()), Err(Code::DropNotAllowed));
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    assert_eq!(try_ops(&mut pair, WALLET, drop()), Err(Code::DropNotAllowed), "it was revealed");
}

#[test]
fn totals_mismatch() {
    let wrong: [fn(&mut super::drafts::Draft); 4] = [
        |draft| draft.proof.transferred = Amount(107),
        |draft| draft.proof.transferred = Amount(105),
        |draft| draft.proof.locked = Amount(11),
        |draft| draft.proof.locks_root = Hash::ZERO,
    ];
    for change in wrong {
        assert_eq!(try_proof(&mut busy(), WALLET, change), Err(Code::TotalsMismatch));
    }
}

#[test]
fn overdraft() {
    // 105 paid, 10 locked, 50 received.
    let left = DEPOSIT - 105 - 10 + 50;
    let mut pair = busy();
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(left + 1)]), Err(Code::Overdraft));
    let locked = add_op(Lock { unit: Amount(left), ..lock(2) });
    let refused = try_ops(&mut pair, WALLET, vec![locked, pay_op(1)]);
    assert_eq!(refused, Err(Code::Overdraft), "locks count");
    // What is not acknowledged yet does not count as received.
    pair.send(HUB, &[pay(1)]);
    let mut early = draft(&mut pair, WALLET, vec![pay_op(left + 1)]);
    (early.proof.peer_seq, early.proof.peer_transferred) = (1, Amount(50));
    assert_eq!(answer(&mut pair, WALLET, early), Err(Code::Overdraft));
    assert_eq!(try_ops(&mut pair, WALLET, vec![pay_op(left + 1)]), Ok(()));
}

#[test]
fn nothing_changes_with_a_refusal() {
    let mut pair = busy();
    let before = pair.hub.channel.clone();
    let _ = try_ops(&mut pair, WALLET, vec![pay_op(1), Op::Drop { id: 1 }]);
    assert_eq!(pair.hub.channel, before);
}

#[test]
fn the_key_of_another_does_not_verify_an_update() {
    let mut pair = busy();
    let update = draft(&mut pair, WALLET, vec![]).sign(&pair.wallet);
    let hub = VerifyingKey::parse(&pair.hub.key.public()).unwrap();
    let checked = crate::channel::VerifiedUpdate::check(update, &hub, &mut BatchCache::new(1));
    assert_eq!(checked.map(|_| ()), Err(Code::BadSignature));
}
