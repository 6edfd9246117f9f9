//! What a frame costs the hub, read off its bytes before they are decoded.
//!
//! The unit is an operation of an update, decoded, checked, recorded, forwarded and told.

use settlement::update::OPS_MAX;

/// What an update costs beside its operations, its signature above all: as much as so many of them.
const SIGNED: u64 = 4;
/// Any other message costs one, and one more for each so many bytes.
const BYTES: usize = 128;
/// An update's number among the messages.
const UPDATE: u8 = 3;
/// Bytes of a channel's id, which comes next.
const CHANNEL: usize = 32;

/// The most that a frame costs that is let in as an update.
pub(super) const MOST: u64 = SIGNED + OPS_MAX as u64;

/// How many operations' worth of work this frame is. One that says something else than it is does not
/// decode, and ends its connection.
pub(crate) fn ops_of(frame: &[u8]) -> u64 {
    let ops = match frame.split_first() {
        Some((&UPDATE, body)) => ops_of_update(body).map(|ops| SIGNED.saturating_add(ops)),
        _ => None,
    };
    ops.unwrap_or_else(|| 1 + (frame.len() / BYTES) as u64).min(MOST)
}

/// Behind the channel come the state that the update builds on, and how many operations there are.
fn ops_of_update(body: &[u8]) -> Option<u64> {
    let (_base, rest) = varint(body.get(CHANNEL..)?)?;
    Some(varint(rest)?.0)
}

/// Seven bits a byte, the lowest first; the highest bit says that there are more.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(u32::try_from(at).ok()?.saturating_mul(7))?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(at.saturating_add(1)..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use settlement::crypto::{Signed, SigningKey};
    use settlement::proof::BalanceProof;
    use settlement::types::{Amount, ChannelId, Hash, Role, Salt, Secret};
    use settlement::update::{Op, Update};
    use settlement::wire::Message;

    fn update(base: u64, ops: usize) -> Vec<u8> {
        let channel = ChannelId([0xff; 32]);
        let key = SigningKey::from_bytes([1; 32]).unwrap();
        let proof = BalanceProof {
            channel,
            from: Role::Wallet,
            seq: base,
            transferred: Amount(1),
            locked: Amount::ZERO,
            locks_root: Hash::ZERO,
            peer_seq: 0,
            peer_transferred: Amount::ZERO,
        };
        let proof = Signed::alone(&key, proof, Salt([2; 16]));
        let ops = vec![Op::Drop { id: 1 << 40 }; ops];
        Message::Update(Update { channel, base, ops, proof }).to_frame()
    }

    #[test]
    fn an_update_weighs_what_it_carries_and_its_signature() {
        for base in [0, 127, 128, 1 << 32, u64::MAX] {
            for ops in [0, 1, 16, 127, 128, 300, OPS_MAX] {
                assert_eq!(ops_of(&update(base, ops)), SIGNED + ops as u64, "{ops} on {base}");
            }
        }
        assert_eq!(ops_of(&update(1, OPS_MAX)), MOST);
    }

    #[test]
    fn what_is_no_update_weighs_by_its_bytes_and_never_nothing() {
        let channel = ChannelId([1; 32]);
        let ack = Message::Ack { channel, seq: 9 }.to_frame();
        let reveal = Message::Reveal { channel, id: u64::MAX, secret: Secret([1; 32]) }.to_frame();
        assert_eq!((ops_of(&ack), ops_of(&reveal), ops_of(&[])), (1, 1, 1));
        assert_eq!(ops_of(&[2; 1_280]), 11);
        assert_eq!(ops_of(&vec![2; 1 << 20]), MOST, "it is refused for its size");
        // Cut off, or with a number that has no end: no update, and refused when it is decoded.
        assert_eq!((ops_of(&[3; 20]), ops_of(&[0xff; 60])), (1, 1));
        let endless = [&[3][..], &[0; 32], &[0xff; 60]].concat();
        assert_eq!(ops_of(&endless), 1);
        let many = [&[3][..], &[0; 33], &[0xff, 0xff, 0xff, 0x7f]].concat();
        assert_eq!(ops_of(&many), MOST);
    }
}
