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
use crate::rules::{Rule, rule_is_on};
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
    /// An envelope: whoever carries a transaction about a channel to the ledger pays for it.
    Carry(Box<ChannelTx>),
}

/// A transaction about a channel, to be carried in an envelope. As in [`Transaction`]; a type of
/// its own, so that envelopes can't be nested. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelTx {
    /// [`Transaction::Withdraw`].
    Withdraw {
        /// What is signed.
        body: Withdrawal,
        /// The wallet's.
        wallet: Signature,
        /// The hub's.
        hub: Signature,
    },
    /// [`Transaction::CooperativeClose`].
    CooperativeClose {
        /// What is signed.
        body: CooperativeClose,
        /// The wallet's.
        wallet: Signature,
        /// The hub's.
        hub: Signature,
    },
    /// [`Transaction::Submit`].
    Submit {
        /// What is signed.
        body: Submission,
        /// By the side that `body.by` names.
        signature: Signature,
    },
    /// [`Transaction::Settle`].
    Settle {
        /// Which channel.
        channel: ChannelId,
    },
}

impl ChannelTx {
    /// What is to be carried; `None` for transactions that are an account's own, or the ledger's.
    pub fn of(tx: Transaction) -> Option<ChannelTx> {
        match tx {
            Transaction::Withdraw { body, wallet, hub } => {
                Some(ChannelTx::Withdraw { body, wallet, hub })
            }
            Transaction::CooperativeClose { body, wallet, hub } => {
                Some(ChannelTx::CooperativeClose { body, wallet, hub })
            }
            Transaction::Submit { body, signature } => Some(ChannelTx::Submit { body, signature }),
            Transaction::Settle { channel } => Some(ChannelTx::Settle { channel }),
            Transaction::Account { .. } | Transaction::Mint { .. } => None,
        }
    }
}

/// A transaction about a channel, whether it came in an envelope or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChannel<'a> {
    /// With the wallet's and the hub's signature.
    Withdraw(&'a Withdrawal, &'a Signature, &'a Signature),
    /// With the wallet's and the hub's signature.
    CooperativeClose(&'a CooperativeClose, &'a Signature, &'a Signature),
    /// With the signature of the side that it names.
    Submit(&'a Submission, &'a Signature),
    /// By anybody.
    Settle(&'a ChannelId),
}

impl OnChannel<'_> {
    /// Which channel.
    pub fn channel(&self) -> ChannelId {
        match self {
            OnChannel::Withdraw(body, ..) => body.channel,
            OnChannel::CooperativeClose(body, ..) => body.channel,
            OnChannel::Submit(body, _) => body.channel,
            OnChannel::Settle(channel) => **channel,
        }
    }
}

impl<'a> From<&'a ChannelTx> for OnChannel<'a> {
    fn from(tx: &'a ChannelTx) -> OnChannel<'a> {
        match tx {
            ChannelTx::Withdraw { body, wallet, hub } => OnChannel::Withdraw(body, wallet, hub),
            ChannelTx::CooperativeClose { body, wallet, hub } => {
                OnChannel::CooperativeClose(body, wallet, hub)
            }
            ChannelTx::Submit { body, signature } => OnChannel::Submit(body, signature),
            ChannelTx::Settle { channel } => OnChannel::Settle(channel),
        }
    }
}

impl AccountAction {
    /// An envelope around this transaction; `None` if it is an account's own, or the ledger's.
    pub fn carry(tx: Transaction) -> Option<AccountAction> {
        ChannelTx::of(tx).map(|tx| AccountAction::Carry(Box::new(tx)))
    }
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

impl Submission {
    /// One that brings nothing, and does not close: what the others are made from.
    pub fn nothing(channel: ChannelId, by: Role) -> Submission {
        let (locks, claims) = (Vec::new(), Vec::new());
        Submission { channel, by, close: false, proof: None, locks, claims }
    }

    /// A close that brings nothing: what a side could do that keeps back what the other has signed,
    /// or that has nothing.
    pub fn close_with_nothing(channel: ChannelId, by: Role) -> Submission {
        Submission { close: true, ..Submission::nothing(channel, by) }
    }

    /// Whose direction it speaks about: the other side's. What a side brings of its own would be its
    /// word about its own debt.
    pub fn direction(&self) -> Role {
        match &self.proof {
            Some(proof) if !rule_is_on(Rule::Submitter) => proof.value.from,
            _ => self.by.other(),
        }
    }
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

    /// Whose nonce it spends; `Some(None)` for the ledger's own count of mints.
    pub fn spends(&self) -> Option<Option<PublicKey>> {
        match self {
            Transaction::Account { body, .. } => Some(Some(body.account)),
            Transaction::Mint { .. } => Some(None),
            _ => None,
        }
    }

    /// The channel it is about, if it is about one that exists already.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Transaction::Account { body, .. } => match &body.action {
                AccountAction::Deposit { channel, .. } => Some(*channel),
                AccountAction::Carry(tx) => Some(OnChannel::from(tx.as_ref()).channel()),
                _ => None,
            },
            other => other.on_channel().map(|tx| tx.channel()),
        }
    }

    /// The transaction about a channel that this is, or carries.
    pub fn on_channel(&self) -> Option<OnChannel<'_>> {
        Some(match self {
            Transaction::Withdraw { body, wallet, hub } => OnChannel::Withdraw(body, wallet, hub),
            Transaction::CooperativeClose { body, wallet, hub } => {
                OnChannel::CooperativeClose(body, wallet, hub)
            }
            Transaction::Submit { body, signature } => OnChannel::Submit(body, signature),
            Transaction::Settle { channel } => OnChannel::Settle(channel),
            Transaction::Account { body, .. } => match &body.action {
                AccountAction::Carry(tx) => OnChannel::from(tx.as_ref()),
                _ => return None,
            },
            Transaction::Mint { .. } => return None,
        })
    }
}
