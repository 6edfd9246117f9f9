//! What wallets say to each other through a hub that can't read it.
//!
//! ```text
//! ciphertext = version:u8 = 1 ‖ nonce:[u8; 24] ‖ XChaCha20-Poly1305(body, aad)
//! key    = H("relay", (shared, ledger, from, to))
//! nonce  = the first 24 bytes of H("relay-nonce", (key, body))
//! aad    = version ‖ from ‖ to
//! shared = SHA-256 of the compressed point from_key × to_public
//! ```
//!
//! Nobody but the two can compute the key, and each direction has its own: who can open a message
//! knows who sealed it, for whom, and on which ledger, whatever the hub says that it comes from. The
//! hub sees who writes to whom, when, and how much.
//!
//! The nonce follows from the content, so sealing needs no randomness, and two contents never share
//! one; the same content twice is the same bytes. Every [`Body`] says what is so for good, not what
//! is to be done once: a message that the hub repeats, holds back or loses costs no money, and who
//! has something to say says it until it is answered.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, Payload as Sealing};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Serialize};
use settlement::crypto::{NotAKey, SigningKey, Tag, digest, hash_many};
use settlement::encoding::{decode, encode};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, LedgerId, PublicKey, Secret};
use settlement::wire::{Bounded, RELAY_MAX};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// How many pairs' keys are kept: making one costs a multiplication on the curve.
const KEYS_MAX: usize = 4_096;

/// A relayed message as it travels.
pub type Ciphertext = Bounded<RELAY_MAX>;

/// What one wallet says to another. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Payer to payee: so many steps of this lock are the payee's, and this is the newest.
    Step(StepToken),
    /// Payee to payer: so many steps of this lock are durable here; 0 for "the lock is here". Said when
    /// the lock comes and when steps do, and to a `Step` or `Query` that brings nothing once a second.
    Taken {
        /// The lock's anchor, as it was added.
        anchor: Anchor,
        /// How many steps of it.
        steps: u32,
    },
    /// Payer to payee: no more steps of this lock will come. Redeem what there is, and give it up.
    Close {
        /// The lock's anchor, as it was added.
        anchor: Anchor,
    },
    /// Payee to payer: this lock is given up after so many steps, or was never taken.
    Closed {
        /// The lock's anchor, as it was added.
        anchor: Anchor,
        /// How many steps of it were taken.
        steps: u32,
    },
    /// Payer to payee: please ask me for this much, in an invoice.
    Ask {
        /// Fresh randomness that names the question.
        ask: AskId,
        /// Of which asset.
        asset: AssetId,
        /// How much.
        amount: Amount,
        /// What for.
        memo: String,
    },
    /// Payee to payer: the invoice that was asked for.
    Invoice {
        /// The question.
        ask: AskId,
        /// The invoice's text.
        invoice: String,
    },
    /// Payee to payer: there is none.
    Declined {
        /// The question.
        ask: AskId,
        /// Why.
        code: Code,
    },
    /// Payer to payee: how many steps of this lock do you have? Said again until it is answered by
    /// `Taken` or `Closed`; a payee that does not have the lock says nothing.
    Query {
        /// The lock's anchor, as it was added.
        anchor: Anchor,
    },
}

/// Names a question for an invoice.
pub type AskId = [u8; 16];

/// Steps of a stream, handed from payer to payee: by the relay, or in any other way that both trust
/// with their secrecy, such as a header of an HTTP request. Whoever reads it on the way could redeem
/// nothing with it but for the payee; but a hub that reads it is paid without paying on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepToken {
    /// The lock's anchor, as it was added.
    pub anchor: Anchor,
    /// How many steps of that lock the payee has with it.
    pub steps: u32,
    /// What so many hashes turn into the anchor.
    pub secret: Secret,
}

/// Bytes of a token's text, before they are written in hex.
const TOKEN_BYTES: usize = 32 + 4 + 32;

impl StepToken {
    /// Anchor, steps (big-endian) and secret in lower-case hex: 136 digits.
    pub fn to_text(&self) -> String {
        let steps = self.steps.to_be_bytes();
        hex::encode([self.anchor.as_slice(), &steps, self.secret.as_slice()].concat())
    }

    /// The token in such a text.
    pub fn from_text(text: &str) -> Option<StepToken> {
        let mut bytes = [0; TOKEN_BYTES];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let (anchor, rest) = bytes.split_first_chunk::<32>()?;
        let (steps, secret) = rest.split_first_chunk::<4>()?;
        Some(StepToken {
            anchor: Anchor(*anchor),
            steps: u32::from_be_bytes(*steps),
            secret: Secret(secret.try_into().ok()?),
        })
    }
}

/// Why a message was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The other side's key is no point of the curve.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// Cut short, of another version, or not sealed by its sender for this wallet on this ledger.
    #[error("the message can't be read or is not authentic")]
    NotAuthentic,
    /// Longer than the relay takes.
    #[error("the message is longer than the relay takes")]
    TooLong,
}

/// One wallet's keys for the relay, one for each direction with each other wallet.
#[derive(Debug, Default)]
pub struct RelayKeys {
    keys: BTreeMap<(PublicKey, bool), Zeroizing<[u8; 32]>>,
}

impl RelayKeys {
    /// The key of one direction between the owner of `mine` and `other`.
    fn key(
        &mut self,
        mine: &SigningKey,
        other: &PublicKey,
        ledger: &LedgerId,
        sends: bool,
    ) -> Result<Zeroizing<[u8; 32]>, NotAKey> {
        if let Some(key) = self.keys.get(&(*other, sends)) {
            return Ok(key.clone());
        }
        let shared = mine.shared_secret(other)?;
        let own = mine.public();
        let (from, to) = if sends { (&own, other) } else { (other, &own) };
        let key = Zeroizing::new(digest(Tag::Relay, &(*shared, ledger, from, to)).0);
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        self.keys.insert((*other, sends), key.clone());
        Ok(key)
    }

    /// Seals `body` for `to`.
    ///
    /// # Errors
    /// [`RelayError::Key`]; [`RelayError::TooLong`].
    pub fn seal(
        &mut self,
        body: &Body,
        from: &SigningKey,
        to: &PublicKey,
        ledger: &LedgerId,
    ) -> Result<Ciphertext, RelayError> {
        let key = self.key(from, to, ledger, true)?;
        let plain = Zeroizing::new(encode(body));
        let nonce = hash_many(Tag::RelayNonce, &[key.as_slice(), &plain]);
        let nonce = nonce.0.first_chunk::<NONCE_BYTES>().ok_or(RelayError::NotAuthentic)?;
        let aad = aad(&from.public(), to);
        let sealing = Sealing { msg: plain.as_slice(), aad: &aad };
        let cipher = XChaCha20Poly1305::new(&(*key).into());
        let sealed =
            cipher.encrypt(&(*nonce).into(), sealing).map_err(|_| RelayError::NotAuthentic)?;
        let bytes = [&[VERSION], nonce.as_slice(), &sealed].concat();
        Bounded::new(bytes).map_err(|_| RelayError::TooLong)
    }

    /// What `from` has sealed for the owner of `to`.
    ///
    /// # Errors
    /// [`RelayError::NotAuthentic`]; [`RelayError::Key`] when `from` is no key.
    pub fn open(
        &mut self,
        ciphertext: &Ciphertext,
        from: &PublicKey,
        to: &SigningKey,
        ledger: &LedgerId,
    ) -> Result<Body, RelayError> {
        let bytes = ciphertext.as_slice();
        let (version, rest) = bytes.split_first().ok_or(RelayError::NotAuthentic)?;
        let (nonce, sealed) =
            rest.split_first_chunk::<NONCE_BYTES>().ok_or(RelayError::NotAuthentic)?;
        if *version != VERSION {
            return Err(RelayError::NotAuthentic);
        }
        let key = self.key(to, from, ledger, false)?;
        let aad = aad(from, &to.public());
        let sealing = Sealing { msg: sealed, aad: &aad };
        let cipher = XChaCha20Poly1305::new(&(*key).into());
        let plain = cipher.decrypt(&(*nonce).into(), sealing);
        let plain = Zeroizing::new(plain.map_err(|_| RelayError::NotAuthentic)?);
        decode(&plain).map_err(|_| RelayError::NotAuthentic)
    }
}

fn aad(from: &PublicKey, to: &PublicKey) -> Vec<u8> {
    [&[VERSION], from.as_slice(), to.as_slice()].concat()
}

#[cfg(test)]
mod tests;
