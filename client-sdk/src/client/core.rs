//! The core: one thread that owns every wallet, so nothing about money is shared or locked.
//!
//! It takes whatever waits in its queue (frames, blocks, time, commands), lets the wallets handle
//! it, and puts what comes out into the group that the committer will make durable next. It never
//! waits for a socket or a ledger, only for the disk when that is far behind. Whoever asked is
//! answered by the committer, when the answer rests on durable records.

mod answers;
mod blocks;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use settlement::block::{BlockEvents, SignedHeader};
use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId, Height, PublicKey, TxId};
use settlement::wire::Message;
use tokio::sync::{mpsc, oneshot, watch};

use super::ClientError;
use super::members::Members;
use super::pipe::{Effect, Group, Pipe, Release};
use super::store::{Entry, Restored, key_row, wallet_row};
use crate::api::FeePolicy;
use crate::wallet::{
    Action, Command, Event, Input, Output, Payment, PaymentState, Record, Wallet, WalletConfig,
};

/// The most inputs that wait; whoever brings more waits too.
const QUEUE_MAX: usize = 8_192;
/// The most inputs that are handled before their records go to the committer.
const TOGETHER: usize = 1_024;
/// A checkpoint is taken after so many records…
const CHECKPOINT_RECORDS: usize = 200_000;
/// …and at the end if there are so many: fewer are replayed faster than one is written.
const CHECKPOINT_AT_END: usize = 5_000;

/// The core's queue.
pub(crate) type CoreQueue = mpsc::Sender<CoreInput>;

/// Looks at a wallet, now and after everything that happens to it, until it has an answer.
pub(crate) type Watch = Box<dyn FnMut(&Wallet) -> Option<Release> + Send>;

/// What a command comes to at once; a payment may go on afterwards.
pub(crate) type Answered = oneshot::Sender<Result<Option<Event>, ClientError>>;

/// Something for the core.
pub(crate) enum CoreInput {
    /// The hub said these things on this connection, in order.
    FromHub { connection: usize, inputs: Vec<Input> },
    /// The hub has signed these wallets in, in this session of a connection.
    Connected { connection: usize, session: u64, wallets: Vec<u32> },
    /// The connection is gone, and every wallet's on it.
    Disconnected(usize),
    /// The next blocks.
    Blocks(Vec<Arc<BlockEvents>>),
    /// Time has passed.
    Tick,
    /// A user's command.
    Command { index: u32, command: Command, answered: Answered },
    /// A user waits for a payment's end.
    Await { index: u32, anchor: Anchor, ended: oneshot::Sender<Payment> },
    /// A user waits for something else.
    Watch { index: u32, watch: Watch },
    /// A user waits to hear that a transaction was refused in a block, after it had been taken.
    AwaitRefusal { tx: TxId, refused: oneshot::Sender<Code> },
    /// One wallet more; `fresh` if its key was only just made, so that the past has nothing on it.
    Add { key: Arc<SigningKey>, fresh: bool, added: oneshot::Sender<u32> },
    /// What the hub takes now.
    Fees(FeePolicy),
    /// Take a checkpoint and end.
    Shutdown,
    /// Look whether the client was dropped.
    Wake,
}

/// Makes the configuration of a new wallet from its key and the fees of the time.
pub(crate) type Make = Box<dyn Fn(Arc<SigningKey>, &FeePolicy) -> WalletConfig + Send>;

/// What new wallets are made with, apart from the key.
pub(crate) struct Terms {
    pub(crate) make: Make,
    pub(crate) fees: FeePolicy,
}

struct Held {
    key: PublicKey,
    wallet: Wallet,
    connected: bool,
    watches: Vec<Watch>,
    ends: HashMap<Anchor, Vec<oneshot::Sender<Payment>>>,
}

/// What the core's thread owns.
pub(crate) struct Core {
    queue: mpsc::Receiver<CoreInput>,
    dropped: Arc<AtomicBool>,
    pipe: Arc<Pipe>,
    members: Arc<Members>,
    terms: Terms,
    wallets: Vec<Held>,
    by_key: HashMap<PublicKey, u32>,
    by_channel: HashMap<ChannelId, u32>,
    refusals: HashMap<TxId, oneshot::Sender<Code>>,
    newest: Option<SignedHeader>,
    /// From where the follower has to give blocks.
    wanted: watch::Sender<Height>,
    records: usize,
    /// Numbers of wallets whose key row is in no checkpoint yet.
    unlisted: Vec<u32>,
    group: Group,
    now_ms: u64,
    ending: bool,
}

/// The queue into a core that is not running yet.
pub(crate) fn queue() -> (CoreQueue, mpsc::Receiver<CoreInput>) {
    mpsc::channel(QUEUE_MAX)
}

/// The own clock, in milliseconds since 1970.
pub(crate) fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The core's links to the rest of the client.
pub(crate) struct Links {
    pub(crate) queue: mpsc::Receiver<CoreInput>,
    pub(crate) dropped: Arc<AtomicBool>,
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) members: Arc<Members>,
    pub(crate) wanted: watch::Sender<Height>,
    /// How many records of the journal are in no checkpoint.
    pub(crate) uncovered: usize,
    /// The ledger's newest header, if it could be asked.
    pub(crate) newest: Option<SignedHeader>,
}

impl Core {
    /// A core with the wallets that the store had.
    pub(crate) fn new(links: Links, terms: Terms, restored: Vec<Restored>) -> Core {
        let Links { queue, dropped, pipe, members, wanted, uncovered, newest } = links;
        let mut core = Core {
            queue,
            dropped,
            pipe,
            members,
            terms,
            wallets: Vec::with_capacity(restored.len()),
            by_key: HashMap::new(),
            by_channel: HashMap::new(),
            refusals: HashMap::new(),
            newest,
            wanted,
            records: uncovered,
            unlisted: Vec::new(),
            group: Group::default(),
            now_ms: clock_ms(),
            ending: false,
        };
        for (key, wallet) in restored {
            core.hold(key, wallet);
        }
        core.want_blocks();
        core
    }

    /// Runs until it is told to end, or the client was dropped.
    pub(crate) fn run(mut self) {
        let mut inputs = Vec::with_capacity(TOGETHER);
        // The first input also ends what the last process left undone, before any command.
        self.every_wallet(|| Input::Tick);
        self.pass_on();
        while !self.ending && !self.dropped.load(Ordering::Acquire) {
            if self.queue.blocking_recv_many(&mut inputs, TOGETHER) == 0 {
                break;
            }
            self.now_ms = clock_ms();
            for input in inputs.drain(..) {
                self.take(input);
            }
            self.pass_on();
        }
        self.pipe.close();
    }

    fn take(&mut self, input: CoreInput) {
        match input {
            CoreInput::FromHub { connection, inputs } => {
                for input in inputs {
                    self.route(connection, input);
                }
            }
            CoreInput::Connected { connection, session, wallets } => {
                self.group.effects.push(Effect::Met { connection, session });
                for index in wallets {
                    self.set_connected(index, true);
                }
            }
            CoreInput::Disconnected(connection) => self.disconnect(connection),
            CoreInput::Blocks(blocks) => {
                for block in blocks {
                    self.follow(&block);
                }
            }
            CoreInput::Tick => self.every_wallet(|| Input::Tick),
            CoreInput::Command { index, command, answered } => {
                self.command(index, command, answered);
            }
            CoreInput::Await { index, anchor, ended } => self.wait_for(index, anchor, ended),
            CoreInput::Watch { index, watch } => self.watch(index, watch),
            CoreInput::AwaitRefusal { tx, refused } => {
                self.refusals.retain(|_, waiting| !waiting.is_closed());
                self.refusals.insert(tx, refused);
            }
            CoreInput::Add { key, fresh, added } => self.add(key, fresh, added),
            CoreInput::Fees(fees) => {
                self.terms.fees = fees;
                for held in &mut self.wallets {
                    held.wallet.set_fees(fees);
                }
            }
            CoreInput::Shutdown => self.ending = true,
            CoreInput::Wake => {}
        }
    }

    /// Gives what came out to the committer.
    fn pass_on(&mut self) {
        self.records = self.records.saturating_add(self.group.entries.len());
        let enough = if self.ending { CHECKPOINT_AT_END } else { CHECKPOINT_RECORDS };
        if self.records >= enough {
            self.group.checkpoint = Some(self.dirty_rows());
            self.records = 0;
        }
        self.pipe.put(std::mem::take(&mut self.group));
    }

    fn dirty_rows(&mut self) -> Vec<settlement::index::Change> {
        let mut rows = Vec::new();
        for index in self.unlisted.drain(..) {
            if let Some(held) = self.wallets.get(index as usize) {
                rows.push(key_row(index, &held.key));
            }
        }
        for (index, held) in (0u32..).zip(&mut self.wallets) {
            let dirty = held.wallet.take_dirty_rows();
            rows.extend(dirty.into_iter().map(|row| wallet_row(index, row)));
        }
        rows
    }

    /// Gives what the hub said about a channel, or carries from another wallet, to the wallet whose
    /// it is.
    fn route(&mut self, connection: usize, input: Input) {
        if let Input::Relay { to, .. } = &input {
            if let Some(index) = self.by_key.get(to).copied() {
                self.handle(index, input);
            }
            return;
        }
        let (channel, update) = match &input {
            Input::Message(message) => (message.channel(), None),
            Input::Update(update) => (Some(update.proof().channel), Some(update.proof().seq)),
            Input::BadUpdate { channel, seq, .. } => (Some(*channel), Some(*seq)),
            _ => (None, None),
        };
        let Some(channel) = channel else { return };
        match (self.by_channel.get(&channel).copied(), update) {
            (Some(index), _) => self.handle(index, input),
            (None, Some(seq)) => {
                let code = Code::UnknownChannel;
                let reject = Message::Reject { channel, seq, code };
                self.group.effects.push(Effect::Say(connection, reject));
            }
            (None, None) => {}
        }
    }

    fn every_wallet(&mut self, mut input: impl FnMut() -> Input) {
        let count = u32::try_from(self.wallets.len()).unwrap_or(u32::MAX);
        for index in 0..count {
            self.handle(index, input());
        }
    }

    fn set_connected(&mut self, index: u32, connected: bool) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        if std::mem::replace(&mut held.connected, connected) != connected {
            self.handle(index, if connected { Input::Connected } else { Input::Disconnected });
        }
    }

    fn disconnect(&mut self, connection: usize) {
        let count = u32::try_from(self.wallets.len()).unwrap_or(u32::MAX);
        let members = self.members.clone();
        for index in (0..count).filter(|index| members.connection_of(*index) == connection) {
            self.set_connected(index, false);
        }
    }

    fn handle(&mut self, index: u32, input: Input) {
        if let Some(held) = self.wallets.get_mut(index as usize) {
            let output = held.wallet.handle(input, self.now_ms);
            self.absorb(index, output);
        }
    }

    /// Takes in what a wallet put out, and answers whoever waited for it.
    fn absorb(&mut self, index: u32, output: Output) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        for record in output.records {
            if let Record::Opened { terms, .. } = &record {
                self.by_channel.insert(terms.channel_id(), index);
            }
            self.group.entries.push(Entry::Record { index, record });
        }
        for action in output.actions {
            let ended = match &action {
                Action::Tell(Event::Payment(p)) if p.state != PaymentState::Pending => {
                    held.ends.remove(&p.anchor).map(|waiting| (waiting, p.clone()))
                }
                _ => None,
            };
            self.group.effects.push(Effect::Perform(index, action));
            if let Some((waiting, payment)) = ended {
                self.group.effects.push(Effect::Release(Box::new(move || {
                    for ended in waiting {
                        // Whoever asked may have gone.
                        let _ = ended.send(payment.clone());
                    }
                })));
            }
        }
        self.look(index);
    }

    fn hold(&mut self, key: PublicKey, wallet: Wallet) {
        let index = u32::try_from(self.wallets.len()).unwrap_or(u32::MAX);
        self.by_key.insert(key, index);
        self.by_channel.extend(wallet.channels().map(|channel| (channel.id(), index)));
        self.unlisted.push(index);
        let (watches, ends) = (Vec::new(), HashMap::new());
        self.wallets.push(Held { key, wallet, connected: false, watches, ends });
    }

    fn add(&mut self, key: Arc<SigningKey>, fresh: bool, added: oneshot::Sender<u32>) {
        let public = key.public();
        let index = match self.by_key.get(&public) {
            Some(index) => *index,
            None => {
                let config = (self.terms.make)(key.clone(), &self.terms.fees);
                let index = self.members.add(key);
                self.group.entries.push(Entry::Wallet { index, key: public });
                self.hold(public, Wallet::new(config));
                if fresh {
                    self.skip_past(index);
                }
                self.want_blocks();
                index
            }
        };
        self.release(move || {
            let _ = added.send(index);
        });
    }
}
