//! `signatures.txt`: deterministic signatures (RFC 6979), alone and in a batch.

use super::{assert_frozen, fixed};
use crate::crypto::{Signable, Signed, VerifyingKey, sign_batch};
use crate::proof::BalanceProof;
use crate::types::{Hash, Salt};

#[test]
fn signatures_are_frozen() {
    let mut lines = Vec::new();
    let digests = [Hash([0; 32]), Hash([0xff; 32]), fixed::proof().digest()];
    for byte in [1, 2] {
        let key = fixed::key(byte);
        for digest in digests {
            lines.push(format!(
                "key {} public {} digest {digest} signature {}",
                hex::encode(*key.to_bytes()),
                key.public(),
                key.sign(&digest)
            ));
        }
    }
    for (count, index) in [(1u8, 0), (3, 0), (3, 1), (3, 2), (5, 4)] {
        lines.push(batch_line(count, index));
    }
    assert_frozen("signatures.txt", &lines);
}

/// A vector that other implementations of RFC 6979 on this curve publish: key 1, SHA-256 of "Satoshi
/// Nakamoto".
#[test]
fn signing_agrees_with_a_published_vector() {
    use sha2::{Digest, Sha256};
    let mut one = [0; 32];
    one[31] = 1;
    let key = crate::crypto::SigningKey::from_bytes(one).expect("a key");
    let signature = key.sign(&Hash(Sha256::digest(b"Satoshi Nakamoto").into()));
    let published = "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
                     2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5";
    assert_eq!(signature.to_string(), published);
}

/// Proofs that differ in their seq alone: 513, 514, and so on, salted 0x50, 0x51, and so on.
fn batch_line(count: u8, index: u8) -> String {
    let key = fixed::key(2);
    let proof = |at: u8| BalanceProof { seq: 513 + u64::from(at), ..fixed::proof() };
    let leaves: Vec<_> = (0..count).map(|at| (proof(at).digest(), Salt([0x50 + at; 16]))).collect();
    let (signature, path) = sign_batch(&key, &leaves)[usize::from(index)].clone();
    let value = proof(index);
    let root = path.root(&value.digest()).expect("the path has its shape");
    let siblings: Vec<String> = path.siblings.iter().map(Hash::to_string).collect();
    let line = format!(
        "batch {count} index {index} salt {} digest {} siblings [{}] root {root} signature {signature}",
        path.salt,
        value.digest(),
        siblings.join(" "),
    );
    let key = VerifyingKey::parse(&key.public()).expect("a point");
    Signed { value, signature, path }.verify_alone(&key).expect("it verifies");
    line
}
