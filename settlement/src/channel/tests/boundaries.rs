//! One block before, at and after each deadline.

use super::drafts::{draft, try_ops};
use super::pair::{HUB, LAG, Pair, START, WALLET, add, pay, secret, stream};
use crate::block::LedgerEvent;
use crate::channel::{Duty, NewOp, Step};
use crate::lock::locks_root;
use crate::proof::Withdrawal;
use crate::reject::Code;
use crate::types::{Amount, Height};
use crate::update::Op;

/// The expiry of the lock that [`with_lock`] makes.
const EXPIRY: u64 = START + 450;

fn with_lock() -> Pair {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10)]);
    pair
}

/// What each side may do at one block before the expiry, at it and after it.
#[test]
fn expiry_table() {
    //           height       sender's    receiver's  sender takes  receiver takes  claim in the
    //                        money back  drop taken  the secret    a new lock      next block
    let table = [
        (EXPIRY - 2, false, false, true, true, true),
        (EXPIRY - 1, false, false, true, true, false),
        (EXPIRY, true, true, false, false, false),
        (EXPIRY + 1, true, true, false, false, false),
    ];
    for (height, back, drop, heard, taken, claimed) in table {
        let mut pair = with_lock();
        pair.at(height);
        assert_eq!(
            pair.wallet.channel.expire(&pair.wallet.now()).len(),
            usize::from(back),
            "{height}"
        );
        let reveal = pair.wallet.channel.check_reveal(1, &secret(1, 1, 1), &pair.wallet.now());
        assert_eq!(reveal.unwrap().is_some(), heard, "{height}");
        let lock = crate::lock::Lock { expiry: Height(EXPIRY), ..super::drafts::lock(2) };
        let add = super::drafts::add_op(lock);
        let expected = if taken { Ok(()) } else { Err(Code::ExpiryPassed) };
        assert_eq!(try_ops(&mut pair, WALLET, vec![add]), expected, "{height}");
        let dropped = try_ops(&mut pair, WALLET, vec![Op::Drop { id: 1 }]);
        assert_eq!(dropped.is_ok(), drop, "{height}");

        let mut pair = with_lock();
        let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
        pair.hub.commit(step);
        let claims = pair.hub.channel.submission(true, Height(height)).claims;
        assert_eq!(!claims.is_empty(), claimed, "{height}");
    }
}

/// Who has just started waits to meet the other before it closes, for the slack in the margins and no longer.
#[test]
fn closing_waits_to_meet_until_the_slack_in_the_margins_is_used_up() {
    let mut pair = with_lock();
    pair.at(EXPIRY);
    assert!(pair.hub.channel.may_wait_to_meet(&pair.hub.now()), "nothing is known to claim");
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    let policy = *pair.hub.now().policy;
    let until = EXPIRY - policy.claim_margin + policy.margin;
    for (height, fresh, may) in
        [(until - 1, true, true), (until, true, false), (until, false, true), (START, false, true)]
    {
        pair.at(height);
        pair.hub.view.fresh = fresh;
        assert_eq!(pair.hub.channel.may_wait_to_meet(&pair.hub.now()), may, "{height}, {fresh}");
    }
    pair.hub.commit(Step::Closing);
    assert!(!pair.hub.channel.may_wait_to_meet(&pair.hub.now()), "it is closing");
}

/// A sender drops an expired lock once every fresh view has come as far.
#[test]
fn a_drop_waits_until_every_fresh_view_is_past_the_expiry() {
    for (height, due) in [(EXPIRY + LAG - 1, false), (EXPIRY + LAG, true)] {
        let mut pair = with_lock();
        pair.at(height);
        pair.wallet.expire();
        assert_eq!(pair.wallet.channel.has_due_changes(&pair.wallet.now()), due);
        pair.hub.view.height = Height(height - LAG);
        pair.quiet();
        assert_eq!(pair.hub.channel.locked() == Amount(0), due);
        assert!(pair.wallet.channel.outgoing().refused.is_empty());
    }
}

/// A sender's locks are within what a receiver takes whose fresh view is `lag` blocks older.
#[test]
fn a_sender_keeps_to_what_an_older_view_takes() {
    for (steps, life) in [(1, 3_600), (8, 86_400)] {
        for (over, expected) in [(0, Ok(1)), (1, Err(Code::ExpiryTooFar))] {
            let mut pair = Pair::new();
            pair.hub.view.height = Height(START - LAG);
            let wanted = stream(1, 1, steps, START + life + over);
            assert_eq!(pair.wallet.propose(&[wanted]), [expected]);
            if expected.is_ok() {
                assert_eq!(pair.deliver(WALLET), Ok(()));
            }
        }
    }
    for (expiry, expected) in [(START, Err(Code::ExpiryPassed)), (START + 1, Ok(1))] {
        assert_eq!(Pair::new().wallet.propose(&[stream(1, 1, 1, expiry)]), [expected]);
    }
}

/// ⚔ A payee reveals only with `claim_margin + settle_grace` blocks left, in a fresh view, on an
/// open channel.
#[test]
fn claimable_table() {
    let margin = 90 + 40;
    let cases = [
        (EXPIRY - margin - 1, true, true),
        (EXPIRY - margin, true, true),
        (EXPIRY - margin + 1, true, false),
        (EXPIRY - margin - 1, false, false),
    ];
    for (height, fresh, expected) in cases {
        let mut pair = with_lock();
        pair.at(height);
        pair.hub.view.fresh = fresh;
        let claimable = pair.hub.channel.claimable(1, &pair.hub.now());
        assert_eq!(claimable.is_ok(), expected, "{height} {fresh}: {claimable:?}");
    }
    let mut pair = with_lock();
    pair.hub.commit(Step::Closing);
    assert_eq!(pair.hub.channel.claimable(1, &pair.hub.now()), Err(Code::ChannelClosing));
    assert_eq!(pair.hub.channel.claimable(2, &pair.hub.now()), Err(Code::UnknownLock));
}

/// Who knows a secret that is not settled closes and claims `claim_margin` blocks before the
/// expiry, and never for a lock that no block can take a claim for any more.
#[test]
fn duty_table_of_an_open_channel() {
    let due = EXPIRY - 90;
    let table = [
        (due - 1, None),
        (due, Some(Duty::CloseAndClaim)),
        (EXPIRY - 2, Some(Duty::CloseAndClaim)),
        (EXPIRY - 1, None),
        (EXPIRY, None),
    ];
    let mut pair = with_lock();
    assert_eq!(pair.hub.channel.claim_by(&pair.hub.now()), None, "no secret is known");
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    assert_eq!(pair.hub.channel.claim_by(&pair.hub.now()), Some(Height(due)));
    for fresh in [true, false] {
        for (height, duty) in table {
            pair.hub.view = crate::params::View { height: Height(height), fresh };
            assert_eq!(pair.hub.channel.duty(&pair.hub.now()), duty, "{height}");
        }
    }
    assert_eq!(pair.wallet.channel.duty(&pair.wallet.now()), None, "the payer has no duty");
}

/// Of a closing channel the newest proof is due until the window's last block, claims until the
/// lock's expiry, and what is on the ledger is not due again.
#[test]
fn duty_table_of_a_closing_channel() {
    let mut pair = with_lock();
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    let proofs_until = Height(START + 100);
    let close = LedgerEvent::CloseStarted { channel: pair.id(), by: WALLET, proofs_until };
    pair.hub.follow(&close);
    pair.wallet.follow(&close);
    assert_eq!(pair.hub.channel.proofs_until(), Some(proofs_until));
    assert_eq!(pair.wallet.channel.duty(&pair.wallet.now()), None, "the hub has signed nothing");
    let duty_at = |pair: &mut Pair, height| {
        pair.at(height);
        pair.hub.channel.duty(&pair.hub.now())
    };
    assert_eq!(duty_at(&mut pair, START), Some(Duty::Answer));

    let submission = pair.hub.channel.submission(false, Height(START));
    assert_eq!(submission.claims, [(1, secret(1, 1, 1))]);
    let proof = submission.proof.as_ref().unwrap().value;
    assert_eq!(proof.locks_root, locks_root(&submission.locks));
    let shown = LedgerEvent::ClaimShown {
        channel: pair.id(),
        from: WALLET,
        id: 1,
        secret: secret(1, 1, 1),
        steps: 1,
    };
    pair.hub.follow(&shown);
    for (height, due) in [(START + 99, Some(Duty::Answer)), (START + 100, None)] {
        assert_eq!(duty_at(&mut pair, height), due, "the proof is due while a block can take it");
    }
    pair.hub.follow(&LedgerEvent::ProofRecorded { proof, locks: vec![] });
    assert_eq!(duty_at(&mut pair, START), Some(Duty::Answer), "its locks are not open");
    pair.hub.follow(&LedgerEvent::ProofRecorded { proof, locks: submission.locks });
    assert_eq!(duty_at(&mut pair, START), None);
    let (channel, wallet, hub) = (pair.id(), Amount(1), Amount(2));
    let paid = LedgerEvent::Settled { channel, wallet, hub, cooperative: false };
    pair.hub.follow(&paid);
    assert_eq!(duty_at(&mut pair, START), None);
}

/// Locks need not be opened of which nothing can be claimed.
#[test]
fn a_proof_that_stands_is_not_brought_again_for_locks_without_a_secret() {
    let mut pair = with_lock();
    let proofs_until = Height(START + 100);
    let close = LedgerEvent::CloseStarted { channel: pair.id(), by: WALLET, proofs_until };
    pair.hub.follow(&close);
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::Answer));
    let proof = pair.hub.channel.submission(false, Height(START)).proof.unwrap().value;
    pair.hub.follow(&LedgerEvent::ProofRecorded { proof, locks: vec![] });
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), None);
}

/// ⚔ Whoever holds a ready-signed answer may bring it while the channel is still open: the secret
/// is public then, but the ledger has kept no claim, so it is brought again when a close comes.
#[test]
fn a_claim_that_counted_for_nothing_is_brought_again() {
    let mut pair = with_lock();
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    let (channel, from, secret) = (pair.id(), WALLET, secret(1, 1, 1));
    pair.hub.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 0 });
    let proofs_until = Height(START + 100);
    pair.hub.follow(&LedgerEvent::CloseStarted { channel, by: WALLET, proofs_until });
    assert_eq!(pair.hub.channel.submission(false, Height(START)).claims, [(1, secret)]);
    pair.hub.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 1 });
    assert_eq!(pair.hub.channel.submission(false, Height(START)).claims, []);
}

#[test]
fn a_claim_is_due_past_the_window_until_its_lock_expires() {
    for (height, due) in [(EXPIRY - 2, Some(Duty::Answer)), (EXPIRY - 1, None)] {
        let mut pair = with_lock();
        let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
        pair.hub.commit(step);
        let proofs_until = Height(START + 100);
        let close = LedgerEvent::CloseStarted { channel: pair.id(), by: HUB, proofs_until };
        pair.hub.follow(&close);
        pair.at(height);
        assert_eq!(pair.hub.channel.duty(&pair.hub.now()), due, "{height}");
    }
}

#[test]
fn a_close_that_was_sent_off_is_due_until_it_is_seen() {
    let mut pair = with_lock();
    pair.hub.commit(Step::Closing);
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::CloseAndClaim));
    pair.close_seen(HUB);
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::Answer));
}

/// `valid_until` is inclusive: what was agreed counts until a fresh view is past it.
#[test]
fn lapse_table() {
    let until = START + 50;
    let table = [(until - 1, true, false), (until, true, false), (until + 1, true, true)];
    for (height, fresh, lapses) in table.into_iter().chain([(until + 1, false, false)]) {
        let mut pair = Pair::new();
        let wanted = Withdrawal {
            channel: pair.id(),
            role: WALLET,
            total_withdrawn: Amount(5),
            valid_until: Height(until),
        };
        let step = pair.hub.channel.agree_withdrawal(&wanted, &pair.hub.now()).unwrap();
        pair.hub.commit(step);
        pair.at(height);
        pair.hub.view.fresh = fresh;
        assert_eq!(pair.hub.channel.lapse(&pair.hub.now()).is_some(), lapses, "{height} {fresh}");
    }
}

#[test]
fn draft_and_engine_make_the_same_update() {
    let mut pair = with_lock();
    let wanted = NewOp::Pay { amount: Amount(3), memo: crate::update::Memo::default() };
    pair.wallet.propose(&[wanted]);
    let own = pair.wallet.update();
    let drafted = draft(&mut pair, WALLET, own.ops.clone());
    assert_eq!((own.base, own.proof.value), (drafted.base, drafted.proof));
    assert!(matches!(pay(3), NewOp::Pay { .. }) && pair.deliver(WALLET).is_ok());
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), None);
    let _ = HUB;
}
