//! The answer to a demand: steps, sealed for the payee and bound to the request that they pay.
//!
//! ```text
//! Authorization: Payment <base64url of the credential's JSON>
//! sealed = version:u8 = 1 ‖ nonce:[u8; 24] ‖ XChaCha20-Poly1305(handing, aad)
//! key    = H("payment", (shared, ledger, payer, payee))
//! aad    = challenge id, action, method, realm, target, payer, stream
//! ```
//!
//! Nobody but the two can make or read what is sealed: who reads the header on the way, or in a log,
//! learns no step, can't turn it to another resource or another server, and can't add to it. The
//! nonce is fresh randomness and names the credential, so the payee takes it once.

use chacha20poly1305::aead::{Aead, Payload as Sealing};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Serialize};
use settlement::crypto::{NotAKey, SigningKey, Tag, digest};
use settlement::encoding::{decode, encode};
use settlement::types::{LedgerId, PublicKey};
use zeroize::Zeroizing;

use super::challenge::{Challenge, HEADER_MAX, SCHEME, base64, unbase64};
use super::session::{SessionId, stream_hex};
use crate::relay::StepToken;
use crate::wallet::stream::StreamId;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
/// The most steps tokens in one credential: the newest of as many locks.
pub(super) const TOKENS_MAX: usize = 8;

/// Names a credential: fresh randomness.
pub type Nonce = [u8; NONCE_BYTES];

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// This request is to be served and paid for.
    Open,
    /// More steps for a response that is under way.
    Voucher,
    /// A response that is under way ends; the answer has its last receipt.
    Close,
}

/// What is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handing {
    /// Which response it is for.
    pub session: SessionId,
    /// How many of the stream's steps are for that response.
    pub steps: u32,
    /// The newest steps: of each lock that the payee may not have heard of, at most 8.
    pub tokens: Vec<StepToken>,
}

/// What a credential is for, and for nothing else.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bound<'a> {
    /// The demand's id.
    pub challenge: &'a str,
    /// What is wanted.
    pub action: Action,
    /// The request's method, such as `GET`.
    pub method: &'a str,
    /// The demand's realm.
    pub realm: &'a str,
    /// The request's path, with its query.
    pub target: &'a str,
    /// Who pays.
    pub payer: PublicKey,
    /// With which of its streams.
    pub stream: StreamId,
}

/// What payer and payee alone can compute, for one direction.
#[derive(Clone)]
pub struct PaymentKey(Zeroizing<[u8; 32]>);

impl PaymentKey {
    /// The key as the owner of `mine` has it, who pays `payee`.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn of_payer(
        mine: &SigningKey,
        payee: &PublicKey,
        ledger: &LedgerId,
    ) -> Result<PaymentKey, NotAKey> {
        let shared = mine.shared_secret(payee)?;
        Ok(PaymentKey::of(&shared, ledger, &mine.public(), payee))
    }

    /// The key as the owner of `mine` has it, whom `payer` pays.
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn of_payee(
        mine: &SigningKey,
        payer: &PublicKey,
        ledger: &LedgerId,
    ) -> Result<PaymentKey, NotAKey> {
        let shared = mine.shared_secret(payer)?;
        Ok(PaymentKey::of(&shared, ledger, payer, &mine.public()))
    }

    fn of(
        shared: &[u8; 32],
        ledger: &LedgerId,
        payer: &PublicKey,
        payee: &PublicKey,
    ) -> PaymentKey {
        PaymentKey(Zeroizing::new(digest(Tag::Payment, &(shared, ledger, payer, payee)).0))
    }

    /// Seals what is handed over under a nonce that is never used again.
    pub fn seal(&self, handing: &Handing, bound: &Bound<'_>, nonce: Nonce) -> Vec<u8> {
        let (plain, aad) = (Zeroizing::new(encode(handing)), encode(bound));
        let sealing = Sealing { msg: plain.as_slice(), aad: &aad };
        let sealed = XChaCha20Poly1305::new(&(*self.0).into()).encrypt(&nonce.into(), sealing);
        // It fails for what is longer than memory.
        [&[VERSION], nonce.as_slice(), &sealed.unwrap_or_default()].concat()
    }

    /// What was sealed for this and nothing else; `None` for anything else.
    pub fn open(&self, sealed: &[u8], bound: &Bound<'_>) -> Option<(Nonce, Handing)> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *version != VERSION {
            return None;
        }
        let aad = encode(bound);
        let sealing = Sealing { msg: sealed, aad: &aad };
        let plain = XChaCha20Poly1305::new(&(*self.0).into()).decrypt(&(*nonce).into(), sealing);
        let handing: Handing = decode(&Zeroizing::new(plain.ok()?)).ok()?;
        (handing.tokens.len() <= TOKENS_MAX).then_some((*nonce, handing))
    }
}

/// What an `Authorization` header carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The demand that it answers.
    pub challenge: Challenge,
    /// The payment.
    pub payload: CredentialPayload,
}

/// See [`Credential`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialPayload {
    /// What is wanted.
    pub action: Action,
    /// Who pays.
    pub payer: PublicKey,
    /// With which of its streams.
    #[serde(with = "stream_hex")]
    pub stream: StreamId,
    /// What is sealed, in base64url.
    pub sealed: String,
}

impl Credential {
    /// The header's value.
    pub fn to_header(&self) -> String {
        format!("{SCHEME} {}", base64(&serde_json::to_vec(self).unwrap_or_default()))
    }

    /// The credential in a header's value; `None` when the header is of another scheme,
    /// `Some(None)` when it is of this one and can't be read.
    pub fn from_header(value: &str) -> Option<Option<Credential>> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let read = || {
            let text = (rest.len() <= HEADER_MAX).then_some(rest.trim())?;
            serde_json::from_slice(&unbase64(text)?).ok()
        };
        Some(read())
    }

    /// What is sealed in it.
    pub(super) fn sealed(&self) -> Option<Vec<u8>> {
        unbase64(&self.payload.sealed)
    }

    pub(super) fn bound<'a>(
        &'a self,
        method: &'a str,
        realm: &'a str,
        target: &'a str,
    ) -> Bound<'a> {
        let CredentialPayload { action, payer, stream, .. } = self.payload;
        Bound { challenge: &self.challenge.id, action, method, realm, target, payer, stream }
    }
}

#[cfg(test)]
mod tests;
