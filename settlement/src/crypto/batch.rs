//! Batch signatures: one ECDSA signature over the Merkle root of up to 256 digests.
//!
//! A lone signature is a batch of one. The salt in each leaf keeps a neighbour, who sees the leaf's
//! hash as a sibling, from guessing the proof under it.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::hash::{node, parents};
use super::{Signable, SignatureError, SigningKey, Tag, VerifyingKey, digest, hash_many};
use crate::bugs::{Bug, planted};
use crate::types::{Hash, PublicKey, Salt, Signature};

/// The most digests under one signature.
pub const BATCH_MAX: usize = 256;

/// The way from a leaf to the signed root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MerklePath {
    /// Fresh randomness, hashed into the leaf.
    pub salt: Salt,
    /// Which leaf, from 0.
    pub index: u8,
    /// How many leaves the batch has, 1 to 256.
    pub leaf_count: u16,
    /// The hashes beside the way up, lowest first. A level on which the node is odd has none.
    pub siblings: Vec<Hash>,
}

impl MerklePath {
    /// The root that `digest` leads to.
    ///
    /// # Errors
    /// [`SignatureError::Path`] when the shape is wrong.
    pub fn root(&self, digest: &Hash) -> Result<Hash, SignatureError> {
        let (mut at, mut count) = (usize::from(self.index), usize::from(self.leaf_count));
        if count == 0 || count > BATCH_MAX || at >= count {
            return Err(SignatureError::Path);
        }
        let mut hash = leaf(&self.salt, digest);
        let mut siblings = self.siblings.iter();
        while count > 1 {
            let odd = at + 1 == count && count % 2 == 1;
            if !odd {
                let sibling = siblings.next().ok_or(SignatureError::Path)?;
                hash = if at % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
            }
            at /= 2;
            count = count.div_ceil(2);
        }
        if siblings.next().is_some() && !planted(Bug::LongPathTaken) {
            Err(SignatureError::Path)
        } else {
            Ok(hash)
        }
    }
}

fn leaf(salt: &Salt, digest: &Hash) -> Hash {
    hash_many(Tag::Leaf, &[salt.as_slice(), digest.as_slice()])
}

/// `H("batch", (root, leaf_count))`: what the signature of a batch is over.
pub fn batch_root(root: &Hash, leaf_count: u16) -> Hash {
    digest(Tag::Batch, &(root, leaf_count))
}

/// Signs all digests with one signature; the paths come in the same order.
///
/// Takes at most [`BATCH_MAX`] digests, each with a salt that was never used before; what is above
/// is left out of the answer.
pub fn sign_batch(key: &SigningKey, digests: &[(Hash, Salt)]) -> Vec<(Signature, MerklePath)> {
    let digests = digests.get(..BATCH_MAX).unwrap_or(digests);
    let leaf_count = u16::try_from(digests.len()).unwrap_or(0);
    let mut paths: Vec<MerklePath> = (0..=u8::MAX)
        .zip(digests)
        .map(|(index, (_, salt))| MerklePath { salt: *salt, index, leaf_count, siblings: vec![] })
        .collect();
    let mut level: Vec<Hash> = digests.iter().map(|(digest, salt)| leaf(salt, digest)).collect();
    let mut height = 0;
    while level.len() > 1 {
        for path in &mut paths {
            let beside = (usize::from(path.index) >> height) ^ 1;
            path.siblings.extend(level.get(beside));
        }
        level = parents(&level);
        height += 1;
    }
    let Some(root) = level.first() else {
        return Vec::new();
    };
    let signature = key.sign(&batch_root(root, leaf_count));
    paths.into_iter().map(|path| (signature, path)).collect()
}

/// A value with a signature that covers it, alone or in a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What is signed.
    pub value: T,
    /// Over the batch's root.
    pub signature: Signature,
    /// From the value's digest to the root.
    pub path: MerklePath,
}

impl<T: Signable> Signed<T> {
    /// Signs one value alone. `salt` is fresh randomness.
    pub fn alone(key: &SigningKey, value: T, salt: Salt) -> Signed<T> {
        let path = MerklePath { salt, index: 0, leaf_count: 1, siblings: Vec::new() };
        let root = leaf(&salt, &value.digest());
        let signature = key.sign(&batch_root(&root, 1));
        Signed { value, signature, path }
    }

    /// Checks the signature, asking `cache` first and telling it after.
    ///
    /// # Errors
    /// [`SignatureError`]; the cache is then as it was.
    pub fn verify(
        self,
        key: &VerifyingKey,
        cache: &mut BatchCache,
    ) -> Result<Verified<T>, SignatureError> {
        let root = self.path.root(&self.value.digest())?;
        let leaf_count = self.path.leaf_count;
        // A batch of one is never seen again: it would only push others out.
        let batch = (leaf_count > 1).then(|| (key.public(), root, leaf_count));
        if batch.as_ref().is_some_and(|batch| cache.knows(batch, &self.signature)) {
            return Ok(Verified { signed: self });
        }
        cache.checked = cache.checked.saturating_add(1);
        key.verify(&batch_root(&root, leaf_count), &self.signature)?;
        if let Some(batch) = batch {
            cache.remember(batch, self.signature);
        }
        Ok(Verified { signed: self })
    }

    /// Checks the signature without a cache.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_alone(self, key: &VerifyingKey) -> Result<Verified<T>, SignatureError> {
        let root = self.path.root(&self.value.digest())?;
        key.verify(&batch_root(&root, self.path.leaf_count), &self.signature)?;
        Ok(Verified { signed: self })
    }
}

/// A signed value whose signature was checked. The checks above are its only doors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T> {
    signed: Signed<T>,
}

impl<T> Verified<T> {
    /// What was signed.
    pub fn value(&self) -> &T {
        &self.signed.value
    }

    /// The value with its signature.
    pub fn signed(&self) -> &Signed<T> {
        &self.signed
    }

    /// The value with its signature, to keep.
    pub fn into_signed(self) -> Signed<T> {
        self.signed
    }
}

type Batch = (PublicKey, Hash, u16);

/// Batches whose signature was checked: (key, root, leaf count) to the signature's bytes. Other
/// bytes for a known batch are checked afresh, never taken on its credit.
#[derive(Debug)]
pub struct BatchCache {
    capacity: usize,
    checked: u64,
    known: HashMap<Batch, Signature>,
    oldest_first: VecDeque<Batch>,
}

impl BatchCache {
    /// A cache of at most `capacity` batches (about 300 bytes each); the oldest goes first.
    pub fn new(capacity: usize) -> BatchCache {
        let (known, oldest_first) = (HashMap::new(), VecDeque::new());
        BatchCache { capacity, checked: 0, known, oldest_first }
    }

    /// How many signatures were checked, rather than known already.
    pub fn checked(&self) -> u64 {
        self.checked
    }

    fn knows(&self, batch: &Batch, signature: &Signature) -> bool {
        let known = self.known.get(batch);
        known == Some(signature) || known.is_some() && planted(Bug::KnownBatchTaken)
    }

    fn remember(&mut self, batch: Batch, signature: Signature) {
        if self.capacity == 0 {
            return;
        }
        if self.known.insert(batch, signature).is_none() {
            self.oldest_first.push_back(batch);
        }
        if self.oldest_first.len() > self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// How many batches it holds.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
