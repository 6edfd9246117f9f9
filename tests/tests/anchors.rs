//! A hub that anchors by itself: what the ledger proves then, what a wallet that sleeps gets, and
//! who signs when there are two hubs with one key.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::io::ErrorKind;
use std::path::Path;

use client_sdk::api::LiabilityAnswer;
use serde_json::Value;
use settlement::api::SubmitRequest;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::encoding::encode;
use settlement::reject::Code;
use settlement::state_proof::{ChannelLeaf, StateProof};
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, Height, PublicKey, Role, Secret};
use tests::process::child::Child;
use tests::process::http::Http;
use tests::process::hub::Hub;
use tests::process::ledger::Ledger;
use tests::process::raw::RawWallet;
use tests::process::{BLOCKS_PATIENCE, PATIENCE, Programs, eventually};

const DEPOSIT: Amount = Amount(100_000);

/// A channel's state as the ledger proves it to anybody who knows its key.
fn proven(ledger: &Http, wallet: &RawWallet) -> ChannelLeaf {
    let id = wallet.channel.id();
    let info = ledger.ledger_info();
    let key = VerifyingKey::parse(&info.genesis.ledger_key).unwrap();
    let proof: StateProof = ledger.get(&format!("/v1/ledger/proofs/{id}")).ok();
    proof.verify(&info.ledger, &key, &id).unwrap().clone()
}

/// Waits until the ledger would pay the wallet what it has, if nothing more came before it.
fn wait_protected(ledger: &Http, wallet: &RawWallet) {
    eventually("an anchor", PATIENCE, || {
        (proven(ledger, wallet).payout().wallet == wallet.balance()).then_some(())
    });
}

fn pay(from: &mut RawWallet, to: &mut RawWallet, amount: u64, number: u8) {
    from.pay(to, Amount(amount), Secret([number; 32]));
}

/// The wallet's leaf, once there is one in a block: under the root that the hub has signed there.
fn leaf(hub: &Hub, ledger: &Http, wallet: &RawWallet, owed: Amount) -> LiabilityAnswer {
    let path = format!("/v1/channels/{}/liability", wallet.channel.id());
    let answer: LiabilityAnswer = eventually("a leaf", PATIENCE, || {
        let answer = hub.http.get(&path);
        let answer: LiabilityAnswer = (answer.status == 200).then(|| answer.ok())?;
        (answer.block.is_some() && answer.proof.owed == owed).then_some(answer)
    });
    assert_eq!(answer.proof.channel, wallet.channel.id());
    answer.proof.verify(&answer.liabilities).unwrap();
    let block = &ledger.blocks()[answer.block.unwrap().0 as usize - 1];
    let (of, liabilities) = (hub.key, answer.liabilities);
    assert!(block.events.contains(&LedgerEvent::LiabilitiesAnchored { hub: of, liabilities }));
    answer
}

fn audit(programs: &Programs, data: &Path) -> Value {
    let dir = data.display().to_string();
    let mut child =
        Child::start("hub audit", &programs.hub, &["audit", "--json", "--data-dir", &dir]);
    let success = child.wait(BLOCKS_PATIENCE).success();
    let report: Value = serde_json::from_str(&child.out()).unwrap();
    assert!(success, "{report}");
    report
}

#[test]
fn what_was_paid_is_anchored_proven_and_owed() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let mut hub = Hub::start(&programs, dir.path());
    let mut payer = RawWallet::open(&hub.http, 1, DEPOSIT);
    let mut payee = RawWallet::open(&hub.http, 2, DEPOSIT);
    pay(&mut payer, &mut payee, 2_500, 1);
    // By itself, every two seconds on such a ledger.
    wait_protected(&hub.http, &payer);
    wait_protected(&hub.http, &payee);
    let ledger = hub.http.clone();
    let leaves = [&payer, &payee].map(|wallet| leaf(&hub, &ledger, wallet, wallet.balance()));
    let total = leaves[1].liabilities.total;
    assert_eq!(total.0, payer.balance().0 + payee.balance().0);

    pay(&mut payer, &mut payee, 700, 2);
    let now = hub.anchor_now();
    assert_eq!((now.problem, now.channels), (None, now.of));
    wait_protected(&hub.http, &payee);
    let rest = hub.anchor_now();
    assert_eq!((rest.of, rest.as_of, rest.block), (0, None, None), "nothing has moved");

    // A new process has a lease of its own, and what it says contradicts nothing said before.
    hub.kill_and_start_again();
    hub.wait_ready();
    payee.connect();
    payer.connect();
    pay(&mut payer, &mut payee, 300, 3);
    wait_protected(&hub.http, &payee);
    leaf(&hub, &hub.http, &payee, payee.balance());
    let unknown = hub.http.get(&format!("/v1/channels/{}/liability", "00".repeat(32)));
    assert_eq!(unknown.problem().code, Code::UnknownChannel);
    let report = audit(&programs, dir.path());
    assert_eq!(report["contradictions"], serde_json::json!([]));
    let owed = &report["owed"][0];
    assert_eq!(owed["hub"], hub.key.to_string());
    let escrow: i128 = owed["escrow"].as_str().unwrap().parse().unwrap();
    let total: i128 = owed["liabilities"]["total"].as_str().unwrap().parse().unwrap();
    assert!(0 < total && total <= escrow, "{owed}");
}

/// Nobody answers for a wallet that sleeps: what was anchored does.
#[test]
fn a_sleeping_wallet_that_is_closed_on_with_nothing_gets_what_was_anchored() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let hub = Hub::start(&programs, dir.path());
    let mut payer = RawWallet::open(&hub.http, 1, DEPOSIT);
    let mut payee = RawWallet::open(&hub.http, 2, DEPOSIT);
    pay(&mut payer, &mut payee, 2_500, 1);
    wait_protected(&hub.http, &payee);
    let (id, owner, balance) = (payee.channel.id(), payee.public(), payee.balance());
    drop(payee);

    let text = std::fs::read_to_string(dir.path().join("hub.key")).unwrap();
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.trim(), &mut bytes).unwrap();
    let hub_key = SigningKey::from_bytes(bytes).unwrap();
    let (locks, claims) = (Vec::new(), Vec::new());
    let nothing =
        Submission { channel: id, by: Role::Hub, close: true, proof: None, locks, claims };
    let transaction = hex::encode(encode(&Transaction::submit(&hub_key, nothing)));
    let _: Value = hub.http.post("/v1/ledger/transactions", &SubmitRequest { transaction }).ok();
    eventually("the end of the window", BLOCKS_PATIENCE, || {
        hub.http.channel(&id).paid.map(|paid| assert_eq!(paid.wallet, balance))
    });
    assert_eq!(hub.http.balance(&owner), balance);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else if let Err(error) = std::fs::copy(&path, &target) {
            // The hub is running: it may have left a file since.
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}: {error}", path.display());
        }
    }
}

/// Blocks with leases of this hub: heights and epochs.
fn leases(blocks: &[BlockEvents], of: PublicKey) -> Vec<(Height, u64)> {
    let leased = |block: &BlockEvents| {
        let height = block.header.header.height;
        let epochs = block.events.iter().filter_map(move |event| match event {
            LedgerEvent::Leased { hub, epoch, .. } if *hub == of => Some((height, *epoch)),
            _ => None,
        });
        epochs.collect::<Vec<_>>()
    };
    blocks.iter().flat_map(leased).collect()
}

/// Blocks with anchors of this hub, and as of which heights these are.
fn said(blocks: &[BlockEvents], of: PublicKey) -> Vec<(Height, Height)> {
    let said = |block: &BlockEvents| {
        let height = block.header.header.height;
        let heights = block.events.iter().filter_map(move |event| match event {
            LedgerEvent::LiabilitiesAnchored { hub, liabilities } if *hub == of => {
                Some((height, liabilities.as_of))
            }
            _ => None,
        });
        heights.collect::<Vec<_>>()
    };
    blocks.iter().flat_map(said).collect()
}

/// A second process on a copy of the directory takes the lease; the first one stops for good, and
/// the second signs nothing before the first must have seen that.
#[test]
fn a_second_hub_on_a_copy_fences_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let programs = tests::programs!();
    let path = |name: &str| dir.path().join(name);
    let ledger = Ledger::start(&programs, &path("ledger"));
    let mut first = Hub::start_on(&programs, &path("first"), &ledger.url);
    eventually("a lease that is not held yet", PATIENCE, || {
        first.not_ready().filter(|why| why.starts_with("lease: ") && why.contains("could go on"))
    });
    ledger.http.faucet(&first.key, Amount(10 * DEPOSIT.0));
    first.wait_ready();
    let mut payer = RawWallet::open_on(&first.http, &ledger.http, 1, DEPOSIT);
    let mut payee = RawWallet::open_on(&first.http, &ledger.http, 2, DEPOSIT);
    pay(&mut payer, &mut payee, 2_500, 1);
    wait_protected(&ledger.http, &payee);

    copy(&path("first"), &path("second"));
    let second = Hub::start_on(&programs, &path("second"), &ledger.url);
    assert_eq!(second.key, first.key);
    let status = first.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(4), "it is not to be started again");
    let log = first.process.log();
    assert!(log.contains("another process has taken over"), "{log}");

    second.wait_ready();
    let ready_at = ledger.http.height();
    let blocks = ledger.http.blocks();
    let taken = leases(&blocks, first.key);
    assert_eq!(taken.iter().map(|(_, epoch)| *epoch).collect::<Vec<_>>(), [1, 2]);
    let fenced_at = taken[1].0;
    assert!(ready_at >= fenced_at.after(20), "lag blocks later at the earliest");
    eventually("an anchor of the second", PATIENCE, || {
        let blocks = ledger.http.blocks();
        let said = said(&blocks, first.key);
        let (before, after): (Vec<_>, Vec<_>) =
            said.iter().partition(|(_, as_of)| *as_of < fenced_at);
        assert!(!before.is_empty());
        assert!(before.iter().all(|(block, _)| *block <= fenced_at), "{said:?}");
        assert!(after.iter().all(|(block, _)| *block > ready_at.before(2)), "{said:?}");
        (!after.is_empty()).then_some(())
    });
    // Two on one directory are kept apart before it comes to that.
    let any = "127.0.0.1:0";
    let mut twice = Hub::launch_with(&programs, &path("second"), any, &["--ledger", &ledger.url]);
    assert!(!twice.wait(PATIENCE).success());
    assert!(twice.log().contains("in use"), "{}", twice.log());
}
