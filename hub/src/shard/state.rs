//! The shard itself: what it holds, the one door for inputs, and what can be asked of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::{HashMap, HashMapExt};
use settlement::block::SignedHeader;
use settlement::channel::{Channel, Now, VerifiedSnapshot};
use settlement::params::View;
use settlement::tx::Lease;
use settlement::types::{ChannelId, Height, LedgerId};

use super::capacity::{Capacity, Load};
use super::seek::HASHES_PER_TICK;
use super::slot::Slot;
use super::stream::Hashed;
use super::{Directory, Input, Output, Own, Pass, ShardConfig, Slice};
use crate::by_channel::ByChannel;

/// The single writer of its channels. See the module's page for what it guarantees.
#[derive(Debug)]
pub struct Shard {
    pub(super) config: ShardConfig,
    pub(super) ledger: LedgerId,
    pub(super) lag: u64,
    pub(super) capacity: Capacity,
    pub(super) slots: ByChannel<Box<Slot>>,
    /// Channels that are paid out, and of which something is still waited for.
    pub(super) closed: BTreeSet<ChannelId>,
    /// Those that were let go of since the last checkpoint, with how many rows they have in the index.
    pub(super) let_go: Vec<(ChannelId, u16)>,
    /// How far each shard has followed the ledger, as records and rows say.
    pub(super) followed: BTreeMap<Slice, (Height, u64)>,
    /// Shards of an earlier count whose rows are to be removed.
    pub(super) left_slices: Vec<Slice>,
    pub(super) tip: Option<SignedHeader>,
    /// Channels to look at when a height is reached. An entry counts only if the channel's own
    /// `wake` still says so.
    pub(super) wakes: BTreeMap<Height, BTreeSet<ChannelId>>,
    /// Channels whose settlements go out by themselves at a time, in order.
    pub(super) idle: VecDeque<(u64, ChannelId)>,
    /// Channels of which payers are to be told what was redeemed there.
    pub(super) ripples: Vec<ChannelId>,
    /// What the messages of wallets have cost in hashes.
    pub(super) hashed: Hashed,
    /// Channels in which payers' locks are sought, in turn.
    pub(super) searches: VecDeque<ChannelId>,
    /// How many hashes may be made for that before the next tick.
    pub(super) hashes_left: u32,
    /// Channels whose oldest queued payment is failed at a time.
    pub(super) waiting: BTreeSet<(u64, ChannelId)>,
    /// Channels whose state was taken back, and that have not leapt.
    pub(super) recovering: BTreeSet<ChannelId>,
    /// Directions that wallets have shown, until their next `Sync`.
    pub(super) shown: HashMap<ChannelId, Vec<VerifiedSnapshot>>,
    /// Channels that have leapt, and wait until nothing that is forgotten can be carried any more.
    pub(super) waiting_out: BTreeSet<ChannelId>,
    /// Channels with an update that could not be taken, and must not be refused.
    pub(super) unanswered: BTreeSet<ChannelId>,
    /// Whether something has shown that this hub started from state that is not its newest.
    pub(super) lost: bool,
    /// The lease of this process, and whether a block has shown it: what comes after is its own.
    pub(super) lease: Option<Lease>,
    pub(super) leased: bool,
    /// The height that the processes before this one have followed the ledger to, all their shards
    /// together: until then blocks come again.
    pub(super) seen_before: Height,
    /// The height of the first fresh view since the start.
    pub(super) fresh_from: Option<Height>,
    /// Until when, by the own clock, wallets may meet it before it closes on what it holds of old.
    pub(super) meet_by_ms: u64,
    /// The own clock, never going back: for waits alone.
    pub(super) clock_ms: u64,
    pub(super) draining: bool,
    pub(super) load_in: Load,
    pub(super) load_out: Load,
    pub(super) queued: usize,
    /// Channels that moved and are not known to be anchored, each with the round in which it was
    /// last handed over.
    pub(super) moved: VecDeque<(u64, ChannelId)>,
    pub(super) own: Own,
    /// Whether this process may sign.
    pub(super) signing: bool,
}

/// How much a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Channels, with those that are paid out and that something still waits for.
    pub channels: usize,
    /// Payers' locks that stand in their newest accepted proof.
    pub locks_in: u64,
    /// The hub's own locks that stand in its newest proof.
    pub locks_out: u64,
    /// Payments that wait for their payee's channel to take them.
    pub queued: usize,
    /// Whether new payments are refused.
    pub draining: bool,
}

impl Counters {
    /// Whether no payment is on its way: what a draining hub waits for.
    pub fn is_quiet(&self) -> bool {
        self.locks_in == 0 && self.locks_out == 0 && self.queued == 0
    }
}

/// What one call writes to.
pub(super) struct Cx<'a> {
    pub(super) now_ms: u64,
    pub(super) out: &'a mut Output,
}

impl Shard {
    /// A shard with no channel.
    pub fn new(config: ShardConfig) -> Shard {
        let lag = config.policy.lag(&config.genesis);
        let capacity = Capacity::new(&config.genesis, &config.policy, config.slice);
        Shard {
            ledger: config.genesis.ledger_id(),
            config,
            lag,
            capacity,
            slots: ByChannel::default(),
            closed: BTreeSet::new(),
            let_go: Vec::new(),
            followed: BTreeMap::new(),
            left_slices: Vec::new(),
            tip: None,
            wakes: BTreeMap::new(),
            idle: VecDeque::new(),
            ripples: Vec::new(),
            hashed: Hashed::default(),
            searches: VecDeque::new(),
            hashes_left: HASHES_PER_TICK,
            waiting: BTreeSet::new(),
            recovering: BTreeSet::new(),
            shown: HashMap::new(),
            waiting_out: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            lost: false,
            lease: None,
            leased: false,
            seen_before: Height(0),
            fresh_from: None,
            meet_by_ms: 0,
            clock_ms: 0,
            draining: false,
            load_in: Load::default(),
            load_out: Load::default(),
            queued: 0,
            moved: VecDeque::new(),
            own: Own::default(),
            signing: true,
        }
    }

    /// Takes one input; `now_ms` is the own clock in milliseconds since 1970. Appends to `out`:
    /// inputs may share one. An input about a channel of another shard changes nothing.
    pub fn handle(
        &mut self,
        input: Input,
        now_ms: u64,
        directory: &dyn Directory,
        out: &mut Output,
    ) {
        self.clock_ms = self.clock_ms.max(now_ms);
        let cx = &mut Cx { now_ms, out };
        match input {
            Input::Connected(channel) => self.on_connected(channel),
            Input::Disconnected(channel) => self.on_disconnected(channel, cx),
            Input::Message(message) => self.on_message(*message, directory, cx),
            Input::Snapshot(snapshot) => self.on_snapshot(*snapshot),
            Input::Update(update) => self.on_update(&update, directory, cx),
            Input::BadUpdate { channel, seq, code } => self.on_bad_update(channel, seq, code, cx),
            Input::Block(block) => self.on_block(&block, directory, cx),
            Input::Tick => self.on_tick(cx),
            Input::Passed(Pass::Forward(forward)) => self.on_forward(*forward, cx),
            Input::Passed(Pass::Outcome { incoming, outgoing, outcome }) => {
                self.on_outcome(incoming, outgoing, outcome, cx);
            }
            Input::Passed(Pass::Streamed { incoming, secret, left, .. }) => {
                self.on_streamed(incoming, &secret, left, cx);
            }
            Input::Passed(Pass::Concluded { outgoing }) => {
                self.conclude(outgoing);
            }
            Input::Passed(Pass::Seek(seek)) => self.on_seek(*seek, cx),
            Input::Passed(Pass::Found(pairing)) => self.on_found(&pairing),
            Input::Passed(Pass::Untouched { incoming }) => {
                self.on_untouched(incoming, directory, cx);
            }
            Input::Withdraw { withdrawal, ticket, .. } => self.on_withdraw(&withdrawal, ticket, cx),
            Input::Close { close, ticket, .. } => self.on_close(&close, ticket, cx),
            Input::CloseAlone(channel) => self.on_close_alone(channel, cx),
            Input::Drain => self.draining = true,
            Input::Signing(may) => self.on_signing(may, cx),
            Input::Lost => self.on_lost(cx),
            Input::Anchor { round, most } => self.on_anchor(round, most, cx),
            Input::Lease(lease) => self.on_lease(lease, cx),
            Input::State(liabilities) => self.on_state(liabilities, cx),
        }
    }

    /// The channel with this id, if it is this shard's.
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.slots.get(id).map(|slot| &slot.channel)
    }

    /// All its channels, in no order.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.slots.iter().map(|slot| &slot.channel)
    }

    /// The height at which the hub closes that channel and claims, if its wallet settles nothing
    /// before.
    pub fn claim_deadline(&self, id: &ChannelId) -> Option<Height> {
        self.slots.get(id)?.channel.claim_by(&self.now(0))
    }

    /// The height and time of the newest block that this shard has followed; zeros before the first.
    /// The next block that it takes is one above.
    pub fn followed(&self) -> (Height, u64) {
        self.followed.get(&self.config.slice).copied().unwrap_or_default()
    }

    /// How much it holds.
    pub fn counters(&self) -> Counters {
        Counters {
            channels: self.slots.len(),
            locks_in: self.load_in.locks,
            locks_out: self.load_out.locks,
            queued: self.queued,
            draining: self.draining,
        }
    }

    /// The view of the ledger at this time of the own clock.
    pub(super) fn now(&self, now_ms: u64) -> Now<'_> {
        let (height, time_ms) = self.followed();
        let policy = &self.config.policy;
        let mut view = View::at(height, time_ms, now_ms, policy);
        // Blocks that come again open channels again that are paid out by now.
        view.fresh &= self.signing && height >= self.seen_before;
        Now { view, policy, lag: self.lag }
    }

    /// How long a deposit may take before it counts as lost: well above `inclusion_delay`, so that
    /// no two are ever on their way.
    pub(super) fn deposit_wait(&self) -> u64 {
        self.config.policy.inclusion_delay.saturating_mul(4)
    }
}
