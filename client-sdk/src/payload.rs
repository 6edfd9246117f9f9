//! What travels with a lock from payer to payee, through hubs that can't read it.
//!
//! A payment of an invoice needs nothing: the payee knows what it asked for. Who is paid unasked
//! must learn the secret, what it is for and who paid, and be sure of all of it before it reveals
//! anything. So the payer seals that for the payee's key:
//!
//! ```text
//! version:u8 = 1 ‖ payer:[u8; 33] ‖ nonce:[u8; 24] ‖ XChaCha20-Poly1305(content, aad)
//! key  = H("payload", (shared, ledger, payer, payee))
//! aad  = version ‖ payer
//! shared = SHA-256 of the compressed point payer_key × payee_public
//! ```
//!
//! Nobody but these two can compute the key, so who can open it knows who sealed it; and it opens
//! on no other ledger and for no other pair. A copy of an old payload under a new lock gains
//! nothing: its anchor has been used. The payee could forge one to itself, which proves nothing to
//! anybody else and needs not.

use chacha20poly1305::aead::{Aead, Payload as Sealing};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Serialize};
use settlement::crypto::{NotAKey, SigningKey, Tag, digest};
use settlement::encoding::{decode, encode};
use settlement::types::{Amount, Anchor, AssetId, LedgerId, PublicKey, Secret};
use settlement::update::Payload;

/// The most bytes of a memo: with it the sealed payload stays under the 512 bytes of a lock's.
pub const MEMO_MAX: usize = 256;

const VERSION: u8 = 1;
const NONCE_AT: usize = 1 + PublicKey::LEN;
const NONCE_BYTES: usize = 24;

/// What a payer tells the payee of a payment that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How the payee comes to the secret.
    pub key: ContentKey,
    /// What one step is worth to the payee, fees taken off.
    pub unit: Amount,
    /// How many steps.
    pub steps: u32,
    /// Of which asset.
    pub asset: AssetId,
    /// What it is locked to.
    pub anchor: Anchor,
    /// What for, at most [`MEMO_MAX`] bytes.
    pub memo: String,
}

/// A stream's name: fresh randomness of its payer's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId(pub [u8; 16]);

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// How the payee comes to the secret. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentKey {
    /// A single payment: the secret itself.
    Secret(Secret),
    /// A lock of a stream: the payer hands the steps over one by one ([`crate::relay`]).
    Stream {
        /// Names the stream, among all of this payer's to this payee.
        stream: StreamId,
        /// Which of the stream's locks this is, from 0.
        number: u32,
    },
}

/// Why a payload was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// The other side's key is no point of the curve.
    #[error(transparent)]
    Key(#[from] NotAKey),
    /// The memo does not fit.
    #[error("the memo has {0} bytes, where at most {MEMO_MAX} are allowed")]
    MemoTooLong(usize),
    /// Cut short, of another version, or not sealed by the payer that it names for this payee on
    /// this ledger.
    #[error("the payload can't be read or is not authentic")]
    NotAuthentic,
}

/// Seals `content` from the owner of `payer` for `payee`. `nonce` is fresh randomness: one that is
/// used twice between the same two keys gives both contents away.
///
/// # Errors
/// [`PayloadError::MemoTooLong`]; [`PayloadError::Key`] when `payee` is no key.
pub fn seal(
    content: &Content,
    payer: &SigningKey,
    payee: &PublicKey,
    ledger: &LedgerId,
    nonce: &[u8; NONCE_BYTES],
) -> Result<Payload, PayloadError> {
    let too_long = PayloadError::MemoTooLong(content.memo.len());
    if content.memo.len() > MEMO_MAX {
        return Err(too_long);
    }
    let from = payer.public();
    let cipher = cipher(payer, payee, &(ledger, &from, payee))?;
    let head = [&[VERSION], from.as_slice()].concat();
    let plain = zeroize::Zeroizing::new(encode(content));
    let sealing = Sealing { msg: plain.as_slice(), aad: &head };
    let sealed =
        cipher.encrypt(&(*nonce).into(), sealing).map_err(|_| PayloadError::NotAuthentic)?;
    Payload::new([head.as_slice(), nonce, &sealed].concat()).map_err(|_| too_long)
}

/// The payer and the content of a payload that was sealed for the owner of `payee`.
///
/// # Errors
/// [`PayloadError::NotAuthentic`].
pub fn open(
    payload: &Payload,
    payee: &SigningKey,
    ledger: &LedgerId,
) -> Result<(PublicKey, Content), PayloadError> {
    let bytes = payload.as_slice();
    let (head, rest) = bytes.split_at_checked(NONCE_AT).ok_or(PayloadError::NotAuthentic)?;
    let (nonce, sealed) =
        rest.split_first_chunk::<NONCE_BYTES>().ok_or(PayloadError::NotAuthentic)?;
    let (version, payer) = head.split_first().ok_or(PayloadError::NotAuthentic)?;
    let payer = PublicKey(payer.try_into().map_err(|_| PayloadError::NotAuthentic)?);
    if *version != VERSION {
        return Err(PayloadError::NotAuthentic);
    }
    let to = payee.public();
    let cipher =
        cipher(payee, &payer, &(ledger, &payer, &to)).map_err(|_| PayloadError::NotAuthentic)?;
    let sealing = Sealing { msg: sealed, aad: head };
    let plain = cipher.decrypt(&(*nonce).into(), sealing);
    let plain = zeroize::Zeroizing::new(plain.map_err(|_| PayloadError::NotAuthentic)?);
    let content: Content = decode(&plain).map_err(|_| PayloadError::NotAuthentic)?;
    if content.memo.len() > MEMO_MAX {
        Err(PayloadError::NotAuthentic)
    } else {
        Ok((payer, content))
    }
}

type Binding<'a> = (&'a LedgerId, &'a PublicKey, &'a PublicKey);

fn cipher(
    mine: &SigningKey,
    theirs: &PublicKey,
    binding: &Binding<'_>,
) -> Result<XChaCha20Poly1305, NotAKey> {
    let shared = mine.shared_secret(theirs)?;
    let key = zeroize::Zeroizing::new(digest(Tag::Payload, &(*shared, binding)).0);
    Ok(XChaCha20Poly1305::new(&(*key).into()))
}

#[cfg(test)]
mod tests;
