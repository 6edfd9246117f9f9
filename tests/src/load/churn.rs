//! Channels that close and open while others pay: each wallet that leaves asks the hub to sign the
//! close with it, waits until the ledger has paid out, and opens its next channel with that money.
//!
//! What was asked for may be lost with the hub: after a restart everything under way is asked for
//! again, which does no harm to what has come about.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use client_sdk::api::{CosignRequest, HubInfo};
use settlement::block::LedgerEvent;
use settlement::channel::Channel;
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::proof::CooperativeClose;
use settlement::types::{Amount, ChannelId, Height, Role, Signature};

use super::http::Http;
use super::setup::{open_with, request};

/// How long the thread waits for something to happen.
const TURN: Duration = Duration::from_millis(20);
/// How long it waits before it asks for a close again that the hub did not sign.
const AGAIN: Duration = Duration::from_millis(200);

/// A wallet that leaves its channel.
pub struct Departure {
    /// Of which thread.
    pub thread: usize,
    /// Which of its wallets.
    pub at: usize,
    /// Its key.
    pub key: Arc<SigningKey>,
    /// The next nonce of its account.
    pub nonce: u64,
    /// The close, signed by it.
    pub close: CooperativeClose,
    /// Its signature.
    pub signature: Signature,
}

/// A wallet that has its next channel.
pub struct Arrival {
    /// Which of the thread's wallets.
    pub at: usize,
    /// The channel.
    pub channel: Channel,
}

/// What has come about.
#[derive(Debug, Default)]
pub struct Counts {
    /// Channels closed.
    pub closed: AtomicU64,
    /// Channels opened after that.
    pub opened: AtomicU64,
    /// Closes that had to be asked for again.
    pub asked_again: AtomicU64,
}

/// What it waits for.
enum Waits {
    /// That the ledger pays out.
    Close { asked: Option<Instant>, signed: bool, request: String, valid_until: Height },
    /// That the channel is open, with the hub's money in it.
    Open { handed_in: bool, transaction: String, channel: Box<Channel> },
}

struct Job {
    thread: usize,
    at: usize,
    key: Arc<SigningKey>,
    nonce: u64,
    waits: Waits,
}

/// See the module.
pub struct Churn {
    info: Arc<HubInfo>,
    jobs: HashMap<ChannelId, Job>,
    departures: Receiver<Departure>,
    events: Receiver<(Height, LedgerEvent)>,
    arrivals: Vec<Sender<Arrival>>,
    counts: Arc<Counts>,
}

/// A [`Churn`] in a thread of its own.
pub struct Churning {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Churn, Result<()>)>,
}

impl Churn {
    /// One that hears of wallets and of the ledger here, and tells the threads of wallets.
    pub fn new(
        info: Arc<HubInfo>,
        departures: Receiver<Departure>,
        events: Receiver<(Height, LedgerEvent)>,
        arrivals: Vec<Sender<Arrival>>,
    ) -> Churn {
        Churn { info, jobs: HashMap::new(), departures, events, arrivals, counts: Arc::default() }
    }

    /// What has come about so far.
    pub fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Goes on with the hub and the ledger at these addresses.
    pub fn along(mut self, hub: &str, ledger: &str) -> Churning {
        for job in self.jobs.values_mut() {
            match &mut job.waits {
                Waits::Close { asked, signed, .. } => (*asked, *signed) = (None, false),
                Waits::Open { handed_in, .. } => *handed_in = false,
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (told, hub, ledger) = (stop.clone(), hub.to_owned(), ledger.to_owned());
        let thread = std::thread::spawn(move || {
            let done = self.run(&hub, &ledger, &told);
            (self, done)
        });
        Churning { stop, thread }
    }

    fn run(&mut self, hub: &str, ledger: &str, stop: &AtomicBool) -> Result<()> {
        let (mut hub, mut ledger) = (Http::connect(hub)?, Http::connect(ledger)?);
        while !stop.load(Relaxed) {
            let departures: Vec<Departure> = self.departures.try_iter().collect();
            departures.into_iter().for_each(|departure| self.depart(departure));
            match self.events.recv_timeout(TURN) {
                Ok((height, event)) => self.follow(height, &event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            while let Ok((height, event)) = self.events.try_recv() {
                self.follow(height, &event)?;
            }
            // The hub may be killed at any time: then this waits to be moved on.
            if self.ask(&mut hub, &mut ledger).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn depart(&mut self, departure: Departure) {
        let Departure { thread, at, key, nonce, close, signature } = departure;
        let body = CosignRequest { body: hex::encode(encode(&close)), signature };
        let request = serde_json::to_string(&body).unwrap_or_default();
        let valid_until = close.valid_until;
        let waits = Waits::Close { asked: None, signed: false, request, valid_until };
        self.jobs.insert(close.channel, Job { thread, at, key, nonce, waits });
    }

    fn follow(&mut self, height: Height, event: &LedgerEvent) -> Result<()> {
        let Some(id) = event.channel() else { return Ok(()) };
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        match (&mut job.waits, event) {
            (Waits::Close { .. }, LedgerEvent::Settled { wallet, .. }) => {
                self.counts.closed.fetch_add(1, Relaxed);
                self.open(job, *wallet);
                return Ok(());
            }
            (Waits::Close { valid_until, .. }, _) if height > *valid_until => {
                bail!("a close was not in a block by height {valid_until}");
            }
            (Waits::Open { channel, .. }, _) => {
                for step in channel.follow(event, height) {
                    channel.commit(&step);
                }
            }
            _ => {}
        }
        let hubs = matches!(event, LedgerEvent::Deposited { role: Role::Hub, .. });
        if let (Waits::Open { channel, .. }, true) = (&job.waits, hubs) {
            self.counts.opened.fetch_add(1, Relaxed);
            let arrival = Arrival { at: job.at, channel: (**channel).clone() };
            if let Some(thread) = self.arrivals.get(job.thread) {
                // A thread that has ended needs no channel.
                let _ = thread.send(arrival);
            }
            return Ok(());
        }
        self.jobs.insert(id, job);
        Ok(())
    }

    /// Its next channel, with all that the last one paid it.
    fn open(&mut self, mut job: Job, deposit: Amount) {
        let (terms, transaction) = open_with(&self.info, &job.key, job.nonce, deposit);
        let channel = Box::new(Channel::open(terms, Role::Wallet, deposit));
        let transaction = request(&transaction);
        job.waits = Waits::Open { handed_in: false, transaction, channel };
        self.jobs.insert(terms.channel_id(), job);
    }

    /// Asks for what was not asked for yet.
    fn ask(&mut self, hub: &mut Http, ledger: &mut Http) -> Result<()> {
        for (id, job) in &mut self.jobs {
            match &mut job.waits {
                Waits::Close { asked, signed: false, request, .. }
                    if asked.is_none_or(|asked| asked.elapsed() >= AGAIN) =>
                {
                    let again = asked.replace(Instant::now()).is_some();
                    self.counts.asked_again.fetch_add(u64::from(again), Relaxed);
                    let path = format!("/v1/channels/{id}/close");
                    let answers = hub.post_all(&path, std::slice::from_ref(request))?;
                    // Refused while the hub is not as far yet, or paid out before.
                    job.waits.is_signed(answers.iter().all(|answer| answer.status < 300));
                }
                Waits::Open { handed_in: handed_in @ false, transaction, .. } => {
                    *handed_in = true;
                    // Refused if it has been in a block before.
                    let bodies = std::slice::from_ref(transaction);
                    ledger.post_all("/v1/ledger/transactions", bodies)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Waits {
    fn is_signed(&mut self, yes: bool) {
        if let Waits::Close { signed, .. } = self {
            *signed = yes;
        }
    }
}

impl Churning {
    /// Stops and gives it back.
    ///
    /// # Errors
    /// When a close that both sides had signed did not come about.
    pub fn stop(self) -> Result<Churn> {
        self.stop.store(true, Relaxed);
        let (churn, done) =
            self.thread.join().map_err(|_| anyhow!("the thread that closes and opens died"))?;
        done.map(|()| churn)
    }
}
