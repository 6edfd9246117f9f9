//! The shard's state as rows of the index.
//!
//! | key | value |
//! | --- | --- |
//! | `c`, channel id, chunk (u16, big-endian) | a part of the channel with its pairs, at most 4,096 bytes |
//! | `f`, index, count (u16 each, big-endian) | the height and time that this shard has followed |
//! | `o` | what the hub has put on the ledger for itself ([`Own`]); the first shard writes it |
//!
//! The bytes of a channel and of `o` are a version (one byte) and postcard. They do not depend on the
//! shard that holds them. Channels of version 1 lack what the ledger says that the hub has certainly
//! paid: for them that is nothing yet. Those before version 3 lack claims on locks that were forgotten.

use settlement::channel::Channel;
use settlement::encoding::encode;
use settlement::index::MAX_VALUE_BYTES;
use settlement::lock::ByLock;
use settlement::rare::Rare;
use settlement::types::{Amount, ChannelId, Height};

use super::claims::{Claim, ClaimRow};
use super::slot::{Pair, Slot};
use super::{Own, Shard, ShardConfig, Slice};

const CHANNEL: u8 = b'c';
const FOLLOWED: u8 = b'f';
const OWN: &[u8] = b"o";
const VERSION: u8 = 3;
const OWN_VERSION: u8 = 1;

/// A row that this version did not write: it can't start from such an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index has a row that can't be read: {what} (key {key})")]
pub struct BadRow {
    /// What is wrong.
    pub what: &'static str,
    /// The row's key in hex.
    pub key: String,
}

/// A channel's parts with their places.
type Parts = Vec<(u16, Vec<u8>)>;
type Pairs = Rare<ByLock<Pair>>;

impl Shard {
    /// The rows that have changed since the last call: new values, or `None` to delete. They belong
    /// to the position of the last record that was handed out.
    pub fn take_dirty_rows(&mut self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        // All are looked at, which is seldom: a list of those that changed would mostly be one of all.
        let dirty = self.slots.iter().filter(|slot| slot.dirty);
        let mut ids: Vec<ChannelId> = dirty.map(|slot| slot.channel.id()).collect();
        ids.sort_unstable();
        let mut rows = Vec::new();
        // First: one of them may have been opened again by a block that came again.
        for (id, count) in std::mem::take(&mut self.let_go) {
            rows.extend((0..count).map(|chunk| (channel_key(id, chunk), None)));
        }
        for id in ids {
            if let Some(slot) = self.slots.get_mut(&id) {
                write_channel(id, slot, &mut rows);
            }
        }
        let left = std::mem::take(&mut self.left_slices);
        rows.extend(left.into_iter().map(|slice| (followed_key(slice), None)));
        let own = self.config.slice;
        if let Some(followed) = self.followed.get(&own) {
            rows.push((followed_key(own), Some(encode(followed))));
        }
        if self.keeps_own() && self.own != Own::default() {
            rows.push((OWN.to_vec(), Some(versioned(OWN_VERSION, &self.own))));
        }
        rows
    }

    /// The shard that these rows make; see [`Restoring`].
    ///
    /// # Errors
    /// [`BadRow`]: rebuild the index from the journal.
    pub fn restore(
        config: ShardConfig,
        rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Shard, BadRow> {
        let mut restoring = Restoring::new(config);
        rows.into_iter().try_for_each(|(key, value)| restoring.row(&key, &value))?;
        restoring.finish()
    }

    fn restore_channel(&mut self, id: ChannelId, mut parts: Parts) -> Result<(), BadRow> {
        let broken = |what| bad(what, &channel_key(id, 0));
        parts.sort_unstable();
        let whole = (0u16..).zip(&parts).all(|(at, (chunk, _))| at == *chunk);
        let count = u16::try_from(parts.len()).ok().filter(|_| whole);
        let count = count.ok_or_else(|| broken("a channel with a part missing"))?;
        let bytes: Vec<u8> = parts.into_iter().flat_map(|(_, part)| part).collect();
        let (version, bytes) = bytes.split_first().ok_or_else(|| broken("an empty channel"))?;
        let decoded = match *version {
            1 => postcard::from_bytes(bytes).map(|(a, b)| (a, b, Amount::ZERO, Vec::new())),
            2 => postcard::from_bytes(bytes).map(|(a, b, c)| (a, b, c, Vec::new())),
            VERSION => postcard::from_bytes(bytes),
            _ => return Err(broken("a channel in another version's encoding")),
        };
        let decoded: Result<(Channel, Pairs, Amount, Vec<ClaimRow>), _> = decoded;
        let (channel, pairs, floor, claims) =
            decoded.map_err(|_| broken("a channel that can't be decoded"))?;
        if channel.id() != id {
            return Err(broken("a channel under another's key"));
        }
        let mut slot = Slot::new(channel);
        (slot.pairs, slot.floor, slot.rows) = (pairs, floor, count);
        self.slots.insert_new(Box::new(slot));
        self.reload(id);
        for (own, secret, steps, payer) in claims {
            self.keep_claim(id, own, Claim::new(secret, steps, payer));
        }
        Ok(())
    }
}

/// A shard that is being made from the rows of an index. Replay the records after the rows' position
/// on what comes of it, then call [`Shard::recovered`].
#[derive(Debug)]
pub struct Restoring {
    shard: Shard,
    /// The channel of the newest row, and its parts so far: there may be more.
    open: Option<(ChannelId, Parts)>,
}

impl Restoring {
    /// One that has seen no row.
    pub fn new(config: ShardConfig) -> Restoring {
        Restoring { shard: Shard::new(config), open: None }
    }

    /// Takes a row; they come in ascending order of their keys. Rows of channels of other shards
    /// are left out.
    ///
    /// # Errors
    /// [`BadRow`]: rebuild the index from the journal.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), BadRow> {
        if key == OWN {
            self.shard.own = own_of(value).ok_or_else(|| bad("what can't be read", key))?;
        } else if let Some((id, chunk)) = channel_of(key) {
            if !self.shard.config.slice.holds(&id) {
                return Ok(());
            }
            if self.open.as_ref().is_some_and(|(open, _)| *open != id) {
                self.close_channel()?;
            }
            let (_, parts) = self.open.get_or_insert_with(|| (id, Parts::new()));
            parts.push((chunk, value.to_vec()));
        } else {
            let slice = slice_of(key).ok_or_else(|| bad("an unknown key", key))?;
            let followed = postcard::from_bytes::<(Height, u64)>(value);
            let followed = followed.map_err(|_| bad("a height that can't be read", key))?;
            self.shard.followed.insert(slice, followed);
        }
        Ok(())
    }

    fn close_channel(&mut self) -> Result<(), BadRow> {
        let Some((id, parts)) = self.open.take() else { return Ok(()) };
        self.shard.restore_channel(id, parts)
    }

    /// The shard, after the last row.
    ///
    /// # Errors
    /// [`BadRow`]: rebuild the index from the journal.
    pub fn finish(mut self) -> Result<Shard, BadRow> {
        self.close_channel()?;
        // Records that follow conclude pairs as they did when they were made.
        for pairing in self.shard.pairs() {
            if let Some(payer) = self.shard.slots.get_mut(&pairing.incoming.0) {
                payer.paired(pairing.incoming.1, pairing.anchor, pairing.outgoing);
            }
        }
        Ok(self.shard)
    }
}

fn write_channel(id: ChannelId, slot: &mut Slot, rows: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    slot.dirty = false;
    let bytes = versioned(VERSION, &(&slot.channel, &slot.pairs, slot.floor, slot.claims()));
    let mut count: u16 = 0;
    for part in bytes.chunks(MAX_VALUE_BYTES) {
        rows.push((channel_key(id, count), Some(part.to_vec())));
        count = count.saturating_add(1);
    }
    rows.extend((count..slot.rows).map(|chunk| (channel_key(id, chunk), None)));
    slot.rows = count;
}

fn versioned(version: u8, value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = vec![version];
    bytes.extend(encode(value));
    bytes
}

fn own_of(row: &[u8]) -> Option<Own> {
    let (version, bytes) = row.split_first()?;
    (*version == OWN_VERSION).then(|| postcard::from_bytes(bytes).ok())?
}

fn channel_key(id: ChannelId, chunk: u16) -> Vec<u8> {
    let mut key = vec![CHANNEL];
    key.extend(id.0);
    key.extend(chunk.to_be_bytes());
    key
}

fn channel_of(key: &[u8]) -> Option<(ChannelId, u16)> {
    let rest = key.strip_prefix(&[CHANNEL])?;
    let (id, chunk) = rest.split_first_chunk::<32>()?;
    Some((ChannelId(*id), u16::from_be_bytes(chunk.try_into().ok()?)))
}

fn followed_key(slice: Slice) -> Vec<u8> {
    let mut key = vec![FOLLOWED];
    key.extend(slice.index.to_be_bytes());
    key.extend(slice.count.to_be_bytes());
    key
}

fn slice_of(key: &[u8]) -> Option<Slice> {
    let rest = key.strip_prefix(&[FOLLOWED])?;
    let (index, count) = rest.split_first_chunk::<2>()?;
    let (index, count) = (*index, <[u8; 2]>::try_from(count).ok()?);
    Some(Slice { index: u16::from_be_bytes(index), count: u16::from_be_bytes(count) })
}

fn bad(what: &'static str, key: &[u8]) -> BadRow {
    BadRow { what, key: key.iter().map(|byte| format!("{byte:02x}")).collect() }
}
