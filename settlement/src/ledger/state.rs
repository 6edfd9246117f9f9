//! What the ledger holds: accounts, channels, and how much of each asset there is.
//!
//! Every change goes through a few doors here. Each door notes which rows changed (they are the
//! ledger's writes: hashed into every header and handed to the index) and moves the running sum of
//! what is held, so that conservation can be checked after each block without visiting everything.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::{ChannelState, ClosedChannel};
use super::known_keys::KnownKeys;
use super::rows::{RowKey, changed_rows};
use super::tree::StateTree;
use crate::api::AssetBalance;
use crate::params::Genesis;
use crate::tx::Lease;
use crate::types::{Amount, AssetId, ChannelId, Hash, Height, PublicKey};

/// What an account holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountState {
    /// The nonce that its next transaction must carry.
    pub nonce: u64,
    /// What it holds; assets of which it holds nothing are left out.
    pub balances: Vec<AssetBalance>,
    /// The newest lease of a hub; none for others.
    pub lease: Option<Lease>,
}

impl AccountState {
    /// What it holds of one asset.
    pub fn balance(&self, asset: AssetId) -> Amount {
        let found = self.balances.iter().find(|balance| balance.asset == asset);
        found.map_or(Amount::ZERO, |balance| balance.amount)
    }
}

/// The whole state of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) nonces: BTreeMap<PublicKey, u64>,
    /// No zeros.
    pub(super) balances: BTreeMap<(PublicKey, AssetId), Amount>,
    pub(super) channels: BTreeMap<ChannelId, Box<ChannelState>>,
    pub(super) wallet_keys: KnownKeys,
    /// All that was ever made, per asset: at most 2^64 − 1, so no sum of parts overflows.
    pub(super) issued: BTreeMap<AssetId, Amount>,
    /// The number that the next mint must carry.
    pub(super) mints: u64,
    /// The newest of each hub.
    pub(super) leases: BTreeMap<PublicKey, Lease>,
    /// How many channels were ever opened.
    pub(super) opened: u64,
    /// Derived: closing channels by when they are paid out.
    pub(super) due: BTreeSet<(Height, ChannelId)>,
    /// Derived: the tree under the header's state root, as of [`State::update_tree`].
    pub(super) tree: StateTree,
    /// Places in the tree that are to be brought up to date, with the channels that they are for.
    touched: BTreeMap<u64, ChannelId>,
    /// Derived: accounts and escrow together, per asset.
    pub(super) held: BTreeMap<AssetId, i128>,
    /// What changed since [`State::take_changes`].
    pub(super) dirty: BTreeSet<RowKey>,
    /// Channels paid out since [`State::take_closed`]; for the store alone.
    pub(super) closed: Vec<ClosedChannel>,
}

impl State {
    /// The allocations of a genesis that was checked.
    pub(super) fn genesis(genesis: &Genesis) -> State {
        let mut state = State::default();
        for allocation in &genesis.allocations {
            state.issue(allocation.asset, allocation.amount);
            state.credit(allocation.account, allocation.asset, allocation.amount);
        }
        state
    }

    pub(super) fn nonce(&self, account: &PublicKey) -> u64 {
        self.nonces.get(account).copied().unwrap_or(0)
    }

    pub(super) fn balance(&self, account: PublicKey, asset: AssetId) -> Amount {
        let found = self.balances.get(&(account, asset)).copied();
        found.unwrap_or(Amount::ZERO)
    }

    pub(super) fn account(&self, account: &PublicKey) -> AccountState {
        let all = (*account, AssetId(0))..=(*account, AssetId(u32::MAX));
        let balance = |(key, amount): (&(PublicKey, AssetId), &Amount)| AssetBalance {
            asset: key.1,
            amount: *amount,
        };
        AccountState {
            nonce: self.nonce(account),
            balances: self.balances.range(all).map(balance).collect(),
            lease: self.leases.get(account).copied(),
        }
    }

    pub(super) fn issued(&self, asset: AssetId) -> Amount {
        self.issued.get(&asset).copied().unwrap_or(Amount::ZERO)
    }

    /// Spends the account's nonce.
    pub(super) fn spend_nonce(&mut self, account: PublicKey) {
        let nonce = self.nonces.entry(account).or_default();
        *nonce = nonce.saturating_add(1);
        self.dirty.insert(RowKey::Nonce(account));
    }

    /// The epoch of the hub's newest lease; 0 before the first.
    pub(super) fn epoch(&self, hub: &PublicKey) -> u64 {
        self.leases.get(hub).map_or(0, |lease| lease.epoch)
    }

    pub(super) fn lease(&mut self, hub: PublicKey, lease: Lease) {
        self.leases.insert(hub, lease);
        self.dirty.insert(RowKey::Lease(hub));
    }

    /// The place of a channel that is being opened.
    pub(super) fn next_index(&mut self) -> u64 {
        let index = self.opened;
        self.opened = index.saturating_add(1);
        self.dirty.insert(RowKey::Opened);
        index
    }

    pub(super) fn spend_mint(&mut self) {
        self.mints = self.mints.saturating_add(1);
        self.dirty.insert(RowKey::Mints);
    }

    /// Counts new money, which the caller then credits.
    pub(super) fn issue(&mut self, asset: AssetId, amount: Amount) {
        let issued = self.issued.entry(asset).or_default();
        *issued = issued.checked_add(amount).unwrap_or(*issued);
        self.dirty.insert(RowKey::Issued(asset));
    }

    pub(super) fn credit(&mut self, account: PublicKey, asset: AssetId, amount: Amount) {
        let balance = self.balance(account, asset).wide() + amount.wide();
        self.set_balance(account, asset, balance);
    }

    /// The caller has checked that the account holds as much.
    pub(super) fn debit(&mut self, account: PublicKey, asset: AssetId, amount: Amount) {
        let balance = self.balance(account, asset).wide() - amount.wide();
        self.set_balance(account, asset, balance);
    }

    /// A balance out of range can't come from checked transactions. It is left as it was, so
    /// that the sum of what is held no longer fits and the block is stopped before it counts.
    fn set_balance(&mut self, account: PublicKey, asset: AssetId, balance: i128) {
        let key = (account, asset);
        let old = self.balance(account, asset);
        let new = Amount::from_wide(balance).unwrap_or(old);
        if new == Amount::ZERO {
            self.balances.remove(&key);
        } else {
            self.balances.insert(key, new);
        }
        *self.held.entry(asset).or_default() += new.wide() - old.wide();
        self.dirty.insert(RowKey::Balance(account, asset));
    }

    /// A channel that is not paid out.
    pub(super) fn channel(&self, id: &ChannelId) -> Option<&ChannelState> {
        self.channels.get(id).map(Box::as_ref)
    }

    /// Puts a channel in the place of what is there; `None` removes it.
    pub(super) fn put_channel(&mut self, id: ChannelId, new: Option<ChannelState>) {
        let (old, new) = (self.channels.remove(&id), new.map(Box::new));
        self.dirty.extend(changed_rows(&id, old.as_deref(), new.as_deref()));
        for channel in old.iter().chain(&new) {
            self.touched.insert(channel.index, id);
        }
        if let Some(old) = &old {
            self.count_channel(old, -1);
            if let Some(due) = old.due() {
                self.due.remove(&(due, id));
            }
        }
        if let Some(new) = new {
            self.count_channel(&new, 1);
            self.due.extend(new.due().map(|due| (due, id)));
            if new.directions.wallet.standing.is_some() {
                self.wallet_keys.remember(id, &new.terms.wallet);
            }
            self.channels.insert(id, new);
        } else {
            self.wallet_keys.forget(&id);
        }
    }

    /// Makes what is derived of rows that were loaded; the tree is to be brought up to date after.
    pub(super) fn derive(&mut self) {
        for ((_, asset), amount) in &self.balances {
            *self.held.entry(*asset).or_default() += amount.wide();
        }
        for (id, channel) in &self.channels {
            *self.held.entry(channel.terms.asset).or_default() += channel.escrow();
            self.due.extend(channel.due().map(|due| (due, *id)));
            self.touched.insert(channel.index, *id);
        }
    }

    /// Brings the tree up to date, and returns its root.
    pub(super) fn update_tree(&mut self) -> Hash {
        let touched = std::mem::take(&mut self.touched);
        let leaf = |(at, id): (u64, ChannelId)| {
            let channel = self.channels.get(&id);
            (at, channel.map_or(Hash::ZERO, |channel| channel.leaf().digest()))
        };
        let leaves = touched.into_iter().map(leaf).collect();
        self.tree.update(&leaves, self.opened);
        self.tree.root()
    }

    /// The channels paid out since the last call.
    pub(super) fn take_closed(&mut self) -> Vec<ClosedChannel> {
        std::mem::take(&mut self.closed)
    }

    fn count_channel(&mut self, channel: &ChannelState, sign: i128) {
        *self.held.entry(channel.terms.asset).or_default() += sign * channel.escrow();
    }

    /// Whether accounts and escrow together are all that was ever issued, per asset.
    pub(super) fn is_conserved(&self) -> bool {
        self.is_all_issued(&self.held)
    }

    /// The same, by visiting everything: after loading, and in tests.
    pub(super) fn is_conserved_throughout(&self) -> bool {
        let mut held: BTreeMap<AssetId, i128> = BTreeMap::new();
        for ((_, asset), amount) in &self.balances {
            *held.entry(*asset).or_default() += amount.wide();
        }
        for channel in self.channels.values() {
            *held.entry(channel.terms.asset).or_default() += channel.escrow();
        }
        self.is_all_issued(&held) && self.is_conserved()
    }

    fn is_all_issued(&self, held: &BTreeMap<AssetId, i128>) -> bool {
        let of = |asset: &AssetId| held.get(asset).copied().unwrap_or(0);
        let mut assets = held.keys().chain(self.issued.keys());
        assets.all(|asset| of(asset) == self.issued(*asset).wide())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The running sums alone, or what is there alone, would not tell of the other's mistake.
    #[test]
    fn conserved_is_what_is_there_and_what_was_counted() {
        let (asset, account) = (AssetId(0), PublicKey([2; 33]));
        let mut state = State::default();
        state.issue(asset, Amount(100));
        state.credit(account, asset, Amount(100));
        assert!(state.is_conserved() && state.is_conserved_throughout());
        let mut lost = state.clone();
        lost.balances.insert((account, asset), Amount(99));
        assert!(lost.is_conserved() && !lost.is_conserved_throughout());
        state.held.insert(asset, 99);
        assert!(!state.is_conserved() && !state.is_conserved_throughout());
    }
}
