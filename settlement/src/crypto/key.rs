//! secp256k1 keys behind types of our own.

use std::fmt;
use std::sync::LazyLock;

use secp256k1::{Secp256k1, SignOnly, VerifyOnly, ecdh, ecdsa};
use zeroize::Zeroizing;

use super::SignatureError;
use crate::bugs::{Bug, planted};
use crate::types::{Hash, PublicKey, Signature};

/// Bytes that are no key: zero or above the curve's order, or no compressed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no secp256k1 key")]
pub struct NotAKey;

/// Checking makes no use of a secret, so there is nothing to blind.
static VERIFIER: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// A private key. Wiped from memory when dropped and never printed.
pub struct SigningKey {
    secret: secp256k1::SecretKey,
    public: PublicKey,
    /// Blinded against who measures the machine, once and by something that only the key's owner
    /// knows. To blind it anew for each signature would cost as much as the signature.
    signer: Secp256k1<SignOnly>,
}

impl SigningKey {
    /// The key whose 32 big-endian bytes these are.
    ///
    /// # Errors
    /// [`NotAKey`] for zero and for values at or above the curve's order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<SigningKey, NotAKey> {
        let secret = secp256k1::SecretKey::from_byte_array(bytes).map_err(|_| NotAKey)?;
        let mut signer = Secp256k1::signing_only();
        signer.seeded_randomize(&bytes);
        let public = secp256k1::PublicKey::from_secret_key(&signer, &secret);
        Ok(SigningKey { secret, public: PublicKey(public.serialize()), signer })
    }

    /// The private key's 32 bytes, for the file that keeps them.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.secret_bytes())
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// A compact low-S ECDSA signature over a digest; deterministic (RFC 6979).
    pub fn sign(&self, digest: &Hash) -> Signature {
        let message = secp256k1::Message::from_digest(digest.0);
        Signature(self.signer.sign_ecdsa(message, &self.secret).serialize_compact())
    }

    /// What the owner of this key and the owner of `other` alone can compute: SHA-256 of the
    /// compressed point that one's private key makes of the other's public key. Hash it under a
    /// purpose tag before it is used as a key.
    ///
    /// # Errors
    /// [`NotAKey`] when `other` names no point of the curve.
    pub fn shared_secret(&self, other: &PublicKey) -> Result<Zeroizing<[u8; 32]>, NotAKey> {
        let point = VerifyingKey::parse(other)?.point;
        let mut shared = ecdh::SharedSecret::new(&point, &self.secret);
        let bytes = Zeroizing::new(shared.secret_bytes());
        shared.non_secure_erase();
        Ok(bytes)
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

/// A public key, parsed once and then used often: parsing costs a seventh of a verification.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey {
    point: secp256k1::PublicKey,
}

impl VerifyingKey {
    /// The point that these 33 bytes name.
    ///
    /// # Errors
    /// [`NotAKey`] when they name no point of the curve.
    pub fn parse(key: &PublicKey) -> Result<VerifyingKey, NotAKey> {
        let point = secp256k1::PublicKey::from_byte_array_compressed(key.0);
        point.map(|point| VerifyingKey { point }).map_err(|_| NotAKey)
    }

    /// The bytes it was parsed from.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.point.serialize())
    }

    /// Checks a compact signature over a digest. High-S signatures are refused: the library
    /// verifies only the lower half, and nothing here normalises.
    ///
    /// # Errors
    /// [`SignatureError::Invalid`].
    pub fn verify(&self, digest: &Hash, signature: &Signature) -> Result<(), SignatureError> {
        let parsed = ecdsa::Signature::from_compact(&signature.0);
        let mut signature = parsed.map_err(|_| SignatureError::Invalid)?;
        if planted(Bug::HighSTaken) {
            signature.normalize_s();
        }
        let message = secp256k1::Message::from_digest(digest.0);
        let verified = VERIFIER.verify_ecdsa(message, &signature, &self.point);
        verified.map_err(|_| SignatureError::Invalid)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({:?})", self.public())
    }
}
