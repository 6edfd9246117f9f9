//! Anchors: every so often the hub puts on the ledger what has moved in its channels, and signs what
//! it owes in all of them.
//!
//! ```text
//! every interval: ask each shard what moved → (durable) → one sum tree per asset, changed where it
//! moved → record what is going to be said → (durable) → sign and post, in chunks, a few per block
//! ```
//!
//! What is anchored can't be undone by a stale close, even while the wallet sleeps. The planner
//! remembers nothing of its own: what the ledger knows is learned from its events, by the shards, so
//! that a restart neither repeats nor forgets an anchor; a chunk that was refused or lost is in the
//! next round again.
//!
//! # Why no two trees are ever signed for one height and asset
//! - A process states only heights from the block of its own lease on, and each at most once.
//! - A process that has seen another's lease states nothing more ([`crate::lease`]); one that has not
//!   seen it yet follows only blocks before it, and can't name a later height.
//!
//! So the heights that two processes of one hub name, one after the other on one directory or at
//! the same time on copies of it, never meet. What is said is in the journal before it is signed, so
//! that a start on an older copy is noticed.
//!
//! # As of which height
//! All shards hand over what they have at one height; if a block came between them they are asked
//! again. What is owed is what both sides had accepted by then, on top of the escrow of that very
//! block, so the total is never above what the channels held.

mod planner;
mod rounds;
mod task;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client_sdk::api::LiabilityAnswer;
use serde::{Deserialize, Serialize};
use settlement::liabilities::{Liabilities, LiabilityTree};
use settlement::reject::Code;
use settlement::types::{AssetId, ChannelId, Height};

pub(crate) use planner::Tenure;
pub(crate) use task::{Anchorer, Requests};

/// `POST /admin/v1/anchor`: what a round of anchors came to.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AnchorReport {
    /// How many channels the ledger has newly anchored.
    pub channels: u64,
    /// How many were to be anchored.
    pub of: u64,
    /// The height as of which; none if nothing had moved.
    pub as_of: Option<Height>,
    /// The newest block with a part of it.
    pub block: Option<Height>,
    /// What the hub said that it owes.
    pub liabilities: Vec<Liabilities>,
    /// Why a part of it is missing, if it is.
    pub problem: Option<Code>,
}

/// What the hub owes in one asset.
struct Book {
    tree: LiabilityTree,
    /// Whether `said` is about the tree as it is.
    is_said: bool,
    said: Option<Liabilities>,
    /// The block that has it.
    block: Option<Height>,
}

/// What the hub owes, and what it has said of it. Shared with whoever asks for a leaf.
#[derive(Clone, Default)]
pub(crate) struct Books(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    books: Mutex<BTreeMap<AssetId, Book>>,
    /// Whether this process has been through a round: before, it does not know what an earlier one
    /// has said.
    begun: AtomicBool,
}

impl Books {
    fn open(&self) -> MutexGuard<'_, BTreeMap<AssetId, Book>> {
        self.0.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begun(&self) {
        self.0.begun.store(true, Ordering::Release);
    }

    /// A channel's leaf in what was said last.
    ///
    /// # Errors
    /// [`Code::NotFound`] when it was in no statement yet; [`Code::Overloaded`] while the next one, or
    /// the first one of this process, is being made.
    pub(crate) fn leaf(&self, asset: AssetId, id: &ChannelId) -> Result<LiabilityAnswer, Code> {
        let books = self.open();
        if !self.0.begun.load(Ordering::Acquire) && books.get(&asset).is_none_or(|it| !it.is_said) {
            return Err(Code::Overloaded);
        }
        let book = books.get(&asset).ok_or(Code::NotFound)?;
        let proof = book.tree.proof_of(id).ok_or(Code::NotFound)?;
        let liabilities = book.said.ok_or(Code::NotFound)?;
        if !book.is_said {
            return Err(Code::Overloaded);
        }
        Ok(LiabilityAnswer { liabilities, proof, block: book.block })
    }
}
