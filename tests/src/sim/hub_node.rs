//! The hub's process.

use std::sync::Arc;

use hub::shard::{Action, Directory, Input, Output, Record, Shard, ShardConfig};
use settlement::crypto::{Signable, Signed, SigningKey, sign_batch};
use settlement::journal::{JournalError, Lsn};
use settlement::params::{Genesis, Policy};
use settlement::proof::BalanceProof;
use settlement::types::{AssetId, ChannelId, Height, PublicKey, Salt};

use super::disk::{End, Ending, SimDisk};
use super::node::{Core, Made, Node, Started};

impl Core for Shard {
    type Record = Record;
    type Action = Action;

    fn replay(&mut self, record: &Record) {
        Shard::replay(self, record);
    }
}

/// Who has which channel, and who is connected.
#[derive(Clone, Default)]
pub(super) struct Book(pub(super) Vec<(PublicKey, ChannelId, bool)>);

impl Directory for Book {
    fn find(&self, wallet: &PublicKey, _asset: AssetId) -> Option<(ChannelId, bool)> {
        let entry = self.0.iter().find(|(key, ..)| key == wallet)?;
        Some((entry.1, entry.2))
    }

    fn spread(&self, _: &PublicKey) -> u32 {
        1
    }
}

pub(super) struct HubNode {
    key: Arc<SigningKey>,
    genesis: Genesis,
    policy: Policy,
    node: Node<Shard>,
    /// Whether this process may sign.
    signs: bool,
}

impl HubNode {
    pub(super) fn new(
        key: Arc<SigningKey>,
        genesis: Genesis,
        policy: Policy,
        seed: u64,
    ) -> HubNode {
        let mut hub = HubNode { key, genesis, policy, node: Node::new(seed), signs: false };
        hub.start(0);
        hub
    }

    pub(super) fn config(&self) -> ShardConfig {
        super::config::shard(&self.genesis, self.policy, self.public())
    }

    pub(super) fn start(&mut self, now_ms: u64) -> Started {
        let started = self.node.start(Shard::new(self.config()));
        self.work(&Book::default(), now_ms, |shard, now_ms, _, output| {
            let pairs = shard.pairs();
            shard.recovered(&pairs, now_ms, output);
            shard.handle(Input::Signing(false), now_ms, &Book::default(), output);
        });
        self.signs = false;
        started
    }

    /// It has followed what the ledger had when this process first asked: as in production it may sign from now on.
    pub(super) fn caught_up(&mut self, book: &Book, now_ms: u64) {
        if self.is_up() && !std::mem::replace(&mut self.signs, true) {
            self.input(Input::Signing(true), book, now_ms);
        }
    }

    fn work(
        &mut self,
        book: &Book,
        now_ms: u64,
        first: impl FnOnce(&mut Shard, u64, &dyn Directory, &mut Output),
    ) {
        self.node.work(|shard| {
            let mut output = Output::default();
            first(shard, now_ms, book, &mut output);
            while !output.passes.is_empty() {
                for pass in std::mem::take(&mut output.passes) {
                    shard.handle(Input::Passed(pass), now_ms, book, &mut output);
                }
            }
            Made { records: output.records, actions: output.actions }
        });
    }

    pub(super) fn input(&mut self, input: Input, book: &Book, now_ms: u64) {
        self.work(book, now_ms, |shard, now_ms, book, output| {
            shard.handle(input, now_ms, book, output);
        });
    }

    pub(super) fn commit(&mut self) -> Vec<Action> {
        self.node.commit()
    }

    /// What waits for the disk was for the connection before: the outbox gives each what was made for it.
    pub(super) fn forget_said(&mut self, channel: ChannelId) {
        self.node.forget(|action| match action {
            Action::Send(message) => message.channel() == Some(channel),
            Action::SendUpdate { proof, .. } | Action::SendSnapshot { proof, .. } => {
                proof.channel == channel
            }
            _ => false,
        });
    }

    pub(super) fn be_careless(&mut self) {
        self.node.be_careless();
    }

    pub(super) fn end(&mut self, end: End) {
        self.node.end(end);
    }

    pub(super) fn endings(&mut self) -> Vec<Ending> {
        self.node.endings()
    }

    pub(super) fn archive(&mut self) -> Option<()> {
        self.node.archive()
    }

    pub(super) fn restore(&mut self, to: Lsn, seed: u64) -> Result<(), JournalError> {
        self.node.restore(to, seed, Shard::new(self.config())).map(drop)
    }

    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        self.node.records()
    }

    pub(super) fn core(&self) -> Option<&Shard> {
        self.node.core()
    }

    pub(super) fn is_up(&self) -> bool {
        self.node.core().is_some()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.node.is_quiet()
    }

    pub(super) fn disk(&self) -> &SimDisk {
        self.node.disk()
    }

    pub(super) fn durable(&self) -> Lsn {
        self.node.durable()
    }

    /// The height whose block it needs next.
    pub(super) fn next_block(&self) -> Height {
        self.node.core().map_or(Height(0), |shard| shard.followed().0).after(1)
    }

    pub(super) fn public(&self) -> PublicKey {
        self.key.public()
    }

    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs all proofs of one commit with one signature.
    pub(super) fn sign(&self, proofs: &[BalanceProof], salt: u64) -> Vec<Signed<BalanceProof>> {
        let salted = |at: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&salt.to_le_bytes());
            bytes[8..].copy_from_slice(&(at as u64).to_le_bytes());
            Salt(bytes)
        };
        let digests: Vec<_> =
            proofs.iter().enumerate().map(|(at, proof)| (proof.digest(), salted(at))).collect();
        let signatures = sign_batch(&self.key, &digests);
        let signed = proofs.iter().zip(signatures);
        signed.map(|(value, (signature, path))| Signed { value: *value, signature, path }).collect()
    }
}
