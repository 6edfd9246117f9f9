//! Hashes, keys and signatures: the only module that names the curve or the hash function.
//!
//! Every hash and every signature has a purpose tag ([`Tag`]) and reaches the ledger's id, directly
//! or through the channel's: nothing signed for one ledger, channel, direction or purpose is valid
//! for another.

mod batch;
mod hash;
mod key;
mod way;

pub use batch::{BATCH_MAX, BatchCache, MerklePath, Signed, Verified, batch_root, sign_batch};
pub(crate) use hash::node;
pub use hash::{Tag, chain_step, chain_to, digest, hash_many, merkle_root};
pub use key::{NotAKey, SigningKey, VerifyingKey};
pub(crate) use way::{Beside, way_up};

use crate::types::Hash;

/// A value that parties sign: its digest under its own purpose tag is what is signed.
pub trait Signable: serde::Serialize {
    /// The purpose. No two signed types share one.
    const TAG: Tag;

    /// `H(tag, value)`.
    fn digest(&self) -> Hash {
        digest(Self::TAG, self)
    }
}

/// Why a signature was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a compact low-S signature, or not by this key over this value.
    #[error("the signature does not fit the key and the value")]
    Invalid,
    /// The Merkle path of a batch signature has a wrong shape: no or more than 256 leaves, an index
    /// beyond them, or not exactly the siblings that the index needs.
    #[error("the batch path is malformed")]
    Path,
}

#[cfg(test)]
mod tests;
