//! Proofs that stand, and their locks.

use super::*;
use crate::ledger::fixture::{lock, proof};
use crate::types::{ChannelId, Role};

/// ⚔ Of two proofs with one number the first that came stands; all that may come later is what it has
/// locked.
#[test]
fn a_proof_is_improved_by_a_newer_one_and_by_its_own_locks() {
    let (locks, others) = ([lock(1, 5, 1, 90)], [lock(2, 7, 1, 90)]);
    let of = |seq, paid, locks| proof(ChannelId([7; 32]), Role::Wallet, seq, paid, locks);
    let standing = of(5, 10, &locks);
    let direction = |opened| Direction { standing: Some(standing), opened, ..Direction::default() };
    for (opened, brought, with, better) in [
        (false, standing, &locks[..], true),
        (false, standing, &[], false),
        (true, standing, &locks, false),
        (false, of(5, 10, &others), &others, false),
        (false, of(5, 99, &locks), &locks, false),
        (true, of(5, 99, &[]), &[], false),
        (true, of(4, 99, &locks), &locks, false),
        (true, of(6, 0, &[]), &[], true),
    ] {
        let improved = direction(opened).improved_by(&brought, with);
        assert_eq!(improved, better, "{opened}, {brought:?}, {} locks", with.len());
    }
    assert!(Direction::default().improved_by(&of(1, 0, &[]), &[]), "any at first");
}

#[test]
fn a_direction_is_whole_with_the_locks_of_its_proof_or_with_none_while_unopened() {
    let (own, other) = (vec![lock(1, 5, 1, 90)], vec![lock(2, 5, 1, 90)]);
    let standing = Some(proof(ChannelId([7; 32]), Role::Wallet, 5, 10, &own));
    for (standing, opened, locks, whole) in [
        (None, false, &vec![], true),
        (None, false, &own, false),
        (standing, false, &vec![], true),
        (standing, false, &own, false),
        (standing, true, &own, true),
        (standing, true, &other, false),
        (standing, true, &vec![], false),
    ] {
        let locks = locks.clone();
        let direction = Direction { standing, opened, locks, ..Direction::default() };
        assert_eq!(direction.is_whole(), whole, "{direction:?}");
    }
}

#[test]
fn a_channel_at_rest_is_small() {
    assert_eq!(*Direction::AT_REST, Direction::default());
    let bytes = size_of::<ChannelState>();
    assert!(bytes <= 224, "{bytes} bytes");
}

/// What a claim came to is told of the very secret that was shown, and measured again under a new proof.
#[test]
fn claims_count_for_the_secret_that_is_kept_and_are_measured_again_by_lock() {
    let (kept, other) = (Secret([3; 32]), Secret([4; 32]));
    let claims = BTreeMap::from([(1, Claim { secret: kept, steps: 6 })]);
    let direction = Direction { claims, ..Direction::default() };
    for (id, secret, steps) in [(1, kept, 6), (1, other, 0), (2, kept, 0)] {
        assert_eq!(direction.counted(id, &secret), steps, "{id}");
    }
    let locks = [lock(2, 5, 1, 90), lock(1, 5, 1, 90)];
    let again: Vec<u64> = direction.measured_again(&locks).map(|lock| lock.id).collect();
    assert_eq!(again, [1]);
}
