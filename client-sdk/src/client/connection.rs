//! One connection to the hub, kept up: sign-in of its wallets, reading and verifying, signing and
//! writing, and connecting again after it broke.
//!
//! Reading and writing are two halves that never wait for each other, so a hub that is slow to read
//! can't make a deadlock. Signatures are made and checked here, on the runtime's threads: with more
//! than one connection they spread over all cores. Nothing here decides about money; what comes in
//! goes to the core, and what goes out is durable already.

mod reader;
mod session;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use settlement::crypto::VerifyingKey;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::types::{ChannelId, LedgerId, PublicKey};
use settlement::update::Op;
use settlement::wire::Message;
use tokio::sync::{Notify, mpsc, watch};

use super::core::{CoreInput, CoreQueue};
use super::members::Members;
use crate::trust::Trust;

/// The most batches that wait for a connection; each is what one commit put out for it.
const BATCHES_MAX: usize = 1_024;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Something to be said on a connection.
pub(crate) enum Outgoing {
    /// What follows was said in this session. What comes before is of an earlier one: it waited for the
    /// disk, and a hub that hears it now takes what a wallet had before for what it has.
    Met(u64),
    /// As it is.
    Message(Message),
    /// An update, to be signed first.
    Update {
        /// Whose.
        index: u32,
        channel: ChannelId,
        base: u64,
        ops: Vec<Op>,
        proof: BalanceProof,
    },
}

/// What one commit puts out for one connection.
pub(crate) type Batch = Vec<Outgoing>;

/// The committer's end of a connection's queue.
pub(crate) struct Outlet {
    batches: mpsc::Sender<Batch>,
    overrun: Arc<Overrun>,
}

#[derive(Default)]
struct Overrun {
    happened: AtomicBool,
    notify: Notify,
}

impl Overrun {
    /// Waits until a batch found no place.
    async fn wait(&self) {
        while !self.happened.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }
}

impl Outlet {
    /// Queues a batch; the connection is dropped when it does not keep up.
    pub(crate) fn send(&self, batch: Batch) {
        if !batch.is_empty() && self.batches.try_send(batch).is_err() {
            self.overrun.happened.store(true, Ordering::Release);
            self.overrun.notify.notify_one();
        }
    }
}

#[cfg(test)]
impl Outlet {
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun.happened.load(Ordering::Acquire)
    }
}

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is being made, or was not tried yet.
    Connecting,
    /// The hub has signed in, and this many wallets with it.
    Up {
        /// How many wallets.
        wallets: usize,
    },
    /// It broke or could not be made; it is tried again.
    Down {
        /// Why.
        code: Code,
        /// Why, in this case.
        detail: String,
    },
}

/// Whom connections are made to.
pub(crate) struct Peer {
    pub(crate) url: String,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is nobody to trust"))]
    pub(crate) trust: Trust,
    pub(crate) ledger: LedgerId,
    pub(crate) hub: PublicKey,
    pub(crate) hub_key: VerifyingKey,
}

/// One connection's task.
pub(crate) struct Connection {
    number: usize,
    peer: Arc<Peer>,
    members: Arc<Members>,
    core: CoreQueue,
    batches: mpsc::Receiver<Batch>,
    /// How often it was made.
    session: u64,
    overrun: Arc<Overrun>,
    link: watch::Sender<Link>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} [{code}]")]
pub(crate) struct Broken {
    code: Code,
    detail: String,
}

impl Broken {
    fn new(code: Code, detail: impl Into<String>) -> Broken {
        Broken { code, detail: detail.into() }
    }

    fn socket(error: impl std::fmt::Display) -> Broken {
        Broken::new(Code::HubUnavailable, error.to_string())
    }
}

impl Connection {
    /// A connection that is not made yet, its queue's other end, and how it stands.
    pub(crate) fn new(
        number: usize,
        peer: Arc<Peer>,
        members: Arc<Members>,
        core: CoreQueue,
    ) -> (Connection, Outlet, watch::Receiver<Link>) {
        let (queue, batches) = mpsc::channel(BATCHES_MAX);
        let overrun = Arc::<Overrun>::default();
        let (link, state) = watch::channel(Link::Connecting);
        let outlet = Outlet { batches: queue, overrun: overrun.clone() };
        let connection =
            Connection { number, peer, members, core, batches, session: 0, overrun, link };
        (connection, outlet, state)
    }

    /// Connects, again and again, until the core is gone.
    pub(crate) async fn run(mut self) {
        let mut backoff = BACKOFF_MIN;
        while !self.core.is_closed() {
            self.wait_for_members().await;
            self.link.send_replace(Link::Connecting);
            let broken = self.session().await;
            tracing::info!(connection = self.number, %broken, "the connection to the hub ended");
            let was_up = matches!(*self.link.borrow(), Link::Up { .. });
            let Broken { code, detail } = broken;
            // The same wallet on two machines would throw each other out for ever.
            let contested = code == Code::Replaced;
            self.link.send_replace(Link::Down { code, detail });
            if self.core.send(CoreInput::Disconnected(self.number)).await.is_err() {
                return;
            }
            backoff = if contested {
                BACKOFF_MAX
            } else if was_up {
                BACKOFF_MIN
            } else {
                backoff.saturating_mul(2).min(BACKOFF_MAX)
            };
            self.pause(backoff).await;
        }
    }

    /// A connection without wallets has nothing to sign in with.
    async fn wait_for_members(&mut self) {
        let mut count = self.members.watch();
        while self.members.of_connection(self.number, 0).is_empty() {
            self.forget_queued();
            if count.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits, with some randomness so that many clients do not come back at once. What the core
    /// still says is dropped: meeting again says it anew.
    async fn pause(&mut self, backoff: Duration) {
        let mut random = [0; 1];
        // Without randomness everybody waits the longest.
        let share = getrandom::fill(&mut random).map_or(255, |()| u32::from(random[0]));
        let jitter = backoff.saturating_mul(share).checked_div(512).unwrap_or_default();
        let until = tokio::time::sleep(backoff.saturating_add(jitter));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return,
                batch = self.batches.recv() => {
                    if batch.is_none() {
                        return;
                    }
                }
            }
        }
    }

    fn forget_queued(&mut self) {
        while self.batches.try_recv().is_ok() {}
        self.overrun.happened.store(false, Ordering::Release);
    }
}
