//! The pair game: two wallets that collude against an honest hub. One channel is each one's, the hub
//! between them is the [`Shard`] of production, and the real ledger is under all three.
//!
//! What the wallets may do: pay each other through the hub with single payments and streams, leave
//! its updates unanswered, say that they refused what they kept, reveal a part or all or nothing or
//! too late, give up locks whose secret they have, drop what may not be dropped, meet the hub anew
//! with any old state, bring any proof that they ever took at any time with or without their claims,
//! in the last block that takes them too, have withdrawals and closes co-signed and keep them back.
//! What the world may do: put a transaction of the hub's into a block as late as `inclusion_delay`,
//! show it blocks as late as `lag`, or none for a night in which it knows that its view is stale.
//!
//! What the hub is entitled to is worked out beside it, from the [`History`] of each direction of
//! both channels (module `judge`): what neither the shard nor the ledger is asked.

mod cosign;
mod judge;
mod ledger;
mod moves;
mod search;
mod wallet;

use std::collections::VecDeque;
use std::sync::Arc;

use client_sdk::api::FeePolicy;
use hub::shard::{
    Action, Directory, InboundPolicy, Input, Limits, Output, Shard, ShardConfig, Slice,
};
use settlement::block::BlockEvents;
use settlement::crypto::{Signed, SigningKey};
use settlement::ledger::Ledger;
use settlement::params::{Allocation, Genesis, Policy};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Height, PublicKey, Role, Salt};
use settlement::update::Op;
use settlement::wire::Message;

use super::game::Fault;
#[cfg(doc)]
use super::history::History;
pub use judge::Seen;
pub use moves::{Life, Move};
pub use search::{Found, play, search};
use wallet::{Chain, Wallet};

/// What each side puts into a channel.
pub const DEPOSIT: u64 = 300;
/// What the payee gets for a step.
pub const UNIT: u64 = 20;
/// What the hub takes for one.
pub const FEE: u64 = 1;
const EUR: AssetId = AssetId(0);
/// Between two blocks.
const BLOCK_MS: u64 = 500;
/// The worst lag of a fresh view, in blocks.
const LAG: u64 = 2;
/// The worst inclusion.
const DELAY: u64 = 2;
/// How long the hub may be shown nothing.
const NIGHT: u64 = 30;
/// How long what was co-signed stays valid.
const VALID: u64 = 3;

/// The margins that the protocol's inequalities ask for, with a slack of one block.
fn policy() -> Policy {
    let (claim_margin, settle_grace) = (LAG + DELAY + 1, LAG + 1);
    let expiry_delta = LAG + 2 * DELAY + claim_margin;
    // The payee's part, as the hub asks for it, and a little more.
    let life = expiry_delta + claim_margin + settle_grace + LAG + 3;
    Policy {
        stale_view_ms: LAG * BLOCK_MS,
        inclusion_delay: DELAY,
        margin: 1,
        claim_margin,
        settle_grace,
        expiry_delta,
        challenge_blocks: u32::try_from(LAG + 4 * DELAY + NIGHT).unwrap_or(u32::MAX),
        lock_life: life,
        lock_life_max: life,
        stream_life_max: life,
        min_lock: Amount(1),
    }
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

/// Which channel is whose; both are always connected.
struct Both([(PublicKey, ChannelId); 2]);

impl Directory for Both {
    fn find(&self, wallet: &PublicKey, _asset: AssetId) -> Option<(ChannelId, bool)> {
        self.0.iter().find(|(key, _)| key == wallet).map(|(_, channel)| (*channel, true))
    }

    fn spread(&self, _: &PublicKey) -> u32 {
        1
    }
}

/// A state of the game. See the module.
pub struct Pair {
    ledger: Ledger,
    hub: Shard,
    hub_key: SigningKey,
    hub_nonce: u64,
    wallets: [Wallet; 2],
    /// What the wallets know together.
    chains: Vec<Chain>,
    /// Blocks that the hub has not been shown.
    unseen: VecDeque<Arc<BlockEvents>>,
    /// What the hub has handed to the ledger, and the last block that may carry it.
    waiting: Vec<(Transaction, Height)>,
    /// What the wallets have handed to it.
    brought: Vec<Transaction>,
    /// What the hub was asked to sign, by ticket.
    asked: Vec<Transaction>,
    /// The hub is shown nothing until this height.
    dark_until: Option<Height>,
    rounds: u64,
    seen: Seen,
    story: Vec<String>,
    fault: Option<Fault>,
}

impl Pair {
    /// Two open channels with [`DEPOSIT`] on each side.
    pub fn new() -> Pair {
        let (hub_key, policy) = (key(3), policy());
        let ledger = Ledger::genesis(genesis()).expect("the genesis is good");
        let wallets = [(key(1), "A"), (key(2), "B")].map(|(key, name)| {
            let terms = OpenTerms {
                ledger: ledger.id(),
                asset: EUR,
                wallet: key.public(),
                hub: hub_key.public(),
                challenge_blocks: policy.challenge_blocks,
                nonce: 0,
            };
            Wallet::new(name, key, terms)
        });
        let hub = Shard::new(ShardConfig {
            hub: hub_key.public(),
            genesis: ledger.parameters().clone(),
            policy,
            fees: FeePolicy { id: 1, base: Amount(FEE), ppm: 0 },
            inbound: InboundPolicy { ppm: 1_000_000, max: Amount(DEPOSIT), low_water_ppm: 0 },
            limits: Limits { queue_wait_ms: 8 * BLOCK_MS, ..Limits::default() },
            slice: Slice::ALL,
        });
        let mut pair = Pair {
            ledger,
            hub,
            hub_key,
            hub_nonce: 0,
            wallets,
            chains: Vec::new(),
            unseen: VecDeque::new(),
            waiting: Vec::new(),
            brought: Vec::new(),
            asked: Vec::new(),
            dark_until: None,
            rounds: 0,
            seen: Seen::default(),
            story: Vec::new(),
            fault: None,
        };
        pair.set_up();
        pair
    }

    /// Openings, the hub's deposits, first meeting.
    fn set_up(&mut self) {
        for who in 0..2 {
            let wallet = &self.wallets[who];
            let open = AccountAction::Open { terms: wallet.terms, deposit: Amount(DEPOSIT) };
            let tx = account_tx(&self.ledger, &wallet.key, 0, open);
            self.brought.push(tx);
        }
        self.block(true, true);
        self.block(true, true);
        for who in 0..2 {
            self.meet(who, 0);
        }
        self.story.clear();
    }

    /// The height of the newest block.
    pub fn height(&self) -> Height {
        self.ledger.tip().height
    }

    /// The first theorem that broke, and how.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What happened, for a person to read.
    pub fn story(&self) -> &[String] {
        &self.story
    }

    /// What was seen to happen.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Whether both channels are paid out.
    pub fn is_over(&self) -> bool {
        self.wallets.iter().all(|wallet| wallet.paid.is_some())
    }

    fn tell(&mut self, line: impl Into<String>) {
        let (height, seen) = (self.height(), self.hub.followed().0);
        self.story.push(format!("block {height}, hub at {seen}: {}", line.into()));
    }

    /// By the true time; the hub's clock is right, its view may be behind.
    fn now_ms(&self) -> u64 {
        self.ledger.tip().time_ms
    }

    fn who(&self, channel: &ChannelId) -> Option<usize> {
        self.wallets.iter().position(|wallet| wallet.channel == *channel)
    }

    /// One input for the hub, and all that follows. Its disk is as fast as everything else.
    fn hub(&mut self, input: Input) {
        let directory = Both([0, 1].map(|who| {
            let wallet = &self.wallets[who];
            (wallet.key.public(), wallet.channel)
        }));
        let (mut out, now_ms) = (Output::default(), self.now_ms());
        self.hub.handle(input, now_ms, &directory, &mut out);
        while !out.passes.is_empty() {
            for pass in std::mem::take(&mut out.passes) {
                self.hub.handle(Input::Passed(pass), now_ms, &directory, &mut out);
            }
        }
        out.actions.into_iter().for_each(|action| self.perform(action));
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.hear(message),
            Action::SendUpdate { channel, base, ops, proof } => {
                self.hear_update(&channel, base, ops, proof);
            }
            Action::Submit(body) => {
                let name = self.who(&body.channel).map_or("?", |who| self.wallets[who].name);
                let (what, claims) = (if body.close { "closes" } else { "answers" }, &body.claims);
                self.tell(format!("the hub {what} on {name} with {} claims", claims.len()));
                let tx = Transaction::submit(&self.hub_key, *body);
                self.hand_in(tx);
            }
            Action::Deposit { channel, amount } => {
                self.account(AccountAction::Deposit { channel, role: Role::Hub, amount });
            }
            Action::Moved(moved) => self.anchor_moved(*moved),
            Action::Cosign { ticket } => self.cosigned(ticket),
            Action::Refuse { code, .. } => self.tell(format!("the hub does not co-sign: {code}")),
            Action::SendSnapshot { .. }
            | Action::Count { .. }
            | Action::Lease(_)
            | Action::Stated(_) => {}
        }
    }

    fn hear(&mut self, message: Message) {
        let Some(who) = message.channel().and_then(|channel| self.who(&channel)) else { return };
        match message {
            Message::Ack { seq, .. } => self.hear_ack(who, seq),
            Message::Reject { seq, code, .. } => {
                let name = self.wallets[who].name;
                self.tell(format!("the hub refuses {name}'s update {seq}: {code}"));
            }
            Message::Reveal { id, secret, .. } => self.hear_secret(who, id, &secret),
            Message::Fail { id, code, .. } => self.hear_failure(who, id, code),
            _ => {}
        }
    }

    /// A wallet has it from now on, whatever it says.
    fn hear_update(&mut self, channel: &ChannelId, base: u64, ops: Vec<Op>, proof: BalanceProof) {
        let Some(who) = self.who(channel) else { return };
        let signed = Signed::alone(&self.hub_key, proof, Salt([7; 16]));
        if self.wallets[who].ours.signed.contains_key(&proof.seq) {
            return;
        }
        let fairly = self.behind() <= LAG;
        if fairly && ops.iter().any(|op| matches!(op, Op::Add { .. })) {
            // Who has a lock out is asked to see the ledger.
            self.dark_until = None;
        }
        let name = self.wallets[who].name;
        self.tell(format!("the hub's update {} for {name}: {}", proof.seq, moves::said(&ops)));
        self.judge_update(who, base, &ops, &proof);
        self.wallets[who].keep(base, &ops, signed);
    }

    /// How many blocks the hub has not seen.
    fn behind(&self) -> u64 {
        self.height().0.saturating_sub(self.hub.followed().0.0)
    }

    fn account(&mut self, action: AccountAction) {
        let tx = account_tx(&self.ledger, &self.hub_key, self.hub_nonce, action);
        self.hub_nonce += 1;
        self.hand_in(tx);
    }

    fn hand_in(&mut self, tx: Transaction) {
        self.waiting.push((tx, self.height().after(DELAY)));
    }
}

impl Default for Pair {
    fn default() -> Pair {
        Pair::new()
    }
}

fn genesis() -> Genesis {
    let mut genesis = Genesis::development("pair", key(9).public(), 1);
    genesis.least_interval_ms = BLOCK_MS;
    genesis.block_interval_ms = BLOCK_MS;
    genesis.challenge_blocks_min = 1;
    let funds = [(1, DEPOSIT), (2, DEPOSIT), (3, 2 * DEPOSIT)];
    genesis.allocations = funds
        .map(|(owner, amount)| Allocation {
            account: key(owner).public(),
            asset: EUR,
            amount: Amount(amount),
        })
        .to_vec();
    genesis
}

fn account_tx(ledger: &Ledger, key: &SigningKey, nonce: u64, action: AccountAction) -> Transaction {
    let (ledger, account) = (ledger.id(), key.public());
    Transaction::account(key, AccountTx { ledger, account, nonce, action })
}
