//! The README's story, by hand: a hub and two wallets in processes of their own, from the faucet to
//! the last unit on the ledger.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use serde_json::Value;
use settlement::types::Amount;
use tests::process::hub::Hub;
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, PATIENCE, Programs};

const DEPOSIT: u64 = 100_000;

/// What a wallet has in its one channel; nothing is locked.
fn in_channel(wallet: &Wallet) -> u64 {
    let status = wallet.wait_status("no locks", |status| status["channels"][0]["locked"] == "0");
    let channels = status["channels"].as_array().unwrap();
    assert_eq!(channels.len(), 1, "{status}");
    assert_eq!(channels[0]["state"], "open", "{status}");
    amount(&channels[0]["wallet_amount"]).0
}

fn two_wallets(programs: &Programs, dir: &std::path::Path, hub: &Hub) -> (Wallet, Wallet) {
    let wallet = |name: &str| Wallet::init(programs, &dir.join(name), &hub.url);
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    for wallet in [&alice, &bob] {
        assert_eq!(wallet.status()["public_key"], wallet.key.to_string());
        wallet.fund(DEPOSIT);
        assert_eq!(in_channel(wallet), DEPOSIT);
        assert_eq!(hub.http.balance(&wallet.key), Amount(0), "all of it is in the channel");
    }
    (alice, bob)
}

fn assert_settled(payment: &Value, paid: u64, fee: u64) {
    assert_eq!(payment["state"], "settled", "{payment}");
    assert_eq!(payment["amount"], paid.to_string(), "{payment}");
    assert_eq!(payment["fee"], fee.to_string(), "{payment}");
    let bytes = |name: &str| hex::decode(payment[name].as_str().unwrap()).unwrap();
    let secret: [u8; 32] = bytes("secret").try_into().unwrap();
    let anchor = settlement::crypto::chain_step(&secret).to_vec();
    assert_eq!(bytes("payment"), anchor, "the secret proves the payment");
}

#[test]
fn two_wallets_pay_each_other_and_the_ledger_pays_out_to_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, &dir.path().join("hub"));
    let fees = hub.info().fees;
    let fee = |paid: u64| fees.fee(Amount(paid)).unwrap().0;
    let (alice, bob) = two_wallets(&programs, dir.path(), &hub);

    // An invoice, paid while its maker waits for it.
    let (mut waiting, invoice) = bob.invoice(2_500, true);
    assert_settled(&alice.ok(&["pay", &invoice]), 2_500, fee(2_500));
    assert!(waiting.wait(BLOCKS_PATIENCE).success(), "{}", waiting.log());
    let told = waiting.json_from(1);
    assert_eq!(told.len(), 1, "a second object when it is paid: {told:?}");
    assert_eq!(told[0]["state"], "settled", "{told:?}");

    // A payment that nobody asked for, to a wallet that listens; its owner can use it meanwhile.
    let mut listening = bob.start(&["listen"]);
    let paid = 1_000;
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let sent = alice.ok(&["send", &bob.key.to_string(), &paid.to_string()]);
    assert_settled(&sent, paid, fee(paid));
    let got = |line: &Value| line["payment"] == sent["payment"];
    listening.wait_for("the payment", 0, PATIENCE, got);

    let alice_has = DEPOSIT - 2_500 - fee(2_500) - paid - fee(paid);
    let bob_has = DEPOSIT + 2_500 + paid;
    assert_eq!((in_channel(&alice), in_channel(&bob)), (alice_has, bob_has));
    assert!(listening.terminate().success(), "{}", listening.log());

    // One closes together with the hub, the other alone.
    let closed = alice.ok(&["close"]);
    assert_eq!(amount(&closed["wallet_amount"]), Amount(alice_has), "{closed}");
    let closing = bob.ok(&["close", "--unilateral"]);
    assert_eq!(closing["channel"], bob.status()["channels"][0]["id"], "{closing}");
    for wallet in [&alice, &bob] {
        wallet.wait_status("the end of the channel", |status| {
            let channels = status["channels"].as_array().unwrap();
            channels.iter().all(|channel| channel["state"] == "closed")
        });
    }
    assert_eq!(hub.http.balance(&alice.key), Amount(alice_has));
    assert_eq!(hub.http.balance(&bob.key), Amount(bob_has));
    let issued = hub.http.issued_to(&hub.key).0;
    let earned = fee(2_500) + fee(paid);
    assert_eq!(hub.http.balance(&hub.key), Amount(issued + earned));
}
