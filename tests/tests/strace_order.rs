//! Nothing leaves the hub before what it rests on is durable, seen from outside: in a trace of its
//! system calls during one payment.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use settlement::crypto::chain_step;
use settlement::encoding::encode;
use settlement::types::{Amount, Anchor, Secret};
use settlement::wire::Message;
use tests::process::hub::Hub;
use tests::process::raw::RawWallet;
use tests::process::{PATIENCE, eventually, strace};

const SECRET: Secret = Secret(*b"a secret that is found in traces");

struct Payment {
    /// The payer's signature: in the journal with its update.
    update: Vec<u8>,
    /// The frame that says that the update is accepted.
    ack: Vec<u8>,
    /// The hub's lock, as it stands in journal and frame alike.
    lock: Vec<u8>,
}

#[test]
fn update_lock_and_secret_are_synced_before_they_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let hub = Hub::start_traced(&tests::programs!(), &dir.path().join("hub"), &trace);
    let mut payer = RawWallet::open(&hub.http, 1, Amount(100_000));
    let mut payee = RawWallet::open(&hub.http, 2, Amount(100_000));
    let payment = pay(&mut payer, &mut payee);

    // The trace is written behind the calls; the settlement comes after all that is looked at.
    let settled = "the trace of the whole payment";
    let calls = eventually(settled, PATIENCE, || {
        let calls = strace::parse(&std::fs::read_to_string(&trace).unwrap_or_default());
        let revealed = calls.iter().any(|call| call.to_socket() && call.wrote(&SECRET.0));
        revealed.then_some(calls)
    });
    let steps = [
        ("the payer's update", &payment.update, &payment.ack),
        ("the hub's lock", &payment.lock, &payment.lock),
        ("the secret", &SECRET.0.to_vec(), &SECRET.0.to_vec()),
    ];
    for (what, record, sent) in steps {
        let order = strace::durable_before_sent(&calls, record, sent);
        assert_eq!(order, Ok(()), "{what}");
    }
}

fn pay(payer: &mut RawWallet, payee: &mut RawWallet) -> Payment {
    let anchor = Anchor(chain_step(&SECRET.0));
    let amount = Amount(500);
    let unit = Amount(amount.0 + payer.info().fees.fee(amount).unwrap().0);
    let add = payer.add(anchor, payee.public(), unit);
    let (update, seq) = payer.make(&[add]);
    let signature = update.proof.signature.0.to_vec();
    payer.say(&Message::Update(update));
    assert_eq!(payer.answer_to(seq), Ok(seq));
    let ack = Message::Ack { channel: payer.channel.id(), seq }.to_frame();
    let id = payee.hear_lock(anchor);
    let lock = encode(payee.channel.incoming().tally.lock(id).unwrap());
    payee.reveal(id, SECRET);
    payer.hear("the secret", |message| matches!(message, Message::Reveal { .. }));
    Payment { update: signature, ack, lock }
}
