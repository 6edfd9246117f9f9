//! Disputes, each from the opening to the payout: what a proof, a claim, a floor is worth, and
//! when. Each side starts with 1,000; the wallet pays the hub unless a name says otherwise.

mod claims;
mod records;

use super::super::fixture::*;
use super::*;
use crate::lock::{LOCK_STEPS_MAX, STEPS_MAX};
use crate::tx::Transaction;
use crate::types::{Amount, ChannelId, Hash};

/// A channel of 100 and 50, and the payout after these steps.
fn payout_of(steps: impl FnOnce(&mut World, ChannelId)) -> (u64, u64) {
    let mut world = World::new();
    let id = world.open(100, 50);
    steps(&mut world, id);
    world.settle(id)
}

fn paid(id: ChannelId, seq: u64, paid: u64) -> BalanceProof {
    proof(id, Role::Wallet, seq, paid, &[])
}

#[test]
fn without_proofs_each_gets_its_own() {
    assert_eq!(payout_of(|w, id| drop(w.done(w.close(id, Role::Hub)))), (100, 50));
}

#[test]
fn a_side_is_paid_what_the_other_signed() {
    let found = payout_of(|w, id| {
        w.done(w.bring(Role::Hub, true, paid(id, 1, 30), &[]));
        w.done(w.bring(Role::Wallet, false, proof(id, Role::Hub, 9, 12, &[]), &[]));
    });
    assert_eq!(found, (100 - 30 + 12, 50 + 30 - 12));
}

#[test]
fn more_than_is_there_is_clamped() {
    let found = payout_of(|w, id| drop(w.done(w.bring(Role::Hub, true, paid(id, 1, 101), &[]))));
    assert_eq!(found, (0, 150));
    let back = |w: &mut World, id| {
        let proof = proof(id, Role::Hub, 1, u64::MAX, &[]);
        w.done(w.bring(Role::Wallet, true, proof, &[]));
    };
    assert_eq!(payout_of(back), (150, 0));
}

#[test]
fn the_highest_number_stands_in_either_order() {
    let found = |order: [u64; 2]| {
        payout_of(|w, id| {
            w.done(w.close(id, Role::Wallet));
            let [first, second] =
                order.map(|seq| w.bring(Role::Hub, false, paid(id, seq, seq), &[]));
            w.block(vec![first, second]);
        })
    };
    assert_eq!(found([20, 30]), (70, 80));
    assert_eq!(found([30, 20]), (70, 80));
}

/// A stale close costs the closer nothing more and gains it nothing.
#[test]
fn a_stale_close_is_answered_within_the_window() {
    let found = payout_of(|w, id| {
        let newest = proof(id, Role::Hub, 1, 5, &[]);
        w.done(w.bring(Role::Wallet, true, newest, &[]));
        w.advance_to(w.height() + u64::from(WINDOW) - 1);
        w.done(w.bring(Role::Hub, false, paid(id, 8, 60), &[]));
    });
    assert_eq!(found, (100 + 5 - 60, 50 - 5 + 60));
}

#[test]
fn proofs_count_up_to_and_with_the_end_of_the_window() {
    for (late_by, expected) in [(-1, Ok(())), (0, Ok(())), (1, Err(Code::WindowOver))] {
        let mut w = World::new();
        let id = w.open(100, 50);
        // A pending lock keeps the channel there when the window is over.
        let locks = [lock(1, 5, 1, 500)];
        let first = proof(id, Role::Wallet, 1, 0, &locks);
        w.done(w.bring(Role::Hub, true, first, &locks));
        let carried_in = w.height() as i64 + i64::from(WINDOW) + late_by;
        w.advance_to(carried_in as u64 - 1);
        let applied = w.block(vec![w.bring(Role::Hub, false, paid(id, 2, 60), &[])]);
        assert_eq!(applied.outcomes[0].1, expected, "{late_by}");
    }
}

#[test]
fn anybody_may_settle_what_is_due_and_nothing_before() {
    let mut w = World::new();
    let id = w.open(100, 50);
    w.done(w.close(id, Role::Hub));
    let closed_at = w.height();
    let settle = Transaction::Settle { channel: id };
    for (height, expected) in [
        (closed_at + u64::from(WINDOW), Err(Code::NotDue)),
        (closed_at + u64::from(WINDOW) + 1, Ok(())),
    ] {
        w.advance_to(height - 1);
        assert_eq!(w.answer(&settle), expected, "{height}");
    }
    w.done(settle);
    assert!(w.ledger.channel(&id).is_none());
}

#[test]
fn an_acknowledged_newer_proof_voids_an_older_one_but_not_what_was_paid() {
    let locks = [lock(1, 5, 1, 300)];
    let acknowledging = |id: ChannelId| BalanceProof {
        peer_seq: 4,
        peer_transferred: Amount(20),
        ..proof(id, Role::Hub, 2, 3, &[])
    };
    for void_first in [true, false] {
        let found = payout_of(|w, id| {
            w.done(w.close(id, Role::Wallet));
            let old = proof(id, Role::Wallet, 3, 90, &locks);
            let old = w.bring(Role::Hub, false, old, &locks);
            let newer = w.bring(Role::Wallet, false, acknowledging(id), &[]);
            let both = if void_first { [newer, old] } else { [old, newer] };
            for tx in both {
                w.done(tx);
            }
            w.block(vec![w.claim(id, Role::Hub, &[(1, secret(1, 1, 1))])]);
        });
        assert_eq!(found, (100 + 3 - 20, 50 - 3 + 20), "void first: {void_first}");
    }
}

/// The same number as acknowledged is the newest, not an older one.
#[test]
fn the_acknowledged_proof_itself_is_not_void() {
    for (seq, expected) in [(3, 20), (4, 90), (5, 90)] {
        let found = payout_of(|w, id| {
            let newest = BalanceProof {
                peer_seq: 4,
                peer_transferred: Amount(20),
                ..proof(id, Role::Hub, 2, 0, &[])
            };
            w.done(w.bring(Role::Wallet, true, newest, &[]));
            w.done(w.bring(Role::Hub, false, paid(id, seq, 90), &[]));
        });
        assert_eq!(found, (100 - expected, 50 + expected), "{seq}");
    }
}

/// A floor stays when the proof that it came with is replaced by one that says less, or is void.
#[test]
fn a_floor_is_permanent() {
    let found = payout_of(|w, id| {
        let high = BalanceProof { peer_transferred: Amount(40), ..proof(id, Role::Hub, 1, 0, &[]) };
        w.done(w.bring(Role::Wallet, true, high, &[]));
        w.done(w.bring(Role::Wallet, false, proof(id, Role::Hub, 2, 0, &[]), &[]));
        let voiding = BalanceProof { peer_seq: 9, ..paid(id, 1, 10) };
        w.done(w.bring(Role::Hub, false, voiding, &[]));
    });
    assert_eq!(found, (60, 90));
}

/// The locks of a void proof keep nobody waiting.
#[test]
fn a_void_proof_does_not_delay_the_payout() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let locks = [lock(1, 5, 1, 5_000)];
    w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 1, 0, &locks), &locks));
    let closed_at = w.height();
    let voiding = BalanceProof { peer_seq: 2, ..proof(id, Role::Hub, 1, 0, &[]) };
    w.done(w.bring(Role::Wallet, false, voiding, &[]));
    w.settle(id);
    assert_eq!(w.height(), closed_at + u64::from(WINDOW) + 1);
}

/// The other side closed first, with a stale proof: nothing of the submission is lost.
#[test]
fn a_front_run_close_costs_nothing() {
    let locks = [lock(1, 5, 1, 300)];
    let everything = |w: &World, id| {
        w.submit_tx(Submission {
            close: true,
            proof: Some(w.sign(proof(id, Role::Wallet, 2, 30, &locks))),
            locks: locks.to_vec(),
            claims: vec![(1, secret(1, 1, 1)), (8, Secret([8; 32]))],
            ..submission(id, Role::Hub)
        })
    };
    for front_run in [false, true] {
        let found = payout_of(|w, id| {
            let mut txs = vec![everything(w, id)];
            if front_run {
                txs.insert(0, w.close(id, Role::Wallet));
            }
            w.block(txs);
        });
        assert_eq!(found, (65, 85), "front run: {front_run}");
    }
}

/// A proof that comes too late, or is not the newest, never refuses the claims beside it.
#[test]
fn the_parts_of_a_submission_stand_alone() {
    let locks = [lock(1, 5, 1, 300), lock(2, 7, 1, 200)];
    for (delay, seq) in [(0, 1), (WINDOW + 5, 3)] {
        let found = payout_of(|w, id| {
            w.done(w.bring(Role::Hub, true, proof(id, Role::Wallet, 2, 30, &locks), &locks));
            w.advance_to(w.height() + u64::from(delay));
            w.done(w.submit_tx(Submission {
                close: true,
                proof: Some(w.sign(paid(id, seq, 31))),
                claims: vec![(3, Secret([3; 32])), (1, secret(1, 1, 1))],
                ..submission(id, Role::Hub)
            }));
        });
        assert_eq!(found, (65, 85), "{delay}");
    }
}

#[test]
fn a_close_is_announced_with_the_end_of_its_window() {
    let mut w = World::new();
    let id = w.open(100, 50);
    let events = w.done(w.bring(Role::Hub, true, paid(id, 1, 1), &[]));
    let proofs_until = Height(w.height() + u64::from(WINDOW));
    assert_eq!(
        events,
        [
            LedgerEvent::CloseStarted { channel: id, by: Role::Hub, proofs_until },
            LedgerEvent::ProofRecorded { proof: paid(id, 1, 1), locks: vec![] },
        ]
    );
    assert_eq!(w.channel(id).closing.unwrap().proofs_until, proofs_until);
}

/// A later proof that acknowledges less, as no honest side signs one, does not bring back what an
/// earlier one retired.
#[test]
fn what_is_void_stays_void() {
    let found = payout_of(|w, id| {
        w.done(w.bring(Role::Hub, true, paid(id, 3, 90), &[]));
        let voiding = BalanceProof { peer_seq: 4, ..proof(id, Role::Hub, 1, 0, &[]) };
        w.done(w.bring(Role::Wallet, false, voiding, &[]));
        w.done(w.bring(Role::Wallet, false, proof(id, Role::Hub, 2, 0, &[]), &[]));
    });
    assert_eq!(found, (100, 50));
}
