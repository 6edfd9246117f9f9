//! `wire.txt`: kind, number and name of the variant, bytes.

use super::{assert_frozen, fixed};
use crate::encoding::{decode, encode};
use crate::tx::{AccountAction, Transaction};
use crate::update::Op;
use crate::wire::Message;

fn line(kind: &str, name: &str, bytes: &[u8]) -> String {
    format!("{kind} {} {name} {}", bytes[0], hex::encode(bytes))
}

#[test]
fn the_bytes_of_messages_operations_and_transactions_are_frozen() {
    let mut lines = Vec::new();
    for message in fixed::messages() {
        let frame = message.to_frame();
        assert_eq!(Message::from_frame(&frame).as_ref(), Ok(&message));
        lines.push(line("message", fixed::message_name(&message), &frame));
    }
    for (name, op) in fixed::ops() {
        let bytes = encode(&op);
        assert_eq!((decode::<Op>(&bytes).as_ref(), name), (Ok(&op), fixed::op_name(&op)));
        lines.push(line("op", name, &bytes));
    }
    for action in fixed::actions() {
        let bytes = encode(&action);
        assert_eq!(decode::<AccountAction>(&bytes).as_ref(), Ok(&action));
        lines.push(line("action", fixed::action_name(&action), &bytes));
    }
    for transaction in fixed::transactions() {
        let bytes = encode(&transaction);
        assert_eq!(decode::<Transaction>(&bytes).as_ref(), Ok(&transaction));
        lines.push(line("transaction", fixed::transaction_name(&transaction), &bytes));
    }
    assert_frozen("wire.txt", &lines);
}

/// Every number from 0 on has a line, so that no variant is left out.
#[test]
fn every_variant_has_a_line() {
    let numbers = |kind: &str| {
        let of_kind = super::read("testdata/wire.txt");
        let mut numbers: Vec<u8> = of_kind
            .lines()
            .filter_map(|line| line.strip_prefix(kind)?.split(' ').nth(1)?.parse().ok())
            .collect();
        numbers.dedup();
        numbers
    };
    for (kind, last) in [("message", 10), ("op", 3), ("action", 5), ("transaction", 5)] {
        assert_eq!(numbers(kind), (0..=last).collect::<Vec<u8>>(), "{kind}");
        // A number above the last names no variant.
        let unknown = [last + 1, 0, 0, 0];
        match kind {
            "message" => assert!(Message::from_frame(&unknown).is_err()),
            "op" => assert!(decode::<Op>(&unknown).is_err()),
            "action" => assert!(decode::<AccountAction>(&unknown).is_err()),
            _ => assert!(decode::<Transaction>(&unknown).is_err()),
        }
    }
}
