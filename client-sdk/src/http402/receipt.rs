//! What a payee says that it was paid, for whoever checks the books later.
//!
//! A receipt is signed by the payee over everything in it: which resource, whose steps, how many of
//! them this response cost so far, and how far the stream was by then. With the lock's anchor and
//! the newest secret (which the payer has, and the payee shows when it redeems) it says all that an
//! auditor needs: the chain proves what was paid, the receipt what for. While the payee runs, `served` only
//! grows along a stream, and never beyond `paid` but for the credit that it gives. Two receipts that differ
//! over one session prove nothing by themselves: the payer chooses the session, and may use it again
//! once the payee has forgotten it.

use serde::{Deserialize, Serialize};
use settlement::crypto::{Signable, SigningKey, Tag, VerifyingKey, hash_many};
use settlement::types::{Amount, AssetId, LedgerId, PublicKey, Signature};

use super::challenge::HEADER_MAX;
use super::session::{SessionId, stream_hex};
use super::time::rfc3339;
use crate::wallet::stream::StreamId;

/// The payment method's name.
pub const METHOD: &str = "payhub";
/// The longest target that is written out in a receipt, in bytes.
const TARGET_MAX: usize = 512;
/// How much is shown of a longer one.
const SHOWN_CHARS: usize = 64;

/// What a receipt's signature is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    /// Which ledger settles it.
    pub ledger: LedgerId,
    /// Who was paid, and signs.
    pub payee: PublicKey,
    /// Who paid.
    pub payer: PublicKey,
    /// With which of its streams.
    #[serde(with = "stream_hex")]
    pub stream: StreamId,
    /// Of which asset.
    pub asset: AssetId,
    /// What a step is worth.
    pub unit: Amount,
    /// Which response: the payer's fresh randomness.
    pub session: SessionId,
    /// What was asked for, as [`resource`] writes it.
    pub resource: String,
    /// How many steps this response has cost so far.
    pub steps: u64,
    /// How many steps all responses to this stream have cost since the payee's process started.
    pub served: u64,
    /// How many steps of the stream the payee holds.
    pub paid: u64,
    /// The payee's clock, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Signable for ReceiptBody {
    const TAG: Tag = Tag::Receipt;
}

/// See the module. As JSON it has the fields that every `Payment-Receipt` has besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`METHOD`].
    pub method: String,
    /// The session, once more.
    pub reference: String,
    /// `success`.
    pub status: String,
    /// The time, as RFC 3339 writes it.
    pub timestamp: String,
    /// What is signed.
    #[serde(flatten)]
    pub body: ReceiptBody,
    /// The payee's signature over it.
    pub signature: Signature,
}

/// The receipt is not the payee's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receipt is not signed by the payee that it names")]
pub struct BadReceipt;

impl Receipt {
    /// The receipt that says this, signed by `key`.
    pub fn sign(body: ReceiptBody, key: &SigningKey) -> Receipt {
        let signature = key.sign(&body.digest());
        Receipt {
            method: METHOD.to_owned(),
            reference: body.session.to_string(),
            status: "success".to_owned(),
            timestamp: rfc3339(body.time_ms),
            body,
            signature,
        }
    }

    /// The receipt in a JSON text of at most 16 KiB. Reading takes some twenty times its bytes.
    ///
    /// # Errors
    /// When it is longer, or none.
    pub fn from_json(json: &[u8]) -> Result<Receipt, serde_json::Error> {
        if json.len() > HEADER_MAX {
            return Err(serde::de::Error::custom("it is longer than any receipt"));
        }
        serde_json::from_slice(json)
    }

    /// Checks that the payee has signed it. What stands beside the signed part has to say the same.
    ///
    /// # Errors
    /// [`BadReceipt`].
    pub fn verify(&self) -> Result<(), BadReceipt> {
        let Receipt { body, signature, .. } = self;
        let said = (self.method.as_str(), self.status.as_str(), self.reference.as_str());
        let same = said == (METHOD, "success", body.session.to_string().as_str())
            && self.timestamp == rfc3339(body.time_ms);
        let key = VerifyingKey::parse(&body.payee).map_err(|_| BadReceipt)?;
        key.verify(&body.digest(), signature).map_err(|_| BadReceipt)?;
        if same { Ok(()) } else { Err(BadReceipt) }
    }

    /// What this response has cost so far, in base units.
    pub fn amount(&self) -> Amount {
        Amount(self.body.unit.0.saturating_mul(self.body.steps))
    }
}

/// A resource as receipts name it: method, realm and target. Of a target that is longer than 512
/// bytes it has the beginning and a hash of the whole.
pub fn resource(method: &str, realm: &str, target: &str) -> String {
    if target.len() <= TARGET_MAX {
        return format!("{method} {realm}{target}");
    }
    let shown: String = target.chars().take(SHOWN_CHARS).collect();
    let whole = hash_many(Tag::Receipt, &[target.as_bytes()]);
    format!("{method} {realm}{shown}~{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_longer_than_any_receipt_is_not_read() {
        let key = SigningKey::from_bytes([2; 32]).unwrap();
        let body = ReceiptBody {
            ledger: LedgerId([1; 32]),
            payee: key.public(),
            payer: key.public(),
            stream: StreamId([3; 16]),
            asset: AssetId(0),
            unit: Amount(1),
            session: SessionId([4; 16]),
            // Each takes six characters: no target is written longer.
            resource: resource("GET", "api.example", &"\u{1}".repeat(TARGET_MAX)),
            steps: u64::MAX,
            served: u64::MAX,
            paid: u64::MAX,
            time_ms: u64::MAX,
        };
        let receipt = Receipt::sign(body, &key);
        let mut text = serde_json::to_vec(&receipt).unwrap();
        assert!(text.len() < HEADER_MAX / 2, "{}", text.len());
        assert_eq!(Receipt::from_json(&text).unwrap(), receipt);
        text.resize(HEADER_MAX, b' ');
        assert!(Receipt::from_json(&text).is_ok());
        text.push(b' ');
        assert!(Receipt::from_json(&text).is_err());
    }
}
