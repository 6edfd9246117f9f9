//! The settlement ledger: a deterministic state machine that holds accounts and channel escrow,
//! and decides what each side of a closed channel gets.
//!
//! # Layers
//!
//! [`Ledger`] is pure: no clock, randomness or file, and no thread but to check the signatures of
//! a block and to measure its hash chains (`measured`) on all cores, which changes no result.
//! [`blocks`] makes and checks blocks, `apply` and
//! `dispute` hold what each transaction does, [`boundaries`] every "in time or too late",
//! [`payout`] the formula, `rows` the canonical form of the state. Around it stand the
//! [`mempool`], the [`producer`] that makes a block, writes it and only then shows it, the
//! [`store`] with journal and index, and the [`audit`] that does everything again. With the feature
//! `http` come [`service`] (a thread and its handle), [`http`] (the routes) and [`cli`] (the
//! program).
//!
//! # Rules
//!
//! A channel is open, then perhaps closing, then gone. While it is open, money comes in
//! (`Deposit`) and goes out (`Withdraw`, by both sides). `CooperativeClose`, by both sides, pays it
//! out at any time. `Submit` without `close` records the other side's proof. With `close` it starts
//! the challenge window; within it each side brings the other side's newest proof. Among the proofs of a direction that of the highest `seq`
//! stands. Claims show secrets of its locks, each before that lock's expiry. When the window is
//! over and each lock has expired or is claimed in full, the ledger pays out by itself, after the
//! transactions of a block.
//!
//! # Why nobody is robbed
//!
//! - A side can only bring what the other side signed, and only the other side's own direction. So
//!   whatever Y submits was conceded by X, and X's newest proof concedes most.
//! - What stands in a direction never falls: `seq` only rises, honest signers never lower
//!   `transferred`, and a claim is kept as its *secret*, which counts for the lock with that id in
//!   whichever proof stands. So bringing a newer proof never loses what an older claim won; and a
//!   lock that was settled into `transferred` meanwhile counts there, not twice.
//! - A proof that its receiver has acknowledged past is void: an old one with locks long given up
//!   gains nothing. What the acknowledger said it had got by then stays a floor for good, so voiding
//!   can't lower what was paid.
//! - No height answers yes both to "may this still come" and to "is it too late for this": see the
//!   table in [`boundaries`].
//! - Each part of a submission stands alone, so nobody spoils another's by being faster.
//! - Where fees are taken, whoever makes the ledger work pays first: see `fees`.
//! - What a hub anchors is as good as submitted; entries stand alone, so no wallet spoils another's
//!   anchor: see `anchor`.
//! - Every header covers all channels by its state root, so a wallet checks offline how it stands,
//!   with one signed header and one path: [`crate::state_proof`].
//! - Money is never made or lost: every block ends with the check that accounts and escrow are
//!   what was issued, and a payout is clamped to what the channel holds, in `i128`.
//!
//! # Whoever runs it
//!
//! can refuse or delay a transaction, but can forge nothing: transactions carry their signers'
//! signatures, every header the digest of all that was written, and anybody can replay
//! ([`Ledger::verify_block`]). An invalid transaction in a block is refused in it and stops
//! nothing.
//!
//! # What is absent
//!
//! A price that follows demand: fees are fixed at genesis.

mod anchor;
mod apply;
pub mod audit;
pub mod blocks;
pub mod boundaries;
pub mod channel;
#[cfg(feature = "http")]
pub mod cli;
mod dispute;
mod fees;
#[cfg(test)]
mod fixture;
#[cfg(feature = "http")]
pub mod home;
#[cfg(feature = "http")]
pub mod http;
mod known_keys;
mod measured;
pub mod mempool;
mod parallel;
pub mod payout;
pub mod producer;
mod room;
mod rows;
#[cfg(feature = "http")]
pub mod serve;
#[cfg(feature = "http")]
pub mod service;
mod state;
pub mod store;
mod tree;
mod verified;

use std::collections::BTreeMap;
use std::num::NonZero;

pub use apply::SETTLEMENTS_MAX;
pub use blocks::{Applied, BlockError};
pub use channel::{ChannelState, Claim, ClosedChannel, Closing, Direction};
pub use rows::Row;
pub use state::AccountState;
pub use verified::{TX_BYTES_MAX, VerifiedTx};

use crate::block::{Header, SignedHeader};
use crate::crypto::{Signable, VerifyingKey};
use crate::params::{BadParameters, Genesis};
use crate::state_proof::StateProof;
use crate::types::{AssetId, ChannelId, Hash, Height, LedgerId, PublicKey};
use parallel::Workers;
use state::State;

/// The settlement ledger at some height. See the module.
#[derive(Clone, Debug)]
pub struct Ledger {
    genesis: Genesis,
    id: LedgerId,
    key: VerifyingKey,
    state: State,
    tip: Tip,
    workers: Workers,
}

/// Where a ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Of the newest block; 0 before the first.
    pub height: Height,
    /// Digest of its header; the ledger's id before the first.
    pub digest: Hash,
    /// Its time, in milliseconds since 1970; 0 before the first.
    pub time_ms: u64,
    /// The running digest of all writes.
    pub writes: Hash,
}

impl Tip {
    fn of(header: &Header) -> Tip {
        Tip {
            height: header.height,
            digest: header.digest(),
            time_ms: header.time_ms,
            writes: header.writes,
        }
    }
}

/// Why there is no ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The genesis breaks a rule.
    #[error("the genesis cannot be used: {0}")]
    Parameters(#[from] BadParameters),
    /// The ledger's key is no point of the curve.
    #[error("the genesis cannot be used: its ledger_key is no public key")]
    Key,
    /// The stored state does not fit.
    #[error("the stored state cannot be used: {0}")]
    State(String),
}

impl Ledger {
    /// The ledger before its first block.
    ///
    /// # Errors
    /// [`LedgerError`] when the genesis breaks a rule.
    pub fn genesis(genesis: Genesis) -> Result<Ledger, LedgerError> {
        genesis.check()?;
        let key = VerifyingKey::parse(&genesis.ledger_key).map_err(|_| LedgerError::Key)?;
        let id = genesis.ledger_id();
        let mut state = State::genesis(&genesis);
        let writes = rows::chain_writes(&Hash(id.0), &state.take_changes());
        let tip = Tip { height: Height(0), digest: Hash(id.0), time_ms: 0, writes };
        Ok(Ledger { genesis, id, key, state, tip, workers: Workers::default() })
    }

    /// The ledger after the block of this header, from its stored rows in ascending order of keys.
    ///
    /// # Errors
    /// [`LedgerError`] when the header is another ledger's or the rows are not whole. That they
    /// are the right ones is for whoever stored them.
    pub(crate) fn restore<'a>(
        genesis: Genesis,
        header: &Header,
        rows: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Ledger, LedgerError> {
        let mut ledger = Ledger::genesis(genesis)?;
        if header.ledger != ledger.id {
            let other = "it belongs to a ledger of another genesis";
            return Err(LedgerError::State(other.to_owned()));
        }
        let mut state = State::default();
        for (key, value) in rows {
            let loaded = state.load(key, value);
            loaded.map_err(|why| LedgerError::State(format!("row {}: {why}", hex::encode(key))))?;
        }
        state.finish_loading().map_err(LedgerError::State)?;
        if state.tree.root() != header.state_root {
            let other = "its channels are not those under the newest header";
            return Err(LedgerError::State(other.to_owned()));
        }
        ledger.state = state;
        ledger.tip = Tip::of(header);
        Ok(ledger)
    }

    /// Every row of the state, for an index that has none.
    pub(crate) fn all_rows(&self) -> Vec<Row> {
        self.state.all_rows()
    }

    /// Uses at most so many threads for signatures and hash chains, instead of one per core. What
    /// comes out is the same.
    pub fn limit_workers(&mut self, most: NonZero<usize>) {
        self.workers = Workers(most);
    }

    /// What it started from.
    pub fn parameters(&self) -> &Genesis {
        &self.genesis
    }

    /// Its id: the digest of the genesis.
    pub fn id(&self) -> LedgerId {
        self.id
    }

    /// The key that signs its blocks.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Where it stands.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// An account; one that was never used has nonce 0 and holds nothing.
    pub fn account(&self, account: &PublicKey) -> AccountState {
        self.state.account(account)
    }

    /// A channel that is open or closing. One that was paid out is gone.
    pub fn channel(&self, id: &ChannelId) -> Option<&ChannelState> {
        self.state.channel(id)
    }

    /// A channel's state under `header`, which must be the newest, for somebody who trusts nobody.
    pub(crate) fn state_proof(&self, id: &ChannelId, header: &SignedHeader) -> Option<StateProof> {
        let channel = self.state.channel(id)?;
        Some(StateProof {
            header: *header,
            leaf: channel.leaf(),
            count: self.state.opened,
            siblings: self.state.tree.siblings(channel.index),
        })
    }

    /// How many channels are open or closing.
    pub fn channel_count(&self) -> usize {
        self.state.channels.len()
    }

    /// The number that the next mint must carry.
    pub fn next_mint(&self) -> u64 {
        self.state.mints
    }

    /// Accounts and escrow together, per asset, as kept along.
    pub fn held(&self) -> &BTreeMap<AssetId, i128> {
        &self.state.held
    }

    /// Whether accounts and escrow add up to what was issued, by visiting all of them.
    pub fn is_conserved(&self) -> bool {
        self.state.is_conserved_throughout()
    }
}

#[cfg(test)]
mod tests;
