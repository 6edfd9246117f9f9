//! A wallet's process.

use std::sync::Arc;

use client_sdk::api::FeePolicy;
use client_sdk::wallet::{Action, Input, Record, Wallet, WalletConfig};
use settlement::crypto::{Signed, SigningKey};
use settlement::journal::{JournalError, Lsn};
use settlement::params::{Genesis, Policy};
use settlement::proof::BalanceProof;
use settlement::types::{Height, PublicKey, Salt};

use super::disk::{End, Ending, SimDisk};
use super::node::{Core, Made, Node, Started};

/// What the world's hub takes.
pub(super) const FEES: FeePolicy =
    FeePolicy { id: 1, base: settlement::types::Amount(1), ppm: 10_000 };

impl Core for Wallet {
    type Record = Record;
    type Action = Action;

    fn replay(&mut self, record: &Record) {
        Wallet::replay(self, record);
    }
}

pub(super) struct WalletNode {
    key: Arc<SigningKey>,
    genesis: Genesis,
    hub: PublicKey,
    policy: Policy,
    node: Node<Wallet>,
}

impl WalletNode {
    pub(super) fn new(
        key: Arc<SigningKey>,
        genesis: Genesis,
        hub: PublicKey,
        policy: Policy,
        seed: u64,
    ) -> WalletNode {
        let mut wallet = WalletNode { key, genesis, hub, policy, node: Node::new(seed) };
        wallet.start();
        wallet
    }

    pub(super) fn config(&self) -> WalletConfig {
        WalletConfig {
            key: self.key.clone(),
            genesis: self.genesis.clone(),
            hub: self.hub,
            policy: self.policy,
            fees: FEES,
        }
    }

    pub(super) fn start(&mut self) -> Started {
        self.node.start(Wallet::new(self.config()))
    }

    pub(super) fn records(&self) -> Vec<Vec<u8>> {
        self.node.records()
    }

    pub(super) fn input(&mut self, input: Input, now_ms: u64) {
        self.node.work(|wallet| {
            let output = wallet.handle(input, now_ms);
            Made { records: output.records, actions: output.actions }
        });
    }

    pub(super) fn commit(&mut self) -> Vec<Action> {
        self.node.commit()
    }

    pub(super) fn be_careless(&mut self) {
        self.node.be_careless();
    }

    /// What it said on an earlier connection does not go out over the next.
    pub(super) fn forget_said(&mut self) {
        self.node.forget(|action| matches!(action, Action::Send(_) | Action::SendUpdate { .. }));
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

    /// What the wallet was before.
    pub(super) fn restore(&mut self, to: Lsn, seed: u64) -> Result<Wallet, JournalError> {
        self.node.restore(to, seed, Wallet::new(self.config()))
    }

    pub(super) fn core(&self) -> Option<&Wallet> {
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
        self.node.core().map_or(Height(0), |wallet| wallet.height()).after(1)
    }

    pub(super) fn public(&self) -> PublicKey {
        self.key.public()
    }

    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    pub(super) fn sign(&self, proof: BalanceProof, salt: Salt) -> Signed<BalanceProof> {
        Signed::alone(&self.key, proof, salt)
    }
}
