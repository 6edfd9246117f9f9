//! A wallet and a hub that talk as fast or as badly as a test wants. Every step of the wallet is checked against its own records and rows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use settlement::block::{BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::channel::{Channel, NewOp, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signed, SigningKey, VerifyingKey, chain_step};
pub(super) use settlement::params::Policy;
use settlement::params::{Asset, Genesis};
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::Submission;
use settlement::types::*;
use settlement::update::{Destination, Update};
use settlement::wire::Message;

use super::super::*;
pub(super) use super::fake_hub::{FromHub, Hub, NewLock, Script};
use crate::api::FeePolicy;

pub(super) const START_MS: u64 = 1_700_000_000_000;
pub(super) const WALLET_DEPOSIT: u64 = 10_000;
pub(super) const HUB_DEPOSIT: u64 = 5_000;

pub(super) fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

pub(super) fn anchor_of(secret: u8) -> Anchor {
    Anchor(chain_step(&[secret; 32]))
}

pub(super) fn genesis() -> Genesis {
    let mut genesis = Genesis::development("test", key(9).public(), 1);
    let other = Asset { code: "USD".to_owned(), scale: 2 };
    genesis.assets.push(other);
    genesis
}

pub(super) fn config() -> WalletConfig {
    WalletConfig {
        key: Arc::new(key(1)),
        genesis: genesis(),
        hub: key(2).public(),
        policy: Policy::development(),
        fees: FeePolicy { id: 1, base: Amount(1), ppm: 0 },
    }
}

pub(super) fn terms() -> OpenTerms {
    OpenTerms {
        ledger: genesis().ledger_id(),
        asset: AssetId(0),
        wallet: key(1).public(),
        hub: key(2).public(),
        challenge_blocks: 50,
        nonce: 0,
    }
}

pub(super) struct World {
    pub(super) wallet: Wallet,
    pub(super) hub: Hub,
    pub(super) now_ms: u64,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Event>,
    pub(super) submissions: Vec<Submission>,
    /// What the wallet has said to other wallets.
    pub(super) relayed: Vec<Message>,
    /// The outputs so far, each with how many records came before it and the hub as it was then.
    pub(super) history: Vec<(usize, Hub)>,
    /// Every block so far.
    pub(super) blocks: BTreeMap<u64, BlockEvents>,
    outbox: VecDeque<Action>,
    last_update: Option<Update>,
    index: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl World {
    /// A wallet with an open channel and a connection, met.
    pub(super) fn new() -> World {
        let mut world = World::bare();
        world.block(vec![LedgerEvent::Opened { terms: terms(), deposit: Amount(WALLET_DEPOSIT) }]);
        world.block(vec![LedgerEvent::Deposited {
            channel: terms().channel_id(),
            role: Role::Hub,
            total: Amount(HUB_DEPOSIT),
        }]);
        world.feed(Input::Connected);
        world.run();
        world.events.clear();
        world
    }

    /// A wallet that knows nothing yet.
    pub(super) fn bare() -> World {
        World::with(Wallet::new(config()), Hub::new(), Vec::new(), START_MS)
    }

    pub(super) fn with(wallet: Wallet, hub: Hub, records: Vec<Record>, now_ms: u64) -> World {
        let index = wallet.rows().into_iter().collect();
        World {
            wallet,
            hub,
            now_ms,
            records,
            events: Vec::new(),
            submissions: Vec::new(),
            relayed: Vec::new(),
            history: Vec::new(),
            blocks: BTreeMap::new(),
            outbox: VecDeque::new(),
            last_update: None,
            index,
        }
    }

    pub(super) fn id(&self) -> ChannelId {
        terms().channel_id()
    }

    pub(super) fn channel(&self) -> &Channel {
        self.wallet.channel(&self.id()).unwrap()
    }

    pub(super) fn state_of(&self, secret: u8) -> Option<PaymentState> {
        self.wallet.payment(&anchor_of(secret)).map(|payment| payment.state)
    }

    /// One input, with everything that must hold after each checked.
    pub(super) fn feed(&mut self, input: Input) {
        self.history.push((self.records.len(), self.hub.clone()));
        let output = self.wallet.handle(input, self.now_ms);
        let changed = !output.records.is_empty();
        self.records.extend(output.records);
        if changed {
            self.check_records();
        }
        for action in output.actions {
            match action {
                Action::Tell(event) => self.events.push(event),
                Action::Submit(submission) => self.submissions.push(*submission),
                Action::Send(message @ Message::Relay { .. }) => self.relayed.push(message),
                other => self.outbox.push_back(other),
            }
        }
    }

    /// The records alone make the same wallet, and so do its rows, taken whole or as they change.
    fn check_records(&mut self) {
        let rows = self.wallet.rows();
        assert!(rows.iter().all(|(key, value)| key.len() <= 64 && value.len() <= ROW_VALUE_MAX));
        let replayed = replay(&self.records);
        assert_eq!(replayed.rows(), rows, "the records make another wallet");
        for (key, value) in self.wallet.take_dirty_rows() {
            match value {
                Some(value) => self.index.insert(key, value),
                None => self.index.remove(&key),
            };
        }
        let indexed: Vec<_> = self.index.clone().into_iter().collect();
        let mut sorted = rows.clone();
        sorted.sort();
        assert_eq!(indexed, sorted, "the changed rows are not all that changed");
        let restored = Wallet::restore(config(), &mut rows.clone().into_iter()).unwrap();
        assert_eq!(restored.rows(), rows);
    }

    pub(super) fn command(&mut self, command: Command) {
        self.feed(Input::Command(Box::new(command)));
    }

    /// One thing that the hub has to say reaches the wallet.
    pub(super) fn run_once(&mut self) {
        let said = self.hub.out.pop_front().unwrap();
        self.carry_to_wallet(said);
    }

    /// The hub's last update reaches the wallet once more.
    pub(super) fn repeat_last_update(&mut self) {
        let update = self.last_update.clone().unwrap();
        self.carry_to_wallet(FromHub::Update(update));
    }

    /// Carries messages to and fro until nobody has anything to say.
    pub(super) fn run(&mut self) {
        for _ in 0..1_000 {
            self.hub.pump();
            if let Some(action) = self.outbox.pop_front() {
                self.carry_to_hub(action);
            } else if let Some(said) = self.hub.out.pop_front() {
                self.carry_to_wallet(said);
            } else {
                return;
            }
        }
        panic!("the two never stop talking");
    }

    pub(super) fn carry_to_hub(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.hub.hear(message),
            Action::SendUpdate { channel, base, ops, proof } => {
                let proof = Signed::alone(&key(1), proof, Salt([0; 16]));
                self.hub.hear_update(Update { channel, base, ops, proof });
            }
            Action::Submit(_) | Action::Tell(_) => unreachable!("sorted out before"),
        }
    }

    fn carry_to_wallet(&mut self, said: FromHub) {
        let input = match said {
            FromHub::Say(message) => Input::Message(Box::new(message)),
            FromHub::Update(update) => {
                self.last_update = Some(update.clone());
                let hub = VerifyingKey::parse(&key(2).public()).unwrap();
                let update = VerifiedUpdate::check(update, &hub, &mut BatchCache::new(0)).unwrap();
                Input::Update(Box::new(update))
            }
        };
        self.feed(input);
    }

    pub(super) fn hear(&mut self, message: Message) {
        self.feed(Input::Message(Box::new(message)));
    }

    /// What the wallet wants to send and has not been carried yet.
    pub(super) fn unsent(&self) -> &VecDeque<Action> {
        &self.outbox
    }

    pub(super) fn forget_unsent(&mut self) {
        self.outbox.clear();
        self.hub.out.clear();
    }

    /// The connection breaks; whatever is on the way is lost.
    pub(super) fn disconnect(&mut self) {
        self.forget_unsent();
        self.hub.synced = false;
        self.feed(Input::Disconnected);
        assert!(self.outbox.is_empty(), "the wallet speaks on a dead connection");
    }

    pub(super) fn reconnect(&mut self) {
        self.disconnect();
        self.feed(Input::Connected);
        self.run();
    }

    /// The process ends and starts again from its records; what was on the way is lost.
    pub(super) fn restart(&mut self) {
        self.forget_unsent();
        self.hub.synced = false;
        self.wallet = replay(&self.records);
        self.index = self.wallet.rows().into_iter().collect();
        self.wallet.take_dirty_rows();
        self.feed(Input::Tick);
        self.catch_up();
    }

    /// The blocks that were seen before a restart and not recorded come again.
    pub(super) fn catch_up(&mut self) {
        while self.wallet.followed().0 < self.hub.height {
            let height = self.wallet.followed().0 + 1;
            let block = self.blocks[&height].clone();
            self.feed(Input::Block(Box::new(block)));
        }
    }

    pub(super) fn block_at(&self, height: u64, events: Vec<LedgerEvent>) -> BlockEvents {
        let header = Header {
            ledger: genesis().ledger_id(),
            height: Height(height),
            parent: Hash([0; 32]),
            time_ms: self.now_ms,
            tx_root: Hash::ZERO,
            tx_count: 0,
            writes: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        BlockEvents { header: SignedHeader { header, signature: Signature([0; 64]) }, events }
    }

    /// The next block, seen by both sides, 200 ms later.
    pub(super) fn block(&mut self, events: Vec<LedgerEvent>) {
        self.now_ms += 200;
        self.hub.height += 1;
        for event in &events {
            for step in self.hub.channel.follow(event, Height(self.hub.height)) {
                self.hub.commit(&step);
            }
        }
        let block = self.block_at(self.hub.height, events);
        self.blocks.insert(self.hub.height, block.clone());
        self.feed(Input::Block(Box::new(block)));
    }

    pub(super) fn pass(&mut self, count: u64) {
        for _ in 0..count {
            self.block(Vec::new());
        }
    }

    /// A second passes, with a block at its end, so that the view stays fresh.
    pub(super) fn second(&mut self) {
        self.now_ms += 1_000;
        self.feed(Input::Tick);
        self.block(Vec::new());
        self.run();
    }

    pub(super) fn hub_adds(&mut self, lock: NewLock) {
        let NewLock { anchor, unit, steps, life, to, payload } = lock;
        self.hub.wanted.push_back(NewOp::Add {
            anchor,
            unit: Amount(unit),
            steps,
            expiry: Height(self.hub.height + life),
            to: Destination { hub: None, wallet: to },
            payload,
        });
        self.hub.pump();
    }

    pub(super) fn hub_pays(&mut self, amount: u64) {
        let memo = Default::default();
        self.hub.wanted.push_back(NewOp::Pay { amount: Amount(amount), memo });
        self.hub.pump();
    }

    /// What the wallet refused last, and the payment that it was about.
    pub(super) fn refused(&mut self) -> Option<(Code, Option<Anchor>)> {
        self.events.drain(..).rev().find_map(|event| match event {
            Event::Refused { code, payment, detail } => {
                assert!(!detail.is_empty());
                Some((code, payment))
            }
            _ => None,
        })
    }

    /// Both sides hold the same, and nothing is unanswered.
    pub(super) fn assert_agreed(&self) {
        let (own, yours) = self.channel().snapshot_refs();
        let (hub_own, hub_yours) = self.hub.channel.snapshot_refs();
        assert_eq!((own, yours), (hub_yours, hub_own));
        assert!(self.channel().outgoing().in_flight.is_none());
        for role in [Role::Wallet, Role::Hub] {
            assert_eq!(self.channel().balance(role), self.hub.channel.balance(role));
        }
    }

    pub(super) fn balance(&self) -> u64 {
        self.channel().balance(Role::Wallet).0
    }
}

pub(super) fn replay(records: &[Record]) -> Wallet {
    let mut wallet = Wallet::new(config());
    records.iter().for_each(|record| wallet.replay(record));
    wallet
}

/// An invoice of the wallet with this key.
pub(super) fn invoice_by(
    payee: u8,
    secret: u8,
    amount: u64,
    expires: u64,
) -> crate::invoice::Invoice {
    crate::invoice::Invoice {
        ledger: genesis().ledger_id(),
        payee: key(payee).public(),
        asset: AssetId(0),
        amount: Amount(amount),
        anchor: anchor_of(secret),
        expires: Height(expires),
        memo: String::new(),
        hub: None,
    }
}

pub(super) fn pay(payee: u8, secret: u8, amount: u64) -> Command {
    let invoice = invoice_by(payee, secret, amount, 10_000).to_text(&key(payee)).unwrap();
    Command::Pay { invoice }
}

pub(super) fn invoice(secret: u8, amount: u64) -> Command {
    Command::Invoice {
        secret: Secret([secret; 32]),
        asset: AssetId(0),
        amount: Amount(amount),
        life_blocks: 1_000,
        memo: "tea".to_owned(),
    }
}
