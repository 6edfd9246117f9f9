//! Locks of many steps.

use super::drafts::{add_op, draft, lock, try_ops};
use super::pair::{HUB, Pair, START, WALLET, chain, pay, secret, stream};
use crate::block::LedgerEvent;
use crate::channel::{Answer, Duty, HASHES_PER_MESSAGE, Step};
use crate::lock::{Lock, STEPS_MAX};
use crate::reject::Code;
use crate::types::{Amount, Anchor, Height, Role, Secret};
use crate::update::Op;

const LONG: u32 = STEPS_MAX;

/// The wallet streams up to `steps` units to the hub, seed 1, id 1.
fn streaming(steps: u32) -> Pair {
    let mut pair = Pair::new();
    pair.send(WALLET, &[stream(1, 1, steps, START + 5_000)]);
    pair
}

fn known(pair: &mut Pair, role: Role) -> Option<u32> {
    match pair.of(role).channel.incoming().locks.get(&1).unwrap().answer {
        Some(Answer::Known { steps, .. }) => Some(steps),
        _ => None,
    }
}

/// ⚔ There is no way to settle a part and lose the rest.
#[test]
fn a_part_that_is_settled_leaves_the_rest_under_the_same_id() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    pair.quiet();
    let rest = *pair.hub.channel.incoming().tally.lock(1).unwrap();
    assert_eq!((rest.id, rest.steps, rest.anchor), (1, 5, Anchor(chain(1, 8, 3))));
    assert_eq!(pair.hub.channel.received(), Amount(3));
    pair.reveal(HUB, 1, &secret(1, 8, 8));
    pair.quiet();
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(8), Amount(0)));
}

/// What was settled in an update that is refused is settled again, with what was learned since.
#[test]
fn a_refused_settlement_is_made_again() {
    for deeper in [false, true] {
        let mut pair = streaming(8);
        pair.reveal(HUB, 1, &secret(1, 8, 3));
        pair.wallet.propose(&[]);
        if deeper {
            pair.reveal(HUB, 1, &secret(1, 8, 5));
        }
        let seq = pair.wallet.channel.outgoing().last_seq;
        pair.wallet.commit(Step::Rejected { seq, code: Code::StaleView });
        pair.quiet();
        let paid = if deeper { 5 } else { 3 };
        assert_eq!(pair.hub.channel.received(), Amount(paid));
        pair.reveal(HUB, 1, &secret(1, 8, 6));
        pair.quiet();
        assert_eq!(pair.hub.channel.received(), Amount(6));
        assert_eq!(pair.wallet.channel.suspended(), None);
    }
}

/// A secret that is revealed while an older one is being settled is not forgotten by either side.
#[test]
fn what_was_revealed_beyond_a_settlement_stays_known() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    pair.wallet.propose(&[]);
    pair.reveal(HUB, 1, &secret(1, 8, 5));
    pair.deliver(WALLET).unwrap();
    assert_eq!(pair.hub.channel.received(), Amount(3));
    assert_eq!(known(&mut pair, HUB), Some(2), "two more are out");
    // ⚔ It is never failed, and it is claimed in time.
    assert_eq!(pair.hub.channel.fail(1, Code::RefusedByPayee), Err(Code::NothingToDo));
    pair.hub.view.height = Height(START + 5_000 - pair.hub.policy.claim_margin);
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::CloseAndClaim));
    pair.hub.view.height = Height(START);
    pair.quiet();
    assert_eq!(pair.hub.channel.received(), Amount(5));
    assert_eq!(known(&mut pair, HUB), None);
    assert!(pair.hub.channel.fail(1, Code::RefusedByPayee).is_ok(), "the rest is shown to nobody");
}

/// ⚔ One message costs at most 4,096 hashes beyond what is known; who is further catches up.
#[test]
fn hashing_is_capped_and_who_is_further_ahead_catches_up_in_strides() {
    let mut pair = streaming(LONG);
    let cap = HASHES_PER_MESSAGE;
    let too_far =
        pair.wallet.channel.check_reveal(1, &secret(1, LONG, cap + 1), &pair.wallet.now());
    assert_eq!(too_far, Err(Code::SecretMismatch));
    assert!(pair.hub.channel.reveal(1, &secret(1, LONG, cap + 1)).is_err());
    for stride in 1..=3 {
        pair.reveal(HUB, 1, &secret(1, LONG, stride * cap));
    }
    pair.quiet();
    assert_eq!(pair.hub.channel.received(), Amount(u64::from(3 * cap)));
}

/// ⚔ What is known is passed on again for nothing: 65,535 steps would be half a million hashes each time.
#[test]
fn no_way_is_made_to_what_is_known() {
    let mut pair = streaming(LONG);
    let deep = secret(1, LONG, 2 * HASHES_PER_MESSAGE + 7);
    let way = pair.hub.channel.strides_to(1, &deep);
    assert_eq!(way.len(), 3);
    for secret in way {
        pair.reveal(HUB, 1, &secret);
    }
    assert_eq!(pair.hub.channel.strides_to(1, &deep), []);
    let deeper = secret(1, LONG, 2 * HASHES_PER_MESSAGE + 8);
    assert_eq!(pair.hub.channel.strides_to(1, &deeper).last(), Some(&deeper));
}

/// What was measured in another lock on the chain counts here for the steps before it, if they are more.
#[test]
fn a_secret_that_was_measured_elsewhere_counts_without_a_hash() {
    let mut pair = streaming(8);
    for (left, beyond, expected) in
        [(8, 0, None), (5, 3, Some(3)), (5, 0, None), (6, 0, None), (9, 0, None), (1, 4, Some(7))]
    {
        assert_eq!(pair.hub.channel.steps_beyond_known(1, left), beyond, "{left} left");
        let secret = Secret([9; 32]);
        let step = pair.hub.channel.reveal_measured(1, &secret, left).unwrap();
        let answer = expected.map(|steps| Answer::Known { secret, steps });
        assert_eq!(step, answer.map(|answer| Step::Answered { id: 1, answer }), "{left} left");
        if let Some(step) = step {
            pair.hub.commit(step);
        }
    }
    assert_eq!(pair.hub.channel.reveal_measured(2, &Secret([9; 32]), 0), Err(Code::UnknownLock));
    assert_eq!(pair.hub.channel.steps_beyond_known(2, 0), 0);
}

/// ⚔ The cap holds over all operations of one update together.
#[test]
fn the_hashes_of_one_update_are_counted_together() {
    let half = HASHES_PER_MESSAGE / 2;
    let settles = |second: u32| {
        let mut pair = Pair::new();
        let wanted = [1, 2].map(|seed| stream(seed, 1, 8_192, START + 5_000));
        pair.send(WALLET, &wanted);
        let ops = [(1, half), (2, second)].map(|(seed, steps)| Op::Settle {
            id: seed.into(),
            secret: secret(seed, 8_192, steps),
        });
        try_ops(&mut pair, WALLET, ops.to_vec())
    };
    assert_eq!(settles(half), Ok(()));
    assert_eq!(settles(half + 1), Err(Code::SecretMismatch));
}

/// What the receiver has revealed itself costs nothing of the cap, even where the sender settles an
/// earlier secret than the newest.
#[test]
fn settling_what_the_receiver_knows_is_not_counted() {
    let mut pair = Pair::new();
    let wanted = [1, 2, 3].map(|seed| stream(seed, 1, LONG, START + 5_000));
    pair.send(WALLET, &wanted);
    for seed in [1, 2, 3] {
        pair.reveal(HUB, seed.into(), &secret(seed, LONG, 4_000));
    }
    pair.wallet.propose(&[]);
    for seed in [1, 2, 3] {
        pair.reveal(HUB, seed.into(), &secret(seed, LONG, 4_001));
    }
    assert_eq!(pair.deliver(WALLET), Ok(()));
    pair.quiet();
    assert_eq!(pair.hub.channel.received(), Amount(12_003));
}

/// Two settlements of one lock in one update are measured each from where the last one left it.
#[test]
fn two_settlements_of_one_lock_in_one_update_are_measured_apart() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 5));
    let settle = |steps| Op::Settle { id: 1, secret: secret(1, 8, steps) };
    assert_eq!(try_ops(&mut pair, WALLET, vec![settle(3), settle(5)]), Ok(()));
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(5), Amount(3)));
    assert_eq!(known(&mut pair, HUB), None);
}

/// What is settled can't be settled again, and nobody can claim more steps than there are.
#[test]
fn a_stream_is_never_paid_beyond_its_steps_or_twice() {
    let mut pair = streaming(8);
    let settle = |secret| vec![Op::Settle { id: 1, secret }];
    assert_eq!(try_ops(&mut pair, WALLET, settle(secret(1, 8, 3))), Ok(()));
    for again in [secret(1, 8, 3), secret(1, 8, 2), Secret(chain(1, 8, 0))] {
        assert_eq!(try_ops(&mut pair, WALLET, settle(again)), Err(Code::SecretMismatch));
    }
    // The chain goes on beyond what the lock has steps for.
    let mut pair = Pair::new();
    let short = Lock { steps: 2, anchor: Anchor(chain(5, 8, 0)), ..lock(1) };
    assert_eq!(try_ops(&mut pair, WALLET, vec![add_op(short)]), Ok(()));
    assert_eq!(try_ops(&mut pair, WALLET, settle(secret(5, 8, 3))), Err(Code::SecretMismatch));
    assert_eq!(try_ops(&mut pair, WALLET, settle(secret(5, 8, 2))), Ok(()));
    assert_eq!(pair.hub.channel.received(), Amount(20));
}

/// A claim on the ledger was hashed and paid for there: however deep, its secret is learned.
#[test]
fn a_claim_on_the_ledger_is_learned_however_deep() {
    let mut pair = streaming(LONG);
    let secret = secret(1, LONG, 10_000);
    let (channel, from) = (pair.id(), WALLET);
    pair.wallet.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 10_000 });
    let answer = pair.wallet.channel.outgoing().standing.get(&1).unwrap().answer;
    assert_eq!(answer, Some(Answer::Known { secret, steps: 10_000 }));
    pair.at(START + 10_000);
    assert_eq!(pair.wallet.expire(), 0, "money that was claimed is not back");
}

/// ⚔ What was claimed of a stream on the ledger is no reason to leave what is learned later.
#[test]
fn a_deeper_secret_is_claimed_after_a_shallower_one() {
    let mut pair = streaming(8);
    pair.close_seen(WALLET);
    let submission = pair.hub.channel.submission(false, Height(START));
    let proof = submission.proof.unwrap().value;
    pair.hub.follow(&LedgerEvent::ProofRecorded { proof, locks: submission.locks });
    let (channel, from) = (pair.id(), WALLET);
    for steps in [3, 5, 8] {
        let secret = secret(1, 8, steps);
        let step = pair.hub.channel.reveal(1, &secret).unwrap().unwrap();
        pair.hub.commit(step);
        assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::Answer), "{steps} steps");
        let claims = pair.hub.channel.submission(false, Height(START)).claims;
        assert_eq!(claims, [(1, secret)], "{steps} steps");
        pair.hub.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps });
        assert_eq!(pair.hub.channel.duty(&pair.hub.now()), None, "{steps} steps are claimed");
    }
}

/// ⚔ What was revealed is folded before the rest is given up.
#[test]
fn the_rest_of_a_stream_is_given_up_after_what_was_revealed_is_folded() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    assert_eq!(pair.hub.channel.fail(1, Code::RefusedByPayee), Err(Code::NothingToDo));
    pair.quiet();
    pair.fail(HUB, 1);
    pair.quiet();
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(3), Amount(0)));
    assert_eq!(pair.wallet.gone(), [1]);
}

#[test]
fn the_rest_of_a_stream_expires() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    pair.at(START + 5_000 + 20);
    pair.quiet();
    assert_eq!(pair.wallet.expire(), 1);
    pair.quiet();
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(3), Amount(0)));
}

/// A secret that was settled already and comes around again is ignored.
#[test]
fn a_settled_secret_again_is_ignored() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    pair.quiet();
    assert_eq!(pair.wallet.hear_reveal(1, &secret(1, 8, 3)), Ok(false));
    assert_eq!(pair.hub.channel.reveal(1, &secret(1, 8, 3)), Ok(None));
}

#[test]
fn streams_and_payments_travel_in_one_update() {
    let mut pair = streaming(8);
    pair.reveal(HUB, 1, &secret(1, 8, 3));
    pair.send(WALLET, &[pay(5), stream(2, 2, 4, START + 300)]);
    assert_eq!((pair.hub.channel.received(), pair.hub.channel.locked()), (Amount(8), Amount(13)));
    assert_eq!(draft(&mut pair, WALLET, vec![]).base, 2);
}

/// ⚔ A lock of which a part is known does not expire, but what is shown at its expiry or later is
/// not paid for: a hub would pay on what it can't claim from the payer any more.
#[test]
fn a_claim_that_is_too_late_teaches_nothing_of_the_rest_of_a_stream() {
    for (block, steps, paid) in
        [(START + 4_999, 0, 8), (START + 5_000, 0, 3), (START + 5_001, 0, 3), (START + 5_001, 8, 8)]
    {
        let mut pair = streaming(8);
        pair.reveal(HUB, 1, &secret(1, 8, 3));
        pair.wallet.view.height = Height(block);
        let (channel, from, secret) = (pair.id(), WALLET, secret(1, 8, 8));
        pair.wallet.follow(&LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps });
        pair.quiet();
        assert_eq!(pair.hub.channel.received(), Amount(paid), "block {block}, {steps} counted");
    }
}
