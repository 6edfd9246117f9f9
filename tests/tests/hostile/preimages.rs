//! Secrets of any length but the right one, at every door: they are 32 bytes by type, so each door
//! refuses the message that they come in, and nothing else happens. The door of paid requests has a test
//! of its own: `tests/http402/preimages.rs`.

use serde_json::json;
use settlement::crypto::chain_step;
use settlement::encoding::{DecodeError, decode, encode};
use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, Anchor, Role, Secret};
use settlement::update::Op;
use settlement::wire::Message;
use tests::process::stage::Stage;

use super::DEPOSIT;

const SECRET: Secret = Secret(*b"a secret that is looked for here");
const LENGTHS: [usize; 5] = [0, 1, 31, 33, 64];

/// The same bytes with so many in the place of the secret: its own, and zeros beyond.
fn with_length(bytes: &[u8], length: usize) -> Vec<u8> {
    let at = bytes.windows(32).position(|window| window == SECRET.0).unwrap();
    let other: Vec<u8> = SECRET.0.iter().copied().chain([0; 32]).take(length).collect();
    [&bytes[..at], &other, &bytes[at + 32..]].concat()
}

#[test]
fn on_the_wire_in_the_ledgers_transactions_and_over_http() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let anchor = Anchor(chain_step(&SECRET.0));
    let add = stage.mallory.add(anchor, stage.payee.public(), Amount(1_000));
    assert!(stage.mallory.offer(&[add]).is_ok());
    let id = stage.payee.hear_lock(anchor);
    let channel = stage.payee.channel.id();
    let reveal = Message::Reveal { channel, id, secret: SECRET }.to_frame();
    let settle = stage.payee.forge(vec![Op::Settle { id: 1, secret: SECRET }], |_| {});
    let settle = Message::Update(settle).to_frame();
    for length in LENGTHS {
        for frame in [&reveal, &settle] {
            stage.payee.say_bytes(with_length(frame, length));
            assert_eq!(stage.payee.hear_goodbye(), Code::MalformedFrame, "{length} bytes");
            stage.payee.connect();
        }
        let claims = vec![(id, SECRET)];
        let claim = Submission { claims, ..Submission::close_with_nothing(channel, Role::Wallet) };
        let claim = Transaction::submit(&stage.hub.stolen_key(), claim);
        let transaction = hex::encode(with_length(&encode(&claim), length));
        for path in ["/v1/ledger/transactions", "/v1/channels"] {
            let answer = stage.hub.http.post(path, &json!({ "transaction": transaction }));
            assert_eq!(answer.problem().code, Code::MalformedTransaction, "{length} at {path}");
        }
    }
    // The lock has noticed nothing of all that.
    stage.payee.reveal(id, SECRET);
    stage.mallory.hear("the secret", |message| matches!(message, Message::Reveal { .. }));
    assert!(stage.mallory.offer(&[]).is_ok());
    stage.payee.hear_settled(id);
    stage.all_is_as_before(2);
}

#[test]
fn as_bytes_as_hex_and_in_json() {
    for length in LENGTHS {
        let bytes = with_length(&SECRET.0, length);
        let wrong = if length > 32 { DecodeError::TrailingBytes } else { DecodeError::Malformed };
        assert_eq!(decode::<Secret>(&bytes), Err(wrong), "{length} bytes");
        let text = hex::encode(&bytes);
        assert!(text.parse::<Secret>().is_err(), "{length} bytes");
        assert!(serde_json::from_value::<Secret>(json!(text)).is_err(), "{length} bytes");
        assert!(serde_json::from_value::<Secret>(json!(bytes)).is_err(), "{length} bytes");
    }
    assert_eq!(decode::<Secret>(&SECRET.0), Ok(SECRET));
    assert_eq!(hex::encode(SECRET.0).parse::<Secret>().ok(), Some(SECRET));
}
