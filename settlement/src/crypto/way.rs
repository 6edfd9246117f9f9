//! The way from a leaf of a dense Merkle tree up to its root: neighbours joined, an odd last node
//! going up unchanged.

/// On which side of the node its sibling is, on one level of the way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Left,
    Right,
    /// The node is the last and odd: it goes up unchanged.
    Nobody,
}

/// The levels from leaf `at` of `count` up to the root; none for a tree of one leaf. The caller
/// has checked that `at < count`.
pub(crate) fn way_up(mut at: u64, mut count: u64) -> impl Iterator<Item = Beside> {
    std::iter::from_fn(move || {
        if count <= 1 {
            return None;
        }
        let beside = match at % 2 {
            1 => Beside::Left,
            _ if at.saturating_add(1) < count => Beside::Right,
            _ => Beside::Nobody,
        };
        at /= 2;
        count = count.div_ceil(2);
        Some(beside)
    })
}
