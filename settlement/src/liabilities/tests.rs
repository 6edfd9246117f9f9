//! The sum tree: leaves under the root, and trees that are kept along.

use super::*;

fn tree(owed: &[u64]) -> LiabilityTree {
    let leaf = |(at, owed): (u8, &u64)| (ChannelId([at; 32]), Amount(*owed));
    LiabilityTree::new((0..).zip(owed).map(leaf).collect()).unwrap()
}

fn signed(tree: &LiabilityTree) -> Liabilities {
    let (root, total) = tree.root();
    Liabilities { as_of: Height(7), asset: AssetId(0), root, total }
}

#[test]
fn every_leaf_of_every_size_is_under_the_root() {
    for count in [1u64, 2, 3, 4, 5, 7, 8, 9, 33, 100] {
        let owed: Vec<u64> = (0..count).map(|at| at * 10).collect();
        let tree = tree(&owed);
        let signed = signed(&tree);
        assert_eq!(signed.total.0, owed.iter().sum::<u64>());
        for at in 0..count as u32 {
            let proof = tree.proof(at).unwrap();
            assert_eq!((proof.owed.0, proof.verify(&signed)), (u64::from(at) * 10, Ok(())));
        }
        assert_eq!(tree.proof(count as u32), None);
    }
}

#[test]
fn a_leaf_that_is_changed_in_anything_is_not() {
    let tree = tree(&[1, 2, 3, 4, 5]);
    let signed = signed(&tree);
    let good = tree.proof(2).unwrap();
    let mut sum_shifted = good.clone();
    // One more here, one less beside it: the total is right, the tree is not.
    sum_shifted.owed.0 += 1;
    sum_shifted.siblings[0].sum.0 -= 1;
    let mut longer = good.clone();
    longer.siblings.push(good.siblings[0]);
    let mut shorter = good.clone();
    shorter.siblings.pop();
    let bad = [
        LiabilityProof { owed: Amount(4), ..good.clone() },
        LiabilityProof { channel: ChannelId([9; 32]), ..good.clone() },
        LiabilityProof { index: 3, ..good.clone() },
        LiabilityProof { index: 5, ..good.clone() },
        LiabilityProof { count: 6, ..good.clone() },
        sum_shifted,
        longer,
        shorter,
    ];
    for proof in bad {
        assert_eq!(proof.verify(&signed), Err(NotUnderRoot), "{proof:?}");
    }
    let less = Liabilities { total: Amount(14), ..signed };
    assert_eq!(good.verify(&less), Err(NotUnderRoot), "a total that leaves somebody out");
}

/// A sibling of nearly 2^64 would wrap the sum around to a smaller one.
#[test]
fn a_sum_never_overflows() {
    let leaves = vec![(ChannelId([0; 32]), Amount(u64::MAX)), (ChannelId([1; 32]), Amount(1))];
    assert_eq!(LiabilityTree::new(leaves), None);
    let tree = tree(&[1, 2]);
    let mut proof = tree.proof(0).unwrap();
    proof.siblings[0].sum = Amount(u64::MAX);
    assert_eq!(proof.verify(&signed(&tree)), Err(NotUnderRoot));
}

#[test]
fn two_trees_for_one_height_contradict_each_other() {
    let (one, other) = (signed(&tree(&[1, 2])), signed(&tree(&[2, 1])));
    assert_eq!(one.total, other.total);
    assert!(one.contradicts(&other));
    assert!(!one.contradicts(&one));
    assert!(!one.contradicts(&Liabilities { as_of: Height(8), ..other }));
    assert!(!one.contradicts(&Liabilities { asset: AssetId(1), ..other }));
}

/// What is kept along is what would be made anew, whatever was added, changed and taken out.
#[test]
fn a_tree_that_is_kept_along_is_the_one_made_anew() {
    let channel = |at: u64| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&at.to_be_bytes());
        ChannelId(id)
    };
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut tree = LiabilityTree::new(Vec::new()).unwrap();
    for round in 0..300 {
        // Batches of all sizes; every third round takes out more than it puts in.
        let out_of = if round % 3 == 0 { 2 } else { 8 };
        let changes: Vec<_> = (0..random(40))
            .map(|_| (channel(random(70)), (random(out_of) > 0).then(|| Amount(random(1_000)))))
            .collect();
        tree.update(changes.clone()).unwrap();
        for (channel, owed) in &changes {
            let last = changes.iter().rev().find(|(other, _)| other == channel).unwrap().1;
            if *owed == last {
                assert_eq!(tree.proof_of(channel).map(|proof| proof.owed), *owed);
            }
        }
        assert_eq!(Some(&tree), LiabilityTree::new(tree.leaves.clone()).as_ref(), "{round}");
    }
    let all: Vec<_> = tree.leaves.iter().map(|(channel, _)| (*channel, None)).collect();
    tree.update(all).unwrap();
    assert_eq!(tree.root(), LiabilityTree::new(Vec::new()).unwrap().root());
}
