//! The steps that a payment is made of, one by one: `cargo bench -p tests --bench steps`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what can't be set up can't be measured"
)]

use std::hint::black_box;
use std::sync::Arc;

use client_sdk::api::FeePolicy;
use divan::{Bencher, counter::ItemsCount};
use hub::shard::{Directory, InboundPolicy, Input, Limits, Output, Shard, ShardConfig, Slice};
use settlement::block::{BlockEvents, SignedHeader};
use settlement::channel::{Channel, NewOp, Now, VerifiedUpdate};
use settlement::crypto::{
    BATCH_MAX, BatchCache, Signable, Signed, SigningKey, VerifyingKey, chain_step, sign_batch,
};
use settlement::journal::{FileJournal, Journal, JournalConfig, Kind};
use settlement::ledger::Ledger;
use settlement::lock::{Lock, locks_root};
use settlement::params::{Allocation, Genesis, Policy, View};
use settlement::proof::OpenTerms;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Hash, Height, PublicKey, Role, Salt};
use settlement::update::{Destination, Payload, Update};
use settlement::wire::Message;

const ASSET: AssetId = AssetId(0);
const DEPOSIT: Amount = Amount(1_000_000);
const TIME_MS: u64 = 1_000_000_000;
const BLOCK_MS: u64 = 200;

fn main() {
    divan::main();
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

fn numbered(number: usize) -> SigningKey {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
    SigningKey::from_bytes(bytes).expect("a key")
}

/// A ledger on which each of these has money.
fn ledger(rich: impl Iterator<Item = PublicKey>) -> Ledger {
    let mut genesis = Genesis::development("bench", key(200).public(), 1);
    let give = |account| Allocation { account, asset: ASSET, amount: Amount(10_000_000) };
    genesis.allocations = rich.map(give).collect();
    Ledger::genesis(genesis).expect("a ledger")
}

fn opening(ledger: &Ledger, wallet: &SigningKey, hub: &PublicKey) -> (OpenTerms, Transaction) {
    let policy = Policy::for_genesis(ledger.parameters());
    let (id, account) = (ledger.id(), wallet.public());
    let terms = OpenTerms {
        ledger: id,
        asset: ASSET,
        wallet: account,
        hub: *hub,
        challenge_blocks: policy.challenge_blocks,
        nonce: 0,
    };
    let action = AccountAction::Open { terms, deposit: DEPOSIT };
    let body = AccountTx { ledger: id, account, nonce: 0, action };
    (terms, Transaction::account(wallet, body))
}

/// The next block, with these in it.
fn block(ledger: &mut Ledger, transactions: Vec<Transaction>) -> Arc<BlockEvents> {
    let verified: Vec<_> =
        transactions.into_iter().map(|tx| ledger.verify_tx(tx).expect("a valid one")).collect();
    let time_ms = TIME_MS + BLOCK_MS * (ledger.tip().height.0 + 1);
    let applied = ledger.apply(verified, time_ms).expect("a block");
    let signature = key(200).sign(&applied.header.digest());
    let header = SignedHeader { header: applied.header, signature };
    Arc::new(BlockEvents { header, events: applied.events })
}

fn locks(count: usize) -> Vec<Lock> {
    let lock = |id| {
        let anchor = Anchor(chain_step(&[id as u8; 32]));
        Lock { id: id as u64, anchor, unit: Amount(12), steps: 1, expiry: Height(1_000) }
    };
    (1..=count).map(lock).collect()
}

/// A wallet that pays another at a hub, as far as its first update.
struct Scene {
    blocks: Vec<Arc<BlockEvents>>,
    config: ShardConfig,
    wallets: [PublicKey; 2],
    channels: [ChannelId; 2],
    update: Update,
    payer: VerifyingKey,
}

struct Book([(PublicKey, ChannelId); 2]);

impl Directory for Book {
    fn find(&self, wallet: &PublicKey, _: AssetId) -> Option<(ChannelId, bool)> {
        self.0.iter().find(|(key, _)| key == wallet).map(|(_, channel)| (*channel, true))
    }

    fn spread(&self, _: &PublicKey) -> u32 {
        1
    }
}

impl Scene {
    /// An update with so many payments.
    fn new(payments: usize) -> Scene {
        let (hub, keys) = (key(100), [key(1), key(2)]);
        let mut ledger = ledger([&hub, &keys[0], &keys[1]].into_iter().map(SigningKey::public));
        let policy = Policy::for_genesis(ledger.parameters());
        let opened = keys.each_ref().map(|wallet| opening(&ledger, wallet, &hub.public()));
        let [(first, open), (second, open_too)] = opened;
        let channels = [first.channel_id(), second.channel_id()];
        let deposit = |(nonce, channel): (usize, ChannelId)| {
            let action = AccountAction::Deposit { channel, role: Role::Hub, amount: DEPOSIT };
            let (id, account) = (ledger.id(), hub.public());
            let body = AccountTx { ledger: id, account, nonce: nonce as u64, action };
            Transaction::account(&hub, body)
        };
        let deposits: Vec<Transaction> = (0..).zip(channels).map(deposit).collect();
        let blocks = vec![block(&mut ledger, vec![open, open_too]), block(&mut ledger, deposits)];
        let mut channel = Channel::open(first, Role::Wallet, DEPOSIT);
        for block in &blocks {
            for event in &block.events {
                for step in channel.follow(event, block.header.header.height) {
                    channel.commit(&step);
                }
            }
        }
        let config = ShardConfig {
            hub: hub.public(),
            genesis: ledger.parameters().clone(),
            policy,
            fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
            inbound: InboundPolicy { ppm: 1_000_000, max: DEPOSIT, low_water_ppm: 0 },
            limits: Limits::default(),
            slice: Slice::ALL,
        };
        let update = update(&mut channel, &keys, &policy, &ledger, payments);
        let payer = VerifyingKey::parse(&keys[0].public()).expect("a key");
        let wallets = keys.map(|key| key.public());
        Scene { blocks, config, wallets, channels, update, payer }
    }

    fn verified(&self) -> VerifiedUpdate {
        let mut cache = BatchCache::new(1);
        VerifiedUpdate::check(self.update.clone(), &self.payer, &mut cache).expect("a signature")
    }

    fn now_ms(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.header.header.time_ms)
    }

    /// A shard that has met both wallets.
    fn shard(&self) -> (Shard, Book) {
        let mut shard = Shard::new(self.config.clone());
        let [first, second] = self.channels;
        let book = Book([(self.wallets[0], first), (self.wallets[1], second)]);
        let mut out = Output::default();
        let mut inputs = vec![Input::Signing(true)];
        inputs.extend(self.blocks.iter().map(|block| Input::Block(block.clone())));
        for channel in self.channels {
            let none = settlement::proof::SnapshotRef { seq: 0, digest: Hash::ZERO };
            let sync = Message::Sync { channel, own: none, yours: none, tip: None };
            inputs.extend([Input::Connected(channel), Input::Message(Box::new(sync))]);
        }
        inputs.into_iter().for_each(|input| shard.handle(input, self.now_ms(), &book, &mut out));
        (shard, book)
    }
}

fn update(
    channel: &mut Channel,
    keys: &[SigningKey; 2],
    policy: &Policy,
    ledger: &Ledger,
    payments: usize,
) -> Update {
    let height = ledger.tip().height;
    let wanted: Vec<NewOp> = locks(payments)
        .iter()
        .map(|lock| NewOp::Add {
            anchor: lock.anchor,
            unit: lock.unit,
            steps: 1,
            expiry: height.after(policy.lock_life),
            to: Destination { hub: None, wallet: keys[1].public() },
            payload: Payload::default(),
        })
        .collect();
    let view = View { height, fresh: true };
    let lag = policy.lag(ledger.parameters());
    let step = channel.propose(&wanted, &Now { view, policy, lag }).step.expect("an update");
    channel.commit(&step);
    let flight = channel.outgoing().in_flight.clone().expect("in flight");
    let proof = Signed::alone(&keys[0], flight.proof, Salt([7; 16]));
    Update { channel: channel.id(), base: flight.base, ops: flight.ops(), proof }
}

/// A signature of a wallet's, with its key parsed.
#[divan::bench]
fn verify(bencher: Bencher<'_, '_>) {
    let (key, digest) = (key(1), Hash([7; 32]));
    let (public, signature) = (VerifyingKey::parse(&key.public()).unwrap(), key.sign(&digest));
    bencher.bench(|| black_box(&public).verify(black_box(&digest), &signature));
}

/// One signature for many proofs.
#[divan::bench(args = [1, 16, BATCH_MAX])]
fn sign(bencher: Bencher<'_, '_>, proofs: usize) {
    let key = key(1);
    let leaves: Vec<(Hash, Salt)> =
        (0..proofs).map(|number| (Hash([number as u8; 32]), Salt([7; 16]))).collect();
    bencher.counter(ItemsCount::new(proofs)).bench(|| sign_batch(&key, black_box(&leaves)));
}

/// The root under all pending locks of a direction.
#[divan::bench(args = [1, 16, 256])]
fn root_of_locks(bencher: Bencher<'_, '_>, count: usize) {
    let locks = locks(count);
    bencher.counter(ItemsCount::new(count)).bench(|| locks_root(black_box(&locks)));
}

/// An update with so many payments into the bytes of a frame.
#[divan::bench(args = [1, 16])]
fn encode(bencher: Bencher<'_, '_>, payments: usize) {
    let message = Message::Update(Scene::new(payments).update);
    bencher.counter(ItemsCount::new(payments)).bench(|| black_box(&message).to_frame());
}

/// And back.
#[divan::bench(args = [1, 16])]
fn decode(bencher: Bencher<'_, '_>, payments: usize) {
    let frame = Message::Update(Scene::new(payments).update).to_frame();
    bencher.counter(ItemsCount::new(payments)).bench(|| Message::from_frame(black_box(&frame)));
}

/// The hub's shard takes an update with so many payments and passes them on: the first in an update of
/// the payee's channel, those after it wait for its answer. The signature was checked before.
#[divan::bench(args = [1, 16])]
fn shard_step(bencher: Bencher<'_, '_>, payments: usize) {
    let scene = Scene::new(payments);
    let one = || (scene.shard(), Input::Update(Box::new(scene.verified())));
    // What is measured is what it is meant to be: all of them are passed on.
    let ((mut shard, book), input) = one();
    assert_eq!(forwarded(&mut shard, &book, input, scene.now_ms()), payments);
    bencher.counter(ItemsCount::new(payments)).with_inputs(one).bench_values(
        |((mut shard, book), input)| {
            let done = forwarded(&mut shard, &book, input, scene.now_ms());
            (shard, done)
        },
    );
}

/// Handles an input and what follows; says how many payments were passed on.
fn forwarded(shard: &mut Shard, book: &Book, input: Input, now_ms: u64) -> usize {
    let mut out = Output::default();
    shard.handle(input, now_ms, book, &mut out);
    while !out.passes.is_empty() {
        for pass in std::mem::take(&mut out.passes) {
            shard.handle(Input::Passed(pass), now_ms, book, &mut out);
        }
    }
    let now = shard.counters();
    let passed_on = now.locks_out.saturating_add(now.queued as u64);
    usize::try_from(now.locks_in.min(passed_on)).unwrap_or(usize::MAX)
}

/// Records of a hub's step into the open group: what the committer does for each.
#[divan::bench(args = [300, 3_000])]
fn journal_append(bencher: Bencher<'_, '_>, bytes: usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal =
        FileJournal::open(dir.path(), JournalConfig::new(Kind::new("bench"))).unwrap();
    let record = vec![7; bytes];
    // Groups of the size that a busy hub has.
    const GROUP: usize = 64;
    bencher.counter(ItemsCount::new(GROUP)).bench_local(|| {
        for _ in 0..GROUP {
            journal.append(black_box(&record)).unwrap();
        }
        journal.sync().unwrap()
    });
}

/// A block with so many openings, their signatures checked before.
#[divan::bench(args = [1, 1_000])]
fn ledger_block(bencher: Bencher<'_, '_>, openings: usize) {
    let hub = key(100).public();
    let wallets: Vec<SigningKey> = (0..openings).map(numbered).collect();
    let ledger = ledger(wallets.iter().map(SigningKey::public));
    let verified: Vec<_> = wallets
        .iter()
        .map(|wallet| ledger.verify_tx(opening(&ledger, wallet, &hub).1).unwrap())
        .collect();
    let one = || (ledger.clone(), verified.clone());
    bencher.counter(ItemsCount::new(openings)).with_inputs(one).bench_values(
        |(mut ledger, verified)| {
            let applied = ledger.apply(verified, TIME_MS).unwrap();
            assert_eq!(applied.left_over.len(), 0);
            (ledger, applied)
        },
    );
}
