//! What signs for the hub, and what decides whether it may.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client_sdk::ledger_client::LedgerClient;
use settlement::block::BlockEvents;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::params::{Genesis, Policy};
use settlement::reject::Code;
use settlement::types::{Height, PublicKey};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::prepare::Prepared;
use crate::admission::Gate;
use crate::anchor::{Anchorer, Books, Requests};
use crate::counters::Counters;
use crate::desk::{Clerk, Desk, Office};
use crate::follow::{AHEAD_MAX_MS, Chain, Follower};
use crate::lease::{Authority, Taking, Terms};
use crate::outbox::{Durable, Outbox, Tools};
use crate::router::{Router, ShardQueues};
use crate::shard::Shard;
use crate::tickets::Tickets;

/// What is there before the shards run.
pub(super) struct Signing {
    pub(super) authority: Arc<Authority>,
    hub: PublicKey,
    counters: Arc<Counters>,
    desk: Desk,
    answers: mpsc::UnboundedReceiver<Result<(), Code>>,
    durable: mpsc::UnboundedReceiver<Durable>,
}

/// What following, taking a lease and anchoring need of the rest.
pub(super) struct Around<'a> {
    pub(super) ledger: Arc<dyn LedgerClient>,
    pub(super) genesis: &'a Genesis,
    pub(super) policy: Policy,
    pub(super) interval: Duration,
    pub(super) router: Arc<Router>,
    pub(super) blocks: broadcast::Sender<Arc<BlockEvents>>,
}

/// What runs from then on.
pub(super) struct Following {
    pub(super) follower: JoinHandle<()>,
    /// Those that take the lease, and anchor.
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) heights: watch::Receiver<Height>,
    pub(super) trouble: watch::Receiver<Option<String>>,
    pub(super) books: Books,
    pub(super) requests: Requests,
}

impl Signing {
    /// Opens the desk and the outbox. Nothing may be signed yet.
    pub(super) fn open(
        prepared: &Prepared,
        key: &Arc<SigningKey>,
        counters: &Arc<Counters>,
        gate: &Arc<Gate>,
        tickets: &Arc<Tickets>,
        blocks: &broadcast::Sender<Arc<BlockEvents>>,
    ) -> (Signing, Outbox) {
        let authority = Arc::new(authority(prepared));
        let (leases, answers) = mpsc::unbounded_channel();
        let clerk = Clerk::new(Office {
            ledger: prepared.client.clone(),
            id: prepared.genesis.ledger_id(),
            fees: prepared.genesis.fees,
            key: key.clone(),
            counters: counters.clone(),
            authority: authority.clone(),
            leases,
        });
        let desk = Desk::open(clerk, blocks.subscribe());
        let (anchors, durable) = mpsc::unbounded_channel();
        let outbox = Outbox::new(Tools {
            key: key.clone(),
            desk: desk.clone(),
            tickets: tickets.clone(),
            counters: counters.clone(),
            authority: authority.clone(),
            anchors,
            gate: gate.clone(),
        });
        let (hub, counters) = (key.public(), counters.clone());
        (Signing { authority, hub, counters, desk, answers, durable }, outbox)
    }

    /// Follows the ledger from above this height on, takes the lease, and anchors from then on.
    ///
    /// # Errors
    /// When the ledger's key is none.
    pub(super) fn start(
        self,
        around: Around<'_>,
        queues: &ShardQueues,
        followed: Height,
    ) -> Result<Following> {
        let Around { ledger, genesis, policy, interval, router, blocks } = around;
        let Signing { authority, hub, counters, desk, answers, durable } = self;
        let (books, (requests, requested)) = (Books::default(), mpsc::unbounded_channel());
        let (height, heights) = watch::channel(followed);
        let (trouble, troubles) = watch::channel(None);
        let taking = Taking {
            authority: authority.clone(),
            hub,
            ledger: ledger.clone(),
            queues: queues.clone(),
            heights: heights.clone(),
            answers,
        };
        let anchorer = Anchorer {
            hub,
            genesis: genesis.clone(),
            policy,
            interval,
            authority: authority.clone(),
            queues: queues.clone(),
            desk,
            books: books.clone(),
            counters: counters.clone(),
            durable,
            blocks: blocks.subscribe(),
            requests: requested,
        };
        let key = VerifyingKey::parse(&genesis.ledger_key).context("the ledger's key")?;
        let least = genesis.least_interval_ms;
        let follower = Follower {
            ledger,
            chain: Chain::after(genesis.ledger_id(), key, least, followed),
            queues: queues.clone(),
            router,
            counters,
            authority,
            height,
            blocks,
            trouble,
        };
        let tasks = vec![tokio::spawn(taking.run()), tokio::spawn(anchorer.run())];
        let follower = tokio::spawn(follower.run());
        Ok(Following { follower, tasks, heights, trouble: troubles, books, requests })
    }
}

/// Nothing is held yet; the first shard knows what the journal says.
fn authority(prepared: &Prepared) -> Authority {
    let Prepared { shard_config: config, shards, ledger, .. } = prepared;
    let terms = Terms {
        hub: config.hub,
        embedded: ledger.is_some(),
        lag: config.policy.lag(&config.genesis),
        stale_view_ms: config.policy.stale_view_ms,
        clocks_ms: AHEAD_MAX_MS,
    };
    Authority::new(terms, shards.first().map(Shard::own).cloned().unwrap_or_default())
}
