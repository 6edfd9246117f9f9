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
//! In some worlds wallet 1 lies, or the hub does, or both together: they sign what contradicts itself,
//! repeat, withhold, stall, speak at the last moment, and close with any proof that they ever took.

mod actions;
mod after_lies;
mod breakage;
mod check;
mod config;
mod counts;
mod dice;
pub(crate) mod disk;
mod ending;
mod equivocation;
mod excused;
mod happening;
mod health;
mod hub_node;
mod ledger_node;
mod liar;
mod lies;
mod loss;
mod net;
mod node;
mod samples;
mod shrink;
mod story;
mod streams;
mod wallet_node;
mod weather;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy};
use settlement::proof::CooperativeClose;
use settlement::types::{Amount, AssetId, ChannelId, Signature};

use check::Facts;
pub use counts::{Counts, Kind};
use dice::Dice;
use disk::End;
use equivocation::Signed;
use hub_node::HubNode;
use ledger_node::LedgerNode;
use liar::Liar;
use loss::Loss;
use net::Net;
pub use samples::{Row, Samples, samples};
pub use shrink::shrink;
use story::Story;
use streams::Streams;
use wallet_node::WalletNode;
use weather::Sky;

/// The one asset.
pub const EUR: AssetId = AssetId(0);
/// What each wallet gets from the faucet.
pub const MINTED: Amount = Amount(1_000_000);
/// What each wallet puts into its channel.
pub const DEPOSIT: Amount = Amount(100_000);
/// What the hub's account starts with.
pub const HUB_FUNDS: Amount = Amount(10_000_000);

/// What a run shall do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Fixes everything that happens.
    pub seed: u64,
    /// How many random things happen before the world heals.
    pub events: u32,
    /// Which of them, if not all: each has dice of its own, so that one can be left out and the
    /// others stay what they are.
    pub only: Option<Vec<u32>>,
    /// What happens, in the place of dice and as long as there are bytes. `events` and `only` say
    /// nothing then.
    pub given: Option<Vec<u8>>,
    /// Ends the process (0 hub, 1 and 2 the wallets) at the operation of its disk with this number,
    /// by a power cut if that is so, on top of what happens at random.
    pub end_at: Option<(usize, u64, bool)>,
    /// Whether anything breaks at random, and anybody lies.
    pub faults: bool,
    /// Whether processes act before their disks have what they act on, which must be found.
    pub careless: bool,
    /// Whether the hub takes no payment on any more once all has healed, which must be found.
    pub drained: bool,
    /// Whether a process that starts hears of what it missed on the ledger some blocks later, and
    /// connections outlast the faults.
    pub late: bool,
    /// Whether to tell what happens.
    pub told: bool,
}

impl Plan {
    /// Everything that can happen in a world of this length.
    pub fn of(seed: u64, events: u32) -> Plan {
        let (only, given, end_at) = (None, None, None);
        let (careless, drained, told) = (false, false, false);
        let late = seed.count_ones().is_multiple_of(2);
        Plan { seed, events, only, given, end_at, faults: true, careless, drained, late, told }
    }

    /// The first two bytes are the seed (who is who, who lies), the others say what happens.
    pub fn given(bytes: &[u8]) -> Plan {
        let (seed, given) = bytes.split_at(bytes.len().min(2));
        let seed = seed.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Plan { given: Some(given.to_vec()), ..Plan::of(seed, 0) }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Payments that were settled.
    pub settled: u64,
    /// Payments that failed.
    pub failed: u64,
    /// Steps of streams that were settled.
    pub steps: u64,
    /// Processes that ended before they were done.
    pub crashes: u64,
    /// How often each kind of fault and lie was met.
    pub counts: Counts,
    /// Wallets that were not held to the unit, because a channel was closed before those who had
    /// forgotten something about it could learn of it.
    pub blurred: u64,
    /// Payments that the payee has and the payer has not paid, because the hub had forgotten them.
    pub forgotten: u64,
    /// Blocks that it took until nothing was under way any more.
    pub healed_in: u32,
    /// Worlds of honest sides that forgot nothing.
    pub honest: u64,
    /// Those in which both channels were open when all had healed.
    pub open: u64,
    /// Payments made then: all of them were settled.
    pub again: u64,
    /// Payments made when all had healed where somebody had forgotten something: all of them were
    /// settled.
    pub again_after_loss: u64,
}

impl Report {
    /// Both together.
    pub fn add(&mut self, other: &Report) {
        self.settled += other.settled;
        self.failed += other.failed;
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.counts.add(&other.counts);
        self.blurred += other.blurred;
        self.forgotten += other.forgotten;
        self.healed_in = self.healed_in.max(other.healed_in);
        self.honest += other.honest;
        self.open += other.open;
        self.again += other.again;
        self.again_after_loss += other.again_after_loss;
    }
}

/// What is wrong with a world, and the story that led there, if it was told.
#[derive(Clone, Debug)]
pub struct Wrong {
    /// What a checker said.
    pub what: String,
    /// What happened, line by line.
    pub story: String,
}

/// The world. See the module.
pub struct World {
    rng: Dice,
    now_ms: u64,
    ledger: LedgerNode,
    hub: HubNode,
    wallets: [WalletNode; 2],
    net: Net,
    facts: Facts,
    story: Story,
    signed: Signed,
    report: Report,
    /// Invoices that each wallet has made and nobody has paid.
    invoices: [VecDeque<String>; 2],
    introduced: BTreeSet<ChannelId>,
    closing: Option<(CooperativeClose, Signature)>,
    /// By process: the hub and wallet 1, in worlds in which they lie.
    liars: [Option<Liar>; 3],
    /// Whose disk is replaced by an old copy.
    loss: Loss,
    /// Whose channel was closed on the ledger before the end.
    closed_early: [bool; 2],
    /// Whether anything breaks.
    faults: bool,
    late: bool,
    sky: Sky,
    streams: Streams,
    /// After how many blocks nothing was under way any more.
    healed_in: u32,
    /// Everything heals from now on.
    faults_over: bool,
    /// What was found wrong while acting.
    wrong: Option<String>,
}

/// Runs one world.
///
/// # Errors
/// What is wrong, and the story that led there if the plan has it told.
pub fn run(plan: &Plan) -> Result<Report, Wrong> {
    let mut world = World::new(plan);
    match world.live(plan) {
        Ok(()) => Ok(world.report),
        Err(what) => Err(Wrong { what, story: world.story.to_string() }),
    }
}

/// The dice of one event. Those of the beginning and the end have numbers that no event has.
fn dice(seed: u64, event: u32) -> ChaCha8Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&event.to_le_bytes());
    ChaCha8Rng::from_seed(bytes)
}

const BEGINNING: u32 = u32::MAX;
const END: u32 = u32::MAX - 1;

fn key(rng: &mut ChaCha8Rng) -> Arc<SigningKey> {
    loop {
        if let Ok(key) = SigningKey::from_bytes(rng.random()) {
            return Arc::new(key);
        }
    }
}

impl World {
    fn new(plan: &Plan) -> World {
        let mut rng = dice(plan.seed, BEGINNING);
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
            hub: HubNode::new(hub_key.clone(), genesis.clone(), policy, rng.random()),
            wallets: wallet_keys.map(|key| {
                WalletNode::new(key, genesis.clone(), hub_key.public(), policy, rng.random())
            }),
            net: Net::default(),
            facts: Facts::default(),
            story: Story::new(plan.told),
            signed: Signed::new(),
            report: Report::default(),
            invoices: Default::default(),
            introduced: BTreeSet::new(),
            closing: None,
            liars: liar::liars(if plan.faults { rng.random_range(0..100) } else { 100 }),
            loss: Loss::default(),
            closed_early: [false; 2],
            faults: plan.faults,
            late: plan.late,
            sky: Sky::default(),
            streams: Streams::default(),
            healed_in: 0,
            faults_over: false,
            wrong: None,
            rng: Dice::Seeded(rng),
        };
        world.loss = Loss::plan(plan, &world.liars);
        world.set_up(plan);
        world
    }

    /// Faucet, openings, the hub's deposits, first meeting.
    fn set_up(&mut self, plan: &Plan) {
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
        if plan.careless {
            self.hub.be_careless();
            self.wallets.iter_mut().for_each(WalletNode::be_careless);
        }
        if let Some((who, nth, power)) = plan.end_at {
            let disk = self.disk(who);
            let end = if power { End::PowerCut } else { End::Kill };
            disk.end_at(disk.operations() + nth, end);
        }
    }

    fn live(&mut self, plan: &Plan) -> Result<(), String> {
        if let Some(given) = &plan.given {
            self.rng = Dice::given(given);
            while !self.rng.are_spent() {
                self.event(plan.faults)?;
            }
        }
        let all = || (0..plan.events).collect();
        for event in plan.only.clone().unwrap_or_else(all) {
            self.rng = Dice::Seeded(dice(plan.seed, event));
            self.event(plan.faults)?;
        }
        self.rng = Dice::Seeded(dice(plan.seed, END));
        self.heal()?;
        self.nothing_wrong()?;
        self.every_payment_ended()?;
        if plan.drained {
            self.hub_input(hub::shard::Input::Drain);
        }
        self.works_again()?;
        self.close_all()?;
        self.nothing_awaited()?;
        self.nothing_wrong()?;
        self.check_ledger()
    }

    fn event(&mut self, faults: bool) -> Result<(), String> {
        self.lose_state();
        self.something_happens(faults);
        self.nothing_wrong()
    }

    fn nothing_wrong(&mut self) -> Result<(), String> {
        self.wrong.take().map_or(Ok(()), Err)
    }
}
