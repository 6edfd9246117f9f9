//! A watchtower as a service: it guards the channels of as many wallets as have handed in an answer,
//! and needs a key of its own only where the ledger takes fees.
//!
//! ```text
//! POST /v1/answers ─┐ checked, signatures and all (any thread)
//! DIR/inbox/* ──────┴→ desk (one task): is it news? is the channel open? → fsync → guarded
//! ledger → blocks, headers checked ─→ desk: whose close is this? → state proof → answer → ledger
//! ```
//!
//! What a wallet is told rests on the disk: an answer counts as handed in when it, and its name in
//! the directory, are synced. What is done about a channel rests on a state proof: the ledger's word
//! alone moves nothing. A block or a restart has every channel that may need it looked at again, so
//! the tower misses no close while it comes back within the challenge window.
//!
//! What is absent: TLS (put a proxy before it), and any memory of what was answered: a channel that
//! is paid out is forgotten.

mod bring;
mod desk;
mod inbox;
mod serve;
mod store;
mod tell;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use settlement::crypto::SigningKey;
use settlement::params::{Genesis, Policy};
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Height, LedgerId, Role, TxId};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::client::ClientError;
use crate::follower::check_genesis;
use crate::ledger_client::LedgerClient;
use crate::watchtower::{Answer, CheckedAnswer, Export, NoAnswer, Post};
use desk::Desk;
use store::Store;

/// The most channels that a tower guards unless it is told otherwise.
pub const CHANNELS_MAX: usize = 100_000;
/// The most bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 2 << 20;
/// The most answers in one request: so many of the largest fit.
pub const ANSWERS_PER_REQUEST: usize = 16;
/// The most hand-ins and answers to them that wait.
const QUEUE_MAX: usize = 64;
/// The most things that wait to be told.
const TOLD_MAX: usize = 1_024;

/// How a tower is run.
pub struct TowerConfig {
    /// The ledger that it follows.
    pub ledger: Arc<dyn LedgerClient>,
    /// Its directory. One process owns it.
    pub dir: PathBuf,
    /// Where wallets hand in over HTTP; without, only through the directory's inbox.
    pub listen: Option<SocketAddr>,
    /// Whose account pays for what is brought; needed where the ledger takes fees.
    pub key: Option<SigningKey>,
    /// The most channels.
    pub channels_max: usize,
}

/// What a tower tells whoever runs it, as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Told {
    /// It has looked at all that it guards, and takes answers.
    Running {
        /// At which address, over HTTP.
        listening: Option<String>,
        /// Which ledger it follows.
        ledger: LedgerId,
        /// How many channels it guards.
        channels: usize,
    },
    /// A channel is guarded, or up to a newer state than before.
    Guarding {
        /// Which.
        channel: ChannelId,
        /// Up to which proof of the hub's.
        seq: u64,
    },
    /// What was handed in, or lay in the directory, is not taken.
    Refused {
        /// The file, if it came in one.
        file: Option<PathBuf>,
        /// The channel, if it names one.
        channel: Option<ChannelId>,
        /// Why.
        code: Code,
        /// What is wrong.
        detail: String,
    },
    /// A guarded channel is being closed.
    Closing {
        /// Which.
        channel: ChannelId,
        /// By whom.
        by: Role,
        /// The last height at which proofs count.
        proofs_until: Height,
    },
    /// The answer was handed to the ledger.
    Brought {
        /// For which channel.
        channel: ChannelId,
        /// Up to which proof.
        seq: u64,
        /// As which transaction.
        tx: TxId,
    },
    /// The ledger holds all that the answer brings.
    Answered {
        /// Of which channel.
        channel: ChannelId,
        /// Up to which proof.
        seq: u64,
    },
    /// A channel is paid out and guarded no longer.
    Settled {
        /// Which.
        channel: ChannelId,
        /// What the wallet got, where it is known.
        wallet: Option<Amount>,
        /// What the hub got.
        hub: Option<Amount>,
    },
    /// Something went wrong that is tried again.
    Trouble {
        /// About which channel, if about one.
        channel: Option<ChannelId>,
        /// The number, if there is one.
        code: Code,
        /// What.
        detail: String,
    },
}

/// The answer to a hand-in.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HandedIn {
    /// What is on the tower's disk now.
    pub held: Vec<Held>,
    /// What was not taken.
    pub refused: Vec<NotTaken>,
}

/// A channel that the tower guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Which.
    pub channel: ChannelId,
    /// Up to which proof of the hub's.
    pub seq: u64,
}

/// An answer that the tower did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTaken {
    /// Of which channel.
    pub channel: ChannelId,
    /// Why.
    pub code: Code,
    /// What is wrong with it, and what to do.
    pub detail: String,
}

/// A running tower's events.
pub struct Tower {
    told: mpsc::Receiver<Told>,
    tasks: tokio::task::JoinSet<()>,
}

/// What the desk is asked: answers that were checked, or why one is none.
struct HandIn {
    answers: Vec<(ChannelId, Result<CheckedAnswer, NoAnswer>)>,
    answered: oneshot::Sender<HandedIn>,
}

impl HandIn {
    /// Checks what an export holds, gives it to the desk, and waits for what comes of it.
    async fn give(
        export: Export,
        ledger: LedgerId,
        desk: &mpsc::Sender<HandIn>,
    ) -> Result<HandedIn, NoAnswer> {
        let check = move |answer: Answer| (answer.channel, CheckedAnswer::check(answer, &ledger));
        // Signatures and hash chains: not on a thread that serves others.
        let check = move || export.answers.into_iter().map(check).collect();
        let stopped = || NoAnswer::new(Code::ShuttingDown, "the tower is ending");
        let answers = tokio::task::spawn_blocking(check).await.map_err(|_| stopped())?;
        let (answered, waiting) = oneshot::channel();
        desk.send(HandIn { answers, answered }).await.map_err(|_| stopped())?;
        waiting.await.map_err(|_| stopped())
    }
}

/// What all parts of a tower know of the ledger.
#[derive(Clone)]
struct Ground {
    ledger: Arc<dyn LedgerClient>,
    genesis: Arc<Genesis>,
    id: LedgerId,
    key: settlement::crypto::VerifyingKey,
}

impl Tower {
    /// Opens the directory, binds the address, and starts. All that the directory holds is looked at
    /// before the first answer is taken ([`Told::Running`]).
    ///
    /// # Errors
    /// [`Code::LedgerUnavailable`]; [`Code::WrongLedger`] when the directory belongs to another;
    /// [`Code::EnvelopeNeeded`] where the ledger takes fees and there is no key;
    /// [`Code::HomeLocked`], [`Code::StoreDamaged`]; [`Code::BadArgument`] for an address that can't
    /// be bound.
    pub async fn start(config: TowerConfig) -> Result<Tower, ClientError> {
        let ground = ground(config.ledger).await?;
        if !ground.genesis.fees.is_free() && config.key.is_none() {
            let detail = "this ledger takes fees: give the key of an account that pays them \
                          (--key-file)";
            return Err(ClientError::new(Code::EnvelopeNeeded, detail));
        }
        let (dir, id, channels_max) = (config.dir, ground.id, config.channels_max);
        let opened = tokio::task::spawn_blocking(move || open(&dir, id, channels_max));
        let (store, post, refused) = opened.await.map_err(|_| ClientError::stopped())??;
        let store = Arc::new(store);
        let listener = match config.listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let (hand_ins, waiting) = mpsc::channel(QUEUE_MAX);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let listening = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let listening = listening.map(|address| format!("http://{address}"));
        let mut tasks = tokio::task::JoinSet::new();
        if let Some(listener) = listener {
            tasks.spawn(serve::serve(listener, ground.clone(), hand_ins.clone()));
        }
        tasks.spawn(inbox::watch(store.clone(), ground.id, hand_ins, tell.clone()));
        let desk = Desk::new(ground, store, post, config.key, tell);
        tasks.spawn(desk.run(refused, waiting, listening));
        Ok(Tower { told, tasks })
    }

    /// What happens next; `None` when the tower has ended.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Ends it, and waits until what was begun on the disk is done.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// The directory, what it guards, and what is to be told of the rest of it. One answer is in memory
/// at a time.
fn open(
    dir: &Path,
    ledger: LedgerId,
    channels_max: usize,
) -> Result<(Store, Post, Vec<Told>), ClientError> {
    let store = Store::open(dir, &ledger)?;
    let (mut post, mut refused) = (Post::new(channels_max), Vec::new());
    store.each(|file, read| {
        let bad = |why: String| NoAnswer::new(Code::StoreDamaged, why);
        let checked = read.map_err(bad).and_then(|answer| {
            let checked = CheckedAnswer::check(answer, &ledger)?;
            post.is_news(&checked).map(|_| checked)
        });
        match checked {
            Ok(checked) => post.guard(&checked),
            Err(NoAnswer { code, detail }) => {
                let file = Some(file);
                refused.push(Told::Refused { file, channel: None, code, detail });
            }
        }
    })?;
    Ok((store, post, refused))
}

/// Asks the ledger who it is.
async fn ground(ledger: Arc<dyn LedgerClient>) -> Result<Ground, ClientError> {
    let info = ledger.info().await?;
    let wrong =
        |error: crate::follower::BadGenesis| ClientError::new(Code::WrongLedger, error.to_string());
    let key = check_genesis(&info, &info.ledger).map_err(wrong)?;
    Ok(Ground { ledger, id: info.ledger, genesis: Arc::new(info.genesis), key })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ClientError> {
    TcpListener::bind(address).await.map_err(|error| {
        ClientError::new(Code::BadArgument, format!("cannot listen on {address}: {error}"))
    })
}

impl Ground {
    /// By how much the clocks may differ.
    fn future_ms(&self) -> u64 {
        Policy::for_genesis(&self.genesis).stale_view_ms
    }
}

#[cfg(test)]
mod tests;
