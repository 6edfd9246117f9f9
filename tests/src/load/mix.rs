//! What wallets do in a mixed load, and in what proportions.

use rand::{Rng, RngExt};
use settlement::reject::Code;

/// Payments of a batch.
const BATCH: usize = 16;
/// Of 100 payments so many are single ones, in batches, and meant to fail. The five that are left
/// of the hundred are opens and closes, which come at a rate of their own.
const SHARES: [(Deed, usize); 3] = [(Deed::Single, 70), (Deed::Batch, 20), (Deed::Failing, 5)];

/// What goes under one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// One payment.
    Single,
    /// Sixteen of them.
    Batch,
    /// One that can't succeed.
    Failing,
}

/// Why a payment is meant to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// Nobody has the payee's key.
    UnknownPayee,
    /// The hub has less in the payee's channel than is to be paid.
    NoFunds,
    /// The payee's invoice asks for another amount.
    Refused,
}

impl Deed {
    /// How many payments it is.
    pub fn payments(self) -> usize {
        if self == Deed::Batch { BATCH } else { 1 }
    }

    /// The next one, so that payments are dealt out in the shares above.
    pub fn draw(rng: &mut impl Rng) -> Deed {
        // A batch is drawn a sixteenth as often as its payments are wanted.
        let weight = |(deed, share): (Deed, usize)| share * BATCH / deed.payments();
        let mut drawn = rng.random_range(0..SHARES.map(weight).iter().sum());
        for (deed, share) in SHARES {
            match drawn.checked_sub(weight((deed, share))) {
                Some(left) => drawn = left,
                None => return deed,
            }
        }
        Deed::Single
    }

    /// Payments of a deed, on the average.
    pub fn payments_mean() -> f64 {
        let (mut deeds, mut payments) = (0.0, 0.0);
        for (deed, share) in SHARES {
            deeds += share as f64 / deed.payments() as f64;
            payments += share as f64;
        }
        payments / deeds
    }
}

impl Meant {
    const ALL: [Meant; 3] = [Meant::UnknownPayee, Meant::NoFunds, Meant::Refused];

    /// Any of them.
    pub fn draw(rng: &mut impl Rng) -> Meant {
        Meant::ALL[rng.random_range(0..Meant::ALL.len())]
    }

    /// Whether a payment that was meant to fail so did.
    pub fn is(self, code: Code) -> bool {
        match self {
            Meant::UnknownPayee => code == Code::UnknownPayee,
            // If the payer itself has not got it, it says so at once.
            Meant::NoFunds => matches!(code, Code::NoInboundLiquidity | Code::Overdraft),
            Meant::Refused => code == Code::RefusedByPayee,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn payments_come_in_the_shares_that_are_stated() {
        let mut rng = StdRng::seed_from_u64(4);
        let (mut of, mut deeds) = ([0usize; 3], 0usize);
        for _ in 0..200_000 {
            let deed = Deed::draw(&mut rng);
            of[deed as usize] += deed.payments();
            deeds += 1;
        }
        let all = of.iter().sum::<usize>() as f64;
        let shares = of.map(|payments| payments as f64 / all * 95.0);
        for (share, wanted) in shares.into_iter().zip([70.0, 20.0, 5.0]) {
            assert!((share - wanted).abs() < 1.0, "{shares:?}");
        }
        assert!((all / deeds as f64 - Deed::payments_mean()).abs() < 0.02);
    }

    #[test]
    fn a_payment_fails_as_it_was_meant_to_or_otherwise() {
        assert!(Meant::UnknownPayee.is(Code::UnknownPayee));
        assert!(!Meant::UnknownPayee.is(Code::PayeeOffline));
        assert!(Meant::NoFunds.is(Code::NoInboundLiquidity) && Meant::NoFunds.is(Code::Overdraft));
        assert!(Meant::Refused.is(Code::RefusedByPayee) && !Meant::Refused.is(Code::NoCapacity));
    }
}
