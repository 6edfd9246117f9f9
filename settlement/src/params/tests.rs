//! The inequalities, each broken by one.

use super::*;
use crate::types::Amount;

fn genesis() -> Genesis {
    Genesis::standard("test", PublicKey([2; 33]), 0)
}

#[test]
fn the_defaults_hold() {
    let real = genesis();
    let development = Genesis::development("test", PublicKey([2; 33]), 0);
    assert_eq!((real.check(), development.check()), (Ok(()), Ok(())));
    assert_eq!(Policy::standard().check(&real), Ok(()));
    assert_eq!(Policy::development().check(&development), Ok(()));
    assert_eq!(Policy::standard().lag(&real), 20);
    assert_eq!(Policy::development().lag(&development), 20);
    assert!(Policy::development().check(&real).is_err());
}

#[test]
fn each_inequality_is_named_when_it_breaks() {
    let good = Policy::standard();
    let cases = [
        (Policy { margin: 4, ..good }, "margin >= 5"),
        (Policy { stale_view_ms: 1_999, ..good }, "stale_view_ms"),
        (Policy { claim_margin: 54, ..good }, "claim_margin >="),
        (Policy { expiry_delta: 169, ..good }, "expiry_delta >="),
        (Policy { settle_grace: 21, ..good }, "settle_grace >="),
        (Policy { challenge_blocks: 139, ..good }, "challenge_blocks >="),
        (Policy { challenge_blocks: 2_000_000, ..good }, "challenge_blocks within"),
        (Policy { lock_life: 330, ..good }, "lock_life >"),
        (Policy { lock_life: 3_601, ..good }, "lock_life <="),
        (Policy { stream_life_max: 3_599, ..good }, "lock_life_max <="),
        (Policy { min_lock: Amount(0), ..good }, "min_lock"),
    ];
    for (policy, rule) in cases {
        let broken = policy.check(&genesis()).expect_err(rule);
        assert!(broken.0.starts_with(rule), "{broken} instead of {rule}");
    }
}

/// A cent each, and one for each 1,000 hashes: 66 for the 65,536 of the longest lock.
#[test]
fn a_lock_is_worth_its_claim() {
    let one = Amount(1);
    let fees = Fees { asset: AssetId(0), flat: one, per_kilobyte: one, per_kilohash: one };
    assert_eq!((fees.of(1_024, 1_000), fees.of(1_025, 1_001)), (Amount(3), Amount(5)));
    assert_eq!(fees.of_claim(), Amount(1 + 1 + 66));
    let costly = Genesis { fees, ..genesis() };
    for (min_lock, holds) in [(67, false), (68, true), (69, true)] {
        let policy = Policy { min_lock: Amount(min_lock), ..Policy::standard() };
        assert_eq!(policy.check(&costly).is_ok(), holds, "{min_lock}");
    }
    assert_eq!((costly.check(), fees.is_free()), (Ok(()), false));
}

#[test]
fn a_genesis_out_of_range_is_refused() {
    let asset = |code: &str, scale| Asset { code: code.into(), scale };
    let everything =
        Allocation { account: PublicKey([2; 33]), asset: AssetId(0), amount: Amount(u64::MAX) };
    let one_more = Allocation { amount: Amount(1), ..everything.clone() };
    let cases = [
        Genesis { assets: vec![], ..genesis() },
        Genesis { assets: vec![asset("EUR", 10)], ..genesis() },
        Genesis { assets: vec![asset("", 2)], ..genesis() },
        Genesis { allocations: vec![everything, one_more], ..genesis() },
        Genesis { challenge_blocks_min: 139, ..genesis() },
        Genesis { block_interval_ms: 100, ..genesis() },
        Genesis { least_interval_ms: 0, ..genesis() },
        Genesis { block_bytes: 1, ..genesis() },
        Genesis { block_hashes: (4 << 20) - 1, ..genesis() },
        Genesis { fees: Fees { asset: AssetId(1), ..Fees::default() }, ..genesis() },
        Genesis {
            fees: Fees { flat: Amount(1), ..Fees::default() },
            development: true,
            ..genesis()
        },
    ];
    for genesis in cases {
        assert!(genesis.check().is_err(), "{genesis:?} was taken");
    }
}

#[test]
fn a_view_is_fresh_when_its_block_is_near_on_either_side() {
    let policy = Policy::development();
    let (time, stale) = (1_000_000, policy.stale_view_ms);
    let fresh = |height, now_ms| View::at(Height(height), time, now_ms, &policy).fresh;
    assert!(fresh(1, time) && fresh(1, time + stale) && fresh(1, time - stale));
    assert!(!fresh(1, time + stale + 1) && !fresh(1, time - stale - 1));
    assert!(!fresh(0, time), "no block at all");
}
