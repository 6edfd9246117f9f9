//! Proofs recorded while the channel is open: they stay, they bind, and claims beside them don't.

use super::*;

/// What was recorded pays out a side that then sleeps through the whole window.
#[test]
fn a_recorded_proof_stays_when_the_close_comes() {
    let found = payout_of(|w, id| {
        let events = w.done(w.bring(Role::Hub, false, paid(id, 3, 60), &[]));
        assert_eq!(events, [LedgerEvent::ProofRecorded { proof: paid(id, 3, 60), locks: vec![] }]);
        assert!(w.channel(id).closing.is_none());
        w.advance_to(w.height() + 3 * u64::from(WINDOW));
        w.done(w.close(id, Role::Wallet));
    });
    assert_eq!(found, (40, 110));
}

#[test]
fn only_a_newer_proof_replaces_what_is_recorded() {
    let mut w = World::new();
    let id = w.open(100, 50);
    w.done(w.bring(Role::Hub, false, paid(id, 3, 60), &[]));
    for seq in [2, 3] {
        let tx = w.bring(Role::Hub, false, paid(id, seq, 90), &[]);
        assert_eq!(w.answer(&tx), Err(Code::ChangesNothing), "{seq}");
    }
    w.done(w.bring(Role::Hub, true, paid(id, 4, 61), &[]));
    assert_eq!(w.settle(id), (39, 111));
}

/// The acknowledgment in a recorded proof retires an older one and is a floor, as in a window.
#[test]
fn what_a_recorded_proof_acknowledges_binds_its_signer() {
    let found = payout_of(|w, id| {
        let acknowledging = BalanceProof {
            peer_seq: 4,
            peer_transferred: Amount(20),
            ..proof(id, Role::Hub, 2, 3, &[])
        };
        w.done(w.bring(Role::Wallet, false, acknowledging, &[]));
        w.done(w.bring(Role::Hub, true, paid(id, 3, 90), &[]));
    });
    assert_eq!(found, (100 + 3 - 20, 50 - 3 + 20));
}

/// Claims count only while closing: alone they are refused, beside a proof they leave the rest as
/// it is. Shown they are, so the other side learns the secret.
#[test]
fn claims_on_an_open_channel_do_not_count() {
    let locks = [lock(1, 5, 1, 300)];
    let claims = vec![(1, secret(1, 1, 1))];
    for claim_again in [false, true] {
        let found = payout_of(|w, id| {
            let events = w.done(w.submit_tx(Submission {
                proof: Some(w.sign(proof(id, Role::Wallet, 2, 30, &locks))),
                locks: locks.to_vec(),
                claims: claims.clone(),
                ..submission(id, Role::Hub)
            }));
            let (from, secret) = (Role::Wallet, claims[0].1);
            let shown = LedgerEvent::ClaimShown { channel: id, from, id: 1, secret, steps: 0 };
            assert!(events.contains(&shown));
            assert!(w.channel(id).directions.wallet.claims.is_empty());
            let alone = w.claim(id, Role::Hub, &claims);
            assert_eq!(w.answer(&alone), Err(Code::ClaimsOnOpenChannel));
            w.done(w.close(id, Role::Wallet));
            if claim_again {
                w.done(alone);
            }
        });
        let claimed = if claim_again { 5 } else { 0 };
        assert_eq!(found, (70 - claimed, 80 + claimed));
    }
}

/// Money comes and goes as before on a channel on which something is recorded.
#[test]
fn a_record_leaves_the_channel_open() {
    let mut w = World::new();
    let id = w.open(100, 50);
    w.done(w.bring(Role::Hub, false, paid(id, 1, 10), &[]));
    w.done(w.deposit_tx(id, Role::Wallet, 5));
    w.done(w.withdraw_tx(id, Role::Hub, 55, 1_000));
    assert_eq!(w.channel(id).due(), None);
    w.done(w.close(id, Role::Hub));
    assert_eq!(w.settle(id), (95, 5));
}
