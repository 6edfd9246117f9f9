//! Claims: which secret counts on which lock, and for how much.

use super::*;

#[test]
fn claims_count_below_the_expiry_of_their_lock() {
    for (late_by, expected) in [(-2, 35), (-1, 35), (0, 30), (1, 30)] {
        let found = payout_of(|w, id| {
            let locks = [lock(1, 5, 1, 30), lock(2, 7, 1, 300)];
            let newest = proof(id, Role::Wallet, 1, 30, &locks);
            w.done(w.bring(Role::Hub, true, newest, &locks));
            w.advance_to((30 + late_by - 1) as u64);
            w.block(vec![w.claim(id, Role::Hub, &[(1, secret(1, 1, 1))])]);
        });
        assert_eq!(found, (100 - expected, 50 + expected), "{late_by}");
    }
}

#[test]
fn payout_waits_for_the_window_and_for_every_lock() {
    let settled_at = |expiry: u64, claimed: bool| {
        let mut w = World::new();
        let id = w.open(100, 50);
        let locks = [lock(1, 5, 2, expiry)];
        let newest = proof(id, Role::Wallet, 1, 30, &locks);
        w.done(w.bring(Role::Hub, true, newest, &locks));
        let closed_at = w.height();
        let depth = if claimed { 2 } else { 1 };
        w.done(w.claim(id, Role::Hub, &[(1, secret(1, 2, depth))]));
        w.settle(id);
        w.height() - closed_at
    };
    let window = u64::from(WINDOW);
    assert_eq!(settled_at(10, false), window + 1, "the lock expires within the window");
    assert_eq!(settled_at(100, true), window + 1, "claimed in full");
    // Opened in block 1, funded in 2, closed in 3.
    assert_eq!(settled_at(100, false), 100 - 3, "claimed in part, so it could still be claimed");
}

#[test]
fn deeper_secrets_replace_shallower_ones_only() {
    let found = |depths: &[u32]| {
        payout_of(|w, id| {
            let locks = [lock(1, 5, 4, 300)];
            w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
            for depth in depths {
                w.block(vec![w.claim(id, Role::Hub, &[(1, secret(1, 4, *depth))])]);
            }
        })
    };
    assert_eq!(found(&[1]), (95, 55));
    assert_eq!(found(&[1, 3]), (85, 65));
    assert_eq!(found(&[3, 1]), (85, 65));
    assert_eq!(found(&[4, 4]), (80, 70));
}

#[test]
fn a_secret_that_does_not_fit_pays_nothing_but_is_shown() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let locks = [lock(1, 5, 1, 300)];
    w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
    let wrong = Secret([77; 32]);
    let applied = w.block(vec![w.claim(id, Role::Hub, &[(1, wrong)])]);
    assert_eq!(applied.outcomes[0].1, Err(Code::ChangesNothing));
    let shown =
        LedgerEvent::ClaimShown { channel: id, from: Role::Wallet, id: 1, secret: wrong, steps: 0 };
    assert!(applied.events.contains(&shown));
    assert_eq!(w.settle(id), (100, 50));
}

/// The lock went on under the same id, as after a settled part: the old secret is measured again.
#[test]
fn a_claim_is_measured_again_in_the_proof_that_stands() {
    let whole = lock(1, 5, 4, 300);
    let rest = whole.redeem(&secret(1, 4, 1)).unwrap().rest.unwrap();
    let found = |proof_first: bool| {
        payout_of(|w, id| {
            let old = w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &[whole]), &[whole]);
            w.done(old);
            let claim = w.claim(id, Role::Hub, &[(1, secret(1, 4, 3))]);
            let newer = proof(id, Role::Wallet, 2, 5, &[rest]);
            let newer = w.bring(Role::Hub, false, newer, &[rest]);
            let both = if proof_first { [newer, claim] } else { [claim, newer] };
            for tx in both {
                w.done(tx);
            }
        })
    };
    // One step is in `transferred` by now, two more are claimed: 15 in either order.
    assert_eq!(found(false), (85, 65));
    assert_eq!(found(true), (85, 65));
}

#[test]
fn a_claim_on_a_lock_that_the_newest_proof_lacks_counts_nothing() {
    let found = payout_of(|w, id| {
        let locks = [lock(1, 5, 1, 300)];
        w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
        w.done(w.claim(id, Role::Hub, &[(1, secret(1, 1, 1))]));
        // Settled meanwhile: it is in `transferred`, and must not be paid twice.
        w.done(w.bring(Role::Hub, false, paid(id, 2, 5), &[]));
    });
    assert_eq!(found, (95, 55));
}

#[test]
fn unopened_locks_count_as_unclaimed_and_may_be_opened_later() {
    let locks = [lock(1, 5, 1, 300)];
    let (one, claim) = (&locks[..], [(1, secret(1, 1, 1))]);
    let closed = |w: &mut World, id| {
        let newest = proof(id, Role::Wallet, 1, 30, one);
        w.done(w.bring(Role::Hub, true, newest, &[]));
        w.block(vec![w.claim(id, Role::Hub, &claim)]);
    };
    assert_eq!(payout_of(closed), (70, 80));
    let opened = payout_of(|w, id| {
        closed(w, id);
        w.done(w.bring(Role::Hub, false, proof(id, Role::Wallet, 1, 30, one), one));
        w.done(w.claim(id, Role::Hub, &claim));
    });
    assert_eq!(opened, (65, 85));
}

/// A claim counts on a lock of the proof that stands after the very transaction, not before it.
#[test]
fn claims_come_after_the_proof_of_their_submission() {
    let found = payout_of(|w, id| {
        let (old, new) = ([lock(1, 5, 1, 300)], [lock(2, 7, 1, 300)]);
        w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &old), &old));
        w.done(w.submit_tx(Submission {
            proof: Some(w.sign(proof(id, Role::Wallet, 2, 0, &new))),
            locks: new.to_vec(),
            claims: vec![(1, secret(1, 1, 1)), (2, secret(2, 1, 1))],
            ..submission(id, Role::Hub)
        }));
        assert!(!w.channel(id).directions.wallet.claims.contains_key(&1));
    });
    assert_eq!(found, (93, 57));
}

#[test]
fn locks_that_open_a_root() {
    let w = World::new();
    let id = ChannelId([1; 32]);
    let one = lock(1, 5, 1, 300);
    let many = |count: u8| -> Vec<Lock> { (0..count).map(|id| lock(id, 1, 1, 9)).collect() };
    let mut too_many = many(255);
    too_many.extend([Lock { id: 300, ..one }, Lock { id: 301, ..one }]);
    let deep = |id| Lock { id, steps: STEPS_MAX, unit: Amount(1), ..one };
    let most = LOCK_STEPS_MAX / u64::from(STEPS_MAX);
    let table: Vec<(&str, Vec<Lock>, bool)> = vec![
        ("one", vec![one], true),
        ("the most", too_many[..256].to_vec(), true),
        ("one more", too_many.clone(), false),
        ("an id twice", vec![one, Lock { unit: Amount(6), ..one }], false),
        ("no steps", vec![one, Lock { id: 2, steps: 0, ..one }], false),
        ("nothing in it", vec![one, Lock { id: 2, unit: Amount(0), ..one }], false),
        ("the most steps", (0..most).map(deep).collect(), true),
        ("a step more", (0..most).map(deep).chain([Lock { id: 99, ..one }]).collect(), false),
    ];
    for (name, locks, fits) in table {
        let proof = proof(id, Role::Wallet, 1, 0, &locks);
        assert_eq!(crate::ledger::channel::opens(&proof, &locks), fits, "{name}");
        let one_off = BalanceProof { locked: Amount(proof.locked.0 + 1), ..proof };
        assert!(!crate::ledger::channel::opens(&one_off, &locks), "{name}: sum");
        let other_root = BalanceProof { locks_root: Hash([1; 32]), ..proof };
        assert!(!crate::ledger::channel::opens(&other_root, &locks), "{name}: root");
    }
    drop(w);
}

#[test]
fn claims_kept_are_bounded_and_those_that_count_stay() {
    use crate::ledger::channel::CLAIMS_KEPT_MAX;
    let mut direction = Direction::default();
    let id = ChannelId([1; 32]);
    for round in 0..6u64 {
        let locks: Vec<Lock> =
            (0..250u64).map(|at| Lock { id: round * 250 + at, ..lock(1, 1, 1, 9) }).collect();
        direction.stand(proof(id, Role::Wallet, round, 0, &locks), &locks, &Measured::default());
        for lock in &locks {
            assert!(direction.claim(lock.id, secret(1, 1, 1), &Measured::default()));
        }
        assert_eq!(direction.claimed(), 250);
    }
    assert_eq!(direction.claims.len(), CLAIMS_KEPT_MAX);
}

/// The queue refuses what can be seen to change nothing, without making a single hash.
#[test]
fn a_claim_that_is_known_or_in_full_is_refused_before_hashing() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let locks = [lock(1, 5, 2, 300)];
    w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
    for depth in [1, 2] {
        let claim = w.claim(id, Role::Hub, &[(1, secret(1, 2, depth))]);
        w.done(claim.clone());
        assert_eq!(w.answer(&claim), Err(Code::ChangesNothing), "{depth}");
    }
    let another = w.claim(id, Role::Hub, &[(1, Secret([9; 32]))]);
    assert_eq!(w.answer(&another), Err(Code::ChangesNothing));
}
