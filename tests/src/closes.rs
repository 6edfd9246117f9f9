//! Everybody closes at once: so many wallets of one hub bring their closes in the same moment, half of
//! them with the old proof under which they would get most, and the hub has to answer each with its
//! newest proof and a claim.
//!
//! It is played in two places. In one thread and simulated time, to the last payout: the hub's
//! shards, the ledger with its queue and all signatures are the real ones, at the numbers of a ledger
//! for real money; the hub's desk is not in it, and whatever the shards want brought is handed in at
//! once. And with a ledger and a hub in processes of their own, a block each second, up to the hub's
//! last answer.

mod processes;
mod scenes;
mod simulated;
mod wallet;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use settlement::block::BlockEvents;
use settlement::channel::{NewOp, Now};
use settlement::crypto::{BatchCache, SigningKey, VerifyingKey};
use settlement::params::{Allocation, Genesis, Policy, View};
use settlement::proof::OpenTerms;
use settlement::tx::Transaction;
use settlement::types::{Amount, AssetId, ChannelId, Height, LedgerId, PublicKey};
use settlement::wire::Message;

use crate::process::Programs;
use processes::Processes;
use simulated::Simulated;
use wallet::Wallet;

const EUR: AssetId = AssetId(0);
/// What each side puts into a channel.
const DEPOSIT: Amount = Amount(10_000);

/// How many close.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Channels, each with a wallet of its own.
    pub channels: usize,
    /// The hub's shards.
    pub shards: u16,
}

/// What came of it. Heights are in blocks.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Channels that were closed by their wallets, and how many of them with an old proof.
    pub closed: usize,
    /// How many of the closes left out something that the wallet had signed away.
    pub cheated: usize,
    /// The blocks with the first and the last close.
    pub closes: (Height, Height),
    /// The block with the last answer of the hub: its newest proof, or its claim.
    pub answered: Height,
    /// How many blocks the challenge window has.
    pub window: u64,
    /// How many channels were paid out, all of them right, and the last one's block.
    pub paid_out: Option<(usize, Height)>,
    /// In simulated time, the longest that the hub's shards took for one block from the closes on, all
    /// together.
    pub hub_block: Option<Duration>,
    /// The same, for the ledger to make one.
    pub ledger_block: Option<Duration>,
}

impl Report {
    /// From the first close to the last answer, in blocks.
    pub fn took(&self) -> u64 {
        self.answered.0 - self.closes.0.0
    }
}

/// Who is who: keys need not be secret here.
fn key(number: u64) -> SigningKey {
    let mut bytes = [1; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(bytes).expect("a small number is a key")
}

const LEDGER_KEY: u64 = 1 << 40;
const HUB_KEY: u64 = 1 << 41;

/// Where it is played.
trait Place {
    /// Signs all wallets in at the hub.
    fn connect(&mut self, wallets: &[Wallet]);
    /// Hands transactions to the ledger, all at once.
    fn submit(&mut self, txs: Vec<Transaction>);
    /// The ledger's next block, if there is one now.
    fn block(&mut self) -> Option<Arc<BlockEvents>>;
    /// A wallet says something to the hub.
    fn say(&mut self, wallet: &Wallet, message: Message);
    /// The hub's next message, if there is one now.
    fn hear(&mut self) -> Option<Message>;
}

/// How long anything takes that waits for no challenge window.
const PATIENCE: Duration = Duration::from_secs(300);

struct World<P> {
    genesis: Genesis,
    policy: Policy,
    hub: PublicKey,
    hub_key: VerifyingKey,
    place: P,
    batches: BatchCache,
    wallets: Vec<Wallet>,
    at: HashMap<ChannelId, usize>,
    height: Height,
}

/// Plays it to the last payout. `progress` is told what is done.
///
/// # Panics
/// When anybody gets something else than the rules say.
pub fn run(plan: Plan, progress: &mut dyn FnMut(&str)) -> Report {
    let genesis = genesis(plan.channels);
    let place = Simulated::new(&genesis, key(HUB_KEY), plan.shards);
    let mut world = World::new(genesis, plan.channels, place);
    world.prepare(progress);
    (world.place.hub_block, world.place.ledger_block) = (Duration::ZERO, Duration::ZERO);
    let mut report = world.close(|world, _| world.place.channels_left() == 0);
    progress("everybody is paid out");
    assert_eq!(report.paid_out.map(|paid| paid.0), Some(world.wallets.len()), "{report:?}");
    report.hub_block = Some(world.place.hub_block);
    report.ledger_block = Some(world.place.ledger_block);
    report
}

/// Plays it with the programs, in this directory, up to the hub's last answer.
///
/// # Panics
/// When anything does not go as the rules say.
pub fn run_processes(
    programs: &Programs,
    dir: &Path,
    channels: usize,
    progress: &mut dyn FnMut(&str),
) -> Report {
    let genesis = genesis(channels);
    let place = Processes::start(programs, dir, &genesis);
    let mut world = World::new(genesis, channels, place);
    world.prepare(progress);
    world.close(|_, left| left == 0)
}

/// The numbers of a ledger for real money. Who takes part has what it needs.
fn genesis(channels: usize) -> Genesis {
    let mut genesis = Genesis::standard("closes", key(LEDGER_KEY).public(), 1);
    let allocation = |of: PublicKey, amount| Allocation { account: of, asset: EUR, amount };
    let count = channels as u64;
    genesis.allocations = (1..=count).map(|n| allocation(key(n).public(), DEPOSIT)).collect();
    genesis.allocations.push(allocation(key(HUB_KEY).public(), Amount(DEPOSIT.0 * count)));
    genesis
}

impl<P: Place> World<P> {
    fn new(genesis: Genesis, channels: usize, place: P) -> World<P> {
        let policy = Policy::for_genesis(&genesis);
        policy.check(&genesis).expect("the numbers go together");
        let hub = key(HUB_KEY).public();
        let mut world = World {
            genesis,
            policy,
            hub,
            hub_key: VerifyingKey::parse(&hub).expect("a key"),
            place,
            batches: BatchCache::new(1_024),
            wallets: Vec::new(),
            at: HashMap::new(),
            height: Height(0),
        };
        let ledger = world.genesis.ledger_id();
        (1..=channels as u64).for_each(|number| world.add_wallet(ledger, key(number)));
        world
    }

    fn add_wallet(&mut self, ledger: LedgerId, key: SigningKey) {
        let terms = OpenTerms {
            ledger,
            asset: EUR,
            wallet: key.public(),
            hub: self.hub,
            challenge_blocks: self.policy.challenge_blocks,
            nonce: 0,
        };
        self.at.insert(terms.channel_id(), self.wallets.len());
        self.wallets.push(Wallet::new(key, terms, DEPOSIT));
    }

    fn prepare(&mut self, progress: &mut dyn FnMut(&str)) {
        self.open();
        progress("channels are open");
        self.pay_around();
        self.pay_hub();
        progress("everybody has paid and was paid");
        self.lock_around();
        progress("everybody has a lock of which the payee has shown the secret");
    }

    /// The next block, for everybody. What the hub says meanwhile is heard.
    fn block(&mut self) -> Arc<BlockEvents> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.hear_all();
            if let Some(block) = self.place.block() {
                self.follow(&block);
                self.hear_all();
                return block;
            }
            assert!(Instant::now() < deadline, "no block follows {}", self.height);
        }
    }

    fn follow(&mut self, block: &BlockEvents) {
        self.height = block.header.header.height;
        for event in &block.events {
            let Some(at) = event.channel().and_then(|id| self.at.get(&id)) else { continue };
            let channel = &mut self.wallets[*at].channel;
            for step in channel.follow(event, self.height) {
                channel.commit(&step);
            }
        }
    }

    fn hear_all(&mut self) {
        while let Some(message) = self.place.hear() {
            let Some(at) = message.channel().and_then(|id| self.at.get(&id)).copied() else {
                continue;
            };
            if !self.wallets[at].listens {
                continue;
            }
            let view = View { height: self.height, fresh: true };
            let now = Now { view, policy: &self.policy, lag: self.policy.lag(&self.genesis) };
            let wallet = &mut self.wallets[at];
            let said = wallet.hear(message, &self.hub_key, &mut self.batches, &now);
            said.into_iter().for_each(|message| self.place.say(&self.wallets[at], message));
        }
    }

    /// Until it is so for every wallet, without waiting for a block.
    fn talk(&mut self, what: &str, is_so: impl Fn(&Wallet) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.hear_all();
            if self.wallets.iter().all(&is_so) {
                return;
            }
            assert!(Instant::now() < deadline, "not every wallet {what}");
        }
    }

    /// One wallet's next update.
    fn offer(&mut self, at: usize, wanted: NewOp) {
        let view = View { height: self.height, fresh: true };
        let now = Now { view, policy: &self.policy, lag: self.policy.lag(&self.genesis) };
        let said = self.wallets[at].update(&[wanted], &now);
        assert!(!said.is_empty(), "wallet {at} has an update unanswered");
        said.into_iter().for_each(|message| self.place.say(&self.wallets[at], message));
    }
}
