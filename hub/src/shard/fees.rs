//! What is left of a payer's lock for the payee.

use client_sdk::api::FeePolicy;
use settlement::types::Amount;

/// The most that can be passed on out of `unit_in` so that it and the fee for it fit; `None` when
/// that is nothing.
///
/// A payer locks `amount + fee(amount)` and the payee's invoice takes `amount` alone, so this gives
/// back exactly `amount` for that sum. It can, because `a + fee(a)` rises with every `a`: with
/// `y = unit_in − base`, `a + ⌈a × ppm / 10^6⌉ ≤ y` holds just when `a × (10^6 + ppm) ≤ y × 10^6`
/// (`y` is whole), so the largest such `a` is a division. A sum that no amount makes leaves the hub
/// the odd units.
pub fn unit_to_forward(fees: &FeePolicy, unit_in: Amount) -> Option<Amount> {
    let left = unit_in.checked_sub(fees.base)?.wide();
    let divisor = i128::from(fees.ppm).saturating_add(1_000_000);
    let unit = left.saturating_mul(1_000_000).checked_div(divisor)?;
    Amount::from_wide(unit).filter(|unit| *unit > Amount::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fees(base: u64, ppm: u32) -> FeePolicy {
        FeePolicy { id: 1, base: Amount(base), ppm }
    }

    fn sum(fees: &FeePolicy, amount: u64) -> Option<Amount> {
        fees.fee(Amount(amount))?.checked_add(Amount(amount))
    }

    #[test]
    fn nothing_is_forwarded_when_the_fee_takes_it_all() {
        assert_eq!(unit_to_forward(&fees(5, 0), Amount(5)), None);
        assert_eq!(unit_to_forward(&fees(5, 0), Amount(4)), None);
        assert_eq!(unit_to_forward(&fees(5, 1_000), Amount(6)), None);
        assert_eq!(unit_to_forward(&fees(5, 1_000), Amount(7)), Some(Amount(1)));
        assert_eq!(unit_to_forward(&fees(0, 0), Amount(u64::MAX)), Some(Amount(u64::MAX)));
    }

    proptest! {
        #[test]
        fn an_amount_with_its_fee_comes_out_as_that_amount(
            base in 0u64..10_000, ppm in 0u32..=1_000_000,
            amount in prop_oneof![1u64..5_000, 1u64..=u64::MAX / 4],
        ) {
            let fees = fees(base, ppm);
            let unit_in = sum(&fees, amount).unwrap();
            prop_assert_eq!(unit_to_forward(&fees, unit_in), Some(Amount(amount)));
        }

        #[test]
        fn it_is_the_largest_amount_that_fits(
            base in 0u64..50, ppm in 0u32..=1_000_000, unit_in in 0u64..100_000,
        ) {
            let fees = fees(base, ppm);
            let unit = unit_to_forward(&fees, Amount(unit_in)).unwrap_or_default();
            prop_assert!(unit == Amount::ZERO || sum(&fees, unit.0).unwrap() <= Amount(unit_in));
            prop_assert!(sum(&fees, unit.0 + 1).unwrap() > Amount(unit_in));
        }
    }
}
