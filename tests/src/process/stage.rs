//! Where a hostile wallet performs.

use settlement::types::{Amount, Secret};

use super::Programs;
use super::hub::Hub;
use super::raw::RawWallet;

/// A hub, a wallet that misbehaves and one that gets paid.
pub struct Stage {
    _dir: tempfile::TempDir,
    /// The hub.
    pub hub: Hub,
    /// The wallet that misbehaves.
    pub mallory: RawWallet,
    /// The wallet that does not.
    pub payee: RawWallet,
}

impl Stage {
    /// Starts the hub, and opens a channel with so much in it for each wallet.
    pub fn set(programs: &Programs, deposit: Amount) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let hub = Hub::start(programs, dir.path());
        let mallory = RawWallet::open(&hub.http, 1, deposit);
        let payee = RawWallet::open(&hub.http, 2, deposit);
        Stage { _dir: dir, hub, mallory, payee }
    }

    /// The hub lives, and so do the channel, the connection and the way to the payee: a payment
    /// goes through. `number` makes its secret.
    ///
    /// # Panics
    /// When any of that is not so.
    pub fn all_is_as_before(&mut self, number: u8) {
        let (mine, theirs) = (self.mallory.balance(), self.payee.balance());
        let fee = self.mallory.info().fees.fee(Amount(10)).unwrap();
        self.mallory.pay(&mut self.payee, Amount(10), Secret([number; 32]));
        assert_eq!(self.mallory.balance().0, mine.0 - 10 - fee.0);
        assert_eq!(self.payee.balance().0, theirs.0 + 10);
        let log = self.hub.process.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}
