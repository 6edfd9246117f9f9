//! Blocks and what they did: headers that wallets check, and the events that both sides of a
//! channel follow.

use serde::{Deserialize, Serialize};

use crate::crypto::{Signable, SignatureError, SigningKey, Tag, VerifyingKey};
use crate::liabilities::Liabilities;
use crate::lock::Lock;
use crate::proof::{BalanceProof, OpenTerms};
use crate::reject::Code;
use crate::tx::Transaction;
use crate::types::{
    Amount, AssetId, ChannelId, Hash, Height, Holder, LedgerId, PublicKey, Role, Secret, Signature,
    TxId,
};

/// What a block's maker signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Genesis is 0 and has no header; the first block is 1.
    pub height: Height,
    /// Digest of the header before; the ledger's id for the first block.
    pub parent: Hash,
    /// Milliseconds since 1970, at least the genesis' least interval after the parent's.
    pub time_ms: u64,
    /// Merkle root over the ids of the block's transactions.
    pub tx_root: Hash,
    /// How many transactions.
    pub tx_count: u32,
    /// Running digest of everything the ledger wrote up to and in this block.
    pub writes: Hash,
    /// Over all channels that are not paid out; see [`crate::state_proof`].
    pub state_root: Hash,
}

impl Signable for Header {
    const TAG: Tag = Tag::Header;
}

/// A header with the signature of the ledger's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHeader {
    /// What is signed.
    pub header: Header,
    /// By the ledger's key.
    pub signature: Signature,
}

impl SignedHeader {
    /// Signs a header.
    pub fn sign(key: &SigningKey, header: Header) -> SignedHeader {
        SignedHeader { header, signature: key.sign(&header.digest()) }
    }

    /// Checks the signature of the ledger's key.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`].
    pub fn verify(&self, ledger_key: &VerifyingKey) -> Result<(), SignatureError> {
        ledger_key.verify(&self.header.digest(), &self.signature)
    }
}

/// A header and the transactions under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: SignedHeader,
    /// In the order in which they apply.
    pub transactions: Vec<Transaction>,
}

/// Something that a block did. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerEvent {
    /// New money on a development ledger.
    Minted {
        /// Whose.
        to: PublicKey,
        /// Of which asset.
        asset: AssetId,
        /// How much.
        amount: Amount,
    },
    /// Money went from account to account.
    Transferred {
        /// Who paid.
        from: PublicKey,
        /// Who got it.
        to: PublicKey,
        /// Of which asset.
        asset: AssetId,
        /// How much.
        amount: Amount,
    },
    /// A channel is open.
    Opened {
        /// Its terms; its id is their digest.
        terms: OpenTerms,
        /// What the wallet put in.
        deposit: Amount,
    },
    /// Money came into an open channel.
    Deposited {
        /// Which.
        channel: ChannelId,
        /// On whose side.
        role: Role,
        /// All that this side has deposited now.
        total: Amount,
    },
    /// Money was paid out of an open channel.
    Withdrawn {
        /// Which.
        channel: ChannelId,
        /// On whose side.
        role: Role,
        /// All that this side has withdrawn now.
        total: Amount,
    },
    /// A challenge window has started.
    CloseStarted {
        /// Which channel.
        channel: ChannelId,
        /// Who started it.
        by: Role,
        /// The last height at which proofs still count.
        proofs_until: Height,
    },
    /// A newer proof stands.
    ProofRecorded {
        /// The proof; its channel and direction are in it.
        proof: BalanceProof,
        /// Its locks, if they were opened.
        locks: Vec<Lock>,
    },
    /// A secret was shown for a lock, whether it counted or not; it is public now.
    ClaimShown {
        /// Which channel.
        channel: ChannelId,
        /// Whose direction the lock is in: the side that pays.
        from: Role,
        /// Which lock.
        id: u64,
        /// The secret shown.
        secret: Secret,
        /// How many steps it counts for in the proof that stands now; may be 0.
        steps: u32,
    },
    /// The channel is paid out and gone.
    Settled {
        /// Which.
        channel: ChannelId,
        /// What the wallet got.
        wallet: Amount,
        /// What the hub got.
        hub: Amount,
        /// Whether both sides agreed to it.
        cooperative: bool,
    },
    /// A transaction that had been taken in for a block changed nothing after all.
    Refused {
        /// Which.
        tx: TxId,
        /// Why.
        code: Code,
    },
    /// A hub has anchored a channel. A wallet proof that came with it and stands now has a
    /// [`LedgerEvent::ProofRecorded`] of its own, before this.
    Anchored {
        /// Which.
        channel: ChannelId,
        /// What the hub has certainly paid by now: a floor that only rises.
        hub_transferred: Amount,
    },
    /// A hub has signed what it owes.
    LiabilitiesAnchored {
        /// Which hub.
        hub: PublicKey,
        /// What it signed.
        liabilities: Liabilities,
    },
    /// A process has taken a hub's lease: every other one stops for good.
    Leased {
        /// Which hub.
        hub: PublicKey,
        /// The lease's number.
        epoch: u64,
        /// Who holds it.
        holder: Holder,
    },
}

impl LedgerEvent {
    /// The channel it is about, if any.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            LedgerEvent::Opened { terms, .. } => Some(terms.channel_id()),
            LedgerEvent::ProofRecorded { proof, .. } => Some(proof.channel),
            LedgerEvent::Deposited { channel, .. }
            | LedgerEvent::Withdrawn { channel, .. }
            | LedgerEvent::CloseStarted { channel, .. }
            | LedgerEvent::ClaimShown { channel, .. }
            | LedgerEvent::Anchored { channel, .. }
            | LedgerEvent::Settled { channel, .. } => Some(*channel),
            LedgerEvent::Minted { .. }
            | LedgerEvent::Transferred { .. }
            | LedgerEvent::LiabilitiesAnchored { .. }
            | LedgerEvent::Leased { .. }
            | LedgerEvent::Refused { .. } => None,
        }
    }
}

/// One block as its followers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEvents {
    /// The signed header.
    pub header: SignedHeader,
    /// What it did, in order.
    pub events: Vec<LedgerEvent>,
}
