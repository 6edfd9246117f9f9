//! What a response costs.

use settlement::channel::HASHES_PER_MESSAGE;
use settlement::types::{Amount, AssetId};

/// The most steps that one unit of service costs: a payee walks no further for one step.
pub const STEPS_MAX: u32 = HASHES_PER_MESSAGE;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Each response that is no error.
    Request,
    /// Each server-sent event. Comments, such as those that keep a connection alive, are free.
    Event,
    /// Every so many bytes of a response's body that are begun, at least 1.
    Bytes(u32),
}

/// A price: so many steps of a stream of this unit, for each request, event or so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    asset: AssetId,
    unit: Amount,
    steps: u32,
    per: Per,
}

/// A price that can't be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrice {
    /// A step, or what is counted, is worth nothing, or nothing is counted.
    #[error("a price has a unit, a number of steps and a number of bytes of at least 1")]
    Zero,
    /// More than [`STEPS_MAX`] steps.
    #[error("a price is at most {STEPS_MAX} steps: take a larger unit")]
    Steps,
    /// The ledger has no such asset.
    #[error("the ledger has no such asset")]
    Asset,
    /// More than 2^64 - 1.
    #[error("unit and steps make more than 2^64 - 1")]
    Overflow,
}

impl Price {
    /// `steps` steps of `unit` for each of what is counted.
    ///
    /// # Errors
    /// [`BadPrice`].
    pub fn new(asset: AssetId, unit: Amount, steps: u32, per: Per) -> Result<Price, BadPrice> {
        if unit == Amount::ZERO || steps == 0 || per == Per::Bytes(0) {
            return Err(BadPrice::Zero);
        }
        if steps > STEPS_MAX {
            return Err(BadPrice::Steps);
        }
        unit.checked_mul(steps).ok_or(BadPrice::Overflow)?;
        Ok(Price { asset, unit, steps, per })
    }

    /// Of which asset.
    pub fn asset(&self) -> AssetId {
        self.asset
    }

    /// What a step of a stream that pays it is worth.
    pub fn unit(&self) -> Amount {
        self.unit
    }

    /// How many steps it is.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// What is counted.
    pub fn per(&self) -> Per {
        self.per
    }

    /// What it comes to, in base units.
    pub fn amount(&self) -> Amount {
        // Checked when it was made.
        Amount(self.unit.0.saturating_mul(self.steps.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_something_and_fits() {
        let price = |unit, steps, per| Price::new(AssetId(0), Amount(unit), steps, per);
        let cases = [
            (price(3, 4, Per::Request).map(|price| price.amount()), Ok(Amount(12))),
            (price(0, 1, Per::Event).map(|price| price.amount()), Err(BadPrice::Zero)),
            (price(1, 0, Per::Event).map(|price| price.amount()), Err(BadPrice::Zero)),
            (price(1, 1, Per::Bytes(0)).map(|price| price.amount()), Err(BadPrice::Zero)),
            (price(1, STEPS_MAX + 1, Per::Event).map(|it| it.amount()), Err(BadPrice::Steps)),
            (price(u64::MAX, 2, Per::Event).map(|it| it.amount()), Err(BadPrice::Overflow)),
            (price(u64::MAX, 1, Per::Event).map(|it| it.amount()), Ok(Amount(u64::MAX))),
        ];
        for (made, expected) in cases {
            assert_eq!(made, expected);
        }
    }
}
