//! The ledger of the world: the real producer over a journal in memory, driven by hand.

use std::sync::Arc;

use settlement::block::BlockEvents;
use settlement::crypto::SigningKey;
use settlement::index::{MemoryIndex, Shelf};
use settlement::journal::{Disk, MemoryJournal};
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::params::Genesis;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, ChannelId, Height, PublicKey, Role};

use super::EUR;

pub(super) struct LedgerNode {
    producer: Producer,
    genesis: Genesis,
    disk: Disk,
    /// What was refused, for the story.
    pub(super) refused: u64,
}

impl LedgerNode {
    pub(super) fn new(genesis: Genesis, key: Arc<SigningKey>) -> LedgerNode {
        let disk = Disk::new();
        let journal = MemoryJournal::open(&disk).expect("a new disk is free");
        let index = MemoryIndex::open(&Shelf::new());
        let key = SigningKey::from_bytes(*key.to_bytes()).expect("a key's bytes are a key");
        let producer = Producer::open(
            genesis.clone(),
            key,
            Box::new(journal),
            Box::new(index),
            ProducerConfig::default(),
        );
        let producer = producer.expect("a new ledger opens");
        LedgerNode { producer, genesis, disk, refused: 0 }
    }

    /// Ends it, and leaves its genesis and its disk.
    pub(super) fn end(self) -> (Genesis, Disk) {
        (self.genesis, self.disk)
    }

    /// Makes a block, if enough time has passed.
    pub(super) fn produce(&mut self, now_ms: u64) -> Option<Arc<BlockEvents>> {
        self.producer.produce(now_ms).expect("the ledger's disk works")
    }

    pub(super) fn events_from(&self, from: Height) -> Vec<Arc<BlockEvents>> {
        self.producer.history().events_from(from, 1_000).expect("the ledger's history can be read")
    }

    pub(super) fn mint(&mut self, to: PublicKey, amount: Amount) {
        self.producer.mint(to, EUR, amount).expect("a development ledger has a faucet");
    }

    pub(super) fn submit(&mut self, tx: Transaction) -> Result<(), Code> {
        let answer = self.producer.submit(tx);
        self.refused += u64::from(answer.is_err());
        answer.map(|_| ())
    }

    fn act(
        &mut self,
        key: &SigningKey,
        action: impl FnOnce(u64) -> AccountAction,
    ) -> Result<(), Code> {
        let account = key.public();
        let waiting = self.producer.mempool().spending(&account);
        let nonce = self.producer.ledger().account(&account).nonce + waiting;
        let ledger = self.genesis.ledger_id();
        let body = AccountTx { ledger, account, nonce, action: action(nonce) };
        self.submit(Transaction::account(key, body))
    }

    pub(super) fn open_channel(&mut self, wallet: &SigningKey, hub: PublicKey, deposit: Amount) {
        let ledger = self.genesis.ledger_id();
        let wallet_key = wallet.public();
        self.act(wallet, |nonce| AccountAction::Open {
            terms: OpenTerms {
                ledger,
                asset: EUR,
                wallet: wallet_key,
                hub,
                challenge_blocks: 50,
                nonce,
            },
            deposit,
        })
        .expect("the account can pay for it");
    }

    /// A hub that hears late of the ledger may pay into a channel that is no longer open.
    pub(super) fn deposit(&mut self, hub: &SigningKey, channel: ChannelId, amount: Amount) {
        let paid = self.act(hub, |_| AccountAction::Deposit { channel, role: Role::Hub, amount });
        assert!(matches!(paid, Ok(()) | Err(Code::NotOpen)), "the hub can't pay: {paid:?}");
    }

    pub(super) fn balance(&self, account: &PublicKey) -> Amount {
        self.producer.ledger().account(account).balance(EUR)
    }

    pub(super) fn is_conserved(&self) -> bool {
        self.producer.ledger().is_conserved()
    }
}
