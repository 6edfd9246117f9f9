//! What no decoder may take: frames that are cut short, too long, overlong or over a limit.

use proptest::prelude::*;

use super::fixed;
use crate::encoding::{DecodeError, decode, encode};
use crate::lock::LOCKS_MAX;
use crate::tx::Transaction;
use crate::types::{PublicKey, Role, Signature};
use crate::update::{MEMO_MAX, Memo, OPS_MAX, Op, PAYLOAD_MAX, Payload};
use crate::wire::{FRAME_MAX, FrameError, HELLO_KEYS_MAX, Message, RELAY_MAX};

#[test]
fn a_frame_that_is_cut_short_anywhere_is_refused() {
    for message in fixed::messages() {
        let frame = message.to_frame();
        for end in 0..frame.len() {
            assert!(Message::from_frame(&frame[..end]).is_err(), "{message:?} cut at {end}");
        }
    }
    for transaction in fixed::transactions() {
        let bytes = encode(&transaction);
        for end in 0..bytes.len() {
            assert!(decode::<Transaction>(&bytes[..end]).is_err(), "{transaction:?} cut at {end}");
        }
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    for message in fixed::messages() {
        let frame = [message.to_frame(), vec![0]].concat();
        let trailing = FrameError::Decode(DecodeError::TrailingBytes);
        assert_eq!(Message::from_frame(&frame), Err(trailing), "{message:?}");
    }
}

/// Any varint can be written longer with a last zero byte. Here it is done at every place where the
/// longer form still decodes to the same message.
#[test]
fn no_integer_is_taken_in_a_longer_form() {
    let mut longer_forms = 0;
    for message in fixed::messages() {
        let frame = message.to_frame();
        for at in 0..frame.len() {
            if frame[at] >= 0x80 {
                continue;
            }
            let longer = [&frame[..at], &[frame[at] | 0x80, 0][..], &frame[at + 1..]].concat();
            let lax: Result<(Message, &[u8]), _> = postcard::take_from_bytes(&longer);
            let same = matches!(&lax, Ok((decoded, [])) if *decoded == message);
            longer_forms += usize::from(same);
            assert!(!same || Message::from_frame(&longer).is_err(), "{message:?} at {at}");
        }
    }
    assert!(longer_forms > 50, "only {longer_forms} integers were found");
}

#[test]
fn a_frame_above_its_limit_is_refused_before_it_is_read() {
    let frame = vec![0; FRAME_MAX + 1];
    assert_eq!(Message::from_frame(&frame), Err(FrameError::TooLarge(FRAME_MAX + 1)));
    assert_eq!(Message::from_frame(&frame).unwrap_err().code().number(), 304);
    assert_ne!(Message::from_frame(&frame[1..]), Err(FrameError::TooLarge(FRAME_MAX)));
}

#[test]
fn byte_strings_are_taken_up_to_their_limit_only() {
    fn check<const MAX: usize, T>(make: impl Fn(Vec<u8>) -> T, limit: usize)
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        // The type takes no longer bytes, so that the longer ones are written by hand.
        assert!(decode::<T>(&encode(&make(vec![7; limit]))).is_ok());
        assert!(decode::<T>(&encode(&vec![7u8; limit])).is_ok());
        assert!(decode::<T>(&encode(&vec![7u8; limit + 1])).is_err());
    }
    check::<MEMO_MAX, Memo>(|bytes| Memo::new(bytes).unwrap(), 256);
    check::<PAYLOAD_MAX, Payload>(|bytes| Payload::new(bytes).unwrap(), 512);
    assert!(crate::wire::Bounded::<RELAY_MAX>::new(vec![0; RELAY_MAX + 1]).is_err());
}

#[test]
fn lists_are_taken_up_to_their_limit_only() {
    let with = |count: usize, make: fn(Message, usize) -> Message, like: usize| {
        Message::from_frame(&make(fixed::messages()[like].clone(), count).to_frame())
    };
    let keys: fn(Message, usize) -> Message = |message, count| match message {
        Message::Hello(mut hello) => {
            hello.keys = vec![(PublicKey([2; 33]), Signature([1; 64])); count];
            Message::Hello(hello)
        }
        other => other,
    };
    let ops: fn(Message, usize) -> Message = |message, count| match message {
        Message::Update(mut update) => {
            update.ops = vec![Op::Drop { id: 1 }; count];
            Message::Update(update)
        }
        other => other,
    };
    let locks: fn(Message, usize) -> Message = |mut message, count| {
        if let Message::Snapshot { locks, destinations, payloads, .. } = &mut message {
            *locks = vec![locks[0]; count];
            *destinations = vec![destinations[0]; count];
            *payloads = vec![Payload::default(); count];
        }
        message
    };
    for (most, make, like) in [(HELLO_KEYS_MAX, keys, 0), (OPS_MAX, ops, 5), (LOCKS_MAX, locks, 4)]
    {
        assert!(with(most, make, like).is_ok(), "{most}");
        let refused = Err(FrameError::Decode(DecodeError::Malformed));
        assert_eq!(with(most + 1, make, like), refused);
    }
}

#[test]
fn the_lists_of_a_snapshot_have_one_length() {
    let lists: [fn(&mut Message); 2] = [
        |message| {
            if let Message::Snapshot { payloads, .. } = message {
                payloads.clear()
            }
        },
        |message| {
            if let Message::Snapshot { destinations, .. } = message {
                destinations.clear()
            }
        },
    ];
    for shorten in lists {
        let mut message = fixed::messages()[4].clone();
        shorten(&mut message);
        assert_eq!(Message::from_frame(&message.to_frame()), Err(FrameError::Unequal));
    }
}

#[test]
fn roles_booleans_and_options_are_0_or_1() {
    let bytes = encode(&(Role::Hub, true, Some(1u8)));
    assert_eq!(bytes, [1, 1, 1, 1]);
    for at in 0..3 {
        let mut bytes = bytes.clone();
        bytes[at] = 2;
        assert!(decode::<(Role, bool, Option<u8>)>(&bytes).is_err(), "{bytes:?}");
    }
}

/// A length that the frame can't hold is refused without room being made for it.
#[test]
fn a_length_beyond_the_frame_is_refused() {
    let mut frame = vec![0, 1, 1, 0];
    frame.extend([0; 64]);
    frame.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(Message::from_frame(&frame).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn from_frame_never_panics_and_takes_only_what_it_would_write(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        if let Ok(message) = Message::from_frame(&bytes) {
            prop_assert_eq!(message.to_frame(), bytes);
        }
    }

    /// Near misses: a good frame with some bytes changed, cut out or put in.
    #[test]
    fn a_damaged_frame_is_refused_or_is_another_message_in_full(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let messages = fixed::messages();
        let mut frame = messages[which.index(messages.len())].to_frame();
        for (at, byte, how) in damage {
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = byte,
                1 => frame.insert(at, byte),
                _ if frame.len() > 1 => drop(frame.remove(at)),
                _ => {}
            }
        }
        if let Ok(message) = Message::from_frame(&frame) {
            prop_assert_eq!(message.to_frame(), frame);
        }
    }
}
