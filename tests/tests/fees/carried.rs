//! Whoever carries something about a channel to it pays for the envelope, and everybody is paid out as on one that is free.

use settlement::types::{Amount, PublicKey};
use tests::process::PATIENCE;
use tests::process::toll::{self, EUR, FEES, accounts};
use tests::process::wallet::{Wallet, amount};

const ISSUED: u64 = 10_000_000;
const GIVEN: u64 = 200_000;
const DEPOSIT: u64 = 100_000;

#[test]
fn everything_about_a_channel_is_carried_in_an_envelope() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let genesis = toll::genesis(&[("EUR", 2, ISSUED, ISSUED)]);
    let ledger = toll::start_ledger(&programs, &dir.path().join("ledger"), &genesis);
    let hub = toll::start_hub(&programs, &dir.path().join("hub"), &ledger);
    let wallet = |name: &str| {
        let wallet = Wallet::init(&programs, &dir.path().join(name), &hub.url);
        toll::give(&ledger, wallet.key, EUR, GIVEN);
        wallet.ok(&["open", "--deposit", &DEPOSIT.to_string()]);
        wallet
    };
    let (alice, bob) = (wallet("alice"), wallet("bob"));
    let mut listening = bob.start(&["listen"]);
    listening.wait_for("that it listens", 0, PATIENCE, |line| line["event"] == "listening");
    let paid = 1_000;
    let sent = alice.ok(&["send", &bob.key.to_string(), &paid.to_string()]);
    assert_eq!(sent["state"], "settled", "{sent}");
    let cost = paid + amount(&sent["fee"]).0;
    assert!(listening.terminate().success(), "{}", listening.log());

    // The hub carries what both have signed.
    let id = alice.status()["channels"][0]["id"].as_str().unwrap().to_owned();
    let took_out = 500;
    alice.ok(&["withdraw", "--channel", &id, &took_out.to_string()]);
    let closed = bob.ok(&["close"]);
    assert_eq!(amount(&closed["wallet_amount"]), Amount(DEPOSIT + paid), "{closed}");

    // The wallet carries its close, and the hub its answer: without that the wallet would get all
    // that it put in.
    alice.ok(&["close", "--unilateral"]);
    let ended = alice
        .wait_status("the end of the channel", |status| status["channels"][0]["state"] == "closed");
    let got = amount(&ended["channels"][0]["wallet_amount"]);
    assert_eq!(got, Amount(DEPOSIT - cost - took_out), "{ended}");

    let balance = |key: &PublicKey| ledger.http.balance(key).0;
    // A wallet's own: the opening, and alice's close. No more is taken from it than fees.
    let most = FEES.of(4_096, 0).0;
    let spent = |wallet: &Wallet, should: u64| should - balance(&wallet.key);
    let (by_alice, by_bob) = (spent(&alice, GIVEN - cost), spent(&bob, GIVEN + paid));
    assert!((2 * FEES.flat.0..=2 * most).contains(&by_alice), "{by_alice}");
    assert!((FEES.flat.0..=most).contains(&by_bob), "{by_bob}");
    let [ledger_key, treasury, hub_key] = accounts();
    let all = [ledger_key, treasury, hub_key, alice.key, bob.key].iter().map(balance).sum::<u64>();
    assert_eq!(all, 2 * ISSUED, "every unit is in an account");
    assert!(balance(&ledger_key) > by_alice + by_bob, "the hub pays for what it carries, too");
}
