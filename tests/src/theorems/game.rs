//! The exit game: one channel, an honest side that runs the engine of production, a thief on the
//! other side that signs, says and brings whatever it likes, and the real ledger between them.
//!
//! A [`Game`] is a value: the exhaustive model clones it at every fork, the property tests play one
//! long line of it. What the honest side is entitled to is worked out beside it, from the
//! [`History`] of what was said ([`Game::fault`] names the theorem that broke).
//!
//! What the thief may do: leave updates unanswered, say that it refused what it kept, draft any
//! update, reveal some or none of its secrets, give up locks whose secret it has, bring any proof
//! that it ever took at any time with or without its claims, record on the open channel, anchor an
//! old proof, ask for co-signatures and keep them back. What the world may do: put a transaction of
//! the honest side's into a block as late as `inclusion_delay`, show it blocks as late as `lag`, or
//! none at all for a while in which it knows that its view is stale; put it to sleep for good.

mod action;
mod honest;
mod judge;
mod thief;

use std::fmt;
use std::sync::Arc;

use settlement::block::LedgerEvent;
use settlement::channel::{Channel, Step};
use settlement::crypto::{Signed, SigningKey, VerifyingKey, chain_step};
use settlement::encoding::encode;
use settlement::ledger::Ledger;
use settlement::lock::Lock;
use settlement::params::{Allocation, Genesis, Policy, View};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, Height, Role, Secret};

use super::history::History;
pub use action::{Action, Claims, Cosign, Draft};
pub use honest::{PAYMENT, UNIT};
pub use judge::{Fault, Theorem};

/// What each side puts into the channel.
pub const DEPOSIT: u64 = 100;
const EUR: AssetId = AssetId(0);

/// How large a game is.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Updates with something in them that the honest side makes by itself.
    pub payments: u8,
    /// Locks among them; the longest chain of one.
    pub locks: u8,
    /// The most steps of a lock.
    pub steps: u8,
    /// Updates that the thief drafts, and of which kinds.
    pub drafts: u8,
    /// The kinds.
    pub kinds: &'static [Draft],
    /// Updates that the thief says it refused.
    pub refusals: u8,
    /// Transactions that the thief brings.
    pub brings: u8,
    /// Co-signatures that the thief asks for.
    pub cosigns: u8,
    /// Records and anchors.
    pub records: u8,
    /// Whether the honest side may be shown nothing for a while, and may close at any time.
    pub nights: bool,
    /// Whether it may fall asleep for good.
    pub sleep: bool,
    /// The last height.
    pub horizon: u64,
    /// The worst lag of a fresh view.
    pub lag: u64,
    /// The worst inclusion.
    pub delay: u64,
}

impl Bounds {
    /// The margins that the protocol's inequalities ask for, with a slack of one block: the slack
    /// of five is for the operators' comfort.
    fn policy(&self) -> Policy {
        let claim_margin = self.lag + self.delay + 1;
        let settle_grace = self.lag + 1;
        Policy {
            inclusion_delay: self.delay,
            margin: 1,
            claim_margin,
            settle_grace,
            expiry_delta: self.lag + 2 * self.delay + claim_margin,
            challenge_blocks: u32::try_from(self.window()).unwrap_or(u32::MAX),
            lock_life: self.life(),
            lock_life_max: self.life(),
            stream_life_max: self.life(),
            min_lock: Amount(1),
            ..Policy::development()
        }
    }

    fn window(&self) -> u64 {
        self.lag + 4 * self.delay + if self.nights { self.night() } else { 0 }
    }

    /// How long the honest side may be shown nothing.
    fn night(&self) -> u64 {
        2 * self.life()
    }

    /// How long a lock lives.
    fn life(&self) -> u64 {
        2 * (self.lag + 1) + self.delay + 1
    }
}

impl Bounds {
    /// The thief brings something once, and nothing else happens; short margins.
    pub const SMALL: Bounds = Bounds {
        payments: 0,
        locks: 0,
        steps: 1,
        drafts: 0,
        kinds: &Draft::ALL,
        refusals: 1,
        brings: 1,
        cosigns: 0,
        records: 0,
        nights: false,
        sleep: false,
        horizon: 60,
        lag: 1,
        delay: 1,
    };
}

/// A proof of the honest side's that the thief took, whatever it said.
#[derive(Clone, Debug)]
struct Taken {
    proof: Signed<BalanceProof>,
    locks: Vec<Lock>,
    refused: bool,
}

/// A chain of secrets that its maker knows.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Chain {
    /// Whose direction the lock is in.
    from: Role,
    id: u64,
    seed: u8,
    steps: u32,
}

/// What is the same at every fork.
struct Stage {
    bounds: Bounds,
    policy: Policy,
    honest: Role,
    keys: [SigningKey; 2],
    thief_key: VerifyingKey,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "honest {:?}", self.honest)
    }
}

/// A state of the game. See the module.
#[derive(Clone)]
pub struct Game {
    stage: Arc<Stage>,
    ledger: Ledger,
    /// The honest side's channel.
    me: Channel,
    view: View,
    /// Events of blocks that the honest side has not seen.
    unseen: Vec<(Height, LedgerEvent)>,
    /// What the honest side has handed to the ledger, and the last block that may carry it.
    waiting: Vec<(Transaction, Height)>,
    /// What the thief has handed to the ledger.
    brought: Vec<Transaction>,
    /// What it had co-signed and keeps.
    kept: Vec<Transaction>,
    taken: Vec<Taken>,
    chains: Vec<Chain>,
    /// The honest side's direction, and the thief's.
    ours: History,
    theirs: History,
    ledgered: judge::OnLedger,
    thief_seq: u64,
    spent: Spent,
    asleep: bool,
    /// Shown nothing until this height.
    dark_until: Option<Height>,
    fault: Option<Fault>,
}

/// How much of each bound is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Spent {
    payments: u8,
    locks: u8,
    drafts: u8,
    refusals: u8,
    brings: u8,
    cosigns: u8,
    records: u8,
}

fn count(used: &mut u8) {
    *used = used.saturating_add(1);
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

fn at(role: Role) -> usize {
    usize::from(role == Role::Hub)
}

impl Game {
    /// A channel that is open, with [`DEPOSIT`] on each side.
    pub fn new(honest: Role, bounds: Bounds) -> Game {
        let keys = [key(1), key(2)];
        let thief_key = VerifyingKey::parse(&keys[at(honest.other())].public()).expect("a point");
        let policy = bounds.policy();
        let mut genesis = Genesis::development("game", key(9).public(), 1);
        genesis.challenge_blocks_min = 1;
        genesis.allocations = keys
            .iter()
            .map(|key| Allocation { account: key.public(), asset: EUR, amount: Amount(DEPOSIT) })
            .collect();
        let ledger = Ledger::genesis(genesis).expect("the genesis is good");
        let terms = OpenTerms {
            ledger: ledger.id(),
            asset: EUR,
            wallet: keys[0].public(),
            hub: keys[1].public(),
            challenge_blocks: policy.challenge_blocks,
            nonce: 0,
        };
        let stage = Stage { bounds, policy, honest, keys, thief_key };
        let mut game = Game {
            stage: Arc::new(stage),
            ledger,
            me: Channel::open(terms, honest, Amount(DEPOSIT)),
            view: View { height: Height(0), fresh: true },
            unseen: Vec::new(),
            waiting: Vec::new(),
            brought: Vec::new(),
            kept: Vec::new(),
            taken: Vec::new(),
            chains: Vec::new(),
            ours: History::default(),
            theirs: History::default(),
            ledgered: judge::OnLedger::default(),
            thief_seq: 0,
            spent: Spent::default(),
            asleep: false,
            dark_until: None,
            fault: None,
        };
        let open = AccountAction::Open { terms, deposit: Amount(DEPOSIT) };
        game.begin(Role::Wallet, open);
        let channel = terms.channel_id();
        let deposit = Amount(DEPOSIT);
        game.begin(Role::Hub, AccountAction::Deposit { channel, role: Role::Hub, amount: deposit });
        game.see();
        game
    }

    fn begin(&mut self, role: Role, action: AccountAction) {
        let tx = self.account_tx(role, action);
        self.block_of(vec![tx]);
    }

    fn account_tx(&self, role: Role, action: AccountAction) -> Transaction {
        let key = self.key(role);
        let (ledger, account) = (self.ledger.id(), key.public());
        let nonce = self.ledger.account(&account).nonce;
        Transaction::account(key, AccountTx { ledger, account, nonce, action })
    }

    fn key(&self, role: Role) -> &SigningKey {
        &self.stage.keys[at(role)]
    }

    fn bounds(&self) -> &Bounds {
        &self.stage.bounds
    }

    fn thief(&self) -> Role {
        self.stage.honest.other()
    }

    /// The height of the newest block.
    pub fn height(&self) -> Height {
        self.ledger.tip().height
    }

    /// The honest side, as a copy of its disk would have it.
    pub fn copy(&self) -> Channel {
        self.me.clone()
    }

    /// The honest side starts on that copy, knows that it is an old one, is shown nothing by the
    /// thief, and has leapt. No search does this: what is entitled to whom then is not in the history.
    pub fn restore(&mut self, copy: Channel) {
        self.me = copy;
        let lost = self.me.lose();
        let height = self.view.height;
        lost.into_iter().chain([Step::Leapt { height }]).for_each(|step| self.commit(&step));
    }

    /// The first theorem that broke, and how.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// What that side was paid in the end; `None` while the channel is there.
    pub fn paid(&self, role: Role) -> Option<u64> {
        self.ledgered.paid.map(|paid| *paid.of(role))
    }

    /// Whether the channel was paid out.
    pub fn is_over(&self) -> bool {
        self.ledgered.paid.is_some()
    }

    fn break_theorem(&mut self, theorem: Theorem, how: String) {
        self.fault.get_or_insert(Fault { theorem, how });
    }

    /// Applies these as the next block, and has the reference look at what it did.
    fn block_of(&mut self, txs: Vec<Transaction>) {
        let height = self.height().after(1);
        let verified: Vec<_> =
            txs.into_iter().filter_map(|tx| self.ledger.verify_tx(tx).ok()).collect();
        let time = self.ledger.tip().time_ms + 1_000;
        let applied = self.ledger.apply(verified, time).expect("blocks come a second apart");
        self.judge_block(height, &applied.transactions, &applied.outcomes, &applied.events);
        self.unseen.extend(applied.events.into_iter().map(|event| (height, event)));
    }

    /// The lock's deepest secret, as its maker knows it.
    fn secret(&self, lock: &Lock, steps: u32) -> Option<Secret> {
        self.chains.iter().find_map(|chain| {
            let used = (0..chain.steps).find(|used| chain.value(*used).0 == lock.anchor.0)?;
            (used + steps <= chain.steps).then(|| chain.value(used + steps))
        })
    }

    /// All that decides what can still happen, for telling states apart.
    fn essence(&self) -> Vec<u8> {
        let channel = self.ledger.channel(&self.me.id());
        let taken: Vec<_> = self.taken.iter().map(|t| (t.proof.value.seq, t.refused)).collect();
        encode(&(
            (self.height(), self.view, channel, &self.me, &self.unseen, &self.waiting),
            (&self.brought, &self.kept, taken, &self.chains, &self.ours, &self.theirs),
            (self.thief_seq, self.spent, self.asleep, self.dark_until, &self.ledgered),
            self.fault.is_some(),
        ))
    }
}

impl Chain {
    /// The value so many steps before the anchor.
    fn value(&self, steps: u32) -> Secret {
        let seed = [self.seed; 32];
        Secret((steps..self.steps).fold(seed, |value, _| chain_step(&value)))
    }
}

impl PartialEq for Game {
    fn eq(&self, other: &Game) -> bool {
        self.essence() == other.essence()
    }
}

impl std::hash::Hash for Game {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write(&self.essence());
    }
}

impl fmt::Debug for Game {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Game { fault, .. } = self;
        write!(f, "height {}, {:?}, {fault:?}", self.height(), self.me.phase())
    }
}
