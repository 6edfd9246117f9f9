//! The audit: everything that a ledger ever did, done again from its genesis and its journal.
//!
//! Every block is checked as if it came from a stranger ([`Ledger::verify_block`]: the chain of
//! headers and their signatures, the roots, each transaction's signatures, the running digest of
//! all writes), and the events on record must come out again. Beside it, [`books`] counts the
//! money a second time, from the rows and events alone and with nothing of the ledger's own sums.
//!
//! Beside the ledger it looks at hubs ([`statements`]): one that signed two different trees of what
//! it owes for one height, or that it owes more than its channels hold, has signed the evidence
//! against itself. What each hub owes stands in the report beside what its channels held then.
//!
//! It stops at the first block that is wrong: what follows such a block means nothing.
//!
//! What it can't see: blocks that are missing at the end, for which somebody must know a newer
//! header, and whether the genesis is the right one, for which somebody must know the ledger's id.

mod books;
mod statements;

use std::num::NonZero;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::store::replay_one;
use super::{Ledger, LedgerError, Tip};
use crate::journal::{JournalError, Lsn, Records, TornTail};
use crate::liabilities::Liabilities;
use crate::params::Genesis;
use crate::types::{AssetId, Hash, Height, LedgerId, PublicKey};
use books::Books;
use statements::Statements;

/// How far an audit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// Blocks found right.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Which ledger: the digest of the genesis.
    pub ledger: LedgerId,
    /// What was found right.
    pub right: Progress,
    /// Height of the newest block found right, and its running digest of all writes.
    pub height: Height,
    /// The running digest of all writes up to there.
    pub writes: Hash,
    /// Accounts and escrow of each asset there, which is what was issued.
    pub held: Vec<Held>,
    /// The first block that is wrong, if one is.
    pub wrong: Option<Wrong>,
    /// Hubs that signed two different trees of what they owe for one height.
    pub contradictions: Vec<Contradiction>,
    /// What each hub that ever anchored said last that it owes, beside what its channels held then.
    pub owed: Vec<Owed>,
    /// Statements of hubs that owe more than their channels held then.
    pub uncovered: Vec<Owed>,
    /// How the journal ends, if not with a whole record.
    pub torn_tail: Option<Torn>,
}

/// How much of an asset there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Which.
    pub asset: AssetId,
    /// In accounts; a decimal string in JSON, as all amounts.
    #[serde(serialize_with = "as_text")]
    pub accounts: i128,
    /// In channels; a decimal string too.
    #[serde(serialize_with = "as_text")]
    pub escrow: i128,
}

fn as_text<S: Serializer>(sum: &i128, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(sum)
}

/// The first block that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// Its height.
    pub block: Height,
    /// The journal's file, if its bytes are damaged.
    pub file: Option<PathBuf>,
    /// Where in the file the damaged frame starts, in bytes.
    pub offset: Option<u64>,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// Two statements of one hub of which one at least is a lie. Both are on the ledger with the hub's
/// signature, in anchors of these blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contradiction {
    /// Who signed both.
    pub hub: PublicKey,
    /// The block with the first, and what it says.
    pub first: (Height, Liabilities),
    /// The block with the other, and what it says.
    pub other: (Height, Liabilities),
}

/// What a hub signed that it owes in one asset, and what the ledger held for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Owed {
    /// Which hub.
    pub hub: PublicKey,
    /// The block with the newest anchor that says so.
    pub block: Height,
    /// What it says, as of which height.
    pub liabilities: Liabilities,
    /// What its channels of that asset held after the block of that height; a decimal string in
    /// JSON. All that the hub owes has to be in there.
    #[serde(serialize_with = "as_text")]
    pub escrow: i128,
}

/// The end of a journal that a crash tore, or that is being written right now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The journal's file.
    pub file: PathBuf,
    /// Where in it the first frame starts that is not whole, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}

impl AuditReport {
    /// Whether nothing is wrong, neither with the ledger nor with what a hub signed. A torn tail is
    /// no fault: nothing in it was ever shown.
    pub fn is_right(&self) -> bool {
        self.wrong.is_none() && self.contradictions.is_empty() && self.uncovered.is_empty()
    }
}

/// Replays every block in `records` on a ledger of this genesis. `progress` is called after each.
///
/// # Errors
/// [`LedgerError`] when the genesis makes no ledger. Everything else is in the report.
pub fn audit<R: Records + ?Sized>(
    records: &R,
    genesis: Genesis,
    progress: &mut dyn FnMut(&Progress),
) -> Result<AuditReport, LedgerError> {
    Ok(Auditor::new(genesis)?.audit(records, progress))
}

/// Audits one ledger, and goes on where it was when there are more blocks, or when damage that it
/// met was repaired.
pub struct Auditor {
    ledger: Ledger,
    books: Books,
    statements: Statements,
    right: Progress,
    /// Where the ledger stood after the last block found right.
    tip: Tip,
    /// Why a whole record was not right. The ledger may have applied it, and can't go on.
    refused: Option<String>,
}

impl Auditor {
    /// One who has seen nothing but the genesis yet.
    ///
    /// # Errors
    /// [`LedgerError`] when the genesis makes no ledger.
    pub fn new(genesis: Genesis) -> Result<Auditor, LedgerError> {
        let ledger = Ledger::genesis(genesis)?;
        let books = Books::open(&ledger).map_err(LedgerError::State)?;
        let tip = *ledger.tip();
        let (statements, right) = (Statements::default(), Progress::default());
        Ok(Auditor { ledger, books, statements, right, tip, refused: None })
    }

    /// Uses at most so many threads for signatures and hash chains, instead of one per core.
    pub fn limit_workers(&mut self, most: NonZero<usize>) {
        self.ledger.limit_workers(most);
    }

    /// Reads all of `records`, and replays the blocks that were not found right before. `progress`
    /// is called after each.
    pub fn audit<R: Records + ?Sized>(
        &mut self,
        records: &R,
        progress: &mut dyn FnMut(&Progress),
    ) -> AuditReport {
        let read = records.read(&mut |lsn, bytes| {
            if lsn <= self.right.blocks {
                return Ok(());
            }
            self.take(lsn, bytes)?;
            progress(&self.right);
            Ok(())
        });
        self.report(read)
    }

    fn take(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<(), String> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        self.replay(lsn, bytes).inspect_err(|reason| self.refused = Some(reason.clone()))
    }

    fn replay(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<(), String> {
        let replayed = replay_one(&mut self.ledger, lsn, bytes, Ledger::verify_block);
        let (applied, _) = replayed.map_err(|error| error.to_string())?;
        self.books.enter(&applied)?;
        self.statements.enter(&applied);
        let transactions = u64::from(applied.header.tx_count);
        self.right.blocks = self.right.blocks.saturating_add(1);
        self.right.transactions = self.right.transactions.saturating_add(transactions);
        self.tip = *self.ledger.tip();
        Ok(())
    }

    fn report(&self, read: Result<Option<TornTail>, JournalError>) -> AuditReport {
        let next = Height(self.right.blocks).after(1);
        let (wrong, torn_tail) = match read {
            Ok(torn) => (None, torn.map(Torn::from)),
            Err(error) => (Some(Wrong::of(next, error)), None),
        };
        AuditReport {
            ledger: self.ledger.id(),
            right: self.right,
            height: self.tip.height,
            writes: self.tip.writes,
            held: self.books.held(),
            owed: self.statements.newest(),
            contradictions: self.statements.contradictions.clone(),
            uncovered: self.statements.uncovered.clone(),
            wrong,
            torn_tail,
        }
    }
}

impl Wrong {
    fn of(block: Height, error: JournalError) -> Wrong {
        let place = error.place().map(|(file, offset)| (file.to_owned(), offset));
        let (file, offset) = place.unzip();
        let reason = match error {
            JournalError::Damaged { reason, .. } => reason.to_owned(),
            JournalError::Visitor { reason, .. } => reason,
            other => other.to_string(),
        };
        Wrong { block, file, offset, reason }
    }
}

impl From<TornTail> for Torn {
    fn from(tail: TornTail) -> Torn {
        Torn { file: tail.file, offset: tail.offset, reason: tail.reason.to_owned() }
    }
}

#[cfg(test)]
mod tests;
