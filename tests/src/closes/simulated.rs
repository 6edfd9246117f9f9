//! In one thread and simulated time: the hub's shards and the ledger's producer, without sockets and
//! disk. Whatever the shards want brought is handed to the ledger at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client_sdk::api::FeePolicy;
use hub::shard::{
    Action, Directory, InboundPolicy, Input, Limits, Output, Shard, ShardConfig, Slice,
};
use settlement::block::BlockEvents;
use settlement::channel::VerifiedUpdate;
use settlement::crypto::{BATCH_MAX, BatchCache, Signable, Signed, SigningKey, sign_batch};
use settlement::index::{MemoryIndex, Shelf};
use settlement::journal::{Disk, MemoryJournal};
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::params::{Genesis, Policy};
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, PublicKey, Role, Salt};
use settlement::update::{Op, Update};
use settlement::wire::Message;

use super::Place;
use super::wallet::Wallet;

/// What the hub takes for a payment.
pub(super) const FEES: FeePolicy = FeePolicy { id: 1, base: Amount(1), ppm: 1_000 };

/// Which wallet has which channel; all are connected.
#[derive(Default)]
pub(super) struct Book(pub(super) HashMap<PublicKey, ChannelId>);

impl Directory for Book {
    fn find(&self, wallet: &PublicKey, _: AssetId) -> Option<(ChannelId, bool)> {
        self.0.get(wallet).map(|channel| (*channel, true))
    }

    fn spread(&self, _: &PublicKey) -> u32 {
        1
    }
}

/// An update that waits for its signature.
struct Unsigned {
    channel: ChannelId,
    base: u64,
    ops: Vec<Op>,
    proof: BalanceProof,
}

/// See the module.
pub(super) struct Simulated {
    key: SigningKey,
    producer: Producer,
    interval_ms: u64,
    shards: Vec<Shard>,
    book: Book,
    now_ms: u64,
    unsigned: Vec<Unsigned>,
    messages: VecDeque<Message>,
    deposits: Vec<(ChannelId, Amount)>,
    submissions: Vec<Submission>,
    /// What the ledger's queue had no room for.
    waiting: Vec<Transaction>,
    pub(super) hub_block: Duration,
    pub(super) ledger_block: Duration,
}

impl Simulated {
    pub(super) fn new(genesis: &Genesis, key: SigningKey, count: u16) -> Simulated {
        let policy = Policy::for_genesis(genesis);
        let config = |index| ShardConfig {
            hub: key.public(),
            genesis: genesis.clone(),
            policy,
            fees: FEES,
            inbound: InboundPolicy { ppm: 1_000_000, max: Amount(1 << 40), low_water_ppm: 0 },
            limits: Limits::default(),
            slice: Slice { index, count },
        };
        let shards = (0..count).map(|index| Shard::new(config(index))).collect();
        let journal = MemoryJournal::open(&Disk::new()).expect("a new disk");
        let producer = Producer::open(
            genesis.clone(),
            super::key(super::LEDGER_KEY),
            Box::new(journal),
            Box::new(MemoryIndex::open(&Shelf::new())),
            ProducerConfig::default(),
        );
        Simulated {
            key,
            producer: producer.expect("a new ledger"),
            interval_ms: genesis.block_interval_ms,
            shards,
            book: Book::default(),
            now_ms: 1_000_000_000,
            unsigned: Vec::new(),
            messages: VecDeque::new(),
            deposits: Vec::new(),
            submissions: Vec::new(),
            waiting: Vec::new(),
            hub_block: Duration::ZERO,
            ledger_block: Duration::ZERO,
        }
    }

    /// How many channels are not paid out.
    pub(super) fn channels_left(&self) -> usize {
        self.producer.ledger().channel_count()
    }

    fn hand_in(&mut self, tx: Transaction) {
        match self.producer.submit(tx.clone()) {
            Ok(_) | Err(Code::ChangesNothing) => {}
            Err(Code::QueueFull) => self.waiting.push(tx),
            Err(code) => panic!("the ledger refuses {tx:?}: {code:?}"),
        }
    }

    /// What the desk would do, in order.
    fn bring(&mut self) {
        for submission in std::mem::take(&mut self.submissions) {
            self.hand_in(Transaction::submit(&self.key, submission));
        }
        let account = self.key.public();
        for (channel, amount) in std::mem::take(&mut self.deposits) {
            let waits = self.producer.mempool().spending(&account);
            let ledger = self.producer.ledger();
            let nonce = ledger.account(&account).nonce + waits;
            let action = AccountAction::Deposit { channel, role: Role::Hub, amount };
            let body = AccountTx { ledger: ledger.id(), account, nonce, action };
            self.hand_in(Transaction::account(&self.key, body));
        }
    }

    /// An input about one channel.
    fn input(&mut self, channel: &ChannelId, input: Input) {
        let mut out = Output::default();
        let shard = self.shard_of(channel);
        self.shards[shard].handle(input, self.now_ms, &self.book, &mut out);
        self.finish(out);
    }

    fn everywhere(&mut self, input: impl Fn() -> Input) {
        let mut out = Output::default();
        for shard in &mut self.shards {
            shard.handle(input(), self.now_ms, &self.book, &mut out);
        }
        self.finish(out);
    }

    fn shard_of(&self, channel: &ChannelId) -> usize {
        usize::from(Slice::index_of(channel, self.shards.len() as u16))
    }

    fn finish(&mut self, mut out: Output) {
        while !out.passes.is_empty() {
            for pass in std::mem::take(&mut out.passes) {
                let shard = self.shard_of(&pass.channel());
                let input = Input::Passed(pass);
                self.shards[shard].handle(input, self.now_ms, &self.book, &mut out);
            }
        }
        for action in out.actions {
            match action {
                Action::Send(message) => self.messages.push_back(message),
                Action::SendUpdate { channel, base, ops, proof } => {
                    self.unsigned.push(Unsigned { channel, base, ops, proof });
                }
                Action::Submit(submission) => self.submissions.push(*submission),
                Action::Deposit { channel, amount } => self.deposits.push((channel, amount)),
                Action::Count { .. } => {}
                other => panic!("nobody asked for {other:?}"),
            }
        }
    }

    /// Signs what waits, as the outbox does: one signature for many.
    fn sign(&mut self) {
        let unsigned = std::mem::take(&mut self.unsigned);
        for batch in unsigned.chunks(BATCH_MAX) {
            let digests: Vec<_> =
                batch.iter().map(|update| (update.proof.digest(), Salt([9; 16]))).collect();
            let signatures = sign_batch(&self.key, &digests);
            for (update, (signature, path)) in batch.iter().zip(signatures) {
                let proof = Signed { value: update.proof, signature, path };
                let (channel, base) = (update.channel, update.base);
                let update = Update { channel, base, ops: update.ops.clone(), proof };
                self.messages.push_back(Message::Update(update));
            }
        }
    }
}

impl Place for Simulated {
    fn connect(&mut self, wallets: &[Wallet]) {
        for wallet in wallets {
            let id = wallet.channel.id();
            self.book.0.insert(wallet.key.public(), id);
            self.input(&id, Input::Connected(id));
        }
    }

    fn submit(&mut self, txs: Vec<Transaction>) {
        txs.into_iter().for_each(|tx| self.hand_in(tx));
    }

    fn block(&mut self) -> Option<Arc<BlockEvents>> {
        let waiting = std::mem::take(&mut self.waiting);
        self.submit(waiting);
        self.now_ms += self.interval_ms;
        let started = Instant::now();
        let block = self.producer.produce(self.now_ms).expect("its disk works").expect("in time");
        self.ledger_block = self.ledger_block.max(started.elapsed());
        let started = Instant::now();
        self.everywhere(|| Input::Block(block.clone()));
        self.everywhere(|| Input::Tick);
        self.hub_block = self.hub_block.max(started.elapsed());
        self.bring();
        Some(block)
    }

    /// The signature of an update is checked on the way.
    fn say(&mut self, wallet: &Wallet, message: Message) {
        let input = match message {
            Message::Update(update) => {
                let cache = &mut BatchCache::new(0);
                let verified = VerifiedUpdate::check(update, &wallet.verifying, cache);
                Input::Update(Box::new(verified.expect("wallets sign their updates")))
            }
            other => Input::Message(Box::new(other)),
        };
        self.input(&wallet.channel.id(), input);
    }

    fn hear(&mut self) -> Option<Message> {
        self.sign();
        self.messages.pop_front()
    }
}
