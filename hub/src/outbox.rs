//! Performs what shards decided, once the records before it are durable.
//!
//! It gets the releases of one commit at a time, in order. All proofs of a commit are signed
//! together, up to 256 under one signature. Frames are put into the queues of their connections,
//! and each writer is woken once for all of them.
//!
//! It alone knows which connection a channel's messages go to: connections come and go in the same
//! order as the messages, so nothing said before a wallet met the hub again reaches its new
//! connection.
//!
//! While this process may not sign ([`crate::lease`]), the newest update of each channel is held
//! back; everything that carries no signature goes. A commit with the next block lets them out.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use foldhash::{HashMap, HashMapExt};
use settlement::bugs::{Bug, planted};
use settlement::channel::Taken;
use settlement::crypto::{BATCH_MAX, MerklePath, Signable, Signed, SigningKey, sign_batch};
use settlement::liabilities::Liabilities;
use settlement::proof::BalanceProof;
use settlement::types::{ChannelId, Hash, Salt, Signature};
use settlement::update::{Op, Update};
use settlement::wire::Message;

use crate::admission::Gate;
use crate::counters::{Counters, add};
use crate::desk::{Desk, Errand};
use crate::lease::Authority;
use crate::peer::Peer;
use crate::shard::{Action, Moved};
use crate::shards::Release;
use crate::sync::mpsc::Receiver;
use crate::sync::thread::{Builder, JoinHandle};
use crate::tickets::Tickets;

/// What the outbox works with.
pub(crate) struct Outbox {
    key: Arc<SigningKey>,
    desk: Desk,
    tickets: Arc<Tickets>,
    counters: Arc<Counters>,
    authority: Arc<Authority>,
    anchors: Anchors,
    gate: Arc<Gate>,
    /// Where messages about a channel go.
    peers: HashMap<ChannelId, Arc<Peer>>,
    /// Updates of connected channels that could not be signed when they were due.
    held_back: HashMap<ChannelId, Unsigned>,
}

/// Who anchors, and hears what may be anchored by now.
pub(crate) type Anchors = tokio::sync::mpsc::UnboundedSender<Durable>;

/// What the outbox passes on to whoever anchors.
pub(crate) enum Durable {
    /// These channels have moved.
    Moved(Box<Moved>),
    /// This may be signed.
    Stated(Vec<Liabilities>),
}

/// An update before it is signed.
struct Unsigned {
    base: u64,
    ops: Vec<Op>,
    proof: BalanceProof,
}

/// What the outbox works with.
pub(crate) struct Tools {
    pub(crate) key: Arc<SigningKey>,
    pub(crate) desk: Desk,
    pub(crate) tickets: Arc<Tickets>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) anchors: Anchors,
    pub(crate) gate: Arc<Gate>,
}

impl Outbox {
    /// An outbox that knows no connection yet.
    pub(crate) fn new(tools: Tools) -> Outbox {
        let Tools { key, desk, tickets, counters, authority, anchors, gate } = tools;
        let (peers, held_back) = (HashMap::new(), HashMap::new());
        Outbox { key, desk, tickets, counters, authority, anchors, gate, peers, held_back }
    }

    /// Starts its thread; it ends with the committer.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        mut self,
        commits: Receiver<Vec<Release>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let thread = Builder::new().name("outbox".to_owned());
        thread.spawn(move || {
            while let Ok(releases) = commits.recv() {
                self.perform(releases);
            }
        })
    }

    fn perform(&mut self, releases: Vec<Release>) {
        let mut touched: Vec<Arc<Peer>> = Vec::new();
        let may_sign = self.authority.may_sign() || planted(Bug::SignsUnleased);
        if may_sign && !self.held_back.is_empty() {
            self.let_out(&mut touched);
        }
        let mut finished = 0u64;
        let mut signatures = if may_sign { self.sign(&releases) } else { Vec::new() }.into_iter();
        for release in releases {
            match release {
                Release::Attach(channel, peer) => {
                    // Meeting again says what is in flight anew.
                    self.held_back.remove(&channel);
                    self.peers.insert(channel, peer);
                }
                Release::Detach(channel, id) => {
                    if self.peers.get(&channel).is_some_and(|peer| peer.id == id) {
                        self.peers.remove(&channel);
                        self.held_back.remove(&channel);
                    }
                }
                Release::Do(Action::SendUpdate { channel, base, ops, proof }) => {
                    let Some(by) = signatures.next() else {
                        self.hold_back(channel, Unsigned { base, ops, proof });
                        continue;
                    };
                    self.deliver(Some(update(channel, base, ops, proof, by)), &mut touched);
                }
                Release::Do(Action::SendSnapshot { proof: value, locks }) => {
                    let signed = signatures.next();
                    let message = signed.map(|(signature, path)| {
                        let proof = Signed { value, signature, path };
                        Message::snapshot(Taken { proof, locks })
                    });
                    self.deliver(message, &mut touched);
                }
                Release::Do(Action::Send(message)) => self.deliver(Some(message), &mut touched),
                Release::Do(action) => self.act(action),
                Release::Finished(ops) => finished = finished.saturating_add(ops),
                Release::Redeemed(redeemed) => {
                    self.counters.redemptions.fetch_add(redeemed.redemptions, Relaxed);
                    self.counters.steps_redeemed.fetch_add(redeemed.steps, Relaxed);
                }
            }
        }
        touched.iter().for_each(|peer| peer.wake());
        self.gate.finish(finished);
    }

    /// A channel has at most one update that is unanswered, so the newest is the one that counts.
    fn hold_back(&mut self, channel: ChannelId, update: Unsigned) {
        if self.peers.contains_key(&channel) {
            self.held_back.insert(channel, update);
        }
    }

    fn let_out(&mut self, touched: &mut Vec<Arc<Peer>>) {
        let action = |(channel, Unsigned { base, ops, proof })| {
            Release::Do(Action::SendUpdate { channel, base, ops, proof })
        };
        let waiting: Vec<Release> = self.held_back.drain().map(action).collect();
        let signatures = self.sign(&waiting);
        for (release, by) in waiting.into_iter().zip(signatures) {
            if let Release::Do(Action::SendUpdate { channel, base, ops, proof }) = release {
                self.deliver(Some(update(channel, base, ops, proof, by)), touched);
            }
        }
    }

    /// The signatures of all proofs in a commit, in order.
    fn sign(&self, releases: &[Release]) -> Vec<(Signature, MerklePath)> {
        let proof = |release: &Release| match release {
            Release::Do(Action::SendUpdate { proof, .. } | Action::SendSnapshot { proof, .. }) => {
                Some(proof.digest())
            }
            _ => None,
        };
        let digests: Vec<Hash> = releases.iter().filter_map(proof).collect();
        let salts = salts(digests.len());
        let leaves: Vec<(Hash, Salt)> = digests.into_iter().zip(salts).collect();
        let batches = leaves.chunks(BATCH_MAX);
        add(&self.counters.signatures, batches.len());
        batches.flat_map(|batch| sign_batch(&self.key, batch)).collect()
    }

    fn deliver(&self, message: Option<Message>, touched: &mut Vec<Arc<Peer>>) {
        let Some(message) = message else { return };
        let peer = message.channel().and_then(|channel| self.peers.get(&channel));
        let Some(peer) = peer else { return };
        peer.queue(&message);
        add(&self.counters.frames_out, 1);
        if !touched.iter().any(|known| known.id == peer.id) {
            touched.push(peer.clone());
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::Submit(submission) => self.desk.give(Errand::Submit(submission)),
            Action::Deposit { channel, amount } => {
                self.desk.give(Errand::Deposit { channel, amount });
            }
            Action::Cosign { ticket } => {
                if let Some(request) = self.tickets.take(ticket) {
                    self.desk.give(Errand::Cosign(Box::new(request)));
                }
            }
            Action::Refuse { ticket, code } => {
                if let Some(request) = self.tickets.take(ticket) {
                    request.refuse(code);
                }
            }
            Action::Count { completed: true } => {
                self.counters.completed.fetch_add(1, Relaxed);
            }
            Action::Count { completed: false } => {
                self.counters.failed.fetch_add(1, Relaxed);
            }
            Action::Lease(lease) => self.desk.give(Errand::Lease(lease)),
            // Nobody anchors any more once the hub is stopping.
            Action::Moved(moved) => drop(self.anchors.send(Durable::Moved(moved))),
            Action::Stated(liabilities) => drop(self.anchors.send(Durable::Stated(liabilities))),
            Action::Send(_) | Action::SendUpdate { .. } | Action::SendSnapshot { .. } => {}
        }
    }
}

fn update(
    channel: ChannelId,
    base: u64,
    ops: Vec<Op>,
    value: BalanceProof,
    (signature, path): (Signature, MerklePath),
) -> Message {
    Message::Update(Update { channel, base, ops, proof: Signed { value, signature, path } })
}

/// Fresh randomness for each proof, so that the siblings in a path tell its reader nothing.
fn salts(count: usize) -> Vec<Salt> {
    let mut bytes = vec![0; count.saturating_mul(Salt::LEN)];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness a neighbour could guess a proof: better to end than to sign so.
        tracing::error!(%error, "the system gives no randomness; the process ends");
        std::process::abort();
    }
    let (salts, _) = bytes.as_chunks::<{ Salt::LEN }>();
    salts.iter().map(|salt| Salt(*salt)).collect()
}

#[cfg(test)]
mod tests;
