//! Shards, their journal, a scripted ledger and wallets, in one thread and without a clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use client_sdk::api::FeePolicy;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::channel::Channel;
use settlement::crypto::{Signed, SigningKey, chain_step};
use settlement::params::{Genesis, Policy};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::Submission;
use settlement::types::*;
use settlement::update::Update;
use settlement::wire::Message;

use super::wallet::Wallet;
use crate::shard::*;

pub(super) const FEES: FeePolicy = FeePolicy { id: 1, base: Amount(2), ppm: 10_000 };
pub(super) const DEPOSIT: Amount = Amount(10_000_000);
pub(super) const LIFE: u64 = 250;

/// The newest channel of each wallet in each asset; over how many shards a wallet's are spread if that
/// is more than one; and what other channels it has.
#[derive(Default)]
pub(super) struct Wallets(
    pub(super) HashMap<(PublicKey, AssetId), (ChannelId, bool)>,
    pub(super) HashMap<PublicKey, u32>,
    pub(super) HashMap<PublicKey, ChannelId>,
);

impl Directory for Wallets {
    fn find(&self, wallet: &PublicKey, asset: AssetId) -> Option<(ChannelId, bool)> {
        self.0.get(&(*wallet, asset)).copied()
    }

    fn all(&self, wallet: &PublicKey, asset: AssetId) -> Vec<ChannelId> {
        let newest = self.find(wallet, asset).map(|(channel, _)| channel);
        self.2.get(wallet).copied().into_iter().chain(newest).collect()
    }

    fn spread(&self, wallet: &PublicKey) -> u32 {
        self.1.get(wallet).copied().unwrap_or(1)
    }
}

pub(super) struct World {
    pub(super) config: ShardConfig,
    pub(super) hub: SigningKey,
    pub(super) shards: Vec<Shard>,
    pub(super) wallets: Vec<Wallet>,
    pub(super) directory: Wallets,
    pub(super) journal: Vec<Record>,
    pub(super) blocks: Vec<BlockEvents>,
    pub(super) now_ms: u64,
    pub(super) submissions: Vec<Submission>,
    pub(super) deposits: Vec<(ChannelId, Amount)>,
    pub(super) answers: Vec<Action>,
    pub(super) completed: usize,
    pub(super) not_completed: usize,
    pub(super) redeemed: Redeemed,
    /// Every proof that was ever signed.
    pub(super) signed: BTreeMap<(ChannelId, u64), BalanceProof>,
    /// The hub's process ends when its journal would hold more records than this.
    pub(super) crash_at: Option<usize>,
    /// After the crash an old copy of the journal is found, of so many records.
    pub(super) copy: Option<usize>,
    pub(super) crashes: usize,
}

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes([seed; 32]).unwrap()
}

pub(super) fn secret(seed: u8) -> (Secret, Anchor) {
    (Secret([seed; 32]), Anchor(chain_step(&[seed; 32])))
}

pub(super) fn config() -> ShardConfig {
    let genesis = Genesis::development("test", key(200).public(), 0);
    let policy = Policy::development();
    policy.check(&genesis).unwrap();
    let inbound = InboundPolicy { ppm: 1_000_000, max: DEPOSIT, low_water_ppm: 0 };
    let (fees, limits, slice) = (FEES, Limits::default(), Slice::ALL);
    ShardConfig { hub: key(100).public(), genesis, policy, fees, inbound, limits, slice }
}

impl World {
    /// So many wallets, each with a funded channel, connected and met.
    pub(super) fn new(wallets: u8) -> World {
        World::with(config(), 1, wallets)
    }

    pub(super) fn with(config: ShardConfig, shards: u16, wallets: u8) -> World {
        let mut world = World::empty(config, shards);
        let opened = (1..=wallets).map(|seed| world.open(seed)).collect();
        world.block(opened);
        let deposited = std::mem::take(&mut world.deposits).into_iter();
        let deposited = deposited.map(|(channel, total)| hub_deposit(channel, total)).collect();
        world.block(deposited);
        (0..world.wallets.len()).for_each(|at| world.connect(at));
        world.run();
        world
    }

    pub(super) fn empty(config: ShardConfig, shards: u16) -> World {
        let mut world = World {
            config,
            hub: key(100),
            shards: Vec::new(),
            wallets: Vec::new(),
            directory: Wallets::default(),
            journal: Vec::new(),
            blocks: Vec::new(),
            now_ms: 1_000_000,
            submissions: Vec::new(),
            deposits: Vec::new(),
            answers: Vec::new(),
            completed: 0,
            not_completed: 0,
            redeemed: Redeemed::default(),
            signed: BTreeMap::new(),
            crash_at: None,
            copy: None,
            crashes: 0,
        };
        world.shards = world.configs(shards).into_iter().map(Shard::new).collect();
        world
    }

    pub(super) fn configs(&self, count: u16) -> Vec<ShardConfig> {
        let slices = (0..count).map(|index| Slice { index, count });
        slices.map(|slice| ShardConfig { slice, ..self.config.clone() }).collect()
    }

    pub(super) fn open(&mut self, seed: u8) -> LedgerEvent {
        self.open_as(seed, 0)
    }

    /// A further channel of a wallet has a `nonce` of its own.
    pub(super) fn open_as(&mut self, seed: u8, nonce: u64) -> LedgerEvent {
        let key = key(seed);
        let terms = OpenTerms {
            ledger: self.config.genesis.ledger_id(),
            asset: AssetId(0),
            wallet: key.public(),
            hub: self.hub.public(),
            challenge_blocks: self.config.policy.challenge_blocks,
            nonce,
        };
        let entry = (terms.channel_id(), false);
        self.directory.0.insert((terms.wallet, terms.asset), entry);
        self.wallets.push(Wallet::new(key, terms, DEPOSIT));
        LedgerEvent::Opened { terms, deposit: DEPOSIT }
    }

    pub(super) fn id(&self, wallet: usize) -> ChannelId {
        self.wallets[wallet].channel.id()
    }

    pub(super) fn channel(&self, wallet: usize) -> &Channel {
        let id = self.id(wallet);
        self.shards.iter().find_map(|shard| shard.channel(&id)).unwrap()
    }

    pub(super) fn height(&self) -> Height {
        Height(self.blocks.len() as u64)
    }

    pub(super) fn time_ms(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.header.header.time_ms)
    }

    pub(super) fn set_online(&mut self, at: usize, online: bool) {
        let wallet = &mut self.wallets[at];
        (wallet.online, wallet.met) = (online, false);
        wallet.inbox.clear();
        let terms = *wallet.channel.terms();
        self.directory.0.insert((terms.wallet, terms.asset), (terms.channel_id(), online));
    }

    pub(super) fn connect(&mut self, at: usize) {
        self.set_online(at, true);
        self.input(Input::Connected(self.id(at)));
        let sync = self.wallets[at].sync();
        self.input(sync);
    }

    pub(super) fn disconnect(&mut self, at: usize) {
        self.set_online(at, false);
        self.input(Input::Disconnected(self.id(at)));
    }

    /// Which shards an input is for.
    fn takers(&self, input: &Input) -> Option<ChannelId> {
        match input {
            Input::Connected(id) | Input::Disconnected(id) | Input::CloseAlone(id) => Some(*id),
            Input::BadUpdate { channel, .. } => Some(*channel),
            Input::Message(message) => message.channel(),
            Input::Update(update) => Some(update.proof().channel),
            Input::Snapshot(snapshot) => Some(snapshot.proof().channel),
            Input::Passed(pass) => Some(pass.channel()),
            Input::Withdraw { withdrawal, .. } => Some(withdrawal.channel),
            Input::Close { close, .. } => Some(close.channel),
            Input::Block(_) | Input::Tick | Input::Drain | Input::Signing(_) | Input::Lost => None,
            Input::Anchor { .. } | Input::Lease(_) | Input::State(_) => None,
        }
    }

    /// One input and the passes that follow, journaled and then performed: all or, when the process
    /// ends, a prefix of the records alone.
    pub(super) fn input(&mut self, input: Input) {
        let mut out = Output::default();
        let now_ms = self.now_ms;
        match (self.takers(&input), input) {
            (Some(id), input) => {
                let count = u16::try_from(self.shards.len()).unwrap();
                let shard = &mut self.shards[usize::from(Slice::index_of(&id, count))];
                shard.handle(input, now_ms, &self.directory, &mut out);
            }
            (None, Input::Block(block)) => {
                for shard in &mut self.shards {
                    let input = Input::Block(Arc::clone(&block));
                    shard.handle(input, now_ms, &self.directory, &mut out);
                }
            }
            (None, input) => {
                for shard in &mut self.shards {
                    let input = match &input {
                        Input::Tick => Input::Tick,
                        Input::Signing(may) => Input::Signing(*may),
                        Input::Lost => Input::Lost,
                        Input::Anchor { round, most } => {
                            Input::Anchor { round: *round, most: *most }
                        }
                        Input::Lease(lease) => Input::Lease(*lease),
                        Input::State(liabilities) => Input::State(liabilities.clone()),
                        _ => Input::Drain,
                    };
                    shard.handle(input, now_ms, &self.directory, &mut out);
                }
            }
        }
        self.finish(out);
    }

    pub(super) fn finish(&mut self, mut out: Output) {
        if std::mem::take(&mut out.lost) {
            let now_ms = self.now_ms;
            for shard in &mut self.shards {
                shard.handle(Input::Lost, now_ms, &self.directory, &mut out);
            }
        }
        let mut passes = VecDeque::from(std::mem::take(&mut out.passes));
        while let Some(pass) = passes.pop_front() {
            let now_ms = self.now_ms;
            let count = u16::try_from(self.shards.len()).unwrap();
            let at = usize::from(Slice::index_of(&pass.channel(), count));
            let input = Input::Passed(pass);
            self.shards[at].handle(input, now_ms, &self.directory, &mut out);
            passes.extend(std::mem::take(&mut out.passes));
        }
        if self.crash_at.is_some_and(|at| self.journal.len() + out.records.len() > at) {
            let kept = self.crash_at.take().unwrap() - self.journal.len();
            self.journal.extend(out.records.into_iter().take(kept));
            self.journal.truncate(self.copy.unwrap_or(usize::MAX));
            self.crashes += 1;
            return self.restart();
        }
        self.journal.extend(out.records);
        self.redeemed.redemptions += out.redeemed.redemptions;
        self.redeemed.steps += out.redeemed.steps;
        out.actions.into_iter().for_each(|action| self.perform(action));
    }

    /// ⚔ Whatever the process and its disk have forgotten, no number is under two proofs.
    fn note_signed(&mut self, proof: BalanceProof) {
        let before = self.signed.insert((proof.channel, proof.seq), proof);
        assert!(before.is_none_or(|before| before == proof), "{before:?}, and now {proof:?}");
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.send(message),
            Action::SendUpdate { channel, base, ops, proof } => {
                self.note_signed(proof);
                let proof = Signed::alone(&self.hub, proof, Salt([9; 16]));
                self.send(Message::Update(Update { channel, base, ops, proof }));
            }
            Action::Submit(submission) => self.submissions.push(*submission),
            Action::Deposit { channel, amount } => self.deposits.push((channel, amount)),
            Action::Count { completed: true } => self.completed += 1,
            Action::Count { completed: false } => self.not_completed += 1,
            answer => self.answers.push(answer),
        }
    }

    fn send(&mut self, message: Message) {
        let id = message.channel().unwrap();
        let wallet = self.wallets.iter_mut().find(|wallet| wallet.channel.id() == id);
        if let Some(wallet) = wallet
            && wallet.online
        {
            wallet.inbox.push_back(message);
        }
    }

    /// The shards that the journal makes.
    pub(super) fn replayed(&self, count: u16) -> Vec<Shard> {
        let mut shards: Vec<Shard> = self.configs(count).into_iter().map(Shard::new).collect();
        for shard in &mut shards {
            self.journal.iter().for_each(|record| shard.replay(record));
        }
        shards
    }

    /// Starts again from the journal, catches up with the ledger, and meets everybody anew.
    pub(super) fn restart(&mut self) {
        let count = u16::try_from(self.shards.len()).unwrap();
        self.start_with(self.replayed(count));
    }

    pub(super) fn start_with(&mut self, shards: Vec<Shard>) {
        self.shards = shards;
        let pairs: Vec<Pairing> = self.shards.iter().flat_map(Shard::pairs).collect();
        let mut out = Output::default();
        for shard in &mut self.shards {
            shard.recovered(&pairs, self.now_ms, &mut out);
        }
        let online: Vec<bool> = self.wallets.iter().map(|wallet| wallet.online).collect();
        (0..online.len()).for_each(|at| self.set_online(at, false));
        self.finish(out);
        let from = self.shards.iter().map(|shard| shard.followed().0.0).min().unwrap();
        for block in self.blocks.clone().into_iter().skip(usize::try_from(from).unwrap()) {
            self.input(Input::Block(Arc::new(block)));
        }
        for (at, online) in online.into_iter().enumerate() {
            if online {
                self.connect(at);
            }
        }
    }
}

pub(super) fn hub_deposit(channel: ChannelId, total: Amount) -> LedgerEvent {
    LedgerEvent::Deposited { channel, role: ME, total }
}
