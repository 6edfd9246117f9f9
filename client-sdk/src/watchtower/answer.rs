//! A ready-signed answer to a close, as a wallet exports it and a tower keeps it.
//!
//! # Which secrets may be given away
//! A claim's secret is public once the answer is in a block, and a tower may talk. So an answer
//! holds only secrets that this wallet has answered a lock of the hub's with: they were on their way
//! to the hub before, the wallet has made sure that the lock could still be claimed, and no promise
//! rests on their silence any more. The secret of an invoice that no lock has come for, or whose
//! lock has not been judged yet, is in no answer: whoever had it could take the payer's money
//! without this wallet being paid.
//!
//! # The format
//! JSON, as everything that people and scripts may look at:
//!
//! ```text
//! { "version": 1,
//!   "answers": [ { "channel": "<id>",
//!                  "terms": { "ledger", "asset", "wallet", "hub", "challenge_blocks", "nonce" },
//!                  "seq": 7,
//!                  "transaction": "<hex of the postcard bytes of a Transaction::Submit>" } ] }
//! ```
//!
//! It is all that is needed: the channel's id is the digest of its terms, which name the ledger, both
//! keys and the length of the challenge window, so that every signature can be checked at once and
//! by anybody. `seq` is the hub's proof that the answer covers.

use serde::{Deserialize, Serialize};
use settlement::channel::{self, Channel, Phase};
use settlement::crypto::{Signable, SigningKey, VerifyingKey};
use settlement::encoding::{decode, encode};
use settlement::lock::{LOCK_STEPS_MAX, LOCKS_MAX, Lock, locked_total, locks_root};
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use settlement::types::{ChannelId, Height, LedgerId, Role};

/// The version of the format.
pub const VERSION: u16 = 1;
/// The most bytes of an answer's transaction: one with all the locks and claims that a direction may
/// have takes less.
pub const TRANSACTION_BYTES_MAX: usize = 32 << 10;
/// The most bytes of an export, and of a tower's file.
pub const EXPORT_BYTES_MAX: usize = 16 << 20;

/// What a wallet hands to a tower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// [`VERSION`].
    pub version: u16,
    /// One for each channel.
    pub answers: Vec<Answer>,
}

/// The answer to a close of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Which channel.
    pub channel: ChannelId,
    /// Its terms, of which its id is the digest.
    pub terms: OpenTerms,
    /// The number of the hub's proof that is brought.
    pub seq: u64,
    /// Hex of the postcard bytes of the transaction.
    pub transaction: String,
}

/// Why something is not taken as an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct NoAnswer {
    /// Its number.
    pub code: Code,
    /// What is wrong with it, and what to do.
    pub detail: String,
}

impl NoAnswer {
    /// A refusal.
    pub fn new(code: Code, detail: impl Into<String>) -> NoAnswer {
        NoAnswer { code, detail: detail.into() }
    }

    fn bad(detail: &str) -> NoAnswer {
        NoAnswer::new(Code::BadAnswer, detail)
    }
}

impl Export {
    /// These answers in the present version.
    pub fn new(answers: Vec<Answer>) -> Export {
        Export { version: VERSION, answers }
    }

    /// Reads an export.
    ///
    /// # Errors
    /// [`Code::BadAnswer`] for what is none or is larger than [`EXPORT_BYTES_MAX`];
    /// [`Code::UnsupportedVersion`] for one of a newer version.
    pub fn read(bytes: &[u8]) -> Result<Export, NoAnswer> {
        #[derive(Deserialize)]
        struct Version {
            version: u16,
        }
        let unreadable = |error: serde_json::Error| {
            let detail = format!("this is no export of a wallet's answers: {error}");
            NoAnswer::new(Code::BadAnswer, detail)
        };
        if bytes.len() > EXPORT_BYTES_MAX {
            return Err(NoAnswer::bad("the export is larger than 16 MiB"));
        }
        let Version { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version != VERSION {
            let detail = format!("an export of version {version}; this program reads {VERSION}");
            return Err(NoAnswer::new(Code::UnsupportedVersion, detail));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

impl Answer {
    /// The answer that the wallet with this key would give now to a close of its channel; `None`
    /// where there is nothing to answer with, as the hub has signed nothing yet or all is paid out.
    pub fn of(channel: &Channel, key: &SigningKey) -> Option<Answer> {
        let paid_out = matches!(channel.phase(), Phase::Closed { .. });
        let body = submission(channel);
        let seq = body.proof.as_ref()?.value.seq;
        let transaction = hex::encode(encode(&Transaction::submit(key, body)));
        let terms = *channel.terms();
        (!paid_out).then_some(Answer { channel: channel.id(), terms, seq, transaction })
    }

    /// How much [`Answer::of`] would tell, without signing it: it rises with each new proof and each
    /// secret that is answered with.
    pub fn rank_of(channel: &Channel) -> Option<(u64, u64)> {
        let incoming = channel.incoming();
        let seq = incoming.proof.as_ref()?.value.seq;
        let known = incoming.locks.values().map(|lock| match lock.answer {
            Some(channel::Answer::Known { steps, .. }) => u64::from(steps),
            _ => 0,
        });
        Some((seq, known.sum()))
    }
}

/// All that the wallet has to bring. Claims on locks that have expired by now do no harm, and an
/// answer that only ever grows can be told from an older one.
fn submission(channel: &Channel) -> Submission {
    channel.submission(false, Height(0))
}

/// An answer of which everything was checked that can be checked without the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAnswer {
    answer: Answer,
    /// What its claims are worth.
    pub(super) worth: u128,
    /// The expiry of the last lock that it claims on.
    pub(super) claims_until: Height,
}

impl CheckedAnswer {
    /// Checks an answer for a channel of this ledger. Costs two signatures, and at most 2^20 hashes
    /// for its claims.
    ///
    /// # Errors
    /// [`Code::TxWrongLedger`] for another ledger's; [`Code::TxBadSignature`] when a signature is
    /// not the wallet's, or the hub's; [`Code::BadAnswer`] for anything else that a wallet does not
    /// make.
    pub fn check(answer: Answer, ledger: &LedgerId) -> Result<CheckedAnswer, NoAnswer> {
        if answer.terms.ledger != *ledger {
            let of = answer.terms.ledger;
            let detail = format!("the answer is for ledger {of}; this tower follows {ledger}");
            return Err(NoAnswer::new(Code::TxWrongLedger, detail));
        }
        if answer.terms.channel_id() != answer.channel {
            return Err(NoAnswer::bad("the channel's id is not that of its terms"));
        }
        let transaction = answer.transaction()?;
        let Transaction::Submit { body, signature } = &transaction else {
            return Err(NoAnswer::bad("the transaction is no submission"));
        };
        let wallet = key(&answer.terms, Role::Wallet)?;
        let signed = wallet.verify(&body.digest(), signature);
        signed.map_err(|_| unsigned("the transaction is not signed by the channel's wallet"))?;
        check_body(&answer, body)?;
        let (worth, claims_until) = claims(body)?;
        Ok(CheckedAnswer { answer, worth, claims_until })
    }

    /// The answer.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// Higher for what covers more: a newer proof, or the same with more claims on it.
    pub fn rank(&self) -> (u64, u128) {
        (self.answer.seq, self.worth)
    }
}

impl Answer {
    /// What is brought to the ledger.
    ///
    /// # Errors
    /// [`Code::BadAnswer`].
    pub fn transaction(&self) -> Result<Transaction, NoAnswer> {
        if self.transaction.len() > 2 * TRANSACTION_BYTES_MAX {
            return Err(NoAnswer::bad("the transaction is larger than that of any answer"));
        }
        let bytes = hex::decode(&self.transaction);
        let bytes = bytes.map_err(|_| NoAnswer::bad("the transaction is no hex"))?;
        decode(&bytes).map_err(|_| NoAnswer::bad("the transaction can't be decoded"))
    }
}

/// What is in it must be what a wallet brings against its hub, and must not close.
fn check_body(answer: &Answer, body: &Submission) -> Result<(), NoAnswer> {
    if (body.channel, body.by) != (answer.channel, Role::Wallet) {
        return Err(NoAnswer::bad("the submission is not by the channel's wallet"));
    }
    if body.close {
        return Err(NoAnswer::bad("the submission would close the channel"));
    }
    let Some(signed) = &body.proof else {
        return Err(NoAnswer::bad("the submission brings no proof of the hub's"));
    };
    let proof = &signed.value;
    if (proof.channel, proof.from, proof.seq) != (answer.channel, Role::Hub, answer.seq) {
        return Err(NoAnswer::bad("the proof is not the one that the answer says"));
    }
    let hub = key(&answer.terms, Role::Hub)?;
    let verified = signed.clone().verify_alone(&hub);
    verified.map_err(|_| unsigned("the proof is not signed by the channel's hub"))?;
    let steps: u64 = body.locks.iter().map(|lock| u64::from(lock.steps)).sum();
    let opened = body.locks.len() <= LOCKS_MAX
        && steps <= LOCK_STEPS_MAX
        && body.locks.iter().all(Lock::well_formed)
        && locked_total(&body.locks) == Some(proof.locked)
        && locks_root(&body.locks) == proof.locks_root;
    if opened { Ok(()) } else { Err(NoAnswer::bad("the locks are not those under the proof")) }
}

/// What the claims are worth, and the last expiry among them.
fn claims(body: &Submission) -> Result<(u128, Height), NoAnswer> {
    let mut locks: Vec<&Lock> = body.locks.iter().collect();
    let (mut worth, mut until) = (0u128, Height(0));
    for (id, secret) in &body.claims {
        // Each lock once: what is taken here is what bounds the hashes.
        let at = locks.iter().position(|lock| lock.id == *id);
        let lock = at.map(|at| locks.swap_remove(at));
        let redeemed = lock.and_then(|lock| Some((lock, lock.redeem(secret)?)));
        let Some((lock, redeemed)) = redeemed else {
            return Err(NoAnswer::bad("a claim fits no lock of the proof"));
        };
        worth = worth.saturating_add(u128::from(redeemed.amount.0));
        until = until.max(lock.expiry);
    }
    Ok((worth, until))
}

fn key(terms: &OpenTerms, role: Role) -> Result<VerifyingKey, NoAnswer> {
    let key = VerifyingKey::parse(terms.key(role));
    key.map_err(|_| NoAnswer::bad("the terms name a key that is none"))
}

fn unsigned(detail: &str) -> NoAnswer {
    NoAnswer::new(Code::TxBadSignature, detail)
}

#[cfg(test)]
mod tests;
