//! The wallet as rows of an index, so that a start need not replay everything.
//!
//! | key | value |
//! | --- | --- |
//! | `f` | how far the ledger has been followed |
//! | `m` | since when not all channels are met in which something may be forgotten, while that is so |
//! | `p` ‖ anchor | a payment |
//! | `u` ‖ anchor | nothing: this pending payment may have been paid by an earlier try |
//! | `s` ‖ anchor | a lock of a stream |
//! | `e` ‖ channel id | what the hub may bring of the channel that its newest state no longer says |
//! | `d` ‖ channel id | the newest block in which money came into the channel on the wallet's side |
//! | `c` ‖ channel id ‖ part (u16, big-endian) | a part of an encoded channel, at most 4,096 bytes |
//!
//! Keys are relative to the wallet: a store that holds many puts something of its own before them.

use std::collections::BTreeMap;

use settlement::channel::Channel;
use settlement::encoding::{DecodeError, decode, encode};
use settlement::types::{Anchor, ChannelId, Height};

use super::protect::Exposed;
use super::state::{Dirty, Followed};
use super::stream::StreamLock;
use super::{Payment, Wallet, WalletConfig};

/// The most bytes of a row's value.
pub const ROW_VALUE_MAX: usize = 4_096;

/// A key and its new value, or `None` for a row that is to go.
pub type RowChange = (Vec<u8>, Option<Vec<u8>>);

const FOLLOWED: u8 = b'f';
const UNMET: u8 = b'm';
const PAYMENT: u8 = b'p';
const DOUBTED: u8 = b'u';
const STREAM: u8 = b's';
const CHANNEL: u8 = b'c';
const EXPOSED: u8 = b'e';
const DEPOSITED: u8 = b'd';

/// Rows that make no wallet: the index is damaged or of another program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A key of no known kind.
    #[error("the row {} is of no known kind", hex::encode(.0))]
    Key(Vec<u8>),
    /// A value that can't be decoded.
    #[error("the row {}: {error}", hex::encode(key))]
    Value {
        /// Of which row; of a channel, the first.
        key: Vec<u8>,
        /// Why.
        error: DecodeError,
    },
    /// A part of a channel is missing.
    #[error("part {part} of the channel {channel} is missing")]
    Missing {
        /// Which channel.
        channel: ChannelId,
        /// Which part.
        part: u16,
    },
    /// A channel's rows hold another channel, or a payment's row another payment.
    #[error("the row {} holds what belongs to another", hex::encode(.0))]
    Misplaced(Vec<u8>),
}

/// How many rows each channel has in the index.
pub(super) type Parts = BTreeMap<ChannelId, u16>;

impl Wallet {
    /// Every row.
    pub fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let channels = self.state.channels.values().flat_map(channel_rows);
        let payments = self.state.payments.values().map(payment_row);
        let payments = payments.chain(self.state.streams.all().map(stream_row));
        let doubted = self.state.doubted.iter().map(|anchor| (doubted_key(anchor), Vec::new()));
        let exposed = self.state.exposed.iter().map(exposed_row);
        let deposited = self.state.deposited_at.iter().map(deposited_row);
        let of_channels = channels.chain(exposed).chain(deposited);
        let payments = payments.chain(doubted);
        let whole = self.followed_row().into_iter().chain(self.unmet_row());
        of_channels.chain(payments).chain(whole).collect()
    }

    /// The rows that records since the last call have changed. A store that fails to write them
    /// keeps them for its next checkpoint: they do not come again.
    pub fn take_dirty_rows(&mut self) -> Vec<RowChange> {
        let dirty = std::mem::take(&mut self.state.dirty);
        let Dirty { channels, payments, doubted, followed, unmet } = dirty;
        let mut rows = Vec::new();
        for id in channels {
            let Some(channel) = self.state.channels.get(&id) else { continue };
            let fresh = channel_rows(channel);
            let count = u16::try_from(fresh.len()).unwrap_or(u16::MAX);
            let before = self.parts.insert(id, count).unwrap_or(0);
            rows.extend(fresh.into_iter().map(|(key, value)| (key, Some(value))));
            rows.extend((count..before).map(|part| (channel_key(&id, part), None)));
            let exposed = self.state.exposed.get_key_value(&id).map(exposed_row);
            let deposited = self.state.deposited_at.get_key_value(&id).map(deposited_row);
            rows.extend(
                exposed.into_iter().chain(deposited).map(|(key, value)| (key, Some(value))),
            );
        }
        rows.extend(payments.iter().map(|anchor| match self.state.payments.get(anchor) {
            Some(payment) => (payment_key(anchor), Some(encode(payment))),
            None => (payment_key(anchor), None),
        }));
        rows.extend(doubted.iter().map(|anchor| {
            let still = self.state.doubted.contains(anchor);
            (doubted_key(anchor), still.then(Vec::new))
        }));
        let streams = std::mem::take(&mut self.state.streams.dirty);
        rows.extend(streams.iter().map(|anchor| match self.state.streams.get(anchor) {
            Some(lock) => (stream_key(anchor), Some(encode(lock))),
            None => (stream_key(anchor), None),
        }));
        if followed {
            rows.extend(self.followed_row().map(|(key, value)| (key, Some(value))));
        }
        if unmet {
            rows.push((vec![UNMET], self.unmet_row().map(|(_, value)| value)));
        }
        rows
    }

    /// The wallet that these rows make, in any order. Replay the records that came after them.
    ///
    /// # Errors
    /// [`RestoreError`]: rebuild from the journal instead.
    pub fn restore(
        config: WalletConfig,
        rows: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Wallet, RestoreError> {
        let mut wallet = Wallet::new(config);
        let mut parts: BTreeMap<ChannelId, BTreeMap<u16, Vec<u8>>> = BTreeMap::new();
        for (key, value) in rows {
            let bad = |error| RestoreError::Value { key: key.clone(), error };
            match key.split_first() {
                Some((&FOLLOWED, [])) => wallet.state.followed = decode(&value).map_err(bad)?,
                Some((&UNMET, [])) => wallet.state.unmet_from = Some(decode(&value).map_err(bad)?),
                Some((&PAYMENT, anchor)) => {
                    let payment: Payment = decode(&value).map_err(bad)?;
                    if payment.anchor.as_slice() != anchor {
                        return Err(RestoreError::Misplaced(key));
                    }
                    wallet.state.put(payment);
                }
                Some((&DOUBTED, rest)) => {
                    let anchor = rest.try_into().map_err(|_| RestoreError::Key(key.clone()))?;
                    wallet.state.doubted.insert(Anchor(anchor));
                }
                Some((&STREAM, anchor)) => {
                    let lock: StreamLock = decode(&value).map_err(bad)?;
                    if lock.anchor.as_slice() != anchor {
                        return Err(RestoreError::Misplaced(key));
                    }
                    wallet.state.streams.put(lock);
                }
                Some((&EXPOSED, rest)) => {
                    let id = parse_id(rest).ok_or_else(|| RestoreError::Key(key.clone()))?;
                    wallet.state.exposed.insert(id, decode(&value).map_err(bad)?);
                }
                Some((&DEPOSITED, rest)) => {
                    let id = parse_id(rest).ok_or_else(|| RestoreError::Key(key.clone()))?;
                    wallet.state.deposited_at.insert(id, decode(&value).map_err(bad)?);
                }
                Some((&CHANNEL, rest)) => {
                    let (id, part) = parse_channel_key(rest).ok_or(RestoreError::Key(key))?;
                    parts.entry(id).or_default().insert(part, value);
                }
                _ => return Err(RestoreError::Key(key)),
            }
        }
        for (id, rows) in parts {
            wallet.parts.insert(id, u16::try_from(rows.len()).unwrap_or(u16::MAX));
            wallet.state.channels.insert(id, join(id, &rows)?);
        }
        wallet.state.dirty = Dirty::default();
        wallet.state.streams.dirty.clear();
        wallet.seen = wallet.state.followed;
        Ok(wallet)
    }

    fn followed_row(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let followed = &self.state.followed;
        (*followed != Followed::default()).then(|| (vec![FOLLOWED], encode(followed)))
    }

    fn unmet_row(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.state.unmet_from.map(|from| (vec![UNMET], encode(&from)))
    }
}

fn payment_row(payment: &Payment) -> (Vec<u8>, Vec<u8>) {
    (payment_key(&payment.anchor), encode(payment))
}

fn payment_key(anchor: &Anchor) -> Vec<u8> {
    [&[PAYMENT], anchor.as_slice()].concat()
}

fn doubted_key(anchor: &Anchor) -> Vec<u8> {
    [&[DOUBTED], anchor.as_slice()].concat()
}

fn stream_row(lock: &StreamLock) -> (Vec<u8>, Vec<u8>) {
    (stream_key(&lock.anchor), encode(lock))
}

fn stream_key(anchor: &Anchor) -> Vec<u8> {
    [&[STREAM], anchor.as_slice()].concat()
}

fn exposed_row((id, exposed): (&ChannelId, &Exposed)) -> (Vec<u8>, Vec<u8>) {
    ([&[EXPOSED], id.as_slice()].concat(), encode(exposed))
}

fn deposited_row((id, height): (&ChannelId, &Height)) -> (Vec<u8>, Vec<u8>) {
    ([&[DEPOSITED], id.as_slice()].concat(), encode(height))
}

fn parse_id(rest: &[u8]) -> Option<ChannelId> {
    rest.try_into().map(ChannelId).ok()
}

fn channel_key(id: &ChannelId, part: u16) -> Vec<u8> {
    [&[CHANNEL], id.as_slice(), &part.to_be_bytes()].concat()
}

fn parse_channel_key(rest: &[u8]) -> Option<(ChannelId, u16)> {
    let (id, part) = rest.split_first_chunk::<{ Anchor::LEN }>()?;
    Some((ChannelId(*id), u16::from_be_bytes(part.try_into().ok()?)))
}

fn channel_rows(channel: &Channel) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = encode(channel);
    let parts = (0..u16::MAX).zip(bytes.chunks(ROW_VALUE_MAX));
    parts.map(|(part, bytes)| (channel_key(&channel.id(), part), bytes.to_vec())).collect()
}

fn join(id: ChannelId, rows: &BTreeMap<u16, Vec<u8>>) -> Result<Channel, RestoreError> {
    let gap = (0..).zip(rows.keys()).find(|(expected, part)| expected != *part);
    if let Some((part, _)) = gap {
        return Err(RestoreError::Missing { channel: id, part });
    }
    let bytes: Vec<u8> = rows.values().flatten().copied().collect();
    let key = channel_key(&id, 0);
    let channel: Channel =
        decode(&bytes).map_err(|error| RestoreError::Value { key: key.clone(), error })?;
    if channel.id() == id { Ok(channel) } else { Err(RestoreError::Misplaced(key)) }
}
