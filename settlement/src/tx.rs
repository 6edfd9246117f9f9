//! Transactions: what is asked of the ledger. Wallets build and check them too, so no feature
//! hides them.
//!
//! Account transactions spend the account's next nonce. Channel transactions carry none: they are
//! idempotent, and can lie ready-signed until they are needed.

use serde::{Deserialize, Serialize};

use crate::crypto::{Signable, Signed, SigningKey, Tag, digest};
use crate::lock::Lock;
use crate::proof::{BalanceProof, CooperativeClose, OpenTerms, Withdrawal};
use crate::types::{
    Amount, AssetId, ChannelId, LedgerId, PublicKey, Role, Secret, Signature, TxId,
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
