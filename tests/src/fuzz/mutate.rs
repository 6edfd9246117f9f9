//! Near misses: good bytes with some damage.

/// One change to some bytes. Places are taken modulo their number.
#[derive(Clone, Debug)]
pub enum Damage {
    /// A bit is another.
    Flip(usize),
    /// A byte is another.
    Set(usize, u8),
    /// A number takes its place, written as the codec writes lengths.
    Length(usize, u64),
    /// What follows is gone.
    Truncate(usize),
    /// So many bytes are gone.
    Cut(usize, usize),
    /// These come in between.
    Insert(usize, Vec<u8>),
    /// So many bytes are there once more, elsewhere.
    Copy(usize, usize, usize),
    /// From here on it is as the other bytes are.
    Splice(usize, usize),
    /// So many zeros.
    Zero(usize, usize),
}

/// The bytes with all the damage, one after the other; `other` is for splices.
pub fn damaged(bytes: &[u8], other: &[u8], damage: &[Damage]) -> Vec<u8> {
    damage.iter().fold(bytes.to_vec(), |bytes, damage| one(bytes, other, damage))
}

fn one(mut bytes: Vec<u8>, other: &[u8], damage: &Damage) -> Vec<u8> {
    let length = bytes.len();
    let at = |place: usize| place % (length + 1);
    let range = |from: usize, count: usize| at(from)..(at(from) + count).min(length);
    match damage {
        _ if bytes.is_empty() => return other.to_vec(),
        Damage::Flip(place) => bytes[(place / 8) % length] ^= 1 << (place % 8),
        Damage::Set(place, byte) => bytes[place % length] = *byte,
        Damage::Length(place, number) => {
            drop(bytes.splice(range(*place, 1), varint(*number)));
        }
        Damage::Truncate(place) => bytes.truncate(at(*place)),
        Damage::Cut(place, count) => drop(bytes.drain(range(*place, *count))),
        Damage::Insert(place, more) => drop(bytes.splice(at(*place)..at(*place), more.clone())),
        Damage::Copy(from, count, to) => {
            let copied = bytes[range(*from, *count)].to_vec();
            drop(bytes.splice(at(*to)..at(*to), copied));
        }
        Damage::Splice(place, from) => {
            bytes.truncate(at(*place));
            bytes.extend_from_slice(&other[from % (other.len() + 1)..]);
        }
        Damage::Zero(place, count) => bytes[range(*place, *count)].fill(0),
    }
    bytes
}

/// A number as the codec writes lengths.
pub fn varint(number: u64) -> Vec<u8> {
    settlement::encoding::encode(&number)
}
