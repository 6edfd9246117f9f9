//! Nothing signed for one ledger, channel, direction, purpose or seq is valid for another.
//!
//! One table of everything that is signed ([`rows`]). Each row has a good message and the door at
//! which the other side checks it: the same code that hub, wallet and ledger run. Each must be taken
//! as it is; must be refused with any one of its fields changed under the same signature, whether
//! the field is meant to tell domains apart or not; and must be refused when the same key signed the
//! same bytes for any other purpose.
//!
//! The table is complete by construction. The fields are those that the message has when it is
//! written down; every purpose tag of the code is either signed and then has a row, or said here not
//! to be; every kind of transaction has a row.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

mod field;
mod ledger;
mod rows;
mod sign_in;

use std::collections::BTreeSet;

use settlement::crypto::Tag;
use settlement::encoding::encode;
use settlement::proof::OpenTerms;
use settlement::tx::{AccountAction, ChannelTx, Transaction};
use settlement::types::LedgerId;

use ledger::{Stand, key};
use rows::Row;

/// What a purpose tag is for. A new tag has to be placed here, or this does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// A key signs what is hashed under it, at once or through a batch.
    Signed,
    /// What is hashed under it is a name, a root or a key, which signed messages may contain.
    Hashed,
    /// Nothing is hashed under it yet.
    Reserved,
}

fn use_of(tag: Tag) -> Use {
    match tag {
        Tag::Proof
        | Tag::Leaf
        | Tag::Node
        | Tag::Batch
        | Tag::Tx
        | Tag::Header
        | Tag::Submit
        | Tag::Mint
        | Tag::Withdraw
        | Tag::CooperativeClose
        | Tag::Invoice
        | Tag::Receipt
        | Tag::Hello => Use::Signed,
        Tag::Ledger
        | Tag::Channel
        | Tag::Locks
        | Tag::TxId
        | Tag::Writes
        | Tag::Payload
        | Tag::WalletKey
        | Tag::State
        | Tag::StateRoot
        | Tag::Liability
        | Tag::LiabilityNode
        | Tag::LiabilityRoot
        | Tag::Relay
        | Tag::RelayNonce
        | Tag::Challenge
        | Tag::Payment
        | Tag::Asked => Use::Hashed,
        Tag::Request => Use::Reserved,
    }
}

/// What is missing in a table: purposes that are signed and have no row, or have one and are not.
fn misplaced(rows: &[Row]) -> Vec<Tag> {
    let has_row = |tag: &Tag| rows.iter().any(|row| row.tag == *tag);
    Tag::all().filter(|tag| has_row(tag) != (use_of(*tag) == Use::Signed)).collect()
}

#[test]
fn every_field_of_every_signed_message_is_under_its_signature() {
    let mut changed = 0;
    for row in rows::all() {
        assert_eq!((row.present)(None, row.tag), Ok(()), "{} as it is", row.name);
        assert!(!row.changes.is_empty(), "{} has no field", row.name);
        for change in &row.changes {
            let answer = (row.present)(Some(&change.message), row.tag);
            assert!(answer.is_err(), "{} was taken with another {}", row.name, change.field);
            changed += 1;
        }
    }
    assert!(changed > 150, "{changed} changes");
}

/// The named domains, so that a field of theirs that is renamed or lost is noticed.
#[test]
fn the_fields_that_tell_domains_apart_are_among_them() {
    let rows = rows::all();
    let fields = |name: &str| -> BTreeSet<String> {
        let row = rows.iter().find(|row| row.name == name).expect(name);
        row.changes.iter().map(|change| change.field.clone()).collect()
    };
    let table: [(&str, &[&str]); 10] = [
        ("a proof in an update", &["channel", "from", "seq", "peer_seq"]),
        ("a header at a follower", &["ledger", "height", "parent"]),
        ("a transfer", &["ledger", "account", "nonce"]),
        ("a submission", &["channel", "by", "proof.value.channel", "proof.value.seq"]),
        ("a withdrawal, by its wallet", &["channel", "role", "total_withdrawn"]),
        ("a cooperative close, by its hub", &["channel", "valid_until"]),
        ("a mint", &["ledger", "number"]),
        ("an invoice", &["ledger", "payee", "anchor"]),
        ("a sign-in", &["ledger", "hub", "challenge", "key", "role"]),
        ("a hub's answer to a sign-in", &["ledger", "hub", "challenge", "key", "role"]),
    ];
    for (name, named) in table {
        let fields = fields(name);
        for field in named {
            assert!(fields.contains(*field), "{name}: {field} is not among {fields:?}");
        }
    }
}

/// All pairs: signed for one purpose, shown for another.
#[test]
fn a_signature_for_one_purpose_is_good_for_no_other() {
    let mut pairs = 0;
    for row in rows::all() {
        for tag in Tag::all().filter(|tag| *tag != row.tag) {
            let answer = (row.present)(None, tag);
            assert!(answer.is_err(), "{} was taken, signed as {tag:?}", row.name);
            pairs += 1;
        }
    }
    assert!(pairs > 500, "{pairs} pairs");
}

#[test]
fn every_purpose_that_is_signed_has_a_row() {
    let mut rows = rows::all();
    assert_eq!(misplaced(&rows), []);
    // And the check can fail: without the rows of a purpose it names just that one.
    for tag in Tag::all().filter(|tag| use_of(*tag) == Use::Signed) {
        let (without, with): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|r| r.tag != tag);
        assert_eq!(misplaced(&without), [tag]);
        rows = without.into_iter().chain(with).collect();
    }
}

/// The variants that an enum has, as the one byte that each is encoded as: zeros are a value of every
/// variant, and of none beyond.
fn variants<T: serde::de::DeserializeOwned>() -> BTreeSet<u8> {
    let taken = |variant: &u8| {
        let bytes = [&[*variant], [0; 1_000].as_slice()].concat();
        postcard::take_from_bytes::<T>(&bytes).is_ok()
    };
    (0..0x80).filter(taken).collect()
}

/// The first byte of a value's encoding is its variant.
fn variants_in<T: serde::Serialize>(values: impl Iterator<Item = T>) -> BTreeSet<u8> {
    values.filter_map(|value| encode(&value).first().copied()).collect()
}

#[test]
fn every_kind_of_transaction_has_a_row() {
    let txs = Stand::new().transactions();
    let actions = || {
        txs.iter().filter_map(|(_, tx)| match tx {
            Transaction::Account { body, .. } => Some(body.action.clone()),
            _ => None,
        })
    };
    let carried = actions().filter_map(|action| match action {
        AccountAction::Carry(tx) => Some(*tx),
        _ => None,
    });
    assert_eq!(variants_in(actions()), variants::<AccountAction>());
    assert_eq!(variants_in(carried), variants::<ChannelTx>());
    // A bare `Settle` is anybody's, and signed by nobody.
    let settle = encode(&Transaction::Settle { channel: settlement::types::ChannelId([0; 32]) });
    let mut signed = variants::<Transaction>();
    assert!(signed.remove(&settle[0]));
    assert_eq!(variants_in(txs.iter().map(|(_, tx)| tx)), signed);
    assert!(variants::<AccountAction>().len() >= 6);
}

/// Whatever of its terms differs, a channel has another id: so has one that the same two open again,
/// as its opening spends another nonce, and one on another ledger.
#[test]
fn a_channel_that_is_opened_again_has_another_id() {
    let stand = Stand::new();
    let terms = stand.terms;
    let mut ids = BTreeSet::from([terms.channel_id()]);
    let changes = field::changes(&terms);
    for change in &changes {
        let other: OpenTerms = serde_json::from_value(change.message.clone()).expect("terms");
        assert!(ids.insert(other.channel_id()), "{} is not in the id", change.field);
    }
    assert_eq!(changes.len(), 6);
    let elsewhere = OpenTerms { ledger: LedgerId([9; 32]), ..terms };
    assert!(ids.insert(elsewhere.channel_id()));
    let again = stand.opened_again();
    assert_eq!((again.wallet, again.hub, again.asset), (terms.wallet, terms.hub, terms.asset));
    assert_ne!(again.channel_id(), terms.channel_id(), "the same two have had this channel before");
}

/// What was signed in the first of two channels of the same two is refused in the second, even with
/// everything around it made for that.
#[test]
fn a_proof_of_one_channel_is_none_in_the_next() {
    let stand = Stand::new();
    let old = stand.proof();
    let mut submission = stand.submission(&old);
    submission.channel = stand.opened_again().channel_id();
    let tx = Transaction::submit(&key(2), submission.clone());
    assert!(stand.answer(tx).is_err(), "a proof of the first channel");
    let mut moved = old;
    moved.value.channel = submission.channel;
    submission.proof = Some(moved);
    let tx = Transaction::submit(&key(2), submission);
    assert!(stand.answer(tx).is_err(), "the same with the second channel's id");
}
