//! The canonical rows of the state: what every header's digest covers, and what the index stores.
//!
//! | key | value |
//! | --- | --- |
//! | `b` account asset | balance; absent when zero |
//! | `c` channel | terms, escrow, window, standing proofs, floors |
//! | `e` account | a hub's newest lease |
//! | `i` asset | issued |
//! | `k` | the next mint's number |
//! | `l` channel role place | a lock of the standing proof, by its place |
//! | `n` account | nonce |
//! | `o` | how many channels were ever opened |
//! | `s` channel role lock-id | a claim |
//!
//! Numbers in keys are big-endian, so that keys sort as numbers do. A lock and a claim have rows of
//! their own: a channel with 256 of each would not fit into the 4 KiB that a row may have.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::channel::{ChannelState, Claim, Closing, Direction};
use super::state::State;
use crate::crypto::{Tag, hash_many};
use crate::encoding::{decode, encode, encode_tight};
use crate::lock::Lock;
use crate::proof::{BalanceProof, OpenTerms};
use crate::rare::Rare;
use crate::types::{Amount, AssetId, ChannelId, Hash, Height, PerRole, PublicKey, Role};

/// A row that a block wrote: its key, and its new value or `None` when it is gone.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowKey {
    Balance(PublicKey, AssetId),
    Channel(ChannelId),
    Lease(PublicKey),
    Issued(AssetId),
    Mints,
    Lock(ChannelId, Role, u16),
    Nonce(PublicKey),
    Opened,
    Claim(ChannelId, Role, u64),
}

/// A channel without its locks and claims.
#[derive(Serialize, Deserialize)]
struct ChannelRow {
    terms: OpenTerms,
    index: u64,
    opened: Height,
    deposited: PerRole<Amount>,
    withdrawn: PerRole<Amount>,
    closing: Option<Closing>,
    directions: PerRole<DirectionRow>,
}

#[derive(Serialize, Deserialize)]
struct DirectionRow {
    standing: Option<BalanceProof>,
    opened: bool,
    floor: Amount,
    void_below: u64,
}

/// The running digest after a block's rows.
pub(super) fn chain_writes(before: &Hash, rows: &[Row]) -> Hash {
    hash_many(Tag::Writes, &[before.as_slice(), &encode(rows)])
}

/// Where money is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Account,
    Channel,
}

/// How much money a row holds, and where; `None` for rows that hold none.
pub(super) fn money_of(key: &[u8], value: &[u8]) -> Result<Option<(AssetId, Place, i128)>, String> {
    match RowKey::parse(key).ok_or("no such row is known")? {
        RowKey::Balance(_, asset) => {
            let amount: Amount = read(value)?;
            Ok(Some((asset, Place::Account, amount.wide())))
        }
        RowKey::Channel(_) => {
            let row: ChannelRow = read(value)?;
            let channel = ChannelState::from(row);
            Ok(Some((channel.terms.asset, Place::Channel, channel.escrow())))
        }
        _ => Ok(None),
    }
}

/// Which rows differ between two versions of a channel.
pub(super) fn changed_rows(
    id: &ChannelId,
    old: Option<&ChannelState>,
    new: Option<&ChannelState>,
) -> BTreeSet<RowKey> {
    let mut rows = BTreeSet::from([RowKey::Channel(*id)]);
    for role in [Role::Wallet, Role::Hub] {
        let none = Direction::default();
        let old = old.map_or(&none, |channel| channel.directions.of(role));
        let new = new.map_or(&none, |channel| channel.directions.of(role));
        let places = 0..u16::try_from(old.locks.len().max(new.locks.len())).unwrap_or(u16::MAX);
        let moved = |at: &u16| old.locks.get(usize::from(*at)) != new.locks.get(usize::from(*at));
        rows.extend(places.filter(moved).map(|at| RowKey::Lock(*id, role, at)));
        let ids = old.claims.keys().chain(new.claims.keys());
        let moved = |lock: &&u64| old.claims.get(lock) != new.claims.get(lock);
        rows.extend(ids.filter(moved).map(|at| RowKey::Claim(*id, role, *at)));
    }
    rows
}

impl RowKey {
    fn bytes(self) -> Vec<u8> {
        match self {
            RowKey::Balance(account, asset) => {
                [b"b", account.as_slice(), &asset.0.to_be_bytes()].concat()
            }
            RowKey::Channel(id) => [b"c", id.as_slice()].concat(),
            RowKey::Issued(asset) => [b"i", asset.0.to_be_bytes().as_slice()].concat(),
            RowKey::Mints => b"k".to_vec(),
            RowKey::Lock(id, role, at) => {
                [b"l", id.as_slice(), &[role_byte(role)], &at.to_be_bytes()].concat()
            }
            RowKey::Nonce(account) => [b"n", account.as_slice()].concat(),
            RowKey::Lease(account) => [b"e", account.as_slice()].concat(),
            RowKey::Opened => b"o".to_vec(),
            RowKey::Claim(id, role, lock) => {
                [b"s", id.as_slice(), &[role_byte(role)], &lock.to_be_bytes()].concat()
            }
        }
    }

    fn parse(bytes: &[u8]) -> Option<RowKey> {
        let (kind, rest) = bytes.split_first()?;
        let key = match kind {
            b'b' | b'e' | b'n' => {
                let (account, rest) = rest.split_first_chunk()?;
                match kind {
                    b'b' => {
                        let asset = u32::from_be_bytes(rest.try_into().ok()?);
                        RowKey::Balance(PublicKey(*account), AssetId(asset))
                    }
                    b'e' => RowKey::Lease(PublicKey(*account)),
                    _ => RowKey::Nonce(PublicKey(*account)),
                }
            }
            b'c' => RowKey::Channel(ChannelId(rest.try_into().ok()?)),
            b'i' => RowKey::Issued(AssetId(u32::from_be_bytes(rest.try_into().ok()?))),
            b'k' => RowKey::Mints,
            b'o' => RowKey::Opened,
            b'l' | b's' => {
                let (id, rest) = rest.split_first_chunk()?;
                let (role, rest) = rest.split_first()?;
                let (id, role) = (ChannelId(*id), role_of(*role)?);
                match kind {
                    b'l' => RowKey::Lock(id, role, u16::from_be_bytes(rest.try_into().ok()?)),
                    _ => RowKey::Claim(id, role, u64::from_be_bytes(rest.try_into().ok()?)),
                }
            }
            _ => return None,
        };
        (key.bytes() == bytes).then_some(key)
    }
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Wallet => 0,
        Role::Hub => 1,
    }
}

fn role_of(byte: u8) -> Option<Role> {
    [Role::Wallet, Role::Hub].into_iter().find(|role| role_byte(*role) == byte)
}

impl State {
    /// The rows that changed since the last call, in the order of their kinds and keys.
    pub(super) fn take_changes(&mut self) -> Vec<Row> {
        let dirty = std::mem::take(&mut self.dirty);
        let row = |key: RowKey| (key.bytes(), self.row(key));
        dirty.into_iter().map(row).collect()
    }

    /// Every row there is.
    pub(super) fn all_rows(&self) -> Vec<Row> {
        let mut keys = BTreeSet::from([RowKey::Mints, RowKey::Opened]);
        let balances = self.balances.keys().copied();
        keys.extend(balances.map(|(account, asset)| RowKey::Balance(account, asset)));
        keys.extend(self.nonces.keys().copied().map(RowKey::Nonce));
        keys.extend(self.leases.keys().copied().map(RowKey::Lease));
        keys.extend(self.issued.keys().copied().map(RowKey::Issued));
        for (id, channel) in &self.channels {
            keys.extend(changed_rows(id, None, Some(channel)));
        }
        let row = |key: RowKey| (key.bytes(), self.row(key));
        keys.into_iter().map(row).collect()
    }

    fn row(&self, key: RowKey) -> Option<Vec<u8>> {
        let direction = |id: &ChannelId, role| self.channel(id).map(|c| c.directions.of(role));
        match key {
            RowKey::Balance(account, asset) => {
                self.balances.get(&(account, asset)).map(encode_tight)
            }
            RowKey::Channel(id) => self.channel(&id).map(|c| encode_tight(&ChannelRow::from(c))),
            RowKey::Issued(asset) => self.issued.get(&asset).map(encode_tight),
            RowKey::Mints => Some(encode_tight(&self.mints)),
            RowKey::Lease(hub) => self.leases.get(&hub).map(encode_tight),
            RowKey::Opened => Some(encode_tight(&self.opened)),
            RowKey::Lock(id, role, at) => {
                direction(&id, role)?.locks.get(usize::from(at)).map(encode_tight)
            }
            RowKey::Nonce(account) => self.nonces.get(&account).map(encode_tight),
            RowKey::Claim(id, role, lock) => {
                direction(&id, role)?.claims.get(&lock).map(encode_tight)
            }
        }
    }

    /// Takes one stored row in. Rows come in ascending order of keys, so a channel comes before
    /// its locks and claims. [`State::finish_loading`] must follow the last.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        match RowKey::parse(key).ok_or("no such row is known")? {
            RowKey::Balance(account, asset) => {
                self.balances.insert((account, asset), read(value)?);
            }
            RowKey::Channel(id) => {
                let row: ChannelRow = read(value)?;
                if row.terms.channel_id() != id {
                    return Err("the channel's terms are those of another".to_owned());
                }
                self.channels.insert(id, Box::new(row.into()));
            }
            RowKey::Issued(asset) => {
                self.issued.insert(asset, read(value)?);
            }
            RowKey::Mints => self.mints = read(value)?,
            RowKey::Opened => self.opened = read(value)?,
            RowKey::Lease(hub) => {
                self.leases.insert(hub, read(value)?);
            }
            RowKey::Nonce(account) => {
                self.nonces.insert(account, read(value)?);
            }
            RowKey::Lock(id, role, at) => {
                let lock: Lock = read(value)?;
                let locks = &mut self.loaded(&id, role)?.locks;
                if locks.len() != usize::from(at) {
                    return Err("a lock before it is missing".to_owned());
                }
                locks.push(lock);
            }
            RowKey::Claim(id, role, lock) => {
                let claim: Claim = read(value)?;
                self.loaded(&id, role)?.claims.insert(lock, claim);
            }
        }
        Ok(())
    }

    fn loaded(&mut self, id: &ChannelId, role: Role) -> Result<&mut Direction, String> {
        let channel = self.channels.get_mut(id);
        channel
            .map(|channel| &mut **channel.directions.of_mut(role))
            .ok_or_else(|| "its channel is missing".to_owned())
    }

    /// Computes what is derived, and checks that nothing is missing.
    pub(super) fn finish_loading(&mut self) -> Result<(), String> {
        self.derive();
        if self.channels.values().any(|channel| channel.index >= self.opened) {
            return Err("fewer channels were opened than there are".to_owned());
        }
        self.update_tree();
        let mut directions =
            (self.channels.values()).flat_map(|c| [&c.directions.wallet, &c.directions.hub]);
        if !directions.all(|direction| direction.is_whole()) {
            return Err("the locks of a channel are not those under its proof".to_owned());
        }
        if self.is_conserved_throughout() {
            Ok(())
        } else {
            Err("accounts and escrow do not add up to what was issued".to_owned())
        }
    }
}

fn read<T: Serialize + DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    decode(value).map_err(|error| error.to_string())
}

impl From<&ChannelState> for ChannelRow {
    fn from(channel: &ChannelState) -> ChannelRow {
        let direction = |direction: &Direction| DirectionRow {
            standing: direction.standing,
            opened: direction.opened,
            floor: direction.floor,
            void_below: direction.void_below,
        };
        ChannelRow {
            terms: channel.terms,
            index: channel.index,
            opened: channel.opened,
            deposited: channel.deposited,
            withdrawn: channel.withdrawn,
            closing: channel.closing,
            directions: PerRole {
                wallet: direction(&channel.directions.wallet),
                hub: direction(&channel.directions.hub),
            },
        }
    }
}

impl From<ChannelRow> for ChannelState {
    fn from(row: ChannelRow) -> ChannelState {
        let direction = |row: DirectionRow| {
            Rare::from(Direction {
                standing: row.standing,
                opened: row.opened,
                floor: row.floor,
                void_below: row.void_below,
                ..Direction::default()
            })
        };
        ChannelState {
            terms: row.terms,
            index: row.index,
            opened: row.opened,
            deposited: row.deposited,
            withdrawn: row.withdrawn,
            closing: row.closing,
            directions: PerRole {
                wallet: direction(row.directions.wallet),
                hub: direction(row.directions.hub),
            },
        }
    }
}
