//! A seeded world: two wallets, a hub and a ledger in one thread, with the code that runs in
//! production behind the journal trait, and everything around it simulated: time, network, disk,
//! crashes.
//!
//! A seed fixes everything that happens. A run makes random payments while connections break and
//! processes die at their writes, and nights fall in which one wallet is out of reach while blocks
//! come; then it lets everything heal, closes the channels, one with the hub and one without, and
//! checks on the ledger that every unit is where the rules say.
//!
//! In some worlds the hub is restored from an old copy of its disk, at any moment and however old;
//! in others the wallets are.
//!
//! In some worlds wallet 1 is a thief: at a moment of its choice it closes with any proof that it
//! ever took, and claims with every secret that it ever had.

mod actions;
mod check;
mod config;
mod ending;
mod hub_node;
mod ledger_node;
mod loss;
mod net;
mod node;
mod thief;
mod wallet_node;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use settlement::crypto::SigningKey;
use settlement::journal::CrashPoint;
use settlement::params::{Genesis, Policy};
use settlement::proof::CooperativeClose;
use settlement::types::{Amount, AssetId, ChannelId, PublicKey, Signature};

use check::Facts;
use check::Story;
use hub_node::HubNode;
use ledger_node::LedgerNode;
use loss::Loss;
use net::Net;
use thief::Thief;
use wallet_node::WalletNode;

/// The one asset.
pub const EUR: AssetId = AssetId(0);
/// What each wallet gets from the faucet.
pub const MINTED: Amount = Amount(1_000_000);
/// What each wallet puts into its channel.
pub const DEPOSIT: Amount = Amount(100_000);
/// What the hub's account starts with.
pub const HUB_FUNDS: Amount = Amount(10_000_000);

/// What a run shall do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Fixes everything that happens.
    pub seed: u64,
    /// How many random things happen before the world heals.
    pub events: u32,
    /// Kills the process (0 hub, 1 and 2 the wallets) at its write with this number, on top of
    /// what happens at random.
    pub crash_at_write: Option<(usize, u64)>,
    /// Whether anything breaks at random.
    pub faults: bool,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Payments that were settled.
    pub settled: u64,
    /// Payments that failed.
    pub failed: u64,
    /// Processes killed.
    pub crashes: u64,
    /// Connections broken.
    pub disconnects: u64,
    /// Thieves that struck.
    pub thefts: u64,
    /// Old copies that were put in the place of a disk.
    pub restored: u64,
    /// Wallets that were not held to the unit, because a channel was closed before those who had
    /// forgotten something about it could learn of it.
    pub blurred: u64,
    /// Payments that the payee has and the payer has not paid, because the hub had forgotten them.
    pub forgotten: u64,
}

/// The world. See the module.
pub struct World {
    rng: ChaCha8Rng,
    now_ms: u64,
    ledger: LedgerNode,
    hub: HubNode,
    wallets: [WalletNode; 2],
    net: Net,
    facts: Facts,
    story: Story,
    report: Report,
    /// Invoices that each wallet has made and nobody has paid.
    invoices: [VecDeque<String>; 2],
    introduced: BTreeSet<ChannelId>,
    closing: Option<(CooperativeClose, Signature)>,
    /// Wallet 1, in worlds in which it steals.
    thief: Option<Thief>,
    /// Whose disk is replaced by an old copy.
    loss: Loss,
    /// Whose channel was closed on the ledger before the end.
    closed_early: [bool; 2],
    /// Everything heals from now on.
    faults_over: bool,
    /// What was found wrong while acting.
    wrong: Option<String>,
}

/// Runs one world.
///
/// # Errors
/// What is wrong, and the story that led there.
pub fn run(plan: Plan) -> Result<Report, String> {
    let mut world = World::new(plan);
    let result = world.live(plan);
    result.map_err(|wrong| format!("seed {}: {wrong}\n{}", plan.seed, world.story))?;
    Ok(world.report)
}

fn key(rng: &mut ChaCha8Rng) -> Arc<SigningKey> {
    loop {
        if let Ok(key) = SigningKey::from_bytes(rng.random()) {
            return Arc::new(key);
        }
    }
}

impl World {
    fn new(plan: Plan) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let (ledger_key, hub_key) = (key(&mut rng), key(&mut rng));
        let wallet_keys = [key(&mut rng), key(&mut rng)];
        let mut genesis = Genesis::development("world", ledger_key.public(), plan.seed);
        genesis.allocations.push(settlement::params::Allocation {
            account: hub_key.public(),
            asset: EUR,
            amount: HUB_FUNDS,
        });
        let policy = Policy::development();
        let mut world = World {
            now_ms: 1_000_000,
            ledger: LedgerNode::new(genesis.clone(), ledger_key),
            hub: HubNode::new(hub_key.clone(), genesis.clone(), policy),
            wallets: wallet_keys
                .map(|key| WalletNode::new(key, genesis.clone(), hub_key.public(), policy)),
            net: Net::default(),
            facts: Facts::default(),
            story: Story::default(),
            report: Report::default(),
            invoices: Default::default(),
            introduced: BTreeSet::new(),
            closing: None,
            thief: (plan.faults && rng.random_bool(0.4)).then(Thief::default),
            loss: Loss::default(),
            closed_early: [false; 2],
            faults_over: false,
            wrong: None,
            rng,
        };
        world.loss = Loss::plan(plan, world.thief.is_some());
        world.set_up(plan);
        world
    }

    /// Faucet, openings, the hub's deposits, first meeting.
    fn set_up(&mut self, plan: Plan) {
        for wallet in &self.wallets {
            self.ledger.mint(wallet.public(), MINTED);
        }
        self.block();
        for wallet in &self.wallets {
            self.ledger.open_channel(wallet.signing_key(), self.hub.public(), DEPOSIT);
        }
        self.connect(0);
        self.connect(1);
        for _ in 0..5 {
            self.settle_down();
            self.block();
        }
        if let Some((who, nth)) = plan.crash_at_write {
            let disk = match who {
                0 => self.hub.disk(),
                other => self.wallets[other - 1].disk(),
            };
            disk.crash_at(CrashPoint::Append { nth: disk.appends() + nth });
        }
    }

    fn live(&mut self, plan: Plan) -> Result<(), String> {
        for _ in 0..plan.events {
            self.lose_state();
            self.something_happens(plan.faults);
            self.nothing_wrong()?;
        }
        self.heal()?;
        self.nothing_wrong()?;
        self.close_all()?;
        self.nothing_wrong()?;
        self.check_ledger()
    }

    fn nothing_wrong(&mut self) -> Result<(), String> {
        self.wrong.take().map_or(Ok(()), Err)
    }

    fn something_happens(&mut self, faults: bool) {
        let dice = self.rng.random_range(0..1000);
        match dice {
            0..400 => self.deliver_one(),
            400..560 => self.commit_one(),
            560..700 => self.pay_somebody(),
            700..780 => self.block(),
            780..840 => self.tick(),
            840..920 => self.settle_down(),
            920..930 if faults => self.disconnect_one(),
            930..937 if faults => self.crash_one(),
            937..945 if faults => self.plan_crash(),
            945..947 if faults => self.night(),
            947..958 if faults => self.steal(),
            _ => self.revive(),
        }
    }

    fn pay_somebody(&mut self) {
        let payer = self.rng.random_range(0..2);
        let amount = Amount(match self.rng.random_range(0..10) {
            0 => DEPOSIT.0 * 2,
            1 => DEPOSIT.0 / 2,
            _ => self.rng.random_range(1..500),
        });
        if self.rng.random_bool(0.5) {
            self.pay_by_invoice(payer, amount);
        } else {
            self.send(payer, amount);
        }
    }

    fn tick(&mut self) {
        self.now_ms += self.rng.random_range(1..600);
        for who in 0..2 {
            self.wallet_input(who, client_sdk::wallet::Input::Tick);
        }
        self.hub_input(hub::shard::Input::Tick);
    }

    fn disconnect_one(&mut self) {
        let who = self.rng.random_range(0..2);
        self.story.tell(self.now_ms, || format!("wallet {who} loses its connection"));
        self.report.disconnects += 1;
        self.disconnect(who);
    }

    /// A wallet is out of the hub's reach for long. All go on following the ledger: whoever sleeps
    /// through its deadlines may lose.
    fn night(&mut self) {
        let who = self.rng.random_range(0..2);
        let blocks = self.rng.random_range(20..280);
        self.story
            .tell(self.now_ms, || format!("wallet {who} is out of reach for {blocks} blocks"));
        self.disconnect(who);
        for _ in 0..blocks {
            self.everybody_up(Some(who));
            self.beat();
        }
    }

    fn crash_one(&mut self) {
        let who = self.rng.random_range(0..3);
        let kept = self.rng.random_range(0..4);
        self.story.tell(self.now_ms, || format!("process {who} is killed, {kept} records survive"));
        match who {
            0 => self.hub.crash(kept),
            other => self.wallets[other - 1].crash(kept),
        }
        self.notice_deaths();
    }

    /// Lets a process die at one of its next writes.
    fn plan_crash(&mut self) {
        let who = self.rng.random_range(0..3);
        let disk = match who {
            0 => self.hub.disk(),
            other => self.wallets[other - 1].disk(),
        };
        let ahead = self.rng.random_range(1..6);
        let kept = self.rng.random_range(0..4);
        disk.crash_at(if self.rng.random_bool(0.5) {
            CrashPoint::Append { nth: disk.appends() + ahead }
        } else {
            CrashPoint::Sync { nth: disk.syncs() + ahead, kept }
        });
    }

    /// Starts what is down, or connects what is up.
    fn revive(&mut self) {
        if !self.hub.is_up() {
            self.start_hub();
            return;
        }
        let who = self.rng.random_range(0..2);
        if !self.wallets[who].is_up() {
            self.start_wallet(who);
        } else if !self.net.is_connected(who) {
            self.connect(who);
        }
    }

    /// Everything that is on its way arrives, and what follows from it, until nothing moves.
    fn settle_down(&mut self) {
        for _ in 0..200 {
            let before = self.net.delivered;
            for who in 0..3 {
                self.commit(who);
            }
            for who in 0..2 {
                while self.deliver(who, true) || self.deliver(who, false) {}
            }
            if self.net.delivered == before && self.is_quiet() {
                return;
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.hub.is_quiet() && self.wallets.iter().all(WalletNode::is_quiet) && self.net.is_empty()
    }

    fn commit_one(&mut self) {
        let who = self.rng.random_range(0..3);
        self.commit(who);
    }

    fn deliver_one(&mut self) {
        let who = self.rng.random_range(0..2);
        let up = self.rng.random_bool(0.5);
        if !self.deliver(who, up) {
            self.deliver(who, !up);
        }
    }

    fn public(&self, who: usize) -> PublicKey {
        self.wallets[who].public()
    }
}
