//! Things of which each knows its channel, to be found by that.
//!
//! A map would keep each channel's id once more in a table that is a third empty: 42 bytes for each of
//! a hundred thousand channels at rest. Here the table holds nothing but where things are.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use settlement::types::ChannelId;
use std::hash::BuildHasher;

/// Something of one channel; which one never changes.
pub(crate) trait OfChannel {
    /// Which.
    fn channel(&self) -> ChannelId;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ByChannel<T> {
    table: HashTable<T>,
    hasher: RandomState,
}

impl<T> Default for ByChannel<T> {
    fn default() -> ByChannel<T> {
        ByChannel { table: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<T: OfChannel> ByChannel<T> {
    pub(crate) fn get(&self, channel: &ChannelId) -> Option<&T> {
        self.table.find(self.hasher.hash_one(channel), |it| it.channel() == *channel)
    }

    pub(crate) fn get_mut(&mut self, channel: &ChannelId) -> Option<&mut T> {
        self.table.find_mut(self.hasher.hash_one(channel), |it| it.channel() == *channel)
    }

    pub(crate) fn contains(&self, channel: &ChannelId) -> bool {
        self.get(channel).is_some()
    }

    /// Puts something in, unless there is something of its channel already.
    pub(crate) fn insert_new(&mut self, new: T) {
        let channel = new.channel();
        if !self.contains(&channel) {
            let hash = |it: &T| self.hasher.hash_one(it.channel());
            self.table.insert_unique(self.hasher.hash_one(channel), new, hash);
        }
    }

    pub(crate) fn remove(&mut self, channel: &ChannelId) -> Option<T> {
        let hash = self.hasher.hash_one(channel);
        let found = self.table.find_entry(hash, |it| it.channel() == *channel).ok()?;
        Some(found.remove().0)
    }

    /// All, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.table.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(u8, u8);

    impl OfChannel for Thing {
        fn channel(&self) -> ChannelId {
            ChannelId([self.0; 32])
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map(moves in proptest::collection::vec((0u8..3, 0u8..24, any::<u8>()), 0..200)) {
            let (mut things, mut map) = (ByChannel::default(), BTreeMap::new());
            for (what, key, value) in moves {
                let id = ChannelId([key; 32]);
                match what {
                    0 => {
                        things.insert_new(Thing(key, value));
                        map.entry(key).or_insert(value);
                    }
                    1 => prop_assert_eq!(things.remove(&id).map(|it| it.1), map.remove(&key)),
                    _ => {
                        let there = things.get_mut(&id);
                        prop_assert_eq!(there.is_some(), map.contains_key(&key));
                        if let Some(there) = there {
                            there.1 = value;
                            map.insert(key, value);
                        }
                    }
                }
                prop_assert_eq!(things.get(&id).map(|it| it.1), map.get(&key).copied());
                prop_assert_eq!(things.len(), map.len());
                let mut all: Vec<_> = things.iter().map(|it| (it.0, it.1)).collect();
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(map.iter().map(|(key, value)| (*key, *value))));
            }
        }
    }
}
