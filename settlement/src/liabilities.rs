//! What a hub owes, as a Merkle *sum* tree: every node carries the sum of what is under it.
//!
//! A hub signs root and total with each anchor ([`Liabilities`]). A wallet that is shown its leaf
//! and the way up knows that what the hub owes it is in the total; anybody can compare the total
//! with the escrow on the ledger. Sums are checked at every node, so nothing negative and nothing
//! that overflows can hide among them, and a hub that shows two wallets two trees for one height
//! has signed both: see [`Liabilities::contradicts`].
//!
//! ```text
//! leaf = H("liability", (channel, amount))
//! node = H("liability-node", (left, left_sum, right, right_sum))     an odd node goes up unchanged
//! root = H("liability-root", (top, count))
//! ```
//!
//! The sums beside the way up show a wallet something of what others hold: that is the price of a
//! total that anybody can check.

use serde::{Deserialize, Serialize};

use crate::crypto::{Beside, Tag, digest, way_up};
use crate::types::{Amount, AssetId, ChannelId, Hash, Height};

/// What a hub says that it owes in one asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liabilities {
    /// As of the ledger's block of this height.
    pub as_of: Height,
    /// In which asset.
    pub asset: AssetId,
    /// Root of the sum tree.
    pub root: Hash,
    /// The sum of all leaves.
    pub total: Amount,
}

impl Liabilities {
    /// Whether the two can't both be true: the same height and asset, but another tree. Signed by
    /// one hub, they are evidence against it.
    pub fn contradicts(&self, other: &Liabilities) -> bool {
        (self.as_of, self.asset) == (other.as_of, other.asset) && self != other
    }
}

/// A sum and the hash over what it sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumNode {
    /// Of the leaf, or of the two nodes under it with their sums.
    pub hash: Hash,
    /// What is owed under it.
    pub sum: Amount,
}

impl SumNode {
    fn leaf(channel: &ChannelId, owed: Amount) -> SumNode {
        SumNode { hash: digest(Tag::Liability, &(channel, owed)), sum: owed }
    }

    fn over(left: &SumNode, right: &SumNode) -> Option<SumNode> {
        let sum = left.sum.checked_add(right.sum)?;
        Some(SumNode { hash: digest(Tag::LiabilityNode, &(left, right)), sum })
    }
}

fn root_of(top: &Hash, count: u32) -> Hash {
    digest(Tag::LiabilityRoot, &(top, count))
}

/// A whole tree, to sign its root and to show each wallet its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiabilityTree {
    leaves: Vec<(ChannelId, Amount)>,
    /// From the leaves to the top; no level is empty.
    levels: Vec<Vec<SumNode>>,
}

impl LiabilityTree {
    /// The tree over these leaves in their order; `None` if they add up to more than 2^64 − 1, or
    /// are more than 2^32 − 1.
    pub fn new(leaves: Vec<(ChannelId, Amount)>) -> Option<LiabilityTree> {
        u32::try_from(leaves.len()).ok()?;
        let nodes = leaves.iter().map(|(channel, owed)| SumNode::leaf(channel, *owed));
        let mut level: Vec<SumNode> = nodes.collect();
        let mut levels = Vec::new();
        while level.len() > 1 {
            let above: Option<Vec<SumNode>> = level.chunks(2).map(join).collect();
            levels.push(std::mem::replace(&mut level, above?));
        }
        levels.push(level);
        Some(LiabilityTree { leaves, levels })
    }

    fn count(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    /// Root and total, to be signed.
    pub fn root(&self) -> (Hash, Amount) {
        let top = self.levels.last().and_then(|top| top.first());
        let (hash, sum) = top.map_or((Hash::ZERO, Amount::ZERO), |top| (top.hash, top.sum));
        (root_of(&hash, self.count()), sum)
    }

    /// The way up from the leaf at this place.
    pub fn proof(&self, index: u32) -> Option<LiabilityProof> {
        let mut at = usize::try_from(index).ok()?;
        let (channel, owed) = *self.leaves.get(at)?;
        let mut siblings = Vec::new();
        for (beside, level) in way_up(index.into(), self.count().into()).zip(&self.levels) {
            match beside {
                Beside::Left => siblings.push(*level.get(at.checked_sub(1)?)?),
                Beside::Right => siblings.push(*level.get(at.checked_add(1)?)?),
                Beside::Nobody => {}
            }
            at /= 2;
        }
        Some(LiabilityProof { channel, owed, index, count: self.count(), siblings })
    }
}

fn join(pair: &[SumNode]) -> Option<SumNode> {
    match pair {
        [left, right] => SumNode::over(left, right),
        [odd] => Some(*odd),
        _ => None,
    }
}

/// What a wallet is shown: its leaf, and the way up to a root that the hub has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiabilityProof {
    /// Whose leaf.
    pub channel: ChannelId,
    /// What the hub says it owes there.
    pub owed: Amount,
    /// The leaf's place.
    pub index: u32,
    /// How many leaves there are.
    pub count: u32,
    /// What is beside the way up, lowest first. A level on which the node is odd has nothing.
    pub siblings: Vec<SumNode>,
}

/// The leaf is not under this root and total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leaf is not under the root and total that the hub has signed")]
pub struct NotUnderRoot;

impl LiabilityProof {
    /// Checks that the leaf is under this root and counts in its total.
    ///
    /// # Errors
    /// [`NotUnderRoot`].
    pub fn verify(&self, liabilities: &Liabilities) -> Result<(), NotUnderRoot> {
        let top = self.top().ok_or(NotUnderRoot)?;
        let root = root_of(&top.hash, self.count);
        let fits = (root, top.sum) == (liabilities.root, liabilities.total);
        fits.then_some(()).ok_or(NotUnderRoot)
    }

    fn top(&self) -> Option<SumNode> {
        if self.index >= self.count {
            return None;
        }
        let mut node = SumNode::leaf(&self.channel, self.owed);
        let mut siblings = self.siblings.iter();
        for beside in way_up(self.index.into(), self.count.into()) {
            node = match beside {
                Beside::Left => SumNode::over(siblings.next()?, &node)?,
                Beside::Right => SumNode::over(&node, siblings.next()?)?,
                Beside::Nobody => node,
            };
        }
        siblings.next().is_none().then_some(node)
    }
}

#[cfg(test)]
mod tests {
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
}
