use super::*;
use crate::types::{Anchor, Salt, Secret, Signature};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note(u64);

impl Signable for Note {
    const TAG: Tag = Tag::Proof;
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

fn verifying(key: &SigningKey) -> VerifyingKey {
    VerifyingKey::parse(&key.public()).unwrap()
}

/// n of the curve, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

fn high_s(signature: &Signature) -> Signature {
    let mut out = signature.0;
    let mut borrow = 0i32;
    for at in (0..32).rev() {
        let difference = i32::from(ORDER[at]) - i32::from(signature.0[32 + at]) - borrow;
        borrow = i32::from(difference < 0);
        out[32 + at] = difference.rem_euclid(256) as u8;
    }
    Signature(out)
}

#[test]
fn high_s_zero_and_out_of_range_signatures_are_refused() {
    let key = key(1);
    let digest = Note(1).digest();
    let good = key.sign(&digest);
    let mut r_zero = good;
    r_zero.0[..32].fill(0);
    let mut s_zero = good;
    s_zero.0[32..].fill(0);
    let mut r_order = good;
    r_order.0[..32].copy_from_slice(&ORDER);
    assert!(verifying(&key).verify(&digest, &good).is_ok());
    for bad in [high_s(&good), r_zero, s_zero, r_order] {
        assert_eq!(verifying(&key).verify(&digest, &bad), Err(SignatureError::Invalid));
    }
    assert_eq!(high_s(&high_s(&good)), good, "the helper negates s");
}

#[test]
fn signing_is_deterministic_and_two_messages_have_two_nonces() {
    let key = key(2);
    let (one, two) = (Note(1).digest(), Note(2).digest());
    assert_eq!(key.sign(&one), key.sign(&one));
    assert_ne!(key.sign(&one).0[..32], key.sign(&two).0[..32]);
}

#[test]
fn every_leaf_of_every_batch_size_verifies_and_no_other_value_does() {
    let key = key(3);
    for count in [1usize, 2, 3, 4, 5, 7, 8, 9, 31, 100, 255, 256] {
        let notes: Vec<Note> = (0..count as u64).map(Note).collect();
        let digests: Vec<_> = notes.iter().map(|n| (n.digest(), Salt([n.0 as u8; 16]))).collect();
        let mut cache = BatchCache::new(8);
        for (note, (signature, path)) in notes.iter().zip(sign_batch(&key, &digests)) {
            let signed = Signed { value: note.clone(), signature, path };
            let forged = Signed { value: Note(note.0 + 1), ..signed.clone() };
            assert!(forged.verify_alone(&verifying(&key)).is_err());
            assert!(signed.verify(&verifying(&key), &mut cache).is_ok(), "{count} leaves");
        }
        assert_eq!(cache.checked(), 1, "one check for {count} leaves");
    }
}

#[test]
fn a_path_of_the_wrong_shape_is_refused() {
    let key = key(4);
    let digests: Vec<_> = (0..5).map(|n| (Note(n).digest(), Salt([9; 16]))).collect();
    let (signature, path) = sign_batch(&key, &digests).remove(4);
    let extra = [path.siblings.clone(), vec![Hash::ZERO]].concat();
    let cases = [
        MerklePath { leaf_count: 0, ..path.clone() },
        MerklePath { leaf_count: 257, ..path.clone() },
        MerklePath { index: 5, ..path.clone() },
        MerklePath { siblings: vec![], ..path.clone() },
        MerklePath { siblings: extra, ..path.clone() },
    ];
    for path in cases {
        let signed = Signed { value: Note(4), signature, path: path.clone() };
        assert_eq!(signed.verify_alone(&verifying(&key)), Err(SignatureError::Path), "{path:?}");
    }
    // The right shape for another size leads to another root.
    let path = MerklePath { leaf_count: 6, siblings: vec![Hash::ZERO; 2], ..path };
    let signed = Signed { value: Note(4), signature, path };
    assert_eq!(signed.verify_alone(&verifying(&key)), Err(SignatureError::Invalid));
}

/// ⚔ Other signature bytes for a batch that was checked are checked afresh.
#[test]
fn other_bytes_for_a_known_batch_are_checked_afresh() {
    let key = key(5);
    let digests: Vec<_> = (0..2).map(|n| (Note(n).digest(), Salt([9; 16]))).collect();
    let (signature, path) = sign_batch(&key, &digests).remove(0);
    let signed = Signed { value: Note(0), signature, path };
    let mut cache = BatchCache::new(4);
    signed.clone().verify(&verifying(&key), &mut cache).unwrap();
    assert_eq!(cache.len(), 1);
    let forged = Signed { signature: Signature([1; 64]), ..signed.clone() };
    assert_eq!(forged.verify(&verifying(&key), &mut cache), Err(SignatureError::Invalid));
    assert!(signed.verify(&verifying(&key), &mut cache).is_ok());
}

#[test]
fn the_cache_forgets_the_oldest_beyond_its_capacity() {
    let key = key(6);
    let mut cache = BatchCache::new(2);
    for n in 0..5 {
        let digests = [(Note(n).digest(), Salt([1; 16])), (Note(99).digest(), Salt([2; 16]))];
        let (signature, path) = sign_batch(&key, &digests).remove(0);
        Signed { value: Note(n), signature, path }.verify(&verifying(&key), &mut cache).unwrap();
    }
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_chain_is_found_within_its_steps_and_not_beyond() {
    let secret = Secret([7; 32]);
    let mut value = secret.0;
    for _ in 0..5 {
        value = chain_step(&value);
    }
    let anchor = Anchor(value);
    assert_eq!(chain_to(&secret, &anchor, 5), Some(5));
    assert_eq!(chain_to(&secret, &anchor, 65_536), Some(5));
    assert_eq!(chain_to(&secret, &anchor, 4), None);
    assert_eq!(chain_to(&Secret(anchor.0), &anchor, 10), None, "the anchor itself is no secret");
}

#[test]
fn no_two_purposes_share_a_tag_or_a_digest() {
    let digests: std::collections::HashSet<_> =
        Tag::all().map(|tag| digest(tag, &Note(1))).collect();
    let texts: std::collections::HashSet<_> = Tag::all().map(Tag::text).collect();
    assert_eq!((digests.len(), texts.len()), (Tag::all().count(), Tag::all().count()));
}

#[test]
fn two_keys_share_one_secret_and_a_third_does_not() {
    let (one, two, three) = (key(1), key(2), key(3));
    let shared = one.shared_secret(&two.public()).unwrap();
    assert_eq!(shared, two.shared_secret(&one.public()).unwrap());
    assert_ne!(shared, three.shared_secret(&one.public()).unwrap());
    assert_eq!(one.shared_secret(&crate::types::PublicKey([5; 33])), Err(NotAKey));
}

#[test]
fn a_step_along_a_chain_is_plain_sha256() {
    for value in [[0; 32], [0xff; 32], std::array::from_fn(|at| at as u8)] {
        let plain: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(value).into();
        assert_eq!(chain_step(&value), plain);
    }
}
