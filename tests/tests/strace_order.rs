//! Nothing leaves a process before what it rests on is durable, seen from outside: in a trace of its
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
use tests::process::wallet::Wallet;
use tests::process::{BLOCKS_PATIENCE, PATIENCE, strace};

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
fn the_hub_syncs_update_lock_and_secret_before_it_sends_what_rests_on_them() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let hub = Hub::start_traced(&tests::programs!(), &dir.path().join("hub"), &trace);
    let mut payer = RawWallet::open(&hub.http, 1, Amount(100_000));
    let mut payee = RawWallet::open(&hub.http, 2, Amount(100_000));
    let payment = pay(&mut payer, &mut payee);

    // The secret to the payer comes after all else that is looked at.
    let calls = strace::read_until(&trace, "the secret in the trace", |calls| {
        calls.iter().any(|call| call.to_socket() && call.wrote(&SECRET.0))
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

#[test]
fn the_wallets_sync_lock_and_secret_before_they_send_them() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let wallet = |name: &str| Wallet::init(&programs, &dir.path().join(name), &hub.url);
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    alice.fund(10_000);
    bob.fund(10_000);
    let (of_alice, of_bob) = (dir.path().join("trace of alice"), dir.path().join("trace of bob"));
    let listening = bob.start_traced(&["listen"], &of_bob);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let mut sending = alice.start_traced(&["send", &bob.key.to_string(), "700"], &of_alice);
    assert!(sending.wait(BLOCKS_PATIENCE).success(), "{} {}", sending.out(), sending.log());
    let sent = &sending.json_from(0)[0];
    let bytes = |field: &str| hex::decode(sent[field].as_str().unwrap()).unwrap();

    // Nobody but the two could know the secret of a payment that was not asked for.
    for (what, trace, needle) in
        [("the payer's lock", of_alice, bytes("payment")), ("the secret", of_bob, bytes("secret"))]
    {
        let calls = strace::read_until(&trace, what, |calls| {
            calls.iter().any(|call| call.to_socket() && call.wrote(&needle))
        });
        assert_eq!(strace::durable_before_sent(&calls, &needle, &needle), Ok(()), "{what}");
    }
}
