//! The Merkle tree under the header's state root, kept along: a block costs one hash per changed
//! channel and level. See [`crate::state_proof`] for its shape.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::{Beside, way_up};
use crate::state_proof::{join, state_root};
use crate::types::Hash;

/// Nodes by level and place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct StateTree {
    levels: Vec<Level>,
    count: u64,
}

/// Places beside each other that are kept together: 2 KiB of hashes.
const CHUNK: u64 = 64;
type Chunk = [Hash; CHUNK as usize];

/// The nodes of one level. Places are used densely, so they lie in chunks, with nothing between
/// them; a chunk without a node is left out.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Level(BTreeMap<u64, Box<Chunk>>);

/// Where a place is within its chunk.
fn within(at: u64) -> usize {
    usize::try_from(at % CHUNK).unwrap_or(0)
}

impl Level {
    fn get(&self, at: u64) -> Hash {
        let chunk = self.0.get(&(at / CHUNK));
        chunk.and_then(|chunk| chunk.get(within(at))).copied().unwrap_or(Hash::ZERO)
    }

    fn set(&mut self, at: u64, hash: Hash) {
        let which = at / CHUNK;
        if hash == Hash::ZERO && !self.0.contains_key(&which) {
            return;
        }
        let chunk = self.0.entry(which).or_insert_with(|| Box::new([Hash::ZERO; CHUNK as usize]));
        if let Some(node) = chunk.get_mut(within(at)) {
            *node = hash;
        }
        if hash == Hash::ZERO && chunk.iter().all(|node| *node == Hash::ZERO) {
            self.0.remove(&which);
        }
    }
}

impl StateTree {
    /// Puts leaves in their places, `count` being how many places there are now. Every new place
    /// must be among the leaves, even if it is empty already.
    pub(super) fn update(&mut self, leaves: &BTreeMap<u64, Hash>, count: u64) {
        self.count = count;
        let depth = way_up(0, count).count();
        self.levels.resize_with(depth.saturating_add(1), Level::default);
        let mut changed: BTreeSet<u64> = leaves.keys().copied().collect();
        for (at, leaf) in leaves {
            self.set(0, *at, *leaf);
        }
        let (mut width, mut level) = (count, 0usize);
        while width > 1 {
            let above: BTreeSet<u64> = changed.iter().map(|at| at / 2).collect();
            for at in &above {
                let (left, right) = (at.saturating_mul(2), at.saturating_mul(2).saturating_add(1));
                let hash = if right < width {
                    join(&self.get(level, left), &self.get(level, right))
                } else {
                    self.get(level, left)
                };
                self.set(level.saturating_add(1), *at, hash);
            }
            changed = above;
            width = width.div_ceil(2);
            level = level.saturating_add(1);
        }
    }

    /// As headers carry it.
    pub(super) fn root(&self) -> Hash {
        let top = way_up(0, self.count).count();
        state_root(&self.get(top, 0), self.count)
    }

    /// What is beside the way up from the leaf in this place.
    pub(super) fn siblings(&self, index: u64) -> Vec<Hash> {
        let mut at = index;
        let mut siblings = Vec::new();
        for (level, beside) in way_up(index, self.count).enumerate() {
            match beside {
                Beside::Left => siblings.push(self.get(level, at.saturating_sub(1))),
                Beside::Right => siblings.push(self.get(level, at.saturating_add(1))),
                Beside::Nobody => {}
            }
            at /= 2;
        }
        siblings
    }

    fn get(&self, level: usize, at: u64) -> Hash {
        self.levels.get(level).map_or(Hash::ZERO, |nodes| nodes.get(at))
    }

    fn set(&mut self, level: usize, at: u64, hash: Hash) {
        if let Some(nodes) = self.levels.get_mut(level) {
            nodes.set(at, hash);
        }
    }
}

#[cfg(test)]
mod proofs;
#[cfg(test)]
mod tests {
    use super::*;

    fn hash(byte: u8) -> Hash {
        Hash([byte; 32])
    }

    /// The same tree, made from its leaves at once and without sharing a line.
    fn reference(leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            let pairs = level.chunks(2);
            level = pairs.map(|p| if p.len() == 2 { join(&p[0], &p[1]) } else { p[0] }).collect();
        }
        state_root(level.first().unwrap_or(&Hash::ZERO), leaves.len() as u64)
    }

    #[test]
    fn kept_along_is_the_same_as_made_at_once() {
        let mut tree = StateTree::default();
        assert_eq!(tree.root(), reference(&[]));
        let mut leaves: Vec<Hash> = vec![];
        for step in 0..120u64 {
            let mut changes = BTreeMap::new();
            // One to three new ones, one that changes, one that goes.
            for _ in 0..=step % 3 {
                leaves.push(hash(step as u8 + 1));
                changes.insert(leaves.len() as u64 - 1, leaves[leaves.len() - 1]);
            }
            for (at, new) in [(step * 7, hash(step as u8 ^ 0x80)), (step * 5 / 3, Hash::ZERO)] {
                let at = at as usize % leaves.len();
                leaves[at] = new;
                changes.insert(at as u64, new);
            }
            tree.update(&changes, leaves.len() as u64);
            assert_eq!(tree.root(), reference(&leaves), "{step}");
        }
        let all = (0..).zip(leaves.iter().copied()).filter(|(_, leaf)| *leaf != Hash::ZERO);
        let mut again = StateTree::default();
        again.update(&all.collect(), leaves.len() as u64);
        assert_eq!(again.root(), tree.root(), "loaded");
    }

    #[test]
    fn what_is_gone_takes_no_room() {
        let mut tree = StateTree::default();
        let full: BTreeMap<u64, Hash> = (0..100).map(|at| (at, hash(1))).collect();
        tree.update(&full, 100);
        let gone = full.into_keys().map(|at| (at, Hash::ZERO)).collect();
        tree.update(&gone, 100);
        assert!(tree.levels.iter().all(|level| level.0.is_empty()));
    }
}
