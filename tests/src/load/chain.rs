//! The ledger as the load tool's wallets see it: each block once, each header checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use client_sdk::follower::{HeaderCheck, check_genesis};
use settlement::api::LedgerInfo;
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::encoding::decode;
use settlement::ledger::service::now_ms;
use settlement::params::{Genesis, Policy, View};
use settlement::types::{Amount, ChannelId, Height, LedgerId, PerRole};

use super::http::Http;

/// By how much the clocks of one machine may differ.
const FUTURE_MS: u64 = 1_000;
/// How long a thing may take that waits for blocks.
pub const BLOCKS_PATIENCE: Duration = Duration::from_secs(120);

/// The newest block that was seen, for every thread.
#[derive(Debug, Default)]
pub struct Tip {
    height: AtomicU64,
    time_ms: AtomicU64,
}

impl Tip {
    /// The view of the ledger now.
    pub fn view(&self, policy: &Policy) -> View {
        let (height, time_ms) = (self.height.load(Relaxed), self.time_ms.load(Relaxed));
        View::at(Height(height), time_ms, now_ms(), policy)
    }

    /// The newest height.
    pub fn height(&self) -> Height {
        Height(self.height.load(Relaxed))
    }
}

/// What the ledger has said of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// All that each side has put in.
    pub deposited: PerRole<Amount>,
    /// All that each side has taken out while it was open.
    pub withdrawn: PerRole<Amount>,
    /// What each side was paid at the end.
    pub paid: Option<PerRole<Amount>>,
}

impl Held {
    fn follow(&mut self, event: &LedgerEvent) {
        match event {
            LedgerEvent::Opened { deposit, .. } => self.deposited.wallet = *deposit,
            LedgerEvent::Deposited { role, total, .. } => *self.deposited.of_mut(*role) = *total,
            LedgerEvent::Withdrawn { role, total, .. } => *self.withdrawn.of_mut(*role) = *total,
            LedgerEvent::Settled { wallet, hub, .. } => {
                self.paid = Some(PerRole { wallet: *wallet, hub: *hub });
            }
            _ => {}
        }
    }
}

/// Follows the ledger from its first block.
pub struct Chain {
    http: Http,
    check: HeaderCheck,
    tip: Arc<Tip>,
    /// What every channel holds.
    pub held: HashMap<ChannelId, Held>,
    /// Who is told of what becomes of channels.
    listener: Option<Sender<(Height, LedgerEvent)>>,
    /// All that the ledger started from.
    pub genesis: Genesis,
}

impl Chain {
    /// The ledger at this address, which has to be this one.
    ///
    /// # Errors
    /// When it is another one, or nobody answers.
    pub fn at(url: &str, ledger: &LedgerId) -> Result<Chain> {
        let mut http = Http::connect(url)?;
        let info: LedgerInfo = http.get_json("/v1/ledger/info")?;
        check_genesis(&info, ledger)?;
        let check = HeaderCheck::new(&info.genesis, Height(1), FUTURE_MS)?;
        let (tip, held) = (Arc::default(), HashMap::new());
        Ok(Chain { http, check, tip, held, listener: None, genesis: info.genesis })
    }

    /// The newest block seen so far.
    pub fn tip(&self) -> Arc<Tip> {
        self.tip.clone()
    }

    /// From now on the other end is told of channels that open, change and close.
    pub fn tell(&mut self, listener: Sender<(Height, LedgerEvent)>) {
        self.listener = Some(listener);
    }

    /// Goes on at another address of the same ledger.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn move_to(&mut self, url: &str) -> Result<()> {
        self.http = Http::connect(url)?;
        Ok(())
    }

    /// The next blocks; none when there is none for half a second.
    ///
    /// # Errors
    /// When the ledger does not answer, or a header is not in order.
    pub fn blocks(&mut self) -> Result<Vec<BlockEvents>> {
        let from = self.check.next();
        let path = format!("/v1/ledger/events?from={from}&wait_ms=500&format=postcard");
        let blocks: Vec<BlockEvents> = decode(&self.http.get(&path)?)?;
        for block in &blocks {
            self.check.take(block, now_ms()).with_context(|| format!("block {from} or later"))?;
            for event in &block.events {
                if let Some(channel) = event.channel() {
                    if let Some(listener) = &self.listener {
                        // Nobody may listen any more.
                        let _ = listener.send((block.header.header.height, event.clone()));
                    }
                    self.held.entry(channel).or_default().follow(event);
                }
            }
            self.tip.time_ms.store(block.header.header.time_ms, Relaxed);
            self.tip.height.store(block.header.header.height.0, Relaxed);
        }
        Ok(blocks)
    }

    /// Follows until `seen`, which is shown each block, says that it has seen enough.
    ///
    /// # Errors
    /// When it has not in time; `what` says what was waited for.
    pub fn follow_until(
        &mut self,
        what: &str,
        mut seen: impl FnMut(&BlockEvents) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + BLOCKS_PATIENCE;
        loop {
            let mut enough = false;
            for block in self.blocks()? {
                enough |= seen(&block)?;
            }
            if enough {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("waited {BLOCKS_PATIENCE:?} for {what}");
            }
        }
    }

    /// Goes on following in a thread of its own until it is told to stop.
    pub fn follow_along(mut self) -> Following {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            // The hub may be killed at any time: then this ends by itself, and is moved on later.
            while !told.load(Relaxed) && self.blocks().is_ok() {}
            self
        });
        Following { stop, thread }
    }
}

/// A [`Chain`] that is followed in a thread of its own.
pub struct Following {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Chain>,
}

impl Following {
    /// Stops and gives it back.
    ///
    /// # Errors
    /// When the thread panicked.
    pub fn stop(self) -> Result<Chain> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that follows the ledger died"))
    }
}
