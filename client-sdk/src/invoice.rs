//! Invoices: what a payee asks for, signed, in a text that people pass around.
//!
//! The text is bech32m (BIP-350) with the human-readable part `phi`, over the bytes
//! `version ‖ body ‖ signature`: version 1 is one byte, the body is [`Invoice`] in postcard, the
//! signature 64 bytes of the payee's over `H("invoice", body)`. The longest invoice has under 800
//! characters, which is within the 1,023 that bech32m's checksum is made for. Capital letters are
//! taken (they make smaller QR codes), mixed ones are not; a leading `hubpay:` is taken too.
//!
//! A mistyped letter fails the checksum; any other change fails the signature; and a text that
//! decodes but is not the one way to write its invoice is refused.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use serde::{Deserialize, Serialize};
use settlement::crypto::{Signable, SigningKey, Tag, VerifyingKey};
use settlement::encoding::{decode, encode};
use settlement::types::{Amount, Anchor, AssetId, Height, LedgerId, PublicKey, Signature};

/// The human-readable part of the text.
pub const HRP: &str = "phi";
/// What may stand before the text, in either case.
pub const URI_PREFIX: &str = "hubpay:";
/// The most bytes of a memo.
pub const MEMO_MAX: usize = 256;
/// The version of the bytes under the text.
const VERSION: u8 = 1;

/// What a payee asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// Which ledger settles it.
    pub ledger: LedgerId,
    /// Who asks, and signs.
    pub payee: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// How much, at least 1.
    pub amount: Amount,
    /// SHA-256 of the payee's secret. It names the payment, and is used once.
    pub anchor: Anchor,
    /// The last height at which it can be paid.
    pub expires: Height,
    /// What for, at most [`MEMO_MAX`] bytes.
    pub memo: String,
    /// The hub that serves the payee, if it says so.
    pub hub: Option<PublicKey>,
}

impl Signable for Invoice {
    const TAG: Tag = Tag::Invoice;
}

/// Why a text is not taken as an invoice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// Not bech32m: a wrong letter, a part missing, capitals and small letters mixed.
    #[error("the invoice is mistyped or cut short")]
    Text,
    /// Some other bech32m text.
    #[error("the text begins with `{0}` where an invoice begins with `{HRP}`")]
    Kind(String),
    /// Made by a newer program.
    #[error("the invoice has version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// Well typed, but the bytes under it are no invoice.
    #[error("the invoice is damaged")]
    Body,
    /// The payee's key did not sign this.
    #[error("the invoice is not signed by its payee")]
    Signature,
    /// Asks for nothing.
    #[error("the invoice asks for an amount of zero")]
    ZeroAmount,
    /// A longer memo than allowed.
    #[error("the memo has {0} bytes, where at most {MEMO_MAX} are allowed")]
    MemoTooLong(usize),
    /// The signing key is another one than the payee's.
    #[error("an invoice is signed with its payee's key")]
    WrongKey,
}

/// An invoice out of a text whose payee's signature was checked: there is no other way to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedInvoice(Invoice);

impl CheckedInvoice {
    /// The invoice in a text, as [`Invoice::parse`].
    ///
    /// # Errors
    /// As [`Invoice::parse`].
    pub fn parse(text: &str) -> Result<CheckedInvoice, InvoiceError> {
        Invoice::parse(text).map(CheckedInvoice)
    }

    /// The invoice, for whoever pays it.
    pub fn into_inner(self) -> Invoice {
        self.0
    }
}

impl Invoice {
    /// The text, signed with the payee's key; lower case, without `hubpay:`.
    ///
    /// # Errors
    /// [`InvoiceError::ZeroAmount`], [`InvoiceError::MemoTooLong`], [`InvoiceError::WrongKey`].
    pub fn to_text(&self, key: &SigningKey) -> Result<String, InvoiceError> {
        self.check()?;
        if key.public() != self.payee {
            return Err(InvoiceError::WrongKey);
        }
        self.write(&key.sign(&self.digest()))
    }

    /// The invoice in a text, whose payee's signature was checked. That it is for this ledger, not
    /// expired and not paid yet is for the caller to see.
    ///
    /// # Errors
    /// [`InvoiceError`]; all of them are [`settlement::reject::Code::BadInvoice`] to a user.
    pub fn parse(text: &str) -> Result<Invoice, InvoiceError> {
        let text = without_prefix(text.trim());
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| InvoiceError::Text)?;
        if checked.hrp().to_lowercase() != HRP {
            return Err(InvoiceError::Kind(checked.hrp().to_lowercase()));
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let (version, rest) = bytes.split_first().ok_or(InvoiceError::Body)?;
        if *version != VERSION {
            return Err(InvoiceError::Version(*version));
        }
        let (body, signature) = rest.split_last_chunk::<64>().ok_or(InvoiceError::Body)?;
        let (invoice, signature) =
            (decode::<Invoice>(body).map_err(|_| InvoiceError::Body)?, Signature(*signature));
        invoice.check()?;
        let key = VerifyingKey::parse(&invoice.payee).map_err(|_| InvoiceError::Signature)?;
        let signed = key.verify(&invoice.digest(), &signature);
        signed.map_err(|_| InvoiceError::Signature)?;
        // The bits that pad the last letter are under no signature.
        let canonical = invoice.write(&signature)?;
        if canonical == text.to_lowercase() { Ok(invoice) } else { Err(InvoiceError::Body) }
    }

    fn check(&self) -> Result<(), InvoiceError> {
        if self.amount == Amount::ZERO {
            return Err(InvoiceError::ZeroAmount);
        }
        let bytes = self.memo.len();
        if bytes > MEMO_MAX { Err(InvoiceError::MemoTooLong(bytes)) } else { Ok(()) }
    }

    fn write(&self, signature: &Signature) -> Result<String, InvoiceError> {
        let bytes = [&[VERSION], encode(self).as_slice(), signature.as_slice()].concat();
        let hrp = Hrp::parse(HRP).map_err(|_| InvoiceError::Text)?;
        bech32::encode_lower::<Bech32m>(hrp, &bytes).map_err(|_| InvoiceError::Text)
    }
}

fn without_prefix(text: &str) -> &str {
    match text.split_at_checked(URI_PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(URI_PREFIX) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests;
