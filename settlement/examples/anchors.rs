//! What anchors cost and weigh: the figures of `ANCHORS.md`.
//!
//! ```sh
//! cargo run --release -p settlement --features ledger --example anchors
//! ```
//!
//! Cost: the ledger checks and applies the anchor of 10,000 channels that moved, in chunks, each with
//! a lone proof of its wallet's; beside it the same signatures are checked bare, with keys parsed and
//! digests made before, on as many threads as the ledger uses. Weight: bytes per entry, in the
//! transaction and in the ledger's journal, which keeps what blocks did beside them. On a machine that
//! does other things too, the best round says more than the median, and what was used of the
//! processors more than both; that includes cloning the ledger for each round.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a program that measures stops where it meets what it does not expect"
)]

use std::num::NonZero;
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};

use settlement::block::{Block, SignedHeader};
use settlement::crypto::{Signable, Signed, SigningKey, VerifyingKey, batch_root, sign_batch};
use settlement::encoding::encode;
use settlement::ledger::{Ledger, TX_BYTES_MAX, VerifiedTx};
use settlement::liabilities::{Liabilities, LiabilityTree};
use settlement::params::{Allocation, Genesis};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::{
    ANCHOR_ENTRIES_MAX, AccountAction, AccountTx, AnchorEntry, Anchoring, Transaction,
};
use settlement::types::{Amount, AssetId, Hash, Height, Role, Salt, Signature};

const CHANNELS: u64 = 10_000;
const ROUNDS: usize = 7;
const EUR: AssetId = AssetId(0);
const WINDOW: u32 = 50;

fn key(number: u64) -> SigningKey {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(bytes).unwrap()
}

fn hub() -> SigningKey {
    key(1 << 40)
}

fn ledger_key() -> SigningKey {
    key(1 << 41)
}

fn wallets() -> Vec<SigningKey> {
    (1..=CHANNELS).map(key).collect()
}

/// A ledger on which every wallet has a channel with the hub.
fn world(wallets: &[SigningKey]) -> Ledger {
    let amount = Amount(1_000_000);
    let allocation = |key: &SigningKey| Allocation { account: key.public(), asset: EUR, amount };
    let genesis = Genesis {
        allocations: wallets.iter().map(allocation).collect(),
        ..Genesis::development("anchors", ledger_key().public(), 1)
    };
    let mut ledger = Ledger::genesis(genesis).unwrap();
    for some in wallets.chunks(1_000) {
        let opened = some.iter().map(|key| {
            let terms = terms(&ledger, key);
            let action = AccountAction::Open { terms, deposit: amount };
            ledger.verify_tx(account_tx(&ledger, key, 0, action)).unwrap()
        });
        let opened: Vec<VerifiedTx> = opened.collect();
        let time_ms = ledger.tip().time_ms + 1_000;
        ledger.apply(opened, time_ms).unwrap();
    }
    assert_eq!(ledger.channel_count() as u64, CHANNELS);
    ledger
}

fn terms(ledger: &Ledger, wallet: &SigningKey) -> OpenTerms {
    OpenTerms {
        ledger: ledger.id(),
        asset: EUR,
        wallet: wallet.public(),
        hub: hub().public(),
        challenge_blocks: WINDOW,
        nonce: 0,
    }
}

fn account_tx(ledger: &Ledger, key: &SigningKey, nonce: u64, action: AccountAction) -> Transaction {
    let body = AccountTx { ledger: ledger.id(), account: key.public(), nonce, action };
    Transaction::account(key, body)
}

/// What the wallet of a busy channel has signed last: numbers as after some ten thousand payments.
fn proof(ledger: &Ledger, wallet: &SigningKey) -> BalanceProof {
    BalanceProof {
        channel: terms(ledger, wallet).channel_id(),
        from: Role::Wallet,
        seq: 20_000,
        transferred: Amount(765_432),
        locked: Amount(150),
        locks_root: Hash([7; 32]),
        peer_seq: 21_000,
        peer_transferred: Amount(654_321),
    }
}

fn lone_entry(ledger: &Ledger, wallet: &SigningKey) -> AnchorEntry {
    let proof = proof(ledger, wallet);
    let wallet_proof = Some(Signed::alone(wallet, proof, Salt([5; 16])));
    AnchorEntry { channel: proof.channel, wallet_proof, hub_transferred: Amount(654_321) }
}

/// The hub's transactions, cut as the hub cuts them.
fn anchors(ledger: &Ledger, entries: &[AnchorEntry]) -> Vec<Transaction> {
    let leaves = entries.iter().map(|entry| (entry.channel, Amount(889_889))).collect();
    let (root, total) = LiabilityTree::new(leaves).unwrap().root();
    let liabilities = Liabilities { as_of: ledger.tip().height, asset: EUR, root, total };
    let bytes = encode(&entries[0]).len() + 8;
    let most = ((TX_BYTES_MAX - 512) / bytes).min(ANCHOR_ENTRIES_MAX);
    let anchoring = |entries: &[AnchorEntry]| {
        AccountAction::Anchor(Anchoring { epoch: 0, entries: entries.to_vec(), liabilities })
    };
    let actions = (0u64..).zip(entries.chunks(most));
    actions.map(|(nonce, entries)| account_tx(ledger, &hub(), nonce, anchoring(entries))).collect()
}

type Bare = (VerifyingKey, Hash, Signature);

fn bare(wallets: &[SigningKey], entries: &[AnchorEntry]) -> Vec<Bare> {
    let of = |(wallet, entry): (&SigningKey, &AnchorEntry)| {
        let signed = entry.wallet_proof.as_ref().unwrap();
        let root = signed.path.root(&signed.value.digest()).unwrap();
        let digest = batch_root(&root, signed.path.leaf_count);
        (VerifyingKey::parse(&wallet.public()).unwrap(), digest, signed.signature)
    };
    wallets.iter().zip(entries).map(of).collect()
}

/// Checks every signature once, on so many threads.
fn check_bare(signatures: &[Bare], threads: usize) -> Duration {
    let started = Instant::now();
    scope(|scope| {
        for part in signatures.chunks(signatures.len().div_ceil(threads)) {
            scope.spawn(move || {
                for (key, digest, signature) in part {
                    key.verify(digest, signature).unwrap();
                }
            });
        }
    });
    started.elapsed()
}

struct Anchored {
    check: Duration,
    apply: Duration,
    ledger: Ledger,
    block: Block,
    /// Of the block's record in the journal.
    record_bytes: usize,
}

/// Checks and applies the transactions as the one who makes blocks does.
fn anchor(ledger: &Ledger, transactions: &[Transaction]) -> Anchored {
    let (mut ledger, transactions) = (ledger.clone(), transactions.to_vec());
    let started = Instant::now();
    let verified: Vec<VerifiedTx> =
        transactions.into_iter().map(|tx| ledger.verify_tx(tx).unwrap()).collect();
    let check = started.elapsed();
    let time_ms = ledger.tip().time_ms + 1_000;
    let started = Instant::now();
    let applied = ledger.apply(verified, time_ms).unwrap();
    let apply = started.elapsed();
    assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(applied.events.len() as u64, 2 * CHANNELS + applied.outcomes.len() as u64);
    let header = SignedHeader::sign(&ledger_key(), applied.header);
    let block = Block { header, transactions: applied.transactions };
    let record_bytes = encode(&(1u8, &block, &applied.events)).len();
    Anchored { check, apply, ledger, block, record_bytes }
}

/// Checks and applies the block as everybody else does.
fn follow(ledger: &Ledger, anchored: &Anchored) -> Duration {
    let mut ledger = ledger.clone();
    let started = Instant::now();
    ledger.verify_block(&anchored.block).unwrap();
    let took = started.elapsed();
    assert_eq!(ledger.tip(), anchored.ledger.tip());
    took
}

/// What one part took in each round: by the wall, and of the processors.
#[derive(Default)]
struct Part {
    wall: Vec<Duration>,
    processors: Duration,
}

impl Part {
    /// Does it once more.
    fn measure<T>(&mut self, work: impl FnOnce() -> (Duration, T)) -> (Duration, T) {
        let before = processors();
        let (took, done) = work();
        self.processors += processors().saturating_sub(before);
        self.wall.push(took);
        (took, done)
    }

    fn print(&self, name: &str, raw: &Part) {
        let (median, best) = (median(&self.wall), self.wall.iter().min().unwrap());
        let (raw_median, raw_best) = (median_of(raw), raw.wall.iter().min().unwrap());
        println!(
            "  {name:22} {:8.1} ms {:5.2} | {:8.1} ms {:5.2} | {:8.1} ms {:5.2}",
            millis(median),
            ratio(median, raw_median),
            millis(*best),
            ratio(*best, *raw_best),
            millis(self.processors) / ROUNDS as f64,
            ratio(self.processors, raw.processors),
        );
    }
}

fn median_of(part: &Part) -> Duration {
    median(&part.wall)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn ratio(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64()
}

/// What this process has used of all processors, in steps of 10 ms.
fn processors() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn cost(ledger: &Ledger, wallets: &[SigningKey], entries: &[AnchorEntry]) -> usize {
    let threads = available_parallelism().map_or(1, NonZero::get);
    let transactions = anchors(ledger, entries);
    let signatures = bare(wallets, entries);
    let [mut raw, mut made, mut followed] = [Part::default(), Part::default(), Part::default()];
    let (mut check, mut apply) = (Vec::new(), Vec::new());
    let mut record_bytes = 0;
    for _ in 0..ROUNDS {
        raw.measure(|| (check_bare(&signatures, threads), ()));
        let (_, anchored) = made.measure(|| {
            let anchored = anchor(ledger, &transactions);
            (anchored.check + anchored.apply, anchored)
        });
        check.push(anchored.check);
        apply.push(anchored.apply);
        followed.measure(|| (follow(ledger, &anchored), ()));
        record_bytes = anchored.record_bytes;
    }
    println!(
        "{CHANNELS} channels in {} chunks, {threads} threads, {ROUNDS} rounds; each beside the \
         signatures alone:",
        transactions.len()
    );
    println!("  {:22} {:^17} | {:^17} | {:^17}", "", "median", "best round", "processors");
    raw.print("the signatures alone", &raw);
    made.print("check, then apply", &raw);
    followed.print("follow the block", &raw);
    let (check, apply) = (median(&check), median(&apply));
    println!("  of the second: {:.1} ms to check, {:.1} ms to apply", millis(check), millis(apply));
    record_bytes
}

/// Bytes of an entry whose proof was signed together with others.
fn batched_bytes(ledger: &Ledger, wallet: &SigningKey, batch: usize) -> usize {
    let proof = proof(ledger, wallet);
    let leaves: Vec<(Hash, Salt)> = (0..batch).map(|_| (proof.digest(), Salt([5; 16]))).collect();
    let (signature, path) = sign_batch(wallet, &leaves).swap_remove(0);
    let wallet_proof = Some(Signed { value: proof, signature, path });
    encode(&AnchorEntry { wallet_proof, ..lone_entry(ledger, wallet) }).len()
}

fn weight(ledger: &Ledger, wallet: &SigningKey, record_bytes: usize) {
    let lone = lone_entry(ledger, wallet);
    let bare = AnchorEntry { wallet_proof: None, ..lone.clone() };
    println!("\nbytes of an entry in its transaction:");
    println!("  without a wallet's proof      {:5}", encode(&bare).len());
    println!("  with one that is signed alone {:5}", encode(&lone).len());
    for batch in [4, 16, 64, 256] {
        println!(
            "  with one of a batch of {batch:3}    {:5}",
            batched_bytes(ledger, wallet, batch)
        );
    }
    let kept = record_bytes as f64 / CHANNELS as f64;
    println!(
        "bytes in the ledger's journal, with what the block did: {kept:.0} for a proof signed alone"
    );
    println!("\na year of the ledger's journal, each channel moving in each interval:");
    println!(
        "  {:>8} {:>16} {:>16} {:>16}",
        "interval", "one channel", "1,000 channels", "10,000 channels"
    );
    for (name, seconds) in [("1 s", 1.0), ("10 s", 10.0), ("1 min", 60.0), ("1 h", 3_600.0)] {
        let year = 365.25 * 86_400.0 / seconds * kept;
        let of = |channels: f64| size(year * channels);
        println!("  {name:>8} {:>16} {:>16} {:>16}", of(1.0), of(1e3), of(1e4));
    }
}

fn size(bytes: f64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut at = 0;
    let mut left = bytes;
    while left >= 1_000.0 && at + 1 < units.len() {
        left /= 1_000.0;
        at += 1;
    }
    format!("{left:.1} {}", units[at])
}

fn main() {
    let wallets = wallets();
    let ledger = world(&wallets);
    assert_eq!(ledger.tip().height, Height(CHANNELS / 1_000));
    let entries: Vec<AnchorEntry> =
        wallets.iter().map(|wallet| lone_entry(&ledger, wallet)).collect();
    let record_bytes = cost(&ledger, &wallets, &entries);
    weight(&ledger, &wallets[0], record_bytes);
}
