//! What may be shown of a direction: a signed proof with the locks under its root.

use super::drafts::lock;
use super::pair::{HUB, Pair, WALLET, pay};
use crate::channel::{Taken, TakenLock};
use crate::crypto::Signed;
use crate::lock::{LOCK_STEPS_MAX, LOCKS_MAX, Lock, STEPS_MAX, locked_total, locks_root};
use crate::proof::BalanceProof;
use crate::reject::Code;
use crate::types::{Amount, Salt};
use crate::update::{Destination, Payload};

/// The wallet's direction with these locks, signed by it.
fn shown(locks: &[Lock]) -> Result<(), Code> {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(1)]);
    let before = pair.hub.channel.their_snapshot().unwrap().proof.value;
    let proof = BalanceProof {
        locked: locked_total(locks).unwrap_or(Amount(0)),
        locks_root: locks_root(locks),
        ..before
    };
    let to = Destination { hub: None, wallet: pair.hub.key.public() };
    let locks = locks.iter().map(|lock| TakenLock { lock: *lock, to, payload: Payload::default() });
    let proof = Signed::alone(&pair.wallet.key, proof, Salt([9; 16]));
    pair.verified(Taken { proof, locks: locks.collect() }).map(drop)
}

/// `count` locks of so many steps each.
fn locks(count: usize, steps: u32) -> Vec<Lock> {
    (1..=count as u64).map(|id| Lock { id, steps, unit: Amount(1), ..lock(1) }).collect()
}

#[test]
fn no_more_locks_and_steps_are_shown_than_a_direction_may_have() {
    let most = usize::try_from(LOCK_STEPS_MAX / u64::from(STEPS_MAX)).unwrap();
    let mut one_more = locks(most + 1, STEPS_MAX);
    one_more[most].steps = 1;
    for (locks, expected) in [
        (locks(LOCKS_MAX, 1), Ok(())),
        (locks(LOCKS_MAX + 1, 1), Err(Code::TooManyLocks)),
        (locks(most, STEPS_MAX), Ok(())),
        (one_more, Err(Code::TooManySteps)),
    ] {
        assert_eq!(shown(&locks), expected, "{} locks", locks.len());
    }
}

/// ⚔ Two locks under one number: each would be the other, depending on who looks.
#[test]
fn locks_are_shown_in_order_and_once() {
    let [one, two] = [1, 2].map(|id| Lock { id, ..lock(1) });
    assert_eq!(shown(&[one, two]), Ok(()));
    assert_eq!(shown(&[two, one]), Err(Code::LockIdUsed));
    assert_eq!(shown(&[one, one]), Err(Code::LockIdUsed));
}

#[test]
fn before_the_first_proof_nothing_was_sent() {
    let mut pair = Pair::new();
    assert!(pair.wallet.channel.outgoing().has_sent(0, Amount(0)));
    assert!(!pair.wallet.channel.outgoing().has_sent(0, Amount(1)));
    pair.send(WALLET, &[pay(1)]);
    pair.acknowledge(HUB);
    assert!(!pair.wallet.channel.outgoing().has_sent(0, Amount(0)), "it is retired");
}
