//! Transactions: what is asked of the ledger. Wallets build and check them too, so no feature
//! hides them.
//!
//! Account transactions spend the account's next nonce. Channel transactions carry none: they are
//! idempotent, and can lie ready-signed until they are needed.

use serde::{Deserialize, Serialize};

use crate::crypto::{Signable, Signed, SigningKey, Tag, digest};
use crate::liabilities::Liabilities;
use crate::lock::Lock;
use crate::proof::{BalanceProof, CooperativeClose, OpenTerms, Withdrawal};
use crate::types::{
    Amount, AssetId, ChannelId, Holder, LedgerId, PublicKey, Role, Secret, Signature, TxId,
};

/// The most claims in one submission: one for each lock.
pub const CLAIMS_MAX: usize = crate::lock::LOCKS_MAX;

/// What the owner of an account wants done, signed with its next nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTx {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Whose account pays; who signs.
    pub account: PublicKey,
    /// The account's next nonce, counting from 0.
    pub nonce: u64,
    /// What is to be done.
    pub action: AccountAction,
}

/// The kinds of account transactions. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountAction {
    /// Money to another account.
    Transfer {
        /// Whose it becomes.
        to: PublicKey,
        /// Of which asset.
        asset: AssetId,
        /// How much, at least 1.
        amount: Amount,
    },
    /// A new channel with the account as its wallet; `terms.nonce` is the transaction's nonce.
    Open {
        /// Between whom and how.
        terms: OpenTerms,
        /// What the wallet puts in; may be zero.
        deposit: Amount,
    },
    /// Money into the escrow of an open channel, for either side.
    Deposit {
        /// Which channel.
        channel: ChannelId,
        /// Whose escrow.
        role: Role,
        /// How much, at least 1.
        amount: Amount,
    },
    /// By a hub: what has moved in its channels, so that it can't be undone by a stale close.
    Anchor(Anchoring),
    /// By a hub: from now on only the process that holds this lease signs for it.
    Lease(Lease),
}

/// The most entries of one anchor. As bytes count too, entries with proofs from large batches are
/// fewer.
pub const ANCHOR_ENTRIES_MAX: usize = 256;

/// What a hub puts on the ledger every so often, in chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchoring {
    /// Of the hub's newest lease; 0 if it never took one.
    pub epoch: u64,
    /// What moved, at most [`ANCHOR_ENTRIES_MAX`] and each channel once.
    pub entries: Vec<AnchorEntry>,
    /// What the hub owes in all channels of one asset, and the height as of which all this is: not
    /// above the newest block's. Entries of channels that were opened later are left out.
    pub liabilities: Liabilities,
}

/// One channel in an anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorEntry {
    /// Which.
    pub channel: ChannelId,
    /// The wallet's newest proof, if it is newer than what is recorded. It counts as the hub's
    /// submission with its locks unopened.
    pub wallet_proof: Option<Signed<BalanceProof>>,
    /// `transferred` of the newest update of the hub's that the wallet has acknowledged: from now
    /// on a floor under what the hub has paid.
    pub hub_transferred: Amount,
}

/// Which process signs for a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Above that of every lease before.
    pub epoch: u64,
    /// Fresh randomness of the process that takes it.
    pub holder: Holder,
}

impl Signable for AccountTx {
    const TAG: Tag = Tag::Tx;
}

/// What one side of a channel, `by`, brings before the ledger: the other side's newest proof, its
/// locks opened, and claims on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Which channel.
    pub channel: ChannelId,
    /// Who brings it and signs; a proof counts only if the other side signed that.
    pub by: Role,
    /// Whether the challenge window shall start, if it has not.
    pub close: bool,
    /// The other side's newest proof.
    pub proof: Option<Signed<BalanceProof>>,
    /// The locks under the proof's root, in order; empty leaves them unopened and unclaimed.
    pub locks: Vec<Lock>,
    /// Lock ids with a secret of each, at most [`CLAIMS_MAX`].
    pub claims: Vec<(u64, Secret)>,
}

impl Signable for Submission {
    const TAG: Tag = Tag::Submit;
}

/// New money in a development ledger, made by the ledger's own key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mint {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Counts up, so that no two mints are the same.
    pub number: u64,
    /// Whose it becomes.
    pub to: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// How much, at least 1.
    pub amount: Amount,
}

impl Signable for Mint {
    const TAG: Tag = Tag::Mint;
}

/// A transaction with its signatures. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transaction {
    /// By the owner of an account.
    Account {
        /// What is signed.
        body: AccountTx,
        /// By `body.account`.
        signature: Signature,
    },
    /// By both sides of a channel.
    Withdraw {
        /// What is signed.
        body: Withdrawal,
        /// The wallet's.
        wallet: Signature,
        /// The hub's.
        hub: Signature,
    },
    /// By both sides of a channel.
    CooperativeClose {
        /// What is signed.
        body: CooperativeClose,
        /// The wallet's.
        wallet: Signature,
        /// The hub's.
        hub: Signature,
    },
    /// By one side of a channel.
    Submit {
        /// What is signed.
        body: Submission,
        /// By the side that `body.by` names.
        signature: Signature,
    },
    /// By anybody: pays a channel out whose window is over.
    Settle {
        /// Which channel.
        channel: ChannelId,
    },
    /// By the ledger's own key, on a development ledger alone.
    Mint {
        /// What is signed.
        body: Mint,
        /// By the ledger's key.
        signature: Signature,
    },
}

impl Transaction {
    /// `H("tx-id", transaction)`, signatures included: names these very bytes.
    pub fn id(&self) -> TxId {
        TxId(digest(Tag::TxId, self).0)
    }

    /// Signs an account transaction.
    pub fn account(key: &SigningKey, body: AccountTx) -> Transaction {
        let signature = key.sign(&body.digest());
        Transaction::Account { body, signature }
    }

    /// Signs a submission.
    pub fn submit(key: &SigningKey, body: Submission) -> Transaction {
        let signature = key.sign(&body.digest());
        Transaction::Submit { body, signature }
    }

    /// The channel it is about, if it is about one that exists already.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Transaction::Withdraw { body, .. } => Some(body.channel),
            Transaction::CooperativeClose { body, .. } => Some(body.channel),
            Transaction::Submit { body, .. } => Some(body.channel),
            Transaction::Settle { channel } => Some(*channel),
            Transaction::Account { body, .. } => match body.action {
                AccountAction::Deposit { channel, .. } => Some(channel),
                _ => None,
            },
            Transaction::Mint { .. } => None,
        }
    }
}
