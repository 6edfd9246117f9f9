//! The wallet itself: what it holds, and the one door in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use settlement::block::SignedHeader;
use settlement::channel::{Change, Channel, Effect, Now, Step};
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy, View};
use settlement::reject::Code;
use settlement::types::{Anchor, AssetId, ChannelId, Height, LedgerId, PublicKey};
use settlement::wire::Message;

use super::ask::Asks;
use super::follow::MEET_MS;
use super::link::Link;
use super::pay::Wanted;
use super::rows::Parts;
use super::state::{Applied, Followed, State};
use super::stream::{Live, StreamLock, StreamState, Wasted};
use super::{Action, Event, Input, Output, Payment, Record};
use crate::api::FeePolicy;
use crate::relay::RelayKeys;

/// What a wallet is made with.
#[derive(Clone, Debug)]
pub struct WalletConfig {
    /// Its key, which opens invoices and payloads; proofs are signed by the shell.
    pub key: Arc<SigningKey>,
    /// The ledger that settles its channels.
    pub genesis: Genesis,
    /// The hub that it has channels with. Channels with others are not its business.
    pub hub: PublicKey,
    /// The margins that it keeps.
    pub policy: Policy,
    /// What the hub takes, as far as is known.
    pub fees: FeePolicy,
}

/// A wallet: its channels with one hub, and its payments.
#[derive(Debug)]
pub struct Wallet {
    pub(super) config: WalletConfig,
    pub(super) me: PublicKey,
    pub(super) ledger: LedgerId,
    lag: u64,
    pub(super) state: State,
    /// The newest block, which may be ahead of what was recorded.
    pub(super) seen: Followed,
    pub(super) newest: Option<SignedHeader>,
    pub(super) connected: bool,
    /// What each channel's connection stands at; nothing of it outlives the process.
    pub(super) links: BTreeMap<ChannelId, Link>,
    /// What waits for each channel's next update.
    pub(super) wanted: BTreeMap<ChannelId, VecDeque<Wanted>>,
    pub(super) parts: Parts,
    /// What is in hand of streams' locks.
    pub(super) live: BTreeMap<Anchor, Live>,
    pub(super) relay_keys: RelayKeys,
    pub(super) wasted: Wasted,
    pub(super) asks: Asks,
    /// The height of the first fresh view since the start.
    pub(super) fresh_from: Option<Height>,
    /// Until when, by the own clock, it waits to meet its hub before it closes on what it holds.
    pub(super) meet_by_ms: u64,
    /// Payments that were wanted when the process ended, and that no known lock has.
    pub(super) unsent: Vec<Anchor>,
    /// Payments that an earlier life may have made in what this one lacks, until every channel is met.
    pub(super) maybe_paid: BTreeMap<AssetId, BTreeSet<Anchor>>,
    /// Channels that were paid out by then.
    pub(super) closed_before: BTreeSet<ChannelId>,
    awake: bool,
}

/// One input being handled.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) out: Output,
    pub(super) now_ms: u64,
}

impl Turn {
    pub(super) fn act(&mut self, action: Action) {
        self.out.actions.push(action);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.act(Action::Tell(event));
    }

    pub(super) fn refuse(&mut self, code: Code, detail: impl Into<String>, about: Option<Anchor>) {
        self.tell(Event::Refused { code, detail: detail.into(), payment: about });
    }
}

impl Wallet {
    /// A wallet without channels or payments, which has followed no block yet.
    pub fn new(config: WalletConfig) -> Wallet {
        Wallet {
            me: config.key.public(),
            ledger: config.genesis.ledger_id(),
            lag: config.policy.lag(&config.genesis),
            config,
            state: State::default(),
            seen: Followed::default(),
            newest: None,
            connected: false,
            links: BTreeMap::new(),
            wanted: BTreeMap::new(),
            parts: Parts::new(),
            live: BTreeMap::new(),
            relay_keys: RelayKeys::default(),
            wasted: Wasted::default(),
            asks: Asks::default(),
            fresh_from: None,
            meet_by_ms: 0,
            unsent: Vec::new(),
            maybe_paid: BTreeMap::new(),
            closed_before: BTreeSet::new(),
            awake: false,
        }
    }

    /// Takes one input. `now_ms` is the own clock, in milliseconds since 1970.
    ///
    /// Nothing in the output may be performed before its records are durable.
    pub fn handle(&mut self, input: Input, now_ms: u64) -> Output {
        let mut turn = Turn { out: Output::default(), now_ms };
        self.wake(&mut turn);
        match input {
            Input::Connected => self.connect(&mut turn),
            Input::Disconnected => self.disconnect(&mut turn),
            Input::Message(message) => self.hear(&mut turn, *message),
            Input::Update(update) => self.hear_update(&mut turn, &update),
            Input::BadUpdate { channel, seq, code } => {
                self.say(&mut turn, channel, Message::Reject { channel, seq, code });
            }
            Input::Relay { from, ciphertext, .. } => {
                self.hear_relay(&mut turn, from, &ciphertext);
            }
            Input::Block(block) => self.follow(&mut turn, &block),
            Input::Tick => self.tick(&mut turn),
            Input::Command(command) => self.obey(&mut turn, *command),
        }
        self.fail_unsent(&mut turn);
        turn.out
    }

    /// Makes a record's change again after a restart, before the first input.
    pub fn replay(&mut self, record: &Record) {
        self.state.apply(record);
        self.seen = self.state.followed;
    }

    /// Looks, before the first input, at what was wanted when the process ended.
    fn wake(&mut self, turn: &mut Turn) {
        if std::mem::replace(&mut self.awake, true) {
            return;
        }
        self.meet_by_ms = turn.now_ms.saturating_add(MEET_MS);
        self.note_unsent(turn);
        let wanted = self.state.streams.all().filter(|lock| lock.state == StreamState::Wanted);
        let lost: Vec<StreamLock> = wanted.cloned().collect();
        for lock in lost {
            let state = StreamState::Ended(Some(Code::HubUnavailable));
            self.commit(turn, Record::Stream(Box::new(StreamLock { state, ..lock })));
        }
        self.wake_streams(turn);
    }

    /// Its key.
    pub fn public_key(&self) -> PublicKey {
        self.me
    }

    /// Its channels, closed ones included.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.state.channels.values()
    }

    /// One of them.
    pub fn channel(&self, id: &ChannelId) -> Option<&Channel> {
        self.state.channels.get(id)
    }

    /// Its payments, in and out, by anchor.
    pub fn payments(&self) -> impl Iterator<Item = &Payment> {
        self.state.payments.values()
    }

    /// One of them.
    pub fn payment(&self, anchor: &Anchor) -> Option<&Payment> {
        self.state.payments.get(anchor)
    }

    /// The height of the newest block it has seen; ask the ledger for the one after. After a
    /// restart this may be up to [`super::FOLLOW_STRIDE`] blocks back, which are then seen again.
    pub fn followed(&self) -> Height {
        self.seen.height
    }

    /// The same.
    pub fn height(&self) -> Height {
        self.seen.height
    }

    pub(super) fn lag(&self) -> u64 {
        self.lag
    }

    /// Its view of the ledger.
    pub fn view(&self, now_ms: u64) -> View {
        View::at(self.seen.height, self.seen.time_ms, now_ms, &self.config.policy)
    }

    /// What the rules need to know of the world at this time of the own clock.
    pub fn now(&self, now_ms: u64) -> Now<'_> {
        Now { view: self.view(now_ms), policy: &self.config.policy, lag: self.lag }
    }

    /// What it was made with, with the fees that are known now.
    pub fn config(&self) -> &WalletConfig {
        &self.config
    }

    /// Whether the hub has answered this channel's `Sync` on the present connection, so that
    /// payments can go.
    pub fn is_synced(&self, id: &ChannelId) -> bool {
        self.connected && self.links.get(id).is_some_and(|link| link.synced)
    }

    /// Counts with other fees from now on.
    pub fn set_fees(&mut self, fees: FeePolicy) {
        self.config.fees = fees;
    }

    /// Makes a change, records it, and tells and performs what follows.
    pub(super) fn commit(&mut self, turn: &mut Turn, record: Record) {
        let channel = match &record {
            Record::Step { channel, .. } => Some(*channel),
            _ => None,
        };
        let Applied { effects, payments, streams } = self.state.apply(&record);
        turn.out.records.push(record);
        self.follow_streams(turn, &streams);
        for anchor in payments {
            if let Some(payment) = self.state.payments.get(&anchor) {
                turn.tell(Event::Payment(payment.clone()));
            }
        }
        if let Some(channel) = channel {
            self.perform(turn, channel, effects);
        }
    }

    pub(super) fn step(&mut self, turn: &mut Turn, channel: ChannelId, step: Step) {
        self.commit(turn, Record::Step { channel, step });
    }

    /// Turns a channel's effects into actions.
    pub(super) fn perform(&mut self, turn: &mut Turn, channel: ChannelId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::SendUpdate => self.send_update(turn, channel),
                Effect::SendAck { seq } => self.say(turn, channel, Message::Ack { channel, seq }),
                Effect::SendReveal { id, secret } => {
                    self.say(turn, channel, Message::Reveal { channel, id, secret });
                }
                Effect::SendFail { id, code } => {
                    self.say(turn, channel, Message::Fail { channel, id, code });
                }
                Effect::Received(Change::Paid { amount, memo }) => {
                    let memo = memo.as_slice().to_vec();
                    turn.tell(Event::PaidByHub { channel, amount, memo });
                }
                Effect::Accepted { changes } => {
                    for amount in paid(&changes) {
                        turn.tell(Event::PaidToHub { channel, amount });
                    }
                }
                Effect::Refused { code, changes } => {
                    for amount in paid(&changes) {
                        let detail = format!("the hub refused a direct payment of {amount}");
                        turn.refuse(code, detail, None);
                    }
                }
                Effect::PhaseChanged => turn.tell(Event::Channel(channel)),
                // What these mean for a payment is in the state already.
                Effect::Received(_) | Effect::SecretLearned { .. } | Effect::LockGone { .. } => {}
            }
        }
    }

    /// Says something about a channel, if the sides have met. If not, meeting says it anew.
    pub(super) fn say(&self, turn: &mut Turn, channel: ChannelId, message: Message) {
        if self.is_synced(&channel) {
            turn.act(Action::Send(message));
        }
    }

    fn send_update(&self, turn: &mut Turn, id: ChannelId) {
        let flight = self.channel(&id).and_then(|channel| channel.outgoing().in_flight.as_ref());
        if let (Some(flight), true) = (flight, self.is_synced(&id)) {
            let (base, ops, proof) = (flight.base, flight.ops(), flight.proof);
            turn.act(Action::SendUpdate { channel: id, base, ops, proof });
        }
    }
}

fn paid(changes: &[Change]) -> impl Iterator<Item = settlement::types::Amount> {
    changes.iter().filter_map(|change| match change {
        Change::Paid { amount, .. } => Some(*amount),
        _ => None,
    })
}
