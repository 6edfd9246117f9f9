//! A small world for tests: a ledger, a follower that checks every block, and one channel's sides.

use super::{Applied, ChannelState, Ledger};
use crate::block::{Block, LedgerEvent, SignedHeader};
use crate::crypto::{Signable, Signed, SigningKey, chain_step};
use crate::liabilities::Liabilities;
use crate::lock::{Lock, locked_total, locks_root};
use crate::params::{Allocation, Asset, Genesis};
use crate::proof::{BalanceProof, CooperativeClose, OpenTerms, Withdrawal};
use crate::reject::Code;
use crate::tx::{
    AccountAction, AccountTx, AnchorEntry, Anchoring, Lease, Mint, Submission, Transaction,
};
use crate::types::{
    Amount, Anchor, AssetId, ChannelId, Hash, Height, Holder, PublicKey, Role, Salt, Secret,
};

pub(super) const EUR: AssetId = AssetId(0);
pub(super) const WINDOW: u32 = 40;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes([seed; 32]).unwrap()
}

pub(super) fn ledger_key() -> SigningKey {
    key(9)
}

/// Development, two assets, 1,000 of each for wallet and hub.
pub(super) fn genesis() -> Genesis {
    let mut genesis = Genesis::development("test", ledger_key().public(), 1);
    genesis.assets.push(Asset { code: "USD".to_owned(), scale: 2 });
    for seed in [1, 2] {
        for asset in [0, 1] {
            genesis.allocations.push(Allocation {
                account: key(seed).public(),
                asset: AssetId(asset),
                amount: Amount(1_000),
            });
        }
    }
    genesis
}

/// The secret `depth` steps before the anchor of the chain `seed` that has `steps` steps.
pub(super) fn secret(seed: u8, steps: u32, depth: u32) -> Secret {
    let back = steps - depth;
    Secret((0..back).fold([seed; 32], |value, _| chain_step(&value)))
}

/// A lock of `steps` steps on the chain `seed`; its id is the seed too.
pub(super) fn lock(seed: u8, unit: u64, steps: u32, expiry: u64) -> Lock {
    Lock {
        id: u64::from(seed),
        anchor: Anchor(secret(seed, steps, 0).0),
        unit: Amount(unit),
        steps,
        expiry: Height(expiry),
    }
}

/// A proof to be changed and signed.
pub(super) fn proof(
    id: ChannelId,
    from: Role,
    seq: u64,
    paid: u64,
    locks: &[Lock],
) -> BalanceProof {
    BalanceProof {
        channel: id,
        from,
        seq,
        transferred: Amount(paid),
        locked: locked_total(locks).unwrap(),
        locks_root: locks_root(locks),
        peer_seq: 0,
        peer_transferred: Amount(0),
    }
}

/// What `by` brings; fields are set by the tests.
pub(super) fn submission(channel: ChannelId, by: Role) -> Submission {
    Submission::nothing(channel, by)
}

pub(super) struct World {
    pub(super) ledger: Ledger,
    follower: Ledger,
    pub(super) wallet: SigningKey,
    pub(super) hub: SigningKey,
    pub(super) blocks: Vec<Block>,
}

impl World {
    pub(super) fn new() -> World {
        World::with(genesis())
    }

    pub(super) fn with(genesis: Genesis) -> World {
        World {
            ledger: Ledger::genesis(genesis.clone()).unwrap(),
            follower: Ledger::genesis(genesis).unwrap(),
            wallet: key(1),
            hub: key(2),
            blocks: vec![],
        }
    }

    pub(super) fn height(&self) -> u64 {
        self.ledger.tip().height.0
    }

    pub(super) fn key(&self, role: Role) -> &SigningKey {
        match role {
            Role::Wallet => &self.wallet,
            Role::Hub => &self.hub,
        }
    }

    /// Applies a block, has the follower check it, and looks for lost money.
    pub(super) fn block(&mut self, txs: Vec<Transaction>) -> Applied {
        let verified: Vec<_> =
            (txs.into_iter()).map(|tx| self.ledger.verify_tx(tx).unwrap()).collect();
        let time = self.ledger.tip().time_ms + 1_000;
        let applied = self.ledger.apply(verified, time).unwrap();
        let block = Block {
            header: SignedHeader::sign(&ledger_key(), applied.header),
            transactions: applied.transactions.clone(),
        };
        let followed = self.follower.verify_block(&block).unwrap();
        assert_eq!(followed.events, applied.events);
        assert_eq!(self.follower.state, self.ledger.state);
        assert!(self.ledger.is_conserved());
        self.blocks.push(block);
        applied
    }

    /// One transaction in a block, which must take it.
    pub(super) fn done(&mut self, tx: Transaction) -> Vec<LedgerEvent> {
        let applied = self.block(vec![tx]);
        assert_eq!(applied.outcomes[0].1, Ok(()), "{:?}", applied.events);
        applied.events
    }

    /// Empty blocks until the newest has this height.
    pub(super) fn advance_to(&mut self, height: u64) -> Vec<LedgerEvent> {
        let mut events = vec![];
        while self.height() < height {
            events.extend(self.block(vec![]).events);
        }
        events
    }

    /// What the mempool would answer.
    pub(super) fn answer(&self, tx: &Transaction) -> Result<(), Code> {
        let verified = self.ledger.verify_tx(tx.clone())?;
        self.ledger.check(&verified)
    }

    pub(super) fn account_tx(&self, role: Role, action: AccountAction) -> Transaction {
        let key = self.key(role);
        let body = AccountTx {
            ledger: self.ledger.id(),
            account: key.public(),
            nonce: self.ledger.account(&key.public()).nonce,
            action,
        };
        Transaction::account(key, body)
    }

    pub(super) fn transfer(&self, from: Role, to: PublicKey, amount: u64) -> Transaction {
        let action = AccountAction::Transfer { to, asset: EUR, amount: Amount(amount) };
        self.account_tx(from, action)
    }

    pub(super) fn terms(&self) -> OpenTerms {
        OpenTerms {
            ledger: self.ledger.id(),
            asset: EUR,
            wallet: self.wallet.public(),
            hub: self.hub.public(),
            challenge_blocks: WINDOW,
            nonce: self.ledger.account(&self.wallet.public()).nonce,
        }
    }

    pub(super) fn open_tx(&self, deposit: u64) -> Transaction {
        let action = AccountAction::Open { terms: self.terms(), deposit: Amount(deposit) };
        self.account_tx(Role::Wallet, action)
    }

    /// Opens a channel with these deposits.
    pub(super) fn open(&mut self, wallet: u64, hub: u64) -> ChannelId {
        let id = self.terms().channel_id();
        self.done(self.open_tx(wallet));
        if hub > 0 {
            self.done(self.deposit_tx(id, Role::Hub, hub));
        }
        id
    }

    pub(super) fn deposit_tx(&self, channel: ChannelId, role: Role, amount: u64) -> Transaction {
        let action = AccountAction::Deposit { channel, role, amount: Amount(amount) };
        self.account_tx(role, action)
    }

    pub(super) fn withdraw_tx(
        &self,
        channel: ChannelId,
        role: Role,
        total: u64,
        until: u64,
    ) -> Transaction {
        let body = Withdrawal {
            channel,
            role,
            total_withdrawn: Amount(total),
            valid_until: Height(until),
        };
        Transaction::Withdraw {
            body,
            wallet: self.wallet.sign(&body.digest()),
            hub: self.hub.sign(&body.digest()),
        }
    }

    pub(super) fn cooperative_tx(&self, body: CooperativeClose) -> Transaction {
        Transaction::CooperativeClose {
            body,
            wallet: self.wallet.sign(&body.digest()),
            hub: self.hub.sign(&body.digest()),
        }
    }

    pub(super) fn mint_tx(&self, number: u64, amount: u64) -> Transaction {
        let body = Mint {
            ledger: self.ledger.id(),
            number,
            to: self.wallet.public(),
            asset: EUR,
            amount: Amount(amount),
        };
        let signature = ledger_key().sign(&body.digest());
        Transaction::Mint { body, signature }
    }

    pub(super) fn sign(&self, proof: BalanceProof) -> Signed<BalanceProof> {
        Signed::alone(self.key(proof.from), proof, Salt([0; 16]))
    }

    pub(super) fn submit_tx(&self, body: Submission) -> Transaction {
        Transaction::submit(self.key(body.by), body)
    }

    /// `by` brings this proof, its locks opened.
    pub(super) fn bring(
        &self,
        by: Role,
        close: bool,
        proof: BalanceProof,
        locks: &[Lock],
    ) -> Transaction {
        self.submit_tx(Submission {
            close,
            proof: Some(self.sign(proof)),
            locks: locks.to_vec(),
            ..submission(proof.channel, by)
        })
    }

    /// `by` shows these secrets.
    pub(super) fn claim(&self, id: ChannelId, by: Role, claims: &[(u64, Secret)]) -> Transaction {
        self.submit_tx(Submission { claims: claims.to_vec(), ..submission(id, by) })
    }

    /// `by` closes and brings nothing.
    pub(super) fn close(&self, id: ChannelId, by: Role) -> Transaction {
        self.submit_tx(Submission { close: true, ..submission(id, by) })
    }

    /// The hub anchors these, as of the newest block.
    pub(super) fn anchor_tx(&self, epoch: u64, entries: Vec<AnchorEntry>) -> Transaction {
        self.account_tx(Role::Hub, AccountAction::Anchor(self.anchoring(epoch, entries)))
    }

    pub(super) fn anchoring(&self, epoch: u64, entries: Vec<AnchorEntry>) -> Anchoring {
        let liabilities = Liabilities {
            as_of: self.ledger.tip().height,
            asset: EUR,
            root: Hash([3; 32]),
            total: Amount(7),
        };
        Anchoring { epoch, entries, liabilities }
    }

    /// What the hub anchors of one channel.
    pub(super) fn entry(
        &self,
        channel: ChannelId,
        proof: Option<BalanceProof>,
        hub_transferred: u64,
    ) -> AnchorEntry {
        let wallet_proof = proof.map(|proof| self.sign(proof));
        AnchorEntry { channel, wallet_proof, hub_transferred: Amount(hub_transferred) }
    }

    pub(super) fn lease_tx(&self, epoch: u64) -> Transaction {
        let holder = Holder([epoch as u8; 16]);
        self.account_tx(Role::Hub, AccountAction::Lease(Lease { epoch, holder }))
    }

    pub(super) fn channel(&self, id: ChannelId) -> &ChannelState {
        self.ledger.channel(&id).unwrap()
    }

    pub(super) fn balance(&self, role: Role) -> u64 {
        let account = self.ledger.account(&self.key(role).public());
        account.balance(EUR).0
    }

    /// Makes blocks until the channel is paid out; how much each side got.
    pub(super) fn settle(&mut self, id: ChannelId) -> (u64, u64) {
        for _ in 0..10_000 {
            let events = self.block(vec![]).events;
            let settled = events.iter().find_map(|event| match event {
                LedgerEvent::Settled { channel, wallet, hub, .. } if *channel == id => {
                    Some((wallet.0, hub.0))
                }
                _ => None,
            });
            if let Some(amounts) = settled {
                return amounts;
            }
        }
        panic!("the channel was never paid out");
    }
}
