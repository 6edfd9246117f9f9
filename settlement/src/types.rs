//! The small types everything else is made of: checked newtypes with one encoding each.
//!
//! Two encodings exist. In postcard (what is hashed, signed, stored and sent) integers are varints
//! and fixed-size byte arrays are raw. In JSON (what people and scripts read) amounts are decimal
//! strings and bytes are lower-case hex.

mod bytes;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use bytes::{
    AccountId, Anchor, ChannelId, Hash, Holder, LedgerId, PublicKey, Salt, Secret, Signature, TxId,
};

/// Whole base units of an asset, 0 to 2^64 − 1. Sums over many are made in `i128`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u64);

impl Amount {
    /// No units.
    pub const ZERO: Amount = Amount(0);

    /// The sum, or `None` above 2^64 − 1.
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// This amount `times` over, or `None` above 2^64 − 1.
    pub fn checked_mul(self, times: u32) -> Option<Amount> {
        self.0.checked_mul(u64::from(times)).map(Amount)
    }

    /// For sums that may pass through negative values.
    pub fn wide(self) -> i128 {
        i128::from(self.0)
    }

    /// Back from a wide sum; `None` outside 0 to 2^64 − 1.
    pub fn from_wide(wide: i128) -> Option<Amount> {
        u64::try_from(wide).ok().map(Amount)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}u", self.0)
    }
}

/// Text that is no amount: not a whole decimal number of at most 2^64 − 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no amount: write whole base units as decimal digits, at most 18446744073709551615"
)]
pub struct NotAnAmount(pub String);

impl FromStr for Amount {
    type Err = NotAnAmount;

    fn from_str(text: &str) -> Result<Amount, NotAnAmount> {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = if plain { text.parse().ok() } else { None };
        value.map(Amount).ok_or_else(|| NotAnAmount(text.to_owned()))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(&self.0) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Amount, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(de::Error::custom)
        } else {
            u64::deserialize(d).map(Amount)
        }
    }
}

/// An asset of the ledger, by its place in genesis.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AssetId(pub u32);

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Height of a ledger block; genesis is 0. All deadlines are heights, so that a ledger which
/// stands still lets nobody's deadline pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Height(pub u64);

impl Height {
    /// `blocks` later; stays at the highest height instead of overflowing.
    pub fn after(self, blocks: u64) -> Height {
        Height(self.0.saturating_add(blocks))
    }

    /// `blocks` earlier; stays at 0.
    pub fn before(self, blocks: u64) -> Height {
        Height(self.0.saturating_sub(blocks))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which side of a channel: the wallet opened it, the hub is the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Who opened the channel.
    Wallet,
    /// Who serves it.
    Hub,
}

impl Role {
    /// The counterparty.
    pub fn other(self) -> Role {
        match self {
            Role::Wallet => Role::Hub,
            Role::Hub => Role::Wallet,
        }
    }
}

/// A role is one byte (0 wallet, 1 hub), never a varint that could be written in two ways.
impl Serialize for Role {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() {
            s.serialize_str(match self {
                Role::Wallet => "wallet",
                Role::Hub => "hub",
            })
        } else {
            s.serialize_u8(match self {
                Role::Wallet => 0,
                Role::Hub => 1,
            })
        }
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Role, D::Error> {
        let wallet = if d.is_human_readable() {
            match String::deserialize(d)?.as_str() {
                "wallet" => true,
                "hub" => false,
                _ => return Err(de::Error::custom("a role is `wallet` or `hub`")),
            }
        } else {
            match u8::deserialize(d)? {
                0 => true,
                1 => false,
                _ => return Err(de::Error::custom("a role is 0 (wallet) or 1 (hub)")),
            }
        };
        Ok(if wallet { Role::Wallet } else { Role::Hub })
    }
}

/// One value for each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PerRole<T> {
    /// The wallet's.
    pub wallet: T,
    /// The hub's.
    pub hub: T,
}

impl<T> PerRole<T> {
    /// That of `role`.
    pub fn of(&self, role: Role) -> &T {
        match role {
            Role::Wallet => &self.wallet,
            Role::Hub => &self.hub,
        }
    }

    /// That of `role`, to change it.
    pub fn of_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Wallet => &mut self.wallet,
            Role::Hub => &mut self.hub,
        }
    }
}

#[cfg(test)]
mod tests;
