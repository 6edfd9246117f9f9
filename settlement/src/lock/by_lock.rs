//! What is known of each lock of a direction, by the lock's id.
//!
//! Ids rise, and locks are settled about in the order in which they were added. So a queue, sorted
//! by id, adds at its end and removes at its front, where a tree would move its entries about. It
//! is encoded like a map.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::rare::AtRest;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ByLock<T>(VecDeque<(u64, T)>);

impl<T> Default for ByLock<T> {
    fn default() -> Self {
        ByLock(VecDeque::new())
    }
}

impl<T: PartialEq + 'static> AtRest for ByLock<T> {
    const AT_REST: &'static ByLock<T> = &ByLock::NONE;
}

impl<T> ByLock<T> {
    /// Nothing is known of any.
    pub(crate) const NONE: ByLock<T> = ByLock(VecDeque::new());

    /// Where the lock is, or where it would be.
    fn place(&self, id: u64) -> Result<usize, usize> {
        let (Some((first, _)), Some((last, _))) = (self.0.front(), self.0.back()) else {
            return Err(0);
        };
        if *last < id {
            return Err(self.0.len());
        }
        // Where it is if no id below it is missing.
        let near = usize::try_from(id.saturating_sub(*first)).unwrap_or(usize::MAX);
        match self.0.get(near) {
            Some((there, _)) if *there == id => Ok(near),
            _ => self.0.binary_search_by_key(&id, |(id, _)| *id),
        }
    }

    /// What is known of this lock.
    pub fn get(&self, id: &u64) -> Option<&T> {
        let at = self.place(*id).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: &u64) -> Option<&mut T> {
        let at = self.place(*id).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Whether something is known of this lock.
    pub fn contains_key(&self, id: &u64) -> bool {
        self.place(*id).is_ok()
    }

    /// Puts something in, and takes out what was there.
    pub fn insert(&mut self, id: u64, value: T) -> Option<T> {
        match self.place(id) {
            Ok(at) => Some(std::mem::replace(self.0.get_mut(at).map(|(_, value)| value)?, value)),
            Err(at) => {
                self.0.insert(at, (id, value));
                None
            }
        }
    }

    /// What is known of this lock; `value` is put in if that is nothing.
    pub fn or_insert(&mut self, id: u64, value: T) -> Option<&mut T> {
        let at = match self.place(id) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (id, value));
                at
            }
        };
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Takes out what is known of this lock.
    pub fn remove(&mut self, id: &u64) -> Option<T> {
        let at = self.place(*id).ok()?;
        self.0.remove(at).map(|(_, value)| value)
    }

    /// Keeps those for which `keep` says so, which looks at each once, in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&u64, &mut T) -> bool) {
        self.0.retain_mut(|(id, value)| keep(id, value));
    }

    /// All, in the order of the ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&u64, &T)> + Clone {
        self.0.iter().map(|(id, value)| (id, value))
    }

    /// All, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&u64, &mut T)> {
        self.0.iter_mut().map(|(id, value)| (&*id, value))
    }

    /// The ids, rising.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &u64> + Clone {
        self.0.iter().map(|(id, _)| id)
    }

    /// What is known of each, in the order of the ids.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.0.iter().map(|(_, value)| value)
    }

    /// Of how many locks something is known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> FromIterator<(u64, T)> for ByLock<T> {
    fn from_iter<I: IntoIterator<Item = (u64, T)>>(all: I) -> Self {
        let mut known = ByLock::default();
        all.into_iter().for_each(|(id, value)| drop(known.insert(id, value)));
        known
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByLock<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let known = VecDeque::<(u64, T)>::deserialize(d)?;
        let rising = known.iter().zip(known.iter().skip(1)).all(|(one, next)| one.0 < next.0);
        if rising { Ok(ByLock(known)) } else { Err(de::Error::custom("the ids do not rise")) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::encoding::{decode, encode};

    proptest! {
        /// Whatever is put in and taken out, it holds what a tree holds, and has its bytes.
        #[test]
        fn it_is_a_map(moves in proptest::collection::vec((0u8..4, 0u64..24, any::<u8>()), 0..64)) {
            let (mut known, mut tree) = (ByLock::default(), BTreeMap::new());
            for (what, id, value) in moves {
                match what {
                    0 => prop_assert_eq!(known.insert(id, value), tree.insert(id, value)),
                    1 => prop_assert_eq!(known.remove(&id), tree.remove(&id)),
                    2 => {
                        let there = *tree.entry(id).or_insert(value);
                        prop_assert_eq!(known.or_insert(id, value).copied(), Some(there));
                    }
                    _ => {
                        known.retain(|id, known| *id % 3 != 0 || *known > value);
                        tree.retain(|id, known| *id % 3 != 0 || *known > value);
                    }
                }
                prop_assert_eq!(known.get(&id), tree.get(&id));
                prop_assert!(known.iter().eq(tree.iter()) && known.len() == tree.len());
                prop_assert_eq!(encode(&known), encode(&tree));
                prop_assert_eq!(decode(&encode(&tree)), Ok(known.clone()));
            }
        }
    }

    #[test]
    fn ids_that_do_not_rise_are_refused() {
        for ids in [vec![1u64, 1], vec![2, 1]] {
            let pairs: Vec<(u64, u8)> = ids.into_iter().map(|id| (id, 7)).collect();
            assert!(decode::<ByLock<u8>>(&encode(&pairs)).is_err());
        }
    }
}
