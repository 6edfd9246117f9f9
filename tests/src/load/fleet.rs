//! The wallets of one thread: the real engine, all rules checked, with nothing around it that the
//! load does not need. What a wallet knows it keeps in memory alone.

mod hear;
mod leave;
mod pending;
mod pump;
mod stream;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use client_sdk::api::{FeePolicy, HubInfo};
use rand::RngExt;
use rand::rngs::StdRng;
use settlement::channel::Channel;
use settlement::crypto::{BatchCache, SigningKey, VerifyingKey};
use settlement::params::{Policy, View};
use settlement::types::{Amount, Anchor, ChannelId, Height, PublicKey, Secret};

use super::chain::Tip;
use super::mix::{Deed, Meant};
use super::stats::Stats;
use leave::Stage;
pub use leave::{Door, Left};
use pending::Pending;
use stream::Stream;
pub use stream::StreamPace;

/// Batches of the hub's that are remembered: those of the last second or so.
const BATCHES_REMEMBERED: usize = 4_096;
/// After so long without an update a wallet settles by itself.
const IDLE_NS: u64 = 1_000_000_000;

/// A hasher for what is a digest or a random value already: its first bytes do.
#[derive(Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length that comes before an array's bytes says nothing.
    fn write_usize(&mut self, _: usize) {}
}

type ByBytes<K, V> = HashMap<K, V, BuildHasherDefault<FirstBytes>>;

/// A payment that is to be made.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// Since when its latency counts.
    since_ns: u64,
    meant: Option<Meant>,
}

/// An invoice that is not paid yet.
struct Invoice {
    secret: Secret,
    amount: Amount,
    payee: u32,
}

/// What a wallet has done, for the books at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Payments whose secret reached this wallet, which paid.
    pub completed: u64,
    /// What they cost it, fees included.
    pub paid: u64,
    /// The fees of them.
    pub fees: u64,
    /// How many of them are settled in what the hub has acknowledged.
    pub settled: u64,
    /// Payments to this wallet whose secret it has shown.
    pub revealed: u64,
    /// What they are worth.
    pub earned: u64,
    /// How many of them the hub has settled, by its signature.
    pub collected: u64,
    /// Steps of its stream that the hub told it of.
    pub steps_told: u64,
    /// How many of them are settled in what the hub has acknowledged.
    pub steps_settled: u64,
    /// Steps that it redeemed of the stream to it.
    pub steps_shown: u64,
    /// How many of them the hub has settled, by its signature.
    pub steps_collected: u64,
}

/// A wallet with a channel.
pub struct Wallet {
    key: Arc<SigningKey>,
    /// Its side of the channel.
    pub channel: Channel,
    /// Which of the thread's connections it is signed in on.
    pub connection: usize,
    /// Its books.
    pub books: Books,
    /// Whether it has met the hub on this connection.
    met: bool,
    /// Whether both showed the same when they met last.
    agreed: bool,
    /// Whether one of them had lost state when they met. Then nothing more is said.
    lost: bool,
    /// Payments that are neither completed nor failed.
    pending: Pending,
    /// When payments fell due that are not sent yet, in open loop.
    due: VecDeque<Due>,
    /// Payments to it that are on their way.
    coming: u32,
    /// Whether it is on the list of those to be looked at.
    listed: bool,
    /// Whether what is to be settled or dropped goes out even if no payment goes with it.
    flush: bool,
    /// When it last made an update.
    updated_ns: u64,
    /// Whether it pays.
    stage: Stage,
    /// The next nonce of its account: the opening took one.
    nonce: u64,
}

impl Wallet {
    /// A wallet of a channel that has just opened.
    pub fn new(key: SigningKey, channel: Channel, connection: usize) -> Wallet {
        Wallet {
            key: Arc::new(key),
            channel,
            connection,
            books: Books::default(),
            met: false,
            agreed: false,
            lost: false,
            pending: Pending::default(),
            due: VecDeque::new(),
            coming: 0,
            listed: false,
            flush: false,
            updated_ns: 0,
            stage: Stage::Pays,
            nonce: 1,
        }
    }

    /// Whether nothing is under way on its channel.
    fn is_quiet(&self) -> bool {
        let (out, inc) = (self.channel.outgoing(), self.channel.incoming());
        self.met
            && self.stage != Stage::Away
            && out.in_flight.is_none()
            && out.accepted.locks.is_empty()
            && inc.tally.locks.is_empty()
            && self.pending.is_empty()
    }

    /// Its key.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// What the wallets know of the hub.
#[derive(Clone)]
pub struct Terms {
    /// What it says of itself.
    pub info: Arc<HubInfo>,
    /// Its key, parsed.
    pub hub: VerifyingKey,
    /// How old a fresh view may be.
    pub lag: u64,
}

impl Terms {
    fn policy(&self) -> &Policy {
        &self.info.policy
    }

    fn fees(&self) -> &FeePolicy {
        &self.info.fees
    }
}

/// How the wallets pay.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Payments under one signature.
    pub per_signature: usize,
    /// Signatures' worth of payments that are pending at once, in closed loop.
    pub rounds: usize,
    /// Whether single payments, batches and such as fail are mixed.
    pub mixed: bool,
    /// Whether payments fall due by a schedule.
    pub open_loop: bool,
    /// How streams go beside.
    pub streams: StreamPace,
}

/// The wallets of one thread.
pub struct Fleet {
    terms: Terms,
    pace: Pace,
    tip: Arc<Tip>,
    view: View,
    /// The wallets.
    pub wallets: Vec<Wallet>,
    payees: Vec<PublicKey>,
    /// A key of which nobody has heard.
    nobody: PublicKey,
    of_channel: ByBytes<ChannelId, u32>,
    invoices: ByBytes<Anchor, Invoice>,
    batches: BatchCache,
    rng: StdRng,
    /// Wallets to look at.
    list: Vec<usize>,
    /// What the first wallets pay the ones after them.
    streams: Vec<Stream>,
    /// Those that may have something to redeem.
    ready: VecDeque<usize>,
    next_stream: usize,
    /// Whether new payments are made; else the wallets bring to an end what is pending.
    paying: bool,
    /// Where wallets leave and come back, if they do.
    door: Option<Door>,
    /// Those that are leaving or away.
    leaving: Vec<usize>,
    next_leaving: usize,
    /// Channels that were closed.
    left: Vec<Left>,
    /// Their ids: the hub may have said something before it knew.
    gone: HashSet<ChannelId>,
    /// What was counted.
    pub stats: Stats,
}

impl Fleet {
    /// A fleet of these wallets. `rng` has to be seeded by the system: secrets are drawn from it.
    pub fn new(
        terms: Terms,
        pace: Pace,
        tip: Arc<Tip>,
        wallets: Vec<Wallet>,
        mut rng: StdRng,
    ) -> Fleet {
        let payees = wallets.iter().map(|wallet| wallet.key.public()).collect();
        let of_channel = wallets.iter().map(|wallet| wallet.channel.id()).zip(0..).collect();
        let mut fleet = Fleet {
            terms,
            pace,
            tip,
            view: View { height: Height(0), fresh: false },
            wallets,
            payees,
            nobody: nobody(&mut rng),
            of_channel,
            invoices: ByBytes::default(),
            batches: BatchCache::new(BATCHES_REMEMBERED),
            rng,
            list: Vec::new(),
            streams: Vec::new(),
            ready: VecDeque::new(),
            next_stream: 0,
            paying: false,
            door: None,
            leaving: Vec::new(),
            next_leaving: 0,
            left: Vec::new(),
            gone: HashSet::new(),
            stats: Stats::default(),
        };
        fleet.start_streams();
        fleet
    }

    /// What the wallets know of the hub.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether payments fall due by a schedule from now on.
    pub fn set_open_loop(&mut self, open: bool) {
        self.pace.open_loop = open;
    }

    /// Forgets payments that fell due and are not sent.
    pub fn forget_due(&mut self) {
        self.wallets.iter_mut().for_each(|wallet| wallet.due.clear());
    }

    /// Looks at the ledger: before each turn.
    pub fn look(&mut self) {
        self.view = self.tip.view(&self.terms.info.policy);
    }

    /// From now on new payments are made, or none.
    pub fn pay(&mut self, paying: bool) {
        if self.paying != paying {
            self.paying = paying;
            self.list_all();
        }
    }

    /// Nothing counts that was said on the connections before.
    pub fn part(&mut self) {
        for wallet in &mut self.wallets {
            (wallet.met, wallet.agreed) = (false, false);
            wallet.due.clear();
        }
        self.part_streams();
    }

    /// How many signatures of the hub's were checked: each distinct one.
    pub fn batches_checked(&self) -> u64 {
        self.batches.checked()
    }

    /// The payments of one signature of this wallet fall due.
    pub fn fall_due(&mut self, at: usize, due_ns: u64) {
        let signed = self.draw(due_ns);
        if let Some(wallet) = self.wallets.get_mut(at) {
            wallet.due.extend(signed);
            self.list(at);
        }
    }

    /// Payments that go under one signature.
    fn draw(&mut self, since_ns: u64) -> impl Iterator<Item = Due> + use<> {
        let (mut count, mut meant) = (self.pace.per_signature, None);
        if self.pace.mixed {
            let deed = Deed::draw(&mut self.rng);
            count = deed.payments();
            meant = (deed == Deed::Failing).then(|| Meant::draw(&mut self.rng));
        }
        std::iter::repeat_n(Due { since_ns, meant }, count)
    }

    /// Payments that fell due and are not sent yet.
    pub fn backlog(&self) -> usize {
        self.wallets.iter().map(|wallet| wallet.due.len()).sum()
    }

    fn list(&mut self, at: usize) {
        if let Some(wallet) = self.wallets.get_mut(at)
            && !std::mem::replace(&mut wallet.listed, true)
        {
            self.list.push(at);
        }
    }

    /// Has every wallet looked at in the next turn.
    pub fn list_all(&mut self) {
        (0..self.wallets.len()).for_each(|at| self.list(at));
    }

    /// Has wallets that have said nothing for a second settle what is to be settled.
    pub fn settle_idle(&mut self, now_ns: u64) {
        for at in 0..self.wallets.len() {
            let wallet = &mut self.wallets[at];
            if now_ns.saturating_sub(wallet.updated_ns) >= IDLE_NS {
                (wallet.updated_ns, wallet.flush) = (now_ns, true);
                self.list(at);
            }
        }
    }

    /// Whether every wallet has met the hub, and nothing is pending or to be settled any more.
    pub fn is_quiet(&self) -> bool {
        self.wallets.iter().all(|wallet| wallet.lost || wallet.is_quiet())
    }

    /// Whether every wallet and the hub showed each other the same when they met last.
    pub fn all_agree(&self) -> bool {
        self.wallets.iter().all(|wallet| wallet.agreed)
    }
}

fn nobody(rng: &mut StdRng) -> PublicKey {
    loop {
        // Nearly every 32 bytes are a key.
        if let Ok(key) = SigningKey::from_bytes(rng.random()) {
            return key.public();
        }
    }
}
