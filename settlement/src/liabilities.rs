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

use std::collections::{BTreeSet, HashMap};

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
    const ZERO: SumNode = SumNode { hash: Hash::ZERO, sum: Amount::ZERO };

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
///
/// A leaf that changes costs the hashes on its way up ([`LiabilityTree::update`]), so a hub keeps
/// one tree along instead of making a new one for each anchor: channels at rest cost nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiabilityTree {
    leaves: Vec<(ChannelId, Amount)>,
    places: HashMap<ChannelId, usize>,
    /// From above the leaves to the top. The leaves' own nodes are made of them when they are asked
    /// for: they would be a third of the tree.
    levels: Vec<Vec<SumNode>>,
}

impl LiabilityTree {
    /// The tree over these leaves in their order, of a channel named twice the last; `None` if they
    /// add up to more than 2^64 − 1, or are more than 2^32 − 1.
    pub fn new(leaves: Vec<(ChannelId, Amount)>) -> Option<LiabilityTree> {
        let mut tree = LiabilityTree::default();
        tree.update(leaves.into_iter().map(|(channel, owed)| (channel, Some(owed))))?;
        Some(tree)
    }

    /// Sets what is owed in these channels; `None` takes a channel out, and the last leaf comes into
    /// its place.
    ///
    /// `None` as for [`LiabilityTree::new`]: the tree is not whole then and has to be thrown away.
    pub fn update(
        &mut self,
        changes: impl IntoIterator<Item = (ChannelId, Option<Amount>)>,
    ) -> Option<()> {
        let mut touched = BTreeSet::new();
        for (channel, owed) in changes {
            touched.extend(self.set(channel, owed));
        }
        u32::try_from(self.leaves.len()).ok()?;
        self.rehash(touched)
    }

    /// The place whose leaf is another now.
    fn set(&mut self, channel: ChannelId, owed: Option<Amount>) -> Option<usize> {
        let Some(owed) = owed else { return self.remove(&channel) };
        let next = self.leaves.len();
        let place = *self.places.entry(channel).or_insert(next);
        match self.leaves.get_mut(place) {
            Some(leaf) => leaf.1 = owed,
            None => self.leaves.push((channel, owed)),
        }
        Some(place)
    }

    fn remove(&mut self, channel: &ChannelId) -> Option<usize> {
        let place = self.places.remove(channel)?;
        self.leaves.swap_remove(place);
        if let Some((moved, _)) = self.leaves.get(place) {
            self.places.insert(*moved, place);
        }
        Some(place)
    }

    /// Makes every node anew that is over one of these leaves, or at the right edge.
    fn rehash(&mut self, mut touched: BTreeSet<usize>) -> Option<()> {
        let (mut height, mut width) = (0usize, self.leaves.len());
        while width > 1 {
            let above = width.div_ceil(2);
            touched = touched.into_iter().map(|place| place / 2).collect();
            touched.insert(above.checked_sub(1)?);
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let mut level = std::mem::take(self.levels.get_mut(height)?);
            level.resize(above, SumNode::ZERO);
            for place in touched.iter().filter(|place| **place < above) {
                *level.get_mut(*place)? = self.joined(height, *place, width)?;
            }
            *self.levels.get_mut(height)? = level;
            (height, width) = (height.checked_add(1)?, above);
        }
        self.levels.truncate(height);
        Some(())
    }

    /// The node over the two at this height, of which there are `width`, that belong to this place.
    fn joined(&self, height: usize, place: usize, width: usize) -> Option<SumNode> {
        let left = place.checked_mul(2)?;
        let right = left.checked_add(1)?;
        let node = self.node(height, left)?;
        if right < width { SumNode::over(&node, &self.node(height, right)?) } else { Some(node) }
    }

    /// A node; the leaves are at height 0.
    fn node(&self, height: usize, place: usize) -> Option<SumNode> {
        match height.checked_sub(1) {
            None => self.leaves.get(place).map(|(channel, owed)| SumNode::leaf(channel, *owed)),
            Some(level) => self.levels.get(level)?.get(place).copied(),
        }
    }

    /// The way up from a channel's leaf, if it has one.
    pub fn proof_of(&self, channel: &ChannelId) -> Option<LiabilityProof> {
        let place = self.places.get(channel)?;
        self.proof(u32::try_from(*place).ok()?)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.leaves.len()).unwrap_or(u32::MAX)
    }

    /// Root and total, to be signed.
    pub fn root(&self) -> (Hash, Amount) {
        let top = self.node(self.levels.len(), 0).unwrap_or(SumNode::ZERO);
        (root_of(&top.hash, self.count()), top.sum)
    }

    /// The way up from the leaf at this place.
    pub fn proof(&self, index: u32) -> Option<LiabilityProof> {
        let mut at = usize::try_from(index).ok()?;
        let (channel, owed) = *self.leaves.get(at)?;
        let mut siblings = Vec::new();
        for (height, beside) in way_up(index.into(), self.count().into()).enumerate() {
            match beside {
                Beside::Left => siblings.push(self.node(height, at.checked_sub(1)?)?),
                Beside::Right => siblings.push(self.node(height, at.checked_add(1)?)?),
                Beside::Nobody => {}
            }
            at /= 2;
        }
        Some(LiabilityProof { channel, owed, index, count: self.count(), siblings })
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
mod tests;
