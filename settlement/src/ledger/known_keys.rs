//! Keys of wallets, parsed: an anchor checks thousands of signatures, and to parse a key costs a
//! seventh of one.
//!
//! Of channels alone of which a proof of the wallet's was recorded lately. A channel at rest has no
//! use for it, and a key that is missing is parsed where it is needed.

use std::collections::HashMap;

use crate::crypto::VerifyingKey;
use crate::types::{ChannelId, PublicKey};

/// How many are kept: 2 MiB or so. Beyond that all are forgotten, and those that are still in use
/// come back.
const KEYS_MAX: usize = 16_384;

/// See the module. It decides nothing, so two states are the same whatever they hold of it.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownKeys(HashMap<ChannelId, VerifyingKey>);

impl PartialEq for KnownKeys {
    fn eq(&self, _: &KnownKeys) -> bool {
        true
    }
}

impl Eq for KnownKeys {}

impl KnownKeys {
    pub(super) fn get(&self, channel: &ChannelId) -> Option<&VerifyingKey> {
        self.0.get(channel)
    }

    /// Keeps the key of this channel's wallet.
    pub(super) fn remember(&mut self, channel: ChannelId, wallet: &PublicKey) {
        if self.0.contains_key(&channel) {
            return;
        }
        if self.0.len() >= KEYS_MAX {
            self.0.clear();
        }
        if let Ok(key) = VerifyingKey::parse(wallet) {
            self.0.insert(channel, key);
        }
    }

    pub(super) fn forget(&mut self, channel: &ChannelId) {
        self.0.remove(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SigningKey;

    #[test]
    fn they_are_bounded_and_each_channels_own() {
        let wallet = |byte| SigningKey::from_bytes([byte; 32]).unwrap().public();
        let mut keys = KnownKeys::default();
        keys.remember(ChannelId([1; 32]), &wallet(1));
        keys.remember(ChannelId([2; 32]), &wallet(2));
        keys.remember(ChannelId([2; 32]), &wallet(1));
        let known = |keys: &KnownKeys, id| keys.get(&ChannelId([id; 32])).map(|key| key.public());
        assert_eq!(known(&keys, 2), Some(wallet(2)), "a channel's wallet never changes");
        keys.forget(&ChannelId([2; 32]));
        assert_eq!((known(&keys, 1), known(&keys, 2)), (Some(wallet(1)), None));
        for n in 0..=KEYS_MAX as u64 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            keys.remember(ChannelId(id), &wallet(3));
            assert!(keys.0.len() <= KEYS_MAX);
        }
    }
}
