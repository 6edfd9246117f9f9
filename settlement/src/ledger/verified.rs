//! Transactions whose signatures were checked: a type with one door, and a second one for what came
//! through the first before this process started.
//!
//! What is wrong with a transaction on its face, whatever the ledger holds, is found here, before
//! it is applied and without the state: shapes, signatures, a proof that is not the other side's,
//! locks that are not those under its root. Each check stands alone, so a block's transactions can
//! be checked on all cores. A submission refused here is refused whole: it is its signer's own
//! mistake, which nobody else can bring about. What depends on the state (a proof that came too
//! late, a claim that is no longer deep enough) is looked at part by part when it is applied.

use std::collections::BTreeSet;

use super::blocks::{BlockError, is_over};
use super::boundaries;
use super::channel::opens;
use super::known_keys::KnownKeys;
use super::parallel::{SIGNATURES, Workers};
use crate::block::Block;
use crate::crypto::{Signable, Signed, Tag, VerifyingKey, hash_many};
use crate::encoding::encode;
use crate::proof::{BalanceProof, OpenTerms};
use crate::reject::Code;
use crate::tx::{
    ANCHOR_ENTRIES_MAX, AccountAction, AccountTx, AnchorEntry, Anchoring, CLAIMS_MAX, Mint,
    OnChannel, Submission, Transaction,
};
use crate::types::{Amount, ChannelId, Height, LedgerId, PublicKey, Role, Signature, TxId};

/// The most bytes of one transaction: 64 KiB. The largest that an honest side ever sends (256
/// locks and a claim on each) has about 30 KiB.
pub const TX_BYTES_MAX: usize = 64 << 10;

/// A transaction that is well-formed and signed by whom it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTx {
    tx: Transaction,
    id: TxId,
    bytes: usize,
}

/// What signatures are checked against.
pub(super) struct Keys<'a> {
    pub(super) ledger: LedgerId,
    pub(super) ledger_key: &'a VerifyingKey,
    pub(super) development: bool,
    /// Whether nothing costs a fee, so that nothing needs an envelope.
    pub(super) free: bool,
    /// The newest block's height.
    pub(super) tip: Height,
    /// The terms of a channel and the height of its opening, if there is one.
    pub(super) terms: &'a (dyn Fn(&ChannelId) -> Option<(OpenTerms, Height)> + Sync),
    /// Keys of wallets that are parsed already.
    pub(super) wallet_keys: &'a KnownKeys,
    /// Whether a transaction on a channel that does not exist is taken: it is in a block already,
    /// where it can only be refused for that reason.
    pub(super) in_block: bool,
    /// How many threads may check what has many signatures.
    pub(super) workers: Workers,
}

impl VerifiedTx {
    /// The door.
    pub(super) fn verify(tx: Transaction, keys: &Keys<'_>) -> Result<VerifiedTx, Code> {
        let (id, bytes) = name(&tx);
        if bytes > TX_BYTES_MAX {
            return Err(Code::TxTooLarge);
        }
        match keys.verify(&tx) {
            Err(Code::NoSuchChannel) if keys.in_block => {}
            other => other?,
        }
        Ok(VerifiedTx { tx, id, bytes })
    }

    /// The second door, for a ledger that takes in its own journal again: the transactions of a
    /// block whose header its own key has signed. It signs no header before each transaction under
    /// it came through the first door, and the header's root names every byte of them, signatures
    /// included. A block of a journal that somebody else may have written does not come in here.
    ///
    /// # Errors
    /// [`BlockError::Signature`] and [`BlockError::Transactions`]: they are not what was signed.
    pub(super) fn under_own_header(
        block: &Block,
        own_key: &VerifyingKey,
    ) -> Result<Vec<VerifiedTx>, BlockError> {
        block.header.verify(own_key).map_err(|_| BlockError::Signature)?;
        let named = |tx: &Transaction| {
            let (id, bytes) = name(tx);
            VerifiedTx { tx: tx.clone(), id, bytes }
        };
        let transactions: Vec<VerifiedTx> = block.transactions.iter().map(named).collect();
        let ids = transactions.iter().map(VerifiedTx::id);
        is_over(&block.header.header, ids).then_some(transactions).ok_or(BlockError::Transactions)
    }

    /// The transaction.
    pub fn tx(&self) -> &Transaction {
        &self.tx
    }

    /// Its id.
    pub fn id(&self) -> TxId {
        self.id
    }

    /// How many bytes it takes in a block.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The transaction, to put into a block.
    pub fn into_tx(self) -> Transaction {
        self.tx
    }
}

impl Keys<'_> {
    fn verify(&self, tx: &Transaction) -> Result<(), Code> {
        match tx {
            Transaction::Account { body, signature } => self.account(body, signature),
            Transaction::Mint { body, signature } => self.mint(body, signature),
            _ if !self.free => Err(Code::EnvelopeNeeded),
            bare => bare.on_channel().map_or(Ok(()), |tx| self.on_channel(tx)),
        }
    }

    fn on_channel(&self, tx: OnChannel<'_>) -> Result<(), Code> {
        match tx {
            OnChannel::Withdraw(body, wallet, hub) => self.both(&body.channel, body, wallet, hub),
            OnChannel::CooperativeClose(body, wallet, hub) => {
                self.both(&body.channel, body, wallet, hub)
            }
            OnChannel::Submit(body, signature) => self.submission(body, signature),
            OnChannel::Settle(_) => Ok(()),
        }
    }

    fn account(&self, body: &AccountTx, signature: &Signature) -> Result<(), Code> {
        if body.ledger != self.ledger {
            return Err(Code::TxWrongLedger);
        }
        match &body.action {
            AccountAction::Transfer { to, amount, .. } => {
                not_zero(*amount)?;
                // Money to bytes that are no key would be lost for good.
                VerifyingKey::parse(to).map_err(|_| Code::MalformedTransaction)?;
            }
            AccountAction::Deposit { amount, .. } => not_zero(*amount)?,
            AccountAction::Open { terms, .. } => {
                let own = terms.wallet == body.account && terms.nonce == body.nonce;
                let hub = VerifyingKey::parse(&terms.hub);
                if terms.ledger != self.ledger || !own || terms.wallet == terms.hub || hub.is_err()
                {
                    return Err(Code::BadTerms);
                }
            }
            AccountAction::Anchor(anchor) => self.anchor(&body.account, anchor)?,
            AccountAction::Lease(_) => {}
            AccountAction::Carry(tx) => {
                // The envelope first: what it carries may be refused in a block for a channel that
                // is gone, and then nobody looks at the rest.
                signed_by(&body.account, body, signature)?;
                return self.on_channel(tx.as_ref().into());
            }
        }
        signed_by(&body.account, body, signature)
    }

    fn both<T: Signable>(
        &self,
        channel: &ChannelId,
        body: &T,
        wallet: &Signature,
        hub: &Signature,
    ) -> Result<(), Code> {
        let (terms, _) = (self.terms)(channel).ok_or(Code::NoSuchChannel)?;
        signed_by(&terms.wallet, body, wallet)?;
        signed_by(&terms.hub, body, hub)
    }

    fn submission(&self, body: &Submission, signature: &Signature) -> Result<(), Code> {
        check_shape(body)?;
        let (terms, _) = (self.terms)(&body.channel).ok_or(Code::NoSuchChannel)?;
        signed_by(terms.key(body.by), body, signature)?;
        let proof = body.proof.as_ref();
        proof.map_or(Ok(()), |proof| proof_by(terms.key(body.direction()), proof))
    }

    /// Entries of channels that were opened after the anchor's height, or are gone, are skipped
    /// when it is applied, so nothing rests on their signatures. Which these are is the same for
    /// everybody who checks, at whatever later height.
    fn anchor(&self, hub: &PublicKey, anchor: &Anchoring) -> Result<(), Code> {
        let channels: BTreeSet<ChannelId> = anchor.entries.iter().map(|e| e.channel).collect();
        if anchor.entries.len() > ANCHOR_ENTRIES_MAX || channels.len() != anchor.entries.len() {
            return Err(Code::MalformedTransaction);
        }
        let as_of = anchor.liabilities.as_of;
        if as_of > self.tip {
            return Err(Code::BadAnchor);
        }
        let verify = |entry: &AnchorEntry| self.anchor_entry(hub, as_of, entry);
        self.workers.map(SIGNATURES, &anchor.entries, verify).into_iter().collect()
    }

    fn anchor_entry(
        &self,
        hub: &PublicKey,
        as_of: Height,
        entry: &AnchorEntry,
    ) -> Result<(), Code> {
        let proof = entry.wallet_proof.as_ref();
        let own = |proof: &Signed<BalanceProof>| {
            proof.value.channel == entry.channel && proof.value.from == Role::Wallet
        };
        if !proof.is_none_or(own) {
            return Err(Code::BadAnchor);
        }
        let known = (self.terms)(&entry.channel);
        let Some((terms, _)) = known.filter(|(_, opened)| boundaries::anchored(*opened, as_of))
        else {
            return Ok(());
        };
        if terms.hub != *hub {
            return Err(Code::BadAnchor);
        }
        let Some(proof) = proof else { return Ok(()) };
        match self.wallet_keys.get(&entry.channel) {
            Some(key) => proof_under(key, proof),
            None => proof_by(&terms.wallet, proof),
        }
    }

    fn mint(&self, body: &Mint, signature: &Signature) -> Result<(), Code> {
        if body.ledger != self.ledger {
            return Err(Code::TxWrongLedger);
        }
        if !self.development {
            return Err(Code::NoFaucet);
        }
        not_zero(body.amount)?;
        VerifyingKey::parse(&body.to).map_err(|_| Code::MalformedTransaction)?;
        let signed = self.ledger_key.verify(&body.digest(), signature);
        signed.map_err(|_| Code::TxBadSignature)
    }
}

/// The id of a transaction and its length, encoding it once: anchors are large.
fn name(tx: &Transaction) -> (TxId, usize) {
    let encoded = encode(tx);
    (TxId(hash_many(Tag::TxId, &[&encoded]).0), encoded.len())
}

fn check_shape(body: &Submission) -> Result<(), Code> {
    let ids: BTreeSet<u64> = body.claims.iter().map(|(id, _)| *id).collect();
    // One claim per lock: the deepest secret is the only one that counts, and what claims may
    // cost is bounded by the steps of the locks.
    if body.claims.len() > CLAIMS_MAX || ids.len() != body.claims.len() {
        return Err(Code::MalformedTransaction);
    }
    let Some(proof) = body.proof.as_ref().map(|proof| &proof.value) else {
        let none = body.locks.is_empty();
        return none.then_some(()).ok_or(Code::LocksMismatch);
    };
    if proof.channel != body.channel || proof.from != body.direction() {
        return Err(Code::ProofNotTheOthers);
    }
    let fits = opens(proof, &body.locks);
    fits.then_some(()).ok_or(Code::LocksMismatch)
}

fn not_zero(amount: Amount) -> Result<(), Code> {
    if amount == Amount::ZERO { Err(Code::TxZeroAmount) } else { Ok(()) }
}

fn proof_by(key: &PublicKey, proof: &Signed<BalanceProof>) -> Result<(), Code> {
    let key = VerifyingKey::parse(key).map_err(|_| Code::TxBadSignature)?;
    proof_under(&key, proof)
}

fn proof_under(key: &VerifyingKey, proof: &Signed<BalanceProof>) -> Result<(), Code> {
    let verified = proof.clone().verify_alone(key);
    verified.map(|_| ()).map_err(|_| Code::TxBadSignature)
}

fn signed_by<T: Signable>(key: &PublicKey, body: &T, signature: &Signature) -> Result<(), Code> {
    let key = VerifyingKey::parse(key).map_err(|_| Code::TxBadSignature)?;
    let verified = key.verify(&body.digest(), signature);
    verified.map_err(|_| Code::TxBadSignature)
}
