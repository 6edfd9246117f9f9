//! Hubs on a ledger in a process of its own: two that share one, a ledger that stalls, dies and
//! comes back, and the refusal of any other ledger.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::path::Path;

use serde_json::{Value, json};
use settlement::crypto::chain_step;
use settlement::lock::Lock;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, PublicKey};
use settlement::update::{Destination, Op, Payload};
use tests::process::child::Child;
use tests::process::driver::Driver;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::raw::RawWallet;
use tests::process::wallet::{Wallet, amount};
use tests::process::{BLOCKS_PATIENCE, PATIENCE, Programs};

const DEPOSIT: u64 = 100_000;

/// What somebody gives a hub, so that it can put money into channels.
const HUB_MONEY: Amount = Amount(1_000_000);

/// A wallet with a channel before its hub has any money; the hub says what it lacks.
fn fund_before_the_hub(wallet: &Wallet, hub: &Hub, ledger: &Ledger) {
    wallet.ok(&["faucet", &DEPOSIT.to_string()]);
    let opened = wallet.ok(&["open", "--deposit", &DEPOSIT.to_string()]);
    hub.process.wait_log("holds too little", PATIENCE);
    let log = hub.process.log();
    let line = log.lines().find(|line| line.contains("holds too little")).unwrap();
    for part in [&hub.key.to_string(), "/v1/ledger/faucet", "asset=0"] {
        assert!(line.contains(part), "no {part} in: {line}");
    }
    assert_eq!(wallet.status()["channels"][0]["hub_amount"], "0");
    ledger.http.faucet(&hub.key, HUB_MONEY);
    wallet.wait_status("the hub's money", |status| {
        status["channels"][0]["hub_amount"] == opened["inbound"]
    });
    let told = |log: &str| log.matches("holds too little").count();
    assert_eq!(told(&hub.process.log()), 1, "said once, however often it is tried");
}

/// Pays an invoice; returns the fee.
fn pay(payer: &Wallet, payee: &Wallet, worth: u64) -> u64 {
    let (mut waiting, invoice) = payee.invoice(worth, true);
    let paid = payer.ok(&["pay", &invoice]);
    assert_eq!(paid["state"], "settled", "{paid}");
    assert!(waiting.wait(BLOCKS_PATIENCE).success(), "{}", waiting.log());
    amount(&paid["fee"]).0
}

fn wait_closed(wallet: &Wallet) {
    wallet.wait_status("the end of the channel", |status| {
        let channels = status["channels"].as_array().unwrap();
        channels.iter().all(|channel| channel["state"] == "closed")
    });
}

#[test]
fn two_hubs_on_one_ledger_pay_and_settle_to_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let path = |name: &str| dir.path().join(name);
    let ledger = Ledger::start(&programs, &path("ledger"));
    let hub = |name: &str| Hub::start_on(&programs, &path(name), &ledger.url);
    let (one, two) = (hub("one"), hub("two"));
    for hub in [&one, &two] {
        let info = hub.info();
        assert_eq!(info.ledger.to_string(), ledger.id);
        assert_eq!(info.ledger_url.as_deref(), Some(ledger.url.as_str()));
        assert_eq!(hub.http.get("/v1/ledger/info").problem().code, Code::NotFound);
    }
    let wallet = |name: &str, hub: &Hub| Wallet::init(&programs, &path(name), &hub.url);
    let (alice, bob) = (wallet("alice", &one), wallet("bob", &one));
    let (carol, dave) = (wallet("carol", &two), wallet("dave", &two));
    fund_before_the_hub(&alice, &one, &ledger);
    ledger.http.faucet(&two.key, HUB_MONEY);
    for wallet in [&bob, &carol, &dave] {
        wallet.fund(DEPOSIT);
    }

    let (at_one, at_two) = (pay(&alice, &bob, 2_500), pay(&carol, &dave, 700));
    // What is said on the command line wins over what the hub says.
    assert_eq!(alice.run(&["--ledger", "http://127.0.0.1:9", "status"]).code, 3);

    assert_eq!(amount(&alice.ok(&["close"])["wallet_amount"]).0, DEPOSIT - 2_500 - at_one);
    bob.ok(&["close", "--unilateral"]);
    carol.ok(&["close"]);
    dave.ok(&["close"]);
    let ends = [
        (&alice, DEPOSIT - 2_500 - at_one),
        (&bob, DEPOSIT + 2_500),
        (&carol, DEPOSIT - 700 - at_two),
        (&dave, DEPOSIT + 700),
    ];
    for (wallet, holds) in ends {
        wait_closed(wallet);
        assert_eq!(ledger.http.balance(&wallet.key), Amount(holds));
    }
    for (hub, earned) in [(&one, at_one), (&two, at_two)] {
        assert_eq!(ledger.http.issued_to(&hub.key), HUB_MONEY);
        assert_eq!(ledger.http.balance(&hub.key), Amount(HUB_MONEY.0 + earned));
    }
}

/// A hub on a ledger, two wallets that take orders, and one that says what it likes.
struct Scene {
    ledger: Ledger,
    hub: Hub,
    alice: Driver,
    bob: Driver,
    mallory: RawWallet,
}

impl Scene {
    fn set(programs: &Programs, dir: &Path) -> Scene {
        let path = |name: &str| dir.join(name);
        let ledger = Ledger::start(programs, &path("ledger"));
        let hub = Hub::start_on(programs, &path("hub"), &ledger.url);
        ledger.http.faucet(&hub.key, HUB_MONEY);
        hub.wait_ready();
        let driver = |name, number| {
            let mut driver = Driver::start(programs, name, &path(name), &hub.url, number);
            ledger.http.faucet(&driver.key, Amount(DEPOSIT));
            driver.ask(&json!({ "open": { "amount": DEPOSIT.to_string() } }), "opened");
            driver
        };
        let (alice, bob) = (driver("alice", 1), driver("bob", 2));
        let mallory = RawWallet::open_on(&hub.http, &ledger.http, 3, Amount(DEPOSIT));
        Scene { ledger, hub, alice, bob, mallory }
    }

    /// What one payment of Alice's to Bob comes to: `null` when it settles, else the code.
    fn pays(&mut self, patient: bool) -> Value {
        let order = json!({ "send": {
            "payee": self.bob.key, "amount": "10", "count": 1, "at_once": 1, "patient": patient,
        } });
        let from = self.alice.process.printed();
        self.alice.process.tell(&order);
        let over = |line: &Value| line["ended"].is_object() || !line["refused"].is_null();
        let (line, _) = self.alice.process.wait_for("its end", from, BLOCKS_PATIENCE, over);
        let state = &line["ended"]["state"];
        match state.as_str() {
            Some(state) => assert_eq!(state, "settled", "{line}"),
            None if line["refused"].is_null() => return state["failed"].clone(),
            None => return line["refused"].clone(),
        }
        Value::Null
    }

    /// Payments go, as soon as the payer's own view is fresh again, too.
    fn all_is_well(&mut self) {
        self.hub.wait_ready();
        let before = self.bob.report().wallet;
        assert_eq!(self.pays(true), Value::Null);
        let arrived = |scene: &mut Scene| scene.bob.report().wallet == before + 10;
        let there = || arrived(self).then_some(());
        tests::process::eventually("the payment", PATIENCE, there);
    }

    /// A lock of Mallory's, which cares about no view of the ledger.
    fn lock(&self, secret: u8) -> Op {
        let (anchor, unit, id) = (Anchor(chain_step(&[secret; 32])), Amount(50), 1);
        let expiry = self.mallory.height().after(self.mallory.info().policy.lock_life);
        let lock = Lock { id, anchor, unit, steps: 1, expiry };
        let to = Destination { hub: None, wallet: self.bob.key };
        Op::Add { lock, to, payload: Payload::default() }
    }
}

#[test]
fn a_ledger_that_stalls_stops_payments_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut scene = Scene::set(&tests::programs!(), dir.path());
    let stalled = json!(Code::LedgerStalled.number());
    scene.all_is_well();
    let lock = scene.lock(1);

    // A ledger that hangs: its sockets stay open and answer nothing.
    scene.ledger.process.freeze();
    let why = scene.hub.wait_not_ready();
    assert!(why.starts_with("ledger: ") && why.contains("3000 ms"), "{why}");
    let late = scene.mallory.forge(vec![lock.clone()], |_| {});
    assert_eq!(scene.mallory.refused(late), Code::StaleView, "the hub itself takes no lock");
    assert_eq!(scene.pays(false), stalled);
    scene.ledger.process.thaw();
    scene.all_is_well();

    // One that is gone, and comes back where it was.
    scene.ledger.process.kill();
    let why = scene.hub.wait_not_ready();
    assert!(why.starts_with("ledger: "), "{why}");
    assert_eq!(scene.pays(false), stalled);
    scene.ledger.start_again();
    scene.all_is_well();

    // A hub that starts while its ledger is gone serves, and says what it waits for.
    scene.ledger.process.kill();
    scene.hub.kill_and_start_again();
    let why = scene.hub.wait_not_ready();
    assert!(why.contains("no block was seen since the start"), "{why}");
    assert_eq!(scene.hub.info().ledger.to_string(), scene.ledger.id);
    scene.ledger.start_again();
    scene.all_is_well();
    let log = scene.hub.process.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// The one line with which a hub refuses to start.
fn refusal(mut hub: Child) -> String {
    let status = hub.wait(PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", hub.log());
    assert_eq!(hub.out(), "", "nothing says that it serves");
    let log = hub.log();
    assert!(!log.contains("panicked"), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| !line.contains(" WARN ")).collect();
    assert_eq!(errors.len(), 1, "one line: {log}");
    errors[0].strip_prefix("error: ").unwrap().to_owned()
}

fn key_of(hub: &Hub) -> PublicKey {
    hub.info().hub
}

#[test]
fn a_hub_stays_on_the_ledger_that_its_channels_are_on() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let path = |name: &str| dir.path().join(name);
    let (own, other) =
        (Ledger::start(&programs, &path("own")), Ledger::start(&programs, &path("other")));
    let (home, any) = (path("hub"), "127.0.0.1:0");
    let mut hub = Hub::start_on(&programs, &home, &own.url);
    let key = key_of(&hub);
    assert!(hub.process.terminate().success());

    let said = refusal(Hub::launch_with(&programs, &home, any, &["--ledger", &other.url]));
    for part in [&own.id, &other.id, &other.url] {
        assert!(said.contains(part.as_str()), "no {part} in: {said}");
    }
    let said = refusal(Hub::launch(&programs, &home, any));
    assert!(said.contains(&own.id) && said.contains("--ledger"), "{said}");
    assert!(!home.join("ledger").exists(), "no ledger was made on the way");

    hub.start_again();
    hub.wait_ready();
    assert_eq!(key_of(&hub), key);

    // An embedded ledger is as much a hub's own as one elsewhere.
    let embedding = path("embedding");
    assert!(Hub::start(&programs, &embedding).process.terminate().success());
    let said = refusal(Hub::launch_with(&programs, &embedding, any, &["--ledger", &own.url]));
    assert!(said.contains(&own.id), "{said}");
}

#[test]
fn a_first_start_needs_a_ledger_that_answers() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let launch = |name: &str, url: &str| {
        Hub::launch_with(&programs, &dir.path().join(name), "127.0.0.1:0", &["--ledger", url])
    };
    let said = refusal(launch("one", "http://127.0.0.1:9"));
    assert!(said.contains("127.0.0.1:9") && said.contains("first start"), "{said}");
    let said = refusal(launch("two", "127.0.0.1:9"));
    assert!(said.starts_with("ledger: "), "{said}");
    // A hub that embeds no ledger serves none.
    let ledger = Ledger::start(&programs, &dir.path().join("ledger"));
    let hub = Hub::start_on(&programs, &dir.path().join("hub"), &ledger.url);
    let said = refusal(launch("three", &hub.url));
    assert!(said.contains("is no ledger"), "{said}");
}
