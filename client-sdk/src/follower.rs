//! Following a ledger: every block once, in order, none left out, each header checked.
//!
//! Nothing that a ledger says is believed because it says so. Its genesis has to hash to the
//! ledger's id, and each header must carry the signature of genesis' key, follow the one before it,
//! keep the least interval, and not lie in the future. An operator who wanted to burn a challenge
//! window with back-dated or future blocks is refused, and the view goes stale instead, in which
//! nothing is risked.
//!
//! What is absent: the events of a block are those that the ledger reports; replaying its
//! transactions is for auditors.

use std::sync::Arc;
use std::time::Duration;

use settlement::api::LedgerInfo;
use settlement::block::{BlockEvents, Header};
use settlement::crypto::{Signable, VerifyingKey};
use settlement::params::Genesis;
use settlement::types::{Hash, Height, LedgerId};

use crate::ledger_client::{LedgerClient, LedgerError};

/// Why a block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// Its header is signed by another key than the ledger's, or for another ledger.
    #[error("the header is not signed by the ledger's key")]
    Signature,
    /// It is not the next one.
    #[error("the block is not at the height that follows")]
    Height,
    /// It does not name the block before it as its parent.
    #[error("the block does not follow the one before it")]
    Parent,
    /// It comes less than the least interval after its parent.
    #[error("the block comes too soon after the one before it")]
    TooSoon,
    /// It was made later than now.
    #[error("the block lies in the future")]
    Future,
}

/// Why there is no next block.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FollowError {
    /// The ledger gave none.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger gave one that was refused.
    #[error("block {height} of the ledger was refused: {reason}")]
    Bad {
        /// The height that was expected.
        height: Height,
        /// Why.
        reason: BadBlock,
    },
}

/// A genesis that is not the one of the ledger that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGenesis {
    /// It does not hash to the ledger's id.
    #[error("the genesis does not hash to the ledger's id")]
    WrongId,
    /// Its numbers break a rule.
    #[error(transparent)]
    Parameters(#[from] settlement::params::BadParameters),
    /// Its key is no point of the curve.
    #[error("the genesis names no public key that blocks could be signed with")]
    Key,
}

/// Checks what a ledger says about itself against the id that is expected of it.
///
/// # Errors
/// [`BadGenesis`].
pub fn check_genesis(info: &LedgerInfo, expected: &LedgerId) -> Result<VerifyingKey, BadGenesis> {
    if info.genesis.ledger_id() != *expected || info.ledger != *expected {
        return Err(BadGenesis::WrongId);
    }
    info.genesis.check()?;
    VerifyingKey::parse(&info.genesis.ledger_key).map_err(|_| BadGenesis::Key)
}

/// Checks headers, one after the other.
#[derive(Clone, Debug)]
pub struct HeaderCheck {
    ledger: LedgerId,
    key: VerifyingKey,
    least_interval_ms: u64,
    future_ms: u64,
    next: Height,
    /// Digest and time of the block before, where it is known.
    parent: Option<(Hash, u64)>,
}

impl HeaderCheck {
    /// Expects the block at `next`, at least 1. `future_ms` is by how many milliseconds the clocks
    /// may differ.
    ///
    /// # Errors
    /// [`BadGenesis::Key`].
    pub fn new(genesis: &Genesis, next: Height, future_ms: u64) -> Result<HeaderCheck, BadGenesis> {
        let key = VerifyingKey::parse(&genesis.ledger_key).map_err(|_| BadGenesis::Key)?;
        let next = next.max(Height(1));
        let ledger = genesis.ledger_id();
        let parent = (next == Height(1)).then_some((Hash(ledger.0), 0));
        let least_interval_ms = genesis.least_interval_ms;
        Ok(HeaderCheck { ledger, key, least_interval_ms, future_ms, next, parent })
    }

    /// The height that is expected.
    pub fn next(&self) -> Height {
        self.next
    }

    /// Takes the next block.
    ///
    /// # Errors
    /// [`BadBlock`]; nothing has changed then.
    pub fn take(&mut self, block: &BlockEvents, now_ms: u64) -> Result<(), BadBlock> {
        let header: &Header = &block.header.header;
        if header.ledger != self.ledger || block.header.verify(&self.key).is_err() {
            return Err(BadBlock::Signature);
        }
        if header.height != self.next {
            return Err(BadBlock::Height);
        }
        if let Some((parent, time_ms)) = self.parent {
            if header.parent != parent {
                return Err(BadBlock::Parent);
            }
            if header.time_ms < time_ms.saturating_add(self.least_interval_ms) && time_ms > 0 {
                return Err(BadBlock::TooSoon);
            }
        }
        if header.time_ms > now_ms.saturating_add(self.future_ms) {
            return Err(BadBlock::Future);
        }
        self.parent = Some((header.digest(), header.time_ms));
        self.next = self.next.after(1);
        Ok(())
    }
}

/// Follows one ledger. One follower feeds all the wallets of a process.
pub struct Follower {
    ledger: Arc<dyn LedgerClient>,
    check: HeaderCheck,
}

impl Follower {
    /// Follows from the block that `check` expects.
    pub fn new(ledger: Arc<dyn LedgerClient>, check: HeaderCheck) -> Follower {
        Follower { ledger, check }
    }

    /// The next blocks; none when there is none within `wait`.
    ///
    /// # Errors
    /// [`FollowError`]. Blocks before a refused one have been followed: ask again for the rest.
    pub async fn blocks(
        &mut self,
        wait: Duration,
        now_ms: impl Fn() -> u64,
    ) -> Result<Vec<Arc<BlockEvents>>, FollowError> {
        let answer = self.ledger.events_from(self.check.next(), wait).await?;
        let mut taken = Vec::with_capacity(answer.len());
        for block in answer {
            match self.check.take(&block, now_ms()) {
                Ok(()) => taken.push(Arc::new(block)),
                // What came before it is good, and asking again shows whether this was a mistake.
                Err(_) if !taken.is_empty() => break,
                Err(reason) => {
                    return Err(FollowError::Bad { height: self.check.next(), reason });
                }
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
