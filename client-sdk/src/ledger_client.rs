//! How wallets and hubs see a ledger: in the same process or over HTTP, they can't tell.

use std::pin::Pin;
use std::time::Duration;

use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::{Block, BlockEvents};
use settlement::state_proof::StateProof;
use settlement::tx::Transaction;
use settlement::types::{AccountId, ChannelId, Height, TxId};

/// Why a ledger did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// It answered, and refused.
    #[error("the ledger refused: {} ({})", .0.detail, .0.code.number())]
    Refused(Box<Problem>),
    /// It did not answer, or not in a way that can be understood.
    #[error("the ledger can't be reached: {0}")]
    Unreachable(String),
}

/// What a call comes to, later.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// A settlement ledger. Nothing it says is believed unchecked: followers check the signature and
/// the parent of every header.
pub trait LedgerClient: Send + Sync + 'static {
    /// Genesis and the newest header.
    fn info(&self) -> Answer<'_, LedgerInfo>;

    /// Hands in a transaction. The answer says that it waits for a block; handing the same in again
    /// does no harm.
    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId>;

    /// The blocks from this height on, in order, none left out: at least one, unless none comes
    /// within `wait`; at most as many as the ledger cares to give at once.
    fn events_from(&self, height: Height, wait: Duration) -> Answer<'_, Vec<BlockEvents>>;

    /// An account's nonce and balances.
    fn account(&self, account: &AccountId) -> Answer<'_, AccountView>;

    /// A channel's state; refused with [`settlement::reject::Code::NoSuchChannel`].
    fn channel(&self, channel: &ChannelId) -> Answer<'_, ChannelView>;

    /// How the ledger holds a channel that is not paid out, under its newest header: whoever checks
    /// it ([`StateProof::verify`]) need not believe the ledger. Refused with
    /// [`settlement::reject::Code::NoSuchChannel`] when there is none, or it is paid out.
    fn state_proof(&self, channel: &ChannelId) -> Answer<'_, StateProof>;

    /// The block of this height with its transactions; refused with
    /// [`settlement::reject::Code::NotFound`] when there is none yet. A ledger that shows none is
    /// one that can't be reached for them.
    fn block(&self, height: Height) -> Answer<'_, Block> {
        let none = LedgerError::Unreachable(format!("it shows no whole block {height}"));
        Box::pin(async move { Err(none) })
    }
}
