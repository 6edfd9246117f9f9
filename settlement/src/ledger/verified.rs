//! Transactions whose signatures were checked: a type with one door.
//!
//! What is wrong with a transaction on its face, whatever the ledger holds, is found here, before
//! it is applied and without the state: shapes, signatures, a proof that is not the other side's,
//! locks that are not those under its root. Each check stands alone, so a block's transactions can
//! be checked on all cores. A submission refused here is refused whole: it is its signer's own
//! mistake, which nobody else can bring about. What depends on the state (a proof that came too
//! late, a claim that is no longer deep enough) is looked at part by part when it is applied.

use std::collections::BTreeSet;

use super::channel::opens;
use crate::crypto::{Signable, VerifyingKey};
use crate::encoding::encode;
use crate::proof::OpenTerms;
use crate::reject::Code;
use crate::tx::{AccountAction, AccountTx, CLAIMS_MAX, Mint, Submission, Transaction};
use crate::types::{Amount, ChannelId, LedgerId, PublicKey, Signature, TxId};

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
    /// The terms of a channel, if there is one.
    pub(super) terms: &'a (dyn Fn(&ChannelId) -> Option<OpenTerms> + Sync),
    /// Whether a transaction on a channel that does not exist is taken: it is in a block already,
    /// where it can only be refused for that reason.
    pub(super) in_block: bool,
}

impl VerifiedTx {
    /// The only door.
    pub(super) fn verify(tx: Transaction, keys: &Keys<'_>) -> Result<VerifiedTx, Code> {
        let bytes = encode(&tx).len();
        if bytes > TX_BYTES_MAX {
            return Err(Code::TxTooLarge);
        }
        match keys.verify(&tx) {
            Err(Code::NoSuchChannel) if keys.in_block => {}
            other => other?,
        }
        let id = tx.id();
        Ok(VerifiedTx { tx, id, bytes })
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
            Transaction::Withdraw { body, wallet, hub } => {
                self.both(&body.channel, body, wallet, hub)
            }
            Transaction::CooperativeClose { body, wallet, hub } => {
                self.both(&body.channel, body, wallet, hub)
            }
            Transaction::Submit { body, signature } => self.submission(body, signature),
            Transaction::Settle { .. } => Ok(()),
            Transaction::Mint { body, signature } => self.mint(body, signature),
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
        let terms = (self.terms)(channel).ok_or(Code::NoSuchChannel)?;
        signed_by(&terms.wallet, body, wallet)?;
        signed_by(&terms.hub, body, hub)
    }

    fn submission(&self, body: &Submission, signature: &Signature) -> Result<(), Code> {
        check_shape(body)?;
        let terms = (self.terms)(&body.channel).ok_or(Code::NoSuchChannel)?;
        signed_by(terms.key(body.by), body, signature)?;
        let Some(proof) = &body.proof else {
            return Ok(());
        };
        let key = VerifyingKey::parse(terms.key(body.by.other()));
        let key = key.map_err(|_| Code::TxBadSignature)?;
        let verified = proof.clone().verify_alone(&key);
        verified.map(|_| ()).map_err(|_| Code::TxBadSignature)
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
    if proof.channel != body.channel || proof.from != body.by.other() {
        return Err(Code::ProofNotTheOthers);
    }
    let fits = opens(proof, &body.locks);
    fits.then_some(()).ok_or(Code::LocksMismatch)
}

fn not_zero(amount: Amount) -> Result<(), Code> {
    if amount == Amount::ZERO { Err(Code::TxZeroAmount) } else { Ok(()) }
}

fn signed_by<T: Signable>(key: &PublicKey, body: &T, signature: &Signature) -> Result<(), Code> {
    let key = VerifyingKey::parse(key).map_err(|_| Code::TxBadSignature)?;
    let verified = key.verify(&body.digest(), signature);
    verified.map_err(|_| Code::TxBadSignature)
}
